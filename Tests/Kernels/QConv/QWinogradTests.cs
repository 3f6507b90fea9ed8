using System.Runtime.InteropServices;
using CsCheck;
using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.QConv;
using Octet.Kernels.QConv.Winograd;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;

namespace Octet.Tests.Kernels.QConv;

/// <summary>Exact integer Winograd convolution on every kernel of words, against the definition: no tolerance.</summary>
[TestFixtureSource(nameof(Forms))]
internal sealed class QWinogradTests(object form, string kernelName)
{
    private readonly QConvForm _form = (QConvForm)form;
    private readonly QGemmKernel _kernel = QGemmKernels.Find(kernelName);

    private static IEnumerable<object[]> Forms() =>
        from kernel in QGemmKernels.All
        where kernel.Packing == QGemmPacking.Words
        from form in new[] { QConvForm.Winograd2, QConvForm.Winograd4 }
        select new object[] { form, kernel.Name };

    [SetUp]
    public void IgnoreIfUnsupported()
    {
        CpuFeatures needed = _kernel.Requires | QWinogradPlan.Requires;
        if ((needed & ~CpuInfo.Detected) != 0) Assert.Ignore($"{_kernel.Name} needs {needed}");
    }

    private QConvMethod Method => new(_form, _kernel, null, "test");

    private static readonly ConvShape[] Shapes =
    [
        ConvShapes.Square(1, 16, 5, 1, 6, 3, 1, 1, 1),
        ConvShapes.Square(2, 17, 33, 1, 7, 3, 1, 1, 1),
        ConvShapes.Square(1, 40, 16, 1, 12, 3, 1, 1, 0),
        ConvShapes.Square(1, 24, 40, 1, 3, 3, 1, 1, 2),
        ConvShapes.Square(3, 16, 70, 1, 1, 3, 1, 1, 1),
        ConvShapes.Square(1, 64, 64, 1, 13, 3, 1, 1, 1),
        ConvShapes.Square(1, 16, 8, 1, 30, 3, 1, 1, 1),                                                              // several blocks of tiles
        new(1, 20, 12, 1, WindowAxis.Unit, ConvShapes.Axis(9, 3, 1, 1, 2, 0), ConvShapes.Axis(5, 3, 1, 1, 0, 2)),    // asymmetric
        new(2, 16, 12, 1, WindowAxis.Unit, ConvShapes.Axis(3, 3, 1, 1, 0, 0), ConvShapes.Axis(50, 3, 1, 1, 1, 1)),
    ];

    [TestCaseSource(nameof(Shapes))]
    public void MatchesReference(ConvShape shape)
    {
        foreach (int threads in new[] { 1, 3 })
            Assert.That(ConvShapes.Run(shape, Method, [], 131, threads, 1, out int[] expected), Is.EqualTo(expected), $"{threads} threads");
        int[] zeroPoints = new Random(2).Ints(shape.OutChannels, -128, 128);
        Assert.That(ConvShapes.Run(shape, Method, zeroPoints, 3, 1, 2, out int[] withZeroPoints), Is.EqualTo(withZeroPoints), "weight zero points");
    }

    [TestCaseSource(nameof(Shapes))]
    public void StaysInsideItsBuffers(ConvShape shape) => ConvShapes.CheckGuarded(shape, Method);

    /// <summary>All four corners of both types at once, and signs that alternate as the transforms do.</summary>
    [Test]
    public void IsExactAtExtremes([Values(0, 128, 255)] int zeroPoint, [Values(0, 1, 2, 3)] int pattern)
    {
        ConvShape shape = ConvShapes.Square(1, 64, 20, 1, 10, 3, 1, 1, 1);
        var x = new byte[shape.InputPixels * shape.InChannels];
        var w = new sbyte[shape.OutChannels * shape.InChannels * 9];
        for (int i = 0; i < x.Length; i++)
        {
            int pixel = i / shape.InChannels, h = pixel / 10, v = pixel % 10;
            x[i] = pattern switch { 0 => 255, 1 => (byte)((h + v) % 2 * 255), 2 => (byte)(h % 2 * 255), _ => (byte)(new Random(i).Next(2) * 255) };
        }
        for (int i = 0; i < w.Length; i++)
        {
            int tap = i % 9;
            w[i] = pattern switch { 0 => (sbyte)(i / 9 / 64 % 2 == 0 ? -128 : 127), 1 => (sbyte)((tap / 3 + tap % 3) % 2 == 0 ? -128 : 127), 2 => (sbyte)(tap / 3 % 2 == 0 ? 127 : -128), _ => (sbyte)(new Random(i).Next(2) == 0 ? -128 : 127) };
        }
        int[] zeroPoints = pattern == 3 ? [.. Enumerable.Range(0, shape.OutChannels).Select(o => o % 2 == 0 ? -128 : 127)] : [];
        int[] expected = QConvReference.Convolve(shape, x, zeroPoint, w, zeroPoints);
        QConvolution conv = QConvolution.Create(shape, QConvWeights.Pack(shape, w, zeroPoints, Method), zeroPoint, QEpilogue.ToInt32(shape.OutChannels));
        var y = new int[expected.Length];
        conv.Run(x, default, MemoryMarshal.AsBytes(y.AsSpan()), new byte[conv.ScratchBytes(1)], default);
        Assert.That(y, Is.EqualTo(expected));
    }

    /// <summary>As many channels as the bound allows, every product at its extreme; one channel more is refused.</summary>
    [Test]
    public void IsExactUpToItsBoundAndRefusedBeyond()
    {
        if (_form == QConvForm.Winograd2) Assert.Ignore("the bound of 2x2 needs 1.8 million weights of one channel");
        int channels = (1 << 25) / (255 * 128 * 9);   // 255 · 128 · 9 · channels < 2²⁵
        foreach ((int c, bool fits) in new[] { (channels, true), (channels + 1, false) })
        {
            ConvShape shape = ConvShapes.Square(1, c, 1, 1, 4, 3, 1, 1, 0);
            var w = new sbyte[c * 9];
            Array.Fill(w, (sbyte)-128);
            if (!fits)
            {
                Assert.Throws<ArgumentException>(() => QConvWeights.Pack(shape, w, [], Method));
                QConvWeights fallback = QConvWeights.Pack(shape, w, [], QConvChoice.For(shape, CpuInfo.Detected, WinogradUse.Tile4));
                Assert.That(fallback.Method.IsWinograd, Is.False);
                Assert.That(fallback.Method.Reason, Does.Contain("sums of output channel 0 may reach"));
                continue;
            }
            foreach (int zeroPoint in new[] { 0, 255 })
            {
                var x = new byte[16 * c];
                Array.Fill(x, (byte)(255 - zeroPoint));
                QConvolution conv = QConvolution.Create(shape, QConvWeights.Pack(shape, w, [], Method), zeroPoint, QEpilogue.ToInt32(1));
                var y = new int[4];
                conv.Run(x, default, MemoryMarshal.AsBytes(y.AsSpan()), new byte[conv.ScratchBytes(1)], default);
                Assert.That(y, Is.All.EqualTo((255 - 2 * zeroPoint) * -128 * 9 * c));
            }
        }
    }

    [Test]
    public void WeightsFarFromTheirZeroPointAreRefused()
    {
        ConvShape shape = ConvShapes.Square(1, 16, 3, 1, 6, 3, 1, 1, 1);
        Assert.That(() => QConvWeights.Pack(shape, new sbyte[3 * 16 * 9], [100_000], Method), Throws.ArgumentException.With.Message.Contain("100000 above its zero point"));
    }

    [Test]
    public void RandomShapes() =>
        Gen.Select(Gen.Select(Gen.Int[1, 2], Gen.Int[16, 60], Gen.Int[1, 70]), Gen.Select(Gen.Int[1, 20], Gen.Int[1, 20]), Gen.Select(Gen.Int[0, 2], Gen.Int[0, 2], Gen.Int[0, 255], Gen.Int[0, 10000]))
            .Where((_, size, pad) => size.Item1 + pad.Item1 >= 3 && size.Item2 + pad.Item1 + pad.Item2 >= 3)
            .Sample((channels, size, rest) =>
            {
                (int padBegin, int padEnd, int zeroPoint, int seed) = rest;
                var shape = new ConvShape(channels.Item1, channels.Item2, channels.Item3, 1, WindowAxis.Unit, ConvShapes.Axis(size.Item1, 3, 1, 1, padBegin, padEnd), ConvShapes.Axis(size.Item2, 3, 1, 1, padBegin, padEnd));
                int[] zeroPoints = seed % 4 == 0 ? new Random(seed).Ints(shape.OutChannels, -128, 128) : [];
                int[] actual = ConvShapes.Run(shape, Method, zeroPoints, zeroPoint, 1 + seed % 4, seed, out int[] expected);
                return actual.AsSpan().SequenceEqual(expected);
            }, iter: 60, threads: 1, print: t => $"{t.Item1} {t.Item2} {t.Item3}");

    [Test]
    public void RunningAllocatesNothing()
    {
        ConvShape shape = ConvShapes.Square(1, 32, 40, 1, 14, 3, 1, 1, 1);
        QConvolution conv = QConvolution.Create(shape, QConvWeights.Pack(shape, new sbyte[40 * 32 * 9], [], Method), 3, QEpilogue.ToUInt8(40, [], [0.5f], 3));
        byte[] x = new byte[14 * 14 * 32], y = new byte[14 * 14 * 40], scratch = new byte[conv.ScratchBytes(1)];
        conv.Run(x, default, y, scratch, default);
        long before = GC.GetAllocatedBytesForCurrentThread();
        conv.Run(x, default, y, scratch, default);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }
}

/// <summary>Where Winograd forms are taken.</summary>
internal sealed class QConvChoiceTests
{
    private const CpuFeatures Haswell = CpuFeatures.Vector128 | CpuFeatures.Sse41 | CpuFeatures.Avx2 | CpuFeatures.Fma;

    [Test]
    public void OnlyShapesThatHaveTheFormGetIt()
    {
        ConvShape fits = ConvShapes.Square(1, 64, 64, 1, 14, 3, 1, 1, 1);
        Assert.That(QConvChoice.For(fits, Haswell, WinogradUse.Tile4).Candidates[0].Name, Is.EqualTo("winograd-4x4 u8s8s32-6x16x2-avx2"));
        Assert.That(QConvChoice.For(fits, Haswell, WinogradUse.Tile2).Candidates[0].Form, Is.EqualTo(QConvForm.Winograd2));
        foreach (ConvShape other in new[]
        {
            ConvShapes.Square(1, 64, 64, 1, 14, 3, 2, 1, 1), ConvShapes.Square(1, 64, 64, 1, 14, 3, 1, 2, 1), ConvShapes.Square(1, 64, 64, 1, 14, 5, 1, 1, 1),
            ConvShapes.Square(1, 64, 64, 2, 14, 3, 1, 1, 1), ConvShapes.Square(1, 64, 64, 1, 14, 1, 1, 1, 0), ConvShapes.Square(1, 8, 64, 1, 14, 3, 1, 1, 1), ConvShapes.Square(1, 64, 64, 64, 14, 3, 1, 1, 1),
        })
            Assert.That(QConvChoice.For(other, Haswell, WinogradUse.Tile4).Candidates.Any(method => method.IsWinograd), Is.False, other.ToString());
        Assert.That(QConvChoice.For(fits, CpuFeatures.Vector128 | CpuFeatures.Sse41, WinogradUse.Tile4).Candidates.Any(method => method.IsWinograd), Is.False, "no AVX2");
        Assert.That(QConvChoice.For(fits, Haswell, WinogradUse.Never).Candidates.Any(method => method.IsWinograd), Is.False);
    }

    [Test]
    public void MeasuringIsRememberedAndSaysWhatItMeasured()
    {
        if ((Haswell & ~CpuInfo.Detected) != 0) Assert.Ignore("needs AVX2");
        ConvShape shape = ConvShapes.Square(1, 64, 64, 1, 28, 3, 1, 1, 1);
        QConvForm? first = QConvTuning.Choose(shape, Haswell, out string reason);
        QConvForm? second = QConvTuning.Choose(shape with { Batch = 4 }, Haswell, out string again);
        Assert.That(second, Is.EqualTo(first));
        Assert.That(again, Is.EqualTo(reason), "the same measurement, not a second one");
        Assert.That(reason, Does.Contain("direct").Or.Contain(QConvTuning.Variable));
        Assert.That(QConvTuning.Choose(ConvShapes.Square(1, 64, 64, 1, 28, 1, 1, 1, 0), Haswell, out string none), Is.Null);
        Assert.That(none, Is.Empty);
    }

    [Test]
    public void TheVariableHasFourValues()
    {
        Assert.That(QConvTuning.Parse(null), Is.Null);
        Assert.That(QConvTuning.Parse("off"), Is.EqualTo(WinogradUse.Never));
        Assert.That(QConvTuning.Parse(" 2X2"), Is.EqualTo(WinogradUse.Tile2));
        Assert.That(QConvTuning.Parse("4x4"), Is.EqualTo(WinogradUse.Tile4));
        Assert.That(QConvTuning.Parse("measure"), Is.EqualTo(WinogradUse.Measured));
        Assert.Throws<ArgumentException>(() => QConvTuning.Parse("on"));
    }
}
