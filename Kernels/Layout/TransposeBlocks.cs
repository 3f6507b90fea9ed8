using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Octet.Kernels.Layout;

/// <summary>Small matrices transposed in registers.</summary>
internal static unsafe class TransposeBlocks
{
    /// <summary><c>y[c · yRow + r] = factor · x[r · xRow + c]</c> for 4 × 4 floats.</summary>
    /// <remarks><code>a0 a1 a2 a3 · b… · c… · d…   →   a0 b0 c0 d0 · a1 b1 c1 d1 · …</code></remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Four(float* x, nint xRow, float* y, nint yRow, Vector128<float> factor)
    {
        Vector128<float> a = Vector128.Load(x) * factor, b = Vector128.Load(x + xRow) * factor;
        Vector128<float> c = Vector128.Load(x + 2 * xRow) * factor, d = Vector128.Load(x + 3 * xRow) * factor;
        Store(a, b, c, d, y, yRow);
    }

    /// <summary><c>y[c · yRow + r] = x[r · xRow + c]</c> for 4 × 4 elements of four bytes, whatever they are.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Four(float* x, nint xRow, float* y, nint yRow) =>
        Store(Vector128.Load(x), Vector128.Load(x + xRow), Vector128.Load(x + 2 * xRow), Vector128.Load(x + 3 * xRow), y, yRow);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector128<float> a, Vector128<float> b, Vector128<float> c, Vector128<float> d, float* y, nint yRow)
    {
        Vector128<float> ab0 = InterleaveLow(a, b), ab1 = InterleaveHigh(a, b), cd0 = InterleaveLow(c, d), cd1 = InterleaveHigh(c, d);
        JoinLow(ab0, cd0).Store(y);
        JoinHigh(ab0, cd0).Store(y + yRow);
        JoinLow(ab1, cd1).Store(y + 2 * yRow);
        JoinHigh(ab1, cd1).Store(y + 3 * yRow);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> InterleaveLow(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackLow(a, b) : Vector128.Create(a[0], b[0], a[1], b[1]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> InterleaveHigh(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackHigh(a, b) : Vector128.Create(a[2], b[2], a[3], b[3]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> JoinLow(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.MoveLowToHigh(a, b) : Vector128.Create(a.GetLower(), b.GetLower());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> JoinHigh(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.MoveHighToLow(b, a) : Vector128.Create(a.GetUpper(), b.GetUpper());

    /// <summary><c>y[c · yRow + r] = x[r · xRow + c]</c> for 8 × 8 bytes; SSE2.</summary>
    /// <remarks>Three rounds of interleaving rows i and i + 4: bytes of rows 0 and 4, then of 0 2 4 6, then of all eight.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Eight(byte* x, nint xRow, byte* y, nint yRow)
    {
        Rows(Row(x), Row(x + xRow), Row(x + 2 * xRow), Row(x + 3 * xRow), Row(x + 4 * xRow), Row(x + 5 * xRow), Row(x + 6 * xRow), Row(x + 7 * xRow), y, yRow);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Rows(Vector128<byte> r0, Vector128<byte> r1, Vector128<byte> r2, Vector128<byte> r3, Vector128<byte> r4, Vector128<byte> r5, Vector128<byte> r6, Vector128<byte> r7, byte* y, nint yRow)
    {
        Vector128<byte> r04 = Sse2.UnpackLow(r0, r4), r15 = Sse2.UnpackLow(r1, r5), r26 = Sse2.UnpackLow(r2, r6), r37 = Sse2.UnpackLow(r3, r7);
        Vector128<byte> evenLow = Sse2.UnpackLow(r04, r26), evenHigh = Sse2.UnpackHigh(r04, r26);   // columns 0–3 and 4–7 of rows 0 2 4 6
        Vector128<byte> oddLow = Sse2.UnpackLow(r15, r37), oddHigh = Sse2.UnpackHigh(r15, r37);
        Columns(Sse2.UnpackLow(evenLow, oddLow), y, yRow);
        Columns(Sse2.UnpackHigh(evenLow, oddLow), y + 2 * yRow, yRow);
        Columns(Sse2.UnpackLow(evenHigh, oddHigh), y + 4 * yRow, yRow);
        Columns(Sse2.UnpackHigh(evenHigh, oddHigh), y + 6 * yRow, yRow);
    }

    /// <summary><c>y[c · rows + r] = x[r · xRow + c]</c> for at most eight rows of bytes, whose columns become neighbours; SSE2.</summary>
    /// <remarks>As <see cref="Eight"/> with zeros for the rows that are missing; each column's store runs over the next one, which follows. The last columns are written byte by byte.</remarks>
    [MethodImpl(HotLoop.Optimized)]
    public static void Few(byte* x, nint xRow, int rows, nint columns, byte* y)
    {
        nint c = 0;
        for (nint last = columns - 16; c <= last; c += 8, x += 8, y += 8 * rows)
        {
            Vector128<byte> none = default, r1 = rows > 1 ? Row(x + xRow) : none, r2 = rows > 2 ? Row(x + 2 * xRow) : none, r3 = rows > 3 ? Row(x + 3 * xRow) : none;
            Vector128<byte> r4 = rows > 4 ? Row(x + 4 * xRow) : none, r5 = rows > 5 ? Row(x + 5 * xRow) : none, r6 = rows > 6 ? Row(x + 6 * xRow) : none, r7 = rows > 7 ? Row(x + 7 * xRow) : none;
            Rows(Row(x), r1, r2, r3, r4, r5, r6, r7, y, rows);
        }
        for (; c < columns; c++, x++)
            for (int r = 0; r < rows; r++) *y++ = x[r * xRow];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Row(byte* x) => Vector128.CreateScalarUnsafe(*(ulong*)x).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Columns(Vector128<byte> two, byte* y, nint yRow)
    {
        *(ulong*)y = two.AsUInt64().GetElement(0);
        *(ulong*)(y + yRow) = two.AsUInt64().GetElement(1);
    }

    /// <summary><c>y[3·i + k] = x_k[i]</c>: three planes, such as colours, become neighbours. Requires SSE.</summary>
    [MethodImpl(HotLoop.Optimized)]
    public static void Interleave(float* x0, float* x1, float* x2, nint count, float* y)
    {
        nint i = 0;
        for (; i <= count - 4; i += 4, y += 12)
        {
            Vector128<float> a = Vector128.Load(x0 + i), b = Vector128.Load(x1 + i), c = Vector128.Load(x2 + i);
            // _MM_SHUFFLE order: the two low lanes come from the first operand, the two high ones from the second.
            Sse.Shuffle(Sse.UnpackLow(a, b), Sse.Shuffle(c, a, 0b01_01_00_00), 0b10_00_01_00).Store(y);                  // a0 b0 c0 a1
            Sse.Shuffle(Sse.UnpackLow(b, c), Sse.UnpackHigh(a, b), 0b01_00_11_10).Store(y + 4);                           // b1 c1 a2 b2
            Sse.Shuffle(Sse.Shuffle(c, a, 0b11_11_10_10), Sse.UnpackHigh(b, c), 0b11_10_10_00).Store(y + 8);              // c2 a3 b3 c3
        }
        for (; i < count; i++, y += 3) (y[0], y[1], y[2]) = (x0[i], x1[i], x2[i]);
    }

    /// <summary><c>y[3·i + k] = x_k[i]</c> for bytes. Requires SSE4.1.</summary>
    /// <remarks>
    /// Byte j of the 48 that 16 pixels take is pixel j / 3 of plane j mod 3. In each of the three vectors a plane has every third place, and over all three it has every place once, so that one shuffle
    /// per plane serves them all:
    /// <code>
    ///   place            0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
    ///   pixel of x0      0 11  6  1 12  7  2 13  8  3 14  9  4 15 10  5      x1, x2: the same, one and two places later
    ///   first vector     x0 x1 x2 x0 x1 x2 …      second: x1 x2 x0 …      third: x2 x0 x1 …
    /// </code>
    /// </remarks>
    [MethodImpl(HotLoop.Optimized)]
    public static void Interleave(byte* x0, byte* x1, byte* x2, nint count, byte* y)
    {
        Vector128<byte> order0 = Vector128.Create((byte)0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10, 5);
        Vector128<byte> order1 = Vector128.Create((byte)5, 0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10);
        Vector128<byte> order2 = Vector128.Create((byte)10, 5, 0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15);
        Vector128<byte> second = Vector128.Create(0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, (byte)0);
        Vector128<byte> third = Vector128.Create(0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, (byte)0);
        nint i = 0;
        for (; i <= count - 16; i += 16, y += 48)
        {
            Vector128<byte> a = Ssse3.Shuffle(Vector128.Load(x0 + i), order0), b = Ssse3.Shuffle(Vector128.Load(x1 + i), order1), c = Ssse3.Shuffle(Vector128.Load(x2 + i), order2);
            Sse41.BlendVariable(Sse41.BlendVariable(a, b, second), c, third).Store(y);
            Sse41.BlendVariable(Sse41.BlendVariable(b, c, second), a, third).Store(y + 16);
            Sse41.BlendVariable(Sse41.BlendVariable(c, a, second), b, third).Store(y + 32);
        }
        for (; i < count; i++, y += 3) (y[0], y[1], y[2]) = (x0[i], x1[i], x2[i]);
    }
}
