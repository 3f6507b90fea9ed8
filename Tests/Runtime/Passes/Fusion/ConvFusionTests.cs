using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes.Fusion;

internal sealed class ConvFusionTests
{
    private static Value Conv(TestGraph g, Value x, int seed, int channels, int outputs, int kernel = 3, bool bias = true, string name = "conv")
    {
        int pad = kernel / 2;
        return g.Node("Conv", bias ? [x, g.Random(name + ".w", seed, outputs, channels, kernel, kernel), g.Random(name + ".b", seed + 1, outputs)]
            : [x, g.Random(name + ".w", seed, outputs, channels, kernel, kernel)], new AttributeMap { { "pads", new long[] { pad, pad, pad, pad } } }, name);
    }

    private static Value BatchNorm(TestGraph g, Value x, int channels, string name = "bn", AttributeMap? attributes = null)
    {
        float[] variance = [.. Enumerable.Range(1, channels).Select(i => i * 0.3f)];
        return g.Node("BatchNormalization", [x, g.Random(name + ".gamma", 11, channels), g.Random(name + ".beta", 12, channels), g.Random(name + ".mean", 13, channels), g.Floats(name + ".var", variance)], attributes, name);
    }

    [Test]
    public void BatchNormFoldsIntoTheWeights()
    {
        // ε = 0 and powers of two make the expected values exact, so no tolerance is needed.
        var g = new TestGraph();
        Value conv = g.Node("Conv", [g.Input("x", 1, 1, 1, 1), g.Floats("w", [1f, 3f], 2, 1, 1, 1)], name: "conv");
        g.Output(g.Node("BatchNormalization", [conv, g.Floats("gamma", [1f, 2f]), g.Floats("beta", [1f, 1f]), g.Floats("mean", [1f, 1f]), g.Floats("var", [0.25f, 0.25f])], new AttributeMap { { "epsilon", 0f } }, "bn"), "y");
        var check = new FusionCheck(g, portable: true);
        Assert.That(check.Types, Is.EqualTo(new[] { "Conv" }));
        Node folded = check.Fused.Nodes[0];
        Assert.That(folded.Inputs[1]!.Constant!.ToFloat32Array(), Is.EqualTo(new[] { 2f, 12f }));   // w·s,       s = 2, 4
        Assert.That(folded.Inputs[2]!.Constant!.ToFloat32Array(), Is.EqualTo(new[] { -1f, -3f }));  // (0 − μ)·s + β
        Assert.That(folded.Origins, Is.EqualTo(new[] { "conv", "bn" }));
        check.Agrees(exact: true);
    }

    [Test]
    public void BatchNormFoldsIntoAGroupedTransposedConvolution()
    {
        var g = new TestGraph();
        Value conv = g.Node("ConvTranspose", [g.Input("x", 1, 4, 3, 3), g.Random("w", 1, 4, 3, 2, 2), g.Random("b", 2, 6)], new AttributeMap { { "group", 2L }, { "strides", new long[] { 2, 2 } } });
        g.Output(BatchNorm(g, conv, 6), "y");
        Assert.That(new FusionCheck(g, portable: true).Agrees().Types, Is.EqualTo(new[] { "ConvTranspose" }));
    }

    [Test]
    public void BatchNormWithComputedParametersIsRefused()
    {
        var g = new TestGraph();
        Value conv = Conv(g, g.Input("x", 1, 2, 4, 4), 1, 2, 3), gamma = g.Input("gamma", 3);
        g.Output(g.Node("BatchNormalization", [conv, gamma, g.Random("beta", 2, 3), g.Random("mean", 3, 3), g.Floats("var", [1f, 2f, 3f])]), "y");
        var check = new FusionCheck(g, portable: true);
        Assert.That(check.Types, Is.EqualTo(new[] { "Conv", "BatchNormalization" }));
        Assert.That(check.Refusal("conv-batchnorm"), Is.EqualTo("batch norm's parameters are no float32 constants"));
    }

    [Test]
    public void BatchNormStandingAloneBecomesOneStepWithItsRelu()
    {
        var g = new TestGraph();
        g.Output(g.Node("Relu", [BatchNorm(g, g.Input("x", 2, 5, 4, 3), 5)]), "y");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Conv" }));
        Assert.That(check.Fused.Nodes[0].Attributes.String("activation"), Is.EqualTo("Relu"));
    }

    [Test]
    public void ResidualBlockBecomesTwoSteps()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 4, 6, 6);
        Value first = g.Node("Relu", [BatchNorm(g, Conv(g, x, 1, 4, 4, name: "c1"), 4, "b1")], name: "r1");
        Value second = BatchNorm(g, Conv(g, first, 3, 4, 4, bias: false, name: "c2"), 4, "b2");
        g.Output(g.Node("Relu", [g.Node("Add", [second, x], name: "add")], name: "r2"), "y");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Conv", "octet.Conv" }));
        Assert.That(check.Fused.Nodes[1].Origins, Is.EqualTo(new[] { "c2", "b2", "add", "r2" }));
        Assert.That(check.Fused.Nodes[1].Inputs[3]!.Name, Is.EqualTo("x"));
    }

    [TestCase(true)]
    [TestCase(false)]
    public void SumWithTheOwnInputOnEitherSide(bool left)
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 3, 5, 5), conv = Conv(g, x, 1, 3, 3);
        g.Output(g.Node("Add", left ? [conv, x] : [x, conv]), "y");
        Assert.That(new FusionCheck(g).Agrees().Types, Is.EqualTo(new[] { "octet.Conv" }));
    }

    [Test]
    public void ActivationBeforeTheSumStaysBeforeIt()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 3, 5, 5);
        g.Output(g.Node("Add", [x, g.Node("Relu", [Conv(g, x, 1, 3, 3)])]), "y");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Conv" }));
        Assert.That(check.Fused.Nodes[0].Attributes.Int("activation_first"), Is.EqualTo(1));
    }

    [Test]
    public void ASecondActivationIsRefused()
    {
        var g = new TestGraph();
        g.Output(g.Node("Tanh", [g.Node("Relu", [Conv(g, g.Input("x", 1, 2, 4, 4), 1, 2, 2)])], name: "tanh"), "y");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Conv", "Tanh" }));
        Assert.That(check.Refusal("activation"), Is.EqualTo("octet.Conv 'conv' has an activation already"));
    }

    [Test]
    public void ABroadcastSumIsRefused()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 2, 3, 5, 5), z = g.Input("z", 1, 3, 5, 5);
        g.Output(g.Node("Add", [Conv(g, x, 1, 3, 3), z]), "y");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Conv", "Add" }));
        Assert.That(check.Refusal("sum"), Does.Contain("the other side is float32[1,3,5,5]"));
    }

    [Test]
    public void BothSidesTheSameConvolutionIsRefused()
    {
        var g = new TestGraph();
        Value conv = Conv(g, g.Input("x", 1, 3, 5, 5), 1, 3, 3);
        g.Output(g.Node("Add", [conv, conv]), "y");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Conv", "Add" }));
        Assert.That(check.Refusal("sum"), Does.Contain("both sides are the same value"));
    }

    [Test]
    public void AnObservedConvolutionKeepsItsValue()
    {
        var g = new TestGraph();
        Value conv = Conv(g, g.Input("x", 1, 2, 4, 4), 1, 2, 2);
        g.Output(g.Node("Relu", [conv]), "y");
        var check = new FusionCheck(g, options: new RewriteOptions { Observed = new HashSet<string> { conv.Name } });
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Conv", "Relu" }));
        Assert.That(check.Refusal("activation"), Is.EqualTo($"'{conv.Name}' is observed"));
    }

    private static IEnumerable<TestCaseData> ActivationCases()
    {
        TestCaseData Case(string type, AttributeMap? attributes = null, string domain = "") => new TestCaseData(type, attributes, domain).SetArgDisplayNames(type, attributes is null ? "" : GraphPrinter.Text(attributes.First().Value));
        foreach (string type in (string[])["Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu", "Elu", "Celu", "Mish", "Softplus", "Softsign", "Abs", "Exp", "Gelu", "ThresholdedRelu"]) yield return Case(type);
        yield return Case("LeakyRelu", new AttributeMap { { "alpha", 0.3f } });
        yield return Case("HardSigmoid", new AttributeMap { { "alpha", 0.4f } });
        yield return Case("Elu", new AttributeMap { { "alpha", 0.7f } });
        yield return Case("Gelu", new AttributeMap { { "approximate", "tanh" } });
        yield return Case("QuickGelu", null, "com.microsoft");
    }

    [TestCaseSource(nameof(ActivationCases))]
    public void EveryActivationFuses(string type, AttributeMap? attributes, string domain)
    {
        var g = new TestGraph();
        g.Output(g.Node(type, [Conv(g, g.Input("x", 1, 3, 6, 5), 1, 3, 4)], attributes, "act", domain), "y");
        bool runsUnfused = Octet.Runtime.Operators.OperatorTable.Find(domain, type, 21) is not null;
        var check = new FusionCheck(g);
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Conv" }));
        Assert.That(runsUnfused, Is.True);
        check.Agrees();
    }

    [Test]
    public void ClipFusesWithConstantLimits([Values(true, false)] bool low, [Values(true, false)] bool high)
    {
        var g = new TestGraph();
        Value conv = Conv(g, g.Input("x", 1, 3, 6, 5), 1, 3, 4);
        g.Output(g.Node("Clip", [conv, low ? g.Scalar("low", -0.25f) : null, high ? g.Scalar("high", 0.5f) : null]), "y");
        Assert.That(new FusionCheck(g).Agrees().Types, Is.EqualTo(new[] { "octet.Conv" }));
    }

    [Test]
    public void ClipWithComputedLimitsIsRefused()
    {
        var g = new TestGraph();
        Value conv = Conv(g, g.Input("x", 1, 3, 6, 5), 1, 3, 4);
        g.Output(g.Node("Clip", [conv, g.Input("low", new TensorType(DataType.Float32, ReadOnlySpan<int>.Empty))], name: "clip"), "y");
        Assert.That(new FusionCheck(g).Refusal("activation"), Is.EqualTo("the constants of Clip 'clip' are computed at run time"));
    }

    [Test]
    public void SquareAndSwishFuseThroughTheirSteps()
    {
        var g = new TestGraph();
        Value a = Conv(g, g.Input("x", 1, 3, 6, 5), 1, 3, 4, name: "a"), b = Conv(g, g.Graph.Inputs[0], 5, 3, 4, name: "b"), c = Conv(g, g.Graph.Inputs[0], 9, 3, 4, name: "c");
        g.Output(g.Node("Mul", [a, a]), "square");
        g.Output(g.Node("Mul", [b, g.Node("Sigmoid", [b])]), "swish");
        g.Output(g.Node("Sqrt", [g.Node("Abs", [c])]), "root");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Conv", "octet.Conv", "octet.Conv", "Sqrt" }));
        Assert.That(check.Fused.Nodes.Take(3).Select(node => node.Attributes.String("activation")), Is.EqualTo(new[] { "Square", "Swish", "Abs" }));
    }

    [Test]
    public void ScaleAndAddendPerChannelFold()
    {
        var g = new TestGraph();
        Value conv = Conv(g, g.Input("x", 1, 3, 4, 4), 1, 3, 5);
        g.Output(g.Node("Add", [g.Floats("shift", [1f, 2f, 3f, 4f, 5f], 5, 1, 1), g.Node("Mul", [conv, g.Floats("scale", [2f, 1f, 0.5f, -1f, 4f], 1, 5, 1, 1)])]), "y");
        Assert.That(new FusionCheck(g, portable: true).Agrees().Types, Is.EqualTo(new[] { "Conv" }));
    }

    [Test]
    public void AScalePerColumnIsRefused()
    {
        var g = new TestGraph();
        Value conv = Conv(g, g.Input("x", 1, 3, 4, 4), 1, 3, 4);
        g.Output(g.Node("Mul", [conv, g.Floats("scale", [2f, 1f, 0.5f, -1f], 4)]), "y");
        var check = new FusionCheck(g, portable: true).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "Conv", "Mul" }));
        Assert.That(check.Refusal("conv-mul"), Does.Contain("not one value per output channel"));
    }

    [Test]
    public void PadFoldsIntoConvolution()
    {
        var g = new TestGraph();
        Value pad = g.Node("Pad", [g.Input("x", 1, 2, 4, 4), g.Ints("pads", 0, 0, 1, 2, 0, 0, 0, 3)]);
        g.Output(g.Node("Conv", [pad, g.Random("w", 1, 3, 2, 3, 3)], new AttributeMap { { "pads", new long[] { 0, 1, 2, 0 } } }), "y");
        var check = new FusionCheck(g, portable: true).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "Conv" }));
        Assert.That(check.Fused.Nodes[0].Attributes.Ints("pads"), Is.EqualTo(new long[] { 1, 3, 2, 3 }));
    }

    [TestCase("reflect", 0f, "the padding mode is 'reflect'")]
    [TestCase("constant", 1f, "the padding is 1, a convolution pads with 0")]
    public void OtherPaddingIsRefused(string mode, float value, string reason)
    {
        var g = new TestGraph();
        Value pad = g.Node("Pad", [g.Input("x", 1, 2, 4, 4), g.Ints("pads", 0, 0, 1, 1, 0, 0, 1, 1), g.Scalar("value", value)], new AttributeMap { { "mode", mode } });
        g.Output(g.Node("Conv", [pad, g.Random("w", 1, 3, 2, 3, 3)]), "y");
        var check = new FusionCheck(g, portable: true);
        Assert.That(check.Types, Is.EqualTo(new[] { "Pad", "Conv" }));
        Assert.That(check.Refusal("pad-conv"), Is.EqualTo(reason));
    }

    [Test]
    public void PaddingOfChannelsIsRefused()
    {
        var g = new TestGraph();
        Value pad = g.Node("Pad", [g.Input("x", 1, 2, 4, 4), g.Ints("pads", 0, 1, 0, 0, 0, 0, 0, 0)]);
        g.Output(g.Node("Conv", [pad, g.Random("w", 1, 3, 3, 3, 3)]), "y");
        Assert.That(new FusionCheck(g, portable: true).Refusal("pad-conv"), Is.EqualTo("the padding is on the batch or channel axis"));
    }

    [Test]
    public void PadFoldsIntoPooling()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 2, 5, 5);
        var window = new AttributeMap { { "kernel_shape", new long[] { 3, 3 } }, { "strides", new long[] { 2, 2 } } };
        Value zero = g.Node("Pad", [x, g.Ints("pads", 0, 0, 1, 1, 0, 0, 1, 1)], name: "zero");
        Value infinite = g.Node("Pad", [x, g.Ints("pads2", 0, 0, 1, 1, 0, 0, 1, 1), g.Scalar("low", float.NegativeInfinity)], name: "infinite");
        g.Output(g.Node("AveragePool", [zero], window), "mean");
        g.Output(g.Node("MaxPool", [infinite], window.Copy()), "max");
        var check = new FusionCheck(g, portable: true).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "AveragePool", "MaxPool" }));
        Assert.That(check.Fused.Nodes[0].Attributes.Int("count_include_pad"), Is.EqualTo(1));
    }

    [Test]
    public void ZeroPaddingOfAMaximumIsRefused()
    {
        var g = new TestGraph();
        Value pad = g.Node("Pad", [g.Input("x", 1, 2, 4, 4), g.Ints("pads", 0, 0, 1, 1, 0, 0, 1, 1)]);
        g.Output(g.Node("MaxPool", [pad], new AttributeMap { { "kernel_shape", new long[] { 2, 2 } } }), "y");
        Assert.That(new FusionCheck(g, portable: true).Refusal("pad-pool"), Is.EqualTo("the padding is 0, a maximum may be smaller"));
    }

    [Test]
    public void ContributedFusedConvRunsAsOneStep()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 3, 4, 4);
        g.Output(g.Node("FusedConv", [x, g.Random("w", 1, 3, 3, 1, 1), g.Random("b", 2, 3), x], new AttributeMap { { "activation", "LeakyRelu" }, { "activation_params", new[] { 0.25f } } }, domain: "com.microsoft"), "y");
        Assert.That(new FusionCheck(g).Agrees().Types, Is.EqualTo(new[] { "octet.Conv" }));
    }

    [Test]
    public void ConvolutionWithComputedWeightsIsRefused()
    {
        var g = new TestGraph();
        g.Output(g.Node("Conv", [g.Input("x", 1, 2, 4, 4), g.Input("w", 3, 2, 1, 1)]), "y");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "Conv" }));
        Assert.That(check.Refusal("plan-conv"), Is.EqualTo("the weights or the bias are no float32 constants"));
    }
}
