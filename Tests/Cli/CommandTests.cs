using System.Text.Json;
using Octet.Runtime;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Cli;

/// <summary>Verbs, exit codes and JSON shapes, run in this process.</summary>
[TestFixture]
internal sealed class CommandTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void DeleteFolder() => _folder.Dispose();

    [Test]
    public void QuantizeThenEvaluateAgainstTheFloatModel()
    {
        string model = _folder.DemoModel(), data = _folder.DemoDataset(20), output = _folder["int8.onnx"];
        JsonElement quantized = CommandRunner.Succeed("quantize", model, "-o", output, "--data", data, "--calibration", "naive", "--limit", "10", "--threads", "1", "--json").Json;
        Assert.That(Keys(quantized), Is.EqualTo(new[] { "output", "quantizedNodes", "floatNodes", "bytesBefore", "bytesAfter", "seconds" }));
        Assert.That(quantized.GetProperty("output").GetString(), Is.EqualTo(output));
        Assert.That(quantized.GetProperty("quantizedNodes").GetInt32(), Is.GreaterThan(5));
        Assert.That(quantized.GetProperty("bytesAfter").GetInt64(), Is.EqualTo(new FileInfo(output).Length).And.LessThan(quantized.GetProperty("bytesBefore").GetInt64()));

        JsonElement evaluated = CommandRunner.Succeed("eval", output, "--data", data, "--against", model, "--limit", "20", "--threads", "1", "--json").Json;
        Assert.That(Keys(evaluated), Is.EqualTo(new[] { "samples", "top1", "top5", "meanLatencyMs", "agreement", "outputs" }));
        Assert.That(evaluated.GetProperty("samples").GetInt32(), Is.EqualTo(20));
        Assert.That(evaluated.GetProperty("top1").GetDouble(), Is.AtLeast(0.9));
        Assert.That(evaluated.GetProperty("top5").GetDouble(), Is.AtLeast(evaluated.GetProperty("top1").GetDouble()));
        Assert.That(evaluated.GetProperty("agreement").GetDouble(), Is.AtLeast(0.9));
        JsonElement logits = evaluated.GetProperty("outputs").GetProperty("logits");
        Assert.That(Keys(logits), Is.EqualTo(new[] { "maxAbsDiff", "sqnrDb" }));
        Assert.That(logits.GetProperty("sqnrDb").GetDouble(), Is.GreaterThan(15), "INT8 logits are close to float ones");
        Assert.That(logits.GetProperty("maxAbsDiff").GetDouble(), Is.GreaterThan(0), "but INT8 is not float");
    }

    [Test]
    public void EvaluatingAModelAgainstItselfFindsNoDifference()
    {
        string model = _folder.DemoModel(), data = _folder.DemoDataset(3);
        JsonElement json = CommandRunner.Succeed("eval", model, "--data", data, "--against", model, "--threads", "1", "--json").Json;
        Assert.That(json.GetProperty("agreement").GetDouble(), Is.EqualTo(1));
        JsonElement logits = json.GetProperty("outputs").GetProperty("logits");
        Assert.That(logits.GetProperty("maxAbsDiff").GetDouble(), Is.Zero);
        Assert.That(logits.GetProperty("sqnrDb").ValueKind, Is.EqualTo(JsonValueKind.Null), "infinite");
        Assert.That(CommandRunner.Succeed("eval", model, "--data", data, "--threads", "1").Output, Does.Contain("top-1"));
    }

    [Test]
    public void BenchMeasures()
    {
        JsonElement json = CommandRunner.Succeed("bench", _folder.DemoModel(), "--threads", "1", "--runs", "5", "--json").Json;
        Assert.That(Keys(json).Take(6), Is.EqualTo(new[] { "medianMs", "p10Ms", "threads", "loadMs", "firstRunMs", "allocatedBytesPerRun" }));
        Assert.That(json.GetProperty("medianMs").GetDouble(), Is.AtLeast(json.GetProperty("p10Ms").GetDouble()).And.GreaterThan(0));
        Assert.That(json.GetProperty("threads").GetInt32(), Is.EqualTo(1));
        Assert.That(json.GetProperty("allocatedBytesPerRun").GetDouble(), Is.Zero);
    }

    [Test]
    public void InspectDescribes()
    {
        string model = _folder.DemoModel();
        JsonElement json = CommandRunner.Succeed("inspect", model, "--json").Json;
        Assert.That(json.GetProperty("inputs")[0].GetProperty("name").GetString(), Is.EqualTo("image"));
        Assert.That(json.GetProperty("inputs")[0].GetProperty("shape").GetRawText().Replace(" ", "").Replace("\n", ""), Does.EndWith(",3,32,32]"));
        Assert.That(json.GetProperty("operators").GetProperty("Conv").GetInt32(), Is.GreaterThan(3));
        Assert.That(json.GetProperty("fileBytes").GetInt64(), Is.EqualTo(new FileInfo(model).Length));
        Assert.That(json.GetProperty("unknownOperators").GetArrayLength(), Is.Zero);
        Assert.That(CommandRunner.Succeed("inspect", model, "--graph").Output, Does.StartWith("graph ").And.Contain("Conv(image"));
    }

    [Test]
    public void ExplainListsEveryOperatorOfThePlan()
    {
        JsonElement json = CommandRunner.Succeed("explain", _folder.DemoModel(), "--threads", "1", "--json").Json;
        JsonElement[] operators = [.. json.GetProperty("operators").EnumerateArray()];
        Assert.That(operators, Is.Not.Empty);
        Assert.That(operators.Select(op => op.GetProperty("kernel").GetString()), Is.All.Not.Empty);
        Assert.That(operators.Sum(op => op.GetProperty("multiplyAccumulates").GetInt64()), Is.GreaterThan(1_000_000));
        Assert.That(operators.All(op => op.GetProperty("origins").GetArrayLength() > 0));
        Assert.That(operators.All(op => op.GetProperty("rules").GetArrayLength() > 0 || op.GetProperty("why").GetString()!.Length > 0), "every operator says by which rule or why");
    }

    [Test]
    public void RunWritesWhatTheSessionGives()
    {
        string model = _folder.DemoModel();
        Tensor image = Tensor.Create([.. Enumerable.Range(0, 3072).Select(i => i % 256 / 255f)], 1, 3, 32, 32);
        NpyFile.Save(_folder["image.npy"], image);
        JsonElement json = CommandRunner.Succeed("run", model, "--input", $"image={_folder["image.npy"]}", "--output", _folder["out"], "--threads", "1", "--json").Json;
        string file = json.GetProperty("outputs").GetProperty("logits").GetProperty("file").GetString()!;
        var session = new Octet.Runtime.Execution.InferenceSession(Model.Load(model), new() { Threads = 1 });
        Tensor expected = session.Run(new Dictionary<string, Tensor> { ["image"] = image })["logits"];
        Assert.That(NpyFile.Load(file).Span<float>().ToArray(), Is.EqualTo(expected.Span<float>().ToArray()));

        byte[] rgb = [.. Enumerable.Range(0, 3072).Select(i => (byte)i)];
        _folder.Write("image.png", TemporaryFolder.Png(32, 32, rgb));
        CommandRunner.Succeed("run", model, "--input", $"image={_folder["image.png"]}", "--preprocess", _folder.DemoDataset(1), "--output", _folder["out2"], "--threads", "1");
        var planes = new float[3072];
        for (int p = 0; p < 1024; p++)
        {
            for (int c = 0; c < 3; c++) planes[c * 1024 + p] = rgb[3 * p + c] * 0.00392156862745098f;
        }
        expected = session.Run(new Dictionary<string, Tensor> { ["image"] = Tensor.Create(planes, 1, 3, 32, 32) })["logits"];
        Assert.That(NpyFile.Load(_folder["out2/logits.npy"]).Span<float>().ToArray(), Is.EqualTo(expected.Span<float>().ToArray()));
    }

    [Test]
    [Category("Slow")]
    public void DemoGoesTheWholeWay()
    {
        string output = _folder["demo.onnx"];
        JsonElement json = CommandRunner.Succeed("demo", "--samples", "200", "-o", output, "--threads", "1", "--json").Json;
        Assert.That(json.GetProperty("floatTop1").GetDouble(), Is.AtLeast(0.95));
        Assert.That(json.GetProperty("int8Top1").GetDouble(), Is.AtLeast(json.GetProperty("floatTop1").GetDouble() - 0.01));
        Assert.That(json.GetProperty("agreement").GetDouble(), Is.AtLeast(0.98));
        Assert.That(json.GetProperty("bytesAfter").GetInt64(), Is.EqualTo(new FileInfo(output).Length));
        JsonElement[] layers = [.. json.GetProperty("layers").EnumerateArray()];
        Assert.That(layers, Has.Length.GreaterThan(5));
        Assert.That(layers.Select(layer => layer.GetProperty("sqnrDb").GetDouble()), Is.All.GreaterThan(10));
    }

    [Test]
    [Category("Slow")]
    public void VerifyFindsEveryKernelExact()
    {
        JsonElement json = CommandRunner.Succeed("verify", "--threads", "2", "--json").Json;
        JsonElement[] kernels = [.. json.GetProperty("kernels").EnumerateArray()];
        Assert.That(kernels.Select(kernel => kernel.GetProperty("name").GetString()), Does.Contain("u8s8s32-4x8x4-scalar"));
        Assert.That(kernels.Select(kernel => kernel.GetProperty("mismatches").GetInt32()), Is.All.Zero);
        Assert.That(kernels.Select(kernel => kernel.GetProperty("cases").GetInt32()), Is.All.GreaterThan(5));
        string[] names = [.. kernels.Concat(json.GetProperty("skipped").EnumerateArray()).Select(kernel => kernel.GetProperty("name").GetString()!)];
        Assert.That(names, Is.Unique);
        foreach (string family in new[] { "u8s8s32-dw", "requantize-", "conv-u8s8s32", "winograd-2x2-", "winograd-4x4-", "f32-6x16", "f32-unary", "f32-binary", "f32-pool", "u8-pool", "quantize-", "byte-table", "u8-add-multiply", "f32-softmax", "f32-normalize", "f32-reduce", "f32-convolution" })
            Assert.That(names.Count(name => name.StartsWith(family, StringComparison.Ordinal)), Is.Positive, family);
    }

    private static string[] Keys(JsonElement element) => [.. element.EnumerateObject().Select(member => member.Name)];
}
