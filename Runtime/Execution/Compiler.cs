using System.Diagnostics;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Passes;
using Octet.Runtime.Rewriting;

namespace Octet.Runtime.Execution;

/// <summary>From a portable graph and input types to a plan; the order of passes is docs/architecture.md's data flow.</summary>
internal static class Compiler
{
    /// <summary>
    /// Does once for all input shapes what does not depend on them: simplifies a copy of a float graph and applies the portable fusions, so that weights they fold are the same tensors,
    /// packed once, in every plan. A graph with quantization stays as it is: lowering recognizes its patterns before anything is fused, and its weights are constants already.
    /// </summary>
    /// <param name="template">The portable graph; not changed.</param>
    /// <param name="options">The session's options.</param>
    /// <param name="planOptions">What plans are made for.</param>
    public static PreparedGraph Prepare(Graph template, SessionOptions options, PlanOptions planOptions)
    {
        if (!options.Fuse || Lowering.HasQuantization(template)) return new(template, []);
        Graph graph = template.Clone();
        ForgetShapes(graph, new GraphEditor(graph));
        var reports = new List<RewriteReport>();
        try
        {
            Simplifier.Run(graph, planOptions, options.DisabledRules);
            Fusion.RunPortable(graph, new RewriteOptions { Disabled = options.DisabledRules, Observed = options.KeepValues }, reports);
        }
        catch (OctetException)
        {
            // A node is wrong, or wrong for unknown extents only: compiling for the caller's extents says which.
            return new(template, []);
        }
        return new(graph, [.. reports.Where(report => report.Applied)]);
    }

    /// <summary>Compiles a copy of <paramref name="prepared"/>.</summary>
    /// <param name="prepared">The portable graph; not changed.</param>
    /// <param name="inputTypes">Types of the caller's inputs; null for one left out.</param>
    /// <param name="options">The session's options.</param>
    /// <param name="planOptions">What the plan is made for.</param>
    public static Plan Compile(PreparedGraph prepared, TensorType?[] inputTypes, SessionOptions options, PlanOptions planOptions)
    {
        long start = Stopwatch.GetTimestamp();
        Graph graph = prepared.Graph.Clone();
        var editor = new GraphEditor(graph);
        for (int i = 0; i < inputTypes.Length; i++)
        {
            if (inputTypes[i] is { } type && !graph.Inputs[i].IsConstant) editor.SetType(graph.Inputs[i], type);
        }
        ForgetShapes(graph, editor);

        Simplifier.Run(graph, planOptions, options.DisabledRules);
        if (PromoteHalf.Run(graph, planOptions)) Simplifier.Run(graph, planOptions, options.DisabledRules);
        var report = new CompileReport();
        report.Rewrites.AddRange(prepared.Rewrites);
        KeptValues? kept = null;
        if (options.Lower)
        {
            // In float graphs the fusions alone look after the kept values, and nothing is laid out otherwise for their sake.
            if (options.KeepValues.Count > 0 && Lowering.HasQuantization(graph)) kept = KeptValues.Hold(graph, options.KeepValues);
            report.Lowering = new LoweringReport { Disabled = options.DisabledRules };
            Lowering.Run(graph, planOptions, report.Lowering);
        }
        DequantizedWeights.Fold(graph, planOptions, options.KeepValues);
        if (options.Fuse) Fusion.Run(graph, new RewriteOptions { Disabled = options.DisabledRules, Observed = options.KeepValues }, report.Rewrites);
        if (options.ChannelsLast) Layout.Run(graph);
        kept?.Release();
        report.Elapsed = Stopwatch.GetElapsedTime(start);
        return PlanBuilder.Build(graph, planOptions, report, inputTypes, inner => new GraphRunner(inner, options, planOptions));
    }

    /// <summary>Declared shapes of inner values may be of another batch than this one: they are inferred anew.</summary>
    private static void ForgetShapes(Graph graph, GraphEditor editor)
    {
        foreach (Node node in graph.AllNodes())
        {
            if (OperatorTable.Find(node) is null) continue;
            foreach (Value? output in node.Outputs)
            {
                if (output is not null) editor.SetType(output, output.Type with { Shape = null });
            }
        }
    }
}

/// <summary>A portable graph that plans are compiled from.</summary>
/// <param name="Graph">The graph.</param>
/// <param name="Rewrites">Fusions that were applied to it already.</param>
internal sealed record PreparedGraph(Graph Graph, IReadOnlyList<RewriteReport> Rewrites);
