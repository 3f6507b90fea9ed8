using Octet.Quantization;
using Octet.Quantization.Marking;
using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Passes;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Quantization;

/// <summary>Which operators are quantized, and what the report says of each.</summary>
internal sealed class MarkerTests
{
    private static readonly QuantizationOptions Smart = new() { Mode = QuantizeMode.Smart };

    private readonly AttributeMap _pool = new() { ["kernel_shape"] = new long[] { 2, 2 } };

    [Test]
    public void FullTakesEverythingThatHasAnIntegerForm()
    {
        var g = new TestGraph();
        Value x = g.Node("MaxPool", [Conv(g, "c1", g.Input("x", 1, 4, 8, 8))], _pool, "pool");
        g.Output(g.Node("Softmax", [x], name: "softmax"));
        Assert.That(Marked(g, new QuantizationOptions()), Is.EqualTo(new[] { "c1", "pool" }));
        Assert.That(Reason(g, new QuantizationOptions(), "softmax"), Is.EqualTo("Softmax has no integer form"));
    }

    [Test]
    public void SmartDropsAPoolAfterTheLastConvolution()
    {
        var g = new TestGraph();
        g.Output(g.Node("MaxPool", [Conv(g, "c1", g.Input("x", 1, 4, 8, 8))], _pool, "pool"));
        Assert.That(Marked(g, Smart), Is.EqualTo(new[] { "c1" }));
        Assert.That(Reason(g, Smart, "pool"), Does.Contain("does not lie between"));
    }

    [Test]
    public void SmartDropsAPoolBeforeTheFirstConvolution()
    {
        var g = new TestGraph();
        g.Output(Conv(g, "c1", g.Node("MaxPool", [g.Input("x", 1, 4, 8, 8)], _pool, "pool")));
        Assert.That(Marked(g, Smart), Is.EqualTo(new[] { "c1" }));
    }

    [Test]
    public void SmartKeepsAPoolBetweenConvolutions()
    {
        var g = new TestGraph();
        Value pool = g.Node("MaxPool", [Conv(g, "c1", g.Input("x", 1, 4, 8, 8))], _pool, "pool");
        g.Output(Conv(g, "c2", pool));
        Assert.That(Marked(g, Smart), Is.EqualTo(new[] { "c1", "pool", "c2" }));
    }

    [Test]
    public void SmartKeepsAnAddOneOfWhoseBranchesIsFloat()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 4, 8, 8);
        Value add = g.Node("Add", [Conv(g, "c1", x), g.Node("Softmax", [x], name: "softmax")], name: "add");
        g.Output(Conv(g, "c2", add));
        Assert.That(Marked(g, Smart), Is.EqualTo(new[] { "c1", "add", "c2" }));
    }

    [Test]
    public void SmartKeepsAConcatOfAGraphInputAndAConvolution()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 4, 8, 8);
        Value concat = g.Node("Concat", [x, Conv(g, "c1", x)], new AttributeMap { ["axis"] = 1L }, "concat");
        g.Output(Conv(g, "c2", concat, inputs: 8));
        Assert.That(Marked(g, Smart), Is.EqualTo(new[] { "c1", "concat", "c2" }));
    }

    [Test]
    public void SmartKeepsAChainOfSupportingOperators()
    {
        var g = new TestGraph();
        Value v = g.Node("MaxPool", [Conv(g, "c1", g.Input("x", 1, 4, 8, 8))], _pool, "pool");
        v = g.Node("Sigmoid", [v], name: "sigmoid");
        v = g.Node("Transpose", [v], new AttributeMap { ["perm"] = new long[] { 0, 1, 3, 2 } }, "transpose");
        g.Output(Conv(g, "c2", v));
        Assert.That(Marked(g, Smart), Is.EqualTo(new[] { "c1", "pool", "sigmoid", "transpose", "c2" }));
    }

    [Test]
    public void SmartDropsAChainThatAFloatOperatorCuts()
    {
        var g = new TestGraph();
        Value v = g.Node("MaxPool", [Conv(g, "c1", g.Input("x", 1, 4, 8, 8))], _pool, "pool");
        g.Output(Conv(g, "c2", g.Node("Softmax", [v], name: "softmax")));
        Assert.That(Marked(g, Smart), Is.EqualTo(new[] { "c1", "c2" }));
    }

    [Test]
    public void AnExcludedConvolutionHoldsNothingTogetherInSmartMode()
    {
        var g = new TestGraph();
        g.Output(Conv(g, "c2", g.Node("MaxPool", [Conv(g, "c1", g.Input("x", 1, 4, 8, 8))], _pool, "pool")));
        Assert.That(Marked(g, Smart with { Exclude = ["c1"] }), Is.EqualTo(new[] { "c2" }));
    }

    [Test]
    public void ExclusionsByNamePatternTypeAndOutput()
    {
        TestGraph Chain()
        {
            var g = new TestGraph();
            Value v = Conv(g, "stage1.a", g.Input("x", 1, 4, 8, 8));
            v = g.Node("MaxPool", [v], _pool, "stage1.pool");
            g.Output(Conv(g, "stage2.a", v));
            return g;
        }
        QuantizationOptions o = new();
        Assert.That(Marked(Chain(), o with { Exclude = ["stage1.a"] }), Is.EqualTo(new[] { "stage1.pool", "stage2.a" }));
        Assert.That(Marked(Chain(), o with { ExcludeMatch = ["stage1"] }), Is.EqualTo(new[] { "stage2.a" }));
        Assert.That(Marked(Chain(), o with { ExcludeMatch = ["stage*a"] }), Is.EqualTo(new[] { "stage1.pool" }));
        Assert.That(Marked(Chain(), o with { ExcludeOperators = ["Conv"] }), Is.EqualTo(new[] { "stage1.pool" }));
        Assert.That(Reason(Chain(), o with { Exclude = ["stage1.a"] }, "stage1.a"), Is.EqualTo("excluded by name 'stage1.a'"));
        Assert.That(Reason(Chain(), o with { ExcludeOperators = ["MaxPool"] }, "stage1.pool"), Is.EqualTo("excluded by operator type 'MaxPool'"));
    }

    [Test]
    public void AnInnerNameExcludesTheMergedNode()
    {
        var g = new TestGraph();
        Value conv = Conv(g, "c1", g.Input("x", 1, 4, 8, 8));
        g.Output(g.Node("BatchNormalization", [conv, g.Floats("gamma", [1, 2, 3, 4]), g.Floats("beta", [1, 1, 1, 1]), g.Floats("mean", [0, 1, 0, 1]), g.Floats("variance", [1, 2, 1, 2])], name: "bn"));
        PreparedModel folded = Quantizer.Prepare(new Model(g.Graph));
        Assert.That(folded.Marks.Keys.Select(node => node.OperatorType), Is.EqualTo(new[] { "Conv" }), "the normalization is not folded, so the test tests nothing");
        PreparedModel prepared = Quantizer.Prepare(new Model(g.Graph), new QuantizationOptions { Exclude = ["bn"] });
        Assert.That(prepared.Marks.Values.Single().Operator, Is.Null);
        Assert.That(prepared.Marks.Values.Single().Reason, Is.EqualTo("excluded by name 'bn'"));
    }

    [Test]
    public void AnExclusionThatMatchesNothingNamesTheNearest()
    {
        var g = new TestGraph();
        g.Output(Conv(g, "features.conv1", g.Input("x", 1, 4, 8, 8)));
        QuantizationOptions o = new();
        Refused(o with { Exclude = ["feature.conv1"] }, "'feature.conv1'", "nearest: 'features.conv1'");
        Refused(o with { ExcludeMatch = ["stage*"] }, "'stage*'", "nearest:");
        Refused(o with { ExcludeOperators = ["conv"] }, "'conv'", "nearest: 'Conv'");

        void Refused(QuantizationOptions options, params string[] parts)
        {
            DataException error = Assert.Throws<DataException>(() => Quantizer.Prepare(new Model(g.Graph), options))!;
            foreach (string part in parts.Append("rule: an exclusion matches at least one operator")) Assert.That(error.Message, Does.Contain(part));
        }
    }

    [Test]
    public void NodesThatCannotBeQuantizedSayWhy()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 4, 8, 8), w = g.Input("w", 4, 4, 3, 3);
        g.Output(g.Node("Conv", [x, w], name: "c"));
        Assert.That(Marked(g, new QuantizationOptions()), Is.Empty);
        Assert.That(Reason(g, new QuantizationOptions(), "c"), Is.EqualTo("its weight is computed at run time"));
    }

    private static Value Conv(TestGraph g, string name, Value x, int inputs = 4) =>
        g.Node("Conv", [x, g.Random(name + "/w", name.Length, 4, inputs, 1, 1)], name: name);

    private static Dictionary<Node, Marker.Mark> Run(TestGraph g, QuantizationOptions options)
    {
        TypeInference.Run(g.Graph);
        return Marker.Run(g.Graph, options);
    }

    private static string[] Marked(TestGraph g, QuantizationOptions options) => [.. Run(g, options).Where(pair => pair.Value.Operator is not null).Select(pair => pair.Key.Name)];

    private static string Reason(TestGraph g, QuantizationOptions options, string node) => Run(g, options).Single(pair => pair.Key.Name == node).Value.Reason;
}
