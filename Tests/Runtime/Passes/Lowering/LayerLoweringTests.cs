using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Passes;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes;

/// <summary>Convolutions and products between DequantizeLinear and QuantizeLinear become one integer layer each.</summary>
internal sealed class LayerLoweringTests
{
    /// <summary>
    /// Largest share of elements that may differ from the float simulation: a value within 2⁻²⁰ or so of a tie may round the other way. Random data meets
    /// one in some thousand elements.
    /// </summary>
    private const double Ties = 0.002;

    internal sealed record Case(string Name, int[] X, int[] W, int Groups = 1, long[]? Strides = null, long[]? Dilations = null, long[]? Pads = null, string AutoPad = "NOTSET",
        DataType Activation = DataType.UInt8, DataType Weight = DataType.Int8, int WeightZero = 0, bool PerChannel = true, string Bias = "int32", string Act = "", DataType Result = DataType.UInt8)
    {
        public override string ToString() => Name;
    }

    private static readonly Case[] Convolutions =
    [
        new("pointwise", [2, 16, 7, 9], [24, 16, 1, 1]),
        new("3x3 padded", [1, 8, 10, 11], [12, 8, 3, 3], Pads: [1, 1, 1, 1]),
        new("stride, dilation, uneven pads", [1, 8, 13, 11], [5, 8, 3, 2], Strides: [2, 1], Dilations: [1, 2], Pads: [1, 0, 2, 1]),
        new("same upper", [1, 3, 13, 10], [8, 3, 3, 3], Strides: [2, 2], AutoPad: "SAME_UPPER"),
        new("same lower", [1, 3, 12, 10], [8, 3, 4, 4], Strides: [2, 2], AutoPad: "SAME_LOWER"),
        new("depthwise", [1, 24, 9, 9], [24, 1, 3, 3], Groups: 24, Pads: [1, 1, 1, 1]),
        new("grouped", [1, 12, 6, 6], [18, 4, 3, 3], Groups: 3),
        new("one axis", [2, 6, 40], [10, 6, 5], Pads: [2, 2]),
        new("three axes", [1, 4, 5, 6, 7], [6, 4, 2, 3, 3], Pads: [0, 1, 1, 1, 1, 1]),
        new("int8 data", [1, 8, 8, 8], [8, 8, 3, 3], Activation: DataType.Int8, Result: DataType.Int8),
        new("uint8 weights, asymmetric", [1, 8, 8, 8], [8, 8, 3, 3], Weight: DataType.UInt8, WeightZero: 117),
        new("one scale", [1, 8, 8, 8], [8, 8, 3, 3], PerChannel: false),
        new("float bias", [1, 8, 8, 8], [8, 8, 3, 3], Bias: "float"),
        new("no bias", [1, 8, 8, 8], [8, 8, 3, 3], Bias: ""),
        new("relu", [1, 8, 8, 8], [8, 8, 3, 3], Act: "Relu"),
        new("clip", [1, 8, 8, 8], [8, 8, 3, 3], Act: "Clip"),
    ];

    [TestCaseSource(nameof(Convolutions))]
    public void ConvolutionBecomesOneIntegerLayer(Case test)
    {
        QuantizedGraph graph = Convolution(test, out float[] _);
        Graph lowered = graph.CheckAgainstSimulation(Ties, out LoweringReport report);
        string[] types = QuantizedGraph.Types(lowered);
        Assert.That(types.Count(type => type == "octet.QConv"), Is.EqualTo(1));
        Assert.That(types, Has.None.EqualTo("Conv").And.None.EqualTo("Relu").And.None.EqualTo("Clip").And.None.EqualTo("DequantizeLinear"));
        NodeExplanation line = report.For("conv")!;
        Assert.That(line.Form, Is.EqualTo(NodeForm.Integer));
        Assert.That(line.Rules, Does.Contain("quantize-convolution").And.Contain("quantize-output"));
    }

    [TestCaseSource(nameof(Convolutions))]
    public void ConvolutionEqualsTheIntegerDefinition(Case test)
    {
        if (test.Bias == "float") Assert.Ignore("a float bias is rounded; the definition starts from an integer one");
        QuantizedGraph graph = Convolution(test, out float[] scales);
        Tensor actual = graph.RunLowered(out Graph _, out LoweringReport _)[0];

        // The definition: ConvInteger, bias, one multiplication, half to even, limits.
        Node conv = graph.Graph.Nodes.Single(node => node.Is("Conv"));
        Tensor Constant(int input) => conv.Inputs[input]!.Producer!.Inputs[0]!.Constant!;
        Tensor q = InputBytes(graph);
        Tensor acc = OneNode.Run("ConvInteger", [q, Constant(1), new Tensor(q.Type, [], new[] { (byte)XZero(test) }), new Tensor(test.Weight, [], new[] { (byte)test.WeightZero })], conv.Attributes)[0];
        int pixels = acc.Length / acc.Shape[0] / acc.Shape[1], channels = acc.Shape[1];
        (int low, int high) = test.Result == DataType.Int8 ? (-128, 127) : (0, 255);
        int yZero = YZero(test);
        for (int i = 0; i < acc.Length; i++)
        {
            int o = i / pixels % channels;
            int sum = acc.Span<int>()[i] + (test.Bias.Length == 0 ? 0 : Constant(2).Span<int>()[o]);
            float multiplier = XScale * scales[scales.Length == 1 ? 0 : o] / YScale(test);
            int from = test.Act.Length > 0 ? Math.Max(low, yZero) : low, to = test.Act == "Clip" ? (int)Math.Min(high, MathF.Round(6f / YScale(test), MidpointRounding.ToEven) + yZero) : high;
            Assert.That(actual.ToInt64Array()[i], Is.EqualTo(Math.Clamp((long)MathF.Round(sum * multiplier, MidpointRounding.ToEven) + yZero, from, to)));
        }
    }

    [Test]
    public void WithoutAFollowingQuantizationTheLayerWritesRealValues()
    {
        var graph = new QuantizedGraph();
        Value x = graph.Fake(graph.Input(2, 1, 6, 5, 5), 0.02f, 120);
        graph.Output(graph.Node("Relu", [graph.Node("Conv", [x, graph.Weight(0, [0.01f], DataType.Int8, 0, 4, 6, 3, 3)])]));
        Tensor expected = graph.Simulate()[0], actual = graph.RunLowered(out Graph lowered, out LoweringReport report)[0];
        Assert.That(QuantizedGraph.Types(lowered), Is.EquivalentTo(new[] { "QuantizeLinear", "Transpose", "octet.QConv", "Transpose" }));
        Assert.That(report.For("conv")!.Rules, Does.Contain("clamp-in-epilogue"));
        AssertClose(actual, expected);
    }

    [TestCase("Gemm", false)]
    [TestCase("Gemm", true)]
    [TestCase("MatMul", false)]
    public void ProductBecomesOneIntegerLayer(string type, bool transposed)
    {
        foreach (bool perChannel in new[] { false, true })
        {
            var graph = new QuantizedGraph(3);
            Value x = graph.Fake(graph.Input(2, 9, 40), 0.02f, 131);
            float[] scales = perChannel ? [.. Enumerable.Range(0, 17).Select(i => 0.002f + i * 0.0003f)] : [0.003f];
            Value w = graph.Weight(transposed ? 0 : 1, scales, DataType.Int8, 0, transposed ? [17, 40] : [40, 17]);
            Value y = type == "MatMul"
                ? graph.Node("Add", [graph.Node("MatMul", [x, w]), graph.FloatConstant(1, 17)])
                : graph.Node("Gemm", [x, w, graph.IntegerBias([.. scales.Select(scale => 0.02f * scale)], 17)], new AttributeMap { ["transB"] = transposed ? 1L : 0L });
            graph.Output(graph.Quantize(graph.Node("Relu", [y]), 0.05f, 10));
            Graph lowered = graph.CheckAgainstSimulation(Ties * 5, out LoweringReport report);
            Assert.That(QuantizedGraph.Types(lowered), Is.EqualTo(new[] { "QuantizeLinear", "octet.QGemm" }));
            Assert.That(report.For(type.ToLowerInvariant())!.Form, Is.EqualTo(NodeForm.Integer));
        }
    }

    [Test]
    public void ProductOfHigherRankKeepsItsLeadingAxes()
    {
        var graph = new QuantizedGraph(4);
        Value x = graph.Fake(graph.Input(1, 2, 3, 5, 16), 0.01f, 128);
        graph.Output(graph.Quantize(graph.Node("MatMul", [x, graph.Weight(1, [0.01f], DataType.UInt8, 128, 16, 8)]), 0.03f, 128));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(Ties * 5, out _)), Is.EqualTo(new[] { "QuantizeLinear", "octet.QGemm" }));
    }

    [Test]
    public void AlphaAndBetaScaleProductAndBias()
    {
        var graph = new QuantizedGraph(5);
        Value x = graph.Fake(graph.Input(1, 6, 16), 0.01f, 128);
        graph.Output(graph.Quantize(graph.Node("Gemm", [x, graph.Weight(1, [0.01f], DataType.Int8, 0, 16, 8), graph.FloatConstant(2, 1, 8)], new AttributeMap { ["alpha"] = 0.5f, ["beta"] = 3f }), 0.04f, 128));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(0.02, out _)), Is.EqualTo(new[] { "QuantizeLinear", "octet.QGemm" }));
    }

    [Test]
    public void TransposedWeightIsFoldedWithItsAxis()
    {
        var graph = new QuantizedGraph(6);
        Value x = graph.Fake(graph.Input(1, 6, 16), 0.01f, 128);
        Value w = graph.Node("Transpose", [graph.Weight(0, [.. Enumerable.Range(1, 8).Select(i => i * 0.002f)], DataType.Int8, 0, 8, 16)]);
        graph.Output(graph.Quantize(graph.Node("MatMul", [x, w]), 0.03f, 128));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(0.02, out _)), Is.EqualTo(new[] { "QuantizeLinear", "octet.QGemm" }));
    }

    [Test]
    public void BatchNormalizationBehindALayerScalesItsChannels()
    {
        var graph = new QuantizedGraph(7);
        Value x = graph.Fake(graph.Input(1, 1, 6, 8, 8), 0.01f, 128);
        Value conv = graph.Node("Conv", [x, graph.Weight(0, [0.01f], DataType.Int8, 0, 5, 6, 3, 3), graph.FloatConstant(0.5f, 5)]);
        Value variance = graph.Test.Floats("variance", [1f, 2f, 0.5f, 4f, 3f]);
        Value normalized = graph.Node("BatchNormalization", [conv, graph.FloatConstant(2, 5), graph.FloatConstant(1, 5), graph.FloatConstant(1, 5), variance]);
        graph.Output(graph.Quantize(graph.Node("Relu", [normalized]), 0.03f, 3));
        Graph lowered = graph.CheckAgainstSimulation(Ties * 5, out LoweringReport report);
        Assert.That(QuantizedGraph.Types(lowered), Has.None.EqualTo("BatchNormalization"));
        Assert.That(report.For("batchnormalization")!.OperatorType, Is.EqualTo("octet.QConv"));
    }

    [Test]
    public void BiasOfADeadChannelSurvivesItsTinyScale()
    {
        // Channel 1 has zero weights and, as some tools write it, a scale of 1e-12: its bias is 10¹² accumulator steps.
        var graph = new QuantizedGraph(8);
        Value x = graph.Fake(graph.Input(1, 1, 4, 6, 6), 0.01f, 128);
        var weights = new sbyte[2 * 4];
        for (int i = 0; i < 4; i++) weights[i] = (sbyte)(i * 20 - 30);
        Value w = graph.Test.Editor.AddConstant("w", Tensor.Create(weights, 2, 4, 1, 1));
        Value real = graph.Node("DequantizeLinear", [w, graph.Test.Floats("ws", [0.01f, 1e-12f])], new AttributeMap { ["axis"] = 0L });
        graph.Output(graph.Quantize(graph.Node("Conv", [x, real, graph.Test.Floats("bias", [0.25f, 0.75f])]), 0.01f, 100));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(0.02, out _)), Does.Contain("octet.QConv"));
        Assert.That(graph.RunLowered(out _, out _)[0].Span<byte>()[36..].ToArray(), Is.All.EqualTo(175));
    }

    [Test]
    public void BiasBeyondTheAccumulatorIsRefusedWithItsSize()
    {
        var graph = new QuantizedGraph(8);
        Value x = graph.Fake(graph.Input(1, 1, 4, 6, 6), 0.01f, 128);
        graph.Output(graph.Quantize(graph.Node("Conv", [x, graph.Weight(0, [1e-9f], DataType.Int8, 0, 2, 4, 1, 1), graph.Test.Floats("bias", [0.25f, 0.75f])]), 0.01f, 100));
        (Graph lowered, LoweringReport report) = graph.Lower();
        Assert.That(QuantizedGraph.Types(lowered), Does.Contain("Conv"));
        Assert.That(report.For("conv")!.Reason, Does.Contain("above 2^30"));
    }

    internal static readonly (string Reason, Action<QuantizedGraph> Build)[] Refusals =
    [
        ("its data is not quantized", graph => graph.Output(graph.Node("Conv", [graph.Input(1, 1, 3, 5, 5), graph.Weight(0, [0.1f], DataType.Int8, 0, 4, 3, 3, 3)]))),
        ("the weight is not quantized", graph => graph.Output(graph.Node("Conv", [graph.Fake(graph.Input(1, 1, 3, 5, 5), 0.1f, 3), graph.FloatConstant(1, 4, 3, 3, 3)]))),
        ("the weight is computed at run time", graph => graph.Output(graph.Node("Conv", [graph.Fake(graph.Input(1, 1, 3, 5, 5), 0.1f, 3), graph.Fake(graph.Input(1, 4, 3, 3, 3), 0.1f, 3)]))),
        ("its data is quantized per axis", graph => graph.Output(graph.Node("Conv", [PerAxis(graph), graph.Weight(0, [0.1f], DataType.Int8, 0, 4, 3, 3, 3)]))),
        ("its data is uint16", graph => graph.Output(graph.Node("Conv", [Wide(graph), graph.Weight(0, [0.1f], DataType.Int8, 0, 4, 3, 3, 3)]))),
        ("not along its output channels", graph => graph.Output(graph.Node("Conv", [graph.Fake(graph.Input(1, 1, 3, 5, 5), 0.1f, 3), graph.Weight(1, [0.1f, 0.2f, 0.3f], DataType.Int8, 0, 4, 3, 3, 3)]))),
        ("its left operand is not quantized", graph => graph.Output(graph.Node("MatMul", [graph.Input(1, 4, 4), graph.Fake(graph.Input(1, 4, 4), 0.1f, 3)]))),
        ("fewer than two axes", graph => graph.Output(graph.Node("MatMul", [graph.Fake(graph.Input(1, 4), 0.1f, 3), graph.Fake(graph.Input(1, 4, 4), 0.1f, 3)]))),
        ("the weight is computed at run time", graph => graph.Output(graph.Node("ConvTranspose", [graph.Fake(graph.Input(1, 1, 3, 5, 5), 0.1f, 3), graph.Fake(graph.Input(1, 3, 4, 3, 3), 0.1f, 3)]))),
        ("its data is not quantized", graph => graph.Output(graph.Node("ConvTranspose", [graph.Input(1, 1, 3, 5, 5), graph.Weight(1, [0.1f], DataType.Int8, 0, 3, 4, 3, 3)]))),
        ("its result is not quantized", graph => graph.Output(graph.Node("Mul", [graph.Fake(graph.Input(1, 4, 4), 0.1f, 3), graph.Fake(graph.Input(1, 4, 4), 0.2f, 3)]))),
        ("Softmax has no integer form", graph => graph.Output(graph.Node("Softmax", [graph.Fake(graph.Input(1, 4, 4), 0.1f, 3)]))),
    ];

    [TestCaseSource(nameof(Refusals))]
    public void EveryFloatNodeSaysWhy((string Reason, Action<QuantizedGraph> Build) test)
    {
        var graph = new QuantizedGraph(9);
        test.Build(graph);
        (Graph lowered, LoweringReport report) = graph.Lower();
        NodeExplanation[] floats = [.. report.Explanations.Where(line => line.Form == NodeForm.Float)];
        Assert.That(floats, Has.Length.EqualTo(1), GraphPrinter.Print(lowered));
        Assert.That(floats[0].Reason, Does.Contain(test.Reason));
    }

    internal static void AssertClose(Tensor actual, Tensor expected)
    {
        float[] e = expected.ToFloat32Array(), a = actual.ToFloat32Array();
        float largest = e.Max(MathF.Abs);
        for (int i = 0; i < e.Length; i++) Assert.That(a[i], Is.EqualTo(e[i]).Within(1e-5f * largest));   // float sums of about 50 terms against one exact integer sum
    }

    private const float XScale = 0.02f;

    private static int XZero(Case test) => test.Activation == DataType.Int8 ? -6 : 122;

    private static int YZero(Case test) => test.Result == DataType.Int8 ? -20 : 108;

    private static float YScale(Case test) => 0.004f * MathF.Sqrt(test.W.Skip(1).Aggregate(1, (a, b) => a * b)) * (test.Weight == DataType.UInt8 ? 2 : 1);

    private static Value PerAxis(QuantizedGraph graph)
    {
        Value scale = graph.Test.Floats("scales", [0.1f, 0.2f, 0.3f]), zero = graph.Test.Editor.AddConstant("zeros", Tensor.Create(new byte[] { 1, 2, 3 }, 3));
        return graph.Node("DequantizeLinear", [graph.Node("QuantizeLinear", [graph.Input(1, 1, 3, 5, 5), scale, zero]), scale, zero]);
    }

    private static Value Wide(QuantizedGraph graph)
    {
        Value zero = graph.Test.Editor.AddConstant("wide", Tensor.Scalar((ushort)7));
        return graph.Node("DequantizeLinear", [graph.Node("QuantizeLinear", [graph.Input(1, 1, 3, 5, 5), graph.Scalar(0.01f), zero]), graph.Scalar(0.01f), zero]);
    }

    private static QuantizedGraph Convolution(Case test, out float[] scales)
    {
        var graph = new QuantizedGraph(test.Name.Length);
        int channels = test.W[0];
        scales = test.PerChannel ? [.. Enumerable.Range(0, channels).Select(o => 0.002f + 0.0001f * o)] : [0.003f];
        float[] biasScales = Array.ConvertAll(scales, scale => XScale * scale);
        Value x = graph.Fake(graph.Input(2.5f, test.X), XScale, XZero(test), test.Activation);
        Value w = graph.Weight(0, scales, test.Weight, test.WeightZero, test.W);
        Value? bias = test.Bias switch { "int32" => graph.IntegerBias(biasScales, channels), "float" => graph.FloatConstant(0.5f, channels), _ => null };
        var attributes = new AttributeMap { ["group"] = (long)test.Groups };
        if (test.Strides is not null) attributes["strides"] = test.Strides;
        if (test.Dilations is not null) attributes["dilations"] = test.Dilations;
        if (test.Pads is not null) attributes["pads"] = test.Pads;
        if (test.AutoPad != "NOTSET") attributes["auto_pad"] = test.AutoPad;
        Value y = graph.Node("Conv", [x, w, bias], attributes);
        if (test.Act == "Relu") y = graph.Node("Relu", [y]);
        if (test.Act == "Clip") y = graph.Node("Clip", [y, graph.Scalar(0), graph.Scalar(6)]);
        graph.Output(graph.Quantize(y, YScale(test), YZero(test), test.Result));
        return graph;
    }

    /// <summary>The quantized data of a graph with one input.</summary>
    private static Tensor InputBytes(QuantizedGraph graph)
    {
        Node first = graph.Graph.Nodes.First(node => node.Is("QuantizeLinear"));
        return OneNode.Run("QuantizeLinear", [graph.InputTensor(first.Inputs[0]!.Name), first.Inputs[1]!.Constant, first.Inputs[2]!.Constant])[0];
    }
}
