using Octet.Quantization;
using Octet.Quantization.Accuracy;
using Octet.Quantization.Calibration;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Quantization;

/// <summary>The public face of quantization, on the project's own network and on small graphs.</summary>
internal sealed class QuantizerTests
{
    private static readonly QuantizationOptions Naive = new() { Calibration = CalibrationMode.Naive };

    [Test]
    public void BothWaysEndInTheSameBytes([Values(CalibrationMode.Naive, CalibrationMode.Entropy)] CalibrationMode calibration)
    {
        Model model = DemoModel.Load();
        var options = new QuantizationOptions { Calibration = calibration };
        byte[] oneCall = Saved(Quantizer.Quantize(model, DemoModel.Samples(12), options).Model);

        PreparedModel prepared = Quantizer.Prepare(model, options);
        CalibrationCollector collector = calibration == CalibrationMode.Naive ? new MinMaxCollector() : new EntropyCollector();
        InferenceSession session = prepared.CreateSession();
        using (session.RegisterOpHook(prepared.CreateHook(collector), monitorAll: true))
        {
            foreach (IReadOnlyDictionary<string, Tensor> sample in DemoModel.Samples(12)) session.Run(sample);
        }
        Assert.That(Saved(Quantizer.Calibrate(prepared, collector).Model), Is.EqualTo(oneCall));
        Assert.That(Saved(Quantizer.Calibrate(prepared, collector).Model), Is.EqualTo(oneCall), "a prepared model is calibrated twice");
    }

    [Test]
    public void BatchesAndThreadsDoNotMatter()
    {
        byte[] single = Saved(Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(12), Naive with { Session = new SessionOptions { Threads = 1 } }).Model);
        Assert.That(Saved(Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(12), Naive with { Session = new SessionOptions { Threads = 4 } }).Model), Is.EqualTo(single));
    }

    [Test]
    public void TheFloatModelIsNotChanged()
    {
        Model model = DemoModel.Load();
        string before = GraphPrinter.Print(model.Graph);
        byte[] bytes = Saved(model);
        Quantizer.Quantize(model, DemoModel.Samples(4), Naive);
        Assert.That(GraphPrinter.Print(model.Graph), Is.EqualTo(before));
        Assert.That(Saved(model), Is.EqualTo(bytes));
    }

    [Test]
    public void ASavedModelRunsAsTheOneInMemory()
    {
        Model quantized = Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(8)).Model;
        Model loaded = Model.Load(new ReadOnlyMemory<byte>(Saved(quantized)));
        var inputs = new Dictionary<string, Tensor> { ["image"] = DemoModel.Batch(100, 4, 7) };
        IReadOnlyDictionary<string, Tensor> expected = new InferenceSession(quantized).Run(inputs), actual = new InferenceSession(loaded).Run(inputs);
        Assert.That(actual.Keys, Is.EquivalentTo(expected.Keys));
        foreach ((string name, Tensor tensor) in expected) Assert.That(actual[name].Bytes.ToArray(), Is.EqualTo(tensor.Bytes.ToArray()), name);
    }

    [Test]
    public void EntriesThatAreNoInputAreIgnored()
    {
        IEnumerable<IReadOnlyDictionary<string, Tensor>> labelled = DemoModel.Samples(3).Select(sample => new Dictionary<string, Tensor>(sample) { ["label"] = Tensor.Scalar(3L) });
        Assert.That(Saved(Quantizer.Quantize(DemoModel.Load(), labelled, Naive).Model), Is.EqualTo(Saved(Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(3), Naive).Model)));
    }

    [Test]
    public void AMissingInputIsNamedWithItsSample()
    {
        IReadOnlyDictionary<string, Tensor>[] samples = [.. DemoModel.Samples(2), new Dictionary<string, Tensor> { ["picture"] = Tensor.Scalar(1f) }];
        DataException error = Assert.Throws<DataException>(() => Quantizer.Quantize(DemoModel.Load(), samples, Naive))!;
        Assert.That(error.Message, Does.Contain("sample 2").And.Contain("'image'").And.Contain("'picture'").And.Contain("rule:"));
    }

    [Test]
    public void NoDataIsAnError()
    {
        Assert.That(Assert.Throws<DataException>(() => Quantizer.Quantize(DemoModel.Load(), [], Naive))!.Message, Does.Contain("no calibration samples"));
        Assert.That(Assert.Throws<ArgumentException>(() => Quantizer.Quantize(DemoModel.Load(), null, Naive))!.Message, Does.Contain("calibration needs samples"));
        PreparedModel prepared = Quantizer.Prepare(DemoModel.Load(), Naive);
        Assert.That(Assert.Throws<DataException>(() => Quantizer.Calibrate(prepared, new MinMaxCollector()))!.Message, Does.Contain("saw none"));
    }

    [Test]
    public void NaNInASampleNamesTheTensor()
    {
        Tensor image = DemoModel.Batch(0, 1, 1);
        image.Span<float>()[5] = float.NaN;
        DataException error = Assert.Throws<DataException>(() => Quantizer.Quantize(DemoModel.Load(), [new Dictionary<string, Tensor> { ["image"] = image }], Naive))!;
        Assert.That(error.Message, Does.Contain("'image'").And.Contain("NaN"));
    }

    [Test]
    public void OptionsAreCheckedFirst()
    {
        Refused(Naive with { Samples = 0 }, "Samples is 0");
        Refused(Naive with { Calibration = (CalibrationMode)9 }, "Calibration is 9");
        Refused(Naive with { Type = (ActivationType)9 }, "Type is 9");
        Refused(Naive with { Mode = (QuantizeMode)9 }, "Mode is 9");
        Refused(Naive with { Granularity = (Granularity)9 }, "Granularity is 9");
        Refused(Naive with { Calibration = CalibrationMode.Custom }, "Collector is null");
        Refused(Naive with { Collector = new MinMaxCollector() }, "a Collector is given");

        static void Refused(QuantizationOptions options, string message) =>
            Assert.That(Assert.Throws<ArgumentException>(() => Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(1), options))!.Message, Does.Contain(message).And.Contain("rule:"));
    }

    [Test]
    public void CancellationEndsTheWorkBetweenSamples()
    {
        using var source = new CancellationTokenSource();
        int read = 0;
        IEnumerable<IReadOnlyDictionary<string, Tensor>> Samples()
        {
            foreach (IReadOnlyDictionary<string, Tensor> sample in DemoModel.Samples(50))
            {
                if (++read == 3) source.Cancel();
                yield return sample;
            }
        }
        Assert.Throws<OperationCanceledException>(() => Quantizer.Quantize(DemoModel.Load(), Samples(), Naive, null, source.Token));
        Assert.That(read, Is.EqualTo(3));
    }

    [Test]
    public void ProgressCountsSamplesAndStopsAtTheLimit()
    {
        var seen = new List<QuantizationProgress>();
        Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(50), Naive with { Samples = 3 }, new Immediate(seen.Add));
        Assert.That(seen.Where(step => step.Stage == "calibrate").Select(step => (step.Done, step.Total)), Is.EqualTo(new (int, int?)[] { (1, 3), (2, 3), (3, 3) }));
        Assert.That(seen.Select(step => step.Stage).Distinct(), Is.EqualTo(new[] { "prepare", "calibrate", "rewrite" }));
    }

    [Test]
    public void AQuantizedModelStaysAsItIs()
    {
        Model quantized = Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(2), Naive).Model;
        QuantizationResult again = Quantizer.Quantize(quantized, DemoModel.Samples(2), Naive);
        Assert.That(again.Report.QuantizedNodes, Is.Zero);
        Assert.That(again.Report.Warnings, Has.Some.Contains("quantized already"));
        IReadOnlyDictionary<string, Tensor> sample = DemoModel.Samples(1).Single(), first = new InferenceSession(quantized).Run(sample), second = new InferenceSession(again.Model).Run(sample);
        foreach ((string name, Tensor output) in first) Assert.That(second[name].Bytes.ToArray(), Is.EqualTo(output.Bytes.ToArray()), name);
    }

    [Test]
    public void WhatAQuantizedModelLeavesFloatIsQuantized()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 4, 6, 6), scale = g.Scalar("scale", 0.02f), zero = g.Editor.AddConstant("zero", Tensor.Scalar((byte)128));
        Value first = g.Node("Relu", [g.Node("Conv", [x, g.Random("w", 1, 4, 4, 3, 3)], name: "first")], name: "relu");
        Value read = g.Node("DequantizeLinear", [g.Node("QuantizeLinear", [first, scale, zero], name: "q"), scale, zero], name: "dq");
        Value weight = g.Node("DequantizeLinear", [g.Editor.AddConstant("w8", Tensor.Create([.. Enumerable.Range(0, 16).Select(i => (sbyte)(8 * i - 60))], 4, 4, 1, 1)), g.Scalar("ws", 0.01f)], name: "dw");
        g.Output(g.Node("Conv", [read, weight], name: "second"), "y");
        Dictionary<string, Tensor> sample = new() { ["x"] = TestGraph.RandomTensor(2, 1, 4, 6, 6) };

        QuantizationResult result = Quantizer.Quantize(new Model(g.Graph), [sample], Naive);
        Dictionary<string, NodeDecision> decisions = result.Report.Decisions.Where(decision => decision.OperatorType == "Conv").ToDictionary(decision => decision.Node);
        Assert.That(decisions["first"].Quantized, Is.True);
        Assert.That(decisions["second"].Quantized, Is.False);
        Assert.That(decisions["second"].Reason, Does.Contain("already"));
        float[] before = new InferenceSession(new Model(g.Graph)).Run(sample)["y"].ToFloat32Array(), after = new InferenceSession(result.Model).Run(sample)["y"].ToFloat32Array();
        double largest = before.Max(Math.Abs);
        for (int i = 0; i < before.Length; i++) Assert.That(after[i], Is.EqualTo(before[i]).Within(0.05 * largest));
    }

    [Test]
    public void ACustomCollectorDecidesTheRanges()
    {
        var fixedRange = new FixedRange(new CalibrationRange(-1.27f, 1.27f));
        QuantizationResult result = Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(1), new QuantizationOptions { Calibration = CalibrationMode.Custom, Collector = fixedRange });
        Assert.That(result.Report.Ranges.Values, Is.All.EqualTo(new CalibrationRange(-1.27f, 1.27f)));
        Node[] quantizers = [.. result.Model.Graph.Nodes.Where(node => node.OperatorType == "QuantizeLinear")];
        Assert.That(quantizers, Is.Not.Empty);
        foreach (Node node in quantizers) Assert.That(node.Inputs[1]!.Constant!.Span<float>()[0], Is.EqualTo(1.27f / 127));
    }

    [Test]
    public void ARangeThatIsNoneIsRefused([Values(float.NaN, float.PositiveInfinity)] float max) =>
        Assert.That(Assert.Throws<DataException>(() => Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(1),
            new QuantizationOptions { Calibration = CalibrationMode.Custom, Collector = new FixedRange(new CalibrationRange(0, max)) }))!.Message, Does.Contain("rule: both ends are finite"));

    [Test]
    public void ConcatAndWhatItJoinsShareOneGrid()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 4, 6, 6);
        Value concat = g.Node("Concat", [Conv(g, "c1", x), Conv(g, "c2", x)], new AttributeMap { ["axis"] = 1L }, "concat");
        g.Output(Conv(g, "c3", concat, 8), "y");
        Graph graph = Quantized(g).Graph;
        Node joined = graph.Nodes.Single(node => node.OperatorType == "Concat");
        float[] scales = [.. joined.Inputs.Select(ScaleOf), ScaleOf(graph.Nodes.Single(node => node.Name == "c3").Inputs[0])];
        Assert.That(scales.Distinct().Count(), Is.EqualTo(1), string.Join(", ", scales));
    }

    [Test]
    public void AnOutputThatIsAlsoReadInsideKeepsItsName()
    {
        var g = new TestGraph();
        Value c1 = Conv(g, "c1", g.Input("x", 1, 4, 6, 6));
        g.Output(c1, "inner");
        g.Output(Conv(g, "c2", c1), "y");
        Model quantized = Quantized(g);
        AssertClose(new Model(g.Graph), quantized, "inner", "y");
        Assert.That(quantized.Graph.Nodes.Count(node => node.OperatorType == "QuantizeLinear"), Is.EqualTo(2));
    }

    [Test]
    public void AClampRightAfterItsProducerGetsNoPairBetween()
    {
        var g = new TestGraph();
        Value v = g.Node("Relu", [Conv(g, "c1", g.Input("x", 1, 4, 6, 6))], name: "relu");
        v = g.Node("Clip", [Conv(g, "c2", v), g.Scalar("low", 0), g.Scalar("high", 0.5f)], name: "clip");
        g.Output(Conv(g, "c3", v), "y");
        Model quantized = Quantized(g);
        Assert.That(quantized.Graph.Nodes.Single(node => node.Name == "relu").Inputs[0]!.Producer!.OperatorType, Is.EqualTo("Conv"));
        // The clip's bounds are the ends of its grid, so saturation does its work.
        Assert.That(quantized.Graph.Nodes.Any(node => node.Name == "clip"), Is.False);
        Assert.That(quantized.Graph.Nodes.Count(node => node.OperatorType == "QuantizeLinear"), Is.EqualTo(3));
        AssertClose(new Model(g.Graph), quantized, "y");
    }

    [Test]
    public void SharedWeightsAreQuantizedForEachReader()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 4, 6, 6), w = g.Random("w", 5, 4, 4, 1, 1), b = g.Random("b", 6, 4);
        Value first = g.Node("Conv", [x, w, b], name: "c1");
        Value scaled = g.Node("Conv", [first, w, b], name: "c2");
        g.Output(g.Node("Conv", [scaled, w], name: "c3"), "y");
        AssertClose(new Model(g.Graph), Quantized(g), "y");
    }

    [Test]
    public void ABiasPerRowIsNotTakenForABiasPerColumn()
    {
        var g = new TestGraph();
        g.Output(g.Node("Gemm", [g.Input("x", 4, 6), g.Random("w", 1, 6, 4), g.Floats("b", [10, -10, 20, -20], 4, 1)], name: "fc"), "y");
        AssertClose(new Model(g.Graph), Quantized(g), "y");
    }

    [Test]
    public void FloatWeightsThatAnOldFileListsAmongItsInputsAreGone()
    {
        var g = new TestGraph();
        g.Output(Conv(g, "c1", g.Input("x", 1, 4, 6, 6)), "y");
        foreach (Value weight in g.Graph.Values.Where(value => value.IsConstant).ToArray()) g.Editor.MarkAsInput(weight);
        Assert.That(g.Graph.Inputs, Has.Count.EqualTo(3));
        var model = new Model(g.Graph);
        Graph quantized = Quantizer.Quantize(model, [new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(1, 1, 4, 6, 6) }], Naive).Model.Graph;
        Assert.That(quantized.Inputs.Select(input => input.Name), Is.EqualTo(new[] { "x" }));
        Assert.That(quantized.Values.Where(value => value.Constant is { Type: DataType.Float32, Length: > 4 }), Is.Empty);
    }

    [Test]
    public void WithoutCalibrationTheModelRunsHereAndInOnnxRuntime()
    {
        Model model = DemoModel.Load();
        QuantizationResult result = Quantizer.Quantize(model, null, new QuantizationOptions { Calibration = CalibrationMode.None });
        Assert.That(result.Report.Ranges, Is.Empty);
        Assert.That(result.Model.Graph.Nodes.Count(node => node.OperatorType == "DynamicQuantizeLinear"), Is.GreaterThan(0));
        var inputs = new Dictionary<string, Tensor> { ["image"] = DemoModel.Batch(40, 1, 3) };
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, "dynamic.onnx");
        try
        {
            result.Model.Save(path);
            IReadOnlyDictionary<string, Tensor> expected = new InferenceSession(model).Run(inputs);
            AssertNear(new InferenceSession(Model.Load(path)).Run(inputs), expected, expected.Keys);
            AssertNear(OnnxRuntimePeer.Run(path, inputs, exact: true), expected, expected.Keys);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static Value Conv(TestGraph g, string name, Value x, int inputs = 4) =>
        g.Node("Conv", [x, g.Random(name + "/w", name[^1], 4, inputs, 1, 1), g.Random(name + "/b", name[^1] + 9, 4)], name: name);

    private static float ScaleOf(Value? value) => value!.Producer is { OperatorType: "DequantizeLinear" } node ? node.Inputs[1]!.Constant!.Span<float>()[0]
        : throw new AssertionException($"'{value.Name}' is not dequantized");

    private static Dictionary<string, Tensor> Inputs(Model model) =>
        model.Graph.Inputs.ToDictionary(input => input.Name, input => TestGraph.RandomTensor(77, input.Type.ConcreteShape()));

    private static Model Quantized(TestGraph g)
    {
        var model = new Model(g.Graph);
        return Model.Load(new ReadOnlyMemory<byte>(Saved(Quantizer.Quantize(model, [Inputs(model)], Naive).Model)));
    }

    private static void AssertClose(Model model, Model quantized, params string[] outputs) =>
        AssertNear(new InferenceSession(quantized).Run(Inputs(model)), new InferenceSession(model).Run(Inputs(model)), outputs);

    /// <summary>
    /// Within 8 % of the largest output: three layers, each of which rounds data and weights by half of 1/127 of their largest value, on the samples that they were calibrated with;
    /// a wrong scale, channel or bias is off by the order of the output.
    /// </summary>
    private static void AssertNear(IReadOnlyDictionary<string, Tensor> actual, IReadOnlyDictionary<string, Tensor> expected, IEnumerable<string> outputs)
    {
        foreach (string name in outputs)
        {
            float[] e = expected[name].ToFloat32Array(), a = actual[name].ToFloat32Array();
            Assert.That(a, Has.Length.EqualTo(e.Length));
            float largest = e.Max(MathF.Abs);
            for (int i = 0; i < e.Length; i++) Assert.That(MathF.Abs(a[i] - e[i]), Is.LessThanOrEqualTo(0.08f * largest), $"'{name}'[{i}] is {a[i]}, float {e[i]}");
        }
    }

    private static byte[] Saved(Model model)
    {
        using var stream = new MemoryStream();
        model.Save(stream);
        return stream.ToArray();
    }

    private sealed class Immediate(Action<QuantizationProgress> report) : IProgress<QuantizationProgress>
    {
        public void Report(QuantizationProgress value) => report(value);
    }

    /// <summary>Gives every tensor that it sees one range.</summary>
    private sealed class FixedRange(CalibrationRange range) : CalibrationCollector
    {
        private readonly Dictionary<string, CalibrationRange> _ranges = [];

        public override void Collect(string name, string operatorType, TensorView tensor) => _ranges[name] = range;

        public override IReadOnlyDictionary<string, CalibrationRange> PostCollect() => _ranges;
    }
}
