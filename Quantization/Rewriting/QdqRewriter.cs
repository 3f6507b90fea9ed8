using System.Globalization;
using Octet.Quantization.Accuracy;
using Octet.Quantization.Calibration;
using Octet.Quantization.Marking;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Rewriting;

/// <summary>
/// Rewrites a prepared graph to standard QDQ form: every activation that a quantized operator reads goes through QuantizeLinear and DequantizeLinear, weights become int8 and biases int32
/// constants behind a DequantizeLinear.
/// </summary>
/// <remarks>
/// An activation right after its only producer (Conv → Relu) gets no pair in between, and a result that only float operators read gets none either. Operators that only move elements, and Concat,
/// share one grid with their inputs.
/// </remarks>
internal sealed class QdqRewriter
{
    private readonly Graph _graph;
    private readonly GraphEditor _editor;
    private readonly Dictionary<Node, Marker.Mark> _marks;
    private readonly Dictionary<Node, Node> _merged;
    private readonly QuantizationOptions _options;
    private readonly List<string> _warnings;
    private readonly InputMeans? _means;
    private readonly Dictionary<string, Value> _shared = new(StringComparer.Ordinal);
    private int _made;
    private readonly List<Node> _redundant = [];
    private readonly Dictionary<Value, Value> _quantized = [];      // activation → its dequantized form
    private readonly Dictionary<(Tensor, int, float, string), (Value Dequantized, QuantizedWeight Weight)> _weights = [];

    private QdqRewriter(Graph graph, Dictionary<Node, Marker.Mark> marks, QuantizationOptions options, List<string> warnings, InputMeans? means)
    {
        (_graph, _editor, _marks, _options, _warnings, _means) = (graph, new GraphEditor(graph), marks, options, warnings, means);
        _merged = Merged(graph, marks);   // as long as weights and biases are constants
    }

    /// <summary>The activations that need a range: what quantized operators read, constants and values inside a merged pair excepted.</summary>
    public static IReadOnlyList<Value> Activations(Graph graph, Dictionary<Node, Marker.Mark> marks)
    {
        var values = new List<Value>();
        var seen = new HashSet<Value>();
        Dictionary<Node, Node> merged = Merged(graph, marks);
        foreach (Node node in graph.Nodes)
        {
            if (marks[node].Operator is not { } row || merged.ContainsKey(node)) continue;
            foreach (Value value in Marker.DataOf(node, row))
            {
                if (!value.IsConstant && seen.Add(value)) values.Add(value);
            }
        }
        return values;
    }

    /// <summary>
    /// The activations that need no observing, each with those whose ranges make up its own: what an operator that only moves elements, or Concat, makes of activations holds no other values than they.
    /// </summary>
    /// <remarks>Not where an input is a constant: what a lookup in a table gives may be far less than the table holds.</remarks>
    public static Dictionary<string, string[]> Moved(IReadOnlyList<Value> activations, Dictionary<Node, Marker.Mark> marks)
    {
        var known = activations.ToHashSet();
        var moved = new Dictionary<string, string[]>(StringComparer.Ordinal);
        foreach (Value value in activations)
        {
            if (value.Producer is not { } producer || !marks.TryGetValue(producer, out Marker.Mark mark) || mark.Operator is not { Grid: Grid.Same } row) continue;
            Value[] data = [.. Marker.DataOf(producer, row)];
            if (data.Length > 0 && data.All(known.Contains)) moved.Add(value.Name, [.. data.Select(input => input.Name)]);
        }
        return moved;
    }

    /// <summary>Rewrites <paramref name="graph"/> in place.</summary>
    /// <param name="graph">The prepared graph.</param>
    /// <param name="marks">What is quantized.</param>
    /// <param name="ranges">Range of every activation; null to quantize activations by their range at run time.</param>
    /// <param name="options">Types and granularity.</param>
    /// <param name="warnings">Receives what the user should know.</param>
    /// <param name="means">Means of activations, to correct biases with; null for not.</param>
    public static void Run(Graph graph, Dictionary<Node, Marker.Mark> marks, IReadOnlyDictionary<string, CalibrationRange>? ranges, QuantizationOptions options, List<string> warnings, InputMeans? means = null) =>
        new QdqRewriter(graph, marks, options, warnings, means).Run(ranges);

    /// <summary>
    /// The nodes that become part of the operator in front, each with that operator: a bias behind a product with a constant matrix, and a clamp behind it or behind a layer or sum. Nothing is quantized in between.
    /// </summary>
    internal static Dictionary<Node, Node> Merged(Graph graph, Dictionary<Node, Marker.Mark> marks)
    {
        var merged = new Dictionary<Node, Node>();
        foreach (Node node in graph.Nodes)
        {
            if (marks[node].Operator is not { } row || Front(node, row) is not { } front || marks.GetValueOrDefault(front).Operator is null) continue;
            merged.Add(node, merged.GetValueOrDefault(front, front));
        }
        return merged;
    }

    private static Node? Front(Node node, QuantizableOperator row)
    {
        if (row.Type is "Relu" or "Clip")
            return node.Inputs[0] is { Producer: { OperatorType: "Conv" or "ConvTranspose" or "Gemm" or "MatMul" or "Add" or "Sub" or "Mul" or "Div" or "BatchNormalization" } front, SingleUse: not null } ? front : null;
        if (row.Type != "Add") return null;
        for (int side = 0; side < 2; side++)
        {
            if (node.Inputs[side] is { Producer: { OperatorType: "MatMul" } product, SingleUse: not null } && product.Inputs[1]!.Constant is { } weight
                && node.Inputs[1 - side]?.Constant is { Rank: > 0 } bias && bias.Length == weight.Shape[^1] && bias.Shape[^1] == bias.Length && bias.Rank <= node.Inputs[side]!.Type.Rank) return product;
        }
        return null;
    }

    private void Run(IReadOnlyDictionary<string, CalibrationRange>? ranges)
    {
        if (ranges is null)
        {
            new RunTimeRewriter(_editor, _options.Granularity).Run(_marks, node => QuantizeWeights(node, _marks[node].Operator!));
            _editor.Sort();
            RemoveUnread();
            return;
        }
        foreach ((Value value, GridParameters grid) in Grids(Activations(_graph, _marks), ranges))
        {
            _quantized[value] = Quantize(value, grid);
            RemoveRedundantClip(value, grid);
        }

        foreach (Node node in _graph.Nodes.ToArray())
        {
            if (!_marks.TryGetValue(node, out Marker.Mark mark)) continue;
            if (mark.Stored is { } stored) QuantizeWeights(node, stored);
            if (mark.Operator is not { } row || _merged.ContainsKey(node)) continue;
            Value[] data = [.. Marker.DataOf(node, row)];
            for (int i = 0; i < node.Inputs.Count; i++)
            {
                if (node.Inputs[i] is not { } input || !data.Contains(input) || (row.DataInputs is not null && !row.DataInputs.Contains(i))) continue;
                if (input.IsConstant) _editor.SetInput(node, i, QuantizeConstant(input));
                else if (_quantized.TryGetValue(input, out Value? dequantized)) _editor.SetInput(node, i, dequantized);
            }
            QuantizeWeights(node, row);
        }
        RedirectFloatReaders();
        foreach (Node clip in _redundant)
        {
            // The value keeps the name under which its range was calibrated.
            (Value source, string name) = (clip.Inputs[0]!, clip.Output.Name);
            _editor.ReplaceUses(clip.Output, source);
            _editor.Remove(clip);
            _editor.Rename(source, name);
        }
        _editor.Sort();
        RemoveUnread();
    }

    /// <summary>
    /// Removes a Clip whose bounds quantize to the ends of its output's grid: saturation gives every value outside the same integer. (A bound such as 6 and the grid's end
    /// 255 · scale differ in the last bit, which keeps other runtimes from seeing this.)
    /// </summary>
    private void RemoveRedundantClip(Value value, GridParameters grid)
    {
        if (value.Producer is not { OperatorType: "Clip" } clip || !_merged.ContainsKey(clip) || value.IsGraphOutput) return;
        (int least, int greatest) = grid.Type == DataType.UInt8 ? (0, 255) : (-128, 127);
        bool low = clip.Input(1)?.Constant is not { } min || MathF.Round(min.Span<float>()[0] / grid.Scale) + grid.ZeroPoint <= least;
        bool high = clip.Input(2)?.Constant is not { } max || MathF.Round(max.Span<float>()[0] / grid.Scale) + grid.ZeroPoint >= greatest;
        // Float readers see the grid's values, not the clip's, as soon as the pair stands between (see RedirectFloatReaders).
        if (low && high) _redundant.Add(clip);
    }

    /// <summary>Who reads the result of a quantized operator reads what its integers mean, so that the operator's output exists only once.</summary>
    private void RedirectFloatReaders()
    {
        foreach ((Value value, Value dequantized) in _quantized)
        {
            if (value.Producer is not { } producer || !Ends(producer)) continue;
            Node quantizer = dequantized.Producer!.Inputs[0]!.Producer!;
            foreach (Use use in value.Uses.ToArray())
            {
                if (!ReferenceEquals(use.Node, quantizer) && !_marks.GetValueOrDefault(use.Node).ReadsReal) _editor.SetInput(use.Node, use.Index, dequantized);
            }
            for (int o = 0; o < _graph.Outputs.Count; o++)
            {
                if (ReferenceEquals(_graph.Outputs[o], value)) _editor.SetOutput(o, dequantized);
            }
        }
    }

    private bool Ends(Node producer) => _marks.TryGetValue(producer, out Marker.Mark mark) && mark.Operator is not null;

    private IEnumerable<(Value, GridParameters)> Grids(IReadOnlyList<Value> activations, IReadOnlyDictionary<string, CalibrationRange> ranges)
    {
        var known = new Dictionary<Value, CalibrationRange>();
        foreach (Value value in activations)
        {
            if (ranges.TryGetValue(value.Name, out CalibrationRange range)) known[value] = range;
            else _warnings.Add($"'{value.Name}' has no calibrated range; it stays float");
        }
        Dictionary<Value, Value> shared = SharedGrids(known.Keys);
        var union = new Dictionary<Value, CalibrationRange>();
        foreach ((Value value, CalibrationRange range) in known)
        {
            Value group = shared[value];
            union[group] = union.TryGetValue(group, out CalibrationRange other) ? other.Union(range) : range;
        }
        foreach (Value value in known.Keys.ToArray()) yield return (value, GridParameters.For(union[shared[value]], _options.Type));
    }

    /// <summary>Groups of activations that must have one grid: input and output of an operator that only moves elements; the inputs of a Concat that nobody else reads, with its output.</summary>
    private Dictionary<Value, Value> SharedGrids(IEnumerable<Value> values)
    {
        var parent = values.ToDictionary(value => value);
        Value Root(Value value)
        {
            while (!ReferenceEquals(parent[value], value)) value = parent[value] = parent[parent[value]];
            return value;
        }
        foreach (Node node in _graph.Nodes)
        {
            if (_marks[node].Operator is not { Grid: Grid.Same } row) continue;
            foreach (Value output in node.Outputs.OfType<Value>())
            {
                foreach (Value input in Marker.DataOf(node, row))
                {
                    if (!parent.ContainsKey(input) || !parent.ContainsKey(output)) continue;
                    if (row.Type == "Concat" && input.Uses.Any(use => _marks.GetValueOrDefault(use.Node).Operator is not { Grid: Grid.Same })) continue;
                    parent[Root(input)] = Root(output);
                }
            }
        }
        return parent.Keys.ToArray().ToDictionary(value => value, Root);
    }

    private Value Quantize(Value value, GridParameters grid)
    {
        (Value scale, Value zeroPoint) = Parameters(grid);
        Value quantized = Made("QuantizeLinear", [value, scale, zeroPoint], "q", value.Type with { Element = grid.Type });
        return Made("DequantizeLinear", [quantized, scale, zeroPoint], "dq", value.Type);
    }

    private (Value Scale, Value ZeroPoint) Parameters(GridParameters grid) =>
        (Shared("s", Tensor.Scalar(grid.Scale)), ZeroPoint(grid.Type == DataType.UInt8 ? Tensor.Scalar((byte)grid.ZeroPoint) : Tensor.Scalar((sbyte)grid.ZeroPoint)));

    /// <summary>ONNX Runtime turns int8 tensors to uint8 under names that it derives from their zero points', so each int8 tensor needs one of its own.</summary>
    private Value ZeroPoint(Tensor tensor) => tensor.Type == DataType.UInt8 ? Shared("z", tensor) : _editor.AddConstant("zi" + (_made++).ToString(CultureInfo.InvariantCulture), tensor);

    /// <summary>A constant of which nothing but the content matters: equal ones are one.</summary>
    private Value Shared(string letter, Tensor tensor)
    {
        string key = $"{tensor.Type} {Tensor.Format(tensor.Shape)} {Convert.ToBase64String(tensor.Bytes.Span)}";
        if (!_shared.TryGetValue(key, out Value? value)) _shared.Add(key, value = _editor.AddConstant(letter + _shared.Count.ToString(CultureInfo.InvariantCulture), tensor));
        return value;
    }

    private Value QuantizeConstant(Value constant)
    {
        if (_quantized.TryGetValue(constant, out Value? known)) return known;
        ReadOnlySpan<float> x = constant.Constant!.Span<float>();
        (float min, float max) = x.Length == 0 ? (0, 0) : Extremes.Of(x);
        GridParameters grid = GridParameters.For(new CalibrationRange(min, max), _options.Type);
        Tensor integers = new(grid.Type, constant.Constant.Shape);
        Span<byte> q = integers.Bytes.Span;
        for (int i = 0; i < x.Length; i++)
        {
            float rounded = MathF.Round(x[i] / grid.Scale) + grid.ZeroPoint;
            q[i] = grid.Type == DataType.UInt8 ? (byte)Math.Clamp(rounded, 0, 255) : (byte)(sbyte)Math.Clamp(rounded, -127, 127);
        }
        Value quantized = _editor.AddConstant(constant.Name + "/q", integers);
        (Value scale, Value zeroPoint) = Parameters(grid);
        return _quantized[constant] = Made("DequantizeLinear", [quantized, scale, zeroPoint], "dq", constant.Type);
    }

    private void QuantizeWeights(Node node, QuantizableOperator row)
    {
        if (row.Weight >= 0 && node.Input(row.Weight) is { IsConstant: true }) QuantizeWeight(node, row);
        if (row.SecondWeight >= 0) QuantizeWeights(node, row with { Weight = row.SecondWeight, SecondWeight = -1 });
    }

    private void QuantizeWeight(Node node, QuantizableOperator row)
    {
        Value weight = node.Inputs[row.Weight]!;
        (Node Add, int Side)? behind = row.Bias < 0 ? BiasBehind(node) : null;
        Value? bias = row.Bias >= 0 ? node.Input(row.Bias) : behind?.Add.Inputs[behind.Value.Side];
        float inputScale = node.Inputs[0]!.Producer is { OperatorType: "DequantizeLinear" } source && source.Inputs[1]!.Constant is { } scalar ? scalar.Span<float>()[0] : 0;
        int axis = _options.Granularity == Granularity.Tensor ? -1 : ChannelAxis(node, weight.Constant!);
        float[] floatBias = bias?.Constant?.ToFloat32Array() ?? [];

        (Tensor, int, float, string) key = (weight.Constant!, axis, inputScale, bias?.Name ?? "");
        if (!_weights.TryGetValue(key, out (Value Dequantized, QuantizedWeight Weight) made))
        {
            int kernel = node.OperatorType == "Conv" ? Math.Max(1, Tensor.CountElements(weight.Constant!.Shape[2..])) : 1;
            QuantizedWeight quantized = WeightQuantizer.Quantize(weight.Constant!, axis, floatBias, inputScale, kernel);
            made = (Constant(weight.Name, quantized.Values, quantized.Scales, quantized.Axis), quantized);
            _weights.Add(key, made);
        }
        _editor.SetInput(node, row.Weight, made.Dequantized);
        if (inputScale == 0) return;
        if ((row.Bias >= 0 || behind is not null) && _means?.Of(ActivationName(node)) is { } means) floatBias = BiasCorrection.Apply(node, weight.Constant!, made.Weight, floatBias, means);
        if (behind is var (add, side))
        {
            // It stays float: a session rounds it to the steps of the product's sums.
            if (!bias!.Constant!.Span<float>().SequenceEqual(floatBias)) _editor.SetInput(add, side, _editor.AddConstant(add.Name + "/bias", Tensor.Create(floatBias, bias.Constant.Shape)));
            return;
        }
        if (floatBias.Length == 0) return;
        float[] scales = made.Weight.Scales;
        float[] biasScales = [.. scales.Select(scale => WeightQuantizer.BiasScale(inputScale, scale))];
        int[] integers = WeightQuantizer.QuantizeBias(floatBias, inputScale, scales);
        _editor.SetInput(node, row.Bias, Constant(bias?.Name ?? node.Name + "/bias", Tensor.Create(integers, floatBias.Length), biasScales, biasScales.Length == 1 ? -1 : 0));
    }

    /// <summary>The sum that is a product's bias, and on which side the bias stands; null where there is none.</summary>
    private (Node Add, int Side)? BiasBehind(Node product) =>
        product.Output.SingleUse is { Node.OperatorType: "Add" } use && _merged.TryGetValue(use.Node, out Node? front) && ReferenceEquals(front, product) ? (use.Node, 1 - use.Index) : null;

    /// <summary>The name of the activation whose integers the first input of <paramref name="node"/> means.</summary>
    private static string ActivationName(Node node) => node.Inputs[0]!.Producer?.Inputs[0]?.Producer?.Inputs[0]?.Name ?? "";

    /// <summary>The axis of a weight tensor that is the output channel.</summary>
    internal static int ChannelAxis(Node node, Tensor weight) => node.OperatorType switch
    {
        // [directions, gates · hidden, depth]: both directions share the scale of a gate's row.
        "LSTM" or "GRU" or "RNN" => 1,
        // One group's output channels are axis 1; with several groups a channel is no slice of one axis.
        "ConvTranspose" => node.Attributes.Int("group", 1) == 1 ? 1 : -1,
        "Gemm" => node.Attributes.Int("transB") != 0 ? 0 : 1,
        "MatMul" => weight.Rank - 1,
        _ => 0,
    };

    private Value Constant(string name, Tensor integers, float[] scales, int axis)
    {
        Value quantized = _editor.AddConstant(name + "/q", integers);
        Value scale = Shared("s", axis < 0 ? Tensor.Scalar(scales[0]) : Tensor.Create(scales, scales.Length));
        AttributeMap attributes = axis < 0 ? [] : new AttributeMap { { "axis", (long)axis } };
        var type = new TensorType(DataType.Float32, integers.Shape);
        // A bias without a zero point has zero; for a weight ONNX Runtime wants it written.
        return integers.Type == DataType.Int32 ? Made("DequantizeLinear", [quantized, scale], "dq", type, attributes)
            : Made("DequantizeLinear", [quantized, scale, ZeroPoint(new Tensor(integers.Type, axis < 0 ? [] : [scales.Length]))], "dq", type, attributes);
    }

    /// <summary>The output of a new node. Its name is a letter and a number: the activation beside it says what it is, and in a small network names weigh as much as weights.</summary>
    private Value Made(string type, ReadOnlySpan<Value?> inputs, string letter, TensorType outputType, AttributeMap? attributes = null)
    {
        string output = letter + (_made++).ToString(CultureInfo.InvariantCulture);
        Value value = _editor.AddValue(output, outputType);
        _editor.AddNode(type, inputs, [value], attributes, name: output, origins: []);
        return value;
    }

    private void RemoveUnread()
    {
        foreach (Value value in _graph.Values.ToArray())
        {
            if (!value.IsConstant || value.Uses.Count != 0 || value.IsGraphOutput) continue;
            // Old files list weights among the inputs, as defaults that a caller may replace; nobody reads this one any more, so it is no input either.
            if (value.IsGraphInput) _editor.UnmarkInput(value);
            _editor.Remove(value);
        }
    }
}
