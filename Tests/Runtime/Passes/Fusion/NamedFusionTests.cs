using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Passes;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes.Fusion;

/// <summary>The fusions that MXNet's oneDNN layer knows, and those it gets wrong: convolution with batch norm, sum and activation in every order, products with every element-wise function, removal, powers. Float and integer.</summary>
internal sealed class NamedFusionTests
{
    /// <summary>As in the lowering tests: random values within float rounding of a tie.</summary>
    private const double Ties = 0.01;

    private static readonly string[] Kinds = ["1-D", "2-D", "3-D", "grouped", "depthwise"];

    private static readonly string[] Orders = ["bn", "act", "bn act", "sum", "sum act", "act sum", "bn sum", "bn sum act", "bn act sum"];

    private static readonly string[] Sides = ["left", "right", "own"];

    private static (int[] X, int[] W, long Groups) Extents(string kind) => kind switch
    {
        "1-D" => ([2, 4, 9], [4, 4, 3], 1),
        "3-D" => ([1, 4, 4, 5, 3], [4, 4, 3, 3, 3], 1),
        "grouped" => ([1, 4, 6, 5], [4, 2, 3, 3], 2),
        "depthwise" => ([1, 4, 6, 5], [4, 1, 3, 3], 4),
        _ => ([1, 4, 6, 5], [4, 4, 3, 3], 1),
    };

    private static AttributeMap Same(int[] w, long groups) => new() { ["group"] = groups, ["pads"] = Enumerable.Repeat(1L, 2 * (w.Length - 2)).ToArray() };

    [Test]
    public void ConvolutionWithItsFollowersIsOneStep([ValueSource(nameof(Kinds))] string kind, [ValueSource(nameof(Orders))] string order, [ValueSource(nameof(Sides))] string side)
    {
        (int[] x, int[] w, long groups) = Extents(kind);
        var g = new TestGraph();
        Value data = g.Input("x", x), other = side == "own" ? data : g.Input("z", x);
        Value y = g.Node("Conv", [data, g.Random("w", 1, w), g.Random("b", 2, 4)], Same(w, groups), "conv");
        foreach (string part in order.Split(' '))
        {
            y = part switch
            {
                "bn" => g.Node("BatchNormalization", [y, g.Random("gamma", 3, 4), g.Random("beta", 4, 4), g.Random("mean", 5, 4), g.Floats("variance", [0.5f, 1, 1.5f, 2])], name: "bn"),
                "sum" => g.Node("Add", side == "left" ? [y, other] : [other, y], name: "sum"),
                _ => g.Node("Relu", [y], name: "act"),
            };
        }
        g.Output(y, "y");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Conv" }));
        Assert.That(check.Fused.Nodes[0].Origins, Is.EquivalentTo(order.Split(' ').Prepend("conv")));
    }

    [Test]
    public void QuantizedConvolutionWithItsFollowersIsOneIntegerStep([ValueSource(nameof(Kinds))] string kind, [ValueSource(nameof(Orders))] string order, [ValueSource(nameof(Sides))] string side,
        [Values(DataType.UInt8, DataType.Int8)] DataType type)
    {
        (int[] x, int[] w, long groups) = Extents(kind);
        int Zero(int zero) => type == DataType.Int8 ? zero - 128 : zero;
        var graph = new QuantizedGraph(kind.Length * 31 + order.Length);
        Value data = graph.Fake(graph.Input(2, x), 0.0161f, Zero(128), type), other = side == "own" ? data : graph.Fake(graph.Input(1, x), 0.0079f, Zero(120), type);
        Value y = graph.Node("Conv", [data, graph.Weight(0, [0.003f, 0.0037f, 0.0041f, 0.0049f], DataType.Int8, 0, w)], Same(w, groups));
        float scale = 0.0037f * MathF.Sqrt(w.Skip(1).Aggregate(1, (a, b) => a * b)) * 1.31f;
        bool summed = false;
        foreach (string part in order.Split(' '))
        {
            if (part == "bn") y = graph.Node("BatchNormalization", [y, graph.Test.Floats("gamma", [1.1f, 0.7f, -0.9f, 1.3f]), graph.Test.Floats("beta", [0.1f, -0.2f, 0, 0.3f]), graph.Test.Floats("mean", [0, 0.1f, -0.1f, 0.2f]), graph.Test.Floats("variance", [0.8f, 1, 1.2f, 1.4f])]);
            else if (part == "act") y = graph.Node("Relu", [y]);
            else
            {
                // What a layer with an activation adds to is its quantized result, as quantizers write it.
                if (order.StartsWith("act", StringComparison.Ordinal) || order.StartsWith("bn act", StringComparison.Ordinal)) y = graph.Fake(y, scale, Zero(0), type);
                y = graph.Node("Add", side == "left" ? [y, other] : [other, y]);
                summed = true;
            }
        }
        graph.Output(graph.Quantize(y, scale * 1.07f, Zero(order.EndsWith("act", StringComparison.Ordinal) ? 0 : 128), type));
        Graph lowered = graph.CheckAgainstSimulation(Ties, out LoweringReport report);
        string[] computing = [.. QuantizedGraph.Types(lowered).Where(name => name is not ("QuantizeLinear" or "Transpose" or "octet.FlipSign"))];
        Assert.That(computing, Is.EqualTo(new[] { "octet.QConv" }), GraphPrinter.Print(lowered));
        if (summed) Assert.That(report.For("add")!.Rules, Does.Contain("sum-in-epilogue").Or.Contain("add-in-epilogue"));
    }

    private static readonly string[] Functions =
        ["Relu", "Sigmoid", "log_sigmoid", "mish", "Softplus", "Tanh", "LeakyRelu", "Elu", "Gelu", "Gelu tanh", "square", "Sqrt", "Exp", "Abs", "Clip"];

    private static Value Apply(string function, Value x, Func<string, Value?[], AttributeMap?, Value> node, Func<float, Value> scalar) => function switch
    {
        "log_sigmoid" => node("Log", [node("Sigmoid", [x], null)], null),
        "mish" => node("Mul", [x, node("Tanh", [node("Softplus", [x], null)], null)], null),
        "square" => node("Mul", [x, x], null),
        "Gelu tanh" => node("Gelu", [x], new AttributeMap { ["approximate"] = "tanh" }),
        "LeakyRelu" => node("LeakyRelu", [x], new AttributeMap { ["alpha"] = 0.2f }),
        "Clip" => node("Clip", [x, scalar(0), scalar(1)], null),
        _ => node(function, [x], null),
    };

    [Test]
    public void ProductWithAFunctionAndASumIsOneStep([ValueSource(nameof(Functions))] string function, [Values("", "left", "right")] string sum)
    {
        var g = new TestGraph();
        int constants = 0;
        Value y = g.Node("Gemm", [g.Input("x", 5, 7), g.Random("w", 1, 7, 6), g.Random("b", 2, 6)], name: "fc");
        y = Apply(function, y, (type, inputs, attributes) => g.Node(type, inputs, attributes), value => g.Scalar($"c{constants++}", value));
        if (sum.Length > 0)
        {
            Value other = g.Input("z", 5, 6);
            y = g.Node("Add", sum == "left" ? [y, other] : [other, y]);
        }
        g.Output(y, "y");
        // The square root of a negative number is no number, on both sides.
        var check = new FusionCheck(g);
        if (function != "Sqrt") check.Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Gemm" }));
    }

    [Test]
    public void QuantizedProductWithAFunctionIsOneIntegerStep([ValueSource(nameof(Functions))] string function, [Values(DataType.UInt8, DataType.Int8)] DataType type)
    {
        int Zero(int zero) => type == DataType.Int8 ? zero - 128 : zero;
        var graph = new QuantizedGraph(41);
        Value x = graph.Fake(graph.Input(2, 30, 12), 0.0161f, Zero(128), type);
        bool positive = function == "Sqrt";
        Value y = graph.Node("Gemm", [x, graph.Weight(1, [0.004f], DataType.Int8, 0, 12, 6), graph.FloatConstant(0.5f, 6)]);
        y = graph.Fake(positive ? graph.Node("Relu", [y]) : y, 0.0237f, Zero(positive ? 0 : 128), type);
        y = Apply(function, y, (name, inputs, attributes) => graph.Node(name, inputs, attributes), graph.Scalar);
        graph.Output(graph.Quantize(y, function == "Exp" ? 0.07f : function == "square" ? 0.03f : 0.0173f, Zero(function == "log_sigmoid" ? 250 : 60), type));
        Graph lowered = graph.CheckAgainstSimulation(Ties, out LoweringReport report);
        Assert.That(QuantizedGraph.Types(lowered).Where(name => name != "octet.FlipSign"), Is.EqualTo(new[] { "QuantizeLinear", "octet.QGemm" }));
        Assert.That(report.For("gemm")!.Rules, Does.Contain("table-in-epilogue"));
    }

    [Test]
    public void QuantizedProductTakesASumOnEitherSide([Values("left", "right")] string side, [Values(DataType.UInt8, DataType.Int8)] DataType type)
    {
        int Zero(int zero) => type == DataType.Int8 ? zero - 128 : zero;
        var graph = new QuantizedGraph(42);
        Value x = graph.Fake(graph.Input(2, 30, 12), 0.0161f, Zero(128), type), other = graph.Fake(graph.Input(1, 30, 6), 0.0079f, Zero(120), type);
        Value y = graph.Node("MatMul", [x, graph.Weight(1, [0.004f], DataType.Int8, 0, 12, 6)]);
        graph.Output(graph.Quantize(graph.Node("Add", side == "left" ? [y, other] : [other, y]), 0.027f, Zero(128), type));
        Graph lowered = graph.CheckAgainstSimulation(Ties, out LoweringReport report);
        Assert.That(QuantizedGraph.Types(lowered).Where(name => name != "octet.FlipSign"), Is.EqualTo(new[] { "QuantizeLinear", "QuantizeLinear", "octet.QGemm" }));
        Assert.That(report.For("add")!.Rules, Does.Contain("sum-in-epilogue"));
    }

    [Test]
    public void AProductWithTwoReadersKeepsItsFunctionApart([Values] bool quantized)
    {
        if (!quantized)
        {
            var g = new TestGraph();
            Value fc = g.Node("Gemm", [g.Input("x", 5, 7), g.Random("w", 1, 7, 6), g.Random("b", 2, 6)], name: "fc");
            g.Output(g.Node("Relu", [fc], name: "act"), "y");
            g.Output(g.Node("Softmax", [fc]), "z");
            var check = new FusionCheck(g).Agrees();
            Assert.That(check.Types, Is.EquivalentTo(new[] { "octet.Gemm", "Relu", "Softmax" }));
            Assert.That(check.Refusal("activation"), Does.Contain("is also read by"));
            return;
        }
        var graph = new QuantizedGraph(43);
        Value x = graph.Fake(graph.Input(2, 30, 12), 0.0161f, 128);
        Value bytes = graph.Quantize(graph.Node("Gemm", [x, graph.Weight(1, [0.004f], DataType.Int8, 0, 12, 6)]), 0.0237f, 128);
        graph.Output(graph.Quantize(graph.Node("Tanh", [graph.Dequantize(bytes, 0.0237f, 128)]), 0.0083f, 128));
        graph.Output(graph.Quantize(graph.Node("Sigmoid", [graph.Dequantize(bytes, 0.0237f, 128)]), 0.0041f, 0));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(Ties, out _)), Is.EquivalentTo(new[] { "QuantizeLinear", "octet.QGemm", "octet.QTable", "octet.QTable" }));
    }

    [Test]
    public void ATensorThatIsReturnedAndReadIsOneTensor()
    {
        // MXNet builds a malformed graph here: the integer result is an output, feeds an integer layer, and a float operator.
        var graph = new QuantizedGraph(44);
        Value x = graph.Fake(graph.Input(2, 1, 8, 6, 6), 0.0161f, 128);
        Value bytes = graph.Quantize(graph.Node("Conv", [x, graph.Weight(0, [0.004f], DataType.Int8, 0, 8, 8, 1, 1)]), 0.0307f, 128);
        graph.Output(bytes);
        Value real = graph.Dequantize(bytes, 0.0307f, 128);
        graph.Output(graph.Quantize(graph.Node("Conv", [real, graph.Weight(0, [0.004f], DataType.Int8, 0, 8, 8, 1, 1)]), 0.031f, 128));
        graph.Output(graph.Quantize(graph.Node("Softmax", [real], new AttributeMap { ["axis"] = 1L }), 0.0041f, 0));
        Graph lowered = graph.CheckAgainstSimulation(Ties, out _);
        Assert.That(QuantizedGraph.Types(lowered).Count(type => type == "octet.QConv"), Is.EqualTo(2));
        Assert.That(QuantizedGraph.Types(lowered).Count(type => type == "DequantizeLinear"), Is.EqualTo(1));
        Assert.That(QuantizedGraph.Types(lowered).Count(type => type == "QuantizeLinear"), Is.EqualTo(2), "of the input and of the softmax: nobody quantizes what was dequantized");
    }

    [Test]
    public void AFloatReaderOfALayerReadsItsRealValues()
    {
        // The layer's result is not quantized for a float reader: it writes real values, with no quantization on the way.
        var graph = new QuantizedGraph(45);
        Value x = graph.Fake(graph.Input(2, 30, 12), 0.0161f, 128);
        graph.Output(graph.Node("Softmax", [graph.Node("MatMul", [x, graph.Weight(1, [0.004f], DataType.Int8, 0, 12, 6)])]));
        (Graph lowered, _) = graph.Lower();
        Assert.That(QuantizedGraph.Types(lowered), Is.EqualTo(new[] { "QuantizeLinear", "octet.QGemm", "Softmax" }));
        Assert.That(lowered.Nodes[1].Attributes.String("output"), Is.EqualTo("float32"));
    }

    [Test]
    public void IdentitiesAndDropoutDoNotStandBetween([Values("", "remove-identity", "remove-dropout")] string disabled)
    {
        var g = new TestGraph();
        Value y = g.Node("Conv", [g.Input("x", 1, 3, 5, 5), g.Random("w", 1, 4, 3, 3, 3)], name: "conv");
        y = g.Node("Identity", [y], name: "copy");
        y = g.Node("BatchNormalization", [y, g.Random("gamma", 3, 4), g.Random("beta", 4, 4), g.Random("mean", 5, 4), g.Floats("variance", [0.5f, 1, 1.5f, 2])], name: "bn");
        g.Output(g.Node("Relu", [g.Node("Dropout", [y, g.Scalar("ratio", 0.4f)], name: "drop")], name: "act"), "y");
        Tensor x = TestGraph.RandomTensor(3, 1, 3, 5, 5);
        var session = new InferenceSession(new Model(g.Graph), new SessionOptions { ChannelsLast = false, DisabledRules = new HashSet<string> { disabled } });
        string[] types = [.. session.PlanFor([x]).Steps.Select(step => step.Node.QualifiedType)];
        Assert.That(types, disabled switch
        {
            "" => Is.EqualTo(new[] { "octet.Conv" }),
            "remove-identity" => Does.Contain("Identity"),
            _ => Is.EqualTo(new[] { "octet.Conv", "Dropout", "Relu" }),
        });
        Tensor expected = new InferenceSession(new Model(g.Graph), new SessionOptions { Fuse = false, ChannelsLast = false }).Run(new Dictionary<string, Tensor> { ["x"] = x })["y"];
        Tolerance.AssertFused(session.Run(new Dictionary<string, Tensor> { ["x"] = x })["y"].ToFloat32Array(), expected.ToFloat32Array());
    }

    [Test]
    public void PowerTimesFactorIsOneStep([Values(3f, 2f, 1f, -1f, 0.5f)] float exponent, [Values] bool factorFirst)
    {
        var g = new TestGraph();
        Value x = g.Node("Abs", [g.Input("x", 3, 50)]), power = g.Node("Pow", [x, g.Scalar("e", exponent)]), factor = g.Scalar("m", -0.7f);
        g.Output(g.Node("Mul", factorFirst ? [factor, power] : [power, factor]), "y");
        var check = new FusionCheck(g);
        Assert.That(check.Types, Is.EqualTo(new[] { "Abs", "octet.PowMul" }));
        Dictionary<string, Tensor> inputs = new() { ["x"] = TestGraph.RandomTensor(7, 3, 50) };
        Assert.That(OperatorRunner.Run(check.Fused, inputs)[0].Bytes.ToArray(), Is.EqualTo(OperatorRunner.Run(g.Graph, inputs)[0].Bytes.ToArray()));
    }

    [Test]
    public void AFactorPerColumnIsNoPowerTimesFactor()
    {
        var g = new TestGraph();
        g.Output(g.Node("Mul", [g.Node("Pow", [g.Node("Abs", [g.Input("x", 3, 5)]), g.Scalar("e", 1.5f)]), g.Random("m", 1, 5)]), "y");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "Abs", "Pow", "Mul" }));
        Assert.That(check.Refusal("pow-mul"), Is.EqualTo("the exponent or the factor is not one float32 number"));
    }

    [Test]
    public void PowerTimesFactorOfBytesIsATable()
    {
        var graph = new QuantizedGraph(46);
        Value x = graph.Fake(graph.Input(2, 4, 60), 0.0161f, 128);
        graph.Output(graph.Quantize(graph.Node("Mul", [graph.Node("Pow", [x, graph.Scalar(2)]), graph.Scalar(0.7f)]), 0.013f, 3));
        Assert.That(QuantizedGraph.Types(graph.CheckAgainstSimulation(0, out _)), Is.EqualTo(new[] { "QuantizeLinear", "octet.QTable" }));
    }

    /// <summary>One graph per named fusion.</summary>
    private static readonly (string Rule, Action<TestGraph> Build)[] Cases =
    [
        ("conv-batchnorm", g => g.Output(Bn(g, Conv(g)), "y")),
        ("gemm-batchnorm", g => g.Output(Bn(g, Gemm(g)), "y")),
        ("sum", g => g.Output(g.Node("Add", [Conv(g), g.Input("z", 1, 4, 5, 5)]), "y")),
        ("activation", g => g.Output(g.Node("Relu", [Gemm(g)]), "y")),
        ("mish", g => { Value x = g.Input("x", 2, 30); g.Output(g.Node("Mul", [x, g.Node("Tanh", [g.Node("Softplus", [x])])]), "y"); }),
        ("log-sigmoid", g => g.Output(g.Node("Log", [g.Node("Sigmoid", [g.Input("x", 2, 30)])]), "y")),
        ("swish", g => { Value x = g.Input("x", 2, 30); g.Output(g.Node("Mul", [x, g.Node("Sigmoid", [x])]), "y"); }),
        ("square", g => { Value x = g.Input("x", 2, 30); g.Output(g.Node("Mul", [x, x]), "y"); }),
        ("pow-mul", g => g.Output(g.Node("Mul", [g.Node("Pow", [g.Node("Abs", [g.Input("x", 2, 30)]), g.Scalar("e", 1.5f)]), g.Scalar("m", 2)]), "y")),
        ("pad-conv", g => g.Output(g.Node("Conv", [g.Node("Pad", [g.Input("x", 1, 3, 5, 5), g.Ints("pads", 0, 0, 1, 1, 0, 0, 1, 1)]), g.Random("w", 1, 4, 3, 3, 3)]), "y")),
    ];

    private static IEnumerable<TestCaseData> Rules() => Cases.Select(test => new TestCaseData(test.Rule).SetArgDisplayNames(test.Rule));

    [TestCaseSource(nameof(Rules))]
    public void AFusionAppliesAndCanBeSwitchedOff(string rule)
    {
        var g = new TestGraph();
        Cases.Single(test => test.Rule == rule).Build(g);
        var on = new FusionCheck(g).Agrees();
        Assert.That(on.Report.Where(entry => entry.Applied).Select(entry => entry.Rule), Does.Contain(rule));
        var off = new FusionCheck(g, options: new RewriteOptions { Disabled = new HashSet<string> { rule } }).Agrees();
        Assert.That(off.Report.Where(entry => entry.Applied).Select(entry => entry.Rule), Has.None.EqualTo(rule));
        Assert.That(off.Types, Is.Not.EqualTo(on.Types));
    }

    private static Value Conv(TestGraph g) => g.Node("Conv", [g.Input("x", 1, 3, 5, 5), g.Random("w", 1, 4, 3, 3, 3), g.Random("b", 2, 4)], new AttributeMap { ["pads"] = new long[] { 1, 1, 1, 1 } });

    private static Value Gemm(TestGraph g) => g.Node("Gemm", [g.Input("x", 5, 7), g.Random("w", 1, 7, 4), g.Random("b", 2, 4)]);

    private static Value Bn(TestGraph g, Value x) => g.Node("BatchNormalization", [x, g.Random("gamma", 3, 4), g.Random("beta", 4, 4), g.Random("mean", 5, 4), g.Floats("variance", [0.5f, 1, 1.5f, 2])]);
}
