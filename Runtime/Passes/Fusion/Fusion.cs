using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;

namespace Octet.Runtime.Passes;

/// <summary>The fusion rules, in the order in which they are tried.</summary>
internal static class Fusions
{
    /// <summary>Rules whose result is standard ONNX again: the quantizer runs them on the graph that it exports.</summary>
    public static IReadOnlyList<RewriteRule> Portable { get; } =
    [
        new FoldBatchNormIntoConv(),
        new FoldBatchNormIntoGemm(),
        new FoldScaleIntoConv(),
        new FoldAddendIntoConv(),
        new FoldPadIntoConv(),
        new FoldPadIntoPool(),
        new MatMulAddToGemm(),
        new RecognizeLayerNorm(),
        new RecognizeGelu(),
        new MergeReshapes(),
        new MergeTransposes(),
    ];

    /// <summary>Rules towards operators of the domain <c>octet</c>, for plans.</summary>
    public static IReadOnlyList<RewriteRule> Plan { get; } =
    [
        new RecognizeSwish(),
        new RecognizeHardSwish(),
        new RecognizeGeluAsActivation(),
        new RecognizeLayerNormInPlan(),
        new RecognizeMish(),
        new RecognizeLogSigmoid(),
        new FusePowMul(),
        new RecognizeSquare(),
        new RecognizeChannelSplit(),
        new BatchNormAsDepthwise(),
        new PlanConv(),
        new PlanConvTranspose(),
        new PlanFusedConv(),
        new PlanConvInteger(),
        new FuseBiasIntoConvInteger(),
        new PlanGemm(),
        new PlanMatMul(),
        new FuseBiasIntoProduct(),
        new FuseActivation(),
        new FuseSum(),
        new FuseTransposeIntoMatMul(),
        new FuseScaleIntoMatMul(),
        new FuseOperandScaleIntoMatMul(),
        new FuseAttention(),
        new FuseTransposeIntoAttention(),
        new FuseTransposeAfterAttention(),
    ];
}

/// <summary>Runs the fusion rules over a graph and its subgraphs.</summary>
internal static class Fusion
{
    /// <summary>All rules: the portable ones to their end, then those for plans. Types are those of a plan, and stay known.</summary>
    /// <param name="graph">The graph; its types are inferred.</param>
    /// <param name="options">Which rules are off, which values are watched.</param>
    /// <param name="report">Receives what was done and refused.</param>
    public static void Run(Graph graph, RewriteOptions options, ICollection<RewriteReport>? report = null)
    {
        RunPortable(graph, options, report);
        Apply(Fusions.Plan, graph, options, report);
    }

    /// <summary>Only the rules whose result is standard ONNX.</summary>
    public static void RunPortable(Graph graph, RewriteOptions options, ICollection<RewriteReport>? report = null) => Apply(Fusions.Portable, graph, options, report);

    private static void Apply(IReadOnlyList<RewriteRule> rules, Graph graph, RewriteOptions options, ICollection<RewriteReport>? report)
    {
        if (!new Rewriter(rules).Run(graph, options, report)) return;
        Cleanup.RemoveDead(new GraphEditor(graph));
        TypeInference.Run(graph);
    }
}
