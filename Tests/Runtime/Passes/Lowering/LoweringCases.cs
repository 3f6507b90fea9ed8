using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Passes;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes;

/// <summary>Small quantized graphs, one per integer operator and fusion, int8 and uint8: the switch test, the oracle test and the file test go through all of them.</summary>
internal static class LoweringCases
{
    internal sealed record Case(string Name, Action<QuantizedGraph, DataType> Build)
    {
        public override string ToString() => Name;

        public QuantizedGraph Create(DataType type)
        {
            var graph = new QuantizedGraph(Name.Length);
            Build(graph, type);
            Cleanup.RemoveDead(graph.Test.Editor);   // a weight whose integers alone are used leaves its DequantizeLinear
            return graph;
        }
    }

    private static int Zero(DataType type, int zero) => type == DataType.Int8 ? zero - 128 : zero;

    private static Value Fake(QuantizedGraph g, Value x, float scale, int zero, DataType type) => g.Fake(x, scale, Zero(type, zero), type);

    private static void Result(QuantizedGraph g, Value y, float scale, int zero, DataType type) => g.Output(g.Quantize(y, scale, Zero(type, zero), type));

    /// <summary>A quantized image [1, 8, 6, 6].</summary>
    private static Value Image(QuantizedGraph g, DataType type) => Fake(g, g.Input(2, 1, 8, 6, 6), 0.016f, 128, type);

    private static Value Conv(QuantizedGraph g, Value x, int outputs = 8, int kernel = 1, bool perChannel = true, Value? bias = null) =>
        g.Node("Conv", [x, g.Weight(0, perChannel ? [.. Enumerable.Range(0, outputs).Select(o => 0.003f + 0.0002f * o)] : [0.004f], DataType.Int8, 0, outputs, 8, kernel, kernel), bias],
            new AttributeMap { ["pads"] = new long[] { kernel / 2, kernel / 2, kernel / 2, kernel / 2 } });

    private static Value Bn(QuantizedGraph g, Value x, int channels)
    {
        float[] Of(Func<int, float> f) => [.. Enumerable.Range(0, channels).Select(f)];
        return g.Node("BatchNormalization", [x, g.Test.Floats("gamma" + x.Name, Of(i => 0.7f + 0.1f * i)), g.Test.Floats("beta" + x.Name, Of(i => 0.1f * i - 0.3f)),
            g.Test.Floats("mean" + x.Name, Of(i => 0.05f * i)), g.Test.Floats("variance" + x.Name, Of(i => 0.6f + 0.2f * i))]);
    }

    /// <summary>x · (erf(x / √2) + 1) · ½ with every intermediate result and constant quantized.</summary>
    public static Value Gelu(QuantizedGraph g, Value x, DataType type)
    {
        x = Fake(g, x, 0.03f, 128, type);
        Value erf = Fake(g, g.Node("Erf", [Fake(g, g.Node("Div", [x, Constant(1.41421354f)]), 0.022f, 128, type)]), 1f / 127, 128, type);
        Value product = Fake(g, g.Node("Mul", [x, Fake(g, g.Node("Add", [erf, Constant(1)]), 2f / 255, 0, type)]), 0.04f, 10, type);
        return g.Node("Mul", [product, Constant(0.5f)]);

        Value Constant(float value) => Fake(g, g.Scalar(value), value / 255, 0, type);
    }

    public static readonly Case[] All =
    [
        new("conv", (g, t) => Result(g, Conv(g, Image(g, t), kernel: 3), 0.06f, 120, t)),
        new("conv bias relu", (g, t) => Result(g, g.Node("Relu", [g.Node("Add", [Conv(g, Image(g, t), kernel: 3), g.FloatConstant(0.5f, 8, 1, 1)])]), 0.03f, 0, t)),
        new("conv bn clip", (g, t) => Result(g, g.Node("Clip", [Bn(g, Conv(g, Image(g, t)), 8), g.Scalar(0), g.Scalar(3)]), 0.0118f, 0, t)),
        new("conv sum", (g, t) => { Value x = Image(g, t); Result(g, g.Node("Add", [Conv(g, x), x]), 0.03f, 128, t); }),
        new("conv quantized sum relu", (g, t) => { Value x = Image(g, t); Result(g, g.Node("Relu", [g.Node("Add", [Fake(g, Conv(g, x), 0.0307f, 128, t), x])]), 0.0219f, 0, t); }),
        new("conv float sum", (g, t) => g.Output(g.Node("Relu", [g.Node("Add", [Conv(g, Image(g, t)), g.Input(1, 1, 8, 6, 6)])]))),
        new("conv sum max pool", (g, t) => { Value x = Image(g, t); Result(g, g.Node("MaxPool", [g.Node("Add", [x, Conv(g, x)])], new AttributeMap { ["kernel_shape"] = new long[] { 2, 2 } }), 0.0307f, 128, t); }),
        new("conv relu conv on a signed grid", (g, t) => Result(g, Conv(g, Fake(g, g.Node("Relu", [Conv(g, Image(g, t))]), 0.0153f, 128, t)), 0.03f, 128, t)),
        new("conv hardswish", (g, t) => Result(g, g.Node("HardSwish", [Fake(g, Conv(g, Image(g, t)), 0.03f, 128, t)]), 0.016f, 30, t)),
        new("conv flatten", (g, t) => Result(g, g.Node("Flatten", [Conv(g, Image(g, t))]), 0.03f, 128, t)),
        new("conv float output", (g, t) => g.Output(g.Node("Relu", [Conv(g, Image(g, t))]))),
        new("conv transpose", (g, t) => Result(g, g.Node("ConvTranspose", [Image(g, t), g.Weight(1, [0.004f], DataType.Int8, 0, 8, 5, 2, 2)], new AttributeMap { ["strides"] = new long[] { 2, 2 } }), 0.03f, 128, t)),
        new("gemm", (g, t) => Result(g, g.Node("Gemm", [Fake(g, g.Input(2, 5, 12), 0.016f, 128, t), g.Weight(0, [0.004f], DataType.Int8, 0, 7, 12), g.IntegerBias([0.016f * 0.004f], 7)], new AttributeMap { ["transB"] = 1L }), 0.04f, 128, t)),
        new("matmul", (g, t) => Result(g, g.Node("MatMul", [Fake(g, g.Input(2, 3, 5, 12), 0.016f, 128, t), g.Weight(1, [.. Enumerable.Range(0, 7).Select(i => 0.003f + 0.0005f * i)], DataType.Int8, 0, 12, 7)]), 0.05f, 128, t)),
        new("matmul of a transposed weight", (g, t) => Result(g, g.Node("MatMul", [Fake(g, g.Input(2, 5, 12), 0.016f, 128, t), g.Node("Transpose", [g.Weight(0, [0.004f], DataType.Int8, 0, 7, 12)])]), 0.05f, 128, t)),
        new("matmul of a weight quantized in the graph", (g, t) => Result(g, g.Node("MatMul", [Fake(g, g.Input(2, 5, 12), 0.016f, 128, t), g.Fake(g.FloatConstant(0.5f, 12, 7), 0.004f, 0, DataType.Int8)]), 0.05f, 128, t)),
        new("batch dot", (g, t) => Result(g, g.Node("MatMul", [Fake(g, g.Input(2, 2, 3, 5, 9), 0.016f, 128, t), Fake(g, g.Input(1, 2, 3, 9, 4), 0.008f, 120, t)]), 0.04f, 128, t)),
        new("batch dot scaled", (g, t) => Result(g, g.Node("Mul", [g.Node("MatMul", [Fake(g, g.Input(2, 2, 5, 9), 0.016f, 128, t), Fake(g, g.Input(1, 2, 9, 4), 0.008f, 120, t)]), g.Scalar(0.25f)]), 0.01f, 128, t)),
        new("add", (g, t) => Result(g, g.Node("Add", [Image(g, t), Fake(g, g.Input(1, 8, 1, 1), 0.008f, 100, t)]), 0.022f, 128, t)),
        new("add to real values", (g, t) => g.Output(g.Node("Relu", [g.Node("Add", [Image(g, t), Fake(g, g.Input(1, 1, 8, 6, 6), 0.008f, 100, t)])]))),
        new("sub", (g, t) => Result(g, g.Node("Sub", [Image(g, t), Fake(g, g.Input(1, 6), 0.008f, 100, t)]), 0.022f, 128, t)),
        new("mul", (g, t) => Result(g, g.Node("Mul", [Image(g, t), Fake(g, g.Input(1, 1, 8, 6, 6), 0.008f, 128, t)]), 0.014f, 128, t)),
        new("div", (g, t) => Result(g, g.Node("Div", [Image(g, t), Fake(g, g.Node("Exp", [g.Input(1, 1, 8, 6, 6)]), 0.011f, 0, t)]), 0.03f, 128, t)),
        new("square of itself", (g, t) => { Value x = Image(g, t); Result(g, g.Node("Mul", [x, Fake(g, g.Node("Sigmoid", [x]), 1f / 256, 0, t)]), 0.016f, 30, t); }),
        new("gelu written out", (g, t) => Result(g, Gelu(g, Conv(g, Image(g, t)), t), 0.02f, 12, t)),
        new("concat", (g, t) => Result(g, g.Node("Concat", [Image(g, t), Fake(g, g.Input(1, 1, 3, 6, 6), 0.008f, 100, t)], new AttributeMap { ["axis"] = 1L }), 0.016f, 128, t)),
        new("average pool", (g, t) => Result(g, g.Node("AveragePool", [Image(g, t)], new AttributeMap { ["kernel_shape"] = new long[] { 3, 2 }, ["strides"] = new long[] { 2, 1 }, ["pads"] = new long[] { 1, 0, 1, 0 } }), 0.012f, 128, t)),
        new("global average pool", (g, t) => Result(g, g.Node("GlobalAveragePool", [Image(g, t)]), 0.004f, 128, t)),
        new("mean", (g, t) => Result(g, g.Node("ReduceMean", [Image(g, t), g.Test.Ints("axes", 1)], new AttributeMap { ["keepdims"] = 0L }), 0.006f, 128, t)),
        new("max pool of a conv", (g, t) => Result(g, g.Node("MaxPool", [Fake(g, Conv(g, Image(g, t)), 0.03f, 128, t)], new AttributeMap { ["kernel_shape"] = new long[] { 2, 2 } }), 0.03f, 128, t)),
        new("sigmoid", (g, t) => Result(g, g.Node("Sigmoid", [Image(g, t)]), 1f / 256, 0, t)),
        new("two tables", (g, t) => Result(g, g.Node("Tanh", [Fake(g, g.Node("Elu", [Image(g, t)]), 0.014f, 80, t)]), 0.008f, 128, t)),
        new("batch norm alone", (g, t) => Result(g, g.Node("Relu", [Bn(g, Image(g, t), 8)]), 0.02f, 0, t)),
        new("prelu", (g, t) => Result(g, g.Node("PRelu", [Image(g, t), g.FloatConstant(0.5f, 8, 1, 1)]), 0.016f, 60, t)),
        new("layers of other grids", (g, t) => { Value x = Image(g, t); Result(g, g.Node("MaxPool", [g.Dequantize(g.Quantize(x, 0.02f, Zero(t, 100), t), 0.02f, Zero(t, 100), t)], new AttributeMap { ["kernel_shape"] = new long[] { 2, 2 } }), 0.02f, 100, t); }),
        new("bytes in, bytes out", (g, t) => Result(g, g.Node("Conv", [g.Dequantize(g.ByteInput(t, 1, 8, 6, 6), 0.016f, Zero(t, 128), t), g.Weight(0, [0.004f], DataType.Int8, 0, 8, 8, 1, 1)]), 0.03f, 128, t)),
        new("two readers of one tensor", (g, t) =>
        {
            Value q = g.Quantize(g.Input(2, 1, 8, 6, 6), 0.016f, Zero(t, 128), t);
            Result(g, Conv(g, g.Dequantize(q, 0.016f, Zero(t, 128), t)), 0.03f, 128, t);
            g.Output(g.Node("Softmax", [g.Dequantize(q, 0.016f, Zero(t, 128), t)], new AttributeMap { ["axis"] = 1L }));
        }),
        new("qlinear conv", (g, t) =>
        {
            Node w = g.Weight(0, [0.004f, 0.005f, 0.006f, 0.007f], DataType.Int8, 0, 4, 8, 3, 3).Producer!;
            g.Output(g.Node("QLinearConv", [g.ByteInput(t, 1, 8, 6, 6), g.Scalar(0.016f), g.Zero(Zero(t, 128), t), w.Inputs[0], w.Inputs[1], w.Inputs[2], g.Scalar(0.06f), g.Zero(Zero(t, 120), t), g.IntegerBias([1f], 4).Producer!.Inputs[0]]));
        }),
        new("qlinear matmul of computed operands", (g, t) => g.Output(g.Node("QLinearMatMul", [g.ByteInput(t, 2, 5, 9), g.Scalar(0.016f), g.Zero(Zero(t, 128), t), g.ByteInput(t, 2, 9, 4), g.Scalar(0.01f), g.Zero(Zero(t, 120), t), g.Scalar(0.06f), g.Zero(Zero(t, 128), t)]))),
        new("lstm", (g, t) => g.Output(g.Node("LSTM", [g.Input(2, 4, 2, 5), g.Weight(1, [0.003f], DataType.Int8, 0, 1, 24, 5), g.Weight(1, [0.003f], DataType.Int8, 0, 1, 24, 6)], new AttributeMap { ["hidden_size"] = 6L }))),
        new("product by run-time range", (g, t) =>
        {
            Value x = g.Input(2, 5, 9), q = g.Test.Editor.AddValue("q"), s = g.Test.Editor.AddValue("qs"), z = g.Test.Editor.AddValue("qz");
            g.Test.Editor.AddNode("DynamicQuantizeLinear", [x], [q, s, z], name: "range");
            Value w = g.Weight(1, [1f], DataType.Int8, 0, 9, 4).Producer!.Inputs[0]!;
            Value y = g.Node("Cast", [g.Node("MatMulInteger", [q, w, z])], new AttributeMap { ["to"] = (long)DataType.Float32 });
            g.Output(g.Node("Add", [g.Node("Mul", [y, g.Node("Mul", [s, g.FloatConstant(0.01f, 4)])]), g.FloatConstant(1, 4)]));
        }),
        new("reshape of bytes", (g, t) => Result(g, g.Node("Reshape", [g.Dequantize(g.ByteInput(t, 4, 6), 0.016f, Zero(t, 128), t), g.Test.Ints("shape", 6, 4)]), 0.016f, 128, t)),
    ];
}
