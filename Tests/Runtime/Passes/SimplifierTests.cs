using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Passes;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes;

internal sealed class SimplifierTests
{
    [Test]
    public void RemovesIdentitiesAndDeadNodes()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 2, 3);
        Value relu = g.Node("Relu", [g.Node("Identity", [x])]);
        g.Node("Neg", [x], name: "dead");
        g.Floats("unread", [1f]);
        g.Output(g.Node("Identity", [relu], name: "last"), "y");
        Simplifier.Run(g.Graph, TestGraph.Options);
        Assert.That(g.Types, Is.EqualTo(new[] { "Relu" }));
        Assert.That(g.Graph.Nodes[0].Inputs[0], Is.SameAs(x));
        Assert.That(g.Graph.Outputs[0], Is.SameAs(relu));
        Assert.That(g.Graph.OutputNames, Is.EqualTo(new[] { "y" }));
        Assert.That(g.Graph.Find("unread"), Is.Null);
    }

    [Test]
    public void KeepsAnIdentityBetweenInputAndOutput()
    {
        var g = new TestGraph();
        g.Output(g.Node("Identity", [g.Input("x", 2)]));
        Simplifier.Run(g.Graph, TestGraph.Options);
        Assert.That(g.Types, Is.EqualTo(new[] { "Identity" }));
    }

    [Test]
    public void KeepsOneOfTwoOutputsOfTheSameValue()
    {
        var g = new TestGraph();
        Value relu = g.Node("Relu", [g.Input("x", 2)]);
        g.Output(relu, "a");
        g.Output(g.Node("Identity", [relu]), "b");
        Simplifier.Run(g.Graph, TestGraph.Options);
        Assert.That(g.Graph.Outputs[0], Is.Not.SameAs(g.Graph.Outputs[1]));
    }

    [Test]
    public void FoldsTheShapeOfAConcreteValue()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 2, 3, 5);
        Value shape = g.Node("Shape", [x], new AttributeMap { { "start", -2L } });
        g.Output(shape, "shape");
        g.Output(g.Node("Size", [x]), "size");
        g.Output(g.Node("Relu", [x]), "y");
        Simplifier.Run(g.Graph, TestGraph.Options);
        Assert.That(g.Types, Is.EqualTo(new[] { "Relu" }));
        Assert.That(g.Graph.Outputs[0].Constant!.ToInt64Array(), Is.EqualTo(new long[] { 3, 5 }));
        Assert.That(g.Graph.Outputs[1].Constant!.ToInt64Array(), Is.EqualTo(new long[] { 30 }));
    }

    [Test]
    public void LeavesTheShapeOfASymbolicValue()
    {
        var g = new TestGraph();
        Value x = g.Input("x", new TensorType(DataType.Float32, Dim.Named("N"), 3));
        g.Output(g.Node("Shape", [x]), "shape");
        g.Output(g.Node("Shape", [x], new AttributeMap { { "start", 1L } }), "tail");
        Simplifier.Run(g.Graph, TestGraph.Options);
        Assert.That(g.Types, Is.EqualTo(new[] { "Shape" }));
        Assert.That(g.Graph.Outputs[1].Constant!.ToInt64Array(), Is.EqualTo(new long[] { 3 }));
    }

    [TestCase(true, "Relu")]
    [TestCase(false, "Neg")]
    public void InlinesTheBranchOfAConstantCondition(bool condition, string expected)
    {
        var g = new TestGraph();
        Value x = g.Input("x", 4);
        Value flag = g.Editor.AddConstant("flag", Tensor.Create(new[] { condition }, []));
        var attributes = new AttributeMap { { "then_branch", Branch(g.Graph, "Relu", x) }, { "else_branch", Branch(g.Graph, "Neg", x) } };
        g.Output(g.Node("If", [flag], attributes), "y");
        Simplifier.Run(g.Graph, TestGraph.Options);
        Assert.That(g.Types, Is.EqualTo(new[] { expected }));
        Assert.That(g.Graph.Nodes[0].Inputs[0], Is.SameAs(x));
        Assert.That(x.Uses, Has.Count.EqualTo(1), "the branch that went away no longer reads x");
    }

    [Test]
    public void KeepsAValueThatOnlyASubgraphReturns()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 4), flag = g.Input("flag", new TensorType(DataType.Bool, ReadOnlySpan<int>.Empty));
        Value captured = g.Node("Abs", [x]);
        var returnsCaptured = new Graph("then", g.Graph.Opsets, g.Graph);
        new GraphEditor(returnsCaptured).AddOutput(captured);
        var attributes = new AttributeMap { { "then_branch", returnsCaptured }, { "else_branch", Branch(g.Graph, "Neg", x) } };
        g.Output(g.Node("If", [flag], attributes), "y");
        Simplifier.Run(g.Graph, TestGraph.Options);
        Assert.That(g.Types, Is.EqualTo(new[] { "Abs", "If" }));
    }

    [Test]
    public void ConcreteInputsOverruleStaleDeclaredExtents()
    {
        TensorType inferred = new(DataType.Undefined), declared = new(DataType.Float32, 1, 8);
        Assert.That(TypeInference.Merge(inferred, declared, trustDeclared: false).ToString(), Is.EqualTo("float32[…]"));
        Assert.That(TypeInference.Merge(inferred, declared, trustDeclared: true), Is.EqualTo(declared));
    }

    [Test]
    public void MergesExtentByExtent()
    {
        TensorType inferred = new(DataType.Float32, Dim.Unknown, Dim.Named("N"), 7, 3), declared = new(DataType.Float32, Dim.Named("B"), 5, 8, Dim.Named("C"));
        Assert.That(TypeInference.Merge(inferred, declared, trustDeclared: true).ToString(), Is.EqualTo("float32[B,5,7,3]"));
    }

    [Test]
    public void UnknownOperatorsKeepTheirDeclaredTypes()
    {
        var g = new TestGraph();
        Value y = g.Node("Mystery", [g.Input("x", 2)], domain: "nowhere");
        g.Editor.SetType(y, new TensorType(DataType.Float32, 9));
        g.Output(y);
        Simplifier.Run(g.Graph, TestGraph.Options);
        Assert.That(y.Type.ToString(), Is.EqualTo("float32[9]"));
    }

    private static Graph Branch(Graph parent, string type, Value captured)
    {
        var graph = new Graph(type, parent.Opsets, parent);
        var editor = new GraphEditor(graph);
        editor.AddOutput(editor.Add(type, [captured], name: "inner"));
        return graph;
    }
}
