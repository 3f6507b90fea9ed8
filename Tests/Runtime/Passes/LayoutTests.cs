using Octet.Runtime.Graphs;
using Octet.Runtime.Passes;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes;

internal sealed class LayoutTests
{
    /// <summary>Fuses, lays out, checks that both graphs agree, and returns the laid-out one.</summary>
    private static Graph LayOut(TestGraph g)
    {
        TypeInference.Run(g.Graph);
        Graph graph = g.Graph.Clone();
        Octet.Runtime.Passes.Fusion.Run(graph, new RewriteOptions());
        Layout.Run(graph);
        GraphVerifier.Verify(graph);
        Dictionary<Value, TensorType> before = graph.Values.ToDictionary(value => value, value => value.Type);
        TypeInference.Run(graph);
        foreach ((Value value, TensorType type) in before) Assert.That(value.Type, Is.EqualTo(type), $"type of '{value.Name}'");

        int seed = 50;
        Dictionary<string, Tensor> inputs = g.Graph.Inputs.Where(input => !input.IsConstant).ToDictionary(input => input.Name, input => TestGraph.RandomTensor(seed++, input.Type.ConcreteShape()));
        Tensor[] expected = OperatorRunner.Run(g.Graph, inputs), actual = OperatorRunner.Run(graph, inputs);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.That(actual[i].Shape.ToArray(), Is.EqualTo(expected[i].Shape.ToArray()));
            Tolerance.AssertFused(actual[i].ToFloat32Array(), expected[i].ToFloat32Array());
        }
        return graph;
    }

    private static string[] Types(Graph graph) => [.. graph.Nodes.Select(node => node.QualifiedType)];

    private static Value Conv(TestGraph g, Value x, int inputs, int outputs, string name = "conv", int seed = 1, int stride = 1) =>
        g.Node("Conv", [x, g.Random(name + ".w", seed, outputs, inputs, 3, 3), g.Random(name + ".b", seed + 1, outputs)],
            new AttributeMap { { "pads", new long[] { 1, 1, 1, 1 } }, { "strides", new long[] { stride, stride } } }, name);

    [Test]
    public void AChainHasOneTransposeAtEitherEnd()
    {
        var g = new TestGraph();
        Value value = g.Input("x", 2, 3, 8, 8);
        value = g.Node("MaxPool", [g.Node("Relu", [Conv(g, value, 3, 5, "a")])], new AttributeMap { { "kernel_shape", new long[] { 2, 2 } } });
        value = g.Node("Sigmoid", [Conv(g, value, 5, 4, "b", 3)]);
        g.Output(g.Node("Neg", [value]), "y");
        Graph graph = LayOut(g);
        Assert.That(Types(graph), Is.EqualTo(new[] { "Transpose", "octet.Conv", "octet.MaxPool", "octet.Conv", "Neg", "Transpose" }));
    }

    [Test]
    public void ValuesKeepTheirNamesAndSayTheirOrder()
    {
        var g = new TestGraph();
        Value conv = Conv(g, g.Input("x", 2, 3, 8, 7), 3, 5);
        g.Output(g.Node("MaxPool", [conv], new AttributeMap { { "kernel_shape", new long[] { 2, 2 } } }, "pool"), "y");
        Graph graph = LayOut(g);
        Value made = graph.Nodes.Single(node => node.OperatorType == "Conv").Output;
        Assert.That(made.Name, Is.EqualTo(conv.Name));
        Assert.That(made.Type.ToString(), Is.EqualTo("float32[2,8,7,5]"));
        Assert.That(made.MemoryOrder, Is.EqualTo(new[] { 0, 2, 3, 1 }));
        Assert.That(graph.Outputs[0].Type.ToString(), Is.EqualTo("float32[2,5,7,6]"), "outputs stay channels-first");
        Assert.That(graph.Outputs[0].MemoryOrder, Is.Null);
    }

    [Test]
    public void AResidualBlockNeedsNoTransposeInside()
    {
        var g = new TestGraph();
        Value x = g.Node("Relu", [Conv(g, g.Input("x", 1, 3, 8, 8), 3, 4, "stem")], name: "r0");
        Value main = Conv(g, g.Node("Relu", [Conv(g, x, 4, 4, "a", 3)], name: "r1"), 4, 4, "b", 5);
        Value y = g.Node("Relu", [g.Node("Add", [main, x])], name: "r2");
        Value pooled = g.Node("GlobalAveragePool", [y]);
        g.Output(g.Node("Gemm", [g.Node("Flatten", [pooled]), g.Random("fc", 9, 4, 10)]), "logits");
        Graph graph = LayOut(g);
        Assert.That(Types(graph), Is.EqualTo(new[] { "Transpose", "octet.Conv", "octet.Conv", "octet.Conv", "octet.GlobalAveragePool", "Reshape", "octet.Gemm" }));
    }

    [Test]
    public void ConcatSplitPadSliceAndReductionsMove()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 3, 6, 6), a = Conv(g, x, 3, 4, "a"), b = Conv(g, x, 3, 2, "b", 3);
        Value joined = g.Node("Concat", [a, b], new AttributeMap { { "axis", 1L } });
        Value padded = g.Node("Pad", [joined, g.Ints("pads", 0, 1, 0, 2, 0, 0, 1, 0)]);
        Value sliced = g.Node("Slice", [padded, g.Ints("starts", 1, 1), g.Ints("ends", 7, 6), g.Ints("axes", 1, 3)]);
        Value normal = g.Node("Softmax", [sliced], new AttributeMap { { "axis", 1L } });
        Value[] halves = [g.Editor.AddValue("h0"), g.Editor.AddValue("h1")];
        g.Editor.AddNode("Split", [normal], halves, new AttributeMap { { "axis", 1L }, { "num_outputs", 2L } });
        Value mean = g.Node("ReduceMean", [halves[0], g.Ints("meanAxes", 2, 3)], new AttributeMap { { "keepdims", 0L } });
        Value largest = g.Node("ReduceMax", [halves[1], g.Ints("maxAxes", 1)], new AttributeMap { { "keepdims", 0L } });
        g.Output(mean, "mean");
        g.Output(largest, "largest");
        Graph graph = LayOut(g);
        Assert.That(Types(graph).Count(type => type == "Transpose"), Is.EqualTo(1), GraphPrinter.Print(graph));
    }

    [Test]
    public void SqueezeAndExcitationMovesThroughItsGate()
    {
        var g = new TestGraph();
        Value x = Conv(g, g.Input("x", 2, 3, 6, 6), 3, 8, "stem");
        Value pooled = g.Node("GlobalAveragePool", [x]);
        Value Dense(Value value, string name, int seed) => g.Node("Conv", [value, g.Random(name, seed, 8, 8, 1, 1)], name: name);
        Value gate = g.Node("HardSigmoid", [Dense(g.Node("Relu", [Dense(pooled, "down", 3)]), "up", 4)]);
        Value scaled = g.Node("Mul", [gate, x]);
        g.Output(Conv(g, scaled, 8, 4, "last", 7), "y");
        Graph graph = LayOut(g);
        Assert.That(Types(graph), Is.EqualTo(new[] { "Transpose", "octet.Conv", "octet.GlobalAveragePool", "octet.Conv", "octet.Conv", "Mul", "octet.Conv", "Transpose" }), GraphPrinter.Print(graph));
    }

    [Test]
    public void ConstantsPerChannelArePermuted()
    {
        var g = new TestGraph();
        Value x = Conv(g, g.Input("x", 1, 3, 5, 4), 3, 6);
        Value scaled = g.Node("Div", [x, g.Floats("scale", [1f, 2f, 4f, 8f, 16f, 32f], 6, 1, 1)]);
        Value sloped = g.Node("PRelu", [scaled, g.Random("slope", 5, 6, 1, 1)]);
        Value full = g.Node("Sub", [g.Random("full", 8, 1, 6, 5, 4), sloped]);
        g.Output(Conv(g, full, 6, 2, "last", 7), "y");
        Assert.That(Types(LayOut(g)), Is.EqualTo(new[] { "Transpose", "octet.Conv", "Div", "PRelu", "Sub", "octet.Conv", "Transpose" }));
    }

    [TestCase("nearest")]
    [TestCase("linear")]
    public void ResizeMoves(string mode)
    {
        var g = new TestGraph();
        Value x = Conv(g, g.Input("x", 1, 3, 4, 5), 3, 6);
        Value larger = g.Node("Resize", [x, null, g.Floats("scales", [1f, 1f, 2f, 3f])], new AttributeMap { { "mode", mode } });
        g.Output(Conv(g, larger, 6, 2, "last", 7), "y");
        Assert.That(Types(LayOut(g)), Is.EqualTo(new[] { "Transpose", "octet.Conv", "Resize", "octet.Conv", "Transpose" }));
    }

    [Test]
    public void OneAndThreeSpatialAxes()
    {
        var line = new TestGraph();
        Value a = line.Node("Conv", [line.Input("x", 2, 3, 9), line.Random("w1", 1, 4, 3, 3)], name: "a");
        line.Output(line.Node("Conv", [line.Node("Tanh", [a]), line.Random("w2", 2, 2, 4, 2)], name: "b"), "y");
        Assert.That(Types(LayOut(line)), Is.EqualTo(new[] { "Transpose", "octet.Conv", "octet.Conv", "Transpose" }));

        var volume = new TestGraph();
        Value c = volume.Node("Conv", [volume.Input("x", 1, 2, 4, 5, 6), volume.Random("w1", 1, 3, 2, 2, 2, 2)], name: "a");
        Value pool = volume.Node("AveragePool", [c], new AttributeMap { { "kernel_shape", new long[] { 2, 2, 2 } } });
        volume.Output(volume.Node("ConvTranspose", [pool, volume.Random("w2", 2, 3, 2, 2, 2, 2)], name: "b"), "y");
        Assert.That(Types(LayOut(volume)), Is.EqualTo(new[] { "Transpose", "octet.Conv", "octet.AveragePool", "octet.ConvTranspose", "Transpose" }));
    }

    [Test]
    public void AnInputOfOneChannelNeedsNoCopy()
    {
        var g = new TestGraph();
        g.Output(g.Node("GlobalAveragePool", [Conv(g, g.Input("x", 2, 1, 6, 6), 1, 4)]), "y");
        Assert.That(Types(LayOut(g)), Is.EqualTo(new[] { "Reshape", "octet.Conv", "octet.GlobalAveragePool", "Reshape" }));
    }

    [Test]
    public void ATransposeOfTheModelCancels()
    {
        var g = new TestGraph();
        Value x = g.Node("Transpose", [g.Input("x", 1, 6, 6, 3)], new AttributeMap { { "perm", new long[] { 0, 3, 1, 2 } } }, "in");
        g.Output(g.Node("Transpose", [Conv(g, x, 3, 4)], new AttributeMap { { "perm", new long[] { 0, 2, 3, 1 } } }, "out"), "y");
        Graph graph = LayOut(g);
        Assert.That(Types(graph), Is.EqualTo(new[] { "octet.Conv" }));
        Assert.That(graph.Outputs[0].MemoryOrder, Is.Null, "the model's own order is channels-last here");
    }

    [Test]
    public void AValueReadBothWaysIsTransposedOnce()
    {
        var g = new TestGraph();
        Value x = Conv(g, g.Input("x", 1, 3, 5, 5), 3, 4);
        g.Output(g.Node("Conv", [x, g.Random("w", 4, 2, 4, 1, 1)], name: "reads"), "y");
        g.Output(g.Node("LRN", [x], new AttributeMap { { "size", 3L } }), "normal");
        g.Output(g.Node("Reshape", [x, g.Ints("shape", 4, 25)]), "flat");
        Graph graph = g.Graph;
        TypeInference.Run(graph);
        Octet.Runtime.Passes.Fusion.Run(graph, new RewriteOptions());
        Layout.Run(graph);
        Assert.That(graph.Nodes.Count(node => node.Is("Transpose") && node.Inputs[0]!.Name == x.Name), Is.EqualTo(1));
    }
}
