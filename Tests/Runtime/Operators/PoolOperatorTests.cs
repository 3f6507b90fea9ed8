using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

internal sealed class PoolOperatorTests
{
    private static readonly float[] Ramp = [.. Enumerable.Range(1, 16).Select(i => (float)i)];

    [Test]
    public void CeilModeDropsAWindowThatBeginsInThePadding()
    {
        var attributes = new AttributeMap { { "kernel_shape", new long[] { 1 } }, { "strides", new long[] { 2 } }, { "pads", new long[] { 0, 1 } }, { "ceil_mode", 1L } };
        Tensor y = OperatorRunner.Run("MaxPool", [Tensor.Create([1f, 2f], 1, 1, 2)], attributes)[0];
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(new[] { 1f }));
    }

    [TestCase(0L, new[] { 3.5f, 5f, 9.5f, 11f })]
    [TestCase(1L, new[] { 14f / 9, 30f / 9, 57f / 9, 99f / 9 })]
    public void AverageCountsThePaddingWhereAsked(long countPadding, float[] expected)
    {
        var attributes = new AttributeMap { { "kernel_shape", new long[] { 3, 3 } }, { "strides", new long[] { 2, 2 } }, { "pads", new long[] { 1, 1, 0, 0 } }, { "count_include_pad", countPadding } };
        Tensor y = OperatorRunner.Run("AveragePool", [Tensor.Create(Ramp, 1, 1, 4, 4)], attributes)[0];
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(expected));
    }

    [TestCase(0L, new long[] { 5, 7, 13, 15 })]
    [TestCase(1L, new long[] { 5, 13, 7, 15 })]
    public void IndicesFollowTheStorageOrder(long order, long[] expected)
    {
        var attributes = new AttributeMap { { "kernel_shape", new long[] { 2, 2 } }, { "strides", new long[] { 2, 2 } }, { "storage_order", order } };
        Tensor[] y = OperatorRunner.Run("MaxPool", [Tensor.Create(Ramp, 1, 1, 4, 4)], attributes, outputs: 2);
        Assert.That(y[0].Span<float>().ToArray(), Is.EqualTo(new[] { 6f, 8f, 14f, 16f }));
        Assert.That(y[1].Span<long>().ToArray(), Is.EqualTo(expected));
    }

    [Test]
    public void MaximumOfMinusInfinityIsMinusInfinity()
    {
        var attributes = new AttributeMap { { "kernel_shape", new long[] { 2 } } };
        Tensor y = OperatorRunner.Run("MaxPool", [Tensor.Create([float.NegativeInfinity, float.NegativeInfinity], 1, 1, 2)], attributes)[0];
        Assert.That(y.Span<float>()[0], Is.EqualTo(float.NegativeInfinity));
    }

    [Test]
    public void ChannelsLastEqualsChannelsFirst([Values("MaxPool", "AveragePool")] string type, [Values(1, 3, 19)] int channels)
    {
        var attributes = new AttributeMap { { "kernel_shape", new long[] { 3, 2 } }, { "strides", new long[] { 2, 1 } }, { "pads", new long[] { 1, 0, 1, 1 } }, { "ceil_mode", 1L } };
        Tensor x = TestGraph.RandomTensor(5, 2, channels, 6, 5);
        Tensor first = OperatorRunner.Run(type, [x], attributes)[0], last = OperatorRunner.Run(type, [Swap(x)], attributes, "octet")[0];
        Assert.That(last.Span<float>().ToArray(), Is.EqualTo(Swap(first).Span<float>().ToArray()));
    }

    [Test]
    public void GlobalPoolsTakeEveryElement()
    {
        Tensor x = Tensor.Create([1f, 2f, 3f, 6f, -4f, 0f, 3f, 0f], 1, 2, 2, 2);
        Assert.That(OperatorRunner.Run("GlobalAveragePool", [x])[0].ToFloat32Array(), Is.EqualTo(new[] { 3f, -0.25f }));
        Assert.That(OperatorRunner.Run("GlobalMaxPool", [x])[0].ToFloat32Array(), Is.EqualTo(new[] { 6f, 3f }));
        Assert.That(OperatorRunner.Run("GlobalLpPool", [x], new AttributeMap { { "p", 1L } })[0].ToFloat32Array(), Is.EqualTo(new[] { 12f, 7f }));
        Assert.That(OperatorRunner.Run("GlobalAveragePool", [Swap(x)], domain: "octet")[0].ToFloat32Array(), Is.EqualTo(new[] { 3f, -0.25f }));
    }

    [Test]
    public void LpPoolIsTheNormOfTheWindow()
    {
        var attributes = new AttributeMap { { "kernel_shape", new long[] { 2 } } };
        Assert.That(OperatorRunner.Run("LpPool", [Tensor.Create([3f, -4f], 1, 1, 2)], attributes)[0].Span<float>()[0], Is.EqualTo(5f));
    }

    private static Tensor Swap(Tensor x)
    {
        int[] s = x.Shape.ToArray();
        var y = new Tensor(DataType.Float32, [s[0], s[2], s[3], s[1]]);
        int pixels = s[2] * s[3];
        for (int n = 0; n < s[0]; n++)
            for (int c = 0; c < s[1]; c++)
                for (int p = 0; p < pixels; p++) y.Span<float>()[(n * pixels + p) * s[1] + c] = x.Span<float>()[(n * s[1] + c) * pixels + p];
        return y;
    }
}
