using System.Text.Json;
using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Cli;

/// <summary>Bad input ends in exit code 1 or 2 and one message with what, facts and rule; a file that was there stays.</summary>
[TestFixture]
internal sealed class BadInputTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void DeleteFolder() => _folder.Dispose();

    [TestCase("")]
    [TestCase("fly")]
    [TestCase("eval")]
    [TestCase("eval model.onnx")]
    [TestCase("eval model.onnx --data d.json --limit 0")]
    [TestCase("eval model.onnx --data d.json --limit many")]
    [TestCase("eval model.onnx --data d.json --treads 1")]
    [TestCase("bench model.onnx --threads -1")]
    [TestCase("bench model.onnx --shape image")]
    [TestCase("bench model.onnx --shape image=1xax3")]
    [TestCase("bench model.onnx --shape picture=1x3x32x32")]
    [TestCase("bench model.onnx --shape image=1x3x32")]
    [TestCase("quantize model.onnx -o out.onnx")]
    [TestCase("quantize model.onnx -o out.onnx --data d.json --calibration guess")]
    [TestCase("quantize model.onnx -o out.onnx --data d.json --type int7")]
    [TestCase("quantize model.onnx -o model.onnx --data d.json")]
    [TestCase("run model.onnx --input image")]
    public void ACommandLineThatIsWrongIsExitCode2(string line)
    {
        string model = _folder.DemoModel();
        string[] args = [.. line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(word => word == "model.onnx" ? model : word)];
        CommandResult result = CommandRunner.Run(args);
        Assert.That(result.ExitCode, Is.EqualTo(2), result.Error + result.Output);
        Assert.That(result.Output, Is.Empty);
        Assert.That(result.Error, Does.StartWith("octet").And.Contain("rule: "));
        CommandResult json = CommandRunner.Run([.. args, "--json"]);
        Assert.That(json.ExitCode, Is.EqualTo(2));
        Assert.That(json.Json.GetProperty("error").GetProperty("kind").GetString(), Is.EqualTo("usage"));
    }

    [TestCase("inspect")]
    [TestCase("explain")]
    [TestCase("bench")]
    public void AModelThatIsMissingTruncatedOrRandomIsExitCode1(string verb)
    {
        byte[] whole = File.ReadAllBytes(_folder.DemoModel());
        var random = new byte[5000];
        new Random(1).NextBytes(random);
        foreach (string path in new[] { _folder["missing.onnx"], _folder.Write("cut.onnx", whole[..(whole.Length / 3)]), _folder.Write("random.onnx", random), _folder.Write("empty.onnx", []), _folder.Path })
            Fails("model", path, verb, path);
    }

    [Test]
    public void AnUnknownOperatorCanBeInspectedButNotRun()
    {
        string path = Unknown();
        JsonElement json = CommandRunner.Succeed("inspect", path, "--json").Json;
        Assert.That(json.GetProperty("unknownOperators")[0].GetString(), Is.EqualTo("Frobnicate"));
        Fails("model", "Frobnicate", "bench", path);
        Fails("model", "Frobnicate", "explain", path);
    }

    [Test]
    public void InputsThatDoNotFitAreExitCode1()
    {
        string model = _folder.DemoModel();
        NpyFile.Save(_folder["good.npy"], new Tensor(DataType.Float32, [1, 3, 32, 32]));
        NpyFile.Save(_folder["shape.npy"], new Tensor(DataType.Float32, [1, 3, 32, 31]));
        NpyFile.Save(_folder["type.npy"], new Tensor(DataType.Int64, [1, 3, 32, 32]));
        _folder.Write("broken.npy", new byte[20]);
        _folder.Write("image.png", TemporaryFolder.Png(4, 4, new byte[48]));
        Fails("data", "'picture'", "run", model, "--input", $"picture={_folder["good.npy"]}");
        Fails("data", "'image'", "run", model);
        Fails("data", "[1,3,32,31]", "run", model, "--input", $"image={_folder["shape.npy"]}");
        Fails("data", "int64", "run", model, "--input", $"image={_folder["type.npy"]}");
        Fails("data", "broken.npy", "run", model, "--input", $"image={_folder["broken.npy"]}");
        Fails("data", "missing.npy", "run", model, "--input", $"image={_folder["missing.npy"]}");
        Fails("data", ".txt", "run", model, "--input", $"image={_folder["notes.txt"]}");
        Fails("data", "[1,3,4,4]", "run", model, "--input", $"image={_folder["image.png"]}");
    }

    [Test]
    public void ADatasetThatDoesNotFitIsExitCode1()
    {
        string model = _folder.DemoModel();
        Fails("data", "missing.json", "eval", model, "--data", _folder["missing.json"]);
        _folder.Write("images", TemporaryFolder.Idx(0x803, [1, 2, 2], [1, 2, 3, 4]));
        _folder.Write("labels", TemporaryFolder.Idx(0x801, [1], [1]));
        string gray = _folder.Write("gray.json", """{ "format": "octet-dataset/1", "task": "classification", "source": { "kind": "idx", "images": "images", "labels": "labels" } }""");
        Fails("data", "[1,1,2,2]", "eval", model, "--data", gray);
        string data = _folder.DemoDataset(1);
        byte[] records = File.ReadAllBytes(_folder["shapes.bin"]);
        records[0] = 10;
        File.WriteAllBytes(_folder["shapes.bin"], records);
        Fails("data", "label is 10", "eval", model, "--data", data);
        string output = _folder.Write("output.json", """{ "format": "octet-dataset/1", "task": "classification", "source": { "kind": "cifar", "path": "shapes.bin" }, "output": "scores" }""");
        Fails("data", "'scores'", "eval", model, "--data", output);
    }

    [Test]
    public void AFailedQuantizationLeavesWhatWasThere()
    {
        string model = _folder.DemoModel(), data = _folder.DemoDataset(2), output = _folder.Write("out.onnx", "precious");
        string[] before = _folder.Names;
        Fails("data", "nothing", "quantize", model, "-o", output, "--data", data, "--calibration", "naive", "--exclude", "nothing-like-this");
        Fails("data", "missing.json", "quantize", model, "-o", output, "--data", _folder["missing.json"]);
        Fails("model", "random.onnx", "quantize", _folder.Write("random.onnx", [1, 2, 3]), "-o", output, "--data", data);
        Fails("data", "no-folder", "quantize", model, "-o", _folder["no-folder/out.onnx"], "--data", data);
        File.Delete(_folder["random.onnx"]);
        Assert.That(File.ReadAllText(output), Is.EqualTo("precious"));
        Assert.That(_folder.Names, Is.EqualTo(before), "no temporary file stays");
    }

    [Test]
    public void AWriteThatFailsHalfWayLeavesWhatWasThere()
    {
        string path = _folder.Write("out.onnx", "precious");
        Assert.Throws<IOException>(() => AtomicFile.Write(path, stream =>
        {
            stream.Write(new byte[1000]);
            throw new IOException("the disk is full");
        }));
        Assert.That(File.ReadAllText(path), Is.EqualTo("precious"));
        Assert.That(_folder.Names, Is.EqualTo(new[] { "out.onnx" }));
    }

    private static void Fails(string kind, string named, params string[] args)
    {
        CommandResult result = CommandRunner.Run(args);
        Assert.That(result.ExitCode, Is.EqualTo(1), result.Error + result.Output);
        Assert.That(result.Output, Is.Empty);
        Assert.That(result.Error, Does.StartWith($"octet {args[0]}: ").And.Contain(named).And.Contain("rule: "));
        CommandResult json = CommandRunner.Run([.. args, "--json"]);
        Assert.That(json.ExitCode, Is.EqualTo(1));
        JsonElement error = json.Json.GetProperty("error");
        Assert.That(error.GetProperty("kind").GetString(), Is.EqualTo(kind));
        Assert.That(error.GetProperty("message").GetString(), Does.Contain(named));
    }

    private string Unknown()
    {
        var graph = new TestGraph();
        Value y = graph.Node("Frobnicate", [graph.Input("x", 1, 2)]);
        graph.Editor.SetType(y, new TensorType(DataType.Float32, [1, 2]));
        graph.Output(y);
        new Model(graph.Graph).Save(_folder["unknown.onnx"]);
        return _folder["unknown.onnx"];
    }
}
