using System.Collections;
using System.Diagnostics;
using System.Text;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Onnx;
using Octet.Runtime.Onnx.Proto;
using Octet.Runtime.Tensors;
using static Octet.Tests.Runtime.Onnx.Protos;
using AttributeType = Octet.Runtime.Onnx.Proto.AttributeProto.Types.AttributeType;

namespace Octet.Tests.Runtime.Onnx;

/// <summary>Files that are no models: one kind of error, which says what and why, and no more memory or time than the file's size justifies.</summary>
[TestFixture]
internal sealed class HostileFileTests
{
    private static IEnumerable<TestCaseData> Broken()
    {
        NodeProto relu = Node("Relu", ["x"], ["y"]);
        yield return Case("no graph", new ModelProto { IrVersion = 8 }, "no graph");
        yield return Case("opset 0", With(model => model.OpsetImport[0].Version = 0), "imports version 0");
        yield return Case("opset beyond int", With(model => model.OpsetImport[0].Version = 1L << 40), "imports version");
        yield return Case("two opsets", With(model => model.OpsetImport.Add(new OperatorSetIdProto { Domain = "ai.onnx", Version = 7 })), "version 7");
        yield return Case("negative format", With(model => model.IrVersion = -1), "format version is -1");
        yield return Case("no operator type", Model(Graph(["x"], ["y"], Node("", ["x"], ["y"]))), "no operator type");
        yield return Case("unmade input", Model(Graph(["x"], ["y"], Node("Relu", ["z"], ["y"]))), "Relu 'y' reads 'z', which nobody makes");
        yield return Case("unmade output", Model(Graph(["x"], ["y", "z"], relu)), "output 'z'");
        yield return Case("output twice", Model(Graph(["x"], ["y", "y"], relu)), "two outputs 'y'");
        yield return Case("input twice", Model(Graph(["x", "x"], ["y"], relu)), "'x' is made twice");
        yield return Case("value twice", Model(Graph(["x"], ["y"], relu, relu.Clone())), "'y' is made twice");
        yield return Case("node makes an input", Model(Graph(["x"], ["x"], Node("Relu", ["x"], ["x"]))), "'x' is made twice");
        yield return Case("input without a name", Model(Graph([""], ["y"], Node("Relu", [], ["y"]))), "no name");
        yield return Case("initializer twice", With(model => model.Graph.Initializer.AddRange([Floats("w", 1), Floats("w", 1)])), "two initializers 'w'");
        yield return Case("initializer without a name", With(model => model.Graph.Initializer.Add(Floats("", 1))), "no name");
        yield return Case("initializer of another type", With(model =>
        {
            model.Graph.Input.Add(Info("w", DataType.Int8));
            model.Graph.Initializer.Add(Floats("w", 1));
        }), "input 'w' is declared int8");
        yield return Case("broken initializer", With(model => model.Graph.Initializer.Add(new TensorProto { Name = "w", DataType = 1, Dims = { -3 } })), "initializer 'w' has extent -3");
        yield return Case("cycle", Model(Graph(["x"], ["y"], Node("Add", ["x", "b"], ["a"]), Node("Relu", ["a"], ["b"]), Node("Neg", ["b"], ["y"]))), "no cycles");
        yield return Case("node reads itself", Model(Graph(["x"], ["y"], Node("Add", ["x", "y"], ["y"]))), "no cycles");
        yield return Case("cycle through a subgraph", Model(Graph(["x"], ["y"],
            Node("If", ["x"], ["y"], Attribute("then_branch", Graph([], ["z"], Node("Neg", ["y"], ["z"])))))), "no cycles");
        yield return Case("element type of a value", With(model => model.Graph.ValueInfo.Add(Info("x", (DataType)77))), "element type 77");
        yield return Case("extent of a value", With(model => model.Graph.ValueInfo.Add(Info("x", DataType.Float32, 1L << 40))), "extent 1099511627776");
        yield return Case("axes of a value", With(model => model.Graph.ValueInfo.Add(Info("x", DataType.Float32, [.. Enumerable.Repeat(1L, 65)]))), "65 axes");
        yield return Case("attribute twice", Model(Graph(["x"], ["y"], Node("Relu", ["x"], ["y"], Attribute("a", 1), Attribute("a", 2)))), "two attributes 'a'");
        yield return Case("attribute without a name", Model(Graph(["x"], ["y"], Node("Relu", ["x"], ["y"], Attribute("", 1)))), "attribute without a name");
        yield return Case("attribute of no kind", Model(Graph(["x"], ["y"], Node("Relu", ["x"], ["y"], new AttributeProto { Name = "a" }))), "neither a kind nor a value");
        yield return Case("attribute of unknown kind", Model(Graph(["x"], ["y"], Node("Relu", ["x"], ["y"], new AttributeProto { Name = "a", Type = (AttributeType)99 }))), "kind 99");
        yield return Case("attribute without its tensor", Model(Graph(["x"], ["y"], Node("Relu", ["x"], ["y"], new AttributeProto { Name = "a", Type = AttributeType.Tensor }))), "it is a tensor");
        yield return Case("attribute text", Model(Graph(["x"], ["y"], Node("Relu", ["x"], ["y"], new AttributeProto { Name = "a", Type = AttributeType.String, S = ByteString.CopyFrom(0xc0) }))), "not UTF-8");
        yield return Case("reference outside a function", Model(Graph(["x"], ["y"], Node("Relu", ["x"], ["y"], Reference("a", "b", AttributeType.Int)))), "outside a function");
        yield return Case("constant without a value", Model(Graph(["x"], ["y"], Node("Constant", [], ["y"]))), "has 0 values");
        yield return Case("constant with two values", Model(Graph(["x"], ["y"], Node("Constant", [], ["y"], Attribute("value", Floats("", 1)), Attribute("value_int", 1)))), "has 2 values");
        yield return Case("constant with another attribute", Model(Graph(["x"], ["y"], Node("Constant", [], ["y"], Attribute("axis", 1)))), "'axis' is not known");
        yield return Case("constant with an input", Model(Graph(["x"], ["y"], Node("Constant", ["x"], ["y"], Attribute("value_int", 1)))), "1 inputs");
        NodeProto ours = Node("QConv", ["x"], ["y"]);
        ours.Domain = "octet";
        yield return Case("Octet's own domain", Model(Graph(["x"], ["y"], ours)), "domain 'octet'");
        yield return Case("function twice", Model(Graph(["x"], ["y"], relu), Function("f", [], []), Function("f", [], [])), "two functions");
        yield return Case("function calls itself", Model(Graph(["x"], ["y"], Call("f", ["x"], ["y"])),
            Function("f", ["p"], ["r"], Call("g", ["p"], ["r"])), Function("g", ["p"], ["r"], Call("f", ["p"], ["r"]))), "do not recur");
        yield return Case("function with too many inputs", Model(Graph(["x"], ["y"], Call("f", ["x", "x"], ["y"])), Function("f", ["p"], ["r"], Node("Relu", ["p"], ["r"]))), "has at most 1 and 1");
        yield return Case("function without its output", Model(Graph(["x"], ["y"], Call("f", ["x"], ["y"])), Function("f", ["p"], ["r"])), "wants 'r'");
        yield return Case("function makes a value twice", Model(Graph(["x"], ["y"], Call("f", ["x"], ["y"])), Function("f", ["p"], ["r"], Node("Relu", ["p"], ["r"]), Node("Relu", ["p"], ["r"]))), "'r' is made twice");
        yield return Case("function of another opset", Model(Graph(["x"], ["y"], Call("f", ["x"], ["y"])), OpsetOf(Function("f", ["p"], ["r"], Node("Relu", ["p"], ["r"])), 7)), "version 7");

        static TestCaseData Case(string name, ModelProto model, string message) => new TestCaseData(model, message).SetArgDisplayNames(name);
        static ModelProto With(Action<ModelProto> change)
        {
            ModelProto model = Model(Graph(["x"], ["y"], Node("Relu", ["x"], ["y"])));
            change(model);
            return model;
        }
        static FunctionProto OpsetOf(FunctionProto function, int version)
        {
            function.OpsetImport.Add(new OperatorSetIdProto { Version = version });
            return function;
        }
    }

    [TestCaseSource(nameof(Broken))]
    public void BrokenModelIsRefusedWithItsReason(object model, string message) =>
        Assert.That(((ModelProto)model).Refusal(), Does.StartWith("model from memory: ").And.Contain(message).And.Match("; (rule|what works)"));

    [Test]
    public void MessageNamesTheFile()
    {
        string path = Path.Combine(Path.GetTempPath(), $"octet-{Guid.NewGuid():N}.onnx");
        Assert.That(Assert.Catch<ModelException>(() => Octet.Runtime.Model.Load(path))!.Message, Does.Contain(path));
        Assert.That(Assert.Catch<ModelException>(() => Octet.Runtime.Model.Load(Path.GetTempPath()))!.Message, Does.Contain("cannot be read"));
        File.WriteAllText(path, "this is no model");
        try
        {
            Assert.That(Assert.Catch<ModelException>(() => Octet.Runtime.Model.Load(path))!.Message, Does.StartWith($"model '{path}': 16 bytes are not a ModelProto"));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Test]
    public void EmptyFileIsRefused() => Assert.That(Assert.Catch<ModelException>(() => Octet.Runtime.Model.Load(Array.Empty<byte>()))!.Message, Does.Contain("no graph"));

    [Test]
    public void NameThatIsNotUtf8IsRefused()
    {
        byte[] file = Model(Graph(["x"], ["y"], Node("Relu", ["x"], ["y"]))).ToByteArray();
        int at = file.AsSpan().IndexOf("Relu"u8);
        file[at] = 0xff;
        Assert.That(Assert.Catch<ModelException>(() => Octet.Runtime.Model.Load(file))!.Message, Does.Contain("rule"));
    }

    [Test]
    public void EveryTruncationIsRefusedOrWhole()
    {
        byte[] file = SmallModel();
        for (int length = 0; length < file.Length; length++) LoadOrRefuse(file[..length], "truncation");
    }

    [TestCase(OnnxImporter.MaxDepth, true)]
    [TestCase(OnnxImporter.MaxDepth + 1, false)]
    [TestCase(33, false)]
    [TestCase(2000, false)]
    public void SubgraphsNestToALimit(int depth, bool legal)
    {
        ByteString graph = Graph([], ["y"], Node("Neg", ["x"], ["y"])).ToByteString();
        // Messages this deep are put together as bytes: field 6 (g) of an attribute of a node of a graph.
        for (int i = 1; i < depth; i++)
        {
            byte[] attribute = [.. new AttributeProto { Name = "b", Type = AttributeType.Graph }.ToByteArray(), .. Field(6, graph.ToByteArray())];
            byte[] node = [.. Node("If", [], ["y"]).ToByteArray(), .. Field(5, attribute)];
            graph = ByteString.CopyFrom([.. Graph([], ["y"]).ToByteArray(), .. Field(1, node)]);
        }
        byte[] outerAttribute = [.. new AttributeProto { Name = "b", Type = AttributeType.Graph }.ToByteArray(), .. Field(6, graph.ToByteArray())];
        byte[] outer = [.. Node("If", [], ["y"]).ToByteArray(), .. Field(5, outerAttribute)];
        byte[] file = [.. new ModelProto { IrVersion = 8 }.ToByteArray(), .. Field(7, [.. Graph(["x"], ["y"]).ToByteArray(), .. Field(1, outer)])];
        if (legal) Assert.That(Octet.Runtime.Model.Load(file).Graph.AllNodes().Count(), Is.EqualTo(depth + 1));
        else Assert.That(Assert.Catch<ModelException>(() => Octet.Runtime.Model.Load(file))!.Message, Does.Contain("nested").Or.Contain("not a ModelProto"));

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

    [Test]
    public void FunctionsThatMultiplyAreStopped()
    {
        // f0 calls f1 twice, f1 calls f2 twice, …: 2^40 nodes from two kilobytes.
        FunctionProto[] functions = [.. Enumerable.Range(0, 40).Select(i => i < 39
            ? Function($"f{i}", ["p"], ["r"], Call($"f{i + 1}", ["p"], ["t"]), Call($"f{i + 1}", ["t"], ["r"]))
            : Function($"f{i}", ["p"], ["r"], Node("Relu", ["p"], ["r"])))];
        string refusal = Model(Graph(["x"], ["y"], Call("f0", ["x"], ["y"])), functions).Refusal();
        Assert.That(refusal, Does.Contain("expands to at most"));
    }

    [Test]
    public void SmallFileTakesLittleMemory([Values("sparse", "external", "typed")] string kind)
    {
        GraphProto graph = Graph(["x"], ["y"], Node("Relu", ["x"], ["y"]));
        var huge = new TensorProto { Name = "w", DataType = (int)DataType.UInt8, Dims = { 1_500_000_000 } };
        if (kind == "sparse")
        {
            var none = new TensorProto { DataType = (int)DataType.Int64, Dims = { 0 } };
            graph.SparseInitializer.Add(new SparseTensorProto { Values = new TensorProto { Name = "w", DataType = 1, Dims = { 0 } }, Indices = none, Dims = { 300_000_000 } });
        }
        else
        {
            if (kind == "external") huge.DataLocation = TensorProto.Types.DataLocation.External;
            graph.Initializer.Add(huge);
        }
        byte[] file = Model(graph).ToByteArray();
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Catch<ModelException>(() => Octet.Runtime.Model.Load(file));
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(4 << 20));
    }

    [Test]
    public void LargeGraphsTakeLinearTime([Values("chain", "fan", "inputs", "subgraphs", "backwards")] string shape)
    {
        const int count = 50_000;
        GraphProto graph = shape switch
        {
            "chain" => Graph(["n0"], [$"n{count}"], [.. Enumerable.Range(0, count).Select(i => Node("Relu", [$"n{i}"], [$"n{i + 1}"]))]),
            "backwards" => Graph(["n0"], [$"n{count}"], [.. Enumerable.Range(0, count).Select(i => count - 1 - i).Select(i => Node("Relu", [$"n{i}"], [$"n{i + 1}"]))]),
            "fan" => Graph(["x"], ["y0"], [.. Enumerable.Range(0, count).Select(i => Node("Relu", ["x"], [$"y{i}"]))]),
            "inputs" => Graph([.. Enumerable.Range(0, count).Select(i => $"x{i}")], ["y"], Node("Sum", [.. Enumerable.Range(0, count).Select(i => $"x{i}")], ["y"])),
            _ => Graph(["x"], ["y0"], [.. Enumerable.Range(0, count).Select(i => Node("If", ["x"], [$"y{i}"], Attribute("b", Graph([], ["z"], Node("Neg", ["x"], ["z"])))))]),
        };
        var watch = Stopwatch.StartNew();
        Model(graph).Load();
        // A quadratic step would take minutes; machines and neighbours differ by less than this.
        Assert.That(watch.Elapsed, Is.LessThan(TimeSpan.FromSeconds(20)));
    }

    [Test]
    public void MutatedFilesNeverFailOtherwise()
    {
        var random = new Random(20);
        byte[][] seeds = [SmallModel(), .. RealSeeds()];
        var watch = Stopwatch.StartNew();
        int files = 0, loaded = 0;
        for (; watch.Elapsed < TimeSpan.FromSeconds(5); files++)
        {
            byte[] seed = seeds[random.Next(seeds.Length)];
            byte[] file = files % 2 == 0 ? Mutate(seed, seeds[random.Next(seeds.Length)], random) : MutateFields(seed, random);
            if (LoadOrRefuse(file, $"file {files}")) loaded++;
        }
        TestContext.Out.WriteLine($"{files} mutated files, {loaded} of them legal");
        Assert.That(files, Is.GreaterThan(loaded).And.GreaterThan(20));
    }

    private static IEnumerable<byte[]> RealSeeds()
    {
        string? root = Support.TestData.Optional("onnx-backend-tests/node");
        if (root is null) yield break;
        foreach (string name in new[] { "test_if_seq", "test_loop13_seq", "test_scan9_sum", "test_constant", "test_qlinearconv", "test_optional_get_element_sequence", "test_strnormalizer_nostopwords_nochangecase", "test_gelu_default_1_expanded", "test_quantizelinear_int4" })
        {
            string path = Path.Combine(root, name, "model.onnx");
            if (File.Exists(path)) yield return File.ReadAllBytes(path);
        }
    }

    /// <summary>A model with a bit of everything, so that mutations reach every branch of the importer.</summary>
    private static byte[] SmallModel()
    {
        GraphProto branch = Graph([], ["b"], Node("Constant", [], ["c"], Attribute("value", Floats("", 1, 2))), Node("Add", ["x", "c"], ["b"]));
        FunctionProto function = Function("f", ["p", "q"], ["r"], Node("LeakyRelu", ["p"], ["r"], Reference("alpha", "slope", AttributeType.Float)));
        function.Attribute.Add("slope");
        GraphProto graph = Graph(["x", "cond", "w"], ["y", "z"], Node("If", ["cond"], ["h"], Attribute("then_branch", branch), Attribute("else_branch", branch.Clone())),
            Call("f", ["h"], ["y"], new AttributeProto { Name = "slope", Type = AttributeType.Float, F = 0.5f }),
            Node("Odd", ["x", "", "w", "v", "s", "i"], ["z"], new AttributeProto { Name = "names", Type = AttributeType.Strings, Strings = { ByteString.CopyFromUtf8("a") } },
                new AttributeProto { Name = "type", Type = AttributeType.TypeProto, Tp = Info("", DataType.Int8, 3).Type }));
        graph.Initializer.Add(Floats("w", 1, 2, 3));
        graph.Initializer.Add(new TensorProto { Name = "v", DataType = (int)DataType.Int4, Dims = { 3 }, RawData = ByteString.CopyFrom(0x12, 0x03) });
        graph.Initializer.Add(new TensorProto { Name = "i", DataType = (int)DataType.Float16, Dims = { 2 }, Int32Data = { 1, 2 } });
        graph.SparseInitializer.Add(new SparseTensorProto { Values = Floats("s", 4), Indices = new TensorProto { DataType = 7, Dims = { 1 }, Int64Data = { 2 } }, Dims = { 2, 2 } });
        graph.ValueInfo.Add(Info("h", DataType.Float32, 2, 3));
        ModelProto model = Model(graph, function);
        model.MetadataProps.Add(new StringStringEntryProto { Key = "k", Value = "v" });
        return model.ToByteArray();
    }

    private static byte[] Mutate(byte[] seed, byte[] other, Random random)
    {
        var file = new List<byte>(seed);
        for (int changes = random.Next(1, 4); changes > 0 && file.Count > 0; changes--)
        {
            int at = random.Next(file.Count);
            switch (random.Next(7))
            {
                case 0: file[at] ^= (byte)(1 << random.Next(8)); break;
                case 1: file[at] = (byte)random.Next(256); break;
                case 2: file.RemoveRange(at, file.Count - at); break;
                case 3: file.RemoveRange(at, Math.Min(random.Next(1, 20), file.Count - at)); break;
                case 4: file.InsertRange(at, other.AsSpan(random.Next(other.Length)).ToArray().Take(random.Next(1, 60))); break;
                case 5: file.InsertRange(at, file.GetRange(at, Math.Min(random.Next(1, 60), file.Count - at))); break;
                default: file.InsertRange(at, Encoding.Latin1.GetBytes(new string('\u00ff', random.Next(1, 10)) + '\u0001')); break;
            }
        }
        return [.. file];
    }

    /// <summary>Changes fields of a well-formed file: numbers to extremes, names to other names, elements doubled, dropped or taken from elsewhere.</summary>
    internal static byte[] MutateFields(byte[] seed, Random random)
    {
        ModelProto model = ModelProto.Parser.ParseFrom(seed);
        for (int changes = random.Next(1, 4); changes > 0; changes--)
        {
            var messages = new List<IMessage>();
            var texts = new List<string> { "", "x", "octet", "ai.onnx" };
            Collect(model, messages, texts);
            IMessage message = messages[random.Next(messages.Count)];
            FieldDescriptor field = message.Descriptor.Fields.InDeclarationOrder()[random.Next(message.Descriptor.Fields.InDeclarationOrder().Count)];
            if (field.IsRepeated)
            {
                var list = (IList)field.Accessor.GetValue(message);
                int at = list.Count == 0 ? 0 : random.Next(list.Count);
                switch (random.Next(3))
                {
                    case 0 when list.Count > 0: list.RemoveAt(at); break;
                    case 1 when list.Count > 0: list.Insert(at, list[random.Next(list.Count)]); break;
                    default:
                        if (NewValue(field, messages, texts, random) is { } added) list.Insert(at, added);
                        break;
                }
            }
            else if (random.Next(4) == 0) field.Accessor.Clear(message);
            else if (NewValue(field, messages, texts, random) is { } value) field.Accessor.SetValue(message, value);
            if (Depth(model, 0) > 60) return seed;   // deeper messages could be written but not read back for the next change
            model = ModelProto.Parser.ParseFrom(model.ToByteArray());
        }
        return model.ToByteArray();
    }

    private static object? NewValue(FieldDescriptor field, List<IMessage> messages, List<string> texts, Random random)
    {
        long[] numbers = [0, 1, -1, 2, 7, 127, 255, 65536, int.MaxValue, int.MinValue, long.MaxValue, long.MinValue];
        long number = numbers[random.Next(numbers.Length)];
        switch (field.FieldType)
        {
            case FieldType.Int64: return number;
            case FieldType.UInt64: return (ulong)number;
            case FieldType.Int32: return (int)number;
            case FieldType.Float: return (float)number;
            case FieldType.Double: return (double)number;
            case FieldType.String: return texts[random.Next(texts.Count)];
            case FieldType.Bytes: return ByteString.CopyFrom(Enumerable.Range(0, random.Next(12)).Select(_ => (byte)random.Next(256)).ToArray());
            case FieldType.Enum: return Enum.ToObject(field.EnumType.ClrType, random.Next(-1, 16));
            case FieldType.Message:
                IMessage[] fitting = [.. messages.Where(message => message.Descriptor == field.MessageType)];
                return fitting.Length > 0 ? Copy(fitting[random.Next(fitting.Length)]) : null;
            default: return null;
        }
    }

    private static IMessage Copy(IMessage message) => message.Descriptor.Parser.ParseFrom(message.ToByteArray());

    private static void Collect(IMessage message, List<IMessage> messages, List<string> texts)
    {
        messages.Add(message);
        foreach (FieldDescriptor field in message.Descriptor.Fields.InDeclarationOrder())
        {
            object? value = field.Accessor.GetValue(message);
            foreach (object? item in value is IList list ? list : new[] { value })
            {
                if (item is IMessage inner) Collect(inner, messages, texts);
                else if (item is string text) texts.Add(text);
            }
        }
    }

    private static int Depth(IMessage message, int depth)
    {
        int most = depth;
        foreach (FieldDescriptor field in message.Descriptor.Fields.InDeclarationOrder())
        {
            object? value = field.Accessor.GetValue(message);
            foreach (object? item in value is IList list ? list : new[] { value })
            {
                if (item is IMessage inner) most = Math.Max(most, Depth(inner, depth + 1));
            }
        }
        return most;
    }

    /// <summary>Loads, prints and saves the file if it is legal; fails the test where anything but a <see cref="ModelException"/> is thrown.</summary>
    private static bool LoadOrRefuse(byte[] file, string which)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            Model model = Octet.Runtime.Model.Load(file);
            GraphPrinter.Print(model.Graph);
            model.Save(new MemoryStream());
            return true;
        }
        catch (ModelException)
        {
            return false;
        }
        catch (Exception e)
        {
            Assert.Fail($"{which}: {e}\nas a case: Convert.FromBase64String(\"{Convert.ToBase64String(file)}\")");
            return false;
        }
        finally
        {
            // What one small file may expand to, and as much again for printing and saving it.
            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.That(allocated, Is.LessThan(2 * (ExpansionBudget.Free + ExpansionBudget.Factor * file.Length)), which);
        }
    }
}
