using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Lanes;
using Octet.Kernels.Threading;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.Elementwise;

internal sealed class BroadcastTests
{
    private static readonly BinaryOperation[] Operations = Enum.GetValues<BinaryOperation>();

    public static readonly (int[] A, int[] B, int[] Y)[] Shapes =
    [
        ([], [], []),
        ([7], [7], [7]),
        ([2, 3, 37], [2, 3, 37], [2, 3, 37]),
        ([2, 3, 37], [], [2, 3, 37]),
        ([1], [5, 40], [5, 40]),
        ([4, 5, 33], [33], [4, 5, 33]),
        ([4, 5, 33], [5, 1], [4, 5, 33]),
        ([4, 1, 33], [1, 5, 1], [4, 5, 33]),
        ([3, 1, 5, 1], [1, 4, 1, 6], [3, 4, 5, 6]),
        ([2, 1, 1, 3], [5, 1, 3], [2, 5, 1, 3]),
        ([0, 3], [3], [0, 3]),
        ([300, 70], [70], [300, 70]),
    ];

    private static int Count(int[] shape) => shape.Aggregate(1, (a, b) => a * b);

    /// <summary>The element of a broadcast operand that output <paramref name="index"/> reads, from the definition.</summary>
    private static int Source(int[] shape, int[] output, int index)
    {
        int at = 0, step = 1;
        for (int axis = output.Length - 1, own = shape.Length - 1; axis >= 0; axis--, own--)
        {
            int i = index % output[axis];
            index /= output[axis];
            if (own < 0) continue;
            if (shape[own] != 1) at += i * step;
            step *= shape[own];
        }
        return at;
    }

    private static float Scalar(BinaryOperation operation, float a, float b) => operation switch
    {
        BinaryOperation.Add => a + b,
        BinaryOperation.Subtract => a - b,
        BinaryOperation.Multiply => a * b,
        BinaryOperation.Divide => a / b,
        BinaryOperation.Max => float.IsNaN(a) || float.IsNaN(b) ? float.NaN : a > b ? a : b,
        BinaryOperation.Min => float.IsNaN(a) || float.IsNaN(b) ? float.NaN : a < b ? a : b,
        BinaryOperation.PRelu => a < 0 ? a * b : a,
        BinaryOperation.SquaredDifference => (a - b) * (a - b),
        _ => throw new ArgumentOutOfRangeException(nameof(operation)),
    };

    [Test]
    public void FloatOperationsFollowTheDefinition([ValueSource(nameof(Operations))] BinaryOperation operation,
        [ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width, [Values(1, 3)] int threads)
    {
        BinaryKernel kernel = BinaryKernel.Select(operation, Widths.Require(width));
        foreach ((int[] aShape, int[] bShape, int[] yShape) in Shapes)
        {
            var random = new Random(9);
            float[] a = random.Floats(Count(aShape)), b = random.Floats(Count(bShape)), y = new float[Count(yShape)];
            if (a.Length > 2) a[1] = float.NaN;
            if (b.Length > 5) b[3] = float.NaN;
            BroadcastPlan plan = BroadcastPlan.Create(yShape, aShape, bShape);
            kernel.Run(plan, a, b, y, new Parallelism(TestPool.Four, threads));
            for (int i = 0; i < y.Length; i++)
                Assert.That(y[i], Is.EqualTo(Scalar(operation, a[Source(aShape, yShape, i)], b[Source(bShape, yShape, i)])), $"{operation} [{string.Join(",", yShape)}] {i}");
        }
    }

    [Test]
    public void GenericOperationsFollowTheDefinition()
    {
        foreach ((int[] aShape, int[] bShape, int[] yShape) in Shapes)
        {
            var random = new Random(4);
            long[] a = [.. Enumerable.Range(0, Count(aShape)).Select(_ => (long)random.Next(-9, 9))];
            long[] b = [.. Enumerable.Range(0, Count(bShape)).Select(_ => (long)random.Next(-9, 9))];
            bool[] condition = [.. a.Select(v => v > 0)];
            BroadcastPlan plan = BroadcastPlan.Create(yShape, aShape, bShape, bShape);
            var sum = new long[Count(yShape)];
            var less = new bool[sum.Length];
            var chosen = new long[sum.Length];
            ElementwiseKernels.Binary<Generic.Add<long>, long, long>(plan, a, b, sum, Parallelism.None);
            ElementwiseKernels.Binary<Generic.Less<long>, long, bool>(plan, a, b, less, Parallelism.None);
            ElementwiseKernels.Where<long>(plan, condition, b, b, chosen, Parallelism.None);
            for (int i = 0; i < sum.Length; i++)
            {
                long av = a[Source(aShape, yShape, i)], bv = b[Source(bShape, yShape, i)];
                Assert.That((sum[i], less[i], chosen[i]), Is.EqualTo((av + bv, av < bv, bv)));
            }
        }
    }

    [Test]
    public void IntegerDivisionNeverThrows()
    {
        Assert.Multiple(() =>
        {
            Assert.That(Generic.Divide<int>.Invoke(7, 0), Is.Zero);
            Assert.That(Generic.Divide<int>.Invoke(int.MinValue, -1), Is.EqualTo(int.MinValue));
            Assert.That(Generic.Divide<int>.Invoke(-7, 2), Is.EqualTo(-3));
            Assert.That(Generic.Divide<float>.Invoke(1, 0), Is.EqualTo(float.PositiveInfinity));
            Assert.That(Generic.FloorModulo<int>.Invoke(-7, 3), Is.EqualTo(2));
            Assert.That(Generic.FloorModulo<int>.Invoke(7, -3), Is.EqualTo(-2));
            Assert.That(Generic.TruncatedModulo<long>.Invoke(long.MinValue, -1), Is.Zero);
            Assert.That(Generic.TruncatedModulo<float>.Invoke(-7.5f, 2), Is.EqualTo(-1.5f));
            Assert.That(Generic.IntegerPower<int>.Invoke(-2, 5), Is.EqualTo(-32));
            Assert.That(Generic.IntegerPower<int>.Invoke(0, -1), Is.Zero);
            Assert.That(Generic.ShiftLeft<byte>.Invoke(3, 9), Is.Zero);
            Assert.That(Generic.ShiftRight<byte>.Invoke(200, 1), Is.EqualTo(100));
            Assert.That(Generic.Abs<sbyte>.Invoke(sbyte.MinValue), Is.EqualTo(sbyte.MinValue));
            Assert.That(Generic.Sign<float>.Invoke(float.NaN), Is.NaN);
        });
    }

    [Test]
    public void OperandsThatDoNotBroadcastAreRefused()
    {
        Assert.That(() => BroadcastPlan.Create([2, 3], [2], [3]), Throws.ArgumentException);
        Assert.That(() => BroadcastPlan.Create([3], [2, 3], [3]), Throws.ArgumentException);
        BroadcastPlan plan = BroadcastPlan.Create([2, 3], [3], [2, 3]);
        Assert.That(() => BinaryKernel.Select(BinaryOperation.Add, CpuFeatures.None).Run(plan, new float[2], new float[6], new float[6], Parallelism.None), Throws.ArgumentException);
    }

    [Test]
    public void RunAllocatesNothing()
    {
        BroadcastPlan plan = BroadcastPlan.Create([4, 5, 33], [4, 5, 33], [5, 1]);
        BinaryKernel kernel = BinaryKernel.Select(BinaryOperation.Add, CpuInfo.Detected);
        float[] a = new float[660], b = new float[5], y = new float[660];
        for (int i = 0; i < 3; i++) kernel.Run(plan, a, b, y, Parallelism.None);
        long before = GC.GetAllocatedBytesForCurrentThread();
        kernel.Run(plan, a, b, y, Parallelism.None);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }
}
