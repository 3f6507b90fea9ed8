using Google.Protobuf;
using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Onnx;
using Octet.Runtime.Onnx.Proto;
using Octet.Runtime.Tensors;
using Octet.Tests.Cli;
using static Octet.Tests.Runtime.Onnx.Protos;

namespace Octet.Tests.Runtime.Onnx;

/// <summary>Files whose large weights are left in them: the same models as from memory, whatever happens to the file.</summary>
[TestFixture]
internal sealed class OutlineTests
{
    private const int Elements = 10_000;

    private readonly TemporaryFolder _folder = new();

    [OneTimeTearDown]
    public void Remove() => _folder.Dispose();

    private static TensorProto Raw(string name, int elements, int seed = 1)
    {
        var bytes = new byte[4 * elements];
        new Random(seed).NextBytes(bytes);
        return new TensorProto { Name = name, DataType = (int)DataType.Float32, Dims = { elements }, RawData = ByteString.CopyFrom(bytes) };
    }

    private static ModelProto WithWeights(params TensorProto[] tensors)
    {
        GraphProto graph = Graph(["x"], ["y"], Node("Add", ["x", "w"], ["y"]));
        graph.Initializer.AddRange(tensors);
        return Model(graph);
    }

    private static byte[] Weights(Model model, string name = "w") => model.Graph.Find(name)!.Constant!.Bytes.ToArray();

    [Test]
    public void WeightsAreThoseOfTheFile()
    {
        byte[] file = WithWeights(Raw("w", Elements), Raw("small", 3), Floats("typed", 1, 2)).ToByteArray();
        Model model = Octet.Runtime.Model.Load(_folder.Write("weights.onnx", file)), whole = Octet.Runtime.Model.Load(file);
        foreach (string name in new[] { "w", "small", "typed" }) Assert.That(Weights(model, name), Is.EqualTo(Weights(whole, name)), name);
        Assert.That(GraphPrinter.Print(model.Graph), Is.EqualTo(GraphPrinter.Print(whole.Graph)));
    }

    [Test]
    public void LoadingDoesNotBringWeightsIntoMemory()
    {
        string path = _folder.Write("lazy.onnx", WithWeights(Raw("w", 4_000_000)).ToByteArray());
        Octet.Runtime.Model.Load(path);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Tensor w = Octet.Runtime.Model.Load(path).Graph.Find("w")!.Constant!;
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1 << 20));
        using (BorrowedBytes moment = w.Borrow()) Assert.That(moment.Span.Length, Is.EqualTo(w.ByteLength));
        Assert.That(w.Reshape(2000, 2000).Bytes.Span.SequenceEqual(w.Bytes.Span));
        Assert.That(w.Bytes.Equals(w.Bytes), "asked for twice, they are the same memory");
    }

    [Test]
    public void FileMayBeReplacedOrDeleted()
    {
        string path = _folder.Write("replaced.onnx", WithWeights(Raw("w", Elements)).ToByteArray());
        byte[] expected = Raw("w", Elements).RawData.ToByteArray();
        Model first = Octet.Runtime.Model.Load(path), second = Octet.Runtime.Model.Load(path), third = Octet.Runtime.Model.Load(path);
        first.Save(path);
        Assert.That(Weights(second), Is.EqualTo(expected), "a saved file takes the place of the other");
        Assert.That(Weights(Octet.Runtime.Model.Load(path)), Is.EqualTo(expected));
        File.Delete(path);
        Assert.That(Weights(third), Is.EqualTo(expected), "an open file lives on");
    }

    [Test]
    public void FileThatIsWrittenOverIsNoticed([Values] bool shorter)
    {
        string path = _folder.Write("changed.onnx", WithWeights(Raw("w", Elements)).ToByteArray());
        Model model = Octet.Runtime.Model.Load(path);
        using (var stream = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete))
        {
            if (shorter) stream.SetLength(1000);
            else stream.WriteByte(0);
        }
        File.SetLastWriteTimeUtc(path, DateTime.UtcNow.AddMinutes(1));
        Assert.That(Assert.Catch<ModelException>(() => Weights(model))!.Message, Does.Contain("has changed").And.Contain(path));
    }

    /// <summary>Messages that protobuf allows but nobody writes are read whole.</summary>
    [Test]
    public void OddFilesMeanTheSame([Values("two graphs", "raw data twice", "small raw data first", "typed and raw", "wrong length", "packed", "bool", "string")] string kind)
    {
        byte[] plain = WithWeights(Raw("w", Elements)).ToByteArray();
        byte[] file = kind switch
        {
            "two graphs" => [.. plain, .. new ModelProto { Graph = new GraphProto { DocString = "again", Initializer = { Raw("v", 9) } } }.ToByteArray()],
            "raw data twice" => WithTensor([.. Raw("w", Elements, 3).ToByteArray(), .. new TensorProto { RawData = Raw("", Elements, 4).RawData }.ToByteArray()]),
            "small raw data first" => WithTensor([.. new TensorProto { RawData = ByteString.CopyFrom(1, 2) }.ToByteArray(), .. Raw("w", Elements).ToByteArray()]),
            "typed and raw" => WithTensor([.. Raw("w", Elements).ToByteArray(), .. Floats("", 1).ToByteArray()]),
            "wrong length" => WithTensor([.. Raw("w", Elements).ToByteArray(), .. new TensorProto { Dims = { 2 } }.ToByteArray()]),
            "packed" => WithWeights(new TensorProto { Name = "w", DataType = (int)DataType.Int4, Dims = { 8 * Elements }, RawData = Raw("", Elements).RawData }).ToByteArray(),
            "bool" => WithWeights(new TensorProto { Name = "w", DataType = (int)DataType.Bool, Dims = { 4 * Elements }, RawData = Raw("", Elements).RawData }).ToByteArray(),
            _ => WithWeights(new TensorProto { Name = "w", DataType = (int)DataType.String, Dims = { 4 * Elements }, RawData = Raw("", Elements).RawData }).ToByteArray(),
        };
        AssertSame(file, _folder.Write("odd.onnx", file), OutlineReader.LargeBytes, kind);
    }

    [Test]
    public void MutatedFilesMeanTheSame()
    {
        var random = new Random(7);
        byte[] seed = WithWeights(Raw("w", 40), Raw("v", 3), Floats("typed", 1, 2, 3)).ToByteArray();
        string path = _folder["mutated.onnx"];
        for (int i = 0; i < 400; i++)
        {
            byte[] file = i % 2 == 0 ? HostileFileTests.MutateFields(seed, random) : (byte[])seed.Clone();
            if (i % 2 == 1) file[random.Next(file.Length)] = (byte)random.Next(256);
            if (random.Next(4) == 0) file = file[..random.Next(file.Length)];
            File.WriteAllBytes(path, file);
            AssertSame(file, path, largeBytes: 8, $"file {i}: {Convert.ToBase64String(file)}");
        }
    }

    private static byte[] WithTensor(byte[] tensor)
    {
        byte[] graph = [.. WithWeights().Graph.ToByteArray(), .. Field(5, tensor)];
        ModelProto model = WithWeights();
        model.Graph = null;
        return [.. model.ToByteArray(), .. Field(7, graph)];

        static byte[] Field(int number, byte[] content)
        {
            using var bytes = new MemoryStream();
            using (var output = new CodedOutputStream(bytes, leaveOpen: true))
            {
                output.WriteTag(number, WireFormat.WireType.LengthDelimited);
                output.WriteBytes(UnsafeByteOperations.UnsafeWrap(content));
            }
            return bytes.ToArray();
        }
    }

    private static void AssertSame(byte[] file, string path, int largeBytes, string what)
    {
        (string? graph, string? refusal) = Try(() => Octet.Runtime.Model.Load(file));
        (string? fromFile, string? refusalOfFile) = Try(() => OnnxImporter.Import(File.OpenHandle(path), "model from memory", Path.GetDirectoryName(path)!, largeBytes));
        Assert.That(refusalOfFile, Is.EqualTo(refusal), what);
        Assert.That(fromFile, Is.EqualTo(graph), what);
    }

    /// <summary>The model as text with all its constants, or why it is none.</summary>
    private static (string? Graph, string? Refusal) Try(Func<Model> load)
    {
        try
        {
            Graph graph = load().Graph;
            IEnumerable<string> constants = graph.Values.Where(value => value.Constant is { Type: not DataType.String }).Select(value => $"{value.Name} {Convert.ToHexString(value.Constant!.Bytes.Span)}");
            return (GraphPrinter.Print(graph) + string.Join("\n", constants), null);
        }
        catch (ModelException e)
        {
            // Data in other files are allowed beside a file only; protobuf counts the depth of messages from where it starts.
            return (null, e.Message.Contains("another file") || e.Message.Contains("external data") || e.Message.Contains("its data in") ? "external" : e.Message);
        }
    }
}
