using Octet.Cli.Datasets;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Cli.Evaluation;

/// <summary>What evaluating a model on a dataset gives.</summary>
/// <param name="Samples">Samples run.</param>
/// <param name="Top1">Share of samples whose label has the highest score; null without labels.</param>
/// <param name="Top5">Share of samples whose label is among the five highest scores; null without labels.</param>
/// <param name="MeanLatencyMs">Mean time of one run, plan making excluded; null where every run made a plan.</param>
/// <param name="Agreement">Share of samples for which the other model's highest score is the same class; null without another model or without labels.</param>
/// <param name="Outputs">Outputs compared with the other model's, by name; null without another model.</param>
/// <param name="Expected">Outputs compared with those that the dataset expects, by name; null where it expects none.</param>
internal sealed record Evaluation(int Samples, double? Top1, double? Top5, double? MeanLatencyMs, double? Agreement,
    IReadOnlyDictionary<string, OutputDifference>? Outputs, IReadOnlyDictionary<string, OutputDifference>? Expected);

/// <summary>Runs a model on a dataset, judges it, and compares it with another.</summary>
internal static class Evaluator
{
    /// <summary>Evaluates.</summary>
    /// <param name="dataset">The samples.</param>
    /// <param name="session">The model.</param>
    /// <param name="against">The model to compare with, the reference of the differences; or null.</param>
    /// <param name="limit">Samples at most.</param>
    /// <param name="progress">Receives samples done and samples in all.</param>
    /// <param name="cancellation">Ends it between two operators.</param>
    /// <exception cref="DataException">The dataset does not fit, or the two models do not.</exception>
    public static Evaluation Run(Dataset dataset, InferenceSession session, InferenceSession? against, int? limit, Action<long, long>? progress, CancellationToken cancellation)
    {
        DatasetBinding binding = dataset.Bind(session);
        int? scores = binding.Scores is null ? null : IndexOf(session, binding.Scores.Name);
        (int Own, int Other)[] pairs = against is null ? [] : Pair(session, against);
        var runner = new SampleRunner(session);
        SampleRunner? other = against is null ? null : new SampleRunner(against);
        var differences = pairs.Select(_ => new OutputDifference()).ToArray();
        var expected = new Dictionary<string, OutputDifference>(StringComparer.Ordinal);
        long total = Math.Min(binding.Count, limit ?? long.MaxValue);
        int samples = 0, first = 0, fifth = 0, agreed = 0, timed = 0;
        double milliseconds = 0;
        foreach (Sample sample in binding.Samples())
        {
            if (samples == total) break;
            cancellation.ThrowIfCancellationRequested();
            Tensor[] outputs = runner.Run(sample.Inputs, cancellation);   // the first run makes the plan; its time is not a latency
            if (samples == 0) outputs = runner.Run(sample.Inputs, cancellation);
            if (!runner.WasFirst)
            {
                milliseconds += runner.Elapsed.TotalMilliseconds;
                timed++;
            }
            float[]? ranked = scores is { } index ? Ranking.Scores(binding.Scores!.Name, outputs[index]) : null;
            if (ranked is not null && sample.Label is { } label)
            {
                int position = Ranking.Position(ranked, label, sample.Source);
                if (position < 1) first++;
                if (position < 5) fifth++;
            }
            foreach ((string name, Tensor reference) in sample.Expected)
            {
                if (!expected.TryGetValue(name, out OutputDifference? difference)) expected.Add(name, difference = new OutputDifference());
                difference.Add(name, outputs[IndexOf(session, name)], reference);
            }
            if (other is not null)
            {
                Tensor[] references = other.Run(Rename(sample.Inputs, session, against!), cancellation);
                for (int p = 0; p < pairs.Length; p++) differences[p].Add(session.Outputs[pairs[p].Own].Name, outputs[pairs[p].Own], references[pairs[p].Other]);
                if (ranked is not null)
                {
                    int pair = Array.FindIndex(pairs, pair => pair.Own == scores);
                    if (Ranking.Best(ranked) == Ranking.Best(Ranking.Scores(binding.Scores!.Name, references[pairs[pair].Other]))) agreed++;
                }
            }
            progress?.Invoke(++samples, total);
        }
        double? Share(int count) => dataset.IsClassification ? (double)count / samples : null;
        return new Evaluation(samples, Share(first), Share(fifth), timed > 0 ? milliseconds / timed : null, against is null ? null : Share(agreed),
            against is null ? null : pairs.Select((pair, p) => (session.Outputs[pair.Own].Name, differences[p])).ToDictionary(entry => entry.Name, entry => entry.Item2, StringComparer.Ordinal),
            expected.Count == 0 ? null : expected);
    }

    private static int IndexOf(InferenceSession session, string output)
    {
        for (int i = 0; i < session.Outputs.Count; i++)
        {
            if (session.Outputs[i].Name == output) return i;
        }
        throw new DataException($"the model has no output '{output}'; its outputs are {Names(session.Outputs)}; rule: output names are the model's");
    }

    /// <summary>Outputs to compare: equal names, or positions where the names differ and the counts do not.</summary>
    private static (int Own, int Other)[] Pair(InferenceSession session, InferenceSession against)
    {
        if (session.Inputs.Count != against.Inputs.Count)
            throw new DataException($"the models have {session.Inputs.Count} and {against.Inputs.Count} inputs: {Names(session.Inputs)} and {Names(against.Inputs)}; rule: compared models take the same inputs");
        string[] others = [.. against.Outputs.Select(output => output.Name)];
        if (session.Outputs.All(output => others.Contains(output.Name)))
            return [.. session.Outputs.Select((output, own) => (own, Array.IndexOf(others, output.Name)))];
        if (session.Outputs.Count != others.Length)
            throw new DataException($"the models have the outputs {Names(session.Outputs)} and {Names(against.Outputs)}; rule: compared outputs have the same names, or the same number");
        return [.. Enumerable.Range(0, others.Length).Select(i => (i, i))];
    }

    /// <summary>The sample under the other model's input names: equal names, or by position.</summary>
    private static IReadOnlyDictionary<string, Tensor> Rename(IReadOnlyDictionary<string, Tensor> inputs, InferenceSession session, InferenceSession against)
    {
        if (against.Inputs.All(input => inputs.ContainsKey(input.Name))) return inputs;
        var renamed = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        for (int i = 0; i < against.Inputs.Count; i++) renamed.Add(against.Inputs[i].Name, inputs[session.Inputs[i].Name]);
        return renamed;
    }

    private static string Names(IEnumerable<ValueInfo> values) => string.Join(", ", values.Select(value => $"'{value.Name}' {value.Type}"));
}
