using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>Every contributed operator that other tools write, against ONNX Runtime.</summary>
internal sealed class ContributedOracleTests
{
    private readonly Dictionary<string, Tensor> _inputs = [];
    private int _seed;

    [TearDown]
    public void Forget() => _inputs.Clear();

    [Test]
    public void QLinearPairs([Values("QLinearAdd", "QLinearMul")] string type, [Values] bool signed, [Values("2,3,4,5", "3,1,5", "1")] string other)
    {
        TestGraph g = New();
        Value a = Bytes(g, "a", signed, 2, 3, 4, 5), b = Bytes(g, "b", signed, Shape(other));
        Compare(g, type, [a, g.Scalar("sa", 0.043f), Zero(g, "za", 7, signed), b, g.Scalar("sb", 0.017f), Zero(g, "zb", -3, signed), g.Scalar("sy", 0.051f), Zero(g, "zy", 5, signed)], [], 1);
    }

    [Test]
    public void QLinearPointwise([Values("QLinearSigmoid", "QLinearLeakyRelu")] string type, [Values] bool signed)
    {
        TestGraph g = New();
        Compare(g, type, [Bytes(g, "x", signed, 3, 257), g.Scalar("sx", 0.031f), Zero(g, "zx", 4, signed), g.Scalar("sy", 0.0079f), Zero(g, "zy", -20, signed)],
            type == "QLinearLeakyRelu" ? new() { ["alpha"] = 0.2f } : [], 1);
    }

    [Test]
    public void QLinearConcat([Values] bool signed, [Values(1L, -1L)] long axis)
    {
        TestGraph g = New();
        int[] first = axis == 1 ? [2, 3, 4] : [2, 5, 1], second = axis == 1 ? [2, 2, 4] : [2, 5, 6];
        Compare(g, "QLinearConcat", [g.Scalar("sy", 0.05f), Zero(g, "zy", 3, signed), Bytes(g, "a", signed, first), g.Scalar("sa", 0.05f), Zero(g, "za", 3, signed),
            Bytes(g, "b", signed, second), g.Scalar("sb", 0.037f), Zero(g, "zb", -9, signed)], new() { ["axis"] = axis }, 1);
    }

    [Test]
    public void QLinearPools([Values] bool signed, [Values] bool channelsLast, [Values] bool global)
    {
        TestGraph g = New();
        Value x = Bytes(g, "x", signed, channelsLast ? [2, 7, 9, 3] : [2, 3, 7, 9]);
        AttributeMap attributes = new() { ["channels_last"] = channelsLast ? 1L : 0L };
        if (!global)
        {
            attributes["kernel_shape"] = new long[] { 3, 2 };
            attributes["strides"] = new long[] { 2, 1 };
            attributes["pads"] = new long[] { 1, 0, 1, 1 };
            attributes["count_include_pad"] = signed ? 1L : 0L;
        }
        Compare(g, global ? "QLinearGlobalAveragePool" : "QLinearAveragePool", [x, g.Scalar("sx", 0.04f), Zero(g, "zx", 6, signed), g.Scalar("sy", 0.033f), Zero(g, "zy", -2, signed)], attributes, 1);
    }

    [Test]
    public void QLinearSoftmax([Values] bool signed)
    {
        TestGraph g = New();
        Compare(g, "QLinearSoftmax", [Bytes(g, "x", signed, 4, 33), g.Scalar("sx", 0.05f), Zero(g, "zx", 4, signed), g.Scalar("sy", 1f / 256), Zero(g, "zy", -128, signed)],
            new() { ["axis"] = -1L, ["opset"] = 13L }, 1);
    }

    [Test]
    public void QGemm([Values] bool signedWeights, [Values] bool perColumn, [Values] bool real, [Values(0L, 1L)] long transposed)
    {
        const int M = 5, N = 12, K = 33;
        TestGraph g = New();
        Value scale = perColumn ? g.Floats("sb", [.. Enumerable.Range(0, N).Select(n => 0.01f + n * 0.001f)]) : g.Scalar("sb", 0.013f);
        Value zero = perColumn ? Constant(g, "zb", signedWeights, new int[N]) : Zero(g, "zb", signedWeights ? 3 : -1, signedWeights);
        var bias = new int[N];
        for (int n = 0; n < N; n++) bias[n] = n * 97 - 500;
        var inputs = new List<Value?>
        {
            Bytes(g, "a", false, M, K), g.Scalar("sa", 0.02f), Zero(g, "za", -5, false), Constant(g, "b", signedWeights, Random(K * N), transposed == 1 ? [N, K] : [K, N]), scale, zero,
            g.Editor.AddConstant("c", Tensor.Create(bias, N)),
        };
        if (!real) inputs.AddRange([g.Scalar("sy", 0.25f), Zero(g, "zy", -7, false)]);
        Compare(g, "QGemm", inputs, new() { ["transB"] = transposed, ["alpha"] = 0.5f }, 1);
    }

    [Test]
    public void DynamicQuantizeMatMul([Values] bool signedWeights, [Values] bool perColumn, [Values] bool bias)
    {
        TestGraph g = New();
        Value scale = perColumn ? g.Floats("sb", [.. Enumerable.Range(0, 12).Select(n => 0.01f + n * 0.001f)]) : g.Floats("sb", [0.013f], 1);
        Compare(g, "DynamicQuantizeMatMul", [Input(g, "a", 2, 7, 33), Constant(g, "b", signedWeights, Random(33 * 12), 33, 12), scale,
            perColumn ? null : Constant(g, "zb", signedWeights, [signedWeights ? 0 : 5]), bias ? g.Random("bias", ++_seed, 12) : null], [], 1);
    }

    [Test]
    public void DynamicQuantizeLstm([Values("forward", "reverse", "bidirectional")] string direction, [Values] bool signedWeights, [Values] bool perColumn, [Values] bool lengths, [Values] bool constant)
    {
        const int Steps = 5, Batch = 3, Inputs = 20, Hidden = 24;
        int directions = direction == "bidirectional" ? 2 : 1, columns = 4 * Hidden;
        TestGraph g = New();
        int[] parameters = perColumn ? [directions, columns] : [directions];
        int count = perColumn ? directions * columns : directions;
        Value Scale(string name, float least) => g.Floats(name, [.. Enumerable.Range(0, count).Select(i => least * (1 + i % 7 * 0.1f))], parameters);
        Value ZeroPoints(string name) => Constant(g, name, signedWeights, [.. Enumerable.Range(0, count).Select(i => signedWeights || perColumn ? 0 : i)], parameters);
        // ONNX Runtime's exact mode is for constant weights: signed ones that come as inputs go through its VPMADDUBSW where there is no VNNI, which two products of 255 · 64 do not saturate.
        Value Weights(string name, int depth) => constant ? Constant(g, name, signedWeights, Random(directions * depth * columns), directions, depth, columns)
            : Bytes(g, name, signedWeights, signedWeights ? 2 : 1, [directions, depth, columns]);
        Compare(g, "DynamicQuantizeLSTM",
        [
            Input(g, "x", Steps, Batch, Inputs), Weights("w", Inputs), Weights("r", Hidden), g.Random("b", ++_seed, directions, 2 * columns),
            lengths ? g.Editor.AddConstant("lengths", Tensor.Create<int>([5, 2, 3], 3)) : null, Input(g, "h0", directions, Batch, Hidden), Input(g, "c0", directions, Batch, Hidden),
            g.Random("p", ++_seed, directions, 3 * Hidden), Scale("sw", 0.004f), ZeroPoints("zw"), Scale("sr", 0.003f), ZeroPoints("zr"),
        ], new() { ["hidden_size"] = (long)Hidden, ["direction"] = direction }, 3);
    }

    [Test]
    public void MatMulNBits([Values(4L, 8L)] long bits, [Values] bool zeroPoints, [Values] bool bias)
    {
        const int N = 10, K = 64, Block = 32, Blocks = K / Block;
        TestGraph g = New();
        int blob = Block * (int)bits / 8;
        Value? zero = !zeroPoints ? null : Constant(g, "z", false, Random(N * (bits == 4 ? (Blocks + 1) / 2 : Blocks)), N * (bits == 4 ? (Blocks + 1) / 2 : Blocks));
        Compare(g, "MatMulNBits", [Input(g, "a", 3, K), Constant(g, "b", false, Random(N * Blocks * blob), N, Blocks, blob), g.Floats("s", [.. Enumerable.Range(0, N * Blocks).Select(i => 0.01f + i * 0.001f)]), zero,
            null, bias ? g.Random("bias", ++_seed, N) : null], new() { ["K"] = (long)K, ["N"] = (long)N, ["bits"] = bits, ["block_size"] = (long)Block, ["accuracy_level"] = 1L }, 1);
    }

    [TestCase("Relu", null)]
    [TestCase("Tanh", null)]
    [TestCase("Sigmoid", null)]
    [TestCase("LeakyRelu", new[] { 0.2f })]
    [TestCase("Clip", new[] { -0.5f, 0.75f })]
    [TestCase("HardSigmoid", new[] { 0.3f, 0.4f })]
    public void FusedConv(string activation, float[]? parameters)
    {
        TestGraph g = New();
        var attributes = new AttributeMap { ["activation"] = activation, ["kernel_shape"] = new long[] { 3, 3 }, ["pads"] = new long[] { 1, 1, 1, 1 } };
        if (parameters is not null) attributes["activation_params"] = parameters;
        Compare(g, "FusedConv", [Input(g, "x", 1, 4, 6, 7), g.Random("w", ++_seed, 5, 4, 3, 3), g.Random("b", ++_seed, 5)], attributes, 1);
    }

    [Test]
    public void FusedConvAddsBeforeItsActivation()
    {
        TestGraph g = New();
        Compare(g, "FusedConv", [Input(g, "x", 1, 4, 6, 7), g.Random("w", ++_seed, 5, 4, 1, 1), g.Random("b", ++_seed, 5), Input(g, "z", 1, 5, 6, 7)],
            new() { ["activation"] = "Relu", ["kernel_shape"] = new long[] { 1, 1 } }, 1);
    }

    [Test]
    public void FusedMatMul([Values(0L, 1L)] long transA, [Values(0L, 1L)] long transB, [Values("3,", "")] string batch)
    {
        TestGraph g = New();
        Compare(g, "FusedMatMul", [Input(g, "a", Shape(batch + (transA == 1 ? "6,5" : "5,6"))), Input(g, "b", Shape(batch + (transB == 1 ? "4,6" : "6,4")))],
            new() { ["transA"] = transA, ["transB"] = transB, ["alpha"] = 0.125f }, 1);
    }

    [TestCase("Relu")]
    [TestCase("LeakyRelu")]
    public void FusedGemm(string activation)
    {
        TestGraph g = New();
        Compare(g, "FusedGemm", [Input(g, "a", 5, 6), g.Random("b", ++_seed, 4, 6), g.Random("c", ++_seed, 4)],
            new() { ["transB"] = 1L, ["alpha"] = 0.5f, ["beta"] = 2f, ["activation"] = activation, ["activation_alpha"] = 0.01f }, 1);
    }

    [Test]
    public void SkipLayerNormalization([Values] bool beta, [Values] bool bias)
    {
        TestGraph g = New();
        Compare(g, "SkipLayerNormalization", [Input(g, "x", 2, 3, 16), Input(g, "skip", 2, 3, 16), g.Random("gamma", ++_seed, 16), beta ? g.Random("beta", ++_seed, 16) : null,
            bias ? g.Random("bias", ++_seed, 16) : null], new() { ["epsilon"] = 1e-5f }, 1);
    }

    [Test]
    public void SkipSimplifiedLayerNormalization([Values] bool bias)
    {
        TestGraph g = New();
        Compare(g, "SkipSimplifiedLayerNormalization", [Input(g, "x", 2, 3, 16), Input(g, "skip", 2, 3, 16), g.Random("gamma", ++_seed, 16), bias ? g.Random("bias", ++_seed, 16) : null],
            new() { ["epsilon"] = 1e-5f }, 1);
    }

    [Test]
    public void EmbedLayerNormalization([Values] bool segments, [Values] bool mask)
    {
        TestGraph g = New();
        Value ids = Ints(g, "ids", [7, 0, 9, 3, 3, 1], 2, 3);
        Compare(g, "EmbedLayerNormalization",
        [
            ids, segments ? Ints(g, "kinds", [0, 1, 1, 0, 0, 1], 2, 3) : null, g.Random("words", ++_seed, 10, 8), g.Random("positions", ++_seed, 5, 8), segments ? g.Random("segments", ++_seed, 2, 8) : null,
            g.Random("gamma", ++_seed, 8), g.Random("beta", ++_seed, 8), mask ? Ints(g, "mask", [1, 1, 0, 1, 1, 1], 2, 3) : null,
        ], new() { ["epsilon"] = 1e-5f }, 2);
    }

    [Test]
    public void Gelus([Values("FastGelu", "BiasGelu", "Gelu", "QuickGelu")] string type, [Values] bool bias)
    {
        if (type == "BiasGelu" && !bias || type is "Gelu" or "QuickGelu" && bias) return;
        TestGraph g = New();
        Compare(g, type, bias ? [Input(g, "x", 2, 5, 24), g.Random("b", ++_seed, 24)] : [Input(g, "x", 2, 5, 24)], [], 1);
    }

    [Test]
    public void MatMulIntegerToFloat([Values] bool signedWeights, [Values] bool bias)
    {
        TestGraph g = New();
        Compare(g, "MatMulIntegerToFloat", [Bytes(g, "a", false, 3, 5, 20), Constant(g, "b", signedWeights, Random(20 * 9), 20, 9), g.Scalar("sa", 0.02f), g.Floats("sb", [.. Enumerable.Range(0, 9).Select(i => 0.01f * (i + 1))]),
            Zero(g, "za", -3, false), null, bias ? g.Random("bias", ++_seed, 9) : null], [], 1);
    }

    private static TestGraph New() => new();

    private static int[] Shape(string text) => [.. text.Split(',').Select(int.Parse)];

    private int[] Random(int count)
    {
        var random = new Random(++_seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(-128, 128))];
    }

    /// <summary>A constant of 8-bit integers, given as int8; uint8 is the same moved by 128.</summary>
    private static Value Constant(TestGraph g, string name, bool signed, int[] values, params int[] shape) => g.Editor.AddConstant(name, Make(signed, values, shape.Length == 0 ? [values.Length] : shape));

    private static Tensor Make(bool signed, int[] values, int[] shape) => signed
        ? Tensor.Create(Array.ConvertAll(values, value => (sbyte)value), shape) : Tensor.Create(Array.ConvertAll(values, value => (byte)(value + 128)), shape);

    private static Value Zero(TestGraph g, string name, int value, bool signed) => g.Editor.AddConstant(name, Make(signed, [value], []));

    private Value Bytes(TestGraph g, string name, bool signed, params int[] shape) => Bytes(g, name, signed, 1, shape);

    private Value Bytes(TestGraph g, string name, bool signed, int divisor, int[] shape)
    {
        Tensor tensor = Make(signed, Array.ConvertAll(Random(Tensor.CountElements(shape)), value => value / divisor), shape);
        _inputs[name] = tensor;
        return g.Input(name, new TensorType(tensor.Type, shape));
    }

    private Value Ints(TestGraph g, string name, int[] values, params int[] shape)
    {
        _inputs[name] = Tensor.Create(values, shape);
        return g.Input(name, new TensorType(DataType.Int32, shape));
    }

    private Value Input(TestGraph g, string name, params int[] shape)
    {
        _inputs[name] = TestGraph.RandomTensor(++_seed, shape);
        return g.Input(name, shape);
    }

    private void Compare(TestGraph g, string type, IReadOnlyList<Value?> inputs, AttributeMap attributes, int outputs)
    {
        Value[] results = [.. Enumerable.Range(0, outputs).Select(i => g.Editor.AddValue($"y{i}"))];
        g.Editor.AddNode(type, [.. inputs], results, attributes, Operator.MicrosoftDomain);
        foreach (Value result in results) g.Output(result);
        Oracle.Compare(g.Graph, _inputs);
    }
}
