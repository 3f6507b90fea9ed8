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

    [TestCase("conv-batchnorm", "BatchNormalization")]
    [TestCase("matmul-add", "MatMul")]
    [TestCase("remove-identity", "Identity")]
    public void ARuleThatIsSwitchedOffIsOffHereToo(string rule, string left)
    {
        var g = new TestGraph();
        Value v = g.Node("Conv", [g.Input("x", 1, 4, 3, 3), g.Random("w", 1, 4, 4, 1, 1)], name: "conv");
        v = g.Node("Identity", [g.Node("BatchNormalization", [v, g.Random("gamma", 2, 4), g.Random("beta", 3, 4), g.Random("mean", 4, 4), g.Floats("variance", [1, 2, 3, 4])], name: "bn")], name: "copy");
        g.Output(g.Node("Add", [g.Node("MatMul", [g.Node("Flatten", [v], name: "flat"), g.Random("w2", 5, 36, 6)], name: "product"), g.Random("b", 6, 6)], name: "bias"), "y");
        var model = new Model(g.Graph);
        string[] Types(params string[] disabled) => [.. Quantizer.Prepare(model, Naive with { Session = new SessionOptions { DisabledRules = disabled.ToHashSet() } }).Model.Graph.Nodes.Select(node => node.OperatorType)];
        Assert.That(Types(), Has.None.EqualTo(left));
        Assert.That(Types(rule), Has.Some.EqualTo(left));
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
    public void WithoutFusionEveryOperatorRunsByItselfOnTheSameIntegers()
    {
        // The symbolic path of MXNet: entropy, int8, smart, and no operator merged with another.
        Model quantized = Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(8), new QuantizationOptions { Mode = QuantizeMode.Smart, Type = ActivationType.Int8 }).Model;
        HashSet<string> integers = [.. quantized.Graph.Nodes.Where(node => node.OperatorType == "QuantizeLinear").Select(node => node.Output.Name)];
        HashSet<string> merging = ["bias-in-epilogue", "scale-in-epilogue", "sum-in-epilogue", "float-sum-in-epilogue", "clamp-in-epilogue", "quantize-output", "add-in-epilogue", "table-in-epilogue", "compose-tables", "store-from-zero"];
        Assert.That(merging, Is.SubsetOf(Octet.Runtime.Passes.Lowering.Rules.Select(rule => rule.Name)));
        var inputs = new Dictionary<string, Tensor> { ["image"] = DemoModel.Batch(100, 8, 7) };
        Dictionary<string, Tensor> fused = Watch(new SessionOptions { KeepValues = integers }), single = Watch(new SessionOptions { KeepValues = integers, Fuse = false, DisabledRules = merging });
        Assert.That(single.Keys, Is.EquivalentTo(fused.Keys));
        Assert.That(fused, Has.Count.EqualTo(integers.Count));
        long elements = 0, different = 0;
        foreach ((string name, Tensor tensor) in fused)
        {
            // q = round(acc·(s_x·s_w/s_y)) against round((acc·(s_x·s_w))/s_y): the same but where float32 rounds across a tie.
            long[] one = tensor.ToInt64Array(), other = single[name].ToInt64Array();
            long[] steps = [.. one.Zip(other, (a, b) => Math.Abs(a - b))];
            Assert.That(steps.Max(), Is.LessThanOrEqualTo(1), name);
            elements += steps.Length;
            different += steps.Sum();
        }
        TestContext.Out.WriteLine($"{different} of {elements} integers differ by a step");
        Assert.That(different, Is.LessThanOrEqualTo(elements / 1000));

        Dictionary<string, Tensor> Watch(SessionOptions options)
        {
            var session = new InferenceSession(quantized, options);
            var seen = new Dictionary<string, Tensor>();
            using (session.RegisterOpHook((in OpEvent e) =>
            {
                if (integers.Contains(e.ValueName)) seen[e.ValueName] = e.Tensor.ToTensor();
            })) session.Run(inputs);
            return seen;
        }
    }

    [Test]
    public void ABiasBehindAProductIsPartOfIt([Values] bool corrected)
    {
        var g = new TestGraph();
        Value x = g.Input("x", 2, 3, 8), bias = g.Random("b", 2, 6);
        Value v = g.Node("MatMul", [x, g.Random("w", 1, 8, 6)], name: "product");
        v = g.Node("Relu", [g.Node("Add", [bias, v], name: "sum")], name: "relu");
        g.Output(g.Node("MatMul", [v, g.Random("w2", 3, 6, 4)], name: "last"), "y");
        var model = new Model(g.Graph);
        var sample = new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(5, 2, 3, 8) };
        QuantizationResult result = Quantizer.Quantize(model, [sample], Naive with { BiasCorrection = corrected });
        Assert.That(result.Report.Ranges.Keys, Is.EquivalentTo(new[] { "x", v.Name }), "nothing is rounded between product, bias and ReLU");
        Assert.That(result.Report.FloatNodes, Is.Zero);
        Node sum = result.Model.Graph.Nodes.Single(node => node.Name == "sum");
        Assert.That(sum.Inputs[1]!.Producer!.Name, Is.EqualTo("product"));
        Assert.That(sum.Inputs[0]!.Constant!.Span<float>().SequenceEqual(bias.Constant!.Span<float>()), Is.EqualTo(!corrected), "the bias stays as it is, unless it makes up for rounded weights");
        var session = new InferenceSession(result.Model);
        Assert.That(session.Explain([sample["x"]]).Count(line => line.Arithmetic.StartsWith("int8", StringComparison.Ordinal)), Is.EqualTo(2), "two integer layers");
        float[] expected = new InferenceSession(model).Run(sample)["y"].ToFloat32Array(), actual = session.Run(sample)["y"].ToFloat32Array();
        float largest = expected.Max(MathF.Abs);
        for (int i = 0; i < expected.Length; i++) Assert.That(actual[i], Is.EqualTo(expected[i]).Within(0.03f * largest));
    }

    [Test]
    public void WhatOnlyMovesElementsIsNotObserved()
    {
        var g = new TestGraph();
        Value a = g.Node("Conv", [g.Input("x", 1, 4, 8, 8), g.Random("w1", 1, 4, 4, 1, 1)], name: "c1"), b = g.Node("Conv", [g.Graph.Inputs[0], g.Random("w2", 2, 4, 4, 1, 1)], name: "c2");
        Value pool = g.Node("MaxPool", [g.Node("Concat", [a, b], new AttributeMap { ["axis"] = 1L }, "join")], new AttributeMap { ["kernel_shape"] = new long[] { 2, 2 }, ["strides"] = new long[] { 2, 2 } }, "pool");
        Value table = g.Node("Gather", [g.Random("table", 7, 5, 8, 4, 4), g.Ints("rows", 3)], name: "lookup");
        g.Output(g.Node("Conv", [g.Node("Concat", [pool, table], new AttributeMap { ["axis"] = 1L }, "join2"), g.Random("w3", 3, 4, 16, 1, 1)], name: "c3"), "y");
        var model = new Model(g.Graph);
        Dictionary<string, Tensor>[] samples = [.. Enumerable.Range(0, 3).Select(i => new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(i, 1, 4, 8, 8) })];
        PreparedModel prepared = Quantizer.Prepare(model, Naive);
        IReadOnlyDictionary<string, CalibrationRange> ranges = Quantizer.Quantize(model, samples, Naive).Report.Ranges;
        string[] moved = [.. g.Graph.Nodes.Where(node => node.Name is "join" or "pool").Select(node => node.Output.Name)];
        Assert.That(prepared.CalibrationNames.Intersect(moved), Is.Empty);
        Assert.That(prepared.CalibrationNames, Has.Member(g.Graph.Nodes.Single(node => node.Name == "join2").Output.Name), "a constant is part of it, of which more or less may be used");
        Assert.That(ranges.Keys, Is.SupersetOf(moved), "their ranges follow");
        Assert.That(ranges[moved[0]], Is.EqualTo(ranges[a.Name].Union(ranges[b.Name])));
        Assert.That(ranges[moved[1]], Is.EqualTo(ranges[moved[0]]));

        // The mean of a layer's input is needed where its range follows.
        Model plain = Quantizer.Quantize(model, samples, Naive).Model, corrected = Quantizer.Quantize(model, samples, Naive with { BiasCorrection = true }).Model;
        Assert.That(plain.Graph.Nodes.Single(node => node.Name == "c3").Input(2), Is.Null);
        Assert.That(corrected.Graph.Nodes.Single(node => node.Name == "c3").Input(2), Is.Not.Null);
    }

    [Test]
    public void WhatASessionComputesInAdvanceHasARangeToo()
    {
        // Ones in the shape of the batch: constant for a session that knows the batch, and no constant of the model.
        var g = new TestGraph();
        Value x = g.Input("x", new TensorType(DataType.Float32, [Dim.Named("batch"), 2, 4]));
        Value batch = g.Node("Slice", [g.Node("Shape", [x]), g.Ints("zero", 0), g.Ints("one", 1)]);
        Value token = g.Node("Add", [g.Node("ConstantOfShape", [g.Node("Concat", [batch, g.Ints("rest", 1, 4)], new AttributeMap { ["axis"] = 0L })], new AttributeMap { ["value"] = Tensor.Create(new[] { 1f }, 1) }), g.Floats("offset", [0.5f])], name: "token");
        g.Output(g.Node("MatMul", [g.Node("Concat", [token, x], new AttributeMap { ["axis"] = 1L }, "join"), g.Random("w", 1, 4, 3)], name: "product"), "y");
        Dictionary<string, Tensor>[] samples = [.. Enumerable.Range(1, 3).Select(n => new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(n, n, 2, 4) })];
        QuantizationResult result = Quantizer.Quantize(new Model(g.Graph), samples, Naive);
        Assert.That(result.Report.Warnings, Is.Empty);
        Assert.That(result.Report.Decisions.Single(decision => decision.Node == "token").Reason, Is.EqualTo("it depends on shapes alone, and is computed in advance"));
        Assert.That(result.Report.Ranges[token.Name], Is.EqualTo(new CalibrationRange(1.5f, 1.5f)));
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
