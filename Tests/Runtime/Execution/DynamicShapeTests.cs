using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Execution;

/// <summary>Extents that change from run to run, that are 0, that are absent; negative axes and steps.</summary>
internal sealed class DynamicShapeTests
{
    /// <summary>A convolution, a pool and shape arithmetic on an image of any batch, height and width.</summary>
    [Test]
    public void BatchAndImageSizeChangeBetweenRuns()
    {
        var g = new TestGraph();
        Value x = g.Editor.AddInput("x", new TensorType(DataType.Float32, [Dim.Unknown, 3, Dim.Unknown, Dim.Unknown]));
        Value y = g.Node("Relu", [g.Node("Conv", [x, g.Random("w", 1, 8, 3, 3, 3), g.Random("b", 2, 8)], new AttributeMap { ["pads"] = new long[] { 1, 1, 1, 1 } })]);
        y = g.Node("MaxPool", [y], new AttributeMap { ["kernel_shape"] = new long[] { 2, 2 }, ["strides"] = new long[] { 2, 2 } });
        Value batch = g.Node("Shape", [y], new AttributeMap { ["end"] = 1L });
        Value flat = g.Node("Reshape", [y, g.Node("Concat", [batch, g.Ints("rest", -1)], new AttributeMap { ["axis"] = 0L })]);
        g.Output(g.Node("ReduceMean", [flat, g.Ints("last", -1)], name: "mean"), "mean");
        g.Output(flat, "flat");
        var session = new InferenceSession(new Model(g.Graph), new SessionOptions { Threads = 1 });
        foreach (int[] shape in (int[][])[[1, 3, 8, 8], [2, 3, 9, 6], [1, 3, 8, 8], [5, 3, 2, 31], [0, 3, 8, 8]])
        {
            var inputs = new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(3, shape) };
            IReadOnlyDictionary<string, Tensor> outputs = session.Run(inputs);
            Assert.That(outputs["flat"].Shape[0], Is.EqualTo(shape[0]));
            if (shape[0] == 0) continue;
            RuntimeValue?[] expected = Interpreter.Run(g.Graph, inputs.ToDictionary(pair => pair.Key, pair => (RuntimeValue?)pair.Value), TestGraph.Options);
            Tolerance.AssertFused(outputs["flat"].ToFloat32Array(), ((Tensor)expected[1]!).ToFloat32Array());
        }
    }

    [Test]
    public void SequenceLengthChangesBetweenRuns()
    {
        var g = new TestGraph();
        Value x = g.Editor.AddInput("x", new TensorType(DataType.Float32, [Dim.Unknown, Dim.Unknown, 6]));
        Value y = g.Editor.AddValue("y"), last = g.Editor.AddValue("last");
        g.Editor.AddNode("GRU", [x, g.Random("w", 1, 1, 12, 6), g.Random("r", 2, 1, 12, 4)], [y, last], new AttributeMap { ["hidden_size"] = 4L });
        g.Output(y);
        g.Output(last);
        var session = new InferenceSession(new Model(g.Graph));
        Tensor whole = TestGraph.RandomTensor(9, 7, 2, 6);
        float[] all = session.Run(new Dictionary<string, Tensor> { ["x"] = whole })["y"].ToFloat32Array();
        for (int steps = 6; steps >= 1; steps--)
        {
            Tensor part = Tensor.Create(whole.ToFloat32Array()[..(steps * 12)], steps, 2, 6);
            IReadOnlyDictionary<string, Tensor> outputs = session.Run(new Dictionary<string, Tensor> { ["x"] = part });
            Tolerance.AssertFused(outputs["y"].ToFloat32Array(), all[..(steps * 8)]);
            Tolerance.AssertFused(outputs["last"].ToFloat32Array(), all[((steps - 1) * 8)..(steps * 8)]);
        }
    }

    private static IEnumerable<TestCaseData> Empties()
    {
        yield return Empty("Relu", [], "0,3");
        yield return Empty("Add", [], "0,3", "3");
        yield return Empty("MatMul", [], "0,4", "4,5");
        yield return Empty("MatMul", [], "3,0", "0,5");
        yield return Empty("Gemm", [], "0,4", "4,5");
        yield return Empty("Softmax", new() { ["axis"] = -1L }, "0,4");
        yield return Empty("Transpose", new() { ["perm"] = new long[] { 1, 0 } }, "0,4");
        yield return Empty("Concat", new() { ["axis"] = 0L }, "0,4", "2,4");
        yield return Empty("ReduceSum", new() { ["keepdims"] = 0L }, "0,4");
        yield return Empty("Flatten", new() { ["axis"] = 1L }, "0,4,2");
        yield return Empty("Conv", [], "0,2,5,5", "3,2,3,3");
        yield return Empty("MaxPool", new() { ["kernel_shape"] = new long[] { 2, 2 } }, "0,2,5,5");
        yield return Empty("GlobalAveragePool", [], "0,2,5,5");
        yield return Empty("LayerNormalization", [], "0,4", "4");
        yield return Empty("BatchNormalization", [], "0,2,3", "2", "2", "2", "2");
        yield return Empty("NonZero", [], "0,3");
        yield return Empty("Gelu", [], "2,0");
        yield return Empty("Erf", [], "2,0,3");
    }

    [TestCaseSource(nameof(Empties))]
    public void EmptyTensorsAgreeWithOnnxRuntime(string type, AttributeMap attributes, string[] shapes)
    {
        var g = new TestGraph(opset: 20);
        var inputs = new Dictionary<string, Tensor>();
        Value[] operands = [.. shapes.Select((text, i) =>
        {
            int[] shape = [.. text.Split(',').Select(int.Parse)];
            inputs[$"x{i}"] = TestGraph.RandomTensor(i + 1, shape);
            return g.Input($"x{i}", shape);
        })];
        g.Output(g.Node(type, operands, attributes), "y");
        Oracle.Compare(g.Graph, inputs);
    }

    [TestCase("Add", 2)]
    [TestCase("Mul", 2)]
    [TestCase("Relu", 1)]
    [TestCase("Sqrt", 1)]
    [TestCase("Softplus", 1)]
    [TestCase("Identity", 1)]
    public void ScalarsHaveNoAxes(string type, int count)
    {
        var g = new TestGraph();
        Value[] operands = [.. Enumerable.Range(0, count).Select(i => g.Input($"x{i}", new TensorType(DataType.Float32, default(ReadOnlySpan<int>))))];
        g.Output(g.Node(type, operands), "y");
        Oracle.Compare(g.Graph, Enumerable.Range(0, count).ToDictionary(i => $"x{i}", i => Tensor.Scalar(1.5f + i)));
    }

    [TestCase("Softmax", -2L)]
    [TestCase("ArgMax", -3L)]
    [TestCase("Concat", -1L)]
    [TestCase("Gather", -2L)]
    [TestCase("Split", -2L)]
    [TestCase("CumSum", -1L)]
    [TestCase("TopK", -2L)]
    [TestCase("Flatten", -1L)]
    public void NegativeAxes(string type, long axis)
    {
        var g = new TestGraph(opset: 17);
        Value x = g.Input("x", 2, 4, 6);
        Value?[] operands = type switch
        {
            "Concat" => [x, x],
            "Gather" => [x, g.Ints("indices", -1, 0, 3)],
            "CumSum" => [x, g.Editor.AddConstant("axis", Tensor.Scalar(axis))],
            "TopK" => [x, g.Ints("k", 2)],
            _ => [x],
        };
        Value[] results = [.. Enumerable.Range(0, type is "Split" or "TopK" ? 2 : 1).Select(i => g.Editor.AddValue($"y{i}"))];
        g.Editor.AddNode(type, operands, results, type == "CumSum" ? [] : new AttributeMap { ["axis"] = axis });
        foreach (Value result in results) g.Output(result);
        Oracle.Compare(g.Graph, new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(4, 2, 4, 6) });
    }

    [TestCase(new long[] { -1, 5 }, new long[] { -100, 0 }, new long[] { -1, -2 })]
    [TestCase(new long[] { 3, -2 }, new long[] { 0, -7 }, new long[] { -2, -1 })]
    [TestCase(new long[] { 0, 1 }, new long[] { 100, 1 }, new long[] { 3, 1 })]
    public void NegativeSteps(long[] starts, long[] ends, long[] steps)
    {
        var g = new TestGraph();
        g.Output(g.Node("Slice", [g.Input("x", 4, 6), g.Ints("starts", starts), g.Ints("ends", ends), g.Ints("axes", -2, -1), g.Ints("steps", steps)]), "y");
        Oracle.Compare(g.Graph, new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(4, 4, 6) });
    }

    private static TestCaseData Empty(string type, AttributeMap attributes, params string[] shapes) => new TestCaseData(type, attributes, shapes).SetArgDisplayNames(type, string.Join(" ", shapes));
}
