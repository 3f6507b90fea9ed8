using Octet.Quantization;
using Octet.Quantization.Calibration;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Quantization;

/// <summary>From a float model to integers on this machine: every operator that the quantizer marks runs in integers and means what the float model means.</summary>
internal sealed class OperatorQuantizationTests
{
    internal sealed record Case(string Name, Func<TestGraph, Value, Value> Build)
    {
        public override string ToString() => Name;
    }

    private static readonly Case[] Cases =
    [
        new("ConvTranspose", (g, x) => g.Node("ConvTranspose", [x, g.Random("tw", 21, 4, 4, 2, 2), g.Random("tb", 22, 4)], new AttributeMap { ["strides"] = new long[] { 2, 2 } }, "op")),
        new("ConvTranspose grouped", (g, x) => g.Node("ConvTranspose", [x, g.Random("tw", 21, 4, 2, 3, 3)], new AttributeMap { ["group"] = 2L }, "op")),
        new("MatMul", (g, x) => g.Node("MatMul", [x, g.Node("Transpose", [x], new AttributeMap { ["perm"] = new long[] { 0, 1, 3, 2 } }, "turn")], name: "op")),
        new("BatchNormalization", (g, x) => Bn(g, x)),
        new("BatchNormalization Relu", (g, x) => g.Node("Relu", [Bn(g, x)], name: "act")),
        new("Sub", (g, x) => g.Node("Sub", [x, g.Node("Sigmoid", [x], name: "gate")], name: "op")),
        new("Div", (g, x) => g.Node("Div", [x, g.Node("Exp", [g.Node("Tanh", [x], name: "bounded")], name: "positive")], name: "op")),
        new("PRelu", (g, x) => g.Node("PRelu", [x, g.Random("slope", 23, 4, 1, 1)], name: "op")),
        new("ReduceMean", (g, x) => g.Node("ReduceMean", [x, g.Ints("axes", 3)], new AttributeMap { ["keepdims"] = 1L }, "op")),
        new("Pad", (g, x) => g.Node("Pad", [x, g.Ints("pads", 0, 0, 1, 2, 0, 0, 1, 0)], new AttributeMap { ["mode"] = "reflect" }, "op")),
        new("Gather", (g, x) => g.Node("Gather", [x, g.Ints("indices", 3, 0, 1, 1)], new AttributeMap { ["axis"] = 1L }, "op")),
        new("Slice", (g, x) => g.Node("Slice", [x, g.Ints("starts", 1), g.Ints("ends", 5), g.Ints("axes", 2)], name: "op")),
        new("Split", (g, x) =>
        {
            Value[] parts = [g.Editor.AddValue("left"), g.Editor.AddValue("right")];
            g.Editor.AddNode("Split", [x, g.Ints("sizes", 2, 2)], parts, new AttributeMap { ["axis"] = 1L }, name: "op");
            return g.Node("Concat", [parts[1], parts[0]], new AttributeMap { ["axis"] = 1L }, "joined");
        }),
        new("Resize", (g, x) => g.Node("Resize", [x, null, g.Floats("scales", [1, 1, 2, 2])], new AttributeMap { ["mode"] = "nearest" }, "op")),
        new("DepthToSpace", (g, x) => g.Node("SpaceToDepth", [g.Node("DepthToSpace", [x], new AttributeMap { ["blocksize"] = 2L }, "op")], new AttributeMap { ["blocksize"] = 2L }, "back")),
        new("Tile", (g, x) => g.Node("Tile", [x, g.Ints("repeats", 1, 1, 2, 1)], name: "op")),
        new("Expand", (g, x) => g.Node("Expand", [x, g.Ints("shape", 2, 4, 6, 6)], name: "op")),
        new("Neg", (g, x) => g.Node("Neg", [x], name: "op")),
        new("Pow", (g, x) => g.Node("Pow", [x, g.Scalar("two", 2)], name: "op")),
        new("LogSigmoid", (g, x) => g.Node("Log", [g.Node("Sigmoid", [x], name: "gate")], name: "op")),
        new("Mish", (g, x) => g.Node("Mish", [x], name: "op")),
        new("ThresholdedRelu", (g, x) => g.Node("ThresholdedRelu", [x], new AttributeMap { ["alpha"] = 0.3f }, "op")),
    ];

    private static Value Bn(TestGraph g, Value x) =>
        g.Node("BatchNormalization", [g.Node("LeakyRelu", [x], name: "before"), g.Random("gamma", 3, 4), g.Random("beta", 4, 4), g.Random("mean", 5, 4), g.Floats("variance", [0.5f, 1, 1.5f, 2])], name: "op");

    [Test]
    public void AQuantizedOperatorRunsInIntegers([ValueSource(nameof(Cases))] Case test, [Values] ActivationType type)
    {
        var g = new TestGraph();
        Value y = g.Node("Conv", [g.Input("x", 1, 3, 6, 6), g.Random("w", 1, 4, 3, 3, 3), g.Random("b", 2, 4)], new AttributeMap { ["pads"] = new long[] { 1, 1, 1, 1 } }, "first");
        y = test.Build(g, y);
        g.Output(g.Node("Conv", [y, g.Random("w2", 6, 5, 4, 1, 1)], name: "last"), "y");
        Check(g, type, ["op"], [TestGraph.RandomTensor(50, 1, 3, 6, 6), TestGraph.RandomTensor(51, 1, 3, 6, 6), TestGraph.RandomTensor(52, 1, 3, 6, 6)]);
    }

    [Test]
    public void AnEmbeddingIsStoredAndReadAsBytes([Values] ActivationType type)
    {
        var g = new TestGraph();
        Value ids = g.Input("x", new TensorType(DataType.Int64, (ReadOnlySpan<int>)[2, 3]));
        Value rows = g.Node("Gather", [g.Random("table", 1, 40, 16), ids], name: "op");
        g.Output(g.Node("MatMul", [rows, g.Random("w", 2, 16, 8)], name: "last"), "y");
        QuantizationResult result = Check(g, type, ["op"], [Tensor.Create(new long[] { 0, 5, 39, 17, 17, 2 }, 2, 3)]);
        Assert.That(result.Model.Graph.Values.Any(value => value.Constant is { Length: 640, Type: DataType.Int8 or DataType.UInt8 }));
        Assert.That(result.Model.Graph.Values.Any(value => value.Constant is { Length: 640, Type: DataType.Float32 }), Is.False);
    }

    [Test]
    public void AttentionKeepsOnlySoftmaxInFloat([Values] ActivationType type)
    {
        var g = new TestGraph();
        Value x = g.Input("x", 2, 5, 12);
        Value Project(string name, int seed, params long[] perm) => g.Node("Transpose", [g.Node("Reshape", [g.Node("MatMul", [x, g.Random(name + "w", seed, 12, 12)], name: name), g.Ints(name + "shape", 0, 0, 3, 4)], name: name + "heads")], new AttributeMap { ["perm"] = perm }, name + "turn");
        Value scores = g.Node("Div", [g.Node("MatMul", [Project("q", 1, 0, 2, 1, 3), Project("k", 2, 0, 2, 3, 1)], name: "qk"), g.Scalar("root", 2)], name: "scaled");
        Value context = g.Node("MatMul", [g.Node("Softmax", [scores], new AttributeMap { ["axis"] = -1L }, "softmax"), Project("v", 3, 0, 2, 1, 3)], name: "valatt");
        context = g.Node("Reshape", [g.Node("Transpose", [context], new AttributeMap { ["perm"] = new long[] { 0, 2, 1, 3 } }, "merge"), g.Ints("flat", 0, 0, 12)], name: "merged");
        g.Output(g.Node("MatMul", [context, g.Random("out", 4, 12, 12)], name: "last"), "y");
        Tensor[] samples = [TestGraph.RandomTensor(60, 2, 5, 12), TestGraph.RandomTensor(61, 2, 5, 12)];
        QuantizationResult result = Check(g, type, ["qk", "valatt"], samples);
        IReadOnlyList<OperatorExplanation> lines = new InferenceSession(result.Model).Explain([samples[0]]);
        Assert.That(lines.Where(line => line.Arithmetic == "float").Select(line => line.OperatorType), Is.EqualTo(new[] { "Softmax" }), Text(lines));
        Assert.That(lines.Count(line => line.OperatorType == "octet.QMatMul"), Is.EqualTo(2));
    }

    private static string Text(IReadOnlyList<OperatorExplanation> lines) => string.Join("\n", lines.Select(line => $"{line.OperatorType} '{line.Node}' {line.Arithmetic}: {string.Join(", ", line.Rules)} {line.Reason}"));

    /// <summary>Quantizes by the samples' own ranges and compares: every tensor on the way keeps its values to half a step of its range, and none of these models amplifies that beyond a tenth of the largest result.</summary>
    private static QuantizationResult Check(TestGraph g, ActivationType type, string[] operators, Tensor[] samples)
    {
        Model model = new(g.Graph);
        QuantizationResult result = Quantizer.Quantize(model, samples.Select(sample => new Dictionary<string, Tensor> { ["x"] = sample }), new QuantizationOptions { Calibration = CalibrationMode.Naive, Type = type });
        var session = new InferenceSession(result.Model);
        IReadOnlyList<OperatorExplanation> lines = session.Explain([samples[0]]);
        foreach (string name in operators)
        {
            Assert.That(result.Report.Decisions.Single(decision => decision.Node == name).Quantized, Is.True, name);
            Assert.That(lines.Where(line => line.Origins.Contains(name)).Select(line => line.Arithmetic), Is.Not.Empty.And.All.StartsWith("int8"), Text(lines));
        }
        foreach (Tensor sample in samples)
        {
            var inputs = new Dictionary<string, Tensor> { ["x"] = sample };
            float[] expected = new InferenceSession(model).Run(inputs)["y"].ToFloat32Array(), actual = session.Run(inputs)["y"].ToFloat32Array();
            float largest = expected.Max(MathF.Abs);
            for (int i = 0; i < expected.Length; i++) Assert.That(actual[i], Is.EqualTo(expected[i]).Within(0.1f * largest));
        }
        return result;
    }
}
