using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Passes;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes;

/// <summary>What stands between layers: sums, products, pools, tables, movement, the QOperator forms.</summary>
internal sealed class GraphLoweringTests
{
    /// <summary>As in <see cref="LayerLoweringTests"/>.</summary>
    private const double Ties = 0.01;

    [TestCase("Add", new[] { 2, 3, 4, 5 }, new[] { 2, 3, 4, 5 })]
    [TestCase("Add", new[] { 2, 3, 4, 5 }, new[] { 3, 1, 1 })]
    [TestCase("Sub", new[] { 2, 3, 4, 5 }, new[] { 5 })]
    [TestCase("Sub", new[] { 4, 1 }, new[] { 1, 6 })]
    [TestCase("Mul", new[] { 2, 3, 4, 5 }, new[] { 2, 3, 1, 1 })]
    [TestCase("Mul", new[] { 7 }, new[] { 2, 3, 7 })]
    [TestCase("Div", new[] { 2, 3, 4, 5 }, new[] { 2, 3, 1, 1 })]
    [TestCase("Div", new[] { 6, 7 }, new[] { 7 })]
    public void PairsOfTensors(string type, int[] a, int[] b)
    {
        foreach (string act in new[] { "", "Relu" })
        {
            var graph = new QuantizedGraph(11);
            Value x = graph.Fake(graph.Input(2, a), 0.017f, 120), y = type == "Div" ? graph.Fake(graph.Node("Exp", [graph.Input(1, b)]), 0.011f, -128, DataType.Int8) : graph.Fake(graph.Input(1, b), 0.008f, -4, DataType.Int8);
            Value z = graph.Node(type, [x, y]);
            if (act.Length > 0) z = graph.Node(act, [z]);
            graph.Output(graph.Quantize(z, type == "Mul" ? 0.0157f : 0.023f, 125));
            string lowered = type switch { "Mul" => "octet.QMul", "Div" => "octet.QDiv", _ => "octet.QAdd" };
            Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(0.05, out LoweringReport report)).Where(name => name != "Exp"), Is.EqualTo(new[] { "QuantizeLinear", "QuantizeLinear", lowered }));
            Assert.That(report.For(type.ToLowerInvariant())!.Rules, Is.EqualTo(new[] { "quantize-pair" }));
        }
    }

    [Test]
    public void ResidualSumsJoinTheLayerBitForBit([Values("", "Relu")] string before, [Values("", "Relu")] string after, [Values(0, 1)] int side)
    {
        var graph = new QuantizedGraph(12);
        Value x = graph.Fake(graph.Input(2, 1, 8, 9, 7), 0.016f, 128);
        Value conv = graph.Node("Conv", [x, graph.Weight(0, [0.004f], DataType.Int8, 0, 8, 8, 3, 3)], new AttributeMap { ["pads"] = new long[] { 1, 1, 1, 1 } });
        if (before.Length > 0) conv = graph.Node(before, [conv]);
        Value first = graph.Fake(conv, 0.03f, before.Length > 0 ? 0 : 128);
        Value sum = graph.Node("Add", side == 0 ? [first, x] : [x, first]);
        if (after.Length > 0) sum = graph.Node(after, [sum]);
        graph.Output(graph.Quantize(sum, 0.035f, after.Length > 0 ? 2 : 130));

        Tensor fused = graph.RunLowered(out Graph lowered, out LoweringReport report)[0];
        Tensor separate = graph.RunLowered(out Graph plain, out _, "add-in-epilogue")[0];
        Assert.That(QuantizedGraph.Types(lowered), Does.Contain("octet.QConv").And.None.EqualTo("octet.QAdd"));
        Assert.That(QuantizedGraph.Types(plain), Does.Contain("octet.QAdd"));
        Assert.That(report.For("add")!.Rules, Does.Contain("add-in-epilogue"));
        Assert.That(fused.Bytes.ToArray(), Is.EqualTo(separate.Bytes.ToArray()));
        graph.CheckAgainstSimulation(Ties, out _);
    }

    [Test]
    public void ASumIsNotFusedWhereTheLayersBytesAreReadElsewhere()
    {
        var graph = new QuantizedGraph(13);
        Value x = graph.Fake(graph.Input(2, 1, 8, 6, 6), 0.016f, 128);
        Value bytes = graph.Quantize(graph.Node("Conv", [x, graph.Weight(0, [0.004f], DataType.Int8, 0, 8, 8, 1, 1)]), 0.03f, 128);
        Value first = graph.Dequantize(bytes, 0.03f, 128);
        graph.Output(graph.Quantize(graph.Node("Add", [first, x]), 0.035f, 130));
        graph.Output(bytes);
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(Ties, out _)), Does.Contain("octet.QAdd"));
    }

    [Test]
    public void SumWithoutItsOwnQuantizationIsAddedUnrounded()
    {
        var graph = new QuantizedGraph(14);
        Value x = graph.Fake(graph.Input(2, 1, 8, 6, 6), 0.016f, 128);
        Value conv = graph.Node("Conv", [x, graph.Weight(0, [0.004f], DataType.Int8, 0, 8, 8, 1, 1)]);
        graph.Output(graph.Quantize(graph.Node("Relu", [graph.Node("Add", [conv, x])]), 0.02f, 1));
        Graph lowered = graph.CheckAgainstSimulation(Ties, out LoweringReport report);
        Assert.That(QuantizedGraph.Types(lowered).Where(type => type != "Transpose"), Is.EqualTo(new[] { "QuantizeLinear", "octet.QConv" }));
        Assert.That(report.For("add")!.Rules, Does.Contain("sum-in-epilogue"));
    }

    [Test]
    public void FloatOperandIsAddedInFloat()
    {
        var graph = new QuantizedGraph(15);
        Value x = graph.Fake(graph.Input(2, 1, 8, 6, 6), 0.016f, 128);
        Value conv = graph.Node("Conv", [x, graph.Weight(0, [0.004f], DataType.Int8, 0, 8, 8, 1, 1)]);
        graph.Output(graph.Node("Relu", [graph.Node("Add", [conv, graph.Input(1, 1, 8, 6, 6)])]));
        Tensor expected = graph.Simulate()[0], actual = graph.RunLowered(out Graph lowered, out _)[0];
        Assert.That(QuantizedGraph.Types(lowered).Where(type => type != "Transpose"), Is.EqualTo(new[] { "QuantizeLinear", "octet.QConv" }));
        LayerLoweringTests.AssertClose(actual, expected);
    }

    [Test]
    public void AveragePooling([Values(0L, 1L)] long countPads, [Values(0L, 1L)] long ceil)
    {
        var graph = new QuantizedGraph(16);
        Value x = graph.Fake(graph.Input(2, 2, 5, 8, 9), 0.016f, 128);
        var attributes = new AttributeMap { ["kernel_shape"] = new long[] { 3, 2 }, ["strides"] = new long[] { 2, 2 }, ["pads"] = new long[] { 1, 0, 1, 1 }, ["count_include_pad"] = countPads, ["ceil_mode"] = ceil };
        graph.Output(graph.Quantize(graph.Node("AveragePool", [x], attributes), 0.009f, 128));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(0.02, out _)), Does.Contain("octet.QAveragePool"));
    }

    [TestCase("GlobalAveragePool", new long[0], 1L, true)]
    [TestCase("ReduceMean", new long[] { 2, 3 }, 1L, true)]
    [TestCase("ReduceMean", new long[] { -1, -2 }, 0L, true)]
    [TestCase("ReduceMean", new long[] { 1, 2 }, 0L, true)]
    [TestCase("ReduceMean", new long[] { 1 }, 1L, true)]
    [TestCase("ReduceMean", new long[] { -1 }, 0L, true)]
    [TestCase("ReduceMean", new long[] { 0, 2 }, 1L, true)]
    [TestCase("ReduceMean", new long[] { 1, 3 }, 0L, true)]
    [TestCase("ReduceMean", new long[] { 1, 2, 3 }, 0L, true)]
    public void AverageOverAnyAxes(string type, long[] axes, long keep, bool integer)
    {
        var graph = new QuantizedGraph(17);
        Value x = graph.Fake(graph.Input(2, 3, 20, 6, 7), 0.016f, 100);
        Value y = type == "ReduceMean"
            ? graph.Node(type, [x, graph.Test.Ints("axes", axes)], new AttributeMap { ["keepdims"] = keep })
            : graph.Node(type, [x]);
        graph.Output(graph.Quantize(y, 0.002f, 110));
        Graph lowered = graph.CheckAgainstSimulation(0.04, out LoweringReport report);
        Assert.That(QuantizedGraph.Types(lowered).Contains("octet.QGlobalAveragePool"), Is.EqualTo(integer));
        Assert.That(report.For(type.ToLowerInvariant())!.Rules, Does.Contain("quantize-average"));
    }

    [TestCase("Relu")]
    [TestCase("Sigmoid")]
    [TestCase("Tanh")]
    [TestCase("HardSwish")]
    [TestCase("LeakyRelu")]
    [TestCase("Elu")]
    [TestCase("Gelu")]
    [TestCase("Softplus")]
    [TestCase("Abs")]
    [TestCase("Exp")]
    public void PointwiseFunctionsAreTablesWithoutAnyDifference(string type)
    {
        var graph = new QuantizedGraph(18);
        Value x = graph.Fake(graph.Input(4, 2, 3, 40, 5), 0.03f, 140);
        graph.Output(graph.Quantize(graph.Node(type, [x]), 0.02f, 5));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(0, out LoweringReport report)), Is.EqualTo(new[] { "QuantizeLinear", "octet.QTable" }));
        Assert.That(report.For(type.ToLowerInvariant())!.Rules, Is.EqualTo(new[] { "quantize-pointwise" }));
    }

    [Test]
    public void AChainOfPointwiseOperatorsIsOneTable()
    {
        // x · clip(x + 3, 0, 6) / 6, the hard swish written out.
        var graph = new QuantizedGraph(19);
        Value x = graph.Fake(graph.Input(4, 2, 3, 4, 5), 0.03f, 140);
        Value shifted = graph.Node("Clip", [graph.Node("Add", [x, graph.FloatConstant(0, 1, 1, 1)]), graph.Scalar(0), graph.Scalar(6)]);
        graph.Output(graph.Quantize(graph.Node("Div", [graph.Node("Mul", [shifted, x]), graph.Scalar(6)]), 0.02f, 5));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(0, out _)), Is.EqualTo(new[] { "QuantizeLinear", "octet.QTable" }));
    }

    [Test]
    public void SwishWithItsOwnQuantizationIsOneTable()
    {
        var graph = new QuantizedGraph(20);
        Value x = graph.Fake(graph.Input(4, 2, 3, 4, 50), 0.03f, 128);
        Value gate = graph.Fake(graph.Node("Sigmoid", [x]), 1f / 256, 0);
        graph.Output(graph.Quantize(graph.Node("Mul", [x, gate]), 0.016f, 20));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(Ties, out _)), Is.EqualTo(new[] { "QuantizeLinear", "octet.QTable" }));
    }

    [Test]
    public void ASumThatStaysRealReadsBytesBitForBit([Values] bool signed, [Values] bool readElsewhere)
    {
        DataType element = signed ? DataType.Int8 : DataType.UInt8;
        int moved = signed ? 128 : 0;
        var graph = new QuantizedGraph(45);
        Value a = graph.Fake(graph.Input(4, 3, 41), 0.03f, 140 - moved, element), b = graph.Fake(graph.Input(4, 3, 41), 0.017f, 120 - moved, element);
        graph.Output(graph.Node("Softmax", [graph.Node("Add", [a, b])]));
        if (readElsewhere) graph.Output(graph.Node("Softmax", [a]));
        Tensor[] one = graph.RunLowered(out Graph lowered, out LoweringReport report), three = graph.RunLowered(out Graph apart, out _, "add-dequantized");
        Assert.That(QuantizedGraph.Types(lowered).Count(type => type == "DequantizeLinear"), Is.EqualTo(readElsewhere ? 1 : 0));
        Assert.That(QuantizedGraph.Types(lowered), Does.Contain("octet.DequantizeAdd").And.None.EqualTo("Add"));
        Assert.That(QuantizedGraph.Types(apart), Does.Contain("Add"));
        Assert.That(report.For("add")!.Rules, Is.EqualTo(new[] { "add-dequantized" }));
        for (int i = 0; i < one.Length; i++) Assert.That(one[i].Bytes.ToArray(), Is.EqualTo(three[i].Bytes.ToArray()));
    }

    [Test]
    public void ASumThatBroadcastsStaysFloat()
    {
        var graph = new QuantizedGraph(46);
        Value a = graph.Fake(graph.Input(4, 3, 41), 0.03f, 140), b = graph.Fake(graph.Input(4, 41), 0.017f, 120);
        graph.Output(graph.Node("Softmax", [graph.Node("Add", [a, b])]));
        Assert.That(QuantizedGraph.Types(graph.Lower().Graph), Does.Contain("Add"));
    }

    private const string OneSource = "table-of-one-source";

    [Test]
    public void AGeluQuantizedAtEveryStepIsTheTableOfItsLayer([Values(DataType.UInt8, DataType.Int8)] DataType type)
    {
        var graph = new QuantizedGraph(40);
        Value layer = graph.Node("MatMul", [graph.Fake(graph.Input(2, 3, 60, 12), 0.016f, type == DataType.Int8 ? 0 : 128, type), graph.Weight(1, [0.004f], DataType.Int8, 0, 12, 70)]);
        graph.Output(graph.Quantize(LoweringCases.Gelu(graph, layer, type), 0.02f, 12));
        Tensor[] fused = graph.RunLowered(out Graph lowered, out LoweringReport report), separate = graph.RunLowered(out Graph apart, out _, OneSource);
        Assert.That(QuantizedGraph.Types(lowered), Does.Contain("octet.QGemm").And.None.AnyOf("octet.QTable", "octet.QAdd", "octet.QMul", "octet.QDiv"));
        Assert.That(QuantizedGraph.Types(apart), Is.SupersetOf(new[] { "octet.QDiv", "octet.QTable", "octet.QAdd", "octet.QMul" }));
        Assert.That(report.Explanations.Single(line => line.OperatorType == "octet.QGemm").Rules, Is.SupersetOf(new[] { OneSource, "compose-tables", "table-in-epilogue" }));
        Assert.That(fused[0].Bytes.ToArray(), Is.EqualTo(separate[0].Bytes.ToArray()));
    }

    [Test]
    public void APairWithAScalarConstantIsATable([Values("Add", "Sub", "Mul", "Div")] string type, [Values] bool constantFirst, [Values] bool signed)
    {
        DataType element = signed ? DataType.Int8 : DataType.UInt8;
        int moved = signed ? 128 : 0;
        var graph = new QuantizedGraph(41);
        Value x = graph.Fake(graph.Input(4, 2, 3, 40, 5), 0.03f, 140 - moved, element), constant = graph.Fake(graph.FloatConstant(2, 1, 1), 0.016f, 128 - moved, element);
        Value y = constantFirst ? graph.Node(type, [constant, x]) : graph.Node(type, [x, constant]);
        graph.Output(graph.Quantize(y, 0.05f, 120));
        Tensor[] table = graph.RunLowered(out Graph lowered, out _), pair = graph.RunLowered(out Graph apart, out _, OneSource);
        Assert.That(QuantizedGraph.Types(lowered), Is.EqualTo(new[] { "QuantizeLinear", "octet.QTable" }));
        Assert.That(QuantizedGraph.Types(apart), Does.Contain(type switch { "Mul" => "octet.QMul", "Div" => "octet.QDiv", _ => "octet.QAdd" }));
        Assert.That(table[0].Bytes.ToArray(), Is.EqualTo(pair[0].Bytes.ToArray()));
    }

    [Test]
    public void APairWithAConstantPerChannelOrOfMoreAxesIsNoTable([Values] bool perChannel)
    {
        var graph = new QuantizedGraph(42);
        Value x = graph.Fake(graph.Input(4, 3, 40), 0.03f, 140), constant = graph.Fake(perChannel ? graph.FloatConstant(1, 40) : graph.FloatConstant(1, 1, 1, 1), 0.008f, 128);
        graph.Output(graph.Quantize(graph.Node("Mul", [x, constant]), 0.05f, 120));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(Ties, out LoweringReport report)), Is.EqualTo(new[] { "QuantizeLinear", "octet.QMul" }));
        Assert.That(report.Refused.Any(refusal => refusal.Rule == OneSource && refusal.Reason == "its constant has more axes than the data"), Is.Not.EqualTo(perChannel));
    }

    [Test]
    public void APairOfTwoTensorsIsNoTable()
    {
        var graph = new QuantizedGraph(43);
        Value a = graph.Fake(graph.Input(4, 3, 40), 0.03f, 140), b = graph.Fake(graph.Input(4, 3, 40), 0.03f, 140);
        graph.Output(graph.Quantize(graph.Node("Mul", [a, graph.Fake(graph.Node("Tanh", [b]), 1f / 127, 128)]), 0.03f, 128));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(Ties, out _)), Does.Contain("octet.QMul"));
    }

    [Test]
    public void AnInnerValueThatIsReadElsewhereStaysATableOfItsOwn()
    {
        var graph = new QuantizedGraph(44);
        Value x = graph.Fake(graph.Input(4, 3, 40), 0.03f, 128), half = graph.Quantize(graph.Node("Tanh", [x]), 1f / 127, 128);
        graph.Output(half);
        Value inner = graph.Dequantize(half, 1f / 127, 128), shifted = graph.Fake(graph.Node("Add", [inner, graph.Fake(graph.Scalar(1), 1f / 255, 0)]), 2f / 255, 0);
        graph.Output(graph.Quantize(graph.Node("Mul", [shifted, x]), 0.04f, 100));
        Tensor[] fused = graph.RunLowered(out Graph lowered, out _), separate = graph.RunLowered(out _, out _, OneSource);
        Assert.That(QuantizedGraph.Types(lowered), Is.EqualTo(new[] { "QuantizeLinear", "octet.QTable", "octet.QTable" }));
        for (int i = 0; i < fused.Length; i++) Assert.That(fused[i].Bytes.ToArray(), Is.EqualTo(separate[i].Bytes.ToArray()));
    }

    [Test]
    public void AnActivationBehindAQuantizedLayerJoinsItsEpilogue([Values("Relu", "HardSwish")] string type)
    {
        var graph = new QuantizedGraph(21);
        Value x = graph.Fake(graph.Input(2, 1, 8, 6, 6), 0.016f, 128);
        Value conv = graph.Fake(graph.Node("Conv", [x, graph.Weight(0, [0.004f], DataType.Int8, 0, 8, 8, 1, 1)]), 0.03f, 120);
        graph.Output(graph.Quantize(graph.Node(type, [conv]), type == "Relu" ? 0.03f : 0.02f, type == "Relu" ? 120 : 11));
        Graph lowered = graph.CheckAgainstSimulation(Ties, out _);
        Assert.That(QuantizedGraph.Types(lowered).Where(name => name != "Transpose"), Is.EqualTo(new[] { "QuantizeLinear", "octet.QConv" }));
        Node layer = lowered.Nodes.Single(node => node.OperatorType == "QConv");
        Assert.That(layer.Attributes.Contains("table"), Is.EqualTo(type != "Relu"), "a ReLU on one grid is a limit, not a table");
    }

    [Test]
    public void MovementHappensOnBytes()
    {
        var graph = new QuantizedGraph(22);
        Value x = graph.Fake(graph.Input(2, 2, 6, 8, 8), 0.016f, 128);
        Value[] steps = new Value[9];
        steps[0] = graph.Node("MaxPool", [x], new AttributeMap { ["kernel_shape"] = new long[] { 2, 2 }, ["strides"] = new long[] { 2, 2 } });
        steps[1] = graph.Node("Pad", [steps[0], graph.Test.Ints("pads", 0, 0, 1, 1, 0, 0, 1, 1)]);
        steps[2] = graph.Node("Resize", [steps[1], null, graph.Test.Floats("scales", [1, 1, 2, 2])], new AttributeMap { ["mode"] = "nearest" });
        steps[3] = graph.Node("Slice", [steps[2], graph.Test.Ints("starts", 1), graph.Test.Ints("ends", 9), graph.Test.Ints("axes", 2)]);
        steps[4] = graph.Node("Transpose", [steps[3]], new AttributeMap { ["perm"] = new long[] { 0, 2, 3, 1 } });
        steps[5] = graph.Node("Concat", [steps[4], steps[4]], new AttributeMap { ["axis"] = 3L });
        steps[6] = graph.Node("Gather", [steps[5], graph.Test.Ints("indices", 3, 0, 5)], new AttributeMap { ["axis"] = 3L });
        steps[7] = graph.Node("Reshape", [steps[6], graph.Test.Ints("shape", 2, -1, 3)]);
        steps[8] = graph.Node("Unsqueeze", [steps[7], graph.Test.Ints("axis", 0)]);
        graph.Output(graph.Quantize(steps[8], 0.016f, 128));
        Graph lowered = graph.CheckAgainstSimulation(0, out LoweringReport report);
        Assert.That(QuantizedGraph.Types(lowered).Where(type => type.EndsWith("Linear", StringComparison.Ordinal)), Is.EqualTo(new[] { "QuantizeLinear" }));
        Assert.That(report.Explanations.Skip(1).Select(line => line.Form), Is.All.EqualTo(NodeForm.Movement));
    }

    [Test]
    public void AQuantizationBehindMovementReachesTheLayer()
    {
        var graph = new QuantizedGraph(23);
        Value x = graph.Fake(graph.Input(2, 1, 8, 6, 6), 0.016f, 128);
        Value conv = graph.Node("Relu", [graph.Node("Conv", [x, graph.Weight(0, [0.004f], DataType.Int8, 0, 8, 8, 1, 1)])]);
        Value pooled = graph.Node("MaxPool", [conv], new AttributeMap { ["kernel_shape"] = new long[] { 2, 2 }, ["strides"] = new long[] { 2, 2 } });
        graph.Output(graph.Quantize(graph.Node("Flatten", [pooled]), 0.01f, 0));
        Graph lowered = graph.CheckAgainstSimulation(Ties, out _);
        Assert.That(lowered.Nodes.Single(node => node.OperatorType == "QConv").Attributes.String("output"), Is.EqualTo("uint8"));
        Assert.That(lowered.Nodes.Single(node => node.OperatorType == "MaxPool").Inputs[0]!.Type.Element, Is.EqualTo(DataType.UInt8));
    }

    [Test]
    public void PartsOfAConcatAreBroughtToItsGrid()
    {
        var graph = new QuantizedGraph(24);
        Value a = graph.Fake(graph.Input(2, 1, 3, 4, 4), 0.016f, 128), b = graph.Fake(graph.Input(1, 1, 2, 4, 4), 0.008f, 100);
        graph.Output(graph.Quantize(graph.Node("Concat", [a, b], new AttributeMap { ["axis"] = 1L }), 0.016f, 128));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(0, out _)), Is.EquivalentTo(new[] { "QuantizeLinear", "QuantizeLinear", "octet.QTable", "Concat" }));
    }

    [Test]
    public void SignedInputsAndOutputsAreFlippedOnce()
    {
        var graph = new QuantizedGraph(25);
        Value x = graph.Dequantize(graph.ByteInput(DataType.Int8, 1, 8, 6, 6), 0.016f, 3, DataType.Int8);
        Value conv = graph.Node("Conv", [x, graph.Weight(0, [0.004f], DataType.Int8, 0, 8, 8, 1, 1)]);
        Value middle = graph.Fake(conv, 0.03f, -5, DataType.Int8);
        Value reshaped = graph.Node("Reshape", [middle, graph.Test.Ints("shape", 1, 4, 12, 6)]);
        graph.Output(graph.Quantize(graph.Node("Conv", [reshaped, graph.Weight(0, [0.004f], DataType.Int8, 0, 4, 4, 1, 1)]), 0.03f, 7, DataType.Int8));
        Graph lowered = graph.CheckAgainstSimulation(Ties, out _);
        Assert.That(QuantizedGraph.Types(lowered).Count(type => type == "octet.FlipSign"), Is.EqualTo(2));
        Assert.That(QuantizedGraph.Types(lowered), Has.None.EqualTo("DequantizeLinear").And.None.EqualTo("QuantizeLinear"));
    }

    [Test]
    public void AValueReadByIntegerAndFloatNodesHasOneDequantization()
    {
        var graph = new QuantizedGraph(26);
        Value bytes = graph.Quantize(graph.Input(2, 1, 8, 6, 6), 0.016f, 128);
        Value one = graph.Dequantize(bytes, 0.016f, 128), two = graph.Dequantize(bytes, 0.016f, 128), three = graph.Dequantize(bytes, 0.016f, 128);
        graph.Output(graph.Quantize(graph.Node("Conv", [one, graph.Weight(0, [0.004f], DataType.Int8, 0, 8, 8, 1, 1)]), 0.03f, 120));
        graph.Output(graph.Quantize(graph.Node("Softmax", [two]), 0.002f, 0));
        graph.Output(graph.Quantize(graph.Node("Softmax", [three], new AttributeMap { ["axis"] = 1L }), 0.002f, 0));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(Ties, out _)).Count(type => type == "DequantizeLinear"), Is.EqualTo(1));
    }

    [Test]
    public void AFloatGraphStaysAsItIs()
    {
        var graph = new QuantizedGraph(27);
        graph.Output(graph.Node("Relu", [graph.Node("Conv", [graph.Input(1, 1, 3, 5, 5), graph.FloatConstant(1, 4, 3, 3, 3)])]));
        string before = GraphPrinter.Print(graph.Graph);
        (Graph lowered, LoweringReport report) = graph.Lower();
        Assert.That(QuantizedGraph.Types(lowered), Is.EqualTo(new[] { "Conv", "Relu" }));
        Assert.That(report.Applied, Is.Empty);
        Assert.That(report.Explanations.Select(line => line.Form), Is.All.EqualTo(NodeForm.Float));
        Assert.That(GraphPrinter.Print(graph.Graph), Is.EqualTo(before));
    }

    [Test]
    public void QOperatorConvolutionGivesTheSameBytesLowered([Values] bool signed, [Values] bool perChannel)
    {
        var graph = new QuantizedGraph(28);
        DataType type = signed ? DataType.Int8 : DataType.UInt8;
        Value x = graph.ByteInput(type, 1, 6, 7, 7);
        Value w = graph.Weight(0, perChannel ? [0.004f, 0.005f, 0.006f, 0.007f] : [0.005f], DataType.Int8, 0, 4, 6, 3, 3);
        Node weight = w.Producer!;
        Value bias = graph.IntegerBias([1f], 4).Producer!.Inputs[0]!;
        graph.Output(graph.Node("QLinearConv", [x, graph.Scalar(0.016f), graph.Zero(5, type), weight.Inputs[0], weight.Inputs[1], weight.Inputs[2], graph.Scalar(0.05f), graph.Zero(9, type), bias],
            new AttributeMap { ["pads"] = new long[] { 1, 1, 1, 1 } }));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(0, out _)), Does.Contain("octet.QConv").And.None.EqualTo("QLinearConv"));
    }

    [Test]
    public void QOperatorProductsGiveTheSameBytesLowered()
    {
        var graph = new QuantizedGraph(29);
        Value x = graph.ByteInput(DataType.UInt8, 3, 20);
        Node w = graph.Weight(1, [0.01f], DataType.UInt8, 120, 20, 8).Producer!, v = graph.Weight(0, [.. Enumerable.Range(1, 5).Select(i => i * 0.004f)], DataType.Int8, 0, 5, 8).Producer!;
        Value y = graph.Node("QLinearMatMul", [x, graph.Scalar(0.016f), graph.Zero(77, DataType.UInt8), w.Inputs[0], w.Inputs[1], w.Inputs[2], graph.Scalar(0.07f), graph.Zero(128, DataType.UInt8)]);
        graph.Output(graph.Node("QGemm", [y, graph.Scalar(0.07f), graph.Zero(128, DataType.UInt8), v.Inputs[0], v.Inputs[1], v.Inputs[2], graph.IntegerBias([1f], 5).Producer!.Inputs[0], graph.Scalar(0.2f), graph.Zero(100, DataType.UInt8)],
            new AttributeMap { ["transB"] = 1L }, Operator.MicrosoftDomain));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(0, out _)), Is.EqualTo(new[] { "octet.QGemm", "octet.QGemm" }));
    }

    [TestCase("QLinearAdd", "octet.QAdd")]
    [TestCase("QLinearMul", "octet.QMul")]
    [TestCase("QLinearSigmoid", "octet.QTable")]
    [TestCase("QLinearLeakyRelu", "octet.QTable")]
    [TestCase("QLinearGlobalAveragePool", "octet.QGlobalAveragePool")]
    [TestCase("QLinearAveragePool", "octet.QAveragePool")]
    [TestCase("QLinearConcat", "Concat")]
    public void ContributedFormsAreLowered(string type, string expected)
    {
        var graph = new QuantizedGraph(30);
        Value x = graph.ByteInput(DataType.UInt8, 1, 6, 8, 8);
        Value?[] grid = [graph.Scalar(0.02f), graph.Zero(128, DataType.UInt8)], result = [graph.Scalar(0.017f), graph.Zero(110, DataType.UInt8)];
        Value?[] inputs = type switch
        {
            "QLinearAdd" or "QLinearMul" => [x, .. grid, graph.ByteInput(DataType.UInt8, 1, 6, 8, 8), graph.Scalar(0.011f), graph.Zero(90, DataType.UInt8), .. result],
            "QLinearConcat" => [.. result, x, .. grid, x, .. result],
            _ => [x, .. grid, .. result],
        };
        var attributes = new AttributeMap();
        if (type == "QLinearAveragePool") attributes["kernel_shape"] = new long[] { 3, 3 };
        if (type == "QLinearConcat") attributes["axis"] = 1L;
        graph.Output(graph.Node(type, inputs, attributes, Operator.MicrosoftDomain));
        string[] types = QuantizedGraph.Types(graph.CheckAgainstSimulation(Ties, out _));
        Assert.That(types, Does.Contain(expected).And.None.EqualTo($"com.microsoft.{type}"));
    }

    [Test]
    public void ARuleThatIsSwitchedOffDoesNothing()
    {
        var graph = new QuantizedGraph(31);
        Value x = graph.Fake(graph.Input(4, 2, 3, 4, 5), 0.03f, 140);
        graph.Output(graph.Quantize(graph.Node("Sigmoid", [x]), 0.01f, 5));
        Assert.That(QuantizedGraph.Types(graph.Lower(null, "quantize-pointwise").Graph), Is.EqualTo(new[] { "QuantizeLinear", "DequantizeLinear", "Sigmoid", "QuantizeLinear" }));
    }
}
