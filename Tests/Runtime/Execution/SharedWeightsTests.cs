using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Execution;

/// <summary>Weights are derived and packed once, whatever shapes and sessions follow.</summary>
internal sealed class SharedWeightsTests
{
    private static Tensor[] Weights(InferenceSession session, params int[] shape) =>
        [.. session.PlanFor([TestGraph.RandomTensor(1, shape)]).Graph.Nodes.Where(node => node.OperatorType == "Conv").Select(node => node.Inputs[1]!.Constant!)];

    [Test]
    public void FoldedWeightsAreTheSameTensorForEveryShape()
    {
        var g = new TestGraph();
        Value x = g.Editor.AddInput("x", new TensorType(DataType.Float32, [Dim.Named("n"), 8, Dim.Named("h"), Dim.Named("w")]));
        Value conv = g.Node("Conv", [x, g.Random("w", 1, 8, 8, 3, 3)]);
        Value norm = g.Node("BatchNormalization", [conv, g.Random("gamma", 2, 8), g.Random("beta", 3, 8), g.Random("mean", 4, 8), g.Floats("variance", [1, 2, 3, 4, 5, 6, 7, 8])]);
        g.Output(norm, "y");
        var session = new InferenceSession(new Model(g.Graph));
        Tensor first = Weights(session, 1, 8, 9, 9).Single(), second = Weights(session, 3, 8, 12, 10).Single();
        Assert.That(second, Is.SameAs(first));
        Assert.That(first, Is.Not.SameAs(g.Graph.Nodes[0].Inputs[1]!.Constant), "batch norm was not folded, so nothing was tested");
    }

    [Test]
    public void DequantizedWeightsAreConstantsWhereNothingIsLowered()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 8, 9, 9);
        var random = new Random(1);
        var stored = new sbyte[8 * 8 * 9];
        for (int i = 0; i < stored.Length; i++) stored[i] = (sbyte)random.Next(-127, 128);
        Value w = g.Node("DequantizeLinear", [g.Editor.AddConstant("w", Tensor.Create(stored, 8, 8, 3, 3)), g.Floats("scale", [.. Enumerable.Range(1, 8).Select(i => i / 64f)]), g.Editor.AddConstant("zero", Tensor.Create(new sbyte[8], 8))],
            new AttributeMap { { "axis", 0L } });
        g.Output(g.Node("Conv", [x, w]), "y");
        var model = new Model(g.Graph);
        var options = new SessionOptions { Lower = false };
        Tensor[] one = Weights(new InferenceSession(model, options), 1, 8, 9, 9), two = Weights(new InferenceSession(model, options), 1, 8, 9, 9);
        Assert.That(one.Single(), Is.SameAs(two.Single()));
        float[] expected = [.. stored.Select((value, i) => value * ((i / 72 + 1) / 64f))];
        Assert.That(one.Single().Span<float>().ToArray(), Is.EqualTo(expected));
    }
}
