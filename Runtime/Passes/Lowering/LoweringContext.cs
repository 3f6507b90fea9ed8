using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>What rules work with: the graph, what is quantized in it, and how to replace nodes so that names and origins stay.</summary>
internal sealed class LoweringContext(Graph graph, PlanOptions options)
{
    private readonly Dictionary<Node, List<string>> _rules = [];

    /// <summary>Changes the graph.</summary>
    public GraphEditor Editor { get; } = new(graph);

    /// <summary>The graph.</summary>
    public Graph Graph { get; } = graph;

    /// <summary>What constants are evaluated with.</summary>
    public PlanOptions Options { get; } = options;

    /// <summary>The rule that is running.</summary>
    public string Rule { get; set; } = "";

    /// <summary>Rules that made <paramref name="node"/>.</summary>
    public IReadOnlyList<string> RulesOf(Node node) => _rules.GetValueOrDefault(node) ?? [];

    /// <summary>Whether the node is QuantizeLinear of either domain.</summary>
    public static bool IsQuantize(Node? node) => node is { OperatorType: "QuantizeLinear" };

    /// <summary>Whether the node is DequantizeLinear of either domain.</summary>
    public static bool IsDequantize(Node? node) => node is { OperatorType: "DequantizeLinear" };

    /// <summary>Whether the node is <paramref name="type"/> of the domain <c>octet</c>.</summary>
    public static bool IsLowered(Node? node, string type) => node is { Domain: Operator.OctetDomain } && node.OperatorType == type;

    /// <summary>Whether the node is QConv, QConvTranspose, QGemm or QMatMul, which share an epilogue.</summary>
    public static bool IsLayer(Node? node) => node is { Domain: Operator.OctetDomain, OperatorType: "QConv" or "QConvTranspose" or "QGemm" or "QMatMul" };

    /// <summary>Whether the node is QAdd, QMul or QDiv.</summary>
    public static bool IsPair(Node? node) => node is { Domain: Operator.OctetDomain, OperatorType: "QAdd" or "QMul" or "QDiv" };

    /// <summary>The float layer that makes <paramref name="value"/> for one reader only, or null.</summary>
    public Node? FloatLayer(Value? value) =>
        value?.Producer is { } node && IsLayer(node) && ReferenceEquals(node.Graph, Graph) && node.Attributes.String("output") == "float32" && value.SingleUse is not null ? node : null;

    /// <summary>A constant scalar of any element count 1, or null.</summary>
    public static float? Scalar(Value? value) => value?.Constant is { Length: 1 } tensor && tensor.Type != DataType.String ? tensor.ToFloat32Array()[0] : null;

    /// <summary>Scale and zero point of a per-tensor 8-bit QuantizeLinear or DequantizeLinear, as stored (int8 zero points not moved), or null.</summary>
    public static Quantization? PerTensor(Node node)
    {
        if (node.Attributes.Int("block_size") != 0 || Scalar(node.Input(1)) is not { } scale || !(scale > 0) || !float.IsFinite(scale)) return null;
        if (node.Input(2) is null) return new Quantization(scale, 0);
        return node.Input(2)!.Constant is { Length: 1 } zero && zero.Type.IsInteger() ? new Quantization(scale, (int)zero.ToInt64Array()[0]) : null;
    }

    /// <summary>The grid of a QuantizeLinear that writes uint8, or null.</summary>
    public static Quantization? QuantizeGrid(Node? node) =>
        IsQuantize(node) && node!.Output.Type.Element == DataType.UInt8 ? PerTensor(node) : null;

    /// <summary>The uint8 tensor (or int8 constant, whose grid is moved to uint8) that <paramref name="value"/> dequantizes, or null.</summary>
    public static QuantizedSource? Source(Value? value)
    {
        if (value?.Producer is not { } node || !IsDequantize(node) || PerTensor(node) is not { } grid || node.Inputs[0] is not { } q) return null;
        if (q.Type.Element == DataType.UInt8) return new QuantizedSource(q, grid);
        return q.Type.Element == DataType.Int8 && q.IsConstant ? new QuantizedSource(q, grid with { ZeroPoint = grid.ZeroPoint + 128 }) : null;
    }

    /// <summary>The bytes of <paramref name="source"/> as uint8; an int8 constant is copied with 128 added.</summary>
    public Value Bytes(QuantizedSource source)
    {
        if (source.Q.Type.Element == DataType.UInt8) return source.Q;
        Tensor tensor = source.Q.Constant!;
        return Editor.AddConstant(source.Q.Name + "/uint8", Options.Weights.Get(tensor, "moved to uint8", () =>
        {
            var bytes = new Tensor(DataType.UInt8, tensor.Shape);
            for (int i = 0; i < bytes.Length; i++) bytes.Span<byte>()[i] = (byte)(tensor.Span<byte>()[i] ^ 0x80);
            return bytes;
        }));
    }

    /// <summary>Why <see cref="Source"/> found nothing; half a sentence.</summary>
    public static string WhyNoSource(Value? value, string what)
    {
        if (value?.Producer is not { } node || !IsDequantize(node)) return $"{what} is not quantized";
        if (node.Attributes.Int("block_size") != 0) return $"{what} is quantized in blocks";
        if (node.Input(1)?.Constant is not { } scale) return $"the scale of {what} is computed at run time";
        if (scale.Length != 1) return $"{what} is quantized per axis";
        if (node.Input(2) is { IsConstant: false }) return $"the zero point of {what} is computed at run time";
        return $"{what} is {node.Inputs[0]?.Type.Element.Name()}, not an 8-bit integer";
    }

    /// <summary>The constant weight behind <paramref name="value"/>.</summary>
    /// <param name="value">A DequantizeLinear of a constant.</param>
    /// <param name="axis">The axis of output channels in the constant.</param>
    /// <param name="weight">Receives it.</param>
    /// <returns>Null where it was found, else why not: half a sentence.</returns>
    public static string? FindWeight(Value? value, int axis, out QuantizedWeight weight)
    {
        weight = default;
        if (value?.Producer is not { } node || !IsDequantize(node)) return value is { IsConstant: true } ? "the weight is not quantized" : "the weight is computed at run time";
        if (node.Inputs[0] is not { Constant: { } w } q) return "the weight is computed at run time";
        if (w.Type is not (DataType.Int8 or DataType.UInt8 or DataType.Int4 or DataType.UInt4 or DataType.Int2 or DataType.UInt2)) return $"the weight is {w.Type.Name()}, not an integer of at most 8 bits";
        if (node.Attributes.Int("block_size") != 0) return "the weight is quantized in blocks";
        if (node.Input(1)?.Constant is not { } scale) return "the weight's scale is computed at run time";
        if (node.Input(2) is { IsConstant: false }) return "the weight's zero point is computed at run time";
        float[] scales = scale.ToFloat32Array();
        if (Array.Exists(scales, s => !(s > 0) || !float.IsFinite(s))) return "a scale of the weight is not a positive number";
        if (scales.Length != 1)
        {
            long declared = node.Attributes.Int("axis", 1);
            if (declared < 0) declared += w.Rank;
            if (declared != axis) return $"the weight is quantized along axis {declared}, not along its output channels";
            if (scales.Length != w.Shape[axis]) return $"the weight has {scales.Length} scales for {w.Shape[axis]} output channels";
        }
        long[] zeros = node.Input(2)?.Constant?.ToInt64Array() ?? [];
        weight = new QuantizedWeight(q, scales, Operators.LayerEpilogue.AreZero(zeros) ? [] : Array.ConvertAll(zeros, zero => (int)zero));
        return null;
    }

    /// <summary>The only node that reads <paramref name="value"/>, if it is of this graph.</summary>
    public Node? OnlyReader(Value value) => value.SingleUse is { } use && ReferenceEquals(use.Node.Graph, Graph) ? use.Node : null;

    /// <summary>Adds a node at <paramref name="place"/> and lets it stand for <paramref name="covers"/>, oldest first.</summary>
    /// <param name="type">Type in the domain <c>octet</c>, or of ONNX's own with <paramref name="domain"/> empty.</param>
    /// <param name="inputs">Inputs.</param>
    /// <param name="attributes">Attributes.</param>
    /// <param name="place">The node in front of which it stands.</param>
    /// <param name="outputType">Type of the output.</param>
    /// <param name="covers">Nodes whose origins and rules it takes over; it is named after the first.</param>
    /// <param name="domain">Domain.</param>
    public Value Add(string type, ReadOnlySpan<Value?> inputs, AttributeMap attributes, Node place, TensorType outputType, ReadOnlySpan<Node> covers, string domain = Operator.OctetDomain)
    {
        Value output = Editor.Add(type, inputs, attributes, domain, covers[0].Name, place, outputType);
        Note(output.Producer!, covers);
        return output;
    }

    /// <summary>Records that a new node stands for <paramref name="covers"/>, oldest first, and was made by the running rule.</summary>
    public void Note(Node node, params ReadOnlySpan<Node> covers)
    {
        var origins = new List<string>();
        var rules = new List<string>();
        foreach (Node covered in covers)
        {
            origins.AddRange(covered.Origins);
            foreach (string rule in RulesOf(covered)) if (!rules.Contains(rule)) rules.Add(rule);
        }
        if (!rules.Contains(Rule)) rules.Add(Rule);
        Editor.SetOrigins(node, origins);
        _rules[node] = rules;
    }

    /// <summary>Adds QTable, or nothing where the table changes nothing.</summary>
    public Value Table(Value q, byte[] table, Node place, ReadOnlySpan<Node> covers) =>
        ByteTables.IsIdentity(table) ? q : Add("QTable", [q], new AttributeMap { ["table"] = Tensor.Create(table, table.Length) }, place, q.Type with { Element = DataType.UInt8 }, covers);

    /// <summary>Adds another single-output node of the same operator and attributes as <paramref name="node"/> on other inputs.</summary>
    public Value Again(Node node, ReadOnlySpan<Value?> inputs, DataType element) =>
        Add(node.OperatorType, inputs, node.Attributes.Copy(), node, node.Output.Type with { Element = element }, [node], node.Domain);

    /// <summary>Adds QuantizeLinear to uint8.</summary>
    public Value Quantize(Value x, Quantization grid, Node place, Node cover) =>
        Add("QuantizeLinear", [x, Editor.AddConstant(cover.Name + "/scale", Tensor.Scalar(grid.Scale)), Editor.AddConstant(cover.Name + "/zero_point", Tensor.Scalar((byte)grid.ZeroPoint))],
            [], place, x.Type with { Element = DataType.UInt8 }, [cover], "");

    /// <summary>Adds DequantizeLinear of uint8.</summary>
    public Value Dequantize(Value q, Quantization grid, Node place, Node cover) =>
        Add("DequantizeLinear", [q, Editor.AddConstant(cover.Name + "/scale", Tensor.Scalar(grid.Scale)), Editor.AddConstant(cover.Name + "/zero_point", Tensor.Scalar((byte)grid.ZeroPoint))],
            [], place, q.Type with { Element = DataType.Float32 }, [cover], "");

    /// <summary>Lets all readers of <paramref name="old"/> read <paramref name="replacement"/> and removes what nobody reads any more.</summary>
    public void Replace(Value old, Value replacement)
    {
        Editor.ReplaceUses(old, replacement);
        if (old.Producer is { } node) RemoveUnread(node);
    }

    /// <summary>Removes <paramref name="node"/> if nobody reads it, and then whatever only it read.</summary>
    public void RemoveUnread(Node node)
    {
        if (!ReferenceEquals(node.Graph, Graph)) return;
        foreach (Value? output in node.Outputs)
        {
            if (output is not null && (output.Uses.Count > 0 || output.IsGraphOutput || ReadBySubgraphOutput(output))) return;
        }
        Value?[] inputs = [.. node.Inputs];
        _rules.Remove(node);
        Editor.Remove(node);
        foreach (Value? input in inputs)
        {
            if (input is null || !ReferenceEquals(input.Graph, Graph)) continue;
            if (input.Producer is { } producer) RemoveUnread(producer);
            else if (input.IsConstant && input.Uses.Count == 0 && !input.IsGraphOutput && !input.IsGraphInput && !ReadBySubgraphOutput(input)) Editor.Remove(input);
        }
    }

    private bool ReadBySubgraphOutput(Value value)
    {
        foreach (Node node in Graph.Nodes)
        {
            foreach (Graph inner in node.Attributes.Subgraphs)
            {
                if (inner.Captures().Contains(value)) return true;
            }
        }
        return false;
    }

    /// <summary>Runs one node on actual tensors.</summary>
    public Tensor Evaluate(Node node, params RuntimeValue?[] inputs) =>
        (Tensor)OperatorTable.Require(node).Evaluate(new EvaluateContext(node, inputs, Options, Parallelism.None))[0]!;
}
