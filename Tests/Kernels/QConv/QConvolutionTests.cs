using System.Runtime.InteropServices;
using CsCheck;
using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.QConv;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.QConv;

/// <summary>Every convolution form on every row of the kernel table, against the definition.</summary>
[TestFixtureSource(typeof(QGemmKernels), nameof(QGemmKernels.All))]
internal sealed class QConvolutionTests(QGemmKernel kernel)
{
    [SetUp]
    public void IgnoreIfUnsupported()
    {
        if ((kernel.Requires & ~CpuInfo.Detected) != 0) Assert.Ignore($"{kernel.Name} needs {kernel.Requires}");
    }

    private static IEnumerable<ConvShape> Shapes() => ConvShapes.Dense;

    [TestCaseSource(nameof(Shapes))]
    public void MatchesReference(ConvShape shape)
    {
        foreach (int threads in new[] { 1, 3 })
        {
            Assert.That(ConvShapes.Run(shape, QConvMethod.Select(shape, kernel), [], 131, threads, seed: 1, out int[] expected), Is.EqualTo(expected), $"{threads} threads");
        }
        int[] zeroPoints = new Random(2).Ints(shape.OutChannels, -20, 20);
        Assert.That(ConvShapes.Run(shape, QConvMethod.Select(shape, kernel), zeroPoints, 3, 1, seed: 2, out int[] withZeroPoints), Is.EqualTo(withZeroPoints), "weight zero points");
    }

    [TestCaseSource(nameof(Shapes))]
    public void StaysInsideItsBuffers(ConvShape shape) => ConvShapes.CheckGuarded(shape, QConvMethod.Select(shape, kernel));

    /// <summary>Large enough to be cut into many pieces, in place and through a padded copy.</summary>
    [Test]
    public void SameResultForAnyThreadCount([Values(16, 6)] int channels)
    {
        ConvShape shape = ConvShapes.Square(2, channels, 70, 1, 40, 3, 1, 1, 1);
        var random = new Random(channels);
        byte[] x = random.Bytes(shape.Batch * shape.InputPixels * channels);
        QConvWeights weights = QConvWeights.Pack(shape, random.SBytes(70 * channels * 9), [], QConvMethod.Select(shape, kernel));
        QConvolution conv = QConvolution.Create(shape, weights, 7, QEpilogue.ToUInt8(70, random.Ints(70, -500, 500), [0.004f], 90));
        byte[]? one = null;
        for (int threads = 1; threads <= 4; threads++)
        {
            var p = IntegerData.Threads(threads);
            var y = new byte[shape.Batch * shape.OutputPixels * 70];
            conv.Run(x, default, y, new byte[conv.ScratchBytes(p.MaxWorkers)], p);
            Assert.That(y, Is.EqualTo(one ??= y), $"{threads} threads");
        }
    }

    [Test]
    public void RandomShapes() => ConvShapes.Random.Sample((shape, zeroPoint, seed) =>
    {
        int[] zeroPoints = seed % 4 == 0 ? new Random(seed).Ints(shape.OutChannels, -128, 128) : [];
        int[] actual = ConvShapes.Run(shape, QConvMethod.Select(shape, kernel), zeroPoints, zeroPoint, 1 + seed % 4, seed, out int[] expected);
        return actual.AsSpan().SequenceEqual(expected);
    }, iter: 150, threads: 1, print: t => t.Item1 + $" zx {t.Item2} seed {t.Item3}");

    [Test]
    public void RunningAllocatesNothing()
    {
        foreach (ConvShape shape in ConvShapes.Dense)
        {
            QConvWeights weights = QConvWeights.Pack(shape, new sbyte[shape.OutChannels * shape.GroupInChannels * shape.Taps], [], QConvMethod.Select(shape, kernel));
            QConvolution conv = QConvolution.Create(shape, weights, 3, QEpilogue.ToUInt8(shape.OutChannels, [], [0.5f], 3));
            byte[] x = new byte[shape.Batch * shape.InputPixels * shape.InChannels], y = new byte[shape.Batch * shape.OutputPixels * shape.OutChannels];
            var scratch = new byte[conv.ScratchBytes(1)];
            conv.Run(x, default, y, scratch, default);
            long before = GC.GetAllocatedBytesForCurrentThread();
            conv.Run(x, default, y, scratch, default);
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero, shape.ToString());
        }
    }

    [Test]
    public void SharesWeightsBetweenShapes()
    {
        ConvShape small = ConvShapes.Square(1, 8, 5, 1, 7, 3, 1, 1, 1), large = ConvShapes.Square(2, 8, 5, 1, 12, 3, 2, 1, 0);
        sbyte[] w = new Random(1).SBytes(5 * 8 * 9);
        QConvWeights shared = QConvWeights.Pack(small, w, [], QConvMethod.Select(small, kernel));
        Assert.That(shared.Fits(large));
        Assert.That(QConvolution.Create(large, shared, 0, QEpilogue.ToInt32(5)).Weights, Is.SameAs(shared));
        Assert.That(shared.Fits(ConvShapes.Square(1, 8, 6, 1, 7, 3, 1, 1, 1)), Is.False);
        Assert.Throws<ArgumentException>(() => QConvolution.Create(ConvShapes.Square(1, 4, 5, 1, 7, 3, 1, 1, 1), shared, 0, QEpilogue.ToInt32(5)));
    }

    [Test]
    public void WritesIntoPartOfAWiderTensor()
    {
        ConvShape shape = ConvShapes.Square(1, 6, 5, 1, 5, 3, 1, 1, 1);
        var random = new Random(3);
        byte[] x = random.Bytes(25 * 6);
        sbyte[] w = random.SBytes(5 * 6 * 9);
        QEpilogue e = QEpilogue.ToUInt8(5, [], [0.003f], 7);
        QConvWeights packed = QConvWeights.Pack(shape, w, [], QConvMethod.Select(shape, kernel));
        QConvolution narrow = QConvolution.Create(shape, packed, 9, e), wide = QConvolution.Create(shape, packed, 9, e, outputStride: 11);
        byte[] y = new byte[25 * 5], concat = new byte[25 * 11];
        Array.Fill(concat, (byte)0xCC);
        narrow.Run(x, default, y, new byte[narrow.ScratchBytes(1)], default);
        wide.Run(x, default, concat.AsSpan(4), new byte[wide.ScratchBytes(1)], default);
        for (int i = 0; i < concat.Length; i++)
            Assert.That(concat[i], Is.EqualTo(i % 11 is >= 4 and < 9 ? y[i / 11 * 5 + i % 11 - 4] : 0xCC));
    }
}

/// <summary>Every row of the depthwise table against the definition.</summary>
[TestFixtureSource(typeof(QDepthwiseKernels), nameof(QDepthwiseKernels.All))]
internal sealed class QDepthwiseTests(QDepthwiseKernel kernel)
{
    [SetUp]
    public void IgnoreIfUnsupported()
    {
        if ((kernel.Requires & ~CpuInfo.Detected) != 0) Assert.Ignore($"{kernel.Name} needs {kernel.Requires}");
    }

    private QConvMethod Method => new(QConvForm.Depthwise, null, kernel, "test");

    private static IEnumerable<ConvShape> Shapes() => ConvShapes.Depthwise;

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

    /// <summary>Products far beyond the bytes on either side, with every clamp: what saturates on the way must not come back at the other end.</summary>
    [Test]
    public void BytesAreTheDefinitionWhereProductsAreLarge([Values(0, 128, 255)] int zeroPoint, [Values(0.0003f, 0.2f, 0.99f, 1.5f, -0.99f)] float multiplier, [Values] bool clamps, [Values(8, 32, 45)] int channels)
    {
        ConvShape shape = ConvShapes.Square(1, channels, channels, channels, 5, 3, 1, 1, 1);
        var random = new Random(channels ^ zeroPoint << 8);
        int[] bias = [.. Enumerable.Range(0, channels).Select(i => (i % 8) switch { 0 => int.MaxValue, 1 => int.MinValue, 2 => int.MaxValue - 40000, 3 => 40000, 4 => -40000, 5 => 33000, _ => random.Next(-300000, 300000) })];
        byte[] x = random.Bytes(25 * channels), y = new byte[25 * channels];
        sbyte[] w = random.SBytes(9 * channels);
        QEpilogue epilogue = QEpilogue.ToUInt8(channels, bias, [multiplier], zeroPoint, clamps ? zeroPoint / 2 : 0, clamps ? 200 + zeroPoint / 5 : 255);
        QConvolution conv = QConvolution.Create(shape, QConvWeights.Pack(shape, w, [], Method), 3, epilogue);
        conv.Run(x, default, y, new byte[conv.ScratchBytes(1)], default);
        int[] products = QConvReference.Convolve(shape, x, 3, w, []);
        for (int i = 0; i < y.Length; i++)
            Assert.That(y[i], Is.EqualTo(RequantizeReference.ToUInt8(epilogue, unchecked(products[i] + bias[i % channels]), i % channels, 0)), $"pixel {i / channels}, channel {i % channels}");
    }

    [Test]
    public void RandomShapes() => ConvShapes.Random.Sample((shape, zeroPoint, seed) =>
    {
        int channels = 2 + seed % 150;
        ConvShape depthwise = shape with { InChannels = channels, OutChannels = channels, Groups = channels };
        int[] zeroPoints = seed % 4 == 0 ? new Random(seed).Ints(channels, -128, 128) : [];
        int[] actual = ConvShapes.Run(depthwise, Method, zeroPoints, zeroPoint, 1 + seed % 4, seed, out int[] expected);
        return actual.AsSpan().SequenceEqual(expected);
    }, iter: 60, threads: 1, print: t => t.Item1 + $" zx {t.Item2} seed {t.Item3}");

    [Test]
    public void IsExactAtExtremes([Values((byte)0, (byte)255)] byte a, [Values((sbyte)-128, (sbyte)127)] sbyte b, [Values(0, 255)] int za)
    {
        ConvShape shape = ConvShapes.Square(1, 67, 67, 67, 9, 5, 1, 1, 0);
        byte[] x = new byte[81 * 67];
        sbyte[] w = new sbyte[67 * 25];
        Array.Fill(x, a);
        Array.Fill(w, b);
        QConvolution conv = QConvolution.Create(shape, QConvWeights.Pack(shape, w, [], Method), za, QEpilogue.ToInt32(67));
        var y = new int[25 * 67];
        conv.Run(x, default, MemoryMarshal.AsBytes(y.AsSpan()), new byte[conv.ScratchBytes(1)], default);
        Assert.That(y, Is.All.EqualTo((a - za) * b * 25));
    }
}

/// <summary>Convolution extents that the tests share, and how they run one.</summary>
internal static class ConvShapes
{
    public static ConvShape Square(int batch, int inChannels, int outChannels, int groups, int size, int kernel, int stride, int dilation, int pad) =>
        new(batch, inChannels, outChannels, groups, WindowAxis.Unit, Axis(size, kernel, stride, dilation, pad, pad), Axis(size, kernel, stride, dilation, pad, pad));

    public static WindowAxis Axis(int input, int kernel, int stride, int dilation, int begin, int end)
    {
        int span = (kernel - 1) * dilation + 1;
        return new(input, kernel, stride, dilation, begin, end, (input + begin + end - span) / stride + 1);
    }

    public static readonly ConvShape[] Dense =
    [
        Square(1, 8, 5, 1, 6, 3, 1, 1, 1),
        Square(2, 4, 17, 1, 7, 3, 2, 1, 1),
        Square(1, 3, 33, 1, 11, 7, 2, 1, 3),
        Square(1, 1, 6, 1, 9, 5, 1, 1, 2),
        Square(2, 5, 7, 1, 6, 1, 1, 1, 0),
        Square(1, 8, 40, 1, 9, 1, 2, 1, 0),
        Square(1, 8, 8, 1, 9, 3, 1, 2, 2),
        Square(1, 6, 4, 1, 9, 3, 1, 2, 2),
        Square(1, 8, 12, 2, 6, 3, 1, 1, 1),
        Square(1, 6, 9, 3, 6, 3, 1, 1, 1),
        Square(1, 8, 8, 2, 5, 1, 1, 1, 0),
        Square(1, 16, 16, 1, 5, 3, 1, 1, 3),                                                                        // whole windows in the padding
        new(1, 4, 3, 1, WindowAxis.Unit, Axis(7, 3, 1, 1, 0, 2), Axis(5, 2, 3, 1, 1, 0)),                           // asymmetric
        new(2, 4, 5, 1, WindowAxis.Unit, WindowAxis.Unit, Axis(13, 5, 2, 1, 2, 1)),                                 // 1-D
        new(1, 3, 5, 1, Axis(4, 3, 1, 1, 1, 1), Axis(5, 3, 2, 1, 1, 1), Axis(6, 2, 1, 2, 0, 1)),                    // 3-D, bytes need a copy
        new(1, 4, 5, 1, Axis(4, 2, 2, 1, 0, 1), Axis(5, 3, 1, 2, 2, 2), Axis(6, 3, 1, 1, 1, 1)),                    // 3-D in place
    ];

    public static readonly ConvShape[] Depthwise =
    [
        Square(1, 8, 8, 8, 6, 3, 1, 1, 1),
        Square(2, 17, 17, 17, 7, 3, 2, 1, 1),
        Square(1, 32, 32, 32, 9, 3, 1, 1, 1),
        Square(1, 64, 64, 64, 8, 3, 2, 1, 1),
        Square(1, 67, 67, 67, 8, 3, 1, 1, 0),
        Square(1, 130, 130, 130, 5, 3, 1, 1, 1),
        Square(1, 40, 40, 40, 9, 5, 1, 1, 2),
        Square(1, 40, 40, 40, 9, 5, 2, 1, 2),
        Square(1, 20, 20, 20, 9, 3, 1, 2, 2),
        Square(1, 33, 33, 33, 9, 3, 2, 3, 3),
        Square(1, 16, 16, 16, 9, 7, 1, 1, 3),
        Square(1, 16, 16, 16, 4, 1, 1, 1, 0),
        Square(1, 16, 16, 16, 3, 3, 1, 1, 4),
        Square(1, 32, 32, 32, 7, 5, 1, 1, 2),
        Square(2, 16, 16, 16, 7, 3, 1, 1, 1),
        Square(1, 64, 64, 64, 7, 3, 1, 1, 1),
        Square(1, 96, 96, 96, 7, 3, 2, 1, 1),
        Square(1, 24, 24, 24, 10, 3, 2, 1, 1),
        new(1, 40, 40, 40, WindowAxis.Unit, WindowAxis.Unit, Axis(1500, 9, 1, 1, 4, 4)),                            // more than one stretch
        Square(1, 6, 18, 6, 6, 3, 1, 1, 1),                                                                         // three filters per channel
        Square(2, 20, 40, 20, 7, 3, 1, 1, 1),                                                                       // two filters per channel
        Square(1, 37, 185, 37, 8, 5, 2, 1, 2),                                                                      // five
        Square(1, 16, 64, 16, 9, 3, 1, 2, 2),                                                                       // four, a whole block
        new(1, 24, 24, 24, WindowAxis.Unit, Axis(7, 3, 1, 1, 0, 2), Axis(5, 2, 3, 1, 1, 0)),
        new(2, 12, 12, 12, WindowAxis.Unit, WindowAxis.Unit, Axis(33, 5, 1, 1, 2, 2)),
        new(1, 20, 20, 20, Axis(4, 3, 1, 1, 1, 1), Axis(5, 3, 2, 1, 1, 1), Axis(6, 2, 1, 2, 0, 1)),
    ];

    private static readonly Gen<WindowAxis> AnyAxis =
        Gen.Select(Gen.Int[1, 9], Gen.Int[1, 4], Gen.Int[1, 3], Gen.Int[1, 2], Gen.Int[0, 2], Gen.Int[0, 2])
            .Where((input, kernel, stride, dilation, begin, end) => input + begin + end >= (kernel - 1) * dilation + 1)
            .Select((input, kernel, stride, dilation, begin, end) => Axis(input, kernel, stride, dilation, begin, end));

    /// <summary>Shape, zero point of x, seed.</summary>
    public static readonly Gen<(ConvShape, int, int)> Random =
        Gen.Select(
            Gen.Select(Gen.Int[1, 2], Gen.Int[1, 3], Gen.Int[1, 9], Gen.Int[1, 20]),
            Gen.Select(Gen.Int[0, 3], AnyAxis, AnyAxis, AnyAxis),
            Gen.Int[0, 255], Gen.Int[0, 10000],
            (channels, axes, zeroPoint, seed) =>
            {
                (int batch, int groups, int inChannels, int outChannels) = channels;
                (int dimensions, WindowAxis d, WindowAxis h, WindowAxis w) = axes;
                if (inChannels == 1) groups = 1;   // one channel per group is depthwise, which has its own fixture
                return (new ConvShape(batch, groups * inChannels, groups * outChannels, groups,
                    dimensions == 3 ? d : WindowAxis.Unit, dimensions >= 2 ? h : WindowAxis.Unit, w), zeroPoint, seed);
            });

    /// <summary>Runs random data through one method and, for comparison, through the definition.</summary>
    public static int[] Run(ConvShape shape, QConvMethod method, int[] weightZeroPoints, int zeroPoint, int threads, int seed, out int[] expected)
    {
        var random = new Random(seed);
        byte[] x = random.Bytes(shape.Batch * shape.InputPixels * shape.InChannels);
        sbyte[] w = random.SBytes(shape.OutChannels * shape.GroupInChannels * shape.Taps);
        int[] bias = random.Ints(shape.OutChannels, -100000, 100000);
        expected = QConvReference.Convolve(shape, x, zeroPoint, w, weightZeroPoints);
        for (int i = 0; i < expected.Length; i++) expected[i] += bias[i % bias.Length];

        QConvolution conv = QConvolution.Create(shape, QConvWeights.Pack(shape, w, weightZeroPoints, method), zeroPoint, QEpilogue.ToInt32(shape.OutChannels, bias));
        var p = IntegerData.Threads(threads);
        var y = new int[expected.Length];
        var scratch = random.Bytes(conv.ScratchBytes(p.MaxWorkers));
        conv.Run(x, default, MemoryMarshal.AsBytes(y.AsSpan()), scratch, p);
        return y;
    }

    /// <summary>Runs every kind of epilogue with every buffer against a guard page, first at its end, then at its start.</summary>
    public static void CheckGuarded(ConvShape shape, QConvMethod method)
    {
        var random = new Random(4);
        int channels = shape.OutChannels, rows = shape.Batch * shape.OutputPixels;
        byte[] xData = random.Bytes(shape.Batch * shape.InputPixels * shape.InChannels);
        sbyte[] w = random.SBytes(channels * shape.GroupInChannels * shape.Taps);
        int[] bias = random.Ints(channels, -3000, 3000);
        float[] multipliers = Enumerable.Range(0, channels).Select(c => 0.002f + 0.0007f * (c % 13)).ToArray();
        byte[] table = Enumerable.Range(0, 256).Select(i => (byte)(i * 91 + 17)).ToArray();
        int[] acc = QConvReference.Convolve(shape, xData, 120, w, []);
        for (int i = 0; i < acc.Length; i++) acc[i] += bias[i % channels];
        QConvWeights packed = QConvWeights.Pack(shape, w, [], method);
        QEpilogue[] epilogues =
        [
            QEpilogue.ToUInt8(channels, bias, multipliers, 100),
            QEpilogue.ToUInt8(channels, bias, multipliers, 10, 10, 200, table: table),
            QEpilogue.ToUInt8(channels, bias, multipliers, 100, 3, 255, new QSum(0.5f, 3)),
            QEpilogue.ToFloat32(channels, bias, multipliers, -5f),
            QEpilogue.ToInt32(channels, bias),
        ];
        foreach (QEpilogue epilogue in epilogues)
        {
            foreach (int stride in new[] { channels, channels + 3 })
            {
                byte[] sumData = random.Bytes((int)epilogue.SumBytes(rows));
                var expected = new byte[((rows - 1) * stride + channels) * epilogue.ElementBytes];
                Array.Fill(expected, (byte)0xCC);
                for (int i = 0; i < acc.Length; i++)
                {
                    Span<byte> at = expected.AsSpan((i / channels * stride + i % channels) * epilogue.ElementBytes);
                    if (epilogue.Output == QOutput.Int32) MemoryMarshal.Write(at, acc[i]);
                    else if (epilogue.Output == QOutput.Float32) MemoryMarshal.Write(at, RequantizeReference.ToFloat32(epilogue, acc[i], i % channels, 0f));
                    else at[0] = RequantizeReference.ToUInt8(epilogue, acc[i], i % channels, epilogue.Sum is null ? (byte)0 : sumData[i]);
                }
                QConvolution conv = QConvolution.Create(shape, packed, 120, epilogue, stride);
                foreach (bool atEnd in new[] { true, false })
                {
                    using GuardedMemory x = GuardedMemory.Of(xData, atEnd), sum = GuardedMemory.Of(sumData, atEnd);
                    using var y = new GuardedMemory(expected.Length, atEnd);
                    using var scratch = new GuardedMemory(conv.ScratchBytes(1), atEnd);
                    y.Span.Fill(0xCC);
                    conv.Run(x.Span, sum.Span, y.Span, scratch.Span, default);
                    Assert.That(y.Span.SequenceEqual(expected), Is.True, $"{epilogue.Output}, sum {epilogue.Sum is not null}, table {epilogue.Table.Length}, stride {stride}, at end {atEnd}");
                }
            }
        }
    }
}
