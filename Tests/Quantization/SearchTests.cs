using System.Text.Json;
using Octet.Quantization;
using Octet.Quantization.Analysis;
using Octet.Quantization.Search;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Quantization;

/// <summary>The analysis by layer, the accuracy-aware search and the guard against slower operators.</summary>
internal sealed class SearchTests
{
    private static readonly QuantizationOptions Naive = new() { Calibration = CalibrationMode.Naive };

    [Test]
    public void TheAnalysisFindsWhereTheErrorArises()
    {
        (Model model, Dictionary<string, Tensor>[] samples) = OneBadLayer();
        PreparedModel prepared = Quantizer.Prepare(model, Naive);
        AnalysisReport report = ModelAnalysis.Run(prepared, Quantizer.Quantize(model, samples, Naive).Model, samples);
        Assert.That(report.Samples, Is.EqualTo(samples.Length));
        Assert.That(report.Layers.Select(layer => layer.Value), Is.EqualTo(prepared.Model.Graph.Nodes.Select(node => node.Inputs[0]!.Name)).AsCollection);
        // The grid of the second layer is right for its one large channel, so the damage shows behind it, where the other channels are read.
        string[] byError = [.. report.Layers.OrderBy(layer => layer.SqnrDb).Select(layer => layer.Node)];
        Assert.That(byError[0], Is.EqualTo("after"), string.Join("; ", report.Layers));
        Assert.That(report.Layers.Single(layer => layer.Node == "after").SqnrDb, Is.LessThan(report.Layers.Where(layer => layer.Node != "after").Min(layer => layer.SqnrDb) - 6));
        foreach (LayerReport layer in report.Layers) Assert.That(layer.OwnSqnrDb, Is.InRange(25, 60), layer.Value);
        Assert.That(report.Layers[0].OperatorType, Is.EqualTo("input"));
        foreach (LayerReport layer in report.Layers.Skip(1)) Assert.That(layer.FloatMilliseconds > 0 && layer.QuantizedMilliseconds > 0, layer.Value);
        Assert.That(report.Layers.Select(layer => layer.ClippedShare), Is.All.LessThan(1e-3), "the range covers what it was calibrated with");

        using var stream = new MemoryStream();
        report.Save(stream);
        using JsonDocument json = JsonDocument.Parse(stream.ToArray());
        Assert.That(json.RootElement.GetProperty("layers").GetArrayLength(), Is.EqualTo(report.Layers.Count));
    }

    [Test]
    public void TheAnalysisCountsWhatIsClipped()
    {
        var g = new TestGraph();
        g.Output(g.Node("Conv", [g.Input("x", 1, 1, 10, 10), g.Floats("w", [0.5f], 1, 1, 1, 1)], name: "c"), "y");
        var model = new Model(g.Graph);
        float[] values = [.. Enumerable.Range(0, 100).Select(i => i / 100f)];
        PreparedModel prepared = Quantizer.Prepare(model, Naive);
        Model quantized = Quantizer.Quantize(model, [new Dictionary<string, Tensor> { ["x"] = Tensor.Create([.. values.Select(v => v / 2)], 1, 1, 10, 10) }], Naive).Model;
        LayerReport layer = ModelAnalysis.Run(prepared, quantized, [new Dictionary<string, Tensor> { ["x"] = Tensor.Create(values, 1, 1, 10, 10) }], time: false).Layers[0];
        // The grid ends at 0.495 and half a step more rounds back to it: 0.50 … 0.99 lie outside.
        Assert.That(layer.ClippedShare, Is.EqualTo(0.5));
        Assert.That(layer.FloatMilliseconds, Is.Null);
    }

    [Test]
    public void TheSearchLeavesTheBadOperatorFloatAndNothingElse([Values("mse", "cosine", "own")] string kind)
    {
        (Model model, Dictionary<string, Tensor>[] samples) = OneBadLayer();
        float[] expected = [.. samples.SelectMany(sample => new InferenceSession(model).Run(sample)["y"].ToFloat32Array())];
        double scale = expected.Average(value => (double)value * value);
        (AccuracyMetric metric, double tolerance) = kind switch
        {
            "mse" => (AccuracyMetric.MeanSquaredError(samples), 0.003 * scale),
            "cosine" => (AccuracyMetric.Cosine(samples), 0.0015),
            _ => (AccuracyMetric.Score("own", (session, token) =>
            {
                float[] actual = [.. samples.SelectMany(sample => session.Run(sample, token)["y"].ToFloat32Array())];
                return -actual.Zip(expected, (a, e) => Math.Abs(a - e)).Average() / Math.Sqrt(scale);
            }), 0.04),
        };
        SearchResult found = AccuracySearch.Run(model, samples, metric, Naive, new SearchOptions { Tolerance = tolerance });
        Assert.That(found.Path[0].Step, Is.EqualTo("all"));
        Assert.That(found.Path[0].WithinTolerance, Is.False, $"everything quantized loses {found.Path[0].Loss}: the test shows nothing");
        Assert.That(found.WithinTolerance);
        Assert.That(found.TimedOut, Is.False);
        Assert.That(found.Loss, Is.LessThanOrEqualTo(tolerance));
        Assert.That(found.FloatOperators, Has.Count.LessThanOrEqualTo(2).And.Some.AnyOf("bad", "after"));
        Assert.That(found.Sensitivities[0].Operator, Is.AnyOf("bad", "after"));
        Assert.That(found.Quantized.Report.Decisions.Where(decision => !decision.Quantized).Select(decision => decision.Node), Is.EquivalentTo(found.FloatOperators));
        Assert.That(found.Quantized.Report.Decisions.Where(decision => !decision.Quantized).Select(decision => decision.Reason), Is.All.Contains("accuracy search"));
        metric.SetReference(new InferenceSession(model), default);
        Assert.That(metric.Loss(new InferenceSession(found.Quantized.Model), default), Is.EqualTo(found.Loss), "what is returned is what was judged");
    }

    [Test]
    public void ALooseToleranceQuantizesEverything()
    {
        (Model model, Dictionary<string, Tensor>[] samples) = OneBadLayer();
        SearchResult found = AccuracySearch.Run(model, samples, AccuracyMetric.Cosine(samples), Naive, new SearchOptions { Tolerance = 1 });
        Assert.That(found.Path, Has.Count.EqualTo(1));
        Assert.That(found.FloatOperators, Is.Empty);
        Assert.That(Saved(found.Quantized.Model), Is.EqualTo(Saved(Quantizer.Quantize(model, samples, Naive).Model)));
    }

    [Test]
    public void AToleranceOfZeroEndsInTheFloatModel()
    {
        (Model model, Dictionary<string, Tensor>[] samples) = OneBadLayer();
        SearchResult found = AccuracySearch.Run(model, samples, AccuracyMetric.MeanSquaredError(samples), Naive, new SearchOptions { Tolerance = 0 });
        Assert.That(found.Quantized.Report.QuantizedNodes, Is.Zero);
        Assert.That(found.WithinTolerance);
        Assert.That(found.Loss, Is.Zero);
    }

    [Test]
    public void WhenTimeEndsTheAnswerIsStillWithinTheToleranceAndSaysSo()
    {
        (Model model, Dictionary<string, Tensor>[] samples) = OneBadLayer();
        AccuracyMetric slow = AccuracyMetric.Score("slow", (session, token) =>
        {
            token.WaitHandle.WaitOne(TimeSpan.FromSeconds(20));
            token.ThrowIfCancellationRequested();
            return 0;
        });
        SearchResult found = AccuracySearch.Run(model, samples, slow, Naive, new SearchOptions { TimeBudget = TimeSpan.FromMilliseconds(100) });
        Assert.That(found.TimedOut);
        Assert.That(found.WithinTolerance, "the float model has no loss");
        Assert.That(found.Quantized.Report.Warnings, Has.Some.Contains("ended after"));
        Assert.That(found.Quantized.Report.QuantizedNodes, Is.Zero);
    }

    [Test]
    public void TheCallersCancellationEndsTheSearchWithoutAResult()
    {
        (Model model, Dictionary<string, Tensor>[] samples) = OneBadLayer();
        using var source = new CancellationTokenSource();
        AccuracyMetric metric = AccuracyMetric.Score("cancels", (session, token) =>
        {
            source.Cancel();
            token.ThrowIfCancellationRequested();
            return 0;
        });
        Assert.Throws<OperationCanceledException>(() => AccuracySearch.Run(model, samples, metric, Naive, null, null, source.Token));
    }

    [Test]
    public void Top1IsTheShareOfRightClasses()
    {
        var g = new TestGraph();
        g.Output(g.Node("Gemm", [g.Input("x", 1, 2), g.Floats("w", [1, 0, 0, 1], 2, 2), g.Floats("b", [0, 0])], name: "fc"), "y");
        var session = new InferenceSession(new Model(g.Graph));
        (IReadOnlyDictionary<string, Tensor>, int) Sample(float a, float b, int label) => (new Dictionary<string, Tensor> { ["x"] = Tensor.Create([a, b], 1, 2) }, label);
        AccuracyMetric metric = AccuracyMetric.Top1([Sample(1, 0, 0), Sample(0, 1, 1), Sample(3, 2, 0), Sample(2, 3, 0)]);
        Assert.That(metric.Loss(session, default), Is.EqualTo(-0.75), "no reference yet: its score counts as zero");
        metric.SetReference(session, default);
        Assert.That(metric.Loss(session, default), Is.Zero);
    }

    [Test]
    public void OptionsAreChecked()
    {
        Refused(new SearchOptions { Tolerance = -1 }, "Tolerance is -1");
        Refused(new SearchOptions { Tolerance = double.NaN }, "Tolerance is NaN");
        Refused(new SearchOptions { TimeBudget = TimeSpan.Zero }, "TimeBudget is 00:00:00");
        Refused(new SearchOptions { RankingSamples = 0 }, "RankingSamples is 0");
        static void Refused(SearchOptions search, string message) =>
            Assert.That(Assert.Throws<ArgumentException>(() => AccuracySearch.Run(DemoModel.Load(), DemoModel.Samples(1), AccuracyMetric.Cosine(DemoModel.Samples(1)), Naive, search))!.Message, Does.Contain(message).And.Contain("rule:"));
        Assert.That(Assert.Throws<DataException>(() => AccuracySearch.Run(DemoModel.Load(), DemoModel.Samples(1), AccuracyMetric.Cosine([]), Naive))!.Message, Does.Contain("at least one"));
    }

    [Test]
    public void NeverSlowerNeverLosesAgainstEverythingQuantized()
    {
        Model model = DemoModel.Load();
        QuantizationResult result = Quantizer.Quantize(model, DemoModel.Samples(4), Naive with { KeepFloatWhereSlower = true });
        foreach (NodeDecision decision in result.Report.Decisions.Where(decision => !decision.Quantized))
            Assert.That(decision.Reason, Does.Contain("measured on this machine").Or.Contain("no integer form"), decision.Node);
        var inputs = new Dictionary<string, Tensor> { ["image"] = DemoModel.Batch(40, 1, 3) };
        Assert.That(new InferenceSession(result.Model).Run(inputs).Keys, Is.EquivalentTo(new InferenceSession(model).Run(inputs).Keys));
    }

    [Test]
    public void NeverSlowerLeavesALoneTinyOperatorFloat()
    {
        // Sixteen multiplications between a conversion to integers and one back cannot pay.
        var g = new TestGraph();
        Value x = g.Input("x", 1, 16);
        g.Output(g.Node("Softmax", [g.Node("Mul", [g.Node("Softmax", [x], name: "s1"), g.Random("c", 3, 16)], name: "mul")], name: "s2"), "y");
        QuantizationResult result = Quantizer.Quantize(new Model(g.Graph), [new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(1, 1, 16) }], Naive with { KeepFloatWhereSlower = true });
        Assert.That(result.Report.QuantizedNodes, Is.Zero);
        Assert.That(result.Report.Decisions.Single(decision => decision.Node == "mul").Reason, Does.Contain("slower than float here"));
        Assert.That(result.Model.Graph.Nodes.Any(node => node.OperatorType == "QuantizeLinear"), Is.False);
    }

    /// <summary>Four convolutions; the output of the second has one element in thousands a thousand times the others, which costs the others their steps.</summary>
    private static (Model, Dictionary<string, Tensor>[]) OneBadLayer()
    {
        var g = new TestGraph();
        Value v = g.Node("Conv", [g.Input("x", 1, 4, 12, 12), g.Random("w1", 1, 8, 4, 1, 1)], name: "first");
        // Channel 0 is a thousand times larger and the next layer reads it a thousandth.
        v = g.Node("Conv", [v, g.Floats("w2", [.. TestGraph.RandomTensor(2, 8, 8).ToFloat32Array().Select((value, i) => i < 8 ? 200 * value : value)], 8, 8, 1, 1)], name: "bad");
        v = g.Node("Conv", [v, g.Floats("w3", [.. TestGraph.RandomTensor(3, 8, 8).ToFloat32Array().Select((value, i) => i % 8 == 0 ? value / 200 : value)], 8, 8, 1, 1)], name: "after");
        g.Output(g.Node("Conv", [v, g.Random("w4", 4, 8, 8, 1, 1)], name: "last"), "y");
        return (new Model(g.Graph), [.. Enumerable.Range(0, 4).Select(i => new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(20 + i, 1, 4, 12, 12) })]);
    }

    private static byte[] Saved(Model model)
    {
        using var stream = new MemoryStream();
        model.Save(stream);
        return stream.ToArray();
    }
}
