using Octet.Kernels.Memory;
using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>A step that was prepared once runs without touching the managed heap.</summary>
internal sealed class AllocationTests
{
    private static readonly Tensor Image = TestGraph.RandomTensor(1, 2, 6, 4, 4), Row = TestGraph.RandomTensor(2, 4), Channels = Filled(6, 0.5f);

    public static IEnumerable<TestCaseData> Cases()
    {
        foreach (string type in (string[])["Abs", "Acos", "Atan", "Ceil", "Celu", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Hardmax", "IsInf", "IsNaN", "LeakyRelu", "Log",
            "LogSoftmax", "LpNormalization", "MeanVarianceNormalization", "Mish", "Neg", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Softmax", "Softplus", "Sqrt", "Tan", "Tanh",
            "ArgMax", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Transpose", "Identity", "Flatten", "Shape",
            "Size", "RandomNormalLike", "EyeLike"])
        {
            yield return Case(type, [type == "EyeLike" ? TestGraph.RandomTensor(1, 5, 7) : Image]);
        }
        foreach (string type in (string[])["Add", "Sub", "Mul", "Div", "PRelu", "Pow", "Max", "Min", "Sum", "Mean", "Equal", "Less", "Mod"])
        {
            yield return Case(type, [Image, Row], type == "Mod" ? new() { ["fmod"] = 1 } : null);
            if (type != "PRelu") yield return Case(type, [Integers(3, 5, 4), Integers(1, 5, 1)]);
        }
        yield return Case("Where", [new Tensor(DataType.Bool, [4, 1]), Image, Row]);
        yield return Case("Clip", [Image, Tensor.Scalar(-0.5f), Tensor.Scalar(0.5f)]);
        yield return Case("Clip", [Integers(7), Tensor.Scalar(2L), Tensor.Scalar(3L)]);
        yield return Case("Cast", [Image], new() { ["to"] = (int)DataType.UInt8 });
        yield return Case("CumSum", [Image, Tensor.Scalar(1L)]);
        yield return Case("BatchNormalization", [Image, Channels, Channels, Channels, Channels]);
        yield return Case("InstanceNormalization", [Image, Channels, Channels]);
        yield return Case("GroupNormalization", [Image, Channels, Channels], new() { ["num_groups"] = 2 });
        yield return Case("LayerNormalization", [Image, Row, Row]);
        yield return Case("LRN", [Image], new() { ["size"] = 3 });
        yield return Case("Concat", [Image, Image], new() { ["axis"] = 1 });
        yield return Case("Split", [Image], new() { ["axis"] = 1, ["num_outputs"] = 1 });
        yield return Case("Slice", [Image, Integers1(3), Integers1(-9), Integers1(2), Integers1(-2)]);
        yield return Case("Pad", [Image, Tensor.Create([0L, 0, 1, 1, 0, 0, 1, 1], 8)], new() { ["mode"] = "reflect" });
        yield return Case("Expand", [Row, Tensor.Create([3L, 4L], 2)]);
        yield return Case("Tile", [Row, Integers1(3)]);
        yield return Case("Gather", [Image, Integers1(1)]);
        yield return Case("GatherElements", [Row, Integers1(1)]);
        yield return Case("GatherND", [Row, Tensor.Create([1L, 2L], 2, 1)]);
        yield return Case("ScatterElements", [Row, Integers1(1), Filled(1, 3)], new() { ["reduction"] = "add" });
        yield return Case("ScatterND", [Row, Tensor.Create([1L], 1, 1), Filled(1, 3)]);
        yield return Case("TopK", [Image, Integers1(2)]);
        yield return Case("OneHot", [Integers1(1), Tensor.Scalar(3L), Filled(2, 1)]);
        yield return Case("DepthToSpace", [TestGraph.RandomTensor(1, 1, 8, 2, 2)], new() { ["blocksize"] = 2 });
        yield return Case("Trilu", [Image]);
        yield return Case("Range", [Tensor.Scalar(0f), Tensor.Scalar(9f), Tensor.Scalar(2f)]);
    }

    [TestCaseSource(nameof(Cases))]
    public void RunningAllocatesNothing(string type, Tensor[] inputs, AttributeMap attributes)
    {
        var graph = new TestGraph();
        Value?[] values = [.. inputs.Select((input, i) => graph.Input($"x{i}", new TensorType(input.Type, input.Shape)))];
        Node node = graph.Editor.AddNode(type, values, [graph.Editor.AddValue("y0")], attributes);
        StaticEvaluation.Prepared prepared = StaticEvaluation.Prepare(OperatorTable.Require(node), new EvaluateContext(node, [.. inputs], TestGraph.Options, Parallelism.None));
        Tensor?[] outputs = [.. prepared.Outputs.Select(output => output is null ? null : new Tensor(output.Element, output.ConcreteShape()))];
        Memory<byte> scratch = prepared.Step.ScratchBytes == 0 ? default : new AlignedBuffer(prepared.Step.ScratchBytes).Memory;
        var c = new StepContext(inputs, outputs, scratch, Parallelism.None);
        for (int i = 0; i < 3; i++) prepared.Step.Run(c);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10; i++) prepared.Step.Run(c);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    private static Tensor Filled(int count, float value)
    {
        var tensor = new Tensor(DataType.Float32, [count]);
        tensor.Span<float>().Fill(value);
        return tensor;
    }

    private static Tensor Integers(params int[] shape)
    {
        var tensor = new Tensor(DataType.Int64, shape);
        for (int i = 0; i < tensor.Length; i++) tensor.Span<long>()[i] = i % 5 + 1;
        return tensor;
    }

    private static Tensor Integers1(long value) => Tensor.Create([value], 1);

    private static TestCaseData Case(string type, Tensor[] inputs, AttributeMap? attributes = null) =>
        new TestCaseData(type, inputs, attributes ?? []).SetArgDisplayNames(type, string.Join(" ", inputs.Select(input => input.ToString())));
}
