using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Lanes;
using Octet.Kernels.Quantize;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.Quantize;

[TestFixtureSource(typeof(Widths), nameof(Widths.All))]
internal sealed class QuantizeKernelsTests(VectorWidth width)
{
    private CpuFeatures _cpu;

    [SetUp]
    public void SkipIfUnsupported() => _cpu = Widths.Require(width);

    private static float[] Values(float scale)
    {
        var random = new Random(11);
        var values = new List<float> { 0f, -0f, float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.MaxValue, float.MinValue, float.Epsilon };
        for (int i = -700; i < 700; i++) values.Add(i * 0.5f * scale);   // every tie
        values.AddRange(random.Floats(3001, 400 * scale));
        return [.. values];
    }

    private static int Definition(float x, float scale, int zeroPoint, int low, int high) =>
        float.IsNaN(x) ? zeroPoint : (int)Math.Clamp((double)MathF.Round(x / scale) + zeroPoint, low, high);

    [TestCase(1f, 0)]
    [TestCase(0.037f, 128)]
    [TestCase(0.037f, 255)]
    [TestCase(1e-30f, 3)]
    public void UInt8FollowsTheDefinition(float scale, int zeroPoint)
    {
        float[] x = Values(scale);
        var q = new byte[x.Length];
        QuantizeKernels.Quantize<UInt8Type, byte>(x, scale, zeroPoint, q, _cpu, new Parallelism(TestPool.Four, 3));
        Assert.That(q, Is.EqualTo(x.Select(v => (byte)Definition(v, scale, zeroPoint, 0, 255))));

        var back = new float[q.Length];
        QuantizeKernels.Dequantize<UInt8Type, byte>(q, scale, zeroPoint, back, _cpu, Parallelism.None);
        Assert.That(back, Is.EqualTo(q.Select(v => (v - zeroPoint) * scale)));
    }

    [TestCase(1f, 0)]
    [TestCase(0.25f, -128)]
    [TestCase(0.0123f, 127)]
    public void Int8FollowsTheDefinition(float scale, int zeroPoint)
    {
        float[] x = Values(scale);
        var q = new sbyte[x.Length];
        QuantizeKernels.Quantize<Int8Type, sbyte>(x, scale, zeroPoint, q, _cpu, Parallelism.None);
        Assert.That(q, Is.EqualTo(x.Select(v => (sbyte)Definition(v, scale, zeroPoint, -128, 127))));
        var back = new float[q.Length];
        QuantizeKernels.Dequantize<Int8Type, sbyte>(q, scale, zeroPoint, back, _cpu, Parallelism.None);
        Assert.That(back, Is.EqualTo(q.Select(v => (v - zeroPoint) * scale)));
    }

    [Test]
    public void SixteenBitsFollowTheDefinition()
    {
        const float scale = 0.005f;
        float[] x = Values(1f);
        var u = new ushort[x.Length];
        var s = new short[x.Length];
        QuantizeKernels.Quantize<UInt16Type, ushort>(x, scale, 40000, u, _cpu, Parallelism.None);
        QuantizeKernels.Quantize<Int16Type, short>(x, scale, -5, s, _cpu, Parallelism.None);
        Assert.That(u, Is.EqualTo(x.Select(v => (ushort)Definition(v, scale, 40000, 0, 65535))));
        Assert.That(s, Is.EqualTo(x.Select(v => (short)Definition(v, scale, -5, -32768, 32767))));
    }

    [Test]
    public void Int32Dequantizes()
    {
        int[] q = [.. Enumerable.Range(-20, 41).Select(i => i * 54321)];
        var x = new float[q.Length];
        QuantizeKernels.Dequantize<Int32Type, int>(q, 0.001f, 0, x, _cpu, Parallelism.None);
        Assert.That(x, Is.EqualTo(q.Select(v => v * 0.001f)));
    }

    [Test]
    public void PerAxisUsesEachScale([Values(1, 7, 40)] int inner)
    {
        float[] scales = [0.5f, 1f, 0.037f];
        int[] zeros = [0, 128, 200];
        float[] x = new Random(2).Floats(2 * 3 * inner, 40f);
        byte[] q = new byte[x.Length];
        QuantizeKernels.QuantizePerAxis<UInt8Type, byte>(x, scales, zeros, inner, q, _cpu);
        var back = new float[x.Length];
        QuantizeKernels.DequantizePerAxis<UInt8Type, byte>(q, scales, zeros, inner, back, _cpu);
        for (int i = 0; i < x.Length; i++)
        {
            int axis = i / inner % 3;
            Assert.That(q[i], Is.EqualTo((byte)Definition(x[i], scales[axis], zeros[axis], 0, 255)));
            Assert.That(back[i], Is.EqualTo((q[i] - zeros[axis]) * scales[axis]));
        }
    }

    [Test]
    public void SumOfBytesRoundsEveryOperation([Values(1f, 0.0371f, 1e-30f)] float scale)
    {
        byte[] a = [.. Enumerable.Range(0, 65536 + 5).Select(i => (byte)(i >> 8))], b = [.. Enumerable.Range(0, a.Length).Select(i => (byte)i)];
        var y = new float[a.Length];
        DequantizedSum.Run(a, (scale, 77), b, (0.0173f, 128), y, _cpu, new Parallelism(TestPool.Four, 3));
        Assert.That(y, Is.EqualTo(a.Zip(b, (left, right) => (float)((left - 77) * scale) + (float)((right - 128) * 0.0173f))));
        Assert.That(() => DequantizedSum.Run(a, (1, 0), b.AsSpan(1), (1, 0), y, _cpu, Parallelism.None), Throws.ArgumentException);
    }

    public static readonly (QuantizedBinaryConstants Constants, string Name)[] Constants =
    [
        (new(0, 0, 0, 1f, 1f, 0, 255), "plain"),
        (new(128, 3, 77, 0.7312f, 1.913f, 0, 255), "affine"),
        (new(255, 0, 255, 0.5f, 0.5f, 10, 200), "ties and clamp"),
        (new(0, 255, 0, 123.4f, 1e-4f, 0, 255), "extreme ratios"),
        (new(0, 28, 2, 0.7312f, 0.4172f, 2, 127, 128, 100, 126), "shifted"),
        (new(0, 0, 9, float.PositiveInfinity, float.PositiveInfinity, 0, 255), "infinite ratio"),
    ];

    private static byte Finish(float r, in QuantizedBinaryConstants k)
    {
        r = MathF.Round(r);
        if (float.IsNaN(r)) r = 0;
        return (byte)Math.Clamp((double)r + k.ZeroY, k.Low, k.High);
    }

    private static byte Sum(byte a, byte b, in QuantizedBinaryConstants k)
    {
        float constant = RequantizeReference.SumConstant(k.MultiplierA, k.ZeroA + k.ShiftA, k.MultiplierB, k.ZeroB + k.ShiftB, k.ZeroY + k.ShiftY);
        float sum = RequantizeReference.Sum(a + k.ShiftA, k.MultiplierA, b + k.ShiftB, k.MultiplierB, constant);
        return (byte)Math.Clamp((double)MathF.Round(sum) - k.ShiftY, k.Low, k.High);
    }

    [Test]
    public void AddMultiplyAndDivideEqualTheDefinitionForEveryPairOfBytes([ValueSource(nameof(Constants))] (QuantizedBinaryConstants Constants, string Name) test)
    {
        QuantizedBinaryConstants k = test.Constants;
        byte[] a = [.. Enumerable.Range(0, 65536).Select(i => (byte)(i >> 8))], b = [.. Enumerable.Range(0, 65536).Select(i => (byte)i)];
        byte[] sum = new byte[65536], product = new byte[65536], quotient = new byte[65536];
        BroadcastPlan plan = BroadcastPlan.Same(65536);
        QuantizedElementwise.AddUInt8(plan, a, b, sum, k, _cpu, new Parallelism(TestPool.Four, 4));
        QuantizedElementwise.MultiplyUInt8(plan, a, b, product, k, _cpu, Parallelism.None);
        QuantizedElementwise.DivideUInt8(plan, a, b, quotient, k, _cpu, new Parallelism(TestPool.Four, 3));
        for (int i = 0; i < 65536; i++)
        {
            if (float.IsFinite(k.MultiplierA)) Assert.That(sum[i], Is.EqualTo(Sum(a[i], b[i], k)), $"{a[i]} + {b[i]}");
            Assert.That(quotient[i], Is.EqualTo(Finish((float)(a[i] - k.ZeroA) / (b[i] - k.ZeroB) * k.MultiplierA, k)), $"{a[i]} / {b[i]}");
            Assert.That(product[i], Is.EqualTo(Finish((a[i] - k.ZeroA) * (b[i] - k.ZeroB) * k.MultiplierA, k)), $"{a[i]} · {b[i]}");
        }
    }

    [Test]
    public void AddBroadcasts()
    {
        var k = new QuantizedBinaryConstants(100, 7, 50, 0.3f, 0.9f, 0, 255);
        var random = new Random(3);
        byte[] a = random.Bytes(5 * 37), b = random.Bytes(37), y = new byte[5 * 37];
        QuantizedElementwise.AddUInt8(BroadcastPlan.Create([5, 37], [5, 37], [37]), a, b, y, k, _cpu, Parallelism.None);
        for (int i = 0; i < y.Length; i++) Assert.That(y[i], Is.EqualTo(Sum(a[i], b[i % 37], k)));
        QuantizedElementwise.AddUInt8(BroadcastPlan.Create([5, 37], [1], [5, 37]), b, a, y, k, _cpu, Parallelism.None);
        for (int i = 0; i < y.Length; i++) Assert.That(y[i], Is.EqualTo(Sum(b[0], a[i], k)));
    }
}

internal sealed class ByteKernelsTests
{
    [TestCase(3, 5, 1)]
    [TestCase(700, 130, 1)]
    [TestCase(2, 3, 7)]
    [TestCase(2, 5, 300)]
    [TestCase(1, 2, 70001)]
    [TestCase(0, 4, 3)]
    public void TableOfAChannelIsLookedUpWhereItsChannelIs(int outer, int channels, int inner)
    {
        byte[] x = new Random(inner).Bytes(outer * channels * inner), tables = new Random(channels).Bytes(channels * 256);
        byte[] expected = [.. x.Select((value, i) => tables[i / inner % channels * 256 + value])];
        foreach (CpuFeatures cpu in new[] { CpuInfo.Detected, CpuFeatures.None })
        {
            foreach (int threads in new[] { 1, 4 })
            {
                var y = new byte[x.Length];
                ByteTable.RunChannels(x, tables, y, outer, channels, inner, cpu, new Parallelism(TestPool.Four, threads));
                Assert.That(y, Is.EqualTo(expected));
                x.CopyTo(y, 0);
                ByteTable.RunChannels(y, tables, y, outer, channels, inner, cpu, new Parallelism(TestPool.Four, threads));
                Assert.That(y, Is.EqualTo(expected), "in place");
            }
        }
        Assert.Throws<ArgumentException>(() => ByteTable.RunChannels(x, tables.AsSpan(1), new byte[x.Length], outer, channels, inner, CpuFeatures.None, default));
    }

    [Test]
    public void TableLooksUpEveryByteAtEveryLength([ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width)
    {
        CpuFeatures cpu = Widths.Require(width);
        byte[] table = new Random(1).Bytes(256);
        for (int length = 0; length < 150; length++)
        {
            byte[] x = new Random(length).Bytes(length), y = new byte[length];
            ByteTable.Run(x, table, y, cpu, Parallelism.None);
            Assert.That(y, Is.EqualTo(x.Select(v => table[v])));
        }
        byte[] all = [.. Enumerable.Range(0, 200000).Select(i => (byte)i)], z = new byte[all.Length];
        ByteTable.Run(all, table, z, cpu, new Parallelism(TestPool.Four, 4));
        Assert.That(z, Is.EqualTo(all.Select(v => table[v])));
        Assert.That(() => ByteTable.Run(all, new byte[255], z, cpu, Parallelism.None), Throws.ArgumentException);
    }

    [Test]
    public void FlipSignAddsHalfTheRange()
    {
        byte[] x = [.. Enumerable.Range(0, 259).Select(i => (byte)i)], y = new byte[259];
        QuantizeKernels.FlipSign(x, y);
        Assert.That(y, Is.EqualTo(x.Select(v => (byte)(v + 128))));
    }

    [Test]
    public void EveryHalfSurvivesARoundTrip()
    {
        Half[] all = [.. Enumerable.Range(0, 65536).Select(i => BitConverter.UInt16BitsToHalf((ushort)i))];
        var wide = new float[65536];
        var back = new Half[65536];
        HalfKernels.Widen(all, wide);
        HalfKernels.Narrow(wide, back);
        for (int i = 0; i < 65536; i++)
        {
            if (Half.IsNaN(all[i])) Assert.That(Half.IsNaN(back[i]));
            else Assert.That(BitConverter.HalfToUInt16Bits(back[i]), Is.EqualTo(i));
        }
    }

    [TestCase(1f, 0x3F80)]
    [TestCase(1.00390625f, 0x3F80, Description = "tie to even, down")]
    [TestCase(1.01171875f, 0x3F82, Description = "tie to even, up")]
    [TestCase(3.4028235e38f, 0x7F80, Description = "overflows to infinity")]
    [TestCase(float.NegativeInfinity, 0xFF80)]
    public void BFloat16RoundsHalfToEven(float x, int bits)
    {
        var y = new ushort[1];
        HalfKernels.NarrowBFloat16([x], y);
        Assert.That(y[0], Is.EqualTo(bits));
        var nan = new float[1];
        HalfKernels.NarrowBFloat16([float.NaN], y);
        HalfKernels.WidenBFloat16(y, nan);
        Assert.That(nan[0], Is.NaN);
    }

    [Test]
    public void BadScalesAreRefused([Values(0f, -1f, float.NaN, float.PositiveInfinity)] float scale) =>
        Assert.That(() => QuantizeKernels.Quantize<UInt8Type, byte>([1f], scale, 0, new byte[1], CpuFeatures.None, Parallelism.None), Throws.InstanceOf<ArgumentOutOfRangeException>());
}
