using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Octet.Kernels.QConv.Winograd;

/// <summary>The inputs of one dimension of a data transform.</summary>
internal interface IWinogradData
{
    /// <summary>Input <paramref name="i"/>.</summary>
    Vector256<short> this[int i] { get; }
}

/// <summary>Bytes of 16 channels of pixels, less their zero point.</summary>
internal readonly unsafe struct WinogradPixels(byte** taps, nint stride, nint channel, Vector256<short> zeroPoint) : IWinogradData
{
    public Vector256<short> this[int i]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Avx2.ConvertToVector256Int16(taps[i * stride] + channel) - zeroPoint;
    }
}

/// <summary>What the first dimension left.</summary>
internal readonly unsafe struct WinogradWords(Vector256<short>* from) : IWinogradData
{
    public Vector256<short> this[int i]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => from[i];
    }
}

/// <summary>The minimal algorithm <c>F(m×m, 3×3)</c> in integers: <c>y = Aᵀ[(G g Gᵀ) ∘ (Bᵀ d B)]A</c> with G scaled to integers, which multiplies y by a known constant.</summary>
/// <remarks>
/// Every method is one dimension of a transform; the two-dimensional one applies it to columns, then to rows. Data and filters are int16, everything after
/// the products is int32 modulo 2³². The scaled result is <c>odd · 2^Shift · y</c>; multiplying by the inverse of the odd factor modulo 2³² and shifting
/// right arithmetically gives y back exactly while <c>|y| &lt; 2^(31 − Shift)</c>.
/// </remarks>
internal interface IQWinogradTile
{
    /// <summary>m: outputs of one dimension.</summary>
    static abstract int Output { get; }

    /// <summary>Inputs of one dimension: m + 2.</summary>
    static abstract int Input { get; }

    /// <summary>Power of two in the scale of y.</summary>
    static abstract int Shift { get; }

    /// <summary>Inverse of the odd factor in the scale of y, modulo 2³².</summary>
    static abstract int Inverse { get; }

    /// <summary>Largest sum of the sizes of one row of the scaled G: <c>|U| ≤ FilterGrowth²·|w|</c>.</summary>
    static abstract int FilterGrowth { get; }

    /// <summary>Scaled <c>G·(g0, g1, g2)</c>.</summary>
    static abstract unsafe void Filter(Vector256<short> g0, Vector256<short> g1, Vector256<short> g2, Vector256<short>* to, nint toStride);

    /// <summary>The two of its elements that <see cref="Pair"/> numbers: they share most of their additions.</summary>
    static abstract void Filter(int pair, Vector256<short> g0, Vector256<short> g1, Vector256<short> g2, out Vector256<short> first, out Vector256<short> second);

    /// <summary>Which elements of a dimension make up pair 0 … <c>Input / 2 − 1</c>.</summary>
    static abstract (int First, int Second) Pair(int pair);

    /// <summary><c>Bᵀ·d</c>.</summary>
    static abstract unsafe void Data<TFrom>(TFrom from, Vector256<short>* to, nint toStride) where TFrom : struct, IWinogradData;

    /// <summary>Scaled <c>Aᵀ·m</c>.</summary>
    static abstract unsafe void Result(Vector256<int>* from, nint fromStride, Vector256<int>* to, nint toStride);
}

/// <summary>F(2×2, 3×3): G doubled, so 4·y; <c>|Bᵀ d B| ≤ 4·255</c>, <c>|U| ≤ 16·|w|</c>, exact while |y| &lt; 2²⁹.</summary>
/// <remarks><code>
///        1  0 −1  0          2  0  0
///   Bᵀ = 0  1  1  0     2G = 1  1  1     Aᵀ = 1  1  1  0
///        0 −1  1  0          1 −1  1          0  1 −1 −1
///        0  1  0 −1          0  0  2
/// </code></remarks>
internal readonly struct QWinograd2 : IQWinogradTile
{
    public static int Output => 2;

    public static int Input => 4;

    public static int Shift => 2;

    public static int Inverse => 1;

    public static int FilterGrowth => 3;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Filter(Vector256<short> g0, Vector256<short> g1, Vector256<short> g2, Vector256<short>* to, nint toStride)
    {
        Vector256<short> even = g0 + g2;
        to[0] = g0 << 1;
        to[toStride] = even + g1;
        to[2 * toStride] = even - g1;
        to[3 * toStride] = g2 << 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Filter(int pair, Vector256<short> g0, Vector256<short> g1, Vector256<short> g2, out Vector256<short> first, out Vector256<short> second)
    {
        if (pair == 0)
        {
            first = g0 << 1;
            second = g2 << 1;
            return;
        }
        Vector256<short> even = g0 + g2;
        first = even + g1;
        second = even - g1;
    }

    public static (int First, int Second) Pair(int pair) => pair == 0 ? (0, 3) : (1, 2);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Data<TFrom>(TFrom from, Vector256<short>* to, nint toStride) where TFrom : struct, IWinogradData
    {
        Vector256<short> d0 = from[0], d1 = from[1], d2 = from[2], d3 = from[3];
        to[0] = d0 - d2;
        to[toStride] = d1 + d2;
        to[2 * toStride] = d2 - d1;
        to[3 * toStride] = d1 - d3;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Result(Vector256<int>* from, nint fromStride, Vector256<int>* to, nint toStride)
    {
        Vector256<int> m0 = from[0], m1 = from[fromStride], m2 = from[2 * fromStride], m3 = from[3 * fromStride];
        to[0] = m0 + m1 + m2;
        to[toStride] = m1 - m2 - m3;
    }
}

/// <summary>F(4×4, 3×3): 576·y; <c>|Bᵀ d B| ≤ 100·255</c>, <c>|U| ≤ 64·|w|</c>, exact while |y| &lt; 2²⁵.</summary>
/// <remarks><code>
///        4  0 −5  0  1  0               6  0  0    ·1/24
///        0 −4 −4  1  1  0               1  1  1    ·−4/24          1 −4 −4  1  1  0
///   Bᵀ = 0  4 −4 −1  1  0   G = rows of 1 −1  1    ·−4/24   24Aᵀ = 0 −4  4  2 −2  0   columns scaled by what the rows of G lack
///        0 −2 −1  2  1  0               1  2  4    · 1/24          0 −4 −4  4  4  0
///        0  2 −1 −2  1  0               1 −2  4    · 1/24          0 −4  4  8 −8  3
///        0  4  0 −5  0  1               0  0  8    · 3/24
/// </code></remarks>
internal readonly struct QWinograd4 : IQWinogradTile
{
    public static int Output => 4;

    public static int Input => 6;

    public static int Shift => 6;

    public static int Inverse => 0x38E38E39;   // 9 · 0x38E38E39 = 2³³ + 1

    public static int FilterGrowth => 8;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Filter(Vector256<short> g0, Vector256<short> g1, Vector256<short> g2, Vector256<short>* to, nint toStride)
    {
        Vector256<short> even = g0 + g2, evenOf4 = g0 + (g2 << 2), g1x2 = g1 << 1;
        to[0] = (g0 << 2) + (g0 << 1);
        to[toStride] = even + g1;
        to[2 * toStride] = even - g1;
        to[3 * toStride] = evenOf4 + g1x2;
        to[4 * toStride] = evenOf4 - g1x2;
        to[5 * toStride] = g2 << 3;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Filter(int pair, Vector256<short> g0, Vector256<short> g1, Vector256<short> g2, out Vector256<short> first, out Vector256<short> second)
    {
        if (pair == 0)
        {
            first = (g0 << 2) + (g0 << 1);
            second = g2 << 3;
            return;
        }
        Vector256<short> even = pair == 1 ? g0 + g2 : g0 + (g2 << 2), odd = pair == 1 ? g1 : g1 << 1;
        first = even + odd;
        second = even - odd;
    }

    public static (int First, int Second) Pair(int pair) => pair == 0 ? (0, 5) : pair == 1 ? (1, 2) : (3, 4);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Data<TFrom>(TFrom from, Vector256<short>* to, nint toStride) where TFrom : struct, IWinogradData
    {
        Vector256<short> d0 = from[0], d1 = from[1], d2 = from[2], d3 = from[3], d4 = from[4], d5 = from[5];
        Vector256<short> d1x4 = d1 << 2, d2x4 = d2 << 2;
        to[0] = (d0 << 2) - d2x4 - d2 + d4;
        Vector256<short> even = d4 - d2x4, odd = d3 - d1x4;
        to[toStride] = even + odd;
        to[2 * toStride] = even - odd;
        even = d4 - d2;
        odd = (d3 - d1) << 1;
        to[3 * toStride] = even + odd;
        to[4 * toStride] = even - odd;
        to[5 * toStride] = d1x4 - (d3 << 2) - d3 + d5;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Result(Vector256<int>* from, nint fromStride, Vector256<int>* to, nint toStride)
    {
        Vector256<int> m0 = from[0], m1 = from[fromStride], m2 = from[2 * fromStride], m3 = from[3 * fromStride], m4 = from[4 * fromStride], m5 = from[5 * fromStride];
        Vector256<int> sum = (m1 + m2) << 2, difference = (m1 - m2) << 2, sumOf34 = m3 + m4, differenceOf34 = m3 - m4;
        to[0] = m0 - sum + sumOf34;
        to[toStride] = (differenceOf34 << 1) - difference;
        to[2 * toStride] = (sumOf34 << 2) - sum;
        to[3 * toStride] = (differenceOf34 << 3) - difference + m5 + (m5 << 1);
    }
}
