using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Rewriting;

internal sealed class RewriterTests
{
    /// <summary><c>Neg(Abs(x))</c> → <c>Relu(x)</c>: wrong as arithmetic, plain as a rewriting.</summary>
    private sealed class NegAbs : RewriteRule
    {
        public override string Name => "neg-abs";

        public override Pattern Pattern { get; } = Pattern.Op("Neg", Pattern.Op("Abs", Pattern.Any("x")).As("abs")).As("neg");

        public override RewriteResult Rewrite(Match match, GraphEditor editor)
        {
            if (match["x"].Name == "unwanted") return RewriteResult.Refuse("x is unwanted");
            editor.Fuse(match, match.Node("abs"), "Relu", [match["x"]]);
            return RewriteResult.Done;
        }
    }

    private static (TestGraph Graph, Value Abs, Value Neg) Chain(string input = "x")
    {
        var g = new TestGraph();
        Value abs = g.Node("Abs", [g.Input(input, 2)], name: "a"), neg = g.Node("Neg", [abs], name: "n");
        g.Output(neg, "y");
        return (g, abs, neg);
    }

    private static List<RewriteReport> Run(TestGraph g, RewriteOptions? options = null)
    {
        var report = new List<RewriteReport>();
        new Rewriter([new NegAbs()]).Run(g.Graph, (options ?? new RewriteOptions()) with { Verify = true }, report);
        return report;
    }

    [Test]
    public void TheNewNodeTakesOverOutputsNameAndOrigins()
    {
        (TestGraph g, _, Value neg) = Chain();
        List<RewriteReport> report = Run(g);
        Assert.That(g.Types, Is.EqualTo(new[] { "Relu" }));
        Node relu = g.Graph.Nodes[0];
        Assert.That(relu.Name, Is.EqualTo("a"));
        Assert.That(relu.Origins, Is.EqualTo(new[] { "a", "n" }), "oldest first");
        Assert.That(relu.Output, Is.SameAs(neg), "readers and the name outside stay");
        Assert.That(report, Is.EqualTo(new[] { new RewriteReport("neg-abs", "n", true, "") }));
    }

    [Test]
    public void RefusesAnInnerGraphOutput()
    {
        (TestGraph g, Value abs, _) = Chain();
        g.Output(abs, "inner");
        Assert.That(Run(g).Single(), Is.EqualTo(new RewriteReport("neg-abs", "n", false, $"'{abs.Name}' is an output of the graph")));
    }

    [Test]
    public void RefusesAnOutsideReader()
    {
        (TestGraph g, Value abs, _) = Chain();
        g.Output(g.Node("Exp", [abs], name: "e"), "z");
        Assert.That(Run(g).Single().Reason, Is.EqualTo($"'{abs.Name}' is also read by Exp 'e'"));
    }

    [Test]
    public void RefusesAnObservedValue()
    {
        (TestGraph g, Value abs, _) = Chain();
        Assert.That(Run(g, new RewriteOptions { Observed = new HashSet<string> { abs.Name } }).Single().Reason, Is.EqualTo($"'{abs.Name}' is observed"));
    }

    [Test]
    public void ReportsTheRulesOwnReasonOnce()
    {
        (TestGraph g, _, _) = Chain("unwanted");
        Assert.That(Run(g).Single().Reason, Is.EqualTo("x is unwanted"));
    }

    [Test]
    public void ARuleCanBeSwitchedOff()
    {
        (TestGraph g, _, _) = Chain();
        Assert.That(Run(g, new RewriteOptions { Disabled = new HashSet<string> { "neg-abs" } }), Is.Empty);
        Assert.That(g.Types, Is.EqualTo(new[] { "Abs", "Neg" }));
    }

    [Test]
    public void FindsEveryPlaceUntilNothingChanges()
    {
        var g = new TestGraph();
        Value value = g.Input("x", 2);
        for (int i = 0; i < 5; i++) value = g.Node("Neg", [g.Node("Abs", [value])]);
        g.Output(value);
        Assert.That(Run(g), Has.Count.EqualTo(5));
        Assert.That(g.Types, Is.All.EqualTo("Relu"));
    }

    [Test]
    public void CommutativePatternsMatchEitherOrderAndRepeatedNamesOneValue()
    {
        Pattern swish = Pattern.Op("Mul", Pattern.Any("x"), Pattern.Op("Sigmoid", Pattern.Any("x"))).EitherOrder();
        var g = new TestGraph();
        Value x = g.Input("x", 2), z = g.Input("z", 2), gate = g.Node("Sigmoid", [x]);
        Node left = g.Node("Mul", [x, gate]).Producer!, right = g.Node("Mul", [gate, x]).Producer!, other = g.Node("Mul", [z, gate]).Producer!;
        Assert.That(swish.Matches(left).Count(), Is.EqualTo(1));
        Assert.That(swish.Matches(right).Count(), Is.EqualTo(1));
        Assert.That(swish.Matches(other).Count(), Is.EqualTo(0));
    }

    [Test]
    public void OptionalInputsMayBeLeftOutAndOthersMayNotBeAdded()
    {
        Pattern conv = Pattern.Op("Conv|com.microsoft.FusedConv", Pattern.Any("x"), Pattern.Constant("w"), Pattern.Optional("b"));
        var g = new TestGraph();
        Value x = g.Input("x", 1, 1, 2, 2), w = g.Random("w", 1, 1, 1, 1, 1), b = g.Random("b", 1, 1);
        Assert.That(conv.Matches(g.Node("Conv", [x, w]).Producer!).Single().Find("b"), Is.Null);
        Assert.That(conv.Matches(g.Node("Conv", [x, w, b]).Producer!).Single()["b"], Is.SameAs(b));
        Assert.That(conv.Matches(g.Node("FusedConv", [x, w, b, x], domain: "com.microsoft").Producer!), Is.Empty, "a fourth input is not in the pattern");
        Assert.That(conv.Matches(g.Node("Conv", [x, x]).Producer!), Is.Empty, "w is no constant");
        Assert.That(conv.Matches(g.Node("Conv", [x, w], domain: "elsewhere").Producer!), Is.Empty, "another domain");
    }
}
