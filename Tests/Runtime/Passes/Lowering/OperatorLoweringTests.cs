using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Passes;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes;

/// <summary>Transposed convolutions, products of two computed operands, attention, functions per channel, embeddings and movement in integers, for int8 and uint8.</summary>
internal sealed class OperatorLoweringTests
{
    /// <summary>As in <see cref="LayerLoweringTests"/>.</summary>
    private const double Ties = 0.002;

    private static readonly DataType[] ByteTypes = [DataType.UInt8, DataType.Int8];

    internal sealed record Transposed(string Name, int[] X, int[] W, AttributeMap? Attributes = null, int Groups = 1, bool PerChannel = true, DataType Weight = DataType.Int8, int WeightZero = 0)
    {
        public override string ToString() => Name;
    }

    private static readonly Transposed[] TransposedConvolutions =
    [
        new("stride 2", [1, 6, 5, 7], [6, 5, 4, 4], new() { ["strides"] = new long[] { 2, 2 }, ["pads"] = new long[] { 1, 1, 1, 1 } }),
        new("stride 1", [2, 8, 5, 4], [8, 3, 3, 3]),
        new("output padding", [1, 4, 4, 4], [4, 9, 3, 3], new() { ["strides"] = new long[] { 2, 3 }, ["pads"] = new long[] { 1, 0, 1, 2 }, ["output_padding"] = new long[] { 1, 2 } }),
        new("output shape", [1, 4, 4, 4], [4, 9, 3, 3], new() { ["strides"] = new long[] { 2, 3 }, ["output_shape"] = new long[] { 10, 12 } }),
        new("same upper", [1, 4, 5, 4], [4, 2, 3, 3], new() { ["strides"] = new long[] { 2, 2 }, ["auto_pad"] = "SAME_UPPER" }),
        new("dilation", [1, 4, 5, 4], [4, 2, 3, 2], new() { ["dilations"] = new long[] { 2, 3 } }),
        new("grouped", [1, 6, 4, 4], [6, 3, 3, 3], new() { ["strides"] = new long[] { 2, 2 } }, Groups: 2),
        new("depthwise", [1, 6, 4, 4], [6, 1, 4, 4], new() { ["strides"] = new long[] { 2, 2 } }, Groups: 6),
        new("one axis", [2, 5, 9], [5, 4, 5], new() { ["strides"] = new long[] { 3 } }),
        new("three axes", [1, 3, 3, 4, 3], [3, 4, 2, 2, 3], new() { ["strides"] = new long[] { 1, 2, 2 } }),
        new("one scale", [1, 4, 5, 4], [4, 2, 3, 3], PerChannel: false),
        new("uint8 weights, asymmetric", [1, 4, 5, 4], [4, 2, 3, 3], PerChannel: false, Weight: DataType.UInt8, WeightZero: 99),
    ];

    [Test]
    public void TransposedConvolutionBecomesOneIntegerLayer([ValueSource(nameof(TransposedConvolutions))] Transposed test, [ValueSource(nameof(ByteTypes))] DataType type, [Values("", "Relu")] string act)
    {
        QuantizedGraph graph = Build(test, type, act);
        Graph lowered = graph.CheckAgainstSimulation(0.01, out LoweringReport report);
        Assert.That(QuantizedGraph.Types(lowered).Where(name => name is not ("Transpose" or "octet.FlipSign")), Is.EqualTo(new[] { "QuantizeLinear", "octet.QConvTranspose" }));
        Assert.That(report.For("convtranspose")!.Rules, Does.Contain("quantize-transposed-convolution").And.Contain("quantize-output"));
    }

    [TestCaseSource(nameof(TransposedConvolutions))]
    public void TransposedConvolutionEqualsTheIntegerDefinition(Transposed test)
    {
        QuantizedGraph graph = Build(test, DataType.UInt8, "");
        Tensor actual = graph.RunLowered(out _, out _)[0];
        Node conv = graph.Graph.Nodes.Single(node => node.Is("ConvTranspose"));
        Tensor w = conv.Inputs[1]!.Producer!.Inputs[0]!.Constant!, bias = conv.Inputs[2]!.Producer!.Inputs[0]!.Constant!;
        float[] scales = conv.Inputs[1]!.Producer!.Inputs[1]!.Constant!.ToFloat32Array();
        Node quantize = graph.Graph.Nodes.First(node => node.Is("QuantizeLinear"));
        Tensor q = OneNode.Run("QuantizeLinear", [graph.InputTensor("x0"), quantize.Inputs[1]!.Constant, quantize.Inputs[2]!.Constant])[0];

        // The definition in whole numbers that float64 holds exactly: accumulate, add the bias, one float32 multiplication, half to even.
        double[] centred = [.. q.ToInt64Array().Select(number => (double)(number - 122))], weights = [.. w.ToInt64Array().Select(number => (double)(number - test.WeightZero))];
        Tensor acc = OneNode.Run("ConvTranspose", [Tensor.Create(centred, q.Shape), Tensor.Create(weights, w.Shape)], conv.Attributes)[0];
        int channels = acc.Shape[1], pixels = acc.Length / acc.Shape[0] / channels;
        for (int i = 0; i < acc.Length; i++)
        {
            int o = i / pixels % channels;
            int sum = (int)acc.Span<double>()[i] + bias.Span<int>()[o];
            float multiplier = 0.02f * scales[scales.Length == 1 ? 0 : o % test.W[1]] / YScale(test);
            Assert.That(actual.Span<byte>()[i], Is.EqualTo((byte)Math.Clamp(MathF.Round(sum * multiplier, MidpointRounding.ToEven) + 108, 0, 255)), $"element {i}");
        }
    }

    [Test]
    public void TransposedConvolutionTakesBatchNormalizationSumAndTable()
    {
        var graph = new QuantizedGraph(5);
        Value x = graph.Fake(graph.Input(2, 1, 6, 5, 5), 0.016f, 128), side = graph.Fake(graph.Input(1, 1, 4, 10, 10), 0.008f, 120);
        Value y = graph.Node("ConvTranspose", [x, graph.Weight(1, [0.004f], DataType.Int8, 0, 6, 4, 2, 2)], new AttributeMap { ["strides"] = new long[] { 2, 2 } });
        y = graph.Node("BatchNormalization", [y, graph.Test.Floats("g", [1.1f, 0.7f, -0.9f, 1.4f]), graph.Test.Floats("b", [0.1f, 0, -0.3f, 0.2f]), graph.Test.Floats("m", [0.2f, 0.1f, 0, -0.1f]), graph.Test.Floats("v", [1.2f, 0.8f, 0.9f, 1])]);
        graph.Output(graph.Quantize(graph.Node("HardSwish", [graph.Fake(graph.Node("Add", [side, y]), 0.03f, 110)]), 0.02f, 6));
        Graph lowered = graph.CheckAgainstSimulation(0.01, out LoweringReport report);
        Assert.That(QuantizedGraph.Types(lowered).Where(name => name != "Transpose"), Is.EqualTo(new[] { "QuantizeLinear", "QuantizeLinear", "octet.QConvTranspose" }));
        Assert.That(report.For("add")!.Rules, Does.Contain("scale-in-epilogue").And.Contain("sum-in-epilogue").And.Contain("table-in-epilogue"));
    }

    [TestCase(new[] { 3, 4, 5 }, new[] { 3, 5, 6 })]
    [TestCase(new[] { 2, 3, 9, 16 }, new[] { 2, 3, 16, 9 })]
    [TestCase(new[] { 2, 1, 4, 5 }, new[] { 3, 5, 6 })]
    [TestCase(new[] { 7, 20 }, new[] { 20, 33 })]
    public void ProductOfTwoComputedOperands(int[] a, int[] b)
    {
        foreach (DataType left in ByteTypes)
        {
            foreach (DataType right in ByteTypes)
            {
                var graph = new QuantizedGraph(6);
                Value x = graph.Fake(graph.Input(2, a), 0.016f, left == DataType.Int8 ? -3 : 125, left), y = graph.Fake(graph.Input(1, b), 0.008f, right == DataType.Int8 ? 4 : 120, right);
                graph.Output(graph.Quantize(graph.Node("MatMul", [x, y]), 0.05f, 128));
                Graph lowered = graph.CheckAgainstSimulation(Ties, out LoweringReport report);
                Assert.That(QuantizedGraph.Types(lowered), Is.EqualTo(new[] { "QuantizeLinear", "QuantizeLinear", "octet.QMatMul" }));
                Assert.That(report.For("matmul")!.Rules, Is.EqualTo(new[] { "quantize-computed-product", "quantize-output" }));

                // Bit for bit the integer definition of QLinearMatMul.
                var q = new QuantizedGraph(6);
                Tensor[] bytes = [.. graph.Graph.Nodes.Where(node => node.Is("QuantizeLinear")).Take(2).Select(node => OneNode.Run("QuantizeLinear", [graph.InputTensor(node.Inputs[0]!.Name), node.Inputs[1]!.Constant, node.Inputs[2]!.Constant])[0])];
                Tensor expected = OneNode.Run("QLinearMatMul", [bytes[0], Tensor.Scalar(0.016f), Zero(left == DataType.Int8 ? -3 : 125, left), bytes[1], Tensor.Scalar(0.008f), Zero(right == DataType.Int8 ? 4 : 120, right), Tensor.Scalar(0.05f), Zero(128, DataType.UInt8)])[0];
                Assert.That(graph.RunLowered(out _, out _)[0].Bytes.ToArray(), Is.EqualTo(expected.Bytes.ToArray()));
            }
        }
    }

    [Test]
    public void GemmOfComputedOperandsAndConstantBatches([Values(0L, 1L)] long transB)
    {
        var graph = new QuantizedGraph(7);
        Value x = graph.Fake(graph.Input(2, 5, 7), 0.016f, 128), y = graph.Fake(transB != 0 ? graph.Input(1, 6, 7) : graph.Input(1, 7, 6), 0.008f, 120);
        graph.Output(graph.Quantize(graph.Node("Gemm", [x, y, graph.FloatConstant(0.5f, 6)], new AttributeMap { ["transB"] = transB, ["alpha"] = 0.5f }), 0.02f, 128));
        Value batch = graph.Weight(1, [0.01f], DataType.Int8, 0, 3, 7, 4);
        graph.Output(graph.Quantize(graph.Node("MatMul", [graph.Fake(graph.Input(2, 3, 5, 7), 0.016f, 128), batch]), 0.05f, 128));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(0.02, out _)).Count(type => type == "octet.QMatMul"), Is.EqualTo(2));
    }

    [Test]
    public void AttentionIsIntegerButForSoftmax([Values] bool interleaved, [ValueSource(nameof(ByteTypes))] DataType type)
    {
        const int batch = 2, steps = 7, heads = 3, width = 8;
        int zero = type == DataType.Int8 ? 2 : 130;
        var graph = new QuantizedGraph(8);
        Value q, k, v;
        if (interleaved)
        {
            // One tensor [batch, steps, 3·heads·width], cut by Split as self-attention layers write it.
            Value qkv = graph.Fake(graph.Input(2, batch, steps, 3 * heads * width), 0.016f, zero, type);
            Value[] parts = [.. Enumerable.Range(0, 3).Select(i => graph.Test.Editor.AddValue($"part{i}"))];
            graph.Test.Editor.AddNode("Split", [qkv], parts, new AttributeMap { ["axis"] = 2L, ["num_outputs"] = 3L }, name: "split");
            (q, k, v) = (parts[0], parts[1], parts[2]);
        }
        else
        {
            Value At() => graph.Fake(graph.Input(2, batch, steps, heads * width), 0.016f, zero, type);
            (q, k, v) = (At(), At(), At());
        }
        Value Heads(Value value, params long[] perm) =>
            graph.Node("Transpose", [graph.Node("Reshape", [value, graph.Test.Ints($"shape{value.Name}", 0, 0, heads, width)])], new AttributeMap { ["perm"] = perm });
        Value scores = graph.Node("MatMul", [Heads(q, 0, 2, 1, 3), Heads(k, 0, 2, 3, 1)]);
        scores = graph.Node("Div", [scores, graph.Scalar(MathF.Sqrt(width))]);
        Value weights = graph.Fake(graph.Node("Softmax", [scores], new AttributeMap { ["axis"] = -1L }), 1f / 255, 0);
        Value context = graph.Node("MatMul", [weights, Heads(v, 0, 2, 1, 3)]);
        context = graph.Node("Reshape", [graph.Node("Transpose", [context], new AttributeMap { ["perm"] = new long[] { 0, 2, 1, 3 } }), graph.Test.Ints("flat", 0, 0, heads * width)]);
        graph.Output(graph.Quantize(context, 0.01f, 128));

        Graph lowered = graph.CheckAgainstSimulation(0.02, out LoweringReport report);
        string[] types = QuantizedGraph.Types(lowered);
        Assert.That(types.Count(name => name == "octet.QMatMul"), Is.EqualTo(2));
        Assert.That(types, Has.None.EqualTo("MatMul").And.None.EqualTo("Div"));
        NodeExplanation[] floats = [.. report.Explanations.Where(line => line.Form == NodeForm.Float)];
        Assert.That(floats.Select(line => line.OperatorType), Is.EqualTo(new[] { "Softmax" }));
        Assert.That(floats[0].Reason, Is.Not.Empty);
        Assert.That(report.For("div")!.Rules, Does.Contain("quantize-computed-product").And.Contain("scale-in-epilogue"));
        // The scores go to Softmax as real numbers, straight from the accumulators.
        Assert.That(lowered.Nodes.First(node => node.OperatorType == "QMatMul").Attributes.String("output"), Is.EqualTo("float32"));
    }

    [Test]
    public void FunctionsPerChannelAreTablesWithoutAnyDifference([Values("BatchNormalization", "BatchNormalization+Relu", "PRelu", "Mul", "Div+Add", "Sub")] string kind, [ValueSource(nameof(ByteTypes))] DataType type,
        [Values(2, 3, 4)] int rank)
    {
        var graph = new QuantizedGraph(9);
        int[] shape = [2, 5, 6, 7];
        Value x = graph.Fake(graph.Input(3, shape[..rank]), 0.024f, type == DataType.Int8 ? -7 : 121, type);
        Value PerChannel(string name, params float[] values) => graph.Test.Floats(name, values, [5, .. Enumerable.Repeat(1, rank - 2)]);
        float[] gamma = [1.2f, 0.4f, -0.8f, 0, 2], beta = [0.5f, -1, 0.25f, 0.75f, 0], mean = [0.1f, -0.3f, 0, 1, 0.5f], variance = [1, 0.5f, 2, 0.1f, 3];
        Value y = kind switch
        {
            "PRelu" => graph.Node("PRelu", [x, PerChannel("slope", gamma)]),
            "Mul" => graph.Node("Mul", [PerChannel("factor", gamma), x]),
            "Div+Add" => graph.Node("Add", [graph.Node("Div", [x, PerChannel("divisor", variance)]), PerChannel("shift", beta)]),
            "Sub" => graph.Node("Sub", [PerChannel("from", mean), x]),
            _ => graph.Node("BatchNormalization", [x, graph.Test.Floats("gamma", gamma), graph.Test.Floats("beta", beta), graph.Test.Floats("mean", mean), graph.Test.Floats("variance", variance)]),
        };
        if (kind.EndsWith("Relu", StringComparison.Ordinal) && kind.Contains('+')) y = graph.Node("Relu", [y]);
        graph.Output(graph.Quantize(y, 0.03f, 100));
        Graph lowered = graph.CheckAgainstSimulation(0, out LoweringReport report);
        Assert.That(QuantizedGraph.Types(lowered), Is.EqualTo(new[] { "QuantizeLinear", "octet.QTable" }));
        Assert.That(report.For(kind.Split('+')[0].ToLowerInvariant())!.Rules, Is.EqualTo(new[] { "quantize-per-channel" }));
        Assert.That(QuantizedGraph.Types(graph.Lower(null, "quantize-per-channel").Graph), Does.Contain("DequantizeLinear"));
    }

    [Test]
    public void ConstantsAlongTwoAxesMakeNoTablePerChannel()
    {
        var graph = new QuantizedGraph(9);
        Value x = graph.Fake(graph.Input(3, 2, 5, 6), 0.024f, 121);
        graph.Output(graph.Quantize(graph.Node("Mul", [x, graph.FloatConstant(1, 5, 6)]), 0.03f, 100));
        (Graph lowered, LoweringReport report) = graph.Lower();
        Assert.That(QuantizedGraph.Types(lowered), Does.Contain("Mul"));
        Assert.That(report.For("mul")!.Reason, Is.Not.Empty);
    }

    [Test]
    public void EmbeddingLooksUpBytes([ValueSource(nameof(ByteTypes))] DataType type, [Values("Gather", "GatherND")] string kind)
    {
        var graph = new QuantizedGraph(10);
        Value table = graph.Weight(0, [0.01f], type, type == DataType.Int8 ? 0 : 128, 50, 16);
        Value indices = graph.Test.Input("ids", new TensorType(DataType.Int64, (ReadOnlySpan<int>)(kind == "GatherND" ? [3, 4, 1] : [3, 4])));
        Value rows = graph.Node(kind, [table, indices]);
        graph.Output(graph.Quantize(graph.Node("Mul", [rows, graph.Scalar(2)]), 0.02f, 128));
        (Graph lowered, LoweringReport report) = graph.Lower();
        Assert.That(QuantizedGraph.Types(lowered).Where(name => name != "octet.QTable"), Is.EqualTo(new[] { kind }));
        Assert.That(lowered.Nodes[0].Inputs[0]!.Type.Element, Is.EqualTo(DataType.UInt8));
        Assert.That(report.For(kind.ToLowerInvariant())!.Form, Is.EqualTo(NodeForm.Movement));
    }

    private static readonly string[] Moves = ["Squeeze", "Unsqueeze", "Slice", "Split", "Resize", "Pad", "DepthToSpace", "SpaceToDepth", "Flatten", "Reshape", "Transpose", "Expand", "Tile", "MaxPool", "GlobalMaxPool", "Gather"];

    [Test]
    public void EveryMovementWorksOnBytesWithoutAnyDifference([ValueSource(nameof(Moves))] string kind, [ValueSource(nameof(ByteTypes))] DataType type)
    {
        var graph = new QuantizedGraph(11);
        TestGraph test = graph.Test;
        Value x = graph.Fake(graph.Input(2, kind == "Squeeze" ? [4, 1, 8, 6] : [1, 8, 4, 6]), 0.016f, type == DataType.Int8 ? -5 : 130, type);
        Value y;
        if (kind == "Split")
        {
            Value[] parts = [test.Editor.AddValue("left"), test.Editor.AddValue("right")];
            test.Editor.AddNode("Split", [x, test.Ints("sizes", 3, 5)], parts, new AttributeMap { ["axis"] = 1L }, name: "split");
            y = graph.Node("Concat", [parts[1], parts[0]], new AttributeMap { ["axis"] = 1L });
        }
        else
        {
            y = kind switch
            {
                "Squeeze" => graph.Node(kind, [x, test.Ints("axes", 1)]),
                "Unsqueeze" => graph.Node(kind, [x, test.Ints("axes", 2)]),
                "Slice" => graph.Node(kind, [x, test.Ints("starts", -1, 1), test.Ints("ends", -9, 3), test.Ints("axes", 1, 2), test.Ints("steps", -2, 1)]),
                "Resize" => graph.Node(kind, [x, null, null, test.Ints("sizes", 1, 8, 7, 9)], new AttributeMap { ["mode"] = "nearest", ["coordinate_transformation_mode"] = "asymmetric", ["nearest_mode"] = "floor" }),
                "Pad" => graph.Node(kind, [x, test.Ints("pads", 0, 1, 2, 0, 0, 0, 1, 2)], new AttributeMap { ["mode"] = "reflect" }),
                "DepthToSpace" or "SpaceToDepth" => graph.Node(kind, [x], new AttributeMap { ["blocksize"] = 2L }),
                "Flatten" => graph.Node(kind, [x], new AttributeMap { ["axis"] = 2L }),
                "Reshape" => graph.Node(kind, [x, test.Ints("shape", 0, -1, 3)]),
                "Transpose" => graph.Node(kind, [x], new AttributeMap { ["perm"] = new long[] { 2, 0, 3, 1 } }),
                "Expand" => graph.Node(kind, [x, test.Ints("shape", 3, 8, 4, 6)]),
                "Tile" => graph.Node(kind, [x, test.Ints("repeats", 2, 1, 1, 2)]),
                "MaxPool" => graph.Node(kind, [x], new AttributeMap { ["kernel_shape"] = new long[] { 3, 2 }, ["pads"] = new long[] { 1, 0, 1, 1 }, ["strides"] = new long[] { 2, 1 } }),
                "Gather" => graph.Node(kind, [x, test.Ints("indices", 5, 0, -1)], new AttributeMap { ["axis"] = 1L }),
                _ => graph.Node(kind, [x]),
            };
        }
        graph.Output(graph.Quantize(y, 0.016f, type == DataType.Int8 ? -5 : 130, type));
        Graph lowered = graph.CheckAgainstSimulation(0, out LoweringReport report);
        Assert.That(QuantizedGraph.Types(lowered), Has.None.EqualTo("DequantizeLinear"));
        Assert.That(report.For(kind.ToLowerInvariant())!.Form, Is.EqualTo(NodeForm.Movement));
    }

    private static float YScale(Transposed test) => 0.003f * MathF.Sqrt(test.W[0] / test.Groups * test.W.Skip(2).Aggregate(1, (a, b) => a * b)) * (test.Weight == DataType.UInt8 ? 2 : 1);

    private static QuantizedGraph Build(Transposed test, DataType type, string act)
    {
        var graph = new QuantizedGraph(test.Name.Length);
        int channels = test.W[1] * test.Groups;
        float[] scales = test.PerChannel ? [.. Enumerable.Range(0, test.W[1]).Select(o => 0.002f + 0.0001f * o)] : [0.003f];
        float[] biasScales = [.. Enumerable.Range(0, scales.Length == 1 ? 1 : channels).Select(o => 0.02f * scales[o % scales.Length])];
        Value x = graph.Fake(graph.Input(2.5f, test.X), 0.02f, type == DataType.Int8 ? -6 : 122, type);
        Value w = graph.Weight(1, scales, test.Weight, test.WeightZero, test.W);
        AttributeMap attributes = test.Attributes?.Copy() ?? [];
        attributes["group"] = (long)test.Groups;
        Value y = graph.Node("ConvTranspose", [x, w, graph.IntegerBias(biasScales, channels)], attributes);
        if (act.Length > 0) y = graph.Node(act, [y]);
        graph.Output(graph.Quantize(y, YScale(test), type == DataType.Int8 ? -20 : 108, type));
        return graph;
    }

    private static Tensor Zero(int value, DataType type) => new(type, [], new[] { (byte)value });
}
