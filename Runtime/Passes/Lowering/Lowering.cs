using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>DequantizeLinear → operator → QuantizeLinear</c>, and the QOperator forms, become integer operators of the domain <c>octet</c>.</summary>
/// <remarks>
/// The result equals the scalar integer definition of docs/numerics.md. Against computing the same graph in float it may differ by one step where a value
/// lies on a tie between two steps. Start reading at <see cref="Rules"/>.
/// </remarks>
internal static class Lowering
{
    /// <summary>Every rule, in the order in which a node meets them.</summary>
    public static IReadOnlyList<LoweringRule> Rules { get; } =
    [
        new ExpandQOperator(),
        new FoldWeightMovement(),
        new StoreAsUInt8(),
        new CancelFlips(),
        new MoveFlipDown(),
        new MergeTwins(),
        new CancelQuantize(),
        new MoveDequantizeDown(),
        new AlignConcat(),
        new MoveQuantizeUp(),
        new QuantizePointwise(),
        new QuantizePerChannel(),
        new QuantizeConvolution(),
        new QuantizeTransposedConvolution(),
        new QuantizeProduct(),
        new QuantizeComputedProduct(),
        new QuantizeRecurrent(),
        new FuseRunTimeProduct(),
        new BiasInEpilogue(),
        new ScaleInEpilogue(),
        new SumInEpilogue(),
        new FloatSumInEpilogue(),
        new ClampInEpilogue(),
        new QuantizeOutput(),
        new QuantizePair(),
        new AddDequantized(),
        new QuantizeAverage(),
        new ComposeTables(),
        new TableOfOneSource(),
        new TableInEpilogue(),
        new AddInEpilogue(),
        new StoreFromZero(),
    ];

    /// <summary>Passes over the graph after which a fixed point counts as unreachable; real models need three or four.</summary>
    private const int MostRounds = 64;

    private const int LastPhase = 3;

    /// <summary>Lowers <paramref name="graph"/> and its subgraphs in place. Types must be inferred; shapes should be concrete.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="options">What tables and folded constants are computed with.</param>
    /// <param name="report">Receives what was done and why the rest was not.</param>
    public static void Run(Graph graph, PlanOptions options, LoweringReport report)
    {
        foreach (Graph inner in graph.Nodes.SelectMany(node => node.Attributes.Subgraphs).ToArray()) Run(inner, options, report);
        var context = new LoweringContext(graph, options);
        var refused = new Dictionary<Node, (string Rule, string Reason)>();
        if (HasQuantization(graph)) ToFixedPoint(context, report, refused);
        RestoreNames(context);
        ChannelsLast.Run(context);
        context.Editor.Sort();
        foreach ((Node node, (string rule, string reason)) in refused)
            if (graph.Nodes.Contains(node)) report.AddRefused(rule, node, reason);
        foreach (Node node in graph.Nodes) report.Add(Explain(node, context, refused));
#if DEBUG
        if (graph.Parent is null) GraphVerifier.Verify(graph);
#endif
    }

    /// <summary>Whether something in the graph itself is quantized.</summary>
    public static bool HasQuantization(Graph graph) => graph.Nodes.Any(IsQuantized);

    private static void ToFixedPoint(LoweringContext context, LoweringReport report, Dictionary<Node, (string Rule, string Reason)> refused)
    {
        for (int phase = 0; phase <= LastPhase; phase++)
            ToFixedPoint(context, report, refused, [.. Rules.Where(rule => rule.Phase <= phase && !report.Disabled.Contains(rule.Name))]);
    }

    private static void ToFixedPoint(LoweringContext context, LoweringReport report, Dictionary<Node, (string Rule, string Reason)> refused, LoweringRule[] rules)
    {
        for (int round = 0; round < MostRounds; round++)
        {
            bool changed = false;
            refused.Clear();
            foreach (Node node in context.Graph.Nodes.ToArray())
            {
                foreach (LoweringRule rule in rules)
                {
                    if (node.Outputs.Count == 0) break;   // an earlier rule of this round removed the node
                    if (!IsAlive(node)) break;
                    context.Rule = rule.Name;
                    LoweringResult result = rule.Apply(node, context);
                    if (result.Reason is { } reason && !refused.ContainsKey(node)) refused[node] = (rule.Name, reason);
                    if (!result.Applied) continue;
                    report.AddApplied(rule.Name, node);
                    changed = true;
                }
            }
            if (!changed) return;
        }
        throw new InvalidOperationException($"the lowering of graph '{context.Graph.Name}' did not come to rest in {MostRounds} rounds");
    }

    /// <summary>A removed node has lost its inputs and its outputs are no values of the graph any more.</summary>
    private static bool IsAlive(Node node)
    {
        foreach (Value? output in node.Outputs)
        {
            if (output is not null && ReferenceEquals(node.Graph.Find(output.Name), output)) return true;
        }
        return false;
    }

    private static bool IsQuantized(Node node) => LoweringContext.IsQuantize(node) || LoweringContext.IsDequantize(node) || node.OperatorType == "DynamicQuantizeLinear" || node.OperatorType.StartsWith("QLinear", StringComparison.Ordinal) || node.OperatorType == "QGemm";

    /// <summary>A node that stands for an original one gets that one's name back, where nobody else has it.</summary>
    private static void RestoreNames(LoweringContext context)
    {
        foreach (Node node in context.Graph.Nodes)
        {
            if (node.Domain == Operator.OctetDomain && node.Origins.Count > 0) context.Editor.Rename(node, node.Origins[0]);
        }
    }

    private static NodeExplanation Explain(Node node, LoweringContext context, Dictionary<Node, (string Rule, string Reason)> refused)
    {
        IReadOnlyList<string> rules = context.RulesOf(node);
        NodeForm form = FormOf(node);
        string reason = form switch
        {
            NodeForm.Float => refused.TryGetValue(node, out (string Rule, string Reason) refusal) ? refusal.Reason : WhyFloat(node),
            NodeForm.Boundary => WhyBoundary(node),
            NodeForm.Movement => rules.Count > 0 ? "" : "it moves bytes in the model itself",
            _ => rules.Count > 0 ? "" : "an integer operator of the model itself",
        };
        return new NodeExplanation(node.Name, node.QualifiedType, node.Origins, form, rules, reason);
    }

    private static NodeForm FormOf(Node node)
    {
        if (LoweringContext.IsQuantize(node) || LoweringContext.IsDequantize(node) || node.OperatorType is "DynamicQuantizeLinear" || LoweringContext.IsLowered(node, DequantizeAdd.Type)) return NodeForm.Boundary;
        if (LoweringContext.IsLayer(node) || LoweringContext.IsPair(node)) return NodeForm.Integer;
        if (node.Domain == Operator.OctetDomain && node.OperatorType is "QAveragePool" or "QGlobalAveragePool" or "QTable" or "FlipSign") return NodeForm.Integer;
        if (node.OperatorType.StartsWith("QLinear", StringComparison.Ordinal) || node.OperatorType is "QGemm" or "ConvInteger" or "MatMulInteger" or "MatMulIntegerToFloat" or "DynamicQuantizeMatMul" or "DynamicQuantizeLSTM" or DynamicQuantizeGru.Type or DynamicQuantizeRnn.Type) return NodeForm.Integer;
        if (Movements.Is(node) && node.Inputs[0]?.Type.Element is DataType.UInt8 or DataType.Int8) return NodeForm.Movement;
        return NodeForm.Float;
    }

    private static string WhyBoundary(Node node)
    {
        if (!LoweringContext.IsDequantize(node) && !LoweringContext.IsLowered(node, DequantizeAdd.Type))
            return node.Inputs[0] is { Producer: { } maker } ? $"real values of {maker.QualifiedType} become integers" : "the model's real input becomes integers";
        string[] readers = [.. node.Output.Uses.Select(use => use.Node.QualifiedType).Distinct()];
        return readers.Length == 0 ? "the model returns real values" : $"{string.Join(", ", readers)} reads real values";
    }

    private static string WhyFloat(Node node)
    {
        Value? data = node.Inputs.FirstOrDefault(input => input is { IsConstant: false });
        if (data is not null && data.Type.Element is not (DataType.Float32 or DataType.Float16 or DataType.Float64 or DataType.BFloat16 or DataType.Undefined)) return $"works on {data.Type.Element.Name()} values that are not quantized";
        bool quantizedInput = node.Inputs.Any(input => LoweringContext.IsDequantize(input?.Producer));
        if (Movements.Is(node)) return quantizedInput ? "not all of its inputs are quantized" : "its data is not quantized";
        if (QuantizePointwise.IsPointwise(node)) return quantizedInput ? "its result is not quantized, or depends on more than one tensor" : "its data is not quantized";
        return $"{node.QualifiedType} has no integer form";
    }
}
