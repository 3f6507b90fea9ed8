using Octet.Benchmarks.Networks;
using Octet.Cli.Datasets;
using Octet.Quantization;
using Octet.Quantization.Calibration;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Quantization;

/// <summary>Statistics over real models: the same on any number of threads and however the data is cut; and that the default entropy is no worse than MXNet's.</summary>
[Category("Models")]
internal sealed class RealModelStatisticsTests
{
    private const int Samples = 14, Chunks = 7;

    private static IEnumerable<string> FloatModels()
    {
        if (TestData.Optional("models") is not { } root) return ["none"];
        return Directory.GetDirectories(root).Where(folder => File.Exists(Path.Combine(folder, "model.onnx")) && !folder.Contains("qdq", StringComparison.Ordinal) && !folder.Contains("int8", StringComparison.Ordinal))
            .Select(folder => Path.GetFileName(folder)).Order(StringComparer.Ordinal);
    }

    [TestCaseSource(nameof(FloatModels)), Category("Slow")]
    public void ThreadsAndChunksDoNotChangeStatistics(string name)
    {
        string folder = TestData.Require(Path.Combine("models", name));
        Model model = Model.Load(Path.Combine(folder, "model.onnx"));
        if (Quantizer.Prepare(model).CalibrationNames.Count == 0) Assert.Ignore($"{name}: no operator of its main graph has an integer form, so there is nothing to collect");
        IReadOnlyDictionary<string, Tensor>[] samples = SamplesOf(model, folder);
        Func<ResumableCollector>[] kinds = [() => new MinMaxCollector(), () => new EntropyCollector(), () => new MovingAverageCollector(), () => new MxNetEntropyCollector()];
        if (Refusal(model, samples) is { } refusal)
        {
            Assert.That(refusal, Does.Contain("rule: MXNet's histogram has at most"));
            TestContext.Out.WriteLine($"{name}: without MXNet's histogram: {refusal}");
            kinds = kinds[..^1];
        }
        byte[][] one = Collect(model, samples, 1, [.. kinds.Select(kind => kind())]), two = Collect(model, samples, 2, [.. kinds.Select(kind => kind())]);
        Assert.That(one[0], Has.Length.GreaterThan(100), "nothing was collected");
        for (int k = 0; k < kinds.Length; k++)
        {
            ResumableCollector whole = kinds[k]();
            Assert.That(two[k].AsSpan().SequenceEqual(one[k]), $"{whole.Kind}: two threads give other statistics than one");
            foreach (IReadOnlyDictionary<string, Tensor>[] chunk in samples.Chunk(Samples / Chunks))
            {
                // What cannot be added up goes on from where the chunk before ended.
                ResumableCollector part = kinds[k]();
                if (whole is not MergeableCollector) part.Load(new MemoryStream(Text(whole)));
                byte[] state = Collect(model, chunk, 2, [part])[0];
                ResumableCollector read = kinds[k]();
                read.Load(new MemoryStream(state));
                if (whole is MergeableCollector sum) sum.Merge((MergeableCollector)read);
                else whole = read;
            }
            Assert.That(Text(whole).AsSpan().SequenceEqual(one[k]), $"{whole.Kind}: {Chunks} chunks give other statistics than the whole");
        }
    }

    /// <summary>MXNet's histograms keep the bins of the first sample; memory is bounded, so a tensor that grows a lot after it is refused.</summary>
    private static string? Refusal(Model model, IReadOnlyDictionary<string, Tensor>[] samples)
    {
        try
        {
            Collect(model, samples, 2, [new MxNetEntropyCollector()]);
            return null;
        }
        catch (DataException e)
        {
            return e.Message;
        }
    }

    [Test]
    public void TheDefaultEntropyIsAtLeastAsGoodAsMxNets()
    {
        int ours = 0, theirs = 0, reference = 0;
        foreach (string name in new[] { "cifar10_resnet20_fp32", "cifar10_vnn_resnet2b", "cifar10_marabou_large_nhwc", "cifar10_vit_ibp_3_3_8", "mnist_cntk", "mnist_vnn_convnet_avgpool" })
        {
            string folder = TestData.Require(Path.Combine("models", name));
            Model model = Model.Load(Path.Combine(folder, "model.onnx"));
            DatasetBinding data = Dataset.Load(Path.Combine(folder, "dataset.json")).Bind(new InferenceSession(model));
            Sample[] evaluation = [.. data.Samples().Take(500)];
            IReadOnlyDictionary<string, Tensor>[] calibration = [.. data.Samples().Skip((int)data.Count - 32).Select(sample => sample.Inputs)];
            int own = Right(CalibrationMode.Entropy), other = Right(CalibrationMode.EntropyMxNet), exact = Correct(model, evaluation, data);
            TestContext.Out.WriteLine($"{name}: of 500 float {exact}, entropy {own}, MXNet's entropy {other}");
            (ours, theirs, reference) = (ours + own, theirs + other, reference + exact);

            int Right(CalibrationMode mode) => Correct(Quantizer.Quantize(model, calibration, new QuantizationOptions { Calibration = mode }).Model, evaluation, data);
        }
        Assert.That(ours, Is.GreaterThanOrEqualTo(theirs));
        Assert.That(ours, Is.GreaterThanOrEqualTo(reference - 30), "one point of 3000");
    }

    private static int Correct(Model model, Sample[] samples, DatasetBinding data)
    {
        var session = new InferenceSession(model);
        return samples.Count(sample =>
        {
            float[] scores = session.Run(sample.Inputs)[data.Scores!.Name].ToFloat32Array();
            return Array.IndexOf(scores, scores.Max()) == sample.Label;
        });
    }

    private static byte[][] Collect(Model model, IReadOnlyDictionary<string, Tensor>[] samples, int threads, ResumableCollector[] collectors)
    {
        PreparedModel prepared = Quantizer.Prepare(model, new QuantizationOptions { Session = new SessionOptions { Threads = threads } });
        InferenceSession session = prepared.CreateSession();
        foreach (ResumableCollector collector in collectors) session.RegisterOpHook(prepared.CreateHook(collector), monitorAll: true);
        var feeder = new SampleFeeder(session);
        foreach (IReadOnlyDictionary<string, Tensor> sample in samples) feeder.Run(sample, default);
        return [.. collectors.Select(Text)];
    }

    /// <summary>Samples of the model's dataset where it has one, else the stored inputs of its origin, else seeded ones.</summary>
    private static IReadOnlyDictionary<string, Tensor>[] SamplesOf(Model model, string folder)
    {
        string dataset = Path.Combine(folder, "dataset.json");
        if (File.Exists(dataset)) return [.. Dataset.Load(dataset).Bind(new InferenceSession(model)).Samples().Take(Samples).Select(sample => sample.Inputs)];
        if (Directory.GetDirectories(folder, "test_data_set_*") is [string first, ..] && Directory.GetFiles(first, "input_*.pb") is { Length: > 0 } files && files.Length == new InferenceSession(model).Inputs.Count)
        {
            var session = new InferenceSession(model);
            Tensor[] tensors = [.. files.Order(StringComparer.Ordinal).Select((file, i) => (Tensor)Octet.Runtime.Onnx.TensorFile.Load(file, session.Inputs[i].Type)!)];
            return [.. Enumerable.Repeat(session.Inputs.Zip(tensors).ToDictionary(pair => pair.First.Name, pair => pair.Second), Samples)];
        }
        if (Path.GetFileName(folder) == "audio_silero_vad_op15")
        {
            // Its symbolic sizes say nothing of the frame that the model was made for.
            var session = new InferenceSession(model);
            var shapes = new Dictionary<string, int[]> { ["input"] = [1, 512], ["state"] = [2, 1, 128] };
            return [.. Enumerable.Range(0, Samples).Select(seed => session.Inputs.Zip(SampleInputs.For(session, seed, shapes, new Dictionary<string, long> { ["sr"] = 16000 })).ToDictionary(pair => pair.First.Name, pair => pair.Second))];
        }
        return [.. SampleInputs.Samples(model, Samples)];
    }

    private static byte[] Text(ResumableCollector collector)
    {
        using var stream = new MemoryStream();
        collector.Save(stream);
        return stream.ToArray();
    }
}
