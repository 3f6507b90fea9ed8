using System.Runtime.InteropServices;
using CsCheck;
using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.QConv;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.QConv;

/// <summary>Transposed convolution on every row of the kernel table, against the definition.</summary>
[TestFixtureSource(typeof(QGemmKernels), nameof(QGemmKernels.All))]
internal sealed class QConvTransposeTests(QGemmKernel kernel)
{
    [SetUp]
    public void IgnoreIfUnsupported()
    {
        if ((kernel.Requires & ~CpuInfo.Detected) != 0) Assert.Ignore($"{kernel.Name} needs {kernel.Requires}");
    }

    private static WindowAxis Axis(int input, int taps, int stride, int dilation, int begin, int end, int extra = 0) =>
        new(input, taps, stride, dilation, begin, end, stride * (input - 1) + (taps - 1) * dilation + 1 + extra - begin - end);

    private static ConvShape Square(int batch, int inChannels, int outChannels, int groups, int size, int taps, int stride, int dilation, int pad, int extra = 0) =>
        new(batch, inChannels, outChannels, groups, WindowAxis.Unit, Axis(size, taps, stride, dilation, pad, pad, extra), Axis(size, taps, stride, dilation, pad, pad, extra));

    private static readonly ConvShape[] Shapes =
    [
        Square(1, 8, 5, 1, 6, 3, 1, 1, 1),
        Square(2, 4, 17, 1, 5, 4, 2, 1, 1),
        Square(1, 3, 33, 1, 5, 3, 2, 1, 1, 1),
        Square(1, 16, 7, 1, 4, 2, 2, 1, 0),
        Square(1, 8, 6, 1, 4, 2, 3, 1, 0),                                                   // outputs that no tap reaches
        Square(1, 5, 4, 1, 5, 3, 2, 2, 1, 1),
        Square(1, 12, 18, 3, 4, 3, 2, 1, 1),
        Square(1, 6, 6, 6, 5, 4, 2, 1, 1),                                                   // depthwise
        Square(1, 8, 40, 1, 1, 4, 1, 1, 0),                                                  // one pixel becomes a window
        Square(1, 1, 1, 1, 3, 1, 4, 1, 0, 2),
        new(2, 4, 5, 1, WindowAxis.Unit, WindowAxis.Unit, Axis(300, 5, 2, 1, 2, 1)),         // 1-D, more rows than one piece
        new(1, 3, 5, 1, Axis(3, 2, 2, 1, 0, 1), Axis(3, 3, 1, 2, 1, 1), Axis(4, 2, 3, 1, 1, 0, 1)),
    ];

    [TestCaseSource(nameof(Shapes))]
    public void MatchesReference(ConvShape shape)
    {
        foreach (int threads in new[] { 1, 3 }) Check(shape, [], 131, threads, 1);
        Check(shape, new Random(2).Ints(shape.OutChannels, -128, 128), 3, 1, 2);
        Check(shape, [5], 255, 1, 3);
    }

    [Test]
    public void RandomShapes() =>
        Gen.Select(Gen.Select(Gen.Int[1, 2], Gen.Int[1, 3], Gen.Int[1, 9], Gen.Int[1, 20]), Gen.Select(AnyAxis, AnyAxis), Gen.Int[0, 255], Gen.Int[0, 10000]).Sample((channels, axes, zeroPoint, seed) =>
        {
            (int batch, int groups, int inChannels, int outChannels) = channels;
            var shape = new ConvShape(batch, groups * inChannels, groups * outChannels, groups, WindowAxis.Unit, axes.Item1, axes.Item2);
            Check(shape, seed % 3 == 0 ? new Random(seed).Ints(shape.OutChannels, -128, 128) : [], zeroPoint, 1 + seed % 3, seed);
        }, iter: 80, threads: 1);

    private static readonly Gen<WindowAxis> AnyAxis =
        Gen.Select(Gen.Int[1, 6], Gen.Int[1, 4], Gen.Int[1, 3], Gen.Int[1, 2], Gen.Int[0, 2], Gen.Int[0, 2]).Select((input, taps, stride, dilation, begin, end) => Axis(input, taps, stride, dilation, begin, end, stride - 1))
            .Where(axis => axis.Output >= 0);

    [TestCaseSource(nameof(Shapes))]
    public void EveryEpilogueStaysInsideItsBuffers(ConvShape shape)
    {
        var random = new Random(4);
        int channels = shape.OutChannels, rows = shape.Batch * shape.OutputPixels, step = shape.W.Stride * channels;
        byte[] xData = random.Bytes(shape.Batch * shape.InputPixels * shape.InChannels);
        sbyte[] w = random.SBytes(channels * shape.GroupInChannels * shape.Taps);
        int[] bias = random.Ints(channels, -3000, 3000);
        float[] multipliers = [.. Enumerable.Range(0, channels).Select(c => 0.002f + 0.0007f * (c % 13))];
        byte[] table = [.. Enumerable.Range(0, 256).Select(i => (byte)(i * 91 + 17))];
        int[] acc = QConvReference.Transpose(shape, xData, 120, w, []);
        for (int i = 0; i < acc.Length; i++) acc[i] += bias[i % channels];
        QEpilogue[] epilogues =
        [
            QEpilogue.ToUInt8(channels, bias, multipliers, 10, 10, 200, table: table),
            QEpilogue.ToUInt8(channels, bias, multipliers, 100, 3, 255, new QSum(0.5f, 3, step)),
            QEpilogue.ToFloat32(channels, bias, multipliers, -5f, sum: new QSum(1, 0, step)),
            QEpilogue.ToInt32(channels, bias),
        ];
        foreach (QEpilogue epilogue in epilogues)
        {
            byte[] sumData = new byte[epilogue.Sum is null ? 0 : rows * channels * epilogue.SumElementBytes];
            if (epilogue.Output == QOutput.UInt8) random.NextBytes(sumData);
            else for (int i = 0; i < sumData.Length / 4; i++) MemoryMarshal.Cast<byte, float>(sumData.AsSpan())[i] = random.Next(-9, 9) * 0.5f;
            var expected = new byte[rows * channels * epilogue.ElementBytes];
            for (int i = 0; i < acc.Length; i++)
            {
                Span<byte> at = expected.AsSpan(i * epilogue.ElementBytes);
                if (epilogue.Output == QOutput.Int32) MemoryMarshal.Write(at, acc[i]);
                else if (epilogue.Output == QOutput.Float32) MemoryMarshal.Write(at, RequantizeReference.ToFloat32(epilogue, acc[i], i % channels, MemoryMarshal.Cast<byte, float>(sumData.AsSpan())[i]));
                else at[0] = RequantizeReference.ToUInt8(epilogue, acc[i], i % channels, epilogue.Sum is null ? (byte)0 : sumData[i]);
            }
            QConvTranspose transpose = QConvTranspose.Create(shape, QConvTransposeWeights.Pack(shape, w, [], kernel), 120, epilogue);
            foreach (bool atEnd in new[] { true, false })
            {
                using GuardedMemory x = GuardedMemory.Of(xData, atEnd), sum = GuardedMemory.Of(sumData, atEnd);
                using GuardedMemory y = new(expected.Length, atEnd), scratch = new(transpose.ScratchBytes(1), atEnd);
                y.Span.Fill(0xCC);
                transpose.Run(x.Span, sum.Span, y.Span, scratch.Span, default);
                Assert.That(y.Span.SequenceEqual(expected), Is.True, $"{epilogue.Output}, sum {epilogue.Sum is not null}, at end {atEnd}");
            }
        }
    }

    [Test]
    public void IsExactAtExtremes([Values((byte)0, (byte)255)] byte a, [Values((sbyte)-128, (sbyte)127)] sbyte b, [Values(0, 255)] int za)
    {
        ConvShape shape = Square(1, 67, 3, 1, 4, 2, 2, 1, 0);
        byte[] x = [.. Enumerable.Repeat(a, 16 * 67)];
        sbyte[] w = [.. Enumerable.Repeat(b, 3 * 67 * 4)];
        QConvTranspose transpose = QConvTranspose.Create(shape, QConvTransposeWeights.Pack(shape, w, [], kernel), za, QEpilogue.ToInt32(3));
        var y = new int[64 * 3];
        transpose.Run(x, default, MemoryMarshal.AsBytes(y.AsSpan()), new byte[transpose.ScratchBytes(1)], default);
        Assert.That(y, Is.All.EqualTo((a - za) * b * 67));
        long before = GC.GetAllocatedBytesForCurrentThread();
        var scratch = new byte[transpose.ScratchBytes(1)];
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        before = GC.GetAllocatedBytesForCurrentThread();
        transpose.Run(x, default, MemoryMarshal.AsBytes(y.AsSpan()), scratch, default);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero, $"besides {allocated} bytes of scratch");
    }

    private void Check(ConvShape shape, int[] zeroPoints, int zeroPoint, int threads, int seed)
    {
        var random = new Random(seed);
        byte[] x = random.Bytes(shape.Batch * shape.InputPixels * shape.InChannels);
        sbyte[] w = random.SBytes(shape.OutChannels * shape.GroupInChannels * shape.Taps);
        int[] bias = random.Ints(shape.OutChannels, -100000, 100000), expected = QConvReference.Transpose(shape, x, zeroPoint, w, zeroPoints);
        for (int i = 0; i < expected.Length; i++) expected[i] += bias[i % bias.Length];
        QConvTranspose transpose = QConvTranspose.Create(shape, QConvTransposeWeights.Pack(shape, w, zeroPoints, kernel), zeroPoint, QEpilogue.ToInt32(shape.OutChannels, bias));
        var p = IntegerData.Threads(threads);
        var y = new int[expected.Length];
        transpose.Run(x, default, MemoryMarshal.AsBytes(y.AsSpan()), random.Bytes(transpose.ScratchBytes(p.MaxWorkers)), p);
        Assert.That(y, Is.EqualTo(expected), $"{shape}, {threads} threads");
    }
}
