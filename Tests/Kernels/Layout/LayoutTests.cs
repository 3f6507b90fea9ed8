using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Octet.Kernels.Layout;
using Octet.Kernels.Threading;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.Layout;

internal sealed class LayoutTests
{
    private static readonly (int[] Shape, int[] Permutation)[] Cases =
    [
        ([], []),
        ([5], [0]),
        ([3, 5], [1, 0]),
        ([70, 133], [1, 0]),
        ([2, 3, 17, 19], [0, 2, 3, 1]),
        ([2, 17, 19, 3], [0, 3, 1, 2]),
        ([2, 40, 6, 7], [0, 2, 1, 3]),
        ([2, 3, 4, 5], [3, 2, 1, 0]),
        ([4, 1, 6, 1, 8], [4, 3, 2, 1, 0]),
        ([2, 3, 4, 5], [0, 1, 2, 3]),
        ([3, 4, 5], [2, 0, 1]),
        ([3, 0, 5], [2, 0, 1]),
    ];

    private static void Check<T>(Func<int, T> value) where T : unmanaged
    {
        foreach ((int[] shape, int[] permutation) in Cases)
        {
            int rank = shape.Length, length = shape.Aggregate(1, (a, b) => a * b);
            T[] x = [.. Enumerable.Range(0, length).Select(value)], expected = new T[length], y = new T[length], many = new T[length];
            var index = new int[rank];
            for (int i = 0; i < length; i++)
            {
                int rest = i;
                for (int axis = rank - 1; axis >= 0; axis--)
                {
                    index[axis] = rest % shape[axis];
                    rest /= shape[axis];
                }
                int at = 0;
                foreach (int axis in permutation) at = at * shape[axis] + index[axis];
                expected[at] = x[i];
            }
            TransposePlan plan = TransposePlan.Create(shape, permutation, Unsafe.SizeOf<T>());
            plan.Run(MemoryMarshal.AsBytes<T>(x), MemoryMarshal.AsBytes(y.AsSpan()), Parallelism.None);
            Assert.That(y, Is.EqualTo(expected), $"[{string.Join(",", shape)}] by [{string.Join(",", permutation)}]");
            plan.Run(MemoryMarshal.AsBytes<T>(x), MemoryMarshal.AsBytes(many.AsSpan()), new Parallelism(TestPool.Four, 4));
            Assert.That(many, Is.EqualTo(expected));
        }
    }

    [Test]
    public void TransposeMovesEveryElementSize()
    {
        Check(i => (byte)i);
        Check(i => (ushort)i);
        Check(i => (float)i);
        Check(i => (long)i);
        Check(i => (Low: (long)i, High: (long)~i));
    }

    [Test]
    public void BytesOfAnyFewRowsBecomeNeighbours([Range(1, 20)] int rows)
    {
        foreach (int columns in new[] { 1, 2, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 33, 48, 70, 259 })
        {
            byte[] x = new Random(columns).Bytes(2 * rows * columns), y = new byte[x.Length];
            byte[] expected = [.. Enumerable.Range(0, x.Length).Select(i => x[i / (rows * columns) * rows * columns + i % rows * columns + i / rows % columns])];
            TransposePlan.Create([2, rows, columns], [0, 2, 1], 1).Run(x, y, Parallelism.None);
            Assert.That(y, Is.EqualTo(expected), $"{columns} columns");
        }
    }

    [Test]
    public void BadPermutationsAreRefused()
    {
        Assert.That(() => TransposePlan.Create([2, 3], [0, 0], 4), Throws.ArgumentException);
        Assert.That(() => TransposePlan.Create([2, 3], [0, 2], 4), Throws.ArgumentException);
        Assert.That(() => TransposePlan.Create([2, 3], [0], 4), Throws.ArgumentException);
        Assert.That(() => TransposePlan.Create([2, 3], [1, 0], 3), Throws.ArgumentException);
        Assert.That(() => TransposePlan.Create([2, 3], [1, 0], 4).Run(new byte[24], new byte[23], Parallelism.None), Throws.ArgumentException);
    }

    [Test]
    public void CopyRowsConcatenates()
    {
        byte[] a = new Random(1).Bytes(12), b = new Random(2).Bytes(20), y = new byte[32];
        LayoutKernels.CopyRows(a, 3, y, 8, 3, 4);
        LayoutKernels.CopyRows(b, 5, y.AsSpan(3), 8, 5, 4);
        for (int r = 0; r < 4; r++)
        {
            Assert.That(y[(8 * r)..(8 * r + 3)], Is.EqualTo(a[(3 * r)..(3 * r + 3)]));
            Assert.That(y[(8 * r + 3)..(8 * r + 8)], Is.EqualTo(b[(5 * r)..(5 * r + 5)]));
        }
        Assert.That(() => LayoutKernels.CopyRows(a, 3, y, 8, 3, 5), Throws.ArgumentException);
    }

    [Test]
    public void PickPadsSlicesAndReverses()
    {
        int[] x = [1, 2, 3, 4, 5, 6];   // [2, 3]
        var y = new int[4 * 5];
        LayoutKernels.Pick<int>(x, [2, 3], [[-1, 0, 1, 0], [2, 1, 0, -1, 1]], 9, y);
        Assert.That(y, Is.EqualTo(new[] { 9, 9, 9, 9, 9, 3, 2, 1, 9, 2, 6, 5, 4, 9, 5, 3, 2, 1, 9, 2 }));
        Assert.That(() => LayoutKernels.Pick<int>(x, [2, 3], [[0], [3]], 0, y), Throws.ArgumentException);
        Assert.That(() => LayoutKernels.Pick<int>(x, [2, 3], [[0], [-2]], 0, y), Throws.ArgumentException);
    }
}
