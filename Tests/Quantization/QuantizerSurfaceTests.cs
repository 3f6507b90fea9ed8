using Microsoft.Extensions.Logging;
using Octet.Kernels.Cpu;
using Octet.Quantization;
using Octet.Quantization.Accuracy;
using Octet.Quantization.Calibration;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Quantization;

/// <summary>How data reaches the quantizer, what it says while it works, and what it makes of bad input.</summary>
internal sealed class QuantizerSurfaceTests
{
    private static readonly QuantizationOptions Naive = new() { Calibration = CalibrationMode.Naive };

    private static readonly CalibrationMode[] Collecting = [.. Enum.GetValues<CalibrationMode>().Except([CalibrationMode.None, CalibrationMode.Custom])];

    [TestCaseSource(nameof(Collecting))]
    public void TwoPhasesAndAsyncDataEndInTheBytesOfOneCall(CalibrationMode mode)
    {
        Model model = DemoModel.Load();
        var options = new QuantizationOptions { Calibration = mode };
        byte[] oneCall = Saved(Quantizer.Quantize(model, DemoModel.Samples(4), options).Model);
        PreparedModel prepared = Quantizer.Prepare(model, options);
        CalibrationCollector collector = options.CreateCollector();
        InferenceSession session = prepared.CreateSession();
        using (session.RegisterOpHook(prepared.CreateHook(collector), monitorAll: true))
        {
            foreach (IReadOnlyDictionary<string, Tensor> sample in DemoModel.Samples(4)) session.Run(sample);
        }
        Assert.That(Saved(Quantizer.Calibrate(prepared, collector).Model), Is.EqualTo(oneCall), "two phases");
        Assert.That(Saved(Quantizer.QuantizeAsync(model, Later(DemoModel.Samples(4)), options).GetAwaiter().GetResult().Model), Is.EqualTo(oneCall), "async data");
    }

    [Test]
    public void AsyncDataIsCutAtTheLimitAndCancelled()
    {
        Model model = DemoModel.Load();
        Assert.That(Saved(Quantizer.QuantizeAsync(model, Later(DemoModel.Samples(9)), Naive with { Samples = 3 }).GetAwaiter().GetResult().Model), Is.EqualTo(Saved(Quantizer.Quantize(model, DemoModel.Samples(3), Naive).Model)));
        using var source = new CancellationTokenSource();
        source.Cancel();
        Assert.That(async () => await Quantizer.QuantizeAsync(model, Later(DemoModel.Samples(9)), Naive, null, source.Token), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(async () => await Quantizer.QuantizeAsync(model, Later([]), Naive), Throws.InstanceOf<DataException>().With.Message.Contains("no calibration samples"));
    }

    [Test]
    public void SmoothingReadsAsyncDataTwice()
    {
        QuantizationOptions options = Naive with { Smooth = new SmoothOptions() };
        Assert.That(Saved(Quantizer.QuantizeAsync(DemoModel.Load(), Later(DemoModel.Samples(3)), options).GetAwaiter().GetResult().Model), Is.EqualTo(Saved(Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(3), options).Model)));
    }

    [Test]
    public void BatchesOfDifferentSizesGiveTheSameRanges()
    {
        IReadOnlyDictionary<string, CalibrationRange> single = Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(12), Naive).Report.Ranges;
        // 12 images as 5 + 5 + 2. Kernels may sum in another order for another shape; docs/numerics.md bounds that.
        IReadOnlyDictionary<string, CalibrationRange> batches = Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(12, batch: 5), Naive).Report.Ranges;
        Assert.That(batches.Keys, Is.EquivalentTo(single.Keys));
        foreach ((string name, CalibrationRange range) in single)
        {
            Assert.That(batches[name].Max, Is.EqualTo(range.Max).Within(1e-4 * range.MaxAbs), name);
            Assert.That(batches[name].Min, Is.EqualTo(range.Min).Within(1e-4 * range.MaxAbs), name);
        }
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(2)]
    public void ListsAreInputsInOrderAndWhatFollowsIsDropped(int labels)
    {
        Model model = TwoInputs();
        Tensor x1 = TestGraph.RandomTensor(1, 1, 4), x2 = TestGraph.RandomTensor(2, 1, 4);
        IReadOnlyList<Tensor> list = [x1, x2, .. Enumerable.Repeat(Tensor.Scalar(3L), labels)];
        byte[] named = Saved(Quantizer.Quantize(model, [new Dictionary<string, Tensor> { ["x1"] = x1, ["x2"] = x2 }], Naive).Model);
        Assert.That(Saved(Quantizer.Quantize(model, CalibrationData.FromLists(model, [list]), Naive).Model), Is.EqualTo(named));
    }

    [Test]
    public void ARealErrorIsNotTakenForALabel()
    {
        Model model = TwoInputs();
        DataException shape = Assert.Throws<DataException>(() => Quantizer.Quantize(model, CalibrationData.FromLists(model, [[TestGraph.RandomTensor(1, 1, 4), TestGraph.RandomTensor(2, 1, 5), Tensor.Scalar(3L)]]), Naive))!;
        Assert.That(shape.Message, Does.Contain("sample 0").And.Contain("'x2'").And.Contain("5").And.Contain("rule:"));
        DataException few = Assert.Throws<DataException>(() => Quantizer.Quantize(model, CalibrationData.FromLists(model, [[TestGraph.RandomTensor(1, 1, 4)]]), Naive))!;
        Assert.That(few.Message, Does.Contain("sample 0 has 1 tensors").And.Contain("'x2'").And.Contain("rule:"));
    }

    [Test]
    public void ASampleOfTheWrongShapeOrTypeNamesItselfAndTheInput()
    {
        IReadOnlyDictionary<string, Tensor>[] Samples(Tensor bad) => [.. DemoModel.Samples(2), new Dictionary<string, Tensor> { ["image"] = bad }];
        foreach (Tensor bad in new[] { new Tensor(DataType.Float32, [1, 3, 8]), new Tensor(DataType.Int64, [1, 3, 32, 32]), new Tensor(DataType.Float32, [1, 99, 3, 3]) })
        {
            DataException error = Assert.Throws<DataException>(() => Quantizer.Quantize(DemoModel.Load(), Samples(bad), Naive))!;
            Assert.That(error.Message, Does.Contain("sample 2").And.Contain("'image'").And.Contain("rule:"));
        }
        Assert.That(Assert.Throws<DataException>(() => Quantizer.Quantize(DemoModel.Load(), [.. DemoModel.Samples(1), null!], Naive))!.Message, Does.Contain("sample 1 is null"));
    }

    [TestCase(float.NaN)]
    [TestCase(float.PositiveInfinity)]
    [TestCase(float.NegativeInfinity)]
    public void AValueThatIsNotFiniteNamesItsSampleAndTensorInEveryMode(float bad)
    {
        foreach (CalibrationMode mode in Collecting)
        {
            Tensor image = DemoModel.Batch(0, 1, 1);
            image.Span<float>()[7] = bad;
            DataException error = Assert.Throws<DataException>(() => Quantizer.Quantize(DemoModel.Load(), [.. DemoModel.Samples(1), new Dictionary<string, Tensor> { ["image"] = image }], new QuantizationOptions { Calibration = mode }))!;
            Assert.That(error.Message, Does.Contain("sample 1").And.Contain("'image'").And.Contain("rule:"));
        }
    }

    [Test]
    public void ZerosAndTinyRangesGiveFiniteOutputs([Values(0f, 1e-7f, 1e-38f, 1e-42f, 3e38f)] float extent, [Values] ActivationType type)
    {
        var g = new TestGraph();
        Value v = g.Node("Conv", [g.Input("x", 1, 2, 4, 4), g.Floats("w", new float[2 * 2], 2, 2, 1, 1), g.Floats("b", [0.5f, -0.25f])], name: "zero weights");
        v = g.Node("Add", [v, g.Node("Conv", [g.Graph.Inputs[0], g.Random("w2", 4, 2, 2, 1, 1)], name: "c2")], name: "add");
        g.Output(g.Node("Relu", [v], name: "relu"), "y");
        var model = new Model(g.Graph);
        float[] values = [.. TestGraph.RandomTensor(1, 1, 2, 4, 4).ToFloat32Array().Select(value => value * extent / 3)];
        var sample = new Dictionary<string, Tensor> { ["x"] = Tensor.Create(values, 1, 2, 4, 4) };
        float[] expected = new InferenceSession(model).Run(sample)["y"].ToFloat32Array();
        foreach (CalibrationMode mode in Collecting)
        {
            QuantizationResult result = Quantizer.Quantize(model, [sample], new QuantizationOptions { Calibration = mode, Type = type });
            float[] actual = new InferenceSession(result.Model).Run(sample)["y"].ToFloat32Array();
            Assert.That(actual, Is.All.Matches<float>(float.IsFinite), $"{mode}");
            // MXNet's search is kept with its collapse of tensors of zeros and of few values.
            if (mode == CalibrationMode.EntropyMxNet) continue;
            float largest = Math.Max(0.5f, expected.Max(MathF.Abs));
            for (int i = 0; i < expected.Length; i++) Assert.That(actual[i], Is.EqualTo(expected[i]).Within(0.06f * largest), $"{mode} output {i}");
        }
    }

    [Test]
    public void OptionsAndTheirListsStayAsTheyAre()
    {
        List<string> exclude = [DemoModel.Load().Graph.Nodes[0].Name], match = ["*"], operators = ["Conv"];
        QuantizationOptions options = Naive with { Exclude = exclude, ExcludeMatch = match, ExcludeOperators = operators };
        QuantizationOptions before = options with { };
        Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(2), options);
        Assert.That(options, Is.EqualTo(before));
        Assert.That((exclude.Count, match.Count, operators.Count), Is.EqualTo((1, 1, 1)));
    }

    [Test]
    public void TheLoggerReceivesEveryDecisionAndEveryWarning()
    {
        var logger = new Recorder();
        QuantizationResult result = Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(2), new QuantizationOptions { Calibration = CalibrationMode.Custom, Collector = new OnlyTheInput(), Logger = logger });
        foreach (NodeDecision decision in result.Report.Decisions) Assert.That(logger.Lines, Has.Some.Contains($"'{decision.Node}'").And.Some.Contains(decision.Reason));
        Assert.That(result.Report.Warnings, Is.Not.Empty);
        foreach (string warning in result.Report.Warnings) Assert.That(logger.Lines, Has.Some.Contains(warning));
    }

    [Test]
    public void ATensorWithoutARangeIsReportedAndStaysFloat()
    {
        QuantizationResult result = Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(2), new QuantizationOptions { Calibration = CalibrationMode.Custom, Collector = new OnlyTheInput() });
        Assert.That(result.Report.Warnings, Has.Some.Contains("has no calibrated range"));
        Assert.That(result.Model.Graph.Nodes.Count(node => node.OperatorType == "QuantizeLinear"), Is.EqualTo(1));
        Assert.That(result.Report.Ranges.Keys, Is.EqualTo(new[] { "image" }));
    }

    [Test]
    public void ConstantsOfAnyNameAreQuantizedOffline()
    {
        var g = new TestGraph();
        Value v = g.Node("Conv", [g.Input("x", 1, 4, 6, 6), g.Random("kernel", 1, 4, 4, 1, 1)], name: "c");
        v = g.Node("Add", [g.Node("Sigmoid", [v]), g.Random("a learned constant", 2, 1, 4, 1, 1)], name: "add");
        g.Output(g.Node("Mul", [g.Node("Tanh", [v]), g.Random("gamma7", 3, 1, 4, 1, 1)], name: "mul"), "y");
        Graph graph = Quantizer.Quantize(new Model(g.Graph), [new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(5, 1, 4, 6, 6) }], Naive).Model.Graph;
        foreach (string name in new[] { "c", "add", "mul" })
        {
            Node node = graph.Nodes.Single(node => node.Name == name);
            Assert.That(node.Inputs[1]!.Producer!.OperatorType, Is.EqualTo("DequantizeLinear"), name);
            Assert.That(node.Inputs[1]!.Producer!.Inputs[0]!.Constant!.Type, Is.AnyOf(DataType.Int8, DataType.UInt8), name);
        }
    }

    [Test]
    public void AResidualBlockBecomesTheseNodes()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 4, 6, 6);
        Value Norm(string name, Value v) => g.Node("BatchNormalization", [v, g.Random(name + "/s", 1, 4), g.Random(name + "/b", 2, 4), g.Random(name + "/m", 3, 4), g.Floats(name + "/v", [1, 2, 3, 4])], name: name);
        Value v = g.Node("Relu", [Norm("bn1", g.Node("Conv", [x, g.Random("w1", 4, 4, 4, 1, 1)], name: "c1"))], name: "relu1");
        v = g.Node("Add", [Norm("bn2", g.Node("Conv", [v, g.Random("w2", 5, 4, 4, 1, 1)], name: "c2")), x], name: "add");
        g.Output(g.Node("Relu", [v], name: "relu2"), "y");
        Graph graph = Quantizer.Quantize(new Model(g.Graph), [new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(5, 1, 4, 6, 6) }], Naive).Model.Graph;
        // Batch norms are in the weights; x is quantized once for both of its readers; the result is read by nobody and stays float.
        Assert.That(graph.Nodes.Where(node => !(node.Is("DequantizeLinear") && node.Inputs[0]!.IsConstant)).Select(node => node.OperatorType), Is.EqualTo(new[]
        {
            "QuantizeLinear", "DequantizeLinear", "Conv", "Relu", "QuantizeLinear", "DequantizeLinear", "Conv", "QuantizeLinear", "DequantizeLinear", "Add", "Relu",
        }));
        Assert.That(graph.Nodes.Count(node => node.Is("DequantizeLinear") && node.Inputs[0]!.IsConstant), Is.EqualTo(4), "a weight and a bias per convolution");
    }

    [Test]
    public void TwoReadersShareOneQuantization()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 4, 6, 6);
        g.Output(g.Node("Add", [g.Node("Conv", [x, g.Random("w1", 1, 4, 4, 1, 1)], name: "c1"), g.Node("Conv", [x, g.Random("w2", 2, 4, 4, 1, 1)], name: "c2")], name: "add"), "y");
        Graph graph = Quantizer.Quantize(new Model(g.Graph), [new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(5, 1, 4, 6, 6) }], Naive).Model.Graph;
        Assert.That(graph.Nodes.Count(node => node.Is("QuantizeLinear") && node.Inputs[0]!.Name == "x"), Is.EqualTo(1));
        Assert.That(graph.Nodes.Single(node => node.Name == "c1").Inputs[0], Is.SameAs(graph.Nodes.Single(node => node.Name == "c2").Inputs[0]));
    }

    [Test]
    public void ALargeSharedConstantOfFloatOperatorsStaysFloatForThem()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 4, 6, 6), c = g.Random("c", 3, 1, 4, 1, 1);
        g.Output(g.Node("Div", [g.Node("Add", [x, c], name: "add"), c], name: "div"), "y");
        Graph graph = Quantizer.Quantize(new Model(g.Graph), [new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(5, 1, 4, 6, 6) }], Naive with { ExcludeOperators = ["Div"] }).Model.Graph;
        Assert.That(graph.Nodes.Single(node => node.Name == "div").Inputs[1]!.IsConstant);
    }

    [Test]
    public void EveryInstructionSetAndThreadCountGivesTheSameBits()
    {
        Model quantized = Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(4)).Model;
        var inputs = new Dictionary<string, Tensor> { ["image"] = DemoModel.Batch(100, 3, 7) };
        byte[]? first = null;
        foreach (string isa in new[] { "scalar", "sse41", "avx2", "avxvnni", "avx512", "avx512vnni" })
        {
            foreach (int threads in new[] { 1, 3 })
            {
                byte[] bits = new InferenceSession(quantized, new SessionOptions { Cpu = CpuInfo.Cap(CpuInfo.Detected, isa), Threads = threads }).Run(inputs).Values.Single().Bytes.ToArray();
                Assert.That(bits, Is.EqualTo(first ??= bits), $"{isa}, {threads} threads");
            }
        }
    }

    [Test]
    public void TheClippingCollectorOfBertRuns()
    {
        var g = new TestGraph();
        Value v = g.Node("LayerNormalization", [g.Input("x", 8, 16), g.Floats("gain", [.. Enumerable.Range(0, 16).Select(i => i == 5 ? 100f : 1f)]), g.Floats("shift", new float[16])], name: "ln");
        v = g.Node("Gelu", [g.Node("MatMul", [v, g.Random("w1", 1, 16, 16)], name: "fc1")], name: "gelu");
        g.Output(g.Node("MatMul", [v, g.Random("w2", 2, 16, 4)], name: "fc2"), "y");
        var model = new Model(g.Graph);
        Dictionary<string, Tensor>[] samples = [.. Enumerable.Range(0, 3).Select(i => new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(i, 8, 16) })];
        QuantizationResult plain = Quantizer.Quantize(model, samples, Naive), clipped = Quantizer.Quantize(model, samples, new QuantizationOptions { Calibration = CalibrationMode.Custom, Collector = new BertLayerCollector(-50, 10) });
        string ln = model.Graph.Nodes[0].Output.Name, gelu = v.Name;
        Assert.That(plain.Report.Ranges[ln].Min, Is.LessThan(-50f));
        Assert.That(clipped.Report.Ranges[ln].Min, Is.EqualTo(-50f));
        Assert.That(clipped.Report.Ranges[ln].Max, Is.EqualTo(plain.Report.Ranges[ln].Max));
        Assert.That(plain.Report.Ranges[gelu].Max, Is.GreaterThan(10f));
        Assert.That(clipped.Report.Ranges[gelu].Max, Is.EqualTo(10f));
        Assert.That(new InferenceSession(clipped.Model).Run(samples[0])["y"].ToFloat32Array(), Is.All.Matches<float>(float.IsFinite));
    }

    [Test]
    public void CalibrationNamesAreWhatTheHookSees()
    {
        PreparedModel prepared = Quantizer.Prepare(DemoModel.Load(), Naive);
        var seen = new HashSet<string>();
        var collector = new Recording(seen);
        InferenceSession session = prepared.CreateSession();
        using (session.RegisterOpHook(prepared.CreateHook(collector), monitorAll: true)) session.Run(DemoModel.Samples(1).First());
        Assert.That(seen, Is.EquivalentTo(prepared.CalibrationNames));
        Assert.That(seen, Does.Contain("image"), "a graph input");
    }

    [Test]
    public void AnExcludedOperatorLeavesTheLegacyFormWithoutFusion()
    {
        // Every operator by itself: no fusion in the session, the same integers.
        Model quantized = Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(4), Naive with { Mode = QuantizeMode.Smart, Type = ActivationType.Int8 }).Model;
        var inputs = new Dictionary<string, Tensor> { ["image"] = DemoModel.Batch(100, 2, 7) };
        float[] fused = new InferenceSession(quantized).Run(inputs).Values.Single().ToFloat32Array(), single = new InferenceSession(quantized, new SessionOptions { Fuse = false }).Run(inputs).Values.Single().ToFloat32Array();
        float largest = fused.Max(MathF.Abs);
        for (int i = 0; i < fused.Length; i++) Assert.That(single[i], Is.EqualTo(fused[i]).Within(0.1f * largest));
    }

    private static Model TwoInputs()
    {
        var g = new TestGraph();
        Value a = g.Input("x1", 1, 4), b = g.Input("x2", 1, 4);
        g.Output(g.Node("Gemm", [g.Node("Add", [a, b], name: "add"), g.Random("w", 1, 4, 2), g.Random("b", 2, 2)], name: "fc"), "y");
        return new Model(g.Graph);
    }

    private static async IAsyncEnumerable<IReadOnlyDictionary<string, Tensor>> Later(IEnumerable<IReadOnlyDictionary<string, Tensor>> samples)
    {
        foreach (IReadOnlyDictionary<string, Tensor> sample in samples)
        {
            await Task.Yield();
            yield return sample;
        }
    }

    private static byte[] Saved(Model model)
    {
        using var stream = new MemoryStream();
        model.Save(stream);
        return stream.ToArray();
    }

    /// <summary>Has a range for the model's input and for nothing else.</summary>
    private sealed class OnlyTheInput : CalibrationCollector
    {
        public override void Collect(string name, string operatorType, TensorView tensor) { }

        public override IReadOnlyDictionary<string, CalibrationRange> PostCollect() => new Dictionary<string, CalibrationRange> { ["image"] = new(0, 1) };
    }

    private sealed class Recording(HashSet<string> seen) : CalibrationCollector
    {
        public override void Collect(string name, string operatorType, TensorView tensor) => Assert.That(seen.Add(name), $"'{name}' is seen twice in one run");

        public override IReadOnlyDictionary<string, CalibrationRange> PostCollect() => new Dictionary<string, CalibrationRange>();
    }

    private sealed class Recorder : ILogger
    {
        public List<string> Lines { get; } = [];

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => Lines.Add(formatter(state, exception));
    }
}
