using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Octet.Kernels.QGemm;

/// <summary>Packs one panel of a B that is known at run time as words: <c>packed[group][n][k = 0, 1] = b[2·group + k, n] − zb[n]</c>, zero beyond K.</summary>
internal static unsafe class QGemmFill
{
    /// <summary>B whose columns are contiguous: <c>from[n·k + …]</c>.</summary>
    /// <param name="from">First element of the panel's first column.</param>
    /// <param name="k">K.</param>
    /// <param name="packed">The panel.</param>
    /// <param name="nr">Its columns.</param>
    /// <param name="sums">Receives the sum of every column.</param>
    /// <param name="count">Columns that exist.</param>
    /// <param name="signed">Bytes are signed.</param>
    /// <param name="zeros">zb, or null if all are 0.</param>
    /// <param name="zeroStep">Elements from one zb to the next.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Columns(byte* from, int k, short* packed, int nr, int* sums, int count, bool signed, int* zeros, int zeroStep)
    {
        uint* pairs = stackalloc uint[8];
        for (int n = 0; n < count; n++, from += k)
        {
            short zero = zeros == null ? (short)0 : (short)zeros[n * zeroStep];
            Vector128<short> shift = Vector128.Create(zero);
            Vector128<int> total = default;
            uint* to = (uint*)packed + n;
            int at = 0;
            for (; at <= k - 16; at += 16, to += 8 * nr)
            {
                (Vector128<short> lower, Vector128<short> upper) = Widen(from + at, signed);
                lower -= shift;
                upper -= shift;
                total += Sums(lower) + Sums(upper);
                lower.AsUInt32().Store(pairs);
                upper.AsUInt32().Store(pairs + 4);
                for (int i = 0; i < 8; i++) to[i * nr] = pairs[i];
            }
            int sum = Vector128.Sum(total);
            for (; at < k; at++)
            {
                short value = (short)((signed ? (sbyte)from[at] : from[at]) - zero);
                sum += value;
                packed[(at / 2 * nr + n) * 2 + at % 2] = value;
            }
            sums[n] = sum;
        }
    }

    /// <summary>B whose rows are contiguous: <c>from[k·stride + n]</c>; the rest as for <see cref="Columns"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows(byte* from, int stride, int k, short* packed, int nr, int* sums, int count, bool signed, int* zeros, int zeroStep)
    {
        new Span<int>(sums, count).Clear();
        for (int group = 0; group < (k + 1) / 2; group++, from += 2L * stride, packed += nr * 2)
        {
            byte* next = from + stride;
            bool whole = 2 * group + 1 < k;
            int n = 0;
            for (; whole && n <= count - 16; n += 16)
            {
                (Vector128<short> a0, Vector128<short> a1) = Widen(from + n, signed);
                (Vector128<short> b0, Vector128<short> b1) = Widen(next + n, signed);
                Pairs(a0, b0, packed + n * 2, sums + n, zeros == null ? null : zeros + n * zeroStep, zeroStep);
                Pairs(a1, b1, packed + n * 2 + 16, sums + n + 8, zeros == null ? null : zeros + (n + 8) * zeroStep, zeroStep);
            }
            for (; n < count; n++)
            {
                int zero = zeros == null ? 0 : zeros[n * zeroStep];
                int first = (signed ? (sbyte)from[n] : from[n]) - zero, second = whole ? (signed ? (sbyte)next[n] : next[n]) - zero : 0;
                packed[n * 2] = (short)first;
                packed[n * 2 + 1] = (short)second;
                sums[n] += first + second;
            }
        }
    }

    private static (Vector128<short>, Vector128<short>) Widen(byte* from, bool signed)
    {
        if (signed) return Vector128.Widen(Vector128.Load((sbyte*)from));
        (Vector128<ushort> lower, Vector128<ushort> upper) = Vector128.Widen(Vector128.Load(from));
        return (lower.AsInt16(), upper.AsInt16());
    }

    private static Vector128<int> Sums(Vector128<short> values) => Vector128.WidenLower(values) + Vector128.WidenUpper(values);

    /// <summary>8 columns of two rows, side by side.</summary>
    private static void Pairs(Vector128<short> first, Vector128<short> second, short* to, int* sums, int* zeros, int zeroStep)
    {
        Quad(Vector128.WidenLower(first), Vector128.WidenLower(second), to, sums, zeros, zeroStep);
        Quad(Vector128.WidenUpper(first), Vector128.WidenUpper(second), to + 8, sums + 4, zeros == null ? null : zeros + 4 * zeroStep, zeroStep);
    }

    private static void Quad(Vector128<int> first, Vector128<int> second, short* to, int* sums, int* zeros, int zeroStep)
    {
        if (zeros != null)
        {
            Vector128<int> zero = zeroStep == 0 ? Vector128.Create(*zeros) : Vector128.Load(zeros);
            first -= zero;
            second -= zero;
        }
        (Vector128.Load(sums) + first + second).Store(sums);
        ((first & Vector128.Create(0xFFFF)) | (second << 16)).Store((int*)to);
    }
}
