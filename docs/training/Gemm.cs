using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Octet.Training;

/// <summary>Single-threaded float matrix product for training: <c>C = A·B</c> or <c>C += A·B</c>.</summary>
/// <remarks>
/// B and C are row-major and N is a multiple of 16. A is addressed by two strides, so that the transposed product of the weight
/// gradient needs no copy. Every element of C is one chain of fused multiply-adds over k in order, so the result depends
/// neither on the tile nor on the vector width of the machine.
/// </remarks>
internal static class Gemm
{
    public const int Lanes = 16;

    /// <param name="m">Rows of A and C.</param>
    /// <param name="n">Columns of B and C; a multiple of 16.</param>
    /// <param name="k">Columns of A, rows of B.</param>
    /// <param name="a">Element (i, p) is at <c>i·aRow + p·aStep</c>.</param>
    /// <param name="aRow">Distance between rows of A.</param>
    /// <param name="aStep">Distance between columns of A.</param>
    /// <param name="b">Row-major, <c>k × n</c>.</param>
    /// <param name="c">Row-major, <c>m × n</c>.</param>
    /// <param name="accumulate">Whether the product is added to C instead of replacing it.</param>
    public static void Multiply(int m, int n, int k, ReadOnlySpan<float> a, int aRow, int aStep, ReadOnlySpan<float> b, Span<float> c, bool accumulate)
    {
        if (n % Lanes != 0) throw new ArgumentException($"N = {n} is not a multiple of {Lanes}.", nameof(n));
        if (m == 0 || k == 0) throw new ArgumentException($"M = {m} and K = {k} must be positive.", nameof(m));
        if (a.Length <= (m - 1) * aRow + (k - 1) * aStep || b.Length < k * n || c.Length < m * n)
            throw new ArgumentException($"A {a.Length}, B {b.Length}, C {c.Length} are too short for M = {m}, N = {n}, K = {k}.");

        ref float a0 = ref MemoryMarshal.GetReference(a);
        ref float b0 = ref MemoryMarshal.GetReference(b);
        ref float c0 = ref MemoryMarshal.GetReference(c);
        int column = 0;
        for (; column + 2 * Lanes <= n; column += 2 * Lanes)
        {
            int row = 0;
            for (; row + 4 <= m; row += 4)
                Tile4x2(k, ref Unsafe.Add(ref a0, row * aRow), aRow, aStep, ref Unsafe.Add(ref b0, column), n, ref Unsafe.Add(ref c0, row * n + column), accumulate);
            for (; row < m; row++)
            {
                for (int half = 0; half < 2 * Lanes; half += Lanes)
                    Tile1x1(k, ref Unsafe.Add(ref a0, row * aRow), aStep, ref Unsafe.Add(ref b0, column + half), n, ref Unsafe.Add(ref c0, row * n + column + half), accumulate);
            }
        }

        if (column == n) return;
        int last = 0;
        for (; last + 8 <= m; last += 8)
            Tile8x1(k, ref Unsafe.Add(ref a0, last * aRow), aRow, aStep, ref Unsafe.Add(ref b0, column), n, ref Unsafe.Add(ref c0, last * n + column), accumulate);
        for (; last < m; last++)
            Tile1x1(k, ref Unsafe.Add(ref a0, last * aRow), aStep, ref Unsafe.Add(ref b0, column), n, ref Unsafe.Add(ref c0, last * n + column), accumulate);
    }

    private static void Tile4x2(int k, ref float a, int aRow, int aStep, ref float b, int n, ref float c, bool accumulate)
    {
        Vector512<float> c00 = default, c01 = default, c10 = default, c11 = default;
        Vector512<float> c20 = default, c21 = default, c30 = default, c31 = default;
        if (accumulate)
        {
            c00 = Load(ref c, 0); c01 = Load(ref c, Lanes);
            c10 = Load(ref c, n); c11 = Load(ref c, n + Lanes);
            c20 = Load(ref c, 2 * n); c21 = Load(ref c, 2 * n + Lanes);
            c30 = Load(ref c, 3 * n); c31 = Load(ref c, 3 * n + Lanes);
        }

        ref float p = ref a;
        ref float q = ref b;
        for (int i = 0; i < k; i++)
        {
            Vector512<float> b0 = Load(ref q, 0), b1 = Load(ref q, Lanes);
            Vector512<float> r = Vector512.Create(p);
            c00 = Vector512.FusedMultiplyAdd(r, b0, c00); c01 = Vector512.FusedMultiplyAdd(r, b1, c01);
            r = Vector512.Create(Unsafe.Add(ref p, aRow));
            c10 = Vector512.FusedMultiplyAdd(r, b0, c10); c11 = Vector512.FusedMultiplyAdd(r, b1, c11);
            r = Vector512.Create(Unsafe.Add(ref p, 2 * aRow));
            c20 = Vector512.FusedMultiplyAdd(r, b0, c20); c21 = Vector512.FusedMultiplyAdd(r, b1, c21);
            r = Vector512.Create(Unsafe.Add(ref p, 3 * aRow));
            c30 = Vector512.FusedMultiplyAdd(r, b0, c30); c31 = Vector512.FusedMultiplyAdd(r, b1, c31);
            p = ref Unsafe.Add(ref p, aStep);
            q = ref Unsafe.Add(ref q, n);
        }

        Store(c00, ref c, 0); Store(c01, ref c, Lanes);
        Store(c10, ref c, n); Store(c11, ref c, n + Lanes);
        Store(c20, ref c, 2 * n); Store(c21, ref c, 2 * n + Lanes);
        Store(c30, ref c, 3 * n); Store(c31, ref c, 3 * n + Lanes);
    }

    private static void Tile8x1(int k, ref float a, int aRow, int aStep, ref float b, int n, ref float c, bool accumulate)
    {
        Vector512<float> c0 = default, c1 = default, c2 = default, c3 = default;
        Vector512<float> c4 = default, c5 = default, c6 = default, c7 = default;
        if (accumulate)
        {
            c0 = Load(ref c, 0); c1 = Load(ref c, n); c2 = Load(ref c, 2 * n); c3 = Load(ref c, 3 * n);
            c4 = Load(ref c, 4 * n); c5 = Load(ref c, 5 * n); c6 = Load(ref c, 6 * n); c7 = Load(ref c, 7 * n);
        }

        ref float p = ref a;
        ref float q = ref b;
        for (int i = 0; i < k; i++)
        {
            Vector512<float> v = Load(ref q, 0);
            c0 = Vector512.FusedMultiplyAdd(Vector512.Create(p), v, c0);
            c1 = Vector512.FusedMultiplyAdd(Vector512.Create(Unsafe.Add(ref p, aRow)), v, c1);
            c2 = Vector512.FusedMultiplyAdd(Vector512.Create(Unsafe.Add(ref p, 2 * aRow)), v, c2);
            c3 = Vector512.FusedMultiplyAdd(Vector512.Create(Unsafe.Add(ref p, 3 * aRow)), v, c3);
            c4 = Vector512.FusedMultiplyAdd(Vector512.Create(Unsafe.Add(ref p, 4 * aRow)), v, c4);
            c5 = Vector512.FusedMultiplyAdd(Vector512.Create(Unsafe.Add(ref p, 5 * aRow)), v, c5);
            c6 = Vector512.FusedMultiplyAdd(Vector512.Create(Unsafe.Add(ref p, 6 * aRow)), v, c6);
            c7 = Vector512.FusedMultiplyAdd(Vector512.Create(Unsafe.Add(ref p, 7 * aRow)), v, c7);
            p = ref Unsafe.Add(ref p, aStep);
            q = ref Unsafe.Add(ref q, n);
        }

        Store(c0, ref c, 0); Store(c1, ref c, n); Store(c2, ref c, 2 * n); Store(c3, ref c, 3 * n);
        Store(c4, ref c, 4 * n); Store(c5, ref c, 5 * n); Store(c6, ref c, 6 * n); Store(c7, ref c, 7 * n);
    }

    private static void Tile1x1(int k, ref float a, int aStep, ref float b, int n, ref float c, bool accumulate)
    {
        Vector512<float> sum = accumulate ? Load(ref c, 0) : default;
        for (int i = 0; i < k; i++)
            sum = Vector512.FusedMultiplyAdd(Vector512.Create(Unsafe.Add(ref a, i * aStep)), Load(ref b, i * n), sum);
        Store(sum, ref c, 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Load(ref float source, int offset) => Vector512.LoadUnsafe(ref source, (nuint)offset);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector512<float> value, ref float target, int offset) => value.StoreUnsafe(ref target, (nuint)offset);
}
