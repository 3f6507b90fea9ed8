using System.Text;
using Octet.Quantization;
using Octet.Quantization.Calibration;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Quantization;

/// <summary>Cache files: what they look like, that they give the same ranges, and that no file does harm.</summary>
internal sealed class CalibrationCacheTests
{
    [Test]
    public void IsReadableAndExact()
    {
        var collector = new MinMaxCollector();
        collector.Collect("conv \"1\"/ä", "Conv", new TensorView(Tensor.Create([0.1f, 1e-45f, -3.4028235e38f], 3)));
        string text = Text(collector);
        Assert.That(text.ReplaceLineEndings("\n"), Is.EqualTo("""
            {
              "format": "octet-calibration/1",
              "kind": "naive",
              "tensors": {
                "conv \"1\"/ä": {
                  "min": -3.4028235E+38,
                  "max": 0.1,
                  "count": 3
                }
              }
            }
            """.ReplaceLineEndings("\n")));
        var read = new MinMaxCollector();
        read.Load(new MemoryStream(Encoding.UTF8.GetBytes(text)));
        Assert.That(read.PostCollect()["conv \"1\"/ä"], Is.EqualTo(new CalibrationRange(-3.4028235e38f, 0.1f)));
    }

    [Test]
    public void AFileIsResumedAndEndsInTheSameModel([Values(CalibrationMode.Naive, CalibrationMode.Entropy, CalibrationMode.Percentile, CalibrationMode.MovingAverage, CalibrationMode.EntropyMxNet)] CalibrationMode mode)
    {
        var options = new QuantizationOptions { Calibration = mode };
        Model model = DemoModel.Load();
        byte[] whole = Saved(Quantizer.Quantize(model, DemoModel.Samples(12), options).Model);
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, $"{mode}.cache.json");
        try
        {
            var first = (ResumableCollector)options.CreateCollector();
            Quantizer.Quantize(model, DemoModel.Samples(12).Take(5), options with { Calibration = CalibrationMode.Custom, Collector = first });
            first.Save(path);
            var second = (ResumableCollector)options.CreateCollector();
            second.Load(path);
            byte[] resumed = Saved(Quantizer.Quantize(model, DemoModel.Samples(12).Skip(5), options with { Calibration = CalibrationMode.Custom, Collector = second }).Model);
            Assert.That(resumed, Is.EqualTo(whole));
            second.Save(path);
            var alone = (ResumableCollector)options.CreateCollector();
            alone.Load(path);
            Assert.That(Saved(Quantizer.Quantize(model, null, options with { Calibration = CalibrationMode.Custom, Collector = alone }).Model), Is.EqualTo(whole), "without data the cache decides");
        }
        finally
        {
            File.Delete(path);
        }
    }

    private const string Head = "{\"format\":\"octet-calibration/1\",\"kind\":\"histogram\",\"tensors\":{\"x\":";

    [TestCase("", "JSON")]
    [TestCase("[]", "a JSON object")]
    [TestCase("{}", "'format'")]
    [TestCase("{\"format\":\"octet-calibration/2\"}", "the format is 'octet-calibration/2'")]
    [TestCase("{\"format\":7}", "no text")]
    [TestCase("{\"format\":\"octet-calibration/1\",\"kind\":\"naive\",\"tensors\":{}}", "the kind is 'naive'")]
    [TestCase("{\"format\":\"octet-calibration/1\",\"kind\":\"histogram\",\"tensors\":[]}", "a JSON object")]
    [TestCase("{\"format\":\"octet-calibration/1\",\"kind\":\"histogram\",\"tensors\":{\"x\":{\"min\":1", "JSON")]
    [TestCase(Head + "3}}", "a JSON object")]
    [TestCase(Head + "{\"max\":1,\"count\":1}}}", "'min'")]
    [TestCase(Head + "{\"min\":2,\"max\":1,\"count\":1,\"exponent\":0,\"firstBin\":0,\"bins\":[1]}}}", "min ≤ max")]
    [TestCase(Head + "{\"min\":1e60,\"max\":1,\"count\":1,\"exponent\":0,\"firstBin\":0,\"bins\":[1]}}}", "finite float32")]
    [TestCase(Head + "{\"min\":1,\"max\":1,\"count\":0,\"exponent\":0,\"firstBin\":1,\"bins\":[1]}}}", "count is 0")]
    [TestCase(Head + "{\"min\":1,\"max\":1,\"count\":1}}}", "0 bins")]
    [TestCase(Head + "{\"min\":1,\"max\":1,\"count\":1,\"exponent\":0,\"firstBin\":1,\"bins\":[]}}}", "0 bins")]
    [TestCase(Head + "{\"min\":1,\"max\":1,\"count\":1,\"exponent\":0,\"firstBin\":4096,\"bins\":[1]}}}", "bins lie in")]
    [TestCase(Head + "{\"min\":1,\"max\":1,\"count\":1,\"exponent\":0,\"firstBin\":-4097,\"bins\":[1]}}}", "bins lie in")]
    [TestCase(Head + "{\"min\":1,\"max\":1,\"count\":1,\"exponent\":0,\"firstBin\":2147483647,\"bins\":[1,0]}}}", "bins lie in")]
    [TestCase(Head + "{\"min\":1,\"max\":1,\"count\":1,\"exponent\":0,\"firstBin\":-2147483648,\"bins\":[1,0]}}}", "bins lie in")]
    [TestCase(Head + "{\"min\":1,\"max\":1,\"count\":1,\"exponent\":0,\"firstBin\":2,\"bins\":[1]}}}", "the first bin holds the least value")]
    [TestCase(Head + "{\"min\":1,\"max\":1,\"count\":1,\"exponent\":500,\"firstBin\":0,\"bins\":[1]}}}", "exponent")]
    [TestCase(Head + "{\"min\":1,\"max\":1,\"count\":1,\"exponent\":1e3,\"firstBin\":0,\"bins\":[1]}}}", "an int32")]
    [TestCase(Head + "{\"min\":1,\"max\":2,\"count\":1,\"exponent\":0,\"firstBin\":1,\"bins\":[-1,2]}}}", "a bin counts -1")]
    [TestCase(Head + "{\"min\":1,\"max\":2,\"count\":5,\"exponent\":0,\"firstBin\":1,\"bins\":[1,9223372036854775807]}}}", "more than 5")]
    [TestCase(Head + "{\"min\":1,\"max\":2,\"count\":5,\"exponent\":0,\"firstBin\":1,\"bins\":[1,1]}}}", "bins count 2 of 5")]
    [TestCase(Head + "{\"min\":1,\"max\":2,\"count\":5,\"exponent\":0,\"firstBin\":1,\"bins\":[\"1\"]}}}", "an int64")]
    [TestCase(Head + "{\"min\":1,\"max\":1,\"count\":1,\"exponent\":0,\"firstBin\":1,\"bins\":[1]},\"x\":{\"min\":1,\"max\":1,\"count\":1,\"exponent\":0,\"firstBin\":1,\"bins\":[1]}}}", "stands twice")]
    public void ABrokenFileIsATypedError(string text, string message)
    {
        var collector = new EntropyCollector();
        collector.Collect("before", "Conv", new TensorView(Tensor.Create([1f], 1)));
        string state = Text(collector);
        DataException error = Assert.Throws<DataException>(() => collector.Load(new MemoryStream(Encoding.UTF8.GetBytes(text))))!;
        Assert.That(error.Message, Does.Contain(message).And.Contain("rule:"));
        Assert.That(Text(collector), Is.EqualTo(state), "a refused file changes nothing");
    }

    [TestCase("{\"min\":1,\"max\":1,\"count\":1}", "0 samples")]
    [TestCase("{\"min\":1,\"max\":1,\"count\":1,\"samples\":[[1]]}", "[min, max]")]
    [TestCase("{\"min\":1,\"max\":1,\"count\":1,\"samples\":[[1,2]]}", "within the tensor's range")]
    [TestCase("{\"min\":1,\"max\":1,\"count\":1,\"samples\":7}", "JSON array")]
    public void BrokenSamplesAreATypedError(string tensor, string message)
    {
        string text = $"{{\"format\":\"octet-calibration/1\",\"kind\":\"moving-average\",\"tensors\":{{\"x\":{tensor}}}}}";
        DataException error = Assert.Throws<DataException>(() => new MovingAverageCollector().Load(new MemoryStream(Encoding.UTF8.GetBytes(text))))!;
        Assert.That(error.Message, Does.Contain(message).And.Contain("rule:"));
    }

    [TestCase("\"bins\":[1],\"threshold\":2", "it has 1 bins")]
    [TestCase("\"exponent\":0,\"firstBin\":1,\"bins\":[#]", "the threshold is")]
    [TestCase("\"threshold\":0.5,\"bins\":[#]", "no value lies beyond the threshold")]
    [TestCase("\"threshold\":1e999,\"bins\":[#]", "finite float64")]
    [TestCase("\"threshold\":2,\"bins\":[#,0]", "it has 8002 bins")]
    [TestCase("\"threshold\":2,\"bins\":[#,3,0]", "bins do not count 1 values")]
    [TestCase("\"threshold\":2,\"bins\":[#,1,-1]", "no bin is negative")]
    public void BrokenHistogramsOfMxNetAreATypedError(string bins, string message)
    {
        string some = "1" + string.Concat(Enumerable.Repeat(",0", 8000));
        string text = $"{{\"format\":\"octet-calibration/1\",\"kind\":\"entropy-mxnet\",\"tensors\":{{\"x\":{{\"min\":1,\"max\":1,\"count\":1,{bins.Replace("#", some, StringComparison.Ordinal)}}}}}}}";
        DataException error = Assert.Throws<DataException>(() => new MxNetEntropyCollector().Load(new MemoryStream(Encoding.UTF8.GetBytes(text))))!;
        Assert.That(error.Message, Does.Contain(message).And.Contain("rule:"));
    }

    [Test]
    public void AnyDamageIsATypedErrorOrAStateThatCanBeUsed()
    {
        var collector = new EntropyCollector();
        collector.Collect("x", "Conv", new TensorView(Tensor.Create([-2f, 0.5f, 0.25f, 3f], 4)));
        byte[] file = Encoding.UTF8.GetBytes(Text(collector));
        var random = new Random(11);
        int refused = 0;
        for (int i = 0; i < 3000; i++)
        {
            byte[] damaged = (byte[])file.Clone();
            for (int n = random.Next(1, 4); n > 0; n--) damaged[random.Next(damaged.Length)] = (byte)random.Next(32, 127);
            var read = new EntropyCollector();
            try
            {
                read.Load(new MemoryStream(damaged));
                foreach (CalibrationRange range in read.PostCollect().Values) Assert.That(float.IsFinite(range.Min) && float.IsFinite(range.Max) && range.Min <= range.Max);
            }
            catch (DataException)
            {
                refused++;
            }
        }
        Assert.That(refused, Is.GreaterThan(1500));
    }

    [Test]
    public void ACacheOfAnotherModelIsAnError()
    {
        var collector = new MinMaxCollector();
        collector.Collect("nothing", "Conv", new TensorView(Tensor.Create([1f], 1)));
        DataException error = Assert.Throws<DataException>(() => Quantizer.Quantize(DemoModel.Load(), null, new QuantizationOptions { Calibration = CalibrationMode.Custom, Collector = collector }))!;
        Assert.That(error.Message, Does.Contain("saw none"));
    }

    private static string Text(ResumableCollector collector)
    {
        using var stream = new MemoryStream();
        collector.Save(stream);
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    private static byte[] Saved(Model model)
    {
        using var stream = new MemoryStream();
        model.Save(stream);
        return stream.ToArray();
    }
}
