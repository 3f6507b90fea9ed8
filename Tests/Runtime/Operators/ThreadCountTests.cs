using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>Operators that cut their work into pieces give the same bits on one thread and on four.</summary>
internal sealed class ThreadCountTests
{
    private static readonly Tensor Image = TestGraph.RandomTensor(1, 2, 12, 40, 50), Channels = TestGraph.RandomTensor(2, 12), Plane = TestGraph.RandomTensor(3, 12, 1, 50);

    public static IEnumerable<TestCaseData> Cases()
    {
        foreach (string type in (string[])["Relu", "Sin", "Erf", "Softmax", "Hardmax", "ReduceMean", "ReduceLogSumExp", "Transpose", "IsNaN"]) yield return Case(type, [Image]);
        foreach (string type in (string[])["Add", "Div", "Pow", "Max", "Less"])
        {
            yield return Case(type, [Image, Plane]);
            yield return Case(type, [Doubles(Plane), Doubles(Image)]);
        }
        yield return Case("Clip", [Doubles(Image), Tensor.Scalar(-0.5), Tensor.Scalar(0.5)]);
        yield return Case("Cast", [Image], new() { ["to"] = (int)DataType.Float16 });
        yield return Case("Where", [new Tensor(DataType.Bool, [40, 1]), Image, Plane]);
        yield return Case("BatchNormalization", [Image, Channels, Channels, Channels, OneNode.Run("Abs", [Channels])[0]]);
        yield return Case("InstanceNormalization", [Image, Channels, Channels]);
        yield return Case("InstanceNormalization", [Doubles(Image), Doubles(Channels), Doubles(Channels)]);
        yield return Case("LRN", [Image], new() { ["size"] = 5 });
        yield return Case("ReduceSum", [Doubles(Image), Tensor.Create([1L, 3L], 2)]);
        yield return Case("Concat", [Image, Image, Image], new() { ["axis"] = 2 });
        yield return Case("Pad", [Image, Tensor.Create([0L, 0, 1, 1, 0, 0, 1, 1], 8)], new() { ["mode"] = "wrap" });
        yield return Case("Slice", [Image, Tensor.Create([49L], 1), Tensor.Create([-99L], 1), Tensor.Create([3L], 1), Tensor.Create([-2L], 1)]);
    }

    [TestCaseSource(nameof(Cases))]
    public void FourThreadsGiveTheSameBits(string type, Tensor[] inputs, AttributeMap attributes) =>
        Assert.That(Run(type, inputs, attributes, new Parallelism(TestPool.Four, 4)), Is.EqualTo(Run(type, inputs, attributes, Parallelism.None)));

    private static byte[] Run(string type, Tensor[] inputs, AttributeMap attributes, Parallelism parallel)
    {
        var graph = new TestGraph();
        Value?[] values = [.. inputs.Select((input, i) => graph.Input($"x{i}", new TensorType(input.Type, input.Shape)))];
        Node node = graph.Editor.AddNode(type, values, [graph.Editor.AddValue("y")], attributes);
        var c = new EvaluateContext(node, [.. inputs], TestGraph.Options with { Workers = parallel.MaxWorkers }, parallel);
        return ((Tensor)OperatorTable.Require(node).Evaluate(c)[0]!).Bytes.ToArray();
    }

    private static Tensor Doubles(Tensor x) => Tensor.Create(Array.ConvertAll(x.Span<float>().ToArray(), value => (double)value), x.Shape);

    private static TestCaseData Case(string type, Tensor[] inputs, AttributeMap? attributes = null) =>
        new TestCaseData(type, inputs, attributes ?? []).SetArgDisplayNames(type, string.Join(" ", inputs.Select(input => input.ToString())));
}
