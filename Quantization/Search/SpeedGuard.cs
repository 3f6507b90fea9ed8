using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Search;

/// <summary>Leaves operators float where INT8 is slower on this machine, the conversions around them included.</summary>
/// <remarks>
/// Operators whose own INT8 time is not clearly below their float time are candidates; neighbouring ones form a cluster, because leaving one of two neighbours float puts conversions between them. A cluster
/// stays float where the whole model then runs faster, measured by alternating runs of both models; the quickest run of each counts, which other work on the machine disturbs least.
/// </remarks>
internal static class SpeedGuard
{
    private const string Reason = "INT8 is slower than float here, measured on this machine";

    /// <summary>Part of the float time that INT8 may take at most before an operator is looked at.</summary>
    private const double ClearlyFaster = 0.8;

    /// <summary>Alternating runs per comparison.</summary>
    private const int Rounds = 21;

    /// <summary>A model must be faster by this part to replace another: below it a difference may be noise.</summary>
    private const double Margin = 0.01;

    /// <summary>Measures and decides.</summary>
    /// <param name="groups">What can be left float.</param>
    /// <param name="prepared">The float model.</param>
    /// <param name="inputs">Inputs to measure with.</param>
    /// <param name="cancellation">Ends it between two operators.</param>
    /// <returns>The faster model, float operators marked in its report.</returns>
    public static QuantizationResult Choose(OperatorGroups groups, PreparedModel prepared, Tensor[] inputs, CancellationToken cancellation)
    {
        SessionOptions options = prepared.Options.Session;
        QuantizationResult best = groups.Without([], Reason);
        var session = new InferenceSession(best.Model, options);
        var reference = new InferenceSession(prepared.Model, options);
        var kept = new HashSet<IReadOnlyList<Node>>();
        foreach (IReadOnlyList<Node>[] cluster in Clusters(groups, Candidates(groups, session, reference, inputs, cancellation)))
        {
            QuantizationResult other = groups.Without(kept.Concat(cluster), Reason);
            var challenger = new InferenceSession(other.Model, options);
            (double before, double after) = Compare(session, challenger, inputs, cancellation);
            bool faster = after < before * (1 - Margin);
            prepared.Options.Logger.LogInformation("{Operators}: INT8 {Before:F3} ms, float {After:F3} ms for the whole model; {Decision}", string.Join(", ", cluster.Select(group => group[0].Name)), before, after, faster ? "float" : "INT8");
            if (!faster) continue;
            kept.UnionWith(cluster);
            (best, session) = (other, challenger);
        }
        (double quantized, double single) = Compare(session, reference, inputs, cancellation);
        if (single < quantized * (1 - Margin)) best = groups.Without(groups.All, Reason);
        prepared.Options.Logger.LogInformation("quantized {Quantized:F3} ms, float {Float:F3} ms", quantized, single);
        return best;
    }

    /// <summary>Groups whose operators are not clearly faster as INT8.</summary>
    private static HashSet<IReadOnlyList<Node>> Candidates(OperatorGroups groups, InferenceSession quantized, InferenceSession reference, Tensor[] inputs, CancellationToken cancellation)
    {
        SessionProfile before = reference.Profile(inputs, Rounds, cancellation), after = quantized.Profile(inputs, Rounds, cancellation);
        return [.. groups.All.Where(group => Time(after, group) > ClearlyFaster * Time(before, group))];

        static double Time(SessionProfile profile, IReadOnlyList<Node> group)
        {
            HashSet<string> names = [.. group.SelectMany(node => node.Origins.Append(node.Name))];
            return profile.Operators.Where(op => names.Contains(op.Node) || op.Origins.Any(names.Contains)).Sum(op => op.MeanMilliseconds);
        }
    }

    /// <summary>Candidates that read or feed each other, together; the largest cluster first.</summary>
    private static IEnumerable<IReadOnlyList<Node>[]> Clusters(OperatorGroups groups, HashSet<IReadOnlyList<Node>> candidates)
    {
        Dictionary<Node, IReadOnlyList<Node>> owner = groups.All.SelectMany(group => group.Select(node => (node, group))).ToDictionary(pair => pair.node, pair => pair.group);
        var left = new HashSet<IReadOnlyList<Node>>(candidates);
        var clusters = new List<IReadOnlyList<Node>[]>();
        foreach (IReadOnlyList<Node> start in groups.All.Where(candidates.Contains))
        {
            if (!left.Remove(start)) continue;
            var cluster = new List<IReadOnlyList<Node>> { start };
            for (int i = 0; i < cluster.Count; i++)
            {
                IEnumerable<Node> neighbours = cluster[i].SelectMany(node => node.Inputs.Select(input => input?.Producer).OfType<Node>()
                    .Concat(node.Outputs.OfType<Value>().SelectMany(output => output.Uses.Select(use => use.Node))));
                foreach (Node neighbour in neighbours)
                {
                    if (owner.TryGetValue(neighbour, out IReadOnlyList<Node>? group) && left.Remove(group)) cluster.Add(group);
                }
            }
            clusters.Add([.. cluster]);
        }
        return clusters.OrderByDescending(cluster => cluster.Length);
    }

    /// <summary>The quickest run of each of two sessions in milliseconds, runs alternating.</summary>
    private static (double First, double Second) Compare(InferenceSession first, InferenceSession second, Tensor[] inputs, CancellationToken cancellation)
    {
        Tensor[] firstOutputs = first.CreateOutputs(inputs), secondOutputs = second.CreateOutputs(inputs);
        first.Run(inputs, firstOutputs, cancellation);
        second.Run(inputs, secondOutputs, cancellation);
        (long least, long other) = (long.MaxValue, long.MaxValue);
        for (int round = 0; round < Rounds; round++)
        {
            long start = Stopwatch.GetTimestamp();
            first.Run(inputs, firstOutputs, cancellation);
            long middle = Stopwatch.GetTimestamp();
            second.Run(inputs, secondOutputs, cancellation);
            long end = Stopwatch.GetTimestamp();
            (least, other) = (Math.Min(least, middle - start), Math.Min(other, end - middle));
        }
        return (least * 1000.0 / Stopwatch.Frequency, other * 1000.0 / Stopwatch.Frequency);
    }
}
