using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.Lanes;
using Octet.Kernels.Pool;
using Octet.Kernels.Quantize;
using Octet.Kernels.Threading;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.Pool;

internal sealed class PoolKernelTests
{
    private static WindowAxis Axis(int input, int kernel, int stride = 1, int dilation = 1, int begin = 0, int end = 0, bool ceil = false)
    {
        int span = (kernel - 1) * dilation + 1, room = input + begin + end - span;
        return new(input, kernel, stride, dilation, begin, end, (ceil ? (room + stride - 1) / stride : room / stride) + 1);
    }

    private static readonly PoolShape[] Shapes =
    [
        new(2, 37, WindowAxis.Unit, Axis(6, 2, 2), Axis(8, 2, 2)),
        new(1, 19, WindowAxis.Unit, Axis(7, 3, 2, 1, 1, 1), Axis(9, 3, 2, 1, 1, 1)),
        new(1, 16, WindowAxis.Unit, Axis(6, 3, 2, 1, 0, 0, ceil: true), Axis(8, 3, 2, 1, 0, 0, ceil: true)),
        new(1, 5, WindowAxis.Unit, Axis(9, 3, 1, 2), Axis(9, 2, 1, 3, 1, 1)),
        new(2, 33, Axis(3, 2, 1), Axis(4, 2, 2), Axis(5, 3, 1, 1, 1, 1)),
        new(1, 8, WindowAxis.Unit, WindowAxis.Unit, Axis(30, 5, 3, 1, 2, 2)),
    ];

    /// <summary>The values and the padding taps of every window, in the definition's order.</summary>
    private static IEnumerable<(List<float> Inside, int WithPadding)> Windows(PoolShape s, float[] x)
    {
        for (int n = 0; n < s.Batch; n++)
            for (int od = 0; od < s.D.Output; od++)
                for (int oh = 0; oh < s.H.Output; oh++)
                    for (int ow = 0; ow < s.W.Output; ow++)
                        for (int c = 0; c < s.Channels; c++)
                        {
                            var inside = new List<float>();
                            int padded = 0;
                            for (int kd = 0; kd < s.D.Kernel; kd++)
                                for (int kh = 0; kh < s.H.Kernel; kh++)
                                    for (int kw = 0; kw < s.W.Kernel; kw++)
                                    {
                                        int d = od * s.D.Stride - s.D.PadBegin + kd * s.D.Dilation, h = oh * s.H.Stride - s.H.PadBegin + kh * s.H.Dilation;
                                        int w = ow * s.W.Stride - s.W.PadBegin + kw * s.W.Dilation;
                                        if (d < s.D.Input + s.D.PadEnd && h < s.H.Input + s.H.PadEnd && w < s.W.Input + s.W.PadEnd) padded++;
                                        if (d >= 0 && h >= 0 && w >= 0 && d < s.D.Input && h < s.H.Input && w < s.W.Input)
                                            inside.Add(x[(((n * s.D.Input + d) * s.H.Input + h) * s.W.Input + w) * s.Channels + c]);
                                    }
                            yield return (inside, padded);
                        }
    }

    [Test]
    public void FloatsFollowTheDefinition([ValueSource(nameof(Shapes))] PoolShape shape, [ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width,
        [Values] PoolOperation operation, [Values] bool countPadding)
    {
        PoolKernel kernel = PoolKernel.Create(shape, operation, countPadding, 3, Widths.Require(width));
        float[] x = new Random(6).Floats(shape.Batch * shape.InputPixels * shape.Channels);
        double[] expected = [.. Windows(shape, x).Select(w => operation switch
        {
            PoolOperation.Max => w.Inside.Max(),
            PoolOperation.Average => w.Inside.Sum(v => (double)v) / (countPadding ? w.WithPadding : w.Inside.Count),
            _ => Math.Pow(w.Inside.Sum(v => Math.Pow(Math.Abs(v), 3)), 1.0 / 3),
        })];
        var y = new float[expected.Length];
        kernel.Run(x, y, new byte[kernel.ScratchBytes(1)], Parallelism.None);
        for (int i = 0; i < y.Length; i++) Assert.That(y[i], Is.EqualTo(expected[i]).Within(operation == PoolOperation.Max ? 0 : Tolerance.Sum(shape.Taps + 8, 1)));

        var many = new float[y.Length];
        kernel.Run(x, many, new byte[kernel.ScratchBytes(4)], new Parallelism(TestPool.Four, 4));
        Assert.That(many, Is.EqualTo(y));
    }

    [Test]
    public void BytesEqualTheDefinition([ValueSource(nameof(Shapes))] PoolShape shape, [ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width, [Values] bool countPadding)
    {
        CpuFeatures cpu = Widths.Require(width);
        byte[] x = new Random(6).Bytes(shape.Batch * shape.InputPixels * shape.Channels);
        float[] wide = [.. x.Select(v => (float)v)];
        var average = new QuantizedAverage(0.731f, 117, 9);
        byte[] expectedMax = [.. Windows(shape, wide).Select(w => (byte)w.Inside.Max())];
        byte[] expectedAverage = [.. Windows(shape, wide).Select(w =>
        {
            int n = countPadding ? w.WithPadding : w.Inside.Count;
            int centred = (int)w.Inside.Sum() - w.Inside.Count * 117;
            return (byte)Math.Clamp(MathF.Round(centred * (0.731f / n)) + 9, 0, 255);
        })];
        var y = new byte[expectedMax.Length];
        PoolKernel.Create(shape, PoolOperation.Max, false, 1, cpu).Run<UInt8Type, byte>(x, y, default, new byte[4096], Parallelism.None);
        Assert.That(y, Is.EqualTo(expectedMax));
        PoolKernel.Create(shape, PoolOperation.Average, countPadding, 1, cpu).Run<UInt8Type, byte>(x, y, average, new byte[16384], new Parallelism(TestPool.Four, 3));
        Assert.That(y, Is.EqualTo(expectedAverage));
    }

    [Test]
    public void GlobalAverageIsExactInBytes([ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width)
    {
        PoolKernel kernel = PoolKernel.GlobalAverage(2, 49, 35, Widths.Require(width));
        byte[] x = [.. Enumerable.Repeat((byte)255, 2 * 49 * 35)], y = new byte[70];
        kernel.Run<UInt8Type, byte>(x, y, new QuantizedAverage(1f, 0, 0), new byte[kernel.ScratchBytes(1)], Parallelism.None);
        Assert.That(y, Is.All.EqualTo((byte)255));
    }

    [Test]
    public void MaxKeepsNaN([ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width)
    {
        PoolKernel kernel = PoolKernel.Create(new(1, 3, WindowAxis.Unit, WindowAxis.Unit, Axis(4, 4)), PoolOperation.Max, false, 1, Widths.Require(width));
        for (int i = 0; i < 4; i++)
        {
            float[] x = new Random(i).Floats(12), y = new float[3];
            x[3 * i + 1] = float.NaN;
            kernel.Run(x, y, new byte[kernel.ScratchBytes(1)], Parallelism.None);
            Assert.That((float.IsNaN(y[0]), float.IsNaN(y[1]), float.IsNaN(y[2])), Is.EqualTo((false, true, false)));
        }
    }

    [Test]
    public void IndicesPointAtTheFirstMaximum()
    {
        float[] x = [1, 9, 9, 2, 4, 4], y = new float[2];
        var indices = new long[2];
        MaxPoolIndices.Run(1, WindowAxis.Unit, Axis(2, 2), Axis(3, 2), false, float.NegativeInfinity, x, y, indices);
        Assert.That((y[0], y[1], indices[0], indices[1]), Is.EqualTo((9f, 9f, 1L, 1L)));
        MaxPoolIndices.Run(1, WindowAxis.Unit, Axis(2, 2), Axis(3, 2), true, float.NegativeInfinity, x, y, indices);
        Assert.That((indices[0], indices[1]), Is.EqualTo((2L, 2L)));
    }
}
