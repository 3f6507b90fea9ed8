using Octet.Kernels.Requantize;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators.Quantized;

/// <summary>The contributed element-wise, pooling and concat forms. int8 must give what uint8 gives with everything moved by 128.</summary>
internal sealed class ContributedQuantizedTests
{
    [TestCase("QLinearAdd")]
    [TestCase("QLinearMul")]
    public void PairsBroadcast(string type)
    {
        byte[] a = Bytes(1, 2 * 3 * 4), b = Bytes(2, 3);
        float sa = 0.1f, sb = 0.03f, sy = type == "QLinearAdd" ? 0.12f : 0.9f;
        byte[] y = Both(type, [Data(a, 2, 3, 4), sa, Zero(100), Data(b, 3, 1), sb, Zero(30), sy, Zero(64)]);
        for (int i = 0; i < y.Length; i++)
        {
            int left = a[i], right = b[i / 4 % 3];
            int expected = type == "QLinearAdd"
                ? RequantizeReference.Quantize(RequantizeReference.Sum(left, sa / sy, right, sb / sy, RequantizeReference.SumConstant(sa / sy, 100, sb / sy, 30, 64)), 0, 0, 255)
                : RequantizeReference.Quantize((left - 100) * (right - 30) * (sa * sb / sy), 64, 0, 255);
            Assert.That(y[i], Is.EqualTo((byte)expected));
        }
    }

    [Test]
    public void PointwiseIsQuantizedFloat()
    {
        byte[] x = [.. Enumerable.Range(0, 256).Select(i => (byte)i)];
        byte[] sigmoid = Both("QLinearSigmoid", [Data(x, 256), 0.05f, Zero(128), 1f / 256, Zero(0)]);
        byte[] leaky = Both("QLinearLeakyRelu", [Data(x, 256), 0.5f, Zero(128), 0.25f, Zero(10)], new AttributeMap { ["alpha"] = 0.25f });
        for (int i = 0; i < 256; i++)
        {
            float real = (i - 128) * 0.05f, other = (i - 128) * 0.5f;
            Assert.That(sigmoid[i], Is.EqualTo((byte)Math.Clamp(MathF.Round(1f / (1f + MathF.Exp(-real)) * 256, MidpointRounding.ToEven), 0, 255)));
            Assert.That(leaky[i], Is.EqualTo((byte)Math.Clamp(MathF.Round((other >= 0 ? other : other * 0.25f) / 0.25f, MidpointRounding.ToEven) + 10, 0, 255)));
        }
    }

    [Test]
    public void SoftmaxSharesOneAfterRounding()
    {
        byte[] y = Both("QLinearSoftmax", [Data([10, 10, 10, 10, 0, 255, 0, 0], 2, 4), 0.1f, Zero(0), 1f / 256, Zero(0)], new AttributeMap { ["axis"] = -1L });
        Assert.That(y, Is.EqualTo(new byte[] { 64, 64, 64, 64, 0, 255, 0, 0 }));
    }

    [Test]
    public void GlobalAverageRoundsOnce([Values] bool channelsLast)
    {
        byte[] x = [1, 2, 3, 5, 200, 201, 202, 204];   // channel sums 11 and 807 of four pixels
        byte[] y = channelsLast
            ? Both("QLinearGlobalAveragePool", [Data([1, 200, 2, 201, 3, 202, 5, 204], 1, 2, 2, 2), 1f, Zero(0), 1f, Zero(0)], new AttributeMap { ["channels_last"] = 1L })
            : Both("QLinearGlobalAveragePool", [Data(x, 1, 2, 2, 2), 1f, Zero(0), 1f, Zero(0)]);
        Assert.That(y, Is.EqualTo(new byte[] { 3, 202 }));   // 2.75 and 201.75
    }

    [TestCase(0L, 10)]
    [TestCase(1L, 4)]
    public void AverageCountsPadsOnlyWhenAsked(long countPads, int corner)
    {
        // A 3×3 image of tens, window 3, pad 1: the corner window sees 4 pixels of 9. 40 / 4 = 10, 40 / 9 = 4.4.
        byte[] y = Both("QLinearAveragePool", [Data([.. Enumerable.Repeat((byte)10, 9)], 1, 1, 3, 3), 1f, Zero(0), 1f, Zero(0)],
            new AttributeMap { ["kernel_shape"] = new long[] { 3, 3 }, ["pads"] = new long[] { 1, 1, 1, 1 }, ["count_include_pad"] = countPads });
        Assert.That((y[0], y[4]), Is.EqualTo(((byte)corner, (byte)10)));
    }

    [Test]
    public void ConcatBringsPartsToOneGrid()
    {
        byte[] y = Both("QLinearConcat", [1f, Zero(0), Data([1, 2, 3, 4], 2, 2), 1f, Zero(0), Data([10, 20], 2, 1), 0.5f, Zero(8)], new AttributeMap { ["axis"] = 1L });
        Assert.That(y, Is.EqualTo(new byte[] { 1, 2, 1, 3, 4, 6 }));
    }

    /// <summary>Runs the node on uint8 and on int8 and checks that both say the same.</summary>
    private static byte[] Both(string type, object[] inputs, AttributeMap? attributes = null)
    {
        Tensor[] plain = [.. inputs.Select(input => input as Tensor ?? Tensor.Scalar((float)input))];
        Tensor[] moved = [.. plain.Select(tensor => tensor.Type == DataType.UInt8
            ? Tensor.Create(tensor.Span<byte>().ToArray().Select(value => (sbyte)(value - 128)).ToArray(), tensor.Shape) : tensor)];
        byte[] y = OneNode.Run(type, plain, attributes, Operator.MicrosoftDomain)[0].Span<byte>().ToArray();
        Tensor signed = OneNode.Run(type, moved, attributes, Operator.MicrosoftDomain)[0];
        Assert.That(signed.Type, Is.EqualTo(DataType.Int8));
        Assert.That(signed.Span<sbyte>().ToArray().Select(value => (byte)(value + 128)), Is.EqualTo(y));
        return y;
    }

    private static Tensor Data(byte[] values, params int[] shape) => Tensor.Create(values, shape);

    private static Tensor Zero(int value) => Tensor.Scalar((byte)value);

    private static byte[] Bytes(int seed, int count)
    {
        var bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}
