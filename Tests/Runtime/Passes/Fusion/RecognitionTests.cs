using Octet.Runtime.Graphs;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes.Fusion;

/// <summary>Operators that exporters write out step by step.</summary>
internal sealed class RecognitionTests
{
    private static Value Gelu(TestGraph g, Value x, string form)
    {
        Value one = g.Scalar("one", 1f), half = g.Scalar("half", 0.5f), term;
        if (form.StartsWith("erf", StringComparison.Ordinal))
        {
            Value scaled = form.EndsWith("mul", StringComparison.Ordinal) ? g.Node("Mul", [x, g.Scalar("root", 0.70710677f)]) : g.Node("Div", [x, g.Scalar("root", 1.4142135f)]);
            term = g.Node("Add", [g.Node("Erf", [scaled]), one]);
        }
        else
        {
            Value cube = form.EndsWith("mul", StringComparison.Ordinal) ? g.Node("Mul", [x, g.Node("Mul", [x, x])]) : g.Node("Pow", [x, g.Scalar("three", 3f)]);
            Value inner = g.Node("Add", [x, g.Node("Mul", [cube, g.Scalar("factor", 0.044715f)])]);
            term = g.Node("Add", [one, g.Node("Tanh", [g.Node("Mul", [g.Scalar("root", 0.7978846f), inner])])]);
        }
        return form.Contains("inner", StringComparison.Ordinal) ? g.Node("Mul", [g.Node("Mul", [x, half]), term]) : g.Node("Mul", [g.Node("Mul", [x, term]), half]);
    }

    [Test]
    public void GeluIsRecognized([Values("erf", "erf mul", "erf inner", "tanh", "tanh mul", "tanh inner")] string form)
    {
        var g = new TestGraph(opset: 20);
        g.Output(Gelu(g, g.Input("x", 3, 16), form), "y");
        var check = new FusionCheck(g, portable: true).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "Gelu" }));
        Assert.That(check.Fused.Nodes[0].Attributes.String("approximate", "none"), Is.EqualTo(form.StartsWith("tanh", StringComparison.Ordinal) ? "tanh" : "none"));
    }

    [Test]
    public void GeluOfAnOlderOperatorSetIsOneStepOfAPlan()
    {
        var g = new TestGraph(opset: 13);
        g.Output(Gelu(g, g.Input("x", 3, 16), "erf"), "y");
        Assert.That(new FusionCheck(g, portable: true).Refusal("gelu"), Is.EqualTo("operator set 13 has no Gelu"));
        Assert.That(new FusionCheck(g).Agrees().Types, Is.EqualTo(new[] { "octet.Activation" }));
    }

    [Test]
    public void AnotherFactorIsNoGelu()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 8);
        Value term = g.Node("Add", [g.Node("Erf", [g.Node("Div", [x, g.Scalar("root", 1.5f)])]), g.Scalar("one", 1f)]);
        g.Output(g.Node("Mul", [g.Node("Mul", [x, term]), g.Scalar("half", 0.5f)]), "y");
        var check = new FusionCheck(g, portable: true);
        Assert.That(check.Types, Does.Contain("Erf"));
        Assert.That(check.Refusal("gelu"), Is.EqualTo("the argument of erf is not x/√2"));
    }

    private static void LayerNorm(TestGraph g, long axis, bool byPow)
    {
        Value x = g.Input("x", 2, 3, 8);
        Value Mean(Value of, string name) => g.Graph.OpsetVersion("") >= 18 ? g.Node("ReduceMean", [of, g.Ints(name + ".axes", axis)], name: name) : g.Node("ReduceMean", [of], new AttributeMap { { "axes", new[] { axis } } }, name);
        Value d = g.Node("Sub", [x, Mean(x, "mean")]);
        Value square = byPow ? g.Node("Pow", [d, g.Scalar("two", 2f)]) : g.Node("Mul", [d, d]);
        Value deviation = g.Node("Sqrt", [g.Node("Add", [Mean(square, "variance"), g.Scalar("epsilon", 1e-5f)])]);
        int length = axis == 1 ? 3 : 8;
        g.Output(g.Node("Add", [g.Node("Mul", [g.Node("Div", [d, deviation]), g.Random("gamma", 1, axis == 1 ? [length, 1] : [length])]), g.Random("beta", 2, axis == 1 ? [length, 1] : [length])]), "y");
    }

    [Test]
    public void LayerNormIsRecognized([Values(13, 17, 21)] int opset, [Values(true, false)] bool byPow)
    {
        var g = new TestGraph(opset);
        LayerNorm(g, -1, byPow);
        Assert.That(new FusionCheck(g).Agrees().Types, Is.EqualTo(new[] { "LayerNormalization" }));
        Assert.That(new FusionCheck(g, portable: true).Types.Length, Is.EqualTo(opset >= 17 ? 1 : 9), "older operator sets keep the steps in a portable graph");
    }

    [Test]
    public void NormalizationOverAnotherAxisIsNoLayerNorm()
    {
        var g = new TestGraph(17);
        LayerNorm(g, 1, byPow: false);
        Assert.That(new FusionCheck(g, portable: true).Refusal("layernorm"), Does.Contain("is not over the last axis alone"));
    }

    [Test]
    public void HardSwishIsRecognized([Values("gate", "clip div", "clip mul", "inner div")] string form)
    {
        var g = new TestGraph();
        Value x = g.Input("x", 3, 8);
        if (form == "gate")
        {
            g.Output(g.Node("Mul", [g.Node("HardSigmoid", [x], new AttributeMap { { "alpha", 1f / 6 }, { "beta", 0.5f } }), x]), "y");
        }
        else
        {
            Value ramp = g.Node("Clip", [g.Node("Add", [x, g.Scalar("three", 3f)]), g.Scalar("low", 0f), g.Scalar("high", 6f)]);
            Value six = g.Scalar("six", form == "clip mul" ? 1f / 6 : 6f);
            g.Output(form == "inner div" ? g.Node("Mul", [x, g.Node("Div", [ramp, six])]) : g.Node(form == "clip mul" ? "Mul" : "Div", [g.Node("Mul", [x, ramp]), six]), "y");
        }
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Activation" }));
        Assert.That(check.Fused.Nodes[0].Attributes.String("activation"), Is.EqualTo("HardSwish"));
    }

    [Test]
    public void AnotherSlopeIsNoHardSwish()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 3, 8);
        g.Output(g.Node("Mul", [g.Node("HardSigmoid", [x]), x]), "y");
        Assert.That(new FusionCheck(g).Refusal("hardswish"), Does.Contain("HardSigmoid has slope 0.2"));
    }

    [Test]
    public void SwishWithAFactorIsRecognized()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 3, 8);
        g.Output(g.Node("Mul", [x, g.Node("Sigmoid", [g.Node("Mul", [x, g.Scalar("alpha", 1.702f)])])]), "y");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Activation" }));
        Assert.That(check.Fused.Nodes[0].Attributes.Float("alpha"), Is.EqualTo(1.702f));
    }

    private static TestGraph ChannelShuffle(long[] perm)
    {
        var g = new TestGraph();
        Value rows = g.Node("Reshape", [g.Input("x", 2, 6, 4, 5), g.Ints("s1", perm[0] == 1 ? [6, 2, 20] : [2, 6, 20])]);
        Value groups = g.Node("Reshape", [g.Node("Transpose", [rows], new AttributeMap { { "perm", perm } }), g.Ints("s2", 2, 2, 3, 4, 5)]);
        for (long i = 0; i < 2; i++) g.Output(g.Node("Gather", [groups, g.Editor.AddConstant("i", Octet.Runtime.Tensors.Tensor.Scalar(i))], name: $"group{i}"), $"y{i}");
        return g;
    }

    [Test]
    public void ChannelShuffleBecomesSlices() =>
        Assert.That(new FusionCheck(ChannelShuffle([1, 0, 2])).Agrees(exact: true).Types, Is.EqualTo(new[] { "Slice", "Slice" }));

    [Test]
    public void OtherShapesAreNoChannelShuffle()
    {
        var check = new FusionCheck(ChannelShuffle([0, 1, 2]));
        Assert.That(check.Types, Does.Contain("Gather"));
        Assert.That(check.Refusal("channel-split"), Does.Contain("not those of a channel shuffle"));
    }

    [Test]
    public void EveryRuleHasANameOfItsOwn()
    {
        string[] names = [.. Octet.Runtime.Passes.Fusions.Portable.Concat(Octet.Runtime.Passes.Fusions.Plan).Select(rule => rule.Name)];
        Assert.That(names, Is.Unique);
    }
}
