using Google.Protobuf;
using Octet.Runtime;
using Octet.Runtime.Onnx.Proto;
using Octet.Runtime.Tensors;
using static Octet.Tests.Runtime.Onnx.Protos;

namespace Octet.Tests.Runtime.Onnx;

/// <summary>Tensor data beside the model: read exactly, and from the model's own folder only.</summary>
[TestFixture]
internal sealed class ExternalDataTests
{
    private string _outside = "";
    private string _folder = "";

    [SetUp]
    public void MakeFolders()
    {
        _outside = Directory.CreateTempSubdirectory("octet-").FullName;
        _folder = Directory.CreateDirectory(Path.Combine(_outside, "model")).FullName;
        Directory.CreateDirectory(Path.Combine(_folder, "deeper"));
        File.WriteAllBytes(Path.Combine(_folder, "deeper", "w.bin"), [9, 9, 9, 9, 0, 0, 128, 63, 0, 0, 0, 64]);
        File.WriteAllBytes(Path.Combine(_outside, "secret.bin"), new byte[64]);
        File.WriteAllBytes(Path.Combine(_outside, "model-secret.bin"), new byte[64]);
        File.WriteAllBytes(Path.Combine(_folder, "empty.bin"), []);
    }

    [TearDown]
    public void RemoveFolders() => Directory.Delete(_outside, recursive: true);

    private static TensorProto External(string name, params (string Key, string Value)[] entries)
    {
        var tensor = new TensorProto { Name = name, DataType = (int)DataType.Float32, Dims = { 2 }, DataLocation = TensorProto.Types.DataLocation.External };
        foreach ((string key, string value) in entries) tensor.ExternalData.Add(new StringStringEntryProto { Key = key, Value = value });
        return tensor;
    }

    private Model Load(params TensorProto[] tensors)
    {
        GraphProto graph = Graph(["x"], ["y"], Node("Relu", ["x"], ["y"]));
        graph.Initializer.AddRange(tensors);
        string path = Path.Combine(_folder, "model.onnx");
        File.WriteAllBytes(path, Model(graph).ToByteArray());
        return Octet.Runtime.Model.Load(path);
    }

    private string Refusal(params TensorProto[] tensors) => Assert.Catch<ModelException>(() => Load(tensors))!.Message;

    [Test]
    public void DataAreReadFromTheirPlace()
    {
        Model model = Load(External("w", ("location", "deeper/w.bin"), ("offset", "4"), ("length", "8"), ("checksum", "any")),
            External("again", ("location", "deeper/w.bin"), ("offset", "4")));
        Assert.That(model.Graph.Find("w")!.Constant!.Span<float>().ToArray(), Is.EqualTo(new[] { 1f, 2f }));
        Assert.That(model.Graph.Find("again")!.Constant!.Span<float>().ToArray(), Is.EqualTo(new[] { 1f, 2f }));
    }

    [Test]
    public void LinkInsideTheFolderIsFollowed()
    {
        File.CreateSymbolicLink(Path.Combine(_folder, "link.bin"), "deeper/../deeper/w.bin");
        Assert.That(Load(External("w", ("location", "link.bin"), ("offset", "4"))).Graph.Find("w")!.Constant!.Span<float>()[1], Is.EqualTo(2f));
    }

    [Test]
    public void FolderReachedThroughALinkIsStillItsOwnFolder()
    {
        Load(External("w", ("location", "deeper/w.bin"), ("offset", "4")));
        Directory.CreateSymbolicLink(Path.Combine(_outside, "alias"), _folder);
        Assert.That(Octet.Runtime.Model.Load(Path.Combine(_outside, "alias", "model.onnx")).Graph.Find("w")!.Constant!.Span<float>()[1], Is.EqualTo(2f));
    }

    [TestCase("../secret.bin")]
    [TestCase("deeper/../../secret.bin")]
    [TestCase("..\\secret.bin")]
    [TestCase("/etc/passwd")]
    [TestCase("C:\\secret.bin")]
    [TestCase("\\\\server\\secret.bin")]
    [TestCase("a\0b")]
    public void PlaceOutsideTheFolderIsRefused(string location) =>
        Assert.That(Refusal(External("w", ("location", location))), Does.Contain("'w'").And.Contain("rule: the location is a relative path inside the model's folder"));

    [Test]
    public void LinkThatLeavesTheFolderIsRefused([Values] bool absolute, [Values] bool folder)
    {
        if (folder) Directory.CreateSymbolicLink(Path.Combine(_folder, "way"), absolute ? _outside : "..");
        else File.CreateSymbolicLink(Path.Combine(_folder, "way"), absolute ? Path.Combine(_outside, "secret.bin") : "../secret.bin");
        Assert.That(Refusal(External("w", ("location", folder ? "way/secret.bin" : "way"))), Does.Contain("leads out of the model's folder"));
    }

    [Test]
    public void FolderWhoseNameBeginsAlikeIsOutside()
    {
        File.CreateSymbolicLink(Path.Combine(_folder, "way"), "../model-secret.bin");
        Assert.That(Refusal(External("w", ("location", "way"))), Does.Contain("leads out of the model's folder"));
    }

    [Test]
    public void LinksInACircleAreRefused()
    {
        File.CreateSymbolicLink(Path.Combine(_folder, "a"), "b");
        File.CreateSymbolicLink(Path.Combine(_folder, "b"), "a");
        Assert.That(Refusal(External("w", ("location", "a"))), Does.Contain("symbolic links"));
    }

    [TestCase("8", null, "needs 8 bytes at 8")]
    [TestCase("9223372036854775807", null, "needs 8 bytes at 9223372036854775807")]
    [TestCase("-1", null, "offset '-1'")]
    [TestCase("x", null, "offset 'x'")]
    [TestCase("0", "4", "has length 4")]
    [TestCase("0", "18446744073709551616", "length '18446744073709551616'")]
    public void PlaceOutsideTheFileIsRefused(string offset, string? length, string message)
    {
        (string, string)[] entries = length is null ? [("location", "deeper/w.bin"), ("offset", offset)] : [("location", "deeper/w.bin"), ("offset", offset), ("length", length)];
        Assert.That(Refusal(External("w", entries)), Does.Contain(message).And.Contain("rule"));
    }

    [Test]
    public void OverlappingRangesAreRefused() => Assert.That(
        Refusal(External("v", ("location", "deeper/w.bin"), ("offset", "0")), External("w", ("location", "deeper/w.bin"), ("offset", "4"))), Does.Contain("'w' overlaps"));

    [TestCase("missing.bin", "does not exist")]
    [TestCase("deeper", "does not exist")]
    [TestCase("empty.bin", "empty or no ordinary file")]
    [TestCase("", "without a location")]
    public void FileThatIsNoneIsRefused(string location, string message) => Assert.That(Refusal(External("w", ("location", location))), Does.Contain(message));

    [Test]
    public void StreamHasNoFolder()
    {
        Load(External("w", ("location", "deeper/w.bin"), ("offset", "4")));
        using FileStream stream = File.OpenRead(Path.Combine(_folder, "model.onnx"));
        Assert.That(Assert.Catch<ModelException>(() => Octet.Runtime.Model.Load(stream))!.Message, Does.Contain("loaded by path"));
    }

    [Test]
    public void SavedModelHoldsItsData()
    {
        Model model = Load(External("w", ("location", "deeper/w.bin"), ("offset", "4"))).Reload(out ModelProto saved);
        Assert.That(saved.Graph.Initializer[0].ExternalData, Is.Empty);
        Assert.That(model.Graph.Find("w")!.Constant!.Span<float>().ToArray(), Is.EqualTo(new[] { 1f, 2f }));
    }
}
