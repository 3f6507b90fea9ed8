using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Octet.Kernels.QGemm;

/// <summary>Packs one panel of B: as words less their zero points, <c>packed[group][n][k = 0, 1] = b[2·group + k, n] − zb[n]</c>, or as signed bytes, whatever order B has in memory.</summary>
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

    /// <summary>B whose columns are contiguous as signed bytes, <c>packed[group][n][k = 0 … Kr − 1] = from[n·k + …] ^ flip</c>, in the element type of the kernel.</summary>
    /// <param name="from">First element of the panel's first column.</param>
    /// <param name="k">K.</param>
    /// <param name="packed">The panel, zero beyond K.</param>
    /// <param name="nr">Its columns.</param>
    /// <param name="kr">Depth of a group: 4 bytes or 2 words.</param>
    /// <param name="sums">Receives the sum of every column.</param>
    /// <param name="count">Columns that exist.</param>
    /// <param name="flip">0x80 turns unsigned bytes into signed ones.</param>
    public static void ByteColumns(byte* from, int k, byte* packed, int nr, int kr, int* sums, int count, byte flip)
    {
        uint flips = flip * 0x01010101u;
        for (int n = 0; n < count; n++, from += k)
        {
            int sum = 0, at = 0;
            byte* to = packed + n * 4;
            if (kr == 4)
            {
                Vector128<byte> mask = Vector128.Create(flip);
                Vector128<int> total = default;
                for (; at <= k - 16; at += 16, to += nr * 16)
                {
                    Vector128<byte> bytes = Vector128.Load(from + at) ^ mask;
                    (Vector128<short> lower, Vector128<short> upper) = Vector128.Widen(bytes.AsSByte());
                    Vector128<short> both = lower + upper;
                    total += Vector128.WidenLower(both) + Vector128.WidenUpper(both);
                    Vector128<uint> fours = bytes.AsUInt32();
                    *(uint*)to = fours.ToScalar();
                    *(uint*)(to + nr * 4) = fours.GetElement(1);
                    *(uint*)(to + nr * 8) = fours.GetElement(2);
                    *(uint*)(to + nr * 12) = fours.GetElement(3);
                }
                sum = Vector128.Sum(total);
                for (; at <= k - 4; at += 4, to += nr * 4)
                {
                    uint four = *(uint*)(from + at) ^ flips;
                    sum += (sbyte)four + (sbyte)(four >> 8) + (sbyte)(four >> 16) + (sbyte)(four >> 24);
                    *(uint*)to = four;
                }
            }
            for (; at < k; at++)
            {
                sbyte value = (sbyte)(from[at] ^ flip);
                sum += value;
                Put(packed, nr, kr, at, n, value);
            }
            sums[n] = sum;
        }
    }

    /// <summary>The same of a B whose rows are contiguous: <c>from[k·stride + n]</c>.</summary>
    /// <param name="from">First element of the panel's first row.</param>
    /// <param name="stride">Bytes from one row to the next.</param>
    /// <param name="k">K.</param>
    /// <param name="packed">The panel, zero beyond K.</param>
    /// <param name="nr">Its columns.</param>
    /// <param name="kr">Depth of a group: 4 bytes or 2 words.</param>
    /// <param name="sums">Receives the sum of every column.</param>
    /// <param name="count">Columns that exist.</param>
    /// <param name="flip">0x80 turns unsigned bytes into signed ones.</param>
    public static void ByteRows(byte* from, int stride, int k, byte* packed, int nr, int kr, int* sums, int count, byte flip)
    {
        int at = 0;
        uint flips = flip * 0x01010101u;
        new Span<int>(sums, count).Clear();
        if (kr == 4)
        {
            Vector128<byte> mask = Vector128.Create(flip);
            for (; at <= k - 4; at += 4, packed += nr * 4)
            {
                byte* r0 = from + (long)at * stride, r1 = r0 + stride, r2 = r1 + stride, r3 = r2 + stride;
                int n = 0;
                for (; n <= count - Vector128<byte>.Count; n += Vector128<byte>.Count)
                {
                    (Vector128<short> a0, Vector128<short> a1) = Vector128.Widen((Vector128.Load(r0 + n) ^ mask).AsSByte());
                    (Vector128<short> b0, Vector128<short> b1) = Vector128.Widen((Vector128.Load(r1 + n) ^ mask).AsSByte());
                    (Vector128<short> c0, Vector128<short> c1) = Vector128.Widen((Vector128.Load(r2 + n) ^ mask).AsSByte());
                    (Vector128<short> d0, Vector128<short> d1) = Vector128.Widen((Vector128.Load(r3 + n) ^ mask).AsSByte());
                    Fours(a0, b0, c0, d0, (int*)packed + n, sums + n);
                    Fours(a1, b1, c1, d1, (int*)packed + n + 8, sums + n + 8);
                }
                for (; n < count; n++)
                {
                    uint four = ((uint)r0[n] | (uint)r1[n] << 8 | (uint)r2[n] << 16 | (uint)r3[n] << 24) ^ flips;
                    sums[n] += (sbyte)four + (sbyte)(four >> 8) + (sbyte)(four >> 16) + (sbyte)(four >> 24);
                    ((uint*)packed)[n] = four;
                }
            }
            packed -= at / 4 * nr * 4;
        }
        for (; at < k; at++)
        {
            byte* row = from + (long)at * stride;
            for (int n = 0; n < count; n++)
            {
                sbyte value = (sbyte)(row[n] ^ flip);
                sums[n] += value;
                Put(packed, nr, kr, at, n, value);
            }
        }
    }

    /// <summary>Four rows of 8 columns, side by side, and what they add to the columns' sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Fours(Vector128<short> a, Vector128<short> b, Vector128<short> c, Vector128<short> d, int* to, int* sums)
    {
        // |a + b + c + d| ≤ 512 fits 16 bits; the low bytes of a and c, the high ones of b and d: two words per column.
        Vector128<short> total = a + b + c + d, low = Vector128.Create((short)0xFF);
        Vector128<short> first = (a & low) | (b << 8), second = (c & low) | (d << 8);
        (Vector128.Load(sums) + Vector128.WidenLower(total)).Store(sums);
        (Vector128.Load(sums + 4) + Vector128.WidenUpper(total)).Store(sums + 4);
        ((Vector128.WidenLower(first) & Vector128.Create(0xFFFF)) | (Vector128.WidenLower(second) << 16)).Store(to);
        ((Vector128.WidenUpper(first) & Vector128.Create(0xFFFF)) | (Vector128.WidenUpper(second) << 16)).Store(to + 4);
    }

    private static void Put(byte* packed, int nr, int kr, int k, int n, sbyte value)
    {
        byte* group = packed + (long)(k / kr) * nr * 4;
        if (kr == 4) ((sbyte*)group)[n * 4 + k % 4] = value;
        else ((short*)group)[n * 2 + k % 2] = value;
    }

    /// <summary>Depth that <see cref="ConsecutiveColumns"/> packs at a time.</summary>
    public const int Consecutive = 32;

    /// <summary>Whether every section has neighbours for its depths, and enough of them.</summary>
    public static bool AreConsecutive(ReadOnlySpan<int> offsets, int sectionLength)
    {
        if (sectionLength < Consecutive) return false;
        for (int i = 0; i < offsets.Length; i++)
            if (offsets[i] != offsets[i - i % sectionLength] + i % sectionLength) return false;
        return true;
    }

    /// <summary>Whether the depths are rows of <paramref name="columns"/> neighbours.</summary>
    public static bool AreRows(ReadOnlySpan<int> offsets, int columns)
    {
        for (int i = 0; i < offsets.Length; i++)
            if (offsets[i] != i * columns) return false;
        return true;
    }

    /// <summary>Packs columns whose weights are neighbours, eight columns and eight groups at a time: a transposition of 32-bit numbers.</summary>
    /// <param name="from">The first weight of the first column.</param>
    /// <param name="columnStride">Bytes from one column to the next.</param>
    /// <param name="to">The first group.</param>
    /// <param name="nr">Columns of a panel.</param>
    /// <param name="count">Columns, a multiple of 8.</param>
    /// <param name="blocks">Eighths of the groups.</param>
    /// <param name="flips">What all weights are combined with.</param>
    /// <param name="sums">The sum of each column is added here.</param>
    public static void ConsecutiveColumns(byte* from, long columnStride, byte* to, int nr, int count, int blocks, uint flips, int* sums)
    {
        Vector256<byte> flip = Vector256.Create(flips).AsByte(), ones = Vector256<byte>.One;
        Vector256<short> wideOnes = Vector256<short>.One;
        for (int n = 0; n < count; n += 8, from += 8 * columnStride)
        {
            Vector256<int> sum = Vector256.Load(sums + n);
            byte* column = from, packed = to + n * 4;
            for (int block = 0; block < blocks; block++, column += Consecutive, packed += 8L * nr * 4)
            {
                Vector256<int> c0 = Load(column), c1 = Load(column + columnStride), c2 = Load(column + 2 * columnStride), c3 = Load(column + 3 * columnStride);
                Vector256<int> c4 = Load(column + 4 * columnStride), c5 = Load(column + 5 * columnStride), c6 = Load(column + 6 * columnStride), c7 = Load(column + 7 * columnStride);
                Vector256<long> a0 = Avx2.UnpackLow(c0, c1).AsInt64(), a1 = Avx2.UnpackHigh(c0, c1).AsInt64(), a2 = Avx2.UnpackLow(c2, c3).AsInt64(), a3 = Avx2.UnpackHigh(c2, c3).AsInt64();
                Vector256<long> a4 = Avx2.UnpackLow(c4, c5).AsInt64(), a5 = Avx2.UnpackHigh(c4, c5).AsInt64(), a6 = Avx2.UnpackLow(c6, c7).AsInt64(), a7 = Avx2.UnpackHigh(c6, c7).AsInt64();
                // Groups 0 and 4, 1 and 5, …: of columns 0–3, then of columns 4–7.
                Four(Avx2.UnpackLow(a0, a2), Avx2.UnpackLow(a4, a6), 0);
                Four(Avx2.UnpackHigh(a0, a2), Avx2.UnpackHigh(a4, a6), 1);
                Four(Avx2.UnpackLow(a1, a3), Avx2.UnpackLow(a5, a7), 2);
                Four(Avx2.UnpackHigh(a1, a3), Avx2.UnpackHigh(a5, a7), 3);
            }
            sum.Store(sums + n);

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            void Four(Vector256<long> left, Vector256<long> right, int group)
            {
                Put(Avx2.Permute2x128(left, right, 0x20).AsSByte(), group);
                Put(Avx2.Permute2x128(left, right, 0x31).AsSByte(), group + 4);
            }

            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            void Put(Vector256<sbyte> group, int index)
            {
                sum += Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(ones, group), wideOnes);
                group.Store((sbyte*)packed + (long)index * nr * 4);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        Vector256<int> Load(byte* at) => (Vector256.Load(at) ^ flip).AsInt32();
    }
}
