using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>Edges of movement and shape operators that the conformance cases leave open.</summary>
internal sealed class MovementTests
{
    private static Tensor Ints(params long[] values) => Tensor.Create(values, values.Length);

    [Test]
    public void StringsMoveLikeNumbers()
    {
        var x = new Tensor(["a", "b", "c", "d"], [2, 2]);
        Assert.That(OneNode.Run("Transpose", [x])[0].Strings.ToArray(), Is.EqualTo(new[] { "a", "c", "b", "d" }));
        Assert.That(OneNode.Run("Concat", [x, x], new() { ["axis"] = 1 })[0].Strings.ToArray(), Is.EqualTo(new[] { "a", "b", "a", "b", "c", "d", "c", "d" }));
        Assert.That(OneNode.Run("Gather", [x, Ints(-1)])[0].Strings.ToArray(), Is.EqualTo(new[] { "c", "d" }));
        Assert.That(OneNode.Run("Reshape", [x, Ints(-1)])[0].Strings.ToArray(), Is.EqualTo(new[] { "a", "b", "c", "d" }));
    }

    [TestCase(-1L)]
    [TestCase(3L)]
    [TestCase(long.MinValue)]
    public void IndicesOutsideAreADataError(long index)
    {
        Tensor x = Tensor.Create(new float[] { 1, 2, 3 }, 3);
        if (index == -1) Assert.That(OneNode.Run("Gather", [x, Ints(index)])[0].Span<float>()[0], Is.EqualTo(3));
        else Assert.Throws<DataException>(() => OneNode.Run("Gather", [x, Ints(index)]));
    }

    [TestCase(long.MaxValue, long.MinValue, -1L, new float[] { 4, 3, 2, 1 })]
    [TestCase(0L, long.MaxValue, 1L, new float[] { 1, 2, 3, 4 })]
    [TestCase(0L, long.MaxValue, long.MaxValue, new float[] { 1 })]
    [TestCase(3L, long.MinValue, long.MinValue, new float[] { 4 })]
    [TestCase(-2L, -9L, -1L, new float[] { 3, 2, 1 })]
    [TestCase(2L, 1L, 1L, new float[] { })]
    public void SliceBoundsAreMovedToTheExtent(long start, long end, long step, float[] expected)
    {
        Tensor y = OneNode.Run("Slice", [Tensor.Create(new float[] { 1, 2, 3, 4 }, 4), Ints(start), Ints(end), Ints(0), Ints(step)])[0];
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(expected));
    }

    [Test]
    public void ReshapeKeepsNamedExtentsThatCancel()
    {
        Assert.That(Inferred([Dim.Named("N"), 256, 6, 6], [0, -1]), Is.EqualTo("float32[N,9216]"));
        Assert.That(Inferred([Dim.Named("N"), 256, 6, 6], [-1, 9216]), Is.EqualTo("float32[N,9216]"));
        Assert.That(Inferred([Dim.Named("N"), Dim.Named("T"), 8], [0, -1, 2, 4]), Is.EqualTo("float32[N,T,2,4]"));

        static string Inferred(Dim[] input, long[] shape)
        {
            var graph = new TestGraph();
            Value x = graph.Input("x", new TensorType(DataType.Float32, input)), target = graph.Ints("shape", shape);
            Node node = graph.Editor.AddNode("Reshape", [x, target], [graph.Editor.AddValue("y")]);
            var c = new InferContext(node, [x.Type, target.Type], index => node.Input(index)?.Constant);
            OperatorTable.Require(node).Infer(c);
            return c.Outputs[0].ToString();
        }
    }

    [Test]
    public void ReshapeThatDoesNotFitIsAnError([Values("7", "-1,4", "-1,-1", "-2,3")] string shape) =>
        Assert.Throws<ModelException>(() => OneNode.Run("Reshape", [new Tensor(DataType.Float32, [2, 3]), Ints([.. shape.Split(',').Select(long.Parse)])]));

    [TestCase("reflect", new float[] { 3, 2, 1, 2, 3, 2, 1, 2, 3 })]
    [TestCase("edge", new float[] { 1, 1, 1, 2, 3, 3, 3, 3, 3 })]
    [TestCase("wrap", new float[] { 2, 3, 1, 2, 3, 1, 2, 3, 1 })]
    [TestCase("constant", new float[] { 0, 0, 1, 2, 3, 0, 0, 0, 0 })]
    public void PadMayBeWiderThanTheData(string mode, float[] expected)
    {
        Tensor y = OneNode.Run("Pad", [Tensor.Create(new float[] { 1, 2, 3 }, 3), Ints(2, 4)], new() { ["mode"] = mode })[0];
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(expected));
    }

    [Test]
    public void NegativePadsTakeAway()
    {
        Tensor y = OneNode.Run("Pad", [Tensor.Create(new float[] { 1, 2, 3, 4 }, 4), Ints(-1, 1)])[0];
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(new float[] { 2, 3, 4, 0 }));
        Assert.Throws<ModelException>(() => OneNode.Run("Pad", [new Tensor(DataType.Float32, [2]), Ints(-2, -1)]));
    }

    [Test]
    public void SplitsThatDoNotDivideLeaveASmallerLastPiece()
    {
        Tensor[] y = OneNode.Run("Split", [Tensor.Create(new float[] { 1, 2, 3, 4, 5 }, 5)], new() { ["num_outputs"] = 3 }, outputs: 3);
        Assert.That(y.Select(piece => piece.Length), Is.EqualTo(new[] { 2, 2, 1 }));
        Assert.That(y[2].Span<float>()[0], Is.EqualTo(5));
    }

    [TestCase(1)]
    [TestCase(2)]
    [TestCase(4)]
    [TestCase(8)]
    [TestCase(3)]
    [TestCase(40)]
    public void NarrowBlocksAreJoinedAndCut(int width)
    {
        Tensor a = TestGraph.RandomTensor(1, 50, width), b = TestGraph.RandomTensor(2, 50, 2 * width);
        Tensor joined = OneNode.Run("Concat", [a, b], new() { ["axis"] = -1 })[0];
        for (int i = 0; i < joined.Length; i++)
        {
            int row = i / (3 * width), column = i % (3 * width);
            Assert.That(joined.Span<float>()[i], Is.EqualTo(column < width ? a.Span<float>()[row * width + column] : b.Span<float>()[row * 2 * width + column - width]));
        }
        Tensor[] cut = OneNode.Run("Split", [joined, Ints(width, 2 * width)], new() { ["axis"] = 1 }, outputs: 2);
        Assert.That(cut[0].Span<float>().ToArray(), Is.EqualTo(a.Span<float>().ToArray()));
        Assert.That(cut[1].Span<float>().ToArray(), Is.EqualTo(b.Span<float>().ToArray()));
    }

    [TestCase("constant")]
    [TestCase("edge")]
    [TestCase("reflect")]
    [TestCase("wrap")]
    public void PadAgreesWithItsDefinition(string mode)
    {
        int[] shape = [3, 4, 5, 2], before = [0, 1, -1, 0], behind = [1, 2, 3, 0];
        Tensor x = TestGraph.RandomTensor(1, shape);
        Tensor y = OneNode.Run("Pad", [x, Ints([.. before.Concat(behind).Select(pad => (long)pad)]), Tensor.Scalar(7f)], new() { ["mode"] = mode })[0];
        Assert.That(y.Shape.ToArray(), Is.EqualTo(new[] { 4, 7, 7, 2 }));
        for (int i = 0; i < y.Length; i++)
        {
            int offset = 0, stride = 1;
            bool outside = false;
            for (int axis = 3, rest = i; axis >= 0; axis--)
            {
                int n = shape[axis], at = rest % y.Shape[axis] - before[axis];
                rest /= y.Shape[axis];
                if (at < 0 || at >= n)
                {
                    outside |= mode == "constant";
                    at = mode switch { "edge" => Math.Clamp(at, 0, n - 1), "reflect" => at < 0 ? -at : 2 * (n - 1) - at, "wrap" => (at + n) % n, _ => 0 };
                }
                offset += at * stride;
                stride *= n;
            }
            Assert.That(y.Span<float>()[i], Is.EqualTo(outside ? 7 : x.Span<float>()[offset]), $"element {i}");
        }
    }
}
