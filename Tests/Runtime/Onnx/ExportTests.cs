using Microsoft.ML.OnnxRuntime;
using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Onnx.Proto;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;
using static Octet.Tests.Runtime.Onnx.Protos;

namespace Octet.Tests.Runtime.Onnx;

/// <summary>What a saved file says; ONNX Runtime must open it.</summary>
[TestFixture]
internal sealed class ExportTests
{
    private static TensorType Float => new(DataType.Float32, 2);

    private static (Graph Graph, GraphEditor Editor) Empty(int opset = 13)
    {
        var graph = new Graph("g", new OpsetImports(opset));
        return (graph, new GraphEditor(graph));
    }

    [Test]
    public void OutputIsSavedUnderItsOutsideName()
    {
        (Graph graph, GraphEditor editor) = Empty();
        Value inner = editor.Add("Relu", [editor.AddInput("x", Float)], outputType: Float);
        editor.AddOutput(inner, "y");
        ModelProto saved = Saved(graph);
        Assert.That(saved.Graph.Node.Single().Output, Is.EqualTo(new[] { "y" }));
        Assert.That(inner.Name, Is.EqualTo("Relu/out"), "saving changes nothing");
    }

    [Test]
    public void OneValueUnderTwoNamesGetsAnIdentity()
    {
        (Graph graph, GraphEditor editor) = Empty();
        Value x = editor.AddInput("x", Float), value = editor.Add("Relu", [x], outputType: Float);
        editor.AddOutput(value, "a");
        editor.AddOutput(value, "b");
        editor.AddOutput(x, "c");
        editor.AddOutput(x, "x");
        GraphProto saved = Saved(graph).Graph;
        Assert.That(saved.Output.Select(output => output.Name), Is.EqualTo(new[] { "a", "b", "c", "x" }));
        Assert.That(saved.Node.Select(node => $"{node.OpType} {node.Input[0]} {node.Output[0]}"), Is.EqualTo(new[] { "Relu x a", "Identity a b", "Identity x c" }));
    }

    [Test]
    public void InnerValueGivesWayToAnOutputsName()
    {
        (Graph graph, GraphEditor editor) = Empty();
        Value first = editor.AddValue("y", Float);
        editor.AddNode("Relu", [editor.AddInput("x", Float)], [first]);
        editor.AddOutput(editor.Add("Neg", [first], outputType: Float), "y");
        GraphProto saved = Saved(graph).Graph;
        Assert.That(saved.Node[1].Output[0], Is.EqualTo("y"));
        Assert.That(saved.Node[0].Output[0], Is.EqualTo(saved.Node[1].Input[0]).And.Not.EqualTo("y"));
    }

    [Test]
    public void ConstantMayBeAnOutput()
    {
        (Graph graph, GraphEditor editor) = Empty();
        editor.AddInput("x", Float);
        Value constant = editor.AddConstant("c", Tensor.Create([1f, 2f], 2));
        editor.AddOutput(constant, "y");
        Assert.That(Saved(graph).Graph.Initializer.Single().Name, Is.EqualTo("y"));
    }

    [Test]
    public void SubgraphThatReturnsAnOuterValueGetsAnIdentity()
    {
        (Graph graph, GraphEditor editor) = Empty();
        Value x = editor.AddInput("x", Float), condition = editor.AddInput("cond", new TensorType(DataType.Bool, ReadOnlySpan<Dim>.Empty));
        Graph Branch(string name, Value returned)
        {
            var branch = new Graph(name, graph.Opsets, graph);
            new GraphEditor(branch).AddOutput(returned);
            return branch;
        }
        Value negative = editor.Add("Neg", [x], outputType: Float);
        Value y = editor.Add("If", [condition], new AttributeMap { ["then_branch"] = Branch("t", x), ["else_branch"] = Branch("e", negative) }, outputType: Float);
        editor.AddOutput(y, "y");
        GraphProto saved = Saved(graph).Graph;
        Assert.That(saved.Node[1].Attribute.Select(attribute => attribute.G.Node.Single().OpType), Is.All.EqualTo("Identity"));
    }

    [Test]
    public void InnerNameThatHidesAnOuterOneIsChanged()
    {
        (Graph graph, GraphEditor editor) = Empty();
        Value x = editor.AddInput("x", Float), condition = editor.AddInput("cond", new TensorType(DataType.Bool, ReadOnlySpan<Dim>.Empty));
        var branch = new Graph("t", graph.Opsets, graph);
        var inner = new GraphEditor(branch);
        Value h = inner.AddValue("h", Float);
        inner.AddNode("Neg", [x], [h]);
        inner.AddOutput(h);
        Value outer = editor.AddValue("h", Float);   // later than the branch, so nothing kept the names apart
        editor.AddNode("Abs", [x], [outer]);
        Value y = editor.Add("If", [condition], new AttributeMap { ["then_branch"] = branch, ["else_branch"] = branch.Clone(parent: graph) }, outputType: Float);
        editor.AddOutput(y, "y");
        editor.AddOutput(outer);
        GraphProto saved = Saved(graph).Graph;
        Assert.That(saved.Node[1].Attribute[0].G.Output[0].Name, Is.Not.EqualTo("h").And.EqualTo(saved.Node[1].Attribute[0].G.Node[0].Output[0]));
    }

    [TestCase(8, 3)]
    [TestCase(13, 7)]
    [TestCase(18, 8)]
    [TestCase(21, 10)]
    public void FormatVersionSuitsTheOperatorSet(int opset, int version)
    {
        (Graph graph, GraphEditor editor) = Empty(opset);
        editor.AddOutput(editor.Add("Relu", [editor.AddInput("x", Float)], outputType: Float), "y");
        Assert.That(Saved(graph, irVersion: 3).IrVersion, Is.EqualTo(version));
    }

    [Test]
    public void FormatVersionSuitsConstantsAndTypes()
    {
        (Graph graph, GraphEditor editor) = Empty(8);
        Value w = editor.AddConstant("w", Tensor.Create([1f, 2f], 2));
        editor.AddOutput(editor.Add("Add", [editor.AddInput("x", Float), w], outputType: Float), "y");
        Assert.That(Saved(graph, irVersion: 3).IrVersion, Is.EqualTo(4), "an initializer that is no input");
        editor.MarkAsInput(w);
        Assert.That(Saved(graph, irVersion: 3).IrVersion, Is.EqualTo(3));
        editor.AddOutput(editor.AddConstant("q", new Tensor(DataType.Int4, [2])));
        using var file = new MemoryStream();
        new Model(graph) { IrVersion = 3 }.Save(file);
        Assert.That(ModelProto.Parser.ParseFrom(file.ToArray()).IrVersion, Is.EqualTo(10), "int4");
    }

    [Test]
    public void OctetsOwnOperatorsAreNotSaved()
    {
        (Graph graph, GraphEditor editor) = Empty();
        editor.AddOutput(editor.Add("QConv", [editor.AddInput("x", Float)], domain: "octet"), "y");
        Assert.That(Assert.Catch<ModelException>(() => new Model(graph).Save(new MemoryStream()))!.Message, Does.Contain("domain 'octet'"));
    }

    [Test]
    public void FailedSaveLeavesWhatWasThere()
    {
        string folder = Directory.CreateTempSubdirectory("octet-").FullName;
        string path = Path.Combine(folder, "m.onnx");
        try
        {
            (Graph graph, GraphEditor editor) = Empty();
            editor.AddOutput(editor.Add("Relu", [editor.AddInput("x", Float)], outputType: Float), "y");
            new Model(graph).Save(path);
            byte[] before = File.ReadAllBytes(path);
            Assert.Throws<IOException>(() => AtomicFile.Write(path, stream =>
            {
                stream.WriteByte(1);
                throw new IOException("the disk is full");
            }));
            Assert.That(File.ReadAllBytes(path), Is.EqualTo(before));
            Assert.That(Directory.GetFiles(folder), Is.EqualTo(new[] { path }));
            Assert.Throws<DirectoryNotFoundException>(() => new Model(graph).Save(Path.Combine(folder, "missing", "m.onnx")));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static IEnumerable<TestCaseData> RealModels()
    {
        string? root = TestData.Optional("models");
        if (root is null) return [new TestCaseData("models")];
        return Directory.EnumerateFiles(root, "*.onnx", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Select(path => Path.GetRelativePath(TestData.Root!, path)).Select(path => new TestCaseData(path).SetArgDisplayNames(path));
    }

    [TestCaseSource(nameof(RealModels))]
    public void OnnxRuntimeOpensWhatWasSaved(string path)
    {
        using var file = new MemoryStream();
        Octet.Runtime.Model.Load(TestData.Require(path)).Save(file);
        Open(file.ToArray());
    }

    [Test, Category("Slow")]
    public void OnnxRuntimeOpensSavedConformanceModelsThatItOpens()
    {
        string root = TestData.Require("onnx-backend-tests/node");
        int opened = 0;
        var refused = new List<string>();
        foreach (string path in Directory.EnumerateFiles(root, "model.onnx", SearchOption.AllDirectories))
        {
            byte[] original = File.ReadAllBytes(path);
            if (Problem(original) is not null) continue;
            opened++;
            using var file = new MemoryStream();
            Octet.Runtime.Model.Load(original).Save(file);
            if (Problem(file.ToArray()) is { } problem) refused.Add($"{path}: {problem}");
        }
        Assert.That(opened, Is.GreaterThan(100));
        Assert.That(refused, Is.Empty);
    }

    private static string? Problem(byte[] model)
    {
        try
        {
            Open(model);
            return null;
        }
        catch (OnnxRuntimeException e)
        {
            return e.Message;
        }
    }

    private static void Open(byte[] model)
    {
        using var options = new SessionOptions { GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL, IntraOpNumThreads = 1 };
        using var session = new InferenceSession(model, options);
    }

    private static ModelProto Saved(Graph graph, long irVersion = 8)
    {
        using var file = new MemoryStream();
        new Model(graph) { IrVersion = irVersion }.Save(file);
        Open(file.ToArray());
        Octet.Runtime.Model.Load(file.ToArray());
        return ModelProto.Parser.ParseFrom(file.ToArray());
    }
}
