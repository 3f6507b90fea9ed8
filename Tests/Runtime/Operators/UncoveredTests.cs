using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>Operators that no conformance case reaches.</summary>
internal sealed class UncoveredTests
{
    [Test]
    public void InverseHyperbolicFunctions()
    {
        float[] x = [1f, 1.5f, 4f];
        Assert.That(OneNode.Run("Acosh", [Tensor.Create(x, 3)])[0].ToFloat32Array(), Is.EqualTo(x.Select(MathF.Acosh)).Within(1e-6f));
        Assert.That(OneNode.Run("Asinh", [Tensor.Create(x, 3)])[0].ToFloat32Array(), Is.EqualTo(x.Select(MathF.Asinh)).Within(1e-6f));
        Assert.That(OneNode.Run("Atanh", [Tensor.Create(new[] { -0.5f, 0f, 0.9f }, 3)])[0].ToFloat32Array(), Is.EqualTo(new[] { MathF.Atanh(-0.5f), 0f, MathF.Atanh(0.9f) }).Within(1e-6f));
    }

    [TestCase("BitwiseAnd", new[] { 0b1000, 0 })]
    [TestCase("BitwiseOr", new[] { 0b1110, -1 })]
    [TestCase("BitwiseXor", new[] { 0b0110, -1 })]
    public void BitwiseFunctions(string type, int[] expected) =>
        Assert.That(OneNode.Run(type, [Tensor.Create([0b1100, -1], 2), Tensor.Create([0b1010, 0], 2)])[0].Span<int>().ToArray(), Is.EqualTo(expected));

    [Test]
    public void BitwiseNotInvertsEveryBit() =>
        Assert.That(OneNode.Run("BitwiseNot", [Tensor.Create(new byte[] { 0, 0xF0 }, 2)])[0].Span<byte>().ToArray(), Is.EqualTo(new byte[] { 0xFF, 0x0F }));

    [TestCase(0)]
    [TestCase(1)]
    public void SequencesAreReversedUpToTheirLength(int timeAxis)
    {
        int[] columns = [3, 6, 9, 12, 2, 5, 8, 13, 1, 4, 10, 14, 0, 7, 11, 15];
        Tensor x = Tensor.Create([0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15], 4, 4), lengths = Tensor.Create([4L, 3, 2, 1], 4);
        if (timeAxis == 1) x = OneNode.Run("Transpose", [x])[0];
        Tensor y = OneNode.Run("ReverseSequence", [x, lengths], new() { ["time_axis"] = timeAxis, ["batch_axis"] = 1 - timeAxis })[0];
        if (timeAxis == 1) y = OneNode.Run("Transpose", [y])[0];
        Assert.That(y.Span<int>().ToArray(), Is.EqualTo(columns));
        Assert.Throws<DataException>(() => OneNode.Run("ReverseSequence", [x, Tensor.Create([5L, 0, 0, 0], 4)]));
    }

    [Test]
    public void MiddleIsCutOrPaddedWithTheOddElementAtTheEnd()
    {
        Tensor x = Tensor.Create([1, 2, 3, 4, 5, 6, 7], 7);
        Assert.That(OneNode.Run("CenterCropPad", [x, Tensor.Create([4L], 1)])[0].Span<int>().ToArray(), Is.EqualTo(new[] { 2, 3, 4, 5 }));
        Assert.That(OneNode.Run("CenterCropPad", [x, Tensor.Create([10L], 1)])[0].Span<int>().ToArray(), Is.EqualTo(new[] { 0, 1, 2, 3, 4, 5, 6, 7, 0, 0 }));
        Tensor y = OneNode.Run("CenterCropPad", [x.Reshape(1, 7), Tensor.Create([1L], 1)], new() { ["axes"] = new long[] { -1 } })[0];
        Assert.That(y.Shape.ToArray(), Is.EqualTo(new[] { 1, 1 }));
        Assert.That(y.Span<int>()[0], Is.EqualTo(4));
    }

    [Test]
    public void ColumnsAreSummedWhereTheWindowReadThem()
    {
        // The transpose of im2col: pixel p receives the sum of all column entries whose tap lies on it.
        int height = 5, width = 4, places = ((5 + 1 + 0 - 3) / 2 + 1) * ((4 + 0 + 1 - 2) / 1 + 1);
        Tensor columns = TestGraph.PowersOfTwo(1, 2, 3 * 2 * 2, places);
        Tensor y = OneNode.Run("Col2Im", [columns, Tensor.Create([5L, 4L], 2), Tensor.Create([2L, 2L], 2)],
            new() { ["dilations"] = new long[] { 2, 1 }, ["strides"] = new long[] { 2, 1 }, ["pads"] = new long[] { 1, 0, 0, 1 } })[0];
        Assert.That(y.Shape.ToArray(), Is.EqualTo(new[] { 2, 3, height, width }));
        var expected = new float[y.Length];
        for (int n = 0; n < 2; n++)
            for (int c = 0; c < 3; c++)
                for (int ky = 0; ky < 2; ky++)
                    for (int kx = 0; kx < 2; kx++)
                        for (int place = 0; place < places; place++)
                        {
                            int row = place / 4 * 2 - 1 + 2 * ky, column = place % 4 + kx;
                            if (row < 0 || row >= height || column >= width) continue;
                            expected[((n * 3 + c) * height + row) * width + column] += columns.Span<float>()[(n * 12 + c * 4 + ky * 2 + kx) * places + place];
                        }
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(expected));
    }

    [Test]
    public void CachesAreWrittenAtTheirIndices()
    {
        Tensor cache = new(DataType.Int32, [2, 1, 4, 1]), update = Tensor.Create([1, 2, 3, 4], 2, 1, 2, 1), at = Tensor.Create([2L, 3L], 2);
        Tensor y = OneNode.Run("TensorScatter", [cache, update, at], new() { ["mode"] = "circular" }, opset: 24)[0];
        Assert.That(y.Span<int>().ToArray(), Is.EqualTo(new[] { 0, 0, 1, 2, 4, 0, 0, 3 }));
        Assert.Throws<DataException>(() => OneNode.Run("TensorScatter", [cache, update, at], opset: 24));
        Assert.That(OneNode.Run("TensorScatter", [cache, update], opset: 24)[0].Span<int>().ToArray(), Is.EqualTo(new[] { 1, 2, 0, 0, 3, 4, 0, 0 }));
    }

    [TestCase("FastGelu")]
    [TestCase("BiasGelu")]
    public void GeluWithABias(string type)
    {
        Tensor x = TestGraph.RandomTensor(1, 3, 8), bias = TestGraph.RandomTensor(2, 8);
        Tensor sum = OneNode.Run("Add", [x, bias])[0];
        Tensor expected = OneNode.Run("Gelu", [sum], new() { ["approximate"] = type == "FastGelu" ? "tanh" : "none" })[0];
        Assert.That(OneNode.Run(type, [x, bias], domain: "com.microsoft")[0].Span<float>().ToArray(), Is.EqualTo(expected.Span<float>().ToArray()));
    }
}
