using Octet.Quantization.Marking;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Rewriting;

/// <summary>
/// Quantization without calibration: convolutions and products become ConvInteger and MatMulInteger on data that DynamicQuantizeLinear quantizes by its own range in every run. Weights
/// of other operators that are always quantized (recurrent layers, transposed convolutions) are stored as int8 behind DequantizeLinear.
/// </summary>
/// <remarks>
/// <code>y = Cast(MatMulInteger(qx, w, zx)) · (sx · sw) + bias        (qx, sx, zx) = DynamicQuantizeLinear(x)</code>
/// All of it is standard ONNX.
/// </remarks>
internal sealed class RunTimeRewriter(GraphEditor editor, Granularity granularity)
{
    private readonly Dictionary<Value, (Value Quantized, Value Scale, Value ZeroPoint)> _ranged = [];
    private readonly Dictionary<(Tensor, int, bool), (Value Values, float[] Scales)> _weights = [];

    /// <summary>Rewrites every marked convolution and product.</summary>
    /// <param name="marks">What is quantized.</param>
    /// <param name="storeWeights">Puts the constant weights of a node behind DequantizeLinear.</param>
    public void Run(Dictionary<Node, Marker.Mark> marks, Action<Node> storeWeights)
    {
        foreach (Node node in editor.Graph.Nodes.ToArray())
        {
            if (!marks.TryGetValue(node, out Marker.Mark mark) || mark.Operator is not { Role: Role.Must }) continue;
            if (node.OperatorType is "Conv" or "Gemm" or "MatMul") Rewrite(node);
            else storeWeights(node);
        }
    }

    private void Rewrite(Node node)
    {
        bool convolution = node.OperatorType == "Conv";
        (Value x, Value xScale, Value xZero) = Ranged(node.Inputs[0]!);
        Value w;
        Value? wZero = null;
        Value scale;
        if (node.Inputs[1]!.Constant is { } weight)
        {
            int axis = granularity == Granularity.Tensor ? -1 : QdqRewriter.ChannelAxis(node, weight);
            (w, float[] scales) = Weight(node.Inputs[1]!, weight, axis, turned: node.OperatorType == "Gemm" && node.Attributes.Int("transB") != 0);
            int[] shape = scales.Length == 1 ? [] : convolution ? [1, scales.Length, .. Enumerable.Repeat(1, weight.Rank - 2)] : [scales.Length];
            Value factors = editor.AddConstant(node.Name + "/w_scale", Tensor.Create(scales, shape));
            scale = Made("Mul", [xScale, factors], node.Name + "/scale", new TensorType(DataType.Float32, shape));
        }
        else
        {
            (w, Value other, wZero) = Ranged(node.Inputs[1]!);
            scale = Made("Mul", [xScale, other], node.Name + "/scale", xScale.Type);
        }
        Value old = node.Output;
        TensorType sums = old.Type with { Element = DataType.Int32 };
        Value acc = editor.AddValue(node.Name + "/sums", sums);
        AttributeMap attributes = convolution ? node.Attributes.Copy() : [];
        editor.AddNode(convolution ? "ConvInteger" : "MatMulInteger", wZero is null ? [x, w, xZero] : [x, w, xZero, wZero], [acc], attributes, name: node.Name + "/integer", origins: node.Origins);
        Value real = Made("Cast", [acc], node.Name + "/real", old.Type, new AttributeMap { ["to"] = (long)DataType.Float32 });
        Value result = Made("Mul", [real, scale], node.Name + "/scaled", old.Type);
        if (node.Input(2) is { } bias)
        {
            if (convolution) bias = editor.AddConstant(bias.Name + "/channels", bias.Constant!.Reshape([1, bias.Constant.Length, .. Enumerable.Repeat(1, node.Inputs[1]!.Type.Rank - 2)]));
            result = Made("Add", [result, bias], node.Name + "/biased", old.Type);
        }
        string name = old.Name;
        editor.ReplaceUses(old, result);
        editor.Remove(node);
        editor.Rename(result, name);
    }

    private (Value Quantized, Value Scale, Value ZeroPoint) Ranged(Value x)
    {
        if (_ranged.TryGetValue(x, out (Value, Value, Value) known)) return known;
        Value quantized = editor.AddValue(x.Name + "/quantized", x.Type with { Element = DataType.UInt8 });
        Value scale = editor.AddValue(x.Name + "/scale", new TensorType(DataType.Float32, ReadOnlySpan<Dim>.Empty));
        Value zeroPoint = editor.AddValue(x.Name + "/zero_point", new TensorType(DataType.UInt8, ReadOnlySpan<Dim>.Empty));
        editor.AddNode("DynamicQuantizeLinear", [x], [quantized, scale, zeroPoint], name: x.Name + "/quantize", origins: []);
        return _ranged[x] = (quantized, scale, zeroPoint);
    }

    /// <summary>The weight as int8, <c>[K, N]</c> where <paramref name="turned"/> says that it is stored as <c>[N, K]</c>.</summary>
    private (Value Values, float[] Scales) Weight(Value value, Tensor weight, int axis, bool turned)
    {
        if (_weights.TryGetValue((weight, axis, turned), out (Value, float[]) known)) return known;
        QuantizedWeight quantized = WeightQuantizer.Quantize(weight, axis, [], 0);
        Tensor integers = quantized.Values;
        if (turned)
        {
            (int n, int k) = (weight.Shape[0], weight.Shape[1]);
            var columns = new sbyte[n * k];
            ReadOnlySpan<sbyte> rows = integers.Span<sbyte>();
            for (int i = 0; i < n; i++)
                for (int j = 0; j < k; j++) columns[j * n + i] = rows[i * k + j];
            integers = Tensor.Create(columns, k, n);
        }
        return _weights[(weight, axis, turned)] = (editor.AddConstant(value.Name + "/quantized", integers), quantized.Scales);
    }

    private Value Made(string type, ReadOnlySpan<Value?> inputs, string output, TensorType outputType, AttributeMap? attributes = null)
    {
        Value value = editor.AddValue(output, outputType);
        editor.AddNode(type, inputs, [value], attributes, name: output, origins: []);
        return value;
    }
}
