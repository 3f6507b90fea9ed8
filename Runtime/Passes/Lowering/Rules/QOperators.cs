using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>QLinearConv, QLinearMatMul, QLinearAdd … with constant parameters → <c>DequantizeLinear → operator → QuantizeLinear</c>, which the other rules lower.</summary>
/// <remarks>A form that the other rules could not lower afterwards is left alone: it runs in integers as it is.</remarks>
internal sealed class ExpandQOperator : LoweringRule
{
    public override string Name => "expand-qoperator";

    public override int Phase => 0;

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        bool contributed = node.Domain == Operator.MicrosoftDomain;
        if (node.Domain.Length != 0 && !contributed) return LoweringResult.None;
        return (contributed, node.OperatorType) switch
        {
            (false, "QLinearConv") => Convolution(node, c),
            (false, "QLinearMatMul") => MatMul(node, c),
            (true, "QGemm") => Gemm(node, c),
            (true, "QLinearAdd") => Pair(node, c, "Add"),
            (true, "QLinearMul") => Pair(node, c, "Mul"),
            (true, "QLinearSigmoid") => Unary(node, c, "Sigmoid", []),
            (true, "QLinearLeakyRelu") => Unary(node, c, "LeakyRelu", new AttributeMap { ["alpha"] = node.Attributes.Float("alpha", 0.01f) }),
            (true, "QLinearAveragePool") => Pool(node, c, "AveragePool"),
            (true, "QLinearGlobalAveragePool") => Pool(node, c, "GlobalAveragePool"),
            (true, "QLinearConcat") => Concat(node, c),
            _ => LoweringResult.None,
        };
    }

    private static LoweringResult Convolution(Node node, LoweringContext c)
    {
        if (!IsScalarGrid(node, 1, 2) || !IsScalarGrid(node, 6, 7)) return LoweringResult.Refuse("its scales are computed at run time or not per tensor");
        if (node.Inputs[3]?.Constant is not { } w || node.Inputs[4]?.Constant is not { } scale || node.Inputs[5]?.Constant is not { } zero) return LoweringResult.Refuse("the weight is computed at run time");
        if (node.Input(8) is { IsConstant: false }) return LoweringResult.Refuse("its bias is computed at run time");
        if (w.Rank is < 3 or > 5) return LoweringResult.None;
        Value data = Dequantize(c, node, 0, 1, 2), weight = DequantizeChannels(c, node, w, scale, zero, axis: 0);
        Value? bias = null;
        if (node.Input(8) is { } integers)
        {
            float xScale = node.Inputs[1]!.Constant!.ToFloat32Array()[0];
            bias = DequantizeBias(c, node, integers, Array.ConvertAll(scale.ToFloat32Array(), s => xScale * s));
        }
        return Finish(c, node, "Conv", [data, weight, bias], node.Attributes.Copy(), 6, 7);
    }

    private static LoweringResult MatMul(Node node, LoweringContext c)
    {
        if (!IsScalarGrid(node, 1, 2) || !IsScalarGrid(node, 6, 7)) return LoweringResult.Refuse("its scales are computed at run time or not per tensor");
        if (node.Inputs[3]?.Constant is not { Rank: 2 } w || node.Inputs[4]?.Constant is not { } scale || node.Inputs[5]?.Constant is not { } zero)
        {
            if (!IsScalarGrid(node, 4, 5) || node.Inputs[0]?.Type.Rank < 2 || node.Inputs[3]?.Type.Rank < 2) return LoweringResult.Refuse("both operands are computed at run time, and their parameters are not one number each");
            return Finish(c, node, "MatMul", [Dequantize(c, node, 0, 1, 2), Dequantize(c, node, 3, 4, 5)], [], 6, 7);
        }
        if (node.Inputs[0]!.IsConstant) return LoweringResult.None;
        return Finish(c, node, "MatMul", [Dequantize(c, node, 0, 1, 2), DequantizeChannels(c, node, w, scale, zero, axis: 1)], [], 6, 7);
    }

    private static LoweringResult Gemm(Node node, LoweringContext c)
    {
        if (!IsScalarGrid(node, 1, 2) || (node.Input(7) is not null && !IsScalarGrid(node, 7, 8))) return LoweringResult.Refuse("its scales are computed at run time or not per tensor");
        if (node.Inputs[3]?.Constant is not { Rank: 2 } w || node.Inputs[4]?.Constant is not { } scale || node.Input(5) is { IsConstant: false }) return LoweringResult.Refuse("the weight is computed at run time");
        if (node.Input(6) is { IsConstant: false } || node.Attributes.Int("transA") != 0) return LoweringResult.Refuse("its bias is computed at run time, or its data is transposed");
        float alpha = node.Attributes.Float("alpha", 1), aScale = node.Inputs[1]!.Constant!.ToFloat32Array()[0];
        Value weight = DequantizeChannels(c, node, w, scale, node.Input(5)?.Constant, axis: node.Attributes.Int("transB") != 0 ? 0 : 1);
        Value? bias = node.Input(6) is { } integers ? DequantizeBias(c, node, integers, Array.ConvertAll(scale.ToFloat32Array(), s => alpha * aScale * s)) : null;
        return Finish(c, node, "Gemm", [Dequantize(c, node, 0, 1, 2), weight, bias], node.Attributes.Copy(), node.Input(7) is null ? -1 : 7, 8);
    }

    private static LoweringResult Pair(Node node, LoweringContext c, string type)
    {
        if (!IsScalarGrid(node, 1, 2) || !IsScalarGrid(node, 4, 5) || !IsScalarGrid(node, 6, 7)) return LoweringResult.Refuse("its scales are computed at run time");
        return Finish(c, node, type, [Dequantize(c, node, 0, 1, 2), Dequantize(c, node, 3, 4, 5)], [], 6, 7);
    }

    private static LoweringResult Unary(Node node, LoweringContext c, string type, AttributeMap attributes)
    {
        if (!IsScalarGrid(node, 1, 2) || !IsScalarGrid(node, 3, 4)) return LoweringResult.Refuse("its scales are computed at run time");
        return Finish(c, node, type, [Dequantize(c, node, 0, 1, 2)], attributes, 3, 4);
    }

    private static LoweringResult Pool(Node node, LoweringContext c, string type)
    {
        if (node.Attributes.Int("channels_last") != 0) return LoweringResult.Refuse("it is channels-last already");
        AttributeMap attributes = node.Attributes.Copy();
        attributes["channels_last"] = null;
        return Unary(node, c, type, attributes);
    }

    private static LoweringResult Concat(Node node, LoweringContext c)
    {
        if (!IsScalarGrid(node, 0, 1)) return LoweringResult.Refuse("its scales are computed at run time");
        var parts = new List<Value?>();
        for (int i = 2; i < node.Inputs.Count; i += 3)
            if (!IsScalarGrid(node, i + 1, i + 2)) return LoweringResult.Refuse("its scales are computed at run time");
        for (int i = 2; i < node.Inputs.Count; i += 3) parts.Add(Dequantize(c, node, i, i + 1, i + 2));
        return Finish(c, node, "Concat", [.. parts], node.Attributes.Copy(), 0, 1);
    }

    private static bool IsScalarGrid(Node node, int scale, int zero) =>
        node.Input(scale)?.Constant is { Length: 1 } && (node.Input(zero) is null || node.Input(zero)!.Constant is { Length: 1 });

    private static Value Dequantize(LoweringContext c, Node node, int x, int scale, int zero) =>
        c.Add("DequantizeLinear", [node.Inputs[x], node.Inputs[scale], node.Input(zero)], [], node, node.Inputs[x]!.Type with { Element = DataType.Float32 }, [node], "");

    private static Value DequantizeChannels(LoweringContext c, Node node, Tensor w, Tensor scale, Tensor? zero, int axis)
    {
        if (zero is not null && zero.Length != scale.Length)
        {
            // Parameters of different lengths: spread the single one.
            int count = Math.Max(zero.Length, scale.Length);
            float[] scales = scale.ToFloat32Array();
            if (scale.Length == 1) scale = Tensor.Create([.. Enumerable.Repeat(scales[0], count)], count);
            byte[] bytes = zero.Span<byte>().ToArray();
            if (zero.Length == 1) zero = new Tensor(zero.Type, [count], Enumerable.Repeat(bytes[0], count).ToArray());
        }
        Value constant = node.Inputs[3]!;
        Value? zeroValue = zero is null ? null : c.Editor.AddConstant(node.Name + "/w_zero_point", Flat(zero));
        return c.Add("DequantizeLinear", [constant, c.Editor.AddConstant(node.Name + "/w_scale", Flat(scale)), zeroValue],
            new AttributeMap { ["axis"] = (long)axis }, node, new TensorType(DataType.Float32, w.Shape), [node], "");
    }

    private static Tensor Flat(Tensor tensor) => tensor.Length == 1 ? tensor.Reshape([]) : tensor.Reshape([tensor.Length]);

    private static Value DequantizeBias(LoweringContext c, Node node, Value integers, float[] scales)
    {
        Tensor scale = scales.Length == 1 ? Tensor.Scalar(scales[0]) : Tensor.Create(scales, scales.Length);
        return c.Add("DequantizeLinear", [integers, c.Editor.AddConstant(node.Name + "/b_scale", scale)], new AttributeMap { ["axis"] = 0L }, node, integers.Type with { Element = DataType.Float32 }, [node], "");
    }

    private static LoweringResult Finish(LoweringContext c, Node node, string type, Value?[] inputs, AttributeMap attributes, int scale, int zero)
    {
        Value real = c.Add(type, inputs, attributes, node, node.Output.Type with { Element = DataType.Float32 }, [node], "");
        Value result = scale < 0 ? real
            : c.Add("QuantizeLinear", [real, node.Inputs[scale], node.Input(zero)], [], node, node.Output.Type, [node], "");
        c.Replace(node.Output, result);
        return LoweringResult.Done;
    }
}
