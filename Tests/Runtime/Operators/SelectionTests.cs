using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>Operators that choose, scatter or draw elements: ties, NaN, data-dependent sizes, seeds.</summary>
internal sealed class SelectionTests
{
    [Test]
    public void TopKAgreesWithSorting([Values(1, 2, 7, 50)] int k, [Values(0, 1)] int largest)
    {
        var random = new Random(k);
        int[] x = [.. Enumerable.Range(0, 3 * 50).Select(_ => random.Next(20))];   // many ties
        Tensor[] y = OneNode.Run("TopK", [Tensor.Create(x, 3, 50), Tensor.Create([(long)k], 1)], new() { ["largest"] = largest }, outputs: 2);
        for (int row = 0; row < 3; row++)
        {
            int[] order = [.. Enumerable.Range(0, 50).OrderBy(i => largest == 1 ? -x[row * 50 + i] : x[row * 50 + i]).ThenBy(i => i).Take(k)];
            Assert.That(y[1].Span<long>().Slice(row * k, k).ToArray(), Is.EqualTo(order.Select(i => (long)i)));
            Assert.That(y[0].Span<int>().Slice(row * k, k).ToArray(), Is.EqualTo(order.Select(i => x[row * 50 + i])));
        }
    }

    [Test]
    public void NaNIsTheLargest()
    {
        Tensor x = Tensor.Create(new float[] { 1, float.NaN, float.PositiveInfinity }, 3);
        Assert.That(OneNode.Run("TopK", [x, Tensor.Create([2L], 1)], outputs: 2)[1].Span<long>().ToArray(), Is.EqualTo(new long[] { 1, 2 }));
        Assert.That(OneNode.Run("TopK", [x, Tensor.Create([2L], 1)], new() { ["largest"] = 0 }, outputs: 2)[1].Span<long>().ToArray(), Is.EqualTo(new long[] { 0, 2 }));
        Assert.That(OneNode.Run("ArgMax", [x])[0].Span<long>()[0], Is.EqualTo(1));
    }

    [TestCase(0, new[] { 2, 1, 3 }, new long[] { 0, 1, 3 }, new long[] { 0, 1, 1, 2, 0 }, new long[] { 2, 2, 1 })]
    [TestCase(1, new[] { 1, 2, 3 }, new long[] { 1, 0, 3 }, new long[] { 1, 0, 0, 2, 1 }, new long[] { 2, 2, 1 })]
    public void UniqueKeepsOrderOrSorts(int sorted, int[] values, long[] firsts, long[] inverse, long[] counts)
    {
        Tensor[] y = OneNode.Run("Unique", [Tensor.Create([2, 1, 1, 3, 2], 5)], new() { ["sorted"] = sorted }, outputs: 4);
        Assert.That(y[0].Span<int>().ToArray(), Is.EqualTo(values));
        Assert.That(y[1].Span<long>().ToArray(), Is.EqualTo(firsts));
        Assert.That(y[2].Span<long>().ToArray(), Is.EqualTo(inverse));
        Assert.That(y[3].Span<long>().ToArray(), Is.EqualTo(counts));
    }

    [Test]
    public void UniqueAlongAnAxisComparesSlices()
    {
        Tensor[] y = OneNode.Run("Unique", [Tensor.Create([1, 0, 1, 0, 2, 0], 3, 2)], new() { ["axis"] = 0 }, outputs: 4);
        Assert.That(y[0].Shape.ToArray(), Is.EqualTo(new[] { 2, 2 }));
        Assert.That(y[2].Span<long>().ToArray(), Is.EqualTo(new long[] { 0, 0, 1 }));
    }

    [Test]
    public void NonZeroOfNothingAndOfAScalar()
    {
        Assert.That(OneNode.Run("NonZero", [new Tensor(DataType.Float32, [2, 3])])[0].Shape.ToArray(), Is.EqualTo(new[] { 2, 0 }));
        Assert.That(OneNode.Run("NonZero", [Tensor.Scalar(5f)])[0].Shape.ToArray(), Is.EqualTo(new[] { 1, 1 }));
    }

    [TestCase("add", 16f)]
    [TestCase("mul", 60f)]
    [TestCase("max", 5f)]
    [TestCase("min", 3f)]
    [TestCase("none", 4f)]
    public void DuplicateIndicesAreCombinedInOrder(string reduction, float expected)
    {
        Tensor x = Tensor.Create(new float[] { 0, 4, 0 }, 3), updates = Tensor.Create(new float[] { 3, 5, 4 }, 3);
        if (reduction == "mul") updates = Tensor.Create(new float[] { 3, 5, 1 }, 3);
        Tensor elements = OneNode.Run("ScatterElements", [x, Tensor.Create([1L, -2L, 1L], 3), updates], new() { ["reduction"] = reduction })[0];
        Tensor slices = OneNode.Run("ScatterND", [x, Tensor.Create([1L, -2L, 1L], 3, 1), updates], new() { ["reduction"] = reduction })[0];
        Assert.That(elements.Span<float>()[1], Is.EqualTo(expected));
        Assert.That(slices.Span<float>()[1], Is.EqualTo(expected));
    }

    [Test]
    public void ScatterOutsideIsADataError()
    {
        Tensor x = new(DataType.Float32, [3]), update = new(DataType.Float32, [1]);
        Assert.Throws<DataException>(() => OneNode.Run("ScatterElements", [x, Tensor.Create([3L], 1), update]));
        Assert.Throws<DataException>(() => OneNode.Run("ScatterND", [x, Tensor.Create([-4L], 1, 1), update]));
    }

    [TestCase(0f, 10f, 2.5f, 4)]
    [TestCase(0f, 10f, 3f, 4)]
    [TestCase(10f, 0f, -3f, 4)]
    [TestCase(0f, 10f, -1f, 0)]
    public void RangeCounts(float start, float limit, float delta, int count) =>
        Assert.That(OneNode.Run("Range", [Tensor.Scalar(start), Tensor.Scalar(limit), Tensor.Scalar(delta)])[0].Length, Is.EqualTo(count));

    [Test]
    public void RangeOverAllIntegersIsRefused()
    {
        Assert.Throws<ModelException>(() => OneNode.Run("Range", [Tensor.Scalar(long.MinValue), Tensor.Scalar(long.MaxValue), Tensor.Scalar(1L)]));
        Assert.Throws<ModelException>(() => OneNode.Run("Range", [Tensor.Scalar(0), Tensor.Scalar(1), Tensor.Scalar(0)]));
        Assert.Throws<ModelException>(() => OneNode.Run("Range", [Tensor.Scalar(0f), Tensor.Scalar(float.NaN), Tensor.Scalar(1f)]));
    }

    [Test]
    public void ShapesBeyondAnyTensorAreErrors()
    {
        Assert.Catch<ModelException>(() => OneNode.Run("Tile", [new Tensor(DataType.UInt8, [8, 8]), Tensor.Create([long.MaxValue, 2L], 2)]));
        Assert.Catch<ModelException>(() => OneNode.Run("ConstantOfShape", [Tensor.Create([1L << 20, 1L << 20], 2)]));
        Assert.Catch<ModelException>(() => OneNode.Run("Expand", [new Tensor(DataType.UInt8, [1]), Tensor.Create([1L << 40], 1)]));
        Assert.Catch<ModelException>(() => OneNode.Run("Pad", [new Tensor(DataType.UInt8, [1]), Tensor.Create([long.MaxValue, long.MaxValue], 2)]));
    }

    [Test]
    public void GeneratorGivesNumPysNumbers()
    {
        // numpy.random.RandomState(0): random_sample() and, from a fresh one, randn() and randn().
        var random = new MersenneTwister(new uint[MersenneTwister.StateLength], 0);
        Assert.That(random.NextDouble(), Is.EqualTo(0.5488135039273248));
        Assert.That(random.NextDouble(), Is.EqualTo(0.7151893663724195));
        random = new MersenneTwister(new uint[MersenneTwister.StateLength], 0);
        Assert.That(random.NextGaussian(), Is.EqualTo(1.764052345967664).Within(1e-15));
        Assert.That(random.NextGaussian(), Is.EqualTo(0.4001572083672233).Within(1e-15));
    }

    [Test]
    public void SeededNumbersRepeatAndUnseededDiffer()
    {
        AttributeMap seeded = new() { ["shape"] = new long[] { 100 }, ["seed"] = 3f };
        Assert.That(OneNode.Run("RandomNormal", [], seeded)[0].Span<float>().ToArray(), Is.EqualTo(OneNode.Run("RandomNormal", [], seeded)[0].Span<float>().ToArray()));
        AttributeMap free = new() { ["shape"] = new long[] { 100 } };
        Assert.That(OneNode.Run("RandomUniform", [], free)[0].Span<float>().ToArray(), Is.Not.EqualTo(OneNode.Run("RandomUniform", [], free)[0].Span<float>().ToArray()));
    }
}
