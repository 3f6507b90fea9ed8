using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Geometry;
using Octet.Kernels.Memory;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;

namespace Octet.Kernels.QConv.Winograd;

/// <summary>3×3 filters ready to be transformed for one word kernel; immutable.</summary>
/// <remarks>
/// <code>packed[panel][pair of c][n / 8][tap][n % 8][c % 2]      int8; equal to their zero point beyond C and O</code>
/// Transformed they would have 3.6 or 8 times the bytes, which come from memory in every run. Transforming a vector of 16 anew for F(4×4) takes some three hundred instructions, four times as many as the products of
/// one output tile with them.
/// </remarks>
internal sealed unsafe class QWinogradWeights
{
    private const int TapBytes = 2 * Lanes, BlockBytes = 9 * TapBytes;

    private readonly NativeBuffer _packed;
    private readonly int _outChannels;
    private readonly NativeBuffer? _zeroPoints;   // per output channel twice, int16

    private QWinogradWeights(QGemmKernel kernel, int channels, int outChannels, bool hasZeroPoints)
    {
        Kernel = kernel;
        _outChannels = outChannels;
        Groups = (channels + 1) / 2;
        Panels = (outChannels + kernel.Nr - 1) / kernel.Nr;
        PositionBytes = Groups * kernel.Nr * 4;
        PanelBytes = Groups * (kernel.Nr / Lanes) * BlockBytes;
        _packed = new NativeBuffer((long)Panels * PanelBytes);
        if (hasZeroPoints) _zeroPoints = new NativeBuffer((long)Panels * kernel.Nr * 2 * sizeof(short));
        kernel.Prepare();
    }

    /// <summary>The kernel that multiplies.</summary>
    public QGemmKernel Kernel { get; }

    /// <summary>Pairs of channels.</summary>
    public int Groups { get; }

    /// <summary>Panels of Nr output channels.</summary>
    public int Panels { get; }

    /// <summary>Bytes of one transformed position of one panel.</summary>
    public int PositionBytes { get; }

    /// <summary>Bytes of one panel.</summary>
    public int PanelBytes { get; }

    /// <summary>Bytes of packed weights.</summary>
    public long Bytes => _packed.Length;

    /// <summary>The filters of a panel.</summary>
    internal byte* Panel(int panel) => _packed.Pointer + (nint)panel * PanelBytes;

    /// <summary>Frees weights that nobody will multiply with.</summary>
    internal void Free() => _packed.Dispose();

    /// <summary>Weights that are all 1, for timing.</summary>
    public static QWinogradWeights Ones(QGemmKernel kernel, ConvShape shape)
    {
        var weights = new QWinogradWeights(kernel, shape.InChannels, shape.OutChannels, hasZeroPoints: false);
        NativeMemory.Fill(weights._packed.Pointer, (nuint)weights.Bytes, 1);
        return weights;
    }

    /// <summary>Transforms two rows of positions of a panel.</summary>
    /// <param name="panel">The panel.</param>
    /// <param name="pair">Which rows: <see cref="IQWinogradTile.Pair"/>.</param>
    /// <param name="to">Receives <c>[row][position of it][group][Nr][2]</c>, int16: what the kernel multiplies.</param>
    /// <param name="positionBytes">Bytes from one position to the next, a multiple of 32; of an odd number of cache lines, or all positions share cache sets.</param>
    public void Transform<TTile>(int panel, int pair, byte* to, nint positionBytes) where TTile : struct, IQWinogradTile
    {
        if (_zeroPoints is null) Transform<TTile, No>(panel, pair, to, positionBytes);
        else Transform<TTile, Yes>(panel, pair, to, positionBytes);
    }

    [MethodImpl(HotLoop.Optimized)]
    private void Transform<TTile, TZero>(int panel, int pair, byte* to, nint positionBytes) where TTile : struct, IQWinogradTile where TZero : struct, ISwitch
    {
        int blocks = Kernel.Nr / Lanes;
        nint position = positionBytes / sizeof(Vector256<short>), secondRow = TTile.Input * position;
        byte* from = Panel(panel);
        short* zeros = TZero.On ? (short*)_zeroPoints!.Pointer + (nint)panel * Kernel.Nr * 2 : null;
        Vector256<short>* at = (Vector256<short>*)to;
        for (int group = 0; group < Groups; group++)
        {
            // All of a cache line before the next.
            for (int block = 0; block < blocks; block++, from += BlockBytes, at++)
            {
                Vector256<short> zero = TZero.On ? Vector256.Load(zeros + block * 2 * Lanes) : default;
                Vector256<short> g0 = Tap<TZero>(from, zero), g1 = Tap<TZero>(from + 3 * TapBytes, zero), g2 = Tap<TZero>(from + 6 * TapBytes, zero);
                TTile.Filter(pair, g0, g1, g2, out Vector256<short> a0, out Vector256<short> b0);
                g0 = Tap<TZero>(from + TapBytes, zero);
                g1 = Tap<TZero>(from + 4 * TapBytes, zero);
                g2 = Tap<TZero>(from + 7 * TapBytes, zero);
                TTile.Filter(pair, g0, g1, g2, out Vector256<short> a1, out Vector256<short> b1);
                g0 = Tap<TZero>(from + 2 * TapBytes, zero);
                g1 = Tap<TZero>(from + 5 * TapBytes, zero);
                g2 = Tap<TZero>(from + 8 * TapBytes, zero);
                TTile.Filter(pair, g0, g1, g2, out Vector256<short> a2, out Vector256<short> b2);
                TTile.Filter(a0, a1, a2, at, position);
                TTile.Filter(b0, b1, b2, at + secondRow, position);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<short> Tap<TZero>(byte* from, Vector256<short> zero) where TZero : struct, ISwitch
    {
        Vector256<short> weights = Avx2.ConvertToVector256Int16((sbyte*)from);
        return TZero.On ? weights - zero : weights;
    }

    /// <summary>Packs <c>[O, C, 3, 3]</c>, or says which bound does not hold.</summary>
    /// <param name="kernel">A kernel of words.</param>
    /// <param name="shape">Extents.</param>
    /// <param name="source">Weights as bytes.</param>
    /// <param name="flip">0x80 for unsigned weights, which are read as w − 128 with their zero points shifted alike, else 0.</param>
    /// <param name="zeroPoints">Empty, 1 or O.</param>
    /// <param name="refused">Why the result is null.</param>
    /// <returns>Null where some output might leave the range in which the scaled result determines it.</returns>
    /// <remarks>
    /// With x and its zero point in [0, 255], <c>|Σ (x − zx)(w − zw)| ≤ 255 · max(Σ (w − zw)⁺, Σ (w − zw)⁻)</c>: the bound that each output channel has to keep.
    /// </remarks>
    public static QWinogradWeights? TryPack<TTile>(QGemmKernel kernel, ConvShape shape, byte* source, byte flip, ReadOnlySpan<int> zeroPoints, out string refused) where TTile : struct, IQWinogradTile
    {
        if (kernel.Packing != QGemmPacking.Words) throw new ArgumentException($"{kernel.Name} does not multiply words", nameof(kernel));
        int channels = shape.InChannels, outChannels = shape.OutChannels;
        var weights = new QWinogradWeights(kernel, channels, outChannels, flip != 0 || zeroPoints.ContainsAnyExcept(0));
        long largestOutput = 1L << (31 - TTile.Shift);
        int largestWeight = short.MaxValue / (TTile.FilterGrowth * TTile.FilterGrowth);
        int* bounds = stackalloc int[3 * Lanes], largest = bounds, positive = bounds + Lanes, negative = bounds + 2 * Lanes;
        for (int o = 0; o < outChannels; o += Lanes)
        {
            int count = Math.Min(Lanes, outChannels - o);
            weights.Pack(source + (nint)o * channels * 9, flip, channels, o, count, zeroPoints, bounds);
            for (int n = 0; n < count; n++)
            {
                long bound = byte.MaxValue * (long)Math.Max(positive[n], negative[n]);
                refused = largest[n] > largestWeight ? $"output channel {o + n} has a weight {Farthest(source + (nint)(o + n) * channels * 9, channels * 9, flip, ZeroPoint(zeroPoints, flip, o + n))} above its zero point, more than {largestWeight}"
                    : bound >= largestOutput ? $"sums of output channel {o + n} may reach {bound}, not below {largestOutput}"
                    : ZeroPoint(zeroPoints, flip, o + n) is < sbyte.MinValue or > sbyte.MaxValue ? $"the zero point {ZeroPoint(zeroPoints, flip, o + n)} of output channel {o + n} is no signed byte" : "";
                if (refused.Length == 0) continue;
                weights.Free();
                return null;
            }
        }
        refused = "";
        return weights;
    }

    /// <summary>Output channels transformed together: with two input channels each they fill a vector of words.</summary>
    private const int Lanes = 8;

    /// <summary>Zero points further away count as this one, from which every weight is too far.</summary>
    private const int FarZero = 32000;

    private static long ZeroPoint(ReadOnlySpan<int> zeroPoints, byte flip, int channel) =>
        (zeroPoints.Length == 0 ? 0L : zeroPoints[zeroPoints.Length == 1 ? 0 : channel]) - (flip == 0 ? 0 : 128);

    /// <summary>The largest <c>|w − zw|</c> of a filter, whatever its zero point.</summary>
    private static long Farthest(byte* filter, int length, byte flip, long zeroPoint)
    {
        long farthest = 0;
        for (int i = 0; i < length; i++) farthest = Math.Max(farthest, Math.Abs((sbyte)(filter[i] ^ flip) - zeroPoint));
        return farthest;
    }

    /// <summary>Packs the filters of up to <see cref="Lanes"/> output channels.</summary>
    /// <param name="source">Their weights.</param>
    /// <param name="flip">As in <see cref="TryPack"/>.</param>
    /// <param name="channels">C.</param>
    /// <param name="first">The first output channel, a multiple of <see cref="Lanes"/>.</param>
    /// <param name="count">How many they are.</param>
    /// <param name="zeroPoints">As in <see cref="TryPack"/>.</param>
    /// <param name="bounds">Receives, <see cref="Lanes"/> each, the largest <c>|w − zw|</c> and, while no weight is larger than may be, <c>Σ (w − zw)⁺</c> and <c>Σ (w − zw)⁻</c>.</param>
    [MethodImpl(HotLoop.Optimized)]
    private void Pack(byte* source, byte flip, int channels, int first, int count, ReadOnlySpan<int> zeroPoints, int* bounds)
    {
        int nr = Kernel.Nr;
        int* lanes = stackalloc int[2 * Lanes];   // one per output channel, for its two input channels
        new Span<int>(lanes, 2 * Lanes).Clear();
        for (int n = 0; n < count; n++)
        {
            long zero = ZeroPoint(zeroPoints, flip, first + n);
            lanes[n] = (int)((ushort)Math.Clamp(zero, -FarZero, FarZero) * 0x10001u);
            lanes[Lanes + n] = (byte)Math.Clamp(zero, sbyte.MinValue, sbyte.MaxValue);
        }
        Vector256<short> zeros = Vector256.Load((short*)lanes);
        if (_zeroPoints is not null) zeros.Store((short*)_zeroPoints.Pointer + (nint)first * 2);
        Vector128<byte> flips = Vector128.Create(flip);
        Vector256<short> most = default, ones = Vector256.Create((short)1);
        Vector256<int> above = default, below = default;
        byte* to = Panel(first / nr) + first % nr / Lanes * BlockBytes;
        for (int pair = 0; pair < Groups; pair++, to += nr / Lanes * BlockBytes)
        {
            int c = pair * 2;
            bool whole = c + 1 < channels;
            byte* filters = source + (nint)c * 9;
            // Vectors reach seven bytes beyond the second channel of the last filter.
            if (whole && count == Lanes && (pair + 1 < Groups || first + Lanes < _outChannels))
            {
                Interleave(filters, (nint)channels * 9, flips, to);
                continue;
            }
            for (int n = 0; n < count; n++)
            {
                byte* filter = filters + (nint)n * channels * 9, at = to + n * 2;
                for (int tap = 0; tap < 9; tap++, at += TapBytes)
                {
                    at[0] = (byte)(filter[tap] ^ flip);
                    at[1] = whole ? (byte)(filter[tap + 9] ^ flip) : (byte)lanes[Lanes + n];
                }
            }
        }
        // In a loop of its own: bytes stored one by one are not read as a vector while they are on their way.
        to = Panel(first / nr) + first % nr / Lanes * BlockBytes;
        for (int pair = 0; pair < Groups; pair++, to += nr / Lanes * BlockBytes)
        {
            Vector256<short> up = default, down = default;
            for (int tap = 0; tap < 9; tap++)
            {
                Vector256<short> weight = Avx2.ConvertToVector256Int16((sbyte*)to + tap * TapBytes) - zeros;
                Vector256<short> plus = Vector256.Max(weight, Vector256<short>.Zero), minus = plus - weight;
                up += plus;
                down += minus;
                most = Vector256.Max(most, Vector256.Max(plus, minus));
            }
            above += Avx2.MultiplyAddAdjacent(up, ones);
            below += Avx2.MultiplyAddAdjacent(down, ones);
        }
        Vector256.Max(most.AsInt32() << 16 >> 16, most.AsInt32() >> 16).Store(bounds);
        above.Store(bounds + Lanes);
        below.Store(bounds + 2 * Lanes);
    }

    /// <summary>Two channels of eight filters: <c>to[tap][n][c] = from[n·stride + 9·c + tap]</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Interleave(byte* from, nint stride, Vector128<byte> flips, byte* to)
    {
        Vector128<ushort> r0 = Both(from), r1 = Both(from + stride), r2 = Both(from + 2 * stride), r3 = Both(from + 3 * stride);
        Vector128<ushort> r4 = Both(from + 4 * stride), r5 = Both(from + 5 * stride), r6 = Both(from + 6 * stride), r7 = Both(from + 7 * stride);
        Vector128<uint> a0 = Sse2.UnpackLow(r0, r1).AsUInt32(), a1 = Sse2.UnpackLow(r2, r3).AsUInt32(), a2 = Sse2.UnpackLow(r4, r5).AsUInt32(), a3 = Sse2.UnpackLow(r6, r7).AsUInt32();
        Vector128<uint> b0 = Sse2.UnpackHigh(r0, r1).AsUInt32(), b1 = Sse2.UnpackHigh(r2, r3).AsUInt32(), b2 = Sse2.UnpackHigh(r4, r5).AsUInt32(), b3 = Sse2.UnpackHigh(r6, r7).AsUInt32();
        Two(Sse2.UnpackLow(a0, a1), Sse2.UnpackLow(a2, a3), flips, to);
        Two(Sse2.UnpackHigh(a0, a1), Sse2.UnpackHigh(a2, a3), flips, to + 2 * TapBytes);
        Two(Sse2.UnpackLow(b0, b1), Sse2.UnpackLow(b2, b3), flips, to + 4 * TapBytes);
        Two(Sse2.UnpackHigh(b0, b1), Sse2.UnpackHigh(b2, b3), flips, to + 6 * TapBytes);
        byte* last = to + 8 * TapBytes;
        for (int n = 0; n < Lanes; n++, from += stride)
        {
            last[2 * n] = from[8];
            last[2 * n + 1] = from[17];
        }
        (Vector128.Load(last) ^ flips).Store(last);
    }

    /// <summary>Taps 0 … 7 of a filter's two channels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ushort> Both(byte* filter) => Sse2.UnpackLow(Vector128.Load(filter), Vector128.Load(filter + 9)).AsUInt16();

    /// <summary>Stores two taps: the first four filters' numbers and the last four's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Two(Vector128<uint> firstFour, Vector128<uint> lastFour, Vector128<byte> flips, byte* to)
    {
        (Sse2.UnpackLow(firstFour.AsUInt64(), lastFour.AsUInt64()).AsByte() ^ flips).Store(to);
        (Sse2.UnpackHigh(firstFour.AsUInt64(), lastFour.AsUInt64()).AsByte() ^ flips).Store(to + TapBytes);
    }
}
