using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.QConv;
using Octet.Kernels.QConv.X86;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;

namespace Octet.Tests.Kernels.QConv;

/// <summary>Convolutions whose input is taken apart once for all windows.</summary>
internal sealed class QConvWindowTests
{
    /// <summary>What lies outside the window of activations: nothing, single values on either side, and so much that both parts are dense. Windows overlap, skip pixels and reach into the padding.</summary>
    [Test]
    public void WindowsTakenApartAreExact([Values(32, 64)] int channels, [Values(1, 2)] int stride, [Values(0, 1, 2)] int pad, [Values(0, 20, 128, 255)] int zeroPoint, [Values(0, 1, 10, 100)] int outsidePercent, [Values(1, 3)] int threads)
    {
        QGemmKernel kernel = QGemmKernels.Find("u8s8s32-3x16x4-avx2");
        if ((kernel.Requires & ~CpuInfo.Detected) != 0) Assert.Ignore($"{kernel.Name} needs {kernel.Requires}");
        ConvShape shape = ConvShapes.Square(2, channels, 43, 1, 9, 3, stride, pad, 1);
        var random = new Random(channels ^ stride << 8 ^ pad << 12 ^ zeroPoint << 16 ^ outsidePercent << 24);
        int lowest = Math.Clamp(zeroPoint - 50, 0, 155);
        byte[] x = [.. Enumerable.Range(0, shape.Batch * shape.InputPixels * channels).Select(_ => (byte)(random.Next(100) < outsidePercent ? 255 * random.Next(2) : lowest + random.Next(101)))];
        // Neighbouring channels whose sums are safe up to 200, few of them up to 255, and some weights that are safe nowhere.
        var w = new sbyte[43 * channels * 9];
        for (int at = 0; at < w.Length; at += 18)
        {
            for (int tap = 0; tap < 9; tap++)
            {
                (w[at + tap], w[at + 9 + tap]) = random.Next(300) == 0 ? ((sbyte)-128, (sbyte)-128) : random.Next(3) switch { 0 => ((sbyte)100, (sbyte)60), 1 => ((sbyte)-90, (sbyte)-70), _ => ((sbyte)random.Next(-60, 61), (sbyte)random.Next(-60, 61)) };
            }
        }
        QConvWeights packed = QConvWeights.Pack(shape, w, [], QConvMethod.Select(shape, kernel));
        Assert.That(packed.Groups[0].TakesApart, "these weights gain by it");
        QConvolution conv = QConvolution.Create(shape, packed, zeroPoint, QEpilogue.ToInt32(43));
        var p = IntegerData.Threads(threads);
        var y = new int[shape.Batch * shape.OutputPixels * 43];
        conv.Run(x, default, MemoryMarshal.AsBytes(y.AsSpan()), new byte[conv.ScratchBytes(p.MaxWorkers)], p);
        Assert.That(y, Is.EqualTo(QConvReference.Convolve(shape, x, zeroPoint, w, [])));
    }

    /// <summary>Scratch memory stays in proportion: large inputs, groups and pixels that are no whole vectors are left as they are.</summary>
    [TestCase(1, 32, 1, 56, true)]
    [TestCase(8, 512, 1, 64, false)]
    [TestCase(1, 64, 2, 56, false)]
    [TestCase(1, 48, 1, 56, false)]
    public void OnlySomeInputsAreTakenApart(int batch, int channels, int groups, int size, bool suits) =>
        Assert.That(QConvWindow256.Suits(ConvShapes.Square(batch, channels, 64, groups, size, 3, 2, 1, 1)), Is.EqualTo(suits));
}
