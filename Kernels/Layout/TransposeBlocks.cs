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
        Vector128<byte> r04 = Sse2.UnpackLow(Row(x), Row(x + 4 * xRow)), r15 = Sse2.UnpackLow(Row(x + xRow), Row(x + 5 * xRow));
        Vector128<byte> r26 = Sse2.UnpackLow(Row(x + 2 * xRow), Row(x + 6 * xRow)), r37 = Sse2.UnpackLow(Row(x + 3 * xRow), Row(x + 7 * xRow));
        Vector128<byte> evenLow = Sse2.UnpackLow(r04, r26), evenHigh = Sse2.UnpackHigh(r04, r26);   // columns 0–3 and 4–7 of rows 0 2 4 6
        Vector128<byte> oddLow = Sse2.UnpackLow(r15, r37), oddHigh = Sse2.UnpackHigh(r15, r37);
        Columns(Sse2.UnpackLow(evenLow, oddLow), y, yRow);
        Columns(Sse2.UnpackHigh(evenLow, oddLow), y + 2 * yRow, yRow);
        Columns(Sse2.UnpackLow(evenHigh, oddHigh), y + 4 * yRow, yRow);
        Columns(Sse2.UnpackHigh(evenHigh, oddHigh), y + 6 * yRow, yRow);
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
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
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
}
