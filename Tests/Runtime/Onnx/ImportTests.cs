using Google.Protobuf;
using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Onnx.Proto;
using Octet.Runtime.Tensors;
using static Octet.Tests.Runtime.Onnx.Protos;
using AttributeType = Octet.Runtime.Onnx.Proto.AttributeProto.Types.AttributeType;

namespace Octet.Tests.Runtime.Onnx;

/// <summary>What legal files mean.</summary>
[TestFixture]
internal sealed class ImportTests
{
    [Test]
    public void InitializerThatIsAnInputStaysAConstantAndAnInput()
    {
        GraphProto graph = Graph(["x", "w"], ["y"], Node("Add", ["x", "w"], ["y"]));
        graph.Initializer.Add(Floats("w", 1, 2));
        Graph loaded = Model(graph).Load().Graph;
        Assert.That(loaded.Inputs.Select(input => input.Name), Is.EqualTo(new[] { "x", "w" }));
        Assert.That(loaded.Inputs[1].IsConstant, Is.True);
        Assert.That(loaded.Inputs[1].Constant!.Span<float>().ToArray(), Is.EqualTo(new[] { 1f, 2f }));
    }

    [Test]
    public void NodesInAnyOrderAreSorted()
    {
        Graph graph = Model(Graph(["x"], ["y"], Node("Relu", ["b"], ["y"]), Node("Neg", ["a"], ["b"]), Node("Abs", ["x"], ["a"]))).Load().Graph;
        Assert.That(graph.Nodes.Select(node => node.OperatorType), Is.EqualTo(new[] { "Abs", "Neg", "Relu" }));
    }

    [Test]
    public void LeftOutInputsAndOutputsAreNull()
    {
        Node node = Model(Graph(["x"], ["y"], Node("Odd", ["x", "", "x"], ["", "y"]))).Load().Graph.Nodes[0];
        Assert.That(node.Inputs.Select(input => input?.Name), Is.EqualTo(new[] { "x", null, "x" }));
        Assert.That(node.Outputs.Select(output => output?.Name), Is.EqualTo(new[] { null, "y" }));
    }

    [Test]
    public void NodesGetUniqueNames()
    {
        NodeProto first = Node("Relu", ["x"], ["a"]), second = Node("Relu", ["a"], ["b"]), third = Node("Relu", ["b"], ["y"]);
        (first.Name, second.Name) = ("same", "same");
        Graph graph = Model(Graph(["x"], ["y"], first, second, third)).Load().Graph;
        Assert.That(graph.Nodes.Select(node => node.Name), Is.Unique.And.All.Not.Empty);
        Assert.That(graph.Nodes[2].Name, Is.EqualTo("Relu_y"));
    }

    [Test]
    public void UnknownOperatorIsLoadedPrintedAndSaved()
    {
        NodeProto node = Node("Frobnicate", ["x"], ["y"], Attribute("depth", 3));
        node.Domain = "com.example";
        Model model = Model(Graph(["x"], ["y"], node)).Load();
        Assert.That(GraphPrinter.Print(model.Graph), Does.Contain("y = com.example.Frobnicate(x) {depth=3}"));
        Assert.That(GraphPrinter.Print(model.Reload(out ModelProto saved).Graph), Is.EqualTo(GraphPrinter.Print(model.Graph)));
        Assert.That(saved.OpsetImport.Select(import => import.Domain), Is.EquivalentTo(new[] { "", "com.example" }));
    }

    private static IEnumerable<TestCaseData> Constants()
    {
        yield return Case(Attribute("value", Floats("", 1, 2)), "float32[2] = [1,2]");
        yield return Case(new AttributeProto { Name = "value_float", Type = AttributeType.Float, F = 1.5f }, "float32[] = [1.5]");
        yield return Case(new AttributeProto { Name = "value_floats", Type = AttributeType.Floats, Floats = { 1, 2 } }, "float32[2] = [1,2]");
        yield return Case(new AttributeProto { Name = "value_int", Type = AttributeType.Int, I = -7 }, "int64[] = [-7]");
        yield return Case(new AttributeProto { Name = "value_ints", Type = AttributeType.Ints }, "int64[0]");
        yield return Case(new AttributeProto { Name = "value_string", Type = AttributeType.String, S = ByteString.CopyFromUtf8("ä") }, "string[] = [\"ä\"]");
        yield return Case(new AttributeProto { Name = "value_strings", Type = AttributeType.Strings, Strings = { ByteString.CopyFromUtf8("a"), ByteString.Empty } }, "string[2] = [\"a\",\"\"]");
        yield return Case(new AttributeProto { Name = "sparse_value", Type = AttributeType.SparseTensor, SparseTensor = Sparse([2, 3], [5f], [1L], [1]) }, "float32[2,3] = [0,5,0,0,0,0]");
        static TestCaseData Case(AttributeProto attribute, string printed) => new TestCaseData(attribute, printed).SetArgDisplayNames(attribute.Name);
    }

    [TestCaseSource(nameof(Constants))]
    public void ConstantNodeBecomesAConstantOfTheSameName(object attribute, string printed)
    {
        Graph graph = Model(Graph(["x"], ["y"], Node("Odd", ["x", "c"], ["y"]), Node("Constant", [], ["c"], (AttributeProto)attribute))).Load().Graph;
        Assert.That(graph.Nodes, Has.Count.EqualTo(1));
        Assert.That(GraphPrinter.Print(graph), Does.Contain($"  const c: {printed}\n"));
    }

    [Test]
    public void SparseInitializerBecomesDense()
    {
        GraphProto graph = Graph(["x"], ["y"], Node("Add", ["x", "w"], ["y"]));
        SparseTensorProto sparse = Sparse([2, 3], [5f, 7f], [0, 2, 1, 1], [2, 2]);
        sparse.Values.Name = "w";
        graph.SparseInitializer.Add(sparse);
        Assert.That(Model(graph).Load().Graph.Find("w")!.Constant!.Span<float>().ToArray(), Is.EqualTo(new[] { 0f, 0, 5, 0, 7, 0 }));
    }

    private static SparseTensorProto Sparse(long[] shape, float[] values, long[] indices, long[] indexShape) => new()
    {
        Dims = { shape },
        Values = Floats("", values),
        Indices = new TensorProto { DataType = (int)DataType.Int64, Dims = { indexShape }, Int64Data = { indices } },
    };

    [Test]
    public void OldAttributeWithoutKindTakesThatOfItsField()
    {
        AttributeProto[] attributes =
        [
            new() { Name = "f", F = 2 }, new() { Name = "i", I = 3 }, new() { Name = "s", S = ByteString.CopyFromUtf8("t") }, new() { Name = "fs", Floats = { 1 } }, new() { Name = "is", Ints = { 4 } },
        ];
        AttributeMap map = Model(Graph(["x"], ["y"], Node("Odd", ["x"], ["y"], attributes))).Load().Graph.Nodes[0].Attributes;
        Assert.That((map.Float("f"), map.Int("i"), map.String("s")), Is.EqualTo((2f, 3L, "t")));
        Assert.That(map.Floats("fs"), Is.EqualTo(new[] { 1f }));
        Assert.That(map.Ints("is"), Is.EqualTo(new[] { 4L }));
    }

    [Test]
    public void TypesAreRecorded()
    {
        GraphProto graph = Graph([], ["y"], Node("Odd", ["x", "s", "o"], ["h"]), Node("Odd", ["h"], ["y"]));
        ValueInfoProto x = Info("x", DataType.UInt8, 2, -1, 0);
        x.Type.TensorType.Shape.Dim.Add(new TensorShapeProto.Types.Dimension { DimParam = "N" });
        x.Type.TensorType.Shape.Dim.Add(new TensorShapeProto.Types.Dimension());
        graph.Input.Add(x);
        var sequence = new TypeProto { SequenceType = new TypeProto.Types.Sequence { ElemType = Info("", DataType.Int64, 3).Type } };
        graph.Input.Add(new ValueInfoProto { Name = "s", Type = sequence });
        graph.Input.Add(new ValueInfoProto { Name = "o", Type = new TypeProto { OptionalType = new TypeProto.Types.Optional { ElemType = sequence } } });
        graph.ValueInfo.Add(Info("h", DataType.Float16, 4));
        Graph loaded = Model(graph).Load().Graph;
        Assert.That(loaded.Inputs.Select(input => input.Type.ToString()),
            Is.EqualTo(new[] { "uint8[2,?,0,N,?]", "sequence(int64[3])", "optional(sequence(int64[3]))" }));
        Assert.That(loaded.Find("h")!.Type.ToString(), Is.EqualTo("float16[4]"));
    }

    [Test]
    public void SubgraphReadsOuterValuesAndMayHideTheirNames()
    {
        // The branch reads 'a' of the outer graph, which is made only after the If in the file, and has a 'b' of its own.
        GraphProto branch = Graph([], ["b"], Node("Neg", ["a"], ["b"]));
        Graph graph = Model(Graph(["x", "cond"], ["y", "b"],
            Node("If", ["cond"], ["y"], Attribute("then_branch", branch), Attribute("else_branch", branch.Clone())),
            Node("Abs", ["x"], ["a"]), Node("Relu", ["a"], ["b"]))).Load().Graph;
        Node condition = graph.Nodes.Single(node => node.Is("If"));
        Graph then = condition.Attributes.Graph("then_branch")!;
        Assert.That(then.Parent, Is.SameAs(graph));
        Assert.That(then.Nodes[0].Input(0), Is.SameAs(graph.Find("a")));
        Assert.That(then.Outputs[0], Is.SameAs(then.Nodes[0].Output).And.Not.SameAs(graph.Find("b")));
        Assert.That(graph.Find("a")!.Uses, Has.Count.EqualTo(3));
        Assert.That(graph.Nodes.Select(node => node.OperatorType), Is.EqualTo(new[] { "Abs", "If", "Relu" }));
    }

    [Test]
    public void FunctionIsReplacedByItsBody()
    {
        // inner(p) = LeakyRelu(p) with the call's alpha; outer(p, q?) = q left out ? Odd(inner(p)) : …, alpha handed on under another name.
        FunctionProto inner = Function("inner", ["p"], ["r"], Node("LeakyRelu", ["p"], ["r"], Reference("alpha", "slope", AttributeType.Float)));
        inner.Attribute.Add("slope");
        FunctionProto outer = Function("outer", ["p", "q"], ["r", "unused", "p"],
            Node("Odd", ["t", "q"], ["r", "unused"], Reference("mode", "mode", AttributeType.String), Reference("axis", "axis", AttributeType.Int)),
            Call("inner", ["p"], ["t"], Reference("slope", "steepness", AttributeType.Float)));
        outer.Attribute.AddRange(["mode", "steepness"]);
        outer.AttributeProto.Add(Attribute("axis", 2));
        NodeProto call = Call("outer", ["x"], ["y", "", "z"], new AttributeProto { Name = "steepness", Type = AttributeType.Float, F = 0.25f });
        call.Name = "call";
        Graph graph = Model(Graph(["x"], ["y", "z"], call), inner, outer).Load().Graph;

        Assert.That(graph.Nodes.Select(node => node.Name), Is.EqualTo(new[] { "call/inner_t/LeakyRelu_r", "call/Odd_r", "call/p" }));
        Assert.That(graph.Nodes[0].Attributes.Float("alpha"), Is.EqualTo(0.25f));
        Assert.That(graph.Nodes[1].Inputs.Select(input => input?.Name), Is.EqualTo(new[] { "call/t", null }));
        Assert.That(graph.Nodes[1].Attributes.Contains("mode"), Is.False, "neither the call nor the function gives it");
        Assert.That(graph.Nodes[1].Attributes.Int("axis"), Is.EqualTo(2), "the function's default");
        Assert.That(graph.Nodes[1].Output, Is.SameAs(graph.Find("y")));
        Assert.That(graph.Nodes[2].OperatorType, Is.EqualTo("Identity"), "an input handed through");
    }

    [Test]
    public void ConstantInAFunctionMayBeTheCallersOutput()
    {
        FunctionProto function = Function("one", [], ["r"], Node("Constant", [], ["r"], Reference("value_float", "v", AttributeType.Float)));
        Graph graph = Model(Graph(["x"], ["y"], Call("one", [], ["c"], new AttributeProto { Name = "v", Type = AttributeType.Float, F = 3 }), Node("Add", ["x", "c"], ["y"])), function).Load().Graph;
        Assert.That(graph.Find("c")!.Constant!.Span<float>()[0], Is.EqualTo(3));
        Assert.That(graph.Nodes, Has.Count.EqualTo(1));
    }

    [Test]
    public void FactsAboutTheModelAreKept()
    {
        ModelProto proto = Model(Graph(["x"], ["y"], Node("Relu", ["x"], ["y"])));
        (proto.ProducerName, proto.ProducerVersion, proto.Domain, proto.ModelVersion, proto.DocString) = ("maker", "1.2", "org.example", 7, "what it is for");
        proto.MetadataProps.Add(new StringStringEntryProto { Key = "k", Value = "v" });
        Model model = proto.Load().Reload(out _);
        Assert.That((model.ProducerName, model.ProducerVersion, model.Domain, model.ModelVersion, model.Description, model.IrVersion),
            Is.EqualTo(("maker", "1.2", "org.example", 7L, "what it is for", 10L)));
        Assert.That(model.Metadata, Is.EqualTo(new Dictionary<string, string> { ["k"] = "v" }));
    }

    [Test]
    public void LoadsFromPathStreamAndMemoryAlike()
    {
        byte[] file = Model(Graph(["x"], ["y"], Node("Relu", ["x"], ["y"]))).ToByteArray();
        string path = Path.Combine(Path.GetTempPath(), $"octet-{Guid.NewGuid():N}.onnx");
        File.WriteAllBytes(path, file);
        string[] printed;
        try
        {
            byte[] padded = [0, .. file, 0];
            printed =
            [
                GraphPrinter.Print(Octet.Runtime.Model.Load(path).Graph),
                GraphPrinter.Print(Octet.Runtime.Model.Load(new MemoryStream(file)).Graph),
                GraphPrinter.Print(Octet.Runtime.Model.Load(file).Graph),
                GraphPrinter.Print(Octet.Runtime.Model.Load(padded.AsMemory(1, file.Length)).Graph),
            ];
        }
        finally
        {
            File.Delete(path);
        }
        Assert.That(printed, Is.All.EqualTo("graph g(x: float32[…])\n  y = Relu(x) 'Relu_y'  : float32[…]\n  return y\n"));
    }
}
