using System.Text.Json;
using Octet.Runtime;

namespace Octet.Tests.Cli;

/// <summary>Every option of <c>octet quantize</c> that changes how a model is calibrated and what is left float.</summary>
internal sealed class QuantizeVerbTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void DeleteFolder() => _folder.Dispose();

    [TestCase("--calibration", "naive")]
    [TestCase("--calibration", "entropy")]
    [TestCase("--calibration", "percentile")]
    [TestCase("--calibration", "percentile", "--percentile", "99")]
    [TestCase("--calibration", "mse")]
    [TestCase("--calibration", "moving-average")]
    [TestCase("--calibration", "entropy-mxnet")]
    [TestCase("--calibration", "none")]
    [TestCase("--bias-correction")]
    [TestCase("--equalize")]
    [TestCase("--smooth")]
    [TestCase("--smooth", "0.8")]
    [TestCase("--never-slower")]
    [TestCase("--type", "uint8", "--mode", "smart", "--granularity", "tensor")]
    public void EveryOptionGivesAModelThatClassifies(params string[] options)
    {
        string model = _folder.DemoModel(), data = _folder.DemoDataset(20), output = _folder["int8.onnx"];
        CommandRunner.Succeed([.. new[] { "quantize", model, "-o", output, "--data", data, "--limit", "8", "--threads", "1" }, .. options]);
        Assert.That(CommandRunner.Succeed("eval", output, "--data", data, "--threads", "1", "--json").Json.GetProperty("top1").GetDouble(), Is.AtLeast(0.9));
    }

    [Test]
    public void ACacheIsWrittenAndReadAndAddedTo()
    {
        string model = _folder.DemoModel(), data = _folder.DemoDataset(8), cache = _folder["cache.json"], output = _folder["a.onnx"];
        CommandRunner.Succeed("quantize", model, "-o", output, "--data", data, "--calibration", "entropy", "--cache", cache);
        byte[] first = File.ReadAllBytes(output);
        Assert.That(File.ReadAllText(cache), Does.Contain("octet-calibration/1"));
        CommandRunner.Succeed("quantize", model, "-o", output, "--calibration", "entropy", "--cache", cache);
        Assert.That(File.ReadAllBytes(output), Is.EqualTo(first), "without data the cache alone decides");
        // The same samples once more leave shares as they are.
        CommandRunner.Succeed("quantize", model, "-o", output, "--data", data, "--calibration", "entropy", "--cache", cache);
        Assert.That(File.ReadAllBytes(output), Is.EqualTo(first));
        CommandRunner.Succeed("quantize", model, "-o", output, "--calibration", "percentile", "--cache", cache);
    }

    [Test]
    public void AReportListsEveryLayer()
    {
        string model = _folder.DemoModel(), data = _folder.DemoDataset(8), report = _folder["report.json"];
        CommandResult result = CommandRunner.Succeed("quantize", model, "-o", _folder["a.onnx"], "--data", data, "--report", report, "--equalize");
        Assert.That(result.Output, Does.Contain("layers with the largest errors"));
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(report));
        JsonElement[] layers = [.. json.RootElement.GetProperty("layers").EnumerateArray()];
        Assert.That(layers, Has.Length.GreaterThan(5));
        foreach (JsonElement layer in layers)
        {
            // Pixels that are multiples of a step have no error at all: null.
            if (layer.GetProperty("sqnrDb").ValueKind != JsonValueKind.Null) Assert.That(layer.GetProperty("sqnrDb").GetDouble(), Is.GreaterThan(10));
            Assert.That(layer.GetProperty("cosine").GetDouble(), Is.GreaterThan(0.9));
            Assert.That(layer.GetProperty("clippedShare").GetDouble(), Is.InRange(0, 0.05));
        }
    }

    [TestCase("top1", 0.5, 0)]
    [TestCase("cosine", 1e-9, 1)]
    public void ASearchStaysWithinItsTolerance(string metric, double tolerance, int atLeastFloat)
    {
        string model = _folder.DemoModel(), data = _folder.DemoDataset(12);
        JsonElement json = CommandRunner.Succeed("quantize", model, "-o", _folder["a.onnx"], "--data", data, "--search", metric, "--tolerance", tolerance.ToString(System.Globalization.CultureInfo.InvariantCulture),
            "--search-samples", "6", "--json").Json.GetProperty("search");
        Assert.That(json.GetProperty("withinTolerance").GetBoolean());
        Assert.That(json.GetProperty("loss").GetDouble(), Is.LessThanOrEqualTo(tolerance));
        Assert.That(json.GetProperty("floatOperators").GetArrayLength(), Is.AtLeast(atLeastFloat));
        Assert.That(json.GetProperty("path").GetArrayLength(), Is.AtLeast(1));
        Assert.That(CommandRunner.Succeed("quantize", model, "-o", _folder["a.onnx"], "--data", data, "--search", metric, "--tolerance", "1", "--search-samples", "4").Output, Does.Contain("within"));
    }

    [TestCase("--percentile 99", "--percentile goes with")]
    [TestCase("--calibration percentile --percentile 0", "Percentile is 0")]
    [TestCase("--calibration percentile --percentile x", "x")]
    [TestCase("--smooth 3", "Strength is 3")]
    [TestCase("--tolerance 1", "go with --search")]
    [TestCase("--search top1 --tolerance -1", "Tolerance is -1")]
    [TestCase("--search top1 --time-budget 0", "--time-budget is 0")]
    [TestCase("--search accuracy", "accuracy")]
    [TestCase("--search top1 --never-slower", "one of them")]
    [TestCase("--calibration none --cache c.json", "--cache goes with")]
    [TestCase("--calibration none --bias-correction", "BiasCorrection")]
    [TestCase("--calibration none --never-slower", "KeepFloatWhereSlower")]
    public void AMistakeOfTheCommandLineIsNamed(string options, string message)
    {
        CommandResult result = CommandRunner.Run(["quantize", _folder.DemoModel(), "-o", _folder["a.onnx"], "--data", _folder.DemoDataset(2), .. options.Split(' ')]);
        Assert.That(result.ExitCode, Is.EqualTo(2), result.Error + result.Output);
        Assert.That(result.Error + result.Output, Does.Contain(message));
        Assert.That(File.Exists(_folder["a.onnx"]), Is.False);
    }

    [Test]
    public void ABrokenCacheIsNamedBeforeTheWorkStarts()
    {
        string cache = _folder["cache.json"];
        File.WriteAllText(cache, "{\"format\":\"octet-calibration/1\",\"kind\":\"histogram\",\"tensors\":{\"x\":{\"min\":0,\"max\":1,\"count\":1,\"exponent\":0,\"firstBin\":9999,\"bins\":[1]}}}");
        CommandResult result = CommandRunner.Run("quantize", _folder.DemoModel(), "-o", _folder["a.onnx"], "--data", _folder.DemoDataset(2), "--cache", cache);
        Assert.That(result.ExitCode, Is.EqualTo(1));
        Assert.That(result.Error, Does.Contain("cache.json").And.Contain("'x'").And.Contain("rule:"));
    }
}
