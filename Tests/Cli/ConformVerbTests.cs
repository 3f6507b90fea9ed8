using System.Text.Json;
using Octet.Cli.CommandLine;
using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Onnx;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Cli;

/// <summary><c>octet conform</c> on cases made here: one right, one wrong in each way, one that Octet does not run.</summary>
internal sealed class ConformVerbTests
{
    private string _root = "";

    [SetUp]
    public void CreateFolder() => _root = Directory.CreateTempSubdirectory("octet-conform-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(_root, recursive: true);

    [Test]
    public void AllPassing()
    {
        Write("a/neg", "Neg", Tensor.Create<float>([-1, 2], 2));
        Write("b/neg", "Neg", Tensor.Create<float>([-1, 2.0001f], 2));   // within 1e-3
        (int code, JsonElement report) = Run();
        Assert.That(code, Is.Zero);
        Assert.That(Counts(report), Is.EqualTo((2, 0, 0)));
        Assert.That(Cases(report), Is.EqualTo(new[] { ("a/neg", "passed"), ("b/neg", "passed") }));
    }

    [Test]
    public void WrongValuesTypesAndShapesFail()
    {
        Write("value", "Neg", Tensor.Create<float>([-1, 2.01f], 2));
        Write("shape", "Neg", Tensor.Create<float>([-1, 2], 1, 2));
        Write("type", "Neg", Tensor.Create<double>([-1, 2], 2));
        Write("right", "Neg", Tensor.Create<float>([-1, 2], 2));
        (int code, JsonElement report) = Run();
        Assert.That(code, Is.EqualTo(1));
        Assert.That(Counts(report), Is.EqualTo((1, 3, 0)));
        string[] reasons = [.. report.GetProperty("cases").EnumerateArray().Select(one => one.GetProperty("reason").GetString()!)];
        Assert.That(reasons[0], Is.Empty);
        Assert.That(reasons[1], Does.Contain("float32[2], expected float32[1,2]"));
        Assert.That(reasons[2], Does.Contain("float32[2], expected float64[2]"));
        Assert.That(reasons[3], Does.Contain("1 of 2 elements differ"));
    }

    [Test]
    public void UnknownOperatorsAreUnsupportedAndDoNotFail()
    {
        Write("unknown", "NoSuchOperator", Tensor.Create<float>([-1, 2], 2));
        (int code, JsonElement report) = Run();
        Assert.That(code, Is.Zero);
        Assert.That(Counts(report), Is.EqualTo((0, 0, 1)));
        Assert.That(report.GetProperty("cases")[0].GetProperty("reason").GetString(), Does.Contain("NoSuchOperator"));
    }

    [TestCase("Adagrad", "ai.onnx.preview.training")]
    [TestCase("Normalizer", "ai.onnx.ml")]
    [TestCase("ImageDecoder", "")]
    public void TrainingClassicalLearningAndImageFilesAreUnsupported(string type, string domain)
    {
        Write("case", type, Tensor.Create<float>([-1, 2], 2), domain);
        (int code, JsonElement report) = Run();
        Assert.That(code, Is.Zero);
        Assert.That(Counts(report), Is.EqualTo((0, 0, 1)));
        Assert.That(report.GetProperty("cases")[0].GetProperty("reason").GetString(), Does.Contain(type));
    }

    [TestCase(DataType.Float8E4M3FN)]
    [TestCase(DataType.Float8E5M2)]
    [TestCase(DataType.Float4E2M1)]
    public void FloatsOfFewBitsAreUnsupported(DataType few)
    {
        string folder = Path.Combine(_root, "case"), set = Path.Combine(folder, "test_data_set_0");
        Directory.CreateDirectory(set);
        var g = new TestGraph(23);
        Value x = g.Input("x", 2);
        g.Output(g.Node("Cast", [g.Node("Cast", [x], new AttributeMap { ["to"] = (long)few })], new AttributeMap { ["to"] = 1L }), "y");
        new Model(g.Graph).Save(Path.Combine(folder, "model.onnx"));
        TensorFile.Save(Path.Combine(set, "input_0.pb"), Tensor.Create<float>([1, -2], 2), "x");
        TensorFile.Save(Path.Combine(set, "output_0.pb"), Tensor.Create<float>([1, -2], 2), "y");
        (int code, JsonElement report) = Run();
        Assert.That(code, Is.Zero);
        Assert.That(Counts(report), Is.EqualTo((0, 0, 1)), report.ToString());
    }

    [Test]
    public void BrokenFilesFailWithTheirError()
    {
        Write("broken", "Neg", Tensor.Create<float>([-1, 2], 2));
        File.WriteAllBytes(Path.Combine(_root, "broken", "model.onnx"), [1, 2, 3]);
        (int code, JsonElement report) = Run();
        Assert.That(code, Is.EqualTo(1));
        Assert.That(Counts(report), Is.EqualTo((0, 1, 0)));
    }

    [TestCase("--rtol", "0.004", 1)]
    [TestCase("--rtol", "0.006", 0)]
    [TestCase("--atol", "0.009", 1)]
    [TestCase("--atol", "0.011", 0)]
    [TestCase("--of-largest", "0.004", 1)]
    [TestCase("--of-largest", "0.006", 0)]
    public void TolerancesMayBeGiven(string option, string value, int expected)
    {
        Write("a", "Neg", Tensor.Create<float>([-1, 2.01f], 2));   // the second element is 0.01 off
        Assert.That(OctetCommand.Run(["conform", _root, "--timeout", "10", option, value], TextWriter.Null, TextWriter.Null), Is.EqualTo(expected));
    }

    [Test]
    public void TheLargestElementBoundsAllOthers()
    {
        Write("a", "Neg", Tensor.Create<float>([-1.009f, 2], 2));
        Assert.That(OctetCommand.Run(["conform", _root, "--timeout", "10", "--of-largest", "0.005"], TextWriter.Null, TextWriter.Null), Is.Zero);
        Assert.That(OctetCommand.Run(["conform", _root, "--timeout", "10", "--rtol", "0.005"], TextWriter.Null, TextWriter.Null), Is.EqualTo(1));
        Assert.That(OctetCommand.Run(["conform", _root, "--timeout", "10", "--rtol", "-1"], TextWriter.Null, TextWriter.Null), Is.EqualTo(2));
    }

    [Test]
    public void NothingToRunIsAnErrorOfItsOwn() => Assert.That(OctetCommand.Run(["conform", _root, "--json", "--timeout", "10"], TextWriter.Null, TextWriter.Null), Is.EqualTo(2));

    [Test]
    public void TableListsOnlyWhatDidNotPass()
    {
        Write("right", "Neg", Tensor.Create<float>([-1, 2], 2));
        Write("wrong", "Neg", Tensor.Create<float>([1, 2], 2));
        var output = new StringWriter();
        Assert.That(OctetCommand.Run(["conform", _root, "--timeout", "10"], output, TextWriter.Null), Is.EqualTo(1));
        Assert.That(output.ToString(), Does.Contain("wrong").And.Contain("1 passed, 1 failed, 0 unsupported, 2 cases").And.Not.Contain("right"));
    }

    private (int Code, JsonElement Report) Run()
    {
        var output = new StringWriter();
        int code = OctetCommand.Run(["conform", _root, "--json", "--timeout", "10"], output, TextWriter.Null);
        return (code, JsonDocument.Parse(output.ToString()).RootElement);
    }

    private static (int, int, int) Counts(JsonElement report) =>
        (report.GetProperty("passed").GetInt32(), report.GetProperty("failed").GetInt32(), report.GetProperty("unsupported").GetInt32());

    private static (string, string)[] Cases(JsonElement report) =>
        [.. report.GetProperty("cases").EnumerateArray().Select(one => (one.GetProperty("case").GetString()!, one.GetProperty("result").GetString()!))];

    /// <summary>A case of one node on [1, −2].</summary>
    private void Write(string name, string type, Tensor expected, string domain = "")
    {
        string folder = Path.Combine(_root, name), set = Path.Combine(folder, "test_data_set_0");
        Directory.CreateDirectory(set);
        var g = new TestGraph();
        Value x = g.Input("x", 2);
        if (domain.Length > 0) g.Graph.Opsets.Set(domain, 1);
        g.Output(g.Editor.Add(type, [x], domain: domain, outputType: x.Type), "y");
        new Model(g.Graph).Save(Path.Combine(folder, "model.onnx"));
        TensorFile.Save(Path.Combine(set, "input_0.pb"), Tensor.Create<float>([1, -2], 2), "x");
        TensorFile.Save(Path.Combine(set, "output_0.pb"), expected, "y");
    }
}
