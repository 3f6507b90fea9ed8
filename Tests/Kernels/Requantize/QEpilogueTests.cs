using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.Requantize;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.Requantize;

/// <summary>Every implementation of the epilogue returns the bits of the definition, in every form and at every extreme.</summary>
[TestFixtureSource(nameof(Implementations))]
internal sealed class QEpilogueTests(QEpilogueKernel kernel)
{
    private static QEpilogueKernel[] Implementations => QEpilogueKernel.All;

    private const int Channels = 83;

    private static readonly byte[] Scrambled = new Random(9).Bytes(256);

    private static float[] PerChannel(float scale) => Enumerable.Range(0, Channels).Select(c => scale * (1 + c * 0.37f) * (c % 11 == 5 ? -1 : 1)).ToArray();

    private static IEnumerable<TestCaseData> Forms()
    {
        foreach (float scale in new[] { 1e-7f, 0.001f, 0.25f, 0.5f, 1f, 3.7f, 1e10f, QEpilogue.LargestMultiplier / 40 })
        {
            string at = $"x {scale:R}";
            yield return new TestCaseData(QEpilogue.ToUInt8(Channels, [], [scale], 0)).SetArgDisplayNames("u8", at);
            yield return new TestCaseData(QEpilogue.ToUInt8(Channels, [], PerChannel(scale), 128)).SetArgDisplayNames("u8 per channel", at);
            yield return new TestCaseData(QEpilogue.ToUInt8(Channels, [], PerChannel(scale), 255, 3, 250)).SetArgDisplayNames("u8 clamped", at);
            yield return new TestCaseData(QEpilogue.ToUInt8(Channels, [], PerChannel(scale), 77, table: Scrambled)).SetArgDisplayNames("u8 table", at);
            yield return new TestCaseData(QEpilogue.ToUInt8(Channels, [], PerChannel(scale), 77, 70, 200, new QSum(0.731f, 113), Scrambled)).SetArgDisplayNames("u8 sum table", at);
            yield return new TestCaseData(QEpilogue.ToUInt8(Channels, [], PerChannel(scale), 5, sum: new QSum(1.5f, 0, Channels + 9))).SetArgDisplayNames("u8 sum strided", at);
            yield return new TestCaseData(QEpilogue.ToUInt8(Channels, [], PerChannel(scale), 10, 10, 255, new QSum(0.5f, 128, 0, new QIntermediate(0.25f, 100)))).SetArgDisplayNames("u8 intermediate", at);
            yield return new TestCaseData(QEpilogue.ToUInt8(Channels, [], PerChannel(scale), 0, 0, 255, new QSum(-scale, 255, 0, new QIntermediate(scale, 7, 7, 99)))).SetArgDisplayNames("u8 intermediate clamped", at);
            yield return new TestCaseData(QEpilogue.ToUInt8(Channels, [], PerChannel(scale), 10, sum: new QSum(0.4172f, 3, 0, new QIntermediate(0.3917f, 100, IsSecond: true)))).SetArgDisplayNames("u8 intermediate second", at);
            yield return new TestCaseData(QEpilogue.ToUInt8(Channels, [], PerChannel(scale), 2, 2, 127, new QSum(0.4172f, 0, 0, new QIntermediate(0.3917f, 128), Shift: 128, OutputShift: 126))).SetArgDisplayNames("u8 intermediate shifted", at);
            yield return new TestCaseData(QEpilogue.ToUInt8(Channels, [], PerChannel(scale), 0, 0, 127, new QSum(1.5f, 28, Shift: 100, OutputShift: 128))).SetArgDisplayNames("u8 sum shifted", at);
            yield return new TestCaseData(QEpilogue.ToFloat32(Channels, [], PerChannel(scale))).SetArgDisplayNames("f32", at);
            yield return new TestCaseData(QEpilogue.ToFloat32(Channels, [], PerChannel(scale), 0f, 6f)).SetArgDisplayNames("f32 clamped", at);
            yield return new TestCaseData(QEpilogue.ToFloat32(Channels, [], PerChannel(scale), -1f, float.PositiveInfinity, new QSum(1f, 0))).SetArgDisplayNames("f32 sum", at);
        }
        yield return new TestCaseData(QEpilogue.ToInt32(Channels)).SetArgDisplayNames("i32");
    }

    [TestCaseSource(nameof(Forms))]
    public void MatchesDefinition(QEpilogue epilogue)
    {
        if ((kernel.Requires & ~CpuInfo.Detected) != 0) Assert.Ignore($"{kernel.Name} needs {kernel.Requires}");
        foreach (int columns in new[] { 1, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65 })
        {
            foreach (int rows in new[] { 1, 2, 3, 5 }) Check(epilogue, rows, columns, channel: (rows * columns) % (Channels - columns + 1), seed: rows * 100 + columns);
        }
    }

    private void Check(QEpilogue epilogue, int rows, int columns, int channel, int seed)
    {
        var random = new Random(seed);
        int[] acc = Accumulators(random, rows * columns, epilogue.Multipliers[channel]);
        int sumStride = epilogue.SumRowStride, yStride = columns + seed % 3;
        var sum = new byte[epilogue.Sum is null ? 0 : ((rows - 1) * sumStride + columns) * epilogue.SumElementBytes];
        random.NextBytes(sum);
        if (epilogue.Output == QOutput.Float32)
        {
            Span<float> floats = MemoryMarshal.Cast<byte, float>(sum.AsSpan());
            for (int i = 0; i < floats.Length; i++)
                floats[i] = (i % 9) switch { 0 => float.NaN, 1 => float.PositiveInfinity, 2 => -0f, _ => random.NextSingle() * 20 - 10 };
        }

        using GuardedMemory guardedSum = GuardedMemory.Of(sum);
        using var y = new GuardedMemory(((rows - 1) * yStride + columns) * epilogue.ElementBytes);
        y.Span.Fill(0xCC);
        kernel.Apply(epilogue, acc, rows, columns, channel, guardedSum.Span, y.Span, yStride);

        for (int r = 0; r < rows; r++)
        {
            for (int n = 0; n < yStride && r * yStride + n < y.Span.Length / epilogue.ElementBytes; n++)
            {
                int at = r * yStride + n;
                string where = $"row {r} of {rows}, column {n} of {columns}, channel {channel + n}";
                if (n >= columns)
                {
                    Assert.That(y.Span.Slice(at * epilogue.ElementBytes, epilogue.ElementBytes).ToArray(), Is.All.EqualTo(0xCC), where + ": overwritten");
                    continue;
                }
                int a = acc[r * columns + n];
                where += $", accumulator {a}";
                int sumAt = r * sumStride + n;
                switch (epilogue.Output)
                {
                    case QOutput.Int32:
                        Assert.That(MemoryMarshal.Cast<byte, int>(y.Span)[at], Is.EqualTo(a), where);
                        break;
                    case QOutput.UInt8:
                        Assert.That(y.Span[at], Is.EqualTo(RequantizeReference.ToUInt8(epilogue, a, channel + n, epilogue.Sum is null ? (byte)0 : sum[sumAt])), where);
                        break;
                    default:
                        float expected = RequantizeReference.ToFloat32(epilogue, a, channel + n, epilogue.Sum is null ? 0f : MemoryMarshal.Cast<byte, float>(sum.AsSpan())[sumAt]);
                        float actual = MemoryMarshal.Cast<byte, float>(y.Span)[at];
                        Assert.That(BitConverter.SingleToInt32Bits(actual), Is.EqualTo(BitConverter.SingleToInt32Bits(expected)), where);
                        break;
                }
            }
        }
    }

    /// <summary>Extremes, values beyond 2²⁴ that a float rounds, and values that land near the byte range.</summary>
    private static int[] Accumulators(Random random, int count, float multiplier)
    {
        var acc = new int[count];
        for (int i = 0; i < count; i++)
        {
            acc[i] = random.Next(8) switch
            {
                0 => int.MinValue,
                1 => int.MaxValue,
                2 => random.Next(int.MinValue, int.MaxValue),
                3 => (1 << 24) + random.Next(-3, 4) * (random.Next(2) * 2 - 1),
                4 => 0,
                5 => random.Next(-4, 5),
                _ => (int)Math.Clamp((random.Next(-1000, 1000) * 0.5) / multiplier, int.MinValue, int.MaxValue),
            };
        }
        return acc;
    }
}

/// <summary>The definition itself, against values worked out by hand.</summary>
internal sealed class RequantizeReferenceTests
{
    [TestCase(0.5f, 0, 0)]
    [TestCase(1.5f, 0, 2)]
    [TestCase(2.5f, 0, 2)]
    [TestCase(-0.5f, 10, 10)]
    [TestCase(-1.5f, 10, 8)]
    [TestCase(2.5f, 1, 3)]          // rounds before the zero point is added
    [TestCase(300f, 0, 255)]
    [TestCase(-300f, 128, 0)]
    [TestCase(3e38f, 128, 255)]
    [TestCase(float.NegativeInfinity, 128, 0)]
    public void RoundsHalfToEvenThenAddsThenSaturates(float t, int zeroPoint, int expected) =>
        Assert.That(RequantizeReference.Quantize(t, zeroPoint, 0, 255), Is.EqualTo(expected));

    [Test]
    public void LargeAccumulatorsRoundOnce()
    {
        // 2²⁴ + 1 is no float: it rounds to 2²⁴, so one multiply by 2⁻²⁴·100.5 gives 100.5 and rounds to 100.
        QEpilogue e = QEpilogue.ToUInt8(1, [], [100.5f / (1 << 24)], 0);
        Assert.That(RequantizeReference.ToUInt8(e, (1 << 24) + 1, 0, 0), Is.EqualTo(100));
    }

    [Test]
    public void IntermediateQuantizationComesBeforeTheSum()
    {
        // acc·M = 2.5 → q1 = 2; 2·1 + (7 − 3)·0.25 = 3. Without it: 2.5 + 1 = 3.5 → 4.
        Assert.That(RequantizeReference.ToUInt8(QEpilogue.ToUInt8(1, [], [0.5f], 0, sum: new QSum(0.25f, 3, 0, new QIntermediate(1f, 0))), 5, 0, 7), Is.EqualTo(3));
        Assert.That(RequantizeReference.ToUInt8(QEpilogue.ToUInt8(1, [], [0.5f], 0, sum: new QSum(0.25f, 3)), 5, 0, 7), Is.EqualTo(4));
    }

    /// <summary>The layer may be either operand, and bytes may be stored smaller than the model's integers.</summary>
    [Test]
    public void ASumRoundsInItsOrder()
    {
        (float a, float b, int za, int zb, int zy) = (0.7312f, 0.2688f, 117, 93, 101);
        float c = RequantizeReference.SumConstant(a, za, b, zb, zy);
        Assert.That(c, Is.EqualTo(zy - MathF.FusedMultiplyAdd(a, za, b * zb)));
        QEpilogue first = QEpilogue.ToUInt8(1, [], [1f], zy, sum: new QSum(b, zb, 0, new QIntermediate(a, za)));
        QEpilogue second = QEpilogue.ToUInt8(1, [], [1f], zy, sum: new QSum(a, za, 0, new QIntermediate(b, zb, IsSecond: true)));
        QEpilogue moved = QEpilogue.ToUInt8(1, [], [1f], zy - 60, 0, 195, new QSum(b, zb - 93, 0, new QIntermediate(a, za), Shift: 93, OutputShift: 60));
        for (int x = 0; x < 256; x++)
        {
            for (int y = 0; y < 256; y++)
            {
                int expected = (int)Math.Clamp(MathF.Round(MathF.FusedMultiplyAdd(x, a, MathF.FusedMultiplyAdd(y, b, c))), 0, 255);
                Assert.That(RequantizeReference.ToUInt8(first, x - za, 0, (byte)y), Is.EqualTo(expected));
                Assert.That(RequantizeReference.ToUInt8(second, y - zb, 0, (byte)x), Is.EqualTo(expected));
                if (y >= 93) Assert.That(RequantizeReference.ToUInt8(moved, x - za, 0, (byte)(y - 93)), Is.EqualTo(Math.Max(expected - 60, 0)));
            }
        }
    }

    [Test]
    public void RefusesWhatCouldMakeNaN()
    {
        Assert.Throws<ArgumentException>(() => QEpilogue.ToUInt8(1, [], [float.NaN], 0));
        Assert.Throws<ArgumentException>(() => QEpilogue.ToUInt8(1, [], [float.PositiveInfinity], 0));
        Assert.Throws<ArgumentException>(() => QEpilogue.ToUInt8(1, [], [1e30f], 0));
        Assert.Throws<ArgumentException>(() => QEpilogue.ToUInt8(1, [], [1f], 256));
        Assert.Throws<ArgumentException>(() => QEpilogue.ToUInt8(1, [], [1f], 0, 10, 9));
        Assert.Throws<ArgumentException>(() => QEpilogue.ToUInt8(2, [1], [1f], 0));
        Assert.Throws<ArgumentException>(() => QEpilogue.ToUInt8(2, [], [1f, 1f, 1f], 0));
        Assert.Throws<ArgumentException>(() => QEpilogue.ToUInt8(1, [], [1f], 0, table: new byte[255]));
        Assert.Throws<ArgumentException>(() => QEpilogue.ToFloat32(1, [], [1f], float.NaN));
        Assert.Throws<ArgumentException>(() => QEpilogue.ToFloat32(1, [], [1f], sum: new QSum(2f, 0)));
    }
}
