using Octet.Runtime.Graphs;
using Octet.Runtime.Passes;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes;

internal sealed class PromoteHalfTests
{
    [Test]
    public void ComputesInFloat32BetweenCasts([Values(DataType.Float16, DataType.BFloat16)] DataType type)
    {
        var g = new TestGraph();
        Value x = g.Input("x", new TensorType(type, 3));
        Value w = g.Editor.AddConstant("w", type == DataType.Float16 ? Tensor.Create(new[] { (Half)2, (Half)4, (Half)8 }, 3) : new Tensor(type, [3], new byte[] { 0x00, 0x40, 0x80, 0x40, 0x00, 0x41 }));
        g.Output(g.Node("Mul", [x, w]), "y");
        TypeInference.Run(g.Graph);
        PromoteHalf.Run(g.Graph, TestGraph.Options);
        Assert.That(g.Types, Is.EqualTo(new[] { "Cast", "Mul", "Cast" }));
        Assert.That(w.Constant!.ToFloat32Array(), Is.EqualTo(new[] { 2f, 4f, 8f }));
        Assert.That(w.Constant!.Type, Is.EqualTo(DataType.Float32));
        Assert.That(g.Graph.Inputs[0].Type.Element, Is.EqualTo(type), "the caller's types stay");
        Assert.That(g.Graph.Outputs[0].Type.Element, Is.EqualTo(type));
        Assert.That(g.Graph.Nodes[1].Output.Type.ToString(), Is.EqualTo("float32[3]"));
        TypeInference.Run(g.Graph);
        Assert.That(g.Graph.Outputs[0].Type.Element, Is.EqualTo(type));
    }

    [TestCase(DataType.Float16, 0.1f, 0.0999755859375f)]
    [TestCase(DataType.Float16, 70000f, float.PositiveInfinity)]
    [TestCase(DataType.Float16, 2049f, 2048f)]      // halfway between 2048 and 2050: the even one
    [TestCase(DataType.BFloat16, 1.00390625f, 1f)]  // halfway between 1 and 1.0078125: the even one
    [TestCase(DataType.BFloat16, 1.01171875f, 1.015625f)]
    [TestCase(DataType.BFloat16, float.NaN, float.NaN)]
    public void ACastOfTheModelRounds(DataType type, float value, float expected)
    {
        var g = new TestGraph();
        Value half = g.Node("Cast", [g.Input("x", 1)], new AttributeMap { { "to", (long)type } }, "down");
        g.Output(g.Node("Cast", [half], new AttributeMap { { "to", (long)DataType.Float32 } }, "up"), "y");
        TypeInference.Run(g.Graph);
        PromoteHalf.Run(g.Graph, TestGraph.Options);
        Simplifier.Run(g.Graph, TestGraph.Options);
        Assert.That(g.Types, Is.EqualTo(new[] { "octet.RoundTo" }));
        Assert.That(OperatorRunner.Run(g.Graph, new Dictionary<string, Tensor> { ["x"] = Tensor.Create([value], 1) })[0].Span<float>()[0], Is.EqualTo(expected));
    }

    [Test]
    public void GraphsWithoutHalfPrecisionStay()
    {
        var g = new TestGraph();
        g.Output(g.Node("Relu", [g.Input("x", 3)]), "y");
        PromoteHalf.Run(g.Graph, TestGraph.Options);
        Assert.That(g.Types, Is.EqualTo(new[] { "Relu" }));
    }
}
