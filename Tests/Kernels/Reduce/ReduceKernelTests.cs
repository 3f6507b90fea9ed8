using Octet.Kernels.Cpu;
using Octet.Kernels.Lanes;
using Octet.Kernels.Reduce;
using Octet.Kernels.Threading;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.Reduce;

internal sealed class ReduceKernelTests
{
    private static readonly ReduceOperation[] Operations = Enum.GetValues<ReduceOperation>();

    private static readonly (int[] Shape, bool[] Reduced)[] Cases =
    [
        ([], []),
        ([5], [false]),
        ([67], [true]),
        ([9001], [true]),
        ([3, 67], [false, true]),
        ([3, 67], [true, false]),
        ([2, 7, 33], [false, true, false]),
        ([2, 7, 33], [true, false, true]),
        ([2, 3, 4, 5], [true, false, true, false]),
        ([2, 3, 4, 5], [false, true, false, true]),
        ([2, 1, 4, 35], [false, false, true, true]),
        ([3, 0, 4], [false, true, false]),
        ([0, 3], [false, true]),
        ([40, 3], [false, true]),
    ];

    private static double[] Reference(ReduceOperation operation, int[] shape, bool[] reduced, float[] x)
    {
        int outputs = 1;
        for (int i = 0; i < shape.Length; i++) outputs *= reduced[i] ? 1 : shape[i];
        var groups = new List<double>[outputs];
        for (int i = 0; i < outputs; i++) groups[i] = [];
        for (int i = 0; i < x.Length; i++)
        {
            int rest = i, at = 0, step = 1;
            for (int axis = shape.Length - 1; axis >= 0; axis--)
            {
                if (!reduced[axis])
                {
                    at += rest % shape[axis] * step;
                    step *= shape[axis];
                }
                rest /= shape[axis];
            }
            groups[at].Add(x[i]);
        }
        return [.. groups.Select(g => operation switch
        {
            ReduceOperation.Sum => g.Sum(),
            ReduceOperation.Mean => g.Sum() / g.Count,
            ReduceOperation.Max => g.Count == 0 ? double.NegativeInfinity : g.Max(),
            ReduceOperation.Min => g.Count == 0 ? double.PositiveInfinity : g.Min(),
            ReduceOperation.Product => g.Aggregate(1.0, (a, b) => a * b),
            ReduceOperation.L1 => g.Sum(Math.Abs),
            ReduceOperation.L2 => Math.Sqrt(g.Sum(v => v * v)),
            ReduceOperation.SumSquare => g.Sum(v => v * v),
            ReduceOperation.LogSum => Math.Log(g.Sum()),
            ReduceOperation.LogSumExp => Math.Log(g.Sum(Math.Exp)),
            _ => throw new ArgumentOutOfRangeException(nameof(operation)),
        })];
    }

    [Test]
    public void MatchesDouble([ValueSource(nameof(Operations))] ReduceOperation operation, [ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width)
    {
        CpuFeatures cpu = Widths.Require(width);
        foreach ((int[] shape, bool[] reduced) in Cases)
        {
            int length = shape.Aggregate(1, (a, b) => a * b);
            float[] x = new Random(8).Floats(length);
            if (operation is ReduceOperation.LogSum) x = [.. x.Select(Math.Abs)];
            if (operation is ReduceOperation.Product) x = [.. x.Select(v => 1 + v * 0.01f)];
            double[] expected = Reference(operation, shape, reduced, x);
            ReduceKernel kernel = ReduceKernel.Create(operation, shape, reduced, cpu);
            Assert.That((kernel.InputLength, kernel.OutputLength), Is.EqualTo((length, expected.Length)));
            var y = new float[expected.Length];
            kernel.Run(x, y, new float[kernel.ScratchFloats], Parallelism.None);
            double bound = Tolerance.Sum(Math.Max(8, kernel.Count), 4);
            for (int i = 0; i < y.Length; i++)
            {
                if (!double.IsFinite(expected[i])) Assert.That((double)y[i], Is.EqualTo(expected[i]), $"{operation} [{string.Join(",", shape)}]");
                else Assert.That(y[i], Is.EqualTo(expected[i]).Within(bound), $"{operation} [{string.Join(",", shape)}] {i}");
            }
            var many = new float[y.Length];
            kernel.Run(x, many, new float[kernel.ScratchFloats], new Parallelism(TestPool.Four, 4));
            Assert.That(many, Is.EqualTo(y));
        }
    }

    [Test]
    public void MaxAndMinKeepNaNWhereverItIs([ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width, [Values(ReduceOperation.Max, ReduceOperation.Min)] ReduceOperation operation)
    {
        ReduceKernel kernel = ReduceKernel.Create(operation, [70], [true], Widths.Require(width));
        for (int i = 0; i < 70; i++)
        {
            float[] x = new Random(i).Floats(70), y = new float[1];
            x[i] = float.NaN;
            kernel.Run(x, y, [], Parallelism.None);
            Assert.That(y[0], Is.NaN, $"NaN at {i}");
        }
    }

    [Test]
    public void LogSumExpDoesNotOverflow()
    {
        var y = new float[1];
        ReduceKernel.Create(ReduceOperation.LogSumExp, [3], [true], CpuInfo.Detected).Run([1000f, 1000f, float.NegativeInfinity], y, new float[1], Parallelism.None);
        Assert.That(y[0], Is.EqualTo(1000f + MathF.Log(2)));
    }

    [Test]
    public void ArgTakesTheFirstOrTheLastOfEquals()
    {
        var y = new long[2];
        float[] x = [1, 5, 5, 2, 5, 0, /**/ 3, 3, 3, 3, float.NaN, 9];
        ArgKernels.Run<float>(x, 6, 1, min: false, last: false, y);
        Assert.That(y, Is.EqualTo(new long[] { 1, 4 }));
        ArgKernels.Run<float>(x.AsSpan(0, 6), 6, 1, min: false, last: true, y);
        Assert.That(y[0], Is.EqualTo(4));
        ArgKernels.Run<int>([4, 1, 2, 1, 4, 0], 3, 2, min: true, last: false, y);   // columns 4 2 4 and 1 1 0
        Assert.That(y, Is.EqualTo(new long[] { 1, 2 }));
        Assert.That(() => ArgKernels.Run<int>([1, 2, 3], 2, 1, false, false, y), Throws.ArgumentException);
    }

    [Test]
    public void MinMaxIgnoresNaN([ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width)
    {
        CpuFeatures cpu = Widths.Require(width);
        for (int length = 1; length < 90; length++)
        {
            float[] x = new Random(length).Floats(length);
            if (length > 2) x[length / 2] = float.NaN;
            float[] real = [.. x.Where(v => !float.IsNaN(v))];
            Assert.That(RangeKernels.MinMax(x, cpu), Is.EqualTo((real.Min(), real.Max())), $"length {length}");
        }
        Assert.That(RangeKernels.MinMax([float.NaN], cpu), Is.EqualTo((float.PositiveInfinity, float.NegativeInfinity)));
        Assert.That(RangeKernels.MinMax([], cpu), Is.EqualTo((float.PositiveInfinity, float.NegativeInfinity)));
    }

    [Test]
    public void ExtremesAreTheSameOnEveryWidth([ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width)
    {
        CpuFeatures cpu = Widths.Require(width);
        for (int length = 1; length < 90; length++)
        {
            float[] x = new Random(length).Floats(length);
            Assert.That(RangeKernels.Extremes(x, cpu), Is.EqualTo((x.Min(), x.Max())), $"length {length}");
            float[] zeros = [.. x.Select((_, i) => i % 2 == length % 2 ? 0f : -0f)];
            (float min, float max) = RangeKernels.Extremes(zeros, cpu);
            Assert.That((BitConverter.SingleToInt32Bits(min), BitConverter.SingleToInt32Bits(max)), Is.EqualTo((0, 0)), $"{length} zeros of both signs");
            x[length / 3] = float.PositiveInfinity;
            Assert.That(RangeKernels.Extremes(x, cpu).Max, Is.EqualTo(float.PositiveInfinity));
            x[length * 2 / 3] = float.NaN;
            Assert.That(RangeKernels.Extremes(x, cpu), Is.EqualTo((float.NaN, float.NaN)), $"length {length}");
        }
    }

    [Test]
    public void BinsAreCountedByTheirFormula([ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width, [Values(1, 7, 300, 5000, 60003)] int length, [Values(-126, -3, 0, 5, 100)] int exponent, [Values] bool zeros)
    {
        CpuFeatures cpu = Widths.Require(width);
        var random = new Random(length + exponent);
        float[] x = [.. Enumerable.Range(0, length).Select(i => zeros && i % 3 != 0 ? (i % 2 == 0 ? 0f : -0f) : i % 11 == 10 ? -1e-45f : MathF.ScaleB(random.NextSingle() * 7000 - 3000, exponent))];
        const int first = -3000, last = 4000;
        var expected = new long[last - first + 1 + RangeKernels.ZeroCounts];
        foreach (float value in x) expected[(int)Math.Floor(Math.ScaleB((double)value, -exponent)) - first]++;
        expected[5] += 9;   // counts are added
        var bins = new long[expected.Length];
        bins[5] = 9;
        var counters = new int[RangeKernels.Stripes * bins.Length + RangeKernels.ZeroCounts];
        RangeKernels.CountBins(x, (float)Math.ScaleB(1.0, -exponent), first, last, bins, counters, cpu);
        Assert.That(bins, Is.EqualTo(expected));
        Assert.That(counters, Is.All.Zero);
    }

    [Test]
    public void BinsOutsideAndMissingRoomDoNotCorruptMemory([ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width, [Values(40, 4000)] int length)
    {
        CpuFeatures cpu = Widths.Require(width);
        float[] bad = [float.NaN, float.PositiveInfinity, float.NegativeInfinity, 1e30f, -1e30f];
        var bins = new long[11 + RangeKernels.ZeroCounts];
        var counters = new int[RangeKernels.Stripes * 11 + RangeKernels.ZeroCounts];
        RangeKernels.CountBins([.. Enumerable.Range(0, length).Select(i => bad[i % bad.Length])], 1, -4, 6, bins, counters, cpu);
        Assert.That(bins[0] + bins[10], Is.EqualTo(length));
        Assert.That(() => RangeKernels.CountBins([1f], 1, -4, 6, bins[1..], counters, cpu), Throws.ArgumentException);
        Assert.That(() => RangeKernels.CountBins([1f], 1, -4, 6, bins, counters[1..], cpu), Throws.ArgumentException);
        Assert.That(() => RangeKernels.CountBins([1f], 1, 1, 6, bins, counters, cpu), Throws.ArgumentException);
    }
}
