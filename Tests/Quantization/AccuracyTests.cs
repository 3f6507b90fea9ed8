using Octet.Quantization;
using Octet.Quantization.Accuracy;
using Octet.Quantization.Analysis;
using Octet.Quantization.Calibration;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Quantization;

/// <summary>Bias correction, equalization and smoothing: that the float model stays what it was, and that INT8 gets better where it must.</summary>
internal sealed class AccuracyTests
{
    private static readonly QuantizationOptions Naive = new() { Calibration = CalibrationMode.Naive };

    private static readonly QuantizationOptions PerTensor = Naive with { Granularity = Granularity.Tensor };

    [TestCase("Conv")]
    [TestCase("Gemm")]
    [TestCase("grouped Conv")]
    [TestCase("ConvTranspose")]
    public void BiasCorrectionTakesTheMeanErrorBack(string kind)
    {
        // Weights in steps of nearly one and a half grid steps, so that rounding has a direction; inputs around 1, so that it adds up.
        var g = new TestGraph();
        Random random = new(5);
        float[] Weights(int count) => [.. Enumerable.Range(0, count).Select(i => i % 16 == 0 ? 1f : 0.3f / 127 + 0.01f * (i % 7))];
        Value x = kind == "Gemm" ? g.Input("x", 64, 16) : g.Input("x", 4, 16, 8, 8);
        Value y = kind switch
        {
            "Gemm" => g.Node("Gemm", [x, g.Floats("w", Weights(16 * 8), 16, 8), g.Floats("b", new float[8])], name: "fc"),
            "Conv" => g.Node("Conv", [x, g.Floats("w", Weights(8 * 16), 8, 16, 1, 1)], name: "conv"),
            "grouped Conv" => g.Node("Conv", [x, g.Floats("w", Weights(8 * 4 * 9), 8, 4, 3, 3), g.Floats("b", random.Floats(8))], new AttributeMap { ["group"] = 4L }, "conv"),
            _ => g.Node("ConvTranspose", [x, g.Floats("w", Weights(16 * 8), 16, 8, 1, 1), g.Floats("b", random.Floats(8))], name: "conv"),
        };
        g.Output(y, "y");
        var model = new Model(g.Graph);
        int[] shape = model.Graph.Inputs[0].Type.ConcreteShape();
        Dictionary<string, Tensor>[] samples = [.. Enumerable.Range(0, 4).Select(i => new Dictionary<string, Tensor> { ["x"] = Tensor.Create([.. TestGraph.RandomTensor(i, shape).ToFloat32Array().Select(v => 1 + 0.2f * v)], shape) })];

        double without = WorstMeanError(model, Quantizer.Quantize(model, samples, PerTensor).Model, samples), with = WorstMeanError(model, Quantizer.Quantize(model, samples, PerTensor with { BiasCorrection = true }).Model, samples);
        Assert.That(with, Is.LessThan(0.25 * without), $"worst mean error of a channel: {with}, without correction {without}");
    }

    [Test]
    public void BiasCorrectionInTwoPhasesGivesTheSameBytes()
    {
        QuantizationOptions options = Naive with { BiasCorrection = true };
        byte[] oneCall = Saved(Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(6), options).Model);
        PreparedModel prepared = Quantizer.Prepare(DemoModel.Load(), options);
        var collector = new MinMaxCollector();
        InferenceSession session = prepared.CreateSession();
        using (session.RegisterOpHook(prepared.CreateHook(collector), monitorAll: true))
        {
            foreach (IReadOnlyDictionary<string, Tensor> sample in DemoModel.Samples(6)) session.Run(sample);
        }
        Assert.That(Saved(Quantizer.Calibrate(prepared, collector).Model), Is.EqualTo(oneCall));
        Assert.That(oneCall, Is.Not.EqualTo(Saved(Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(6), Naive).Model)), "the correction changes nothing");
    }

    [Test]
    public void BiasCorrectionWithoutSamplesIsAnError()
    {
        var collector = new MinMaxCollector();
        Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(2), new QuantizationOptions { Calibration = CalibrationMode.Custom, Collector = collector });
        DataException error = Assert.Throws<DataException>(() => Quantizer.Quantize(DemoModel.Load(), null, new QuantizationOptions { Calibration = CalibrationMode.Custom, Collector = collector, BiasCorrection = true }))!;
        Assert.That(error.Message, Does.Contain("bias correction").And.Contain("rule:"));
    }

    [TestCase("Relu")]
    [TestCase("LeakyRelu")]
    [TestCase("MaxPool")]
    [TestCase("AveragePool")]
    [TestCase("")]
    public void EqualizationKeepsEveryBitAndHelpsPerTensorWeights(string between)
    {
        Model model = Unbalanced(between);
        Model equalized = Equalization.Apply(model);
        Dictionary<string, Tensor>[] samples = [.. Enumerable.Range(0, 4).Select(i => new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(i, 1, 8, 10, 10) })];
        foreach (Dictionary<string, Tensor> sample in samples)
            Assert.That(new InferenceSession(equalized).Run(sample)["y"].Bytes.ToArray(), Is.EqualTo(new InferenceSession(model).Run(sample)["y"].Bytes.ToArray()), "the float model changes");

        double before = Noise(model, Quantizer.Quantize(model, samples, PerTensor).Model, samples), after = Noise(model, Quantizer.Quantize(model, samples, PerTensor with { Equalize = new EqualizationOptions() }).Model, samples);
        Assert.That(after, Is.LessThan(before / 4), $"noise {after}, before {before}");
        Assert.That(Saved(Quantizer.Quantize(equalized, samples, PerTensor).Model), Is.EqualTo(Saved(Quantizer.Quantize(model, samples, PerTensor with { Equalize = new EqualizationOptions() }).Model)), "by hand and by option");
    }

    [TestCase("Sigmoid", Description = "does not commute with factors")]
    [TestCase("Clip", Description = "does not commute with factors")]
    [TestCase("two readers")]
    [TestCase("shared weight")]
    public void EqualizationLeavesAloneWhatItMay(string between)
    {
        Model model = Unbalanced(between);
        Assert.That(Equalization.Run(model.Graph.Clone(), new EqualizationOptions()), Is.Zero);
    }

    [Test]
    public void EqualizationOfDepthwiseAndGroupedLayersKeepsEveryBit()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 8, 9, 9);
        var depthwise = new AttributeMap { ["group"] = 8L, ["pads"] = new long[] { 1, 1, 1, 1 } };
        Value v = g.Node("Conv", [x, g.Floats("w1", Spread(8 * 8, 8), 8, 8, 1, 1), g.Random("b1", 2, 8)], name: "c1");
        v = g.Node("Conv", [g.Node("Relu", [v]), g.Floats("w2", Spread(8 * 9, 9), 8, 1, 3, 3), g.Random("b2", 3, 8)], depthwise, "c2");
        v = g.Node("ConvTranspose", [v, g.Floats("w3", Spread(8 * 4, 4), 8, 4, 1, 1), g.Random("b3", 4, 8)], new AttributeMap { ["group"] = 2L }, "c3");
        v = g.Node("Conv", [v, g.Floats("w4", Spread(6 * 4, 4), 6, 4, 1, 1)], new AttributeMap { ["group"] = 2L }, "c4");
        g.Output(v, "y");
        var model = new Model(g.Graph);
        Graph changed = model.Graph.Clone();
        Assert.That(Equalization.Run(changed, new EqualizationOptions()), Is.EqualTo(3), "pairs of layers");
        var sample = new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(6, 1, 8, 9, 9) };
        Assert.That(new InferenceSession(new Model(changed)).Run(sample)["y"].Bytes.ToArray(), Is.EqualTo(new InferenceSession(model).Run(sample)["y"].Bytes.ToArray()));
    }

    /// <summary>Two residual blocks: c1 → (c2 → c3) + → (c4 → c5) + → c6. The stream has the makers c1, c3 and c5, and the readers c2, c4 and c6.</summary>
    [TestCase(false)]
    [TestCase(true, Description = "a Sigmoid reads the stream too: what was divided could not be multiplied back there")]
    public void EqualizationOfAResidualStreamKeepsEveryBit(bool foreignReader)
    {
        var g = new TestGraph();
        Value Layer(Value from, int seed, string name) => g.Node("Conv", [from, g.Floats($"w{seed}", [.. Spread(64, 8).Select((value, i) => value * (1 + i % 3 * seed))], 8, 8, 1, 1), g.Random($"b{seed}", seed, 8)], name: name);
        Value stream = g.Node("Relu", [Layer(g.Input("x", 1, 8, 6, 6), 1, "c1")]);
        Value first = stream;
        stream = g.Node("Relu", [g.Node("Add", [Layer(g.Node("Relu", [Layer(stream, 2, "c2")]), 3, "c3"), stream])]);
        stream = g.Node("Add", [stream, Layer(g.Node("LeakyRelu", [Layer(stream, 4, "c4")]), 5, "c5")]);
        g.Output(Layer(stream, 6, "c6"), "y");
        if (foreignReader) g.Output(g.Node("Sigmoid", [first]), "z");
        var model = new Model(g.Graph);
        Graph changed = Equalization.Apply(model).Graph;
        float[] Weight(Graph graph, string name) => graph.Nodes.Single(node => node.Name == name).Inputs[1]!.Constant!.ToFloat32Array();
        foreach (string name in new[] { "c3", "c4" }) Assert.That(Weight(changed, name).SequenceEqual(Weight(model.Graph, name)), Is.False, name);   // the inside of a block is a stream of its own
        foreach (string name in new[] { "c1", "c6" }) Assert.That(Weight(changed, name).SequenceEqual(Weight(model.Graph, name)), Is.EqualTo(foreignReader), name);
        var sample = new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(6, 1, 8, 6, 6) };
        Assert.That(new InferenceSession(new Model(changed)).Run(sample)["y"].Bytes.ToArray(), Is.EqualTo(new InferenceSession(model).Run(sample)["y"].Bytes.ToArray()), "the float model changes");
    }

    [TestCase("LayerNormalization", 3)]
    [TestCase("written out", 2, Description = "Mul and Add are quantized too, which smoothing does not change")]
    [TestCase("Gemm", 3)]
    public void SmoothingKeepsEveryBitAndHelpsAgainstOutlierChannels(string maker, double atLeast)
    {
        Model model = Outliers(maker);
        Dictionary<string, Tensor>[] samples = [.. Enumerable.Range(0, 4).Select(i => new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(i, 24, 32) })];
        Model smooth = Smoothing.Apply(model, samples);
        foreach (Dictionary<string, Tensor> sample in samples)
            Assert.That(new InferenceSession(smooth).Run(sample)["y"].Bytes.ToArray(), Is.EqualTo(new InferenceSession(model).Run(sample)["y"].Bytes.ToArray()), "the float model changes");
        double before = Noise(model, Quantizer.Quantize(model, samples, Naive).Model, samples), after = Noise(model, Quantizer.Quantize(model, samples, Naive with { Smooth = new SmoothOptions() }).Model, samples);
        Assert.That(after, Is.LessThan(before / atLeast), $"noise {after}, before {before}");
        Assert.That(Saved(Quantizer.Quantize(smooth, samples, Naive).Model), Is.EqualTo(Saved(Quantizer.Quantize(model, samples, Naive with { Smooth = new SmoothOptions() }).Model)), "by hand and by option");
    }

    [Test]
    public void SmoothingLeavesAloneWhatOthersRead()
    {
        var g = new TestGraph();
        Value x = g.Node("LayerNormalization", [g.Input("x", 24, 32), g.Floats("gain", [.. Enumerable.Range(0, 32).Select(i => i == 3 ? 60f : 1f)]), g.Random("shift", 8, 32)], name: "ln");
        g.Output(g.Node("Add", [g.Node("MatMul", [x, g.Random("w", 9, 32, 32)], name: "fc"), x], name: "add"), "y");
        var model = new Model(g.Graph);
        Dictionary<string, Tensor>[] samples = [new() { ["x"] = TestGraph.RandomTensor(1, 24, 32) }];
        Assert.That(Saved(Quantizer.Quantize(model, samples, Naive with { Smooth = new SmoothOptions() }).Model), Is.EqualTo(Saved(Quantizer.Quantize(model, samples, Naive).Model)));
    }

    [Test]
    public void OptionsAreChecked()
    {
        Refused(Naive with { Smooth = new SmoothOptions { Strength = 1.5 } }, "Strength is 1.5");
        Refused(Naive with { Smooth = new SmoothOptions { Strength = double.NaN } }, "Strength is NaN");
        Refused(Naive with { Equalize = new EqualizationOptions { Rounds = 0 } }, "Rounds is 0");
        Refused(new QuantizationOptions { Calibration = CalibrationMode.None, BiasCorrection = true }, "BiasCorrection");
        Assert.That(Assert.Throws<DataException>(() => Smoothing.Apply(DemoModel.Load(), []))!.Message, Does.Contain("at least one"));

        static void Refused(QuantizationOptions options, string message) =>
            Assert.That(Assert.Throws<ArgumentException>(() => Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(1), options))!.Message, Does.Contain(message).And.Contain("rule:"));
    }

    /// <summary>Channels whose weights are a thousand times apart.</summary>
    private static float[] Spread(int count, int perChannel)
    {
        var random = new Random(17);
        return [.. Enumerable.Range(0, count).Select(i => (random.NextSingle() * 2 - 1) * MathF.Pow(10, i / perChannel % 4 - 2))];
    }

    private static Model Unbalanced(string between)
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 8, 10, 10);
        Value w1 = g.Floats("w1", Spread(8 * 8, 8), 8, 8, 1, 1);
        Value v = g.Node("Conv", [x, w1, g.Floats("b1", Spread(8, 1))], name: "c1");
        v = between switch
        {
            "" or "two readers" or "shared weight" => v,
            "Clip" => g.Node("Clip", [v, g.Scalar("low", 0), g.Scalar("high", 1)], name: "clip"),
            "MaxPool" or "AveragePool" => g.Node(between, [v], new AttributeMap { ["kernel_shape"] = new long[] { 2, 2 } }),
            _ => g.Node(between, [v]),
        };
        // Columns against the rows before: what the first layer makes small, the second makes large again.
        float[] second = [.. Spread(8 * 8, 8).Select((value, i) => value / MathF.Pow(10, i / 8 % 4 - 2) / MathF.Pow(10, i % 8 % 4 - 2))];
        Value w2 = between == "shared weight" ? w1 : g.Floats("w2", second, 8, 8, 1, 1);
        Value y = g.Node("Conv", [v, w2], name: "c2");
        if (between == "two readers") y = g.Node("Add", [y, v], name: "add");
        g.Output(y, "y");
        return new Model(g.Graph);
    }

    private static Model Outliers(string maker)
    {
        var g = new TestGraph();
        float[] gains = [.. Enumerable.Range(0, 32).Select(i => i % 11 == 3 ? 80f : 0.7f)];
        Value x = g.Input("x", 24, 32);
        x = maker switch
        {
            "LayerNormalization" => g.Node("LayerNormalization", [x, g.Floats("gain", gains), g.Random("shift", 8, 32)], name: "ln"),
            "Gemm" => g.Node("Gemm", [x, g.Floats("w0", [.. TestGraph.RandomTensor(4, 32, 32).ToFloat32Array().Select((value, i) => value * gains[i % 32])], 32, 32), g.Random("b0", 8, 32)], name: "fc0"),
            _ => g.Node("Add", [g.Node("Mul", [g.Node("Tanh", [x]), g.Floats("gain", gains)]), g.Random("shift", 8, 32)]),
        };
        Value q = g.Node("MatMul", [x, g.Random("wq", 10, 32, 16)], name: "query"), k = g.Node("Gemm", [x, g.Random("wk", 11, 16, 32)], new AttributeMap { ["transB"] = 1L }, "key");
        g.Output(g.Node("Add", [q, k], name: "sum"), "y");
        return new Model(g.Graph);
    }

    private static double Noise(Model model, Model quantized, Dictionary<string, Tensor>[] samples)
    {
        var difference = new Difference();
        InferenceSession reference = new(model), session = new(quantized);
        foreach (Dictionary<string, Tensor> sample in samples) difference.Add(session.Run(sample)["y"].ToFloat32Array(), reference.Run(sample)["y"].ToFloat32Array());
        return difference.RelativeNoise;
    }

    /// <summary>The greatest mean difference of an output channel.</summary>
    private static double WorstMeanError(Model model, Model quantized, Dictionary<string, Tensor>[] samples)
    {
        InferenceSession reference = new(model), session = new(quantized);
        double[] sums = new double[8];
        foreach (Dictionary<string, Tensor> sample in samples)
        {
            Tensor expected = reference.Run(sample)["y"], actual = session.Run(sample)["y"];
            float[] e = expected.ToFloat32Array(), a = actual.ToFloat32Array();
            int inner = expected.Rank == 2 ? 1 : expected.Shape[2] * expected.Shape[3];
            for (int i = 0; i < e.Length; i++) sums[i / inner % 8] += (a[i] - e[i]) / (e.Length / 8 * samples.Length);
        }
        return sums.Max(Math.Abs);
    }

    private static byte[] Saved(Model model)
    {
        using var stream = new MemoryStream();
        model.Save(stream);
        return stream.ToArray();
    }
}
