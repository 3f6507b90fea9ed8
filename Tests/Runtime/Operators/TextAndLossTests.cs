using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>Text operators and losses on values worked out by hand.</summary>
internal sealed class TextAndLossTests
{
    [Test]
    public void StringConcatBroadcasts()
    {
        Tensor y = One("StringConcat", [Texts(["a", "b"], 2, 1), Texts(["x", "y", "z"], 3)]);
        Assert.That(y.Shape.ToArray(), Is.EqualTo(new[] { 2, 3 }));
        Assert.That(y.Strings.ToArray(), Is.EqualTo(new[] { "ax", "ay", "az", "bx", "by", "bz" }));
    }

    [Test]
    public void StringSplitPadsAndCounts()
    {
        Tensor[] y = OneNode.Run("StringSplit", [Texts(["a,b", "", "c,d,e"], 3)], new AttributeMap { ["delimiter"] = "," }, outputs: 2);
        Assert.That(y[0].Shape.ToArray(), Is.EqualTo(new[] { 3, 3 }));
        Assert.That(y[0].Strings.ToArray(), Is.EqualTo(new[] { "a", "b", "", "", "", "", "c", "d", "e" }));
        Assert.That(y[1].ToInt64Array(), Is.EqualTo(new[] { 2L, 0, 3 }));
    }

    [Test]
    public void StringSplitAtSpacesStopsAtTheLimit()
    {
        Tensor[] y = OneNode.Run("StringSplit", [Texts(["  one two  three "], 1)], new AttributeMap { ["maxsplit"] = 1L }, outputs: 2);
        Assert.That(y[0].Strings.ToArray(), Is.EqualTo(new[] { "one", "two  three" }));
    }

    [Test]
    public void StringNormalizerRemovesStopWordsWithoutCase()
    {
        Tensor y = One("StringNormalizer", [Texts(["Monday", "tuesday", "Friday"], 1, 3)],
            new AttributeMap { ["case_change_action"] = "UPPER", ["stopwords"] = new[] { "monday" } });
        Assert.That(y.Shape.ToArray(), Is.EqualTo(new[] { 1, 2 }));
        Assert.That(y.Strings.ToArray(), Is.EqualTo(new[] { "TUESDAY", "FRIDAY" }));
    }

    [Test]
    public void StringNormalizerLeavesOneEmptyText()
    {
        Tensor y = One("StringNormalizer", [Texts(["x"], 1)], new AttributeMap { ["stopwords"] = new[] { "x" }, ["is_case_sensitive"] = 1L });
        Assert.That(y.Strings.ToArray(), Is.EqualTo(new[] { "" }));
    }

    [Test]
    public void RegexMatchesWholeTexts()
    {
        Tensor y = One("RegexFullMatch", [Texts(["ab1", "xab1", "ab1\n"], 3)], new AttributeMap { ["pattern"] = "[a-c]+|[a-c]+\\d" });
        Assert.That(y.Span<bool>().ToArray(), Is.EqualTo(new[] { true, false, false }));
    }

    [Test]
    public void RegexWithLookAroundIsRefused() =>
        Assert.That(() => One("RegexFullMatch", [Texts(["a"], 1)], new AttributeMap { ["pattern"] = "(?=a)a" }), Throws.TypeOf<UnsupportedModelException>());

    [Test]
    public void TfIdfCountsSkippedPairs()
    {
        // Pool: unigrams 2, 3; bigrams (5,6), (7,8). The row has 2 once, 3 twice, (5,6) with one token between, (7,8) next to each other.
        Tensor y = One("TfIdfVectorizer", [Tensor.Create<long>([2, 3, 5, 3, 6, 7, 8], 7)], new AttributeMap
        {
            ["mode"] = "TF",
            ["min_gram_length"] = 1L,
            ["max_gram_length"] = 2L,
            ["max_skip_count"] = 1L,
            ["ngram_counts"] = new[] { 0L, 2 },
            ["ngram_indexes"] = new[] { 3L, 2, 1, 0 },
            ["pool_int64s"] = new[] { 2L, 3, 5, 6, 7, 8 },
        });
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(new[] { 1f, 1, 2, 1 }));
    }

    [TestCase("sum", new[] { 8f })]
    [TestCase("mean", new[] { 2f })]
    [TestCase("none", new[] { 2f, 6, 0 })]
    public void NegativeLogLikelihoodWeighsAndIgnores(string reduction, float[] expected)
    {
        // Losses: −1·−2 = 2 with weight 1, −3·−2 = 6 with weight 3; the third target is ignored. Mean: 8 / (1 + 3).
        Tensor y = One("NegativeLogLikelihoodLoss",
            [Tensor.Create<float>([-2, -1, -1, -2, -4, -4], 3, 2), Tensor.Create<long>([0, 1, 5], 3), Tensor.Create<float>([1, 3], 2)],
            new AttributeMap { ["reduction"] = reduction, ["ignore_index"] = 5L });
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(expected));
    }

    [Test]
    public void TargetOutsideIsADataError() =>
        Assert.That(() => One("NegativeLogLikelihoodLoss", [Tensor.Create<float>([0, 0], 1, 2), Tensor.Create<long>([2], 1)]), Throws.TypeOf<DataException>());

    [Test]
    public void SoftmaxCrossEntropyOfEqualScores()
    {
        Tensor[] y = OneNode.Run("SoftmaxCrossEntropyLoss", [Tensor.Create<float>([1, 1, 1, 1], 1, 4), Tensor.Create<int>([2], 1)], outputs: 2);
        Assert.That(y[0].Span<float>()[0], Is.EqualTo(MathF.Log(4)).Within(Tolerance.Epsilon * 4));
        Assert.That(y[1].Span<float>().ToArray(), Is.All.EqualTo(-MathF.Log(4)).Within(Tolerance.Epsilon * 4));
    }

    [Test]
    public void DeformConvWithWholeOffsetsShifts()
    {
        // A 1×1 kernel of weight 2 and an offset of one row down, one column right: y[h, w] = 2·x[h + 1, w + 1], zero outside.
        float[] offsets = [.. Enumerable.Repeat(1f, 18)];
        Tensor y = One("DeformConv", [Tensor.Create<float>([1, 2, 3, 4, 5, 6, 7, 8, 9], 1, 1, 3, 3), Tensor.Create<float>([2], 1, 1, 1, 1), Tensor.Create(offsets, 1, 2, 3, 3)]);
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(new[] { 10f, 12, 0, 16, 18, 0, 0, 0, 0 }));
    }

    [Test]
    public void OptionalsHoldOrNot()
    {
        var g = new TestGraph(18);
        Value x = g.Input("x", 2);
        Value full = g.Node("Optional", [x]);
        Value empty = g.Node("Optional", [], new AttributeMap { ["type"] = x.Type }, name: "none");
        g.Output(g.Node("OptionalHasElement", [full], name: "has"), "has");
        g.Output(g.Node("OptionalHasElement", [empty], name: "hasNot"), "hasNot");
        g.Output(g.Node("OptionalGetElement", [full]), "value");
        IReadOnlyDictionary<string, Tensor> results = new Octet.Runtime.Execution.InferenceSession(new Model(g.Graph)).Run(new Dictionary<string, Tensor> { ["x"] = Tensor.Create<float>([3, 4], 2) });
        Assert.That(results["has"].Span<bool>()[0], Is.True);
        Assert.That(results["hasNot"].Span<bool>()[0], Is.False);
        Assert.That(results["value"].Span<float>().ToArray(), Is.EqualTo(new[] { 3f, 4 }));
    }

    [Test]
    public void SequenceMapWalksSequencesTogether()
    {
        var g = new TestGraph(18);
        Value x = g.Input("x", 4, 2), two = g.Editor.AddConstant("two", Tensor.Scalar(2L));
        Value pieces = g.Node("SplitToSequence", [x, two]);
        var body = new Graph("body", g.Graph.Opsets, g.Graph);
        var editor = new GraphEditor(body);
        var piece = new TensorType(DataType.Float32, [2, 2]);
        Value a = editor.AddInput("a", piece), b = editor.AddInput("b", piece);
        editor.AddOutput(editor.Add("Add", [a, b], outputType: piece), "sum");
        Value sums = g.Node("SequenceMap", [pieces, pieces], new AttributeMap { ["body"] = body });
        g.Output(g.Node("ConcatFromSequence", [sums], new AttributeMap { ["axis"] = 0L }), "y");
        IReadOnlyDictionary<string, Tensor> results = new Octet.Runtime.Execution.InferenceSession(new Model(g.Graph)).Run(new Dictionary<string, Tensor> { ["x"] = Tensor.Create<float>([1, 2, 3, 4, 5, 6, 7, 8], 4, 2) });
        Assert.That(results["y"].Span<float>().ToArray(), Is.EqualTo(new[] { 2f, 4, 6, 8, 10, 12, 14, 16 }));
    }

    [Test]
    public void ScanOfVersion8RunsPerBatchElementAndStopsAtItsLength()
    {
        var g = new TestGraph(8);
        Value lengths = g.Ints("lengths", 3, 1), start = g.Input("start", 2, 1), x = g.Input("x", 2, 3, 1);
        var body = new Graph("body", g.Graph.Opsets, g.Graph);
        var editor = new GraphEditor(body);
        var one = new TensorType(DataType.Float32, [1]);
        Value state = editor.AddInput("s", one), slice = editor.AddInput("t", one);
        Value sum = editor.Add("Add", [state, slice], outputType: one);
        editor.AddOutput(sum, "state");
        editor.AddOutput(sum, "sum");
        Value last = g.Editor.AddValue("last"), all = g.Editor.AddValue("all");
        g.Editor.AddNode("Scan", [lengths, start, x], [last, all], new AttributeMap { ["body"] = body, ["num_scan_inputs"] = 1L });
        g.Output(last);
        g.Output(all);
        IReadOnlyDictionary<string, Tensor> results = new Octet.Runtime.Execution.InferenceSession(new Model(g.Graph)).Run(new Dictionary<string, Tensor>
        {
            ["start"] = Tensor.Create<float>([10, 20], 2, 1),
            ["x"] = Tensor.Create<float>([1, 2, 3, 4, 5, 6], 2, 3, 1),
        });
        Assert.That(results["last"].Span<float>().ToArray(), Is.EqualTo(new[] { 16f, 24 }));
        Assert.That(results["all"].Span<float>().ToArray(), Is.EqualTo(new[] { 11f, 13, 16, 24, 0, 0 }));
    }

    private static Tensor Texts(string[] texts, params int[] shape) => new(texts, shape);

    private static Tensor One(string type, Tensor?[] inputs, AttributeMap? attributes = null) => OneNode.Run(type, inputs, attributes, opset: 22)[0];
}
