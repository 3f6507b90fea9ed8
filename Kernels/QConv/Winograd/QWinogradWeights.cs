using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Geometry;
using Octet.Kernels.Memory;
using Octet.Kernels.QGemm;

namespace Octet.Kernels.QConv.Winograd;

/// <summary>3×3 filters transformed and packed for one word kernel; immutable.</summary>
/// <remarks><code>packed[panel][position of the transformed tile][group][n = 0..Nr−1][k = 0, 1]      int16; zero beyond C and O</code></remarks>
internal sealed unsafe class QWinogradWeights
{
    private readonly NativeBuffer _packed;

    private QWinogradWeights(QGemmKernel kernel, int channels, int outChannels, int positions)
    {
        Kernel = kernel;
        Groups = (channels + 1) / 2;
        Panels = (outChannels + kernel.Nr - 1) / kernel.Nr;
        PositionBytes = Groups * kernel.Nr * 4;
        Positions = positions;
        _packed = new NativeBuffer((long)Panels * positions * PositionBytes);
        kernel.Prepare();
    }

    /// <summary>The kernel that multiplies.</summary>
    public QGemmKernel Kernel { get; }

    /// <summary>Pairs of channels.</summary>
    public int Groups { get; }

    /// <summary>Panels of Nr output channels.</summary>
    public int Panels { get; }

    /// <summary>Elements of a transformed tile.</summary>
    public int Positions { get; }

    /// <summary>Bytes of one position of one panel.</summary>
    public int PositionBytes { get; }

    /// <summary>Bytes of packed weights.</summary>
    public long Bytes => _packed.Length;

    /// <summary>Position 0 of a panel.</summary>
    internal byte* Panel(int panel) => _packed.Pointer + (nint)panel * Positions * PositionBytes;

    /// <summary>Frees weights that nobody will multiply with.</summary>
    internal void Free() => _packed.Dispose();

    /// <summary>Weights that are all 1, for timing.</summary>
    public static QWinogradWeights Ones(QGemmKernel kernel, ConvShape shape, int side)
    {
        var weights = new QWinogradWeights(kernel, shape.InChannels, shape.OutChannels, side * side);
        NativeMemory.Fill(weights._packed.Pointer, (nuint)weights.Bytes, 1);
        return weights;
    }

    /// <summary>Transforms and packs <c>[O, C, 3, 3]</c>, or says which bound does not hold.</summary>
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
        int channels = shape.InChannels, outChannels = shape.OutChannels, nr = kernel.Nr;
        var weights = new QWinogradWeights(kernel, channels, outChannels, TTile.Input * TTile.Input);
        long largestOutput = 1L << (31 - TTile.Shift);
        int largestWeight = short.MaxValue / (TTile.FilterGrowth * TTile.FilterGrowth);
        int* bounds = stackalloc int[3 * Lanes], largest = bounds, positive = bounds + Lanes, negative = bounds + 2 * Lanes;
        for (int o = 0; o < outChannels; o += Lanes)
        {
            int count = Math.Min(Lanes, outChannels - o);
            weights.Pack<TTile>(source + (nint)o * channels * 9, flip, channels, o, count, zeroPoints, bounds);
            for (int n = 0; n < count; n++)
            {
                long bound = byte.MaxValue * (long)Math.Max(positive[n], negative[n]);
                refused = largest[n] > largestWeight ? $"output channel {o + n} has a weight {Farthest(source + (nint)(o + n) * channels * 9, channels * 9, flip, ZeroPoint(zeroPoints, flip, o + n))} above its zero point, more than {largestWeight}"
                    : bound >= largestOutput ? $"sums of output channel {o + n} may reach {bound}, not below {largestOutput}" : "";
                if (refused.Length == 0) continue;
                weights.Free();
                return null;
            }
        }
        refused = "";
        return weights;
    }

    /// <summary>Output channels transformed together: with two input channels each they fill a vector.</summary>
    private const int Lanes = 8;

    /// <summary>Pairs of input channels whose bytes are gathered before the first of them is transformed: bytes stored one by one are not read as a vector while they are on their way.</summary>
    private const int PairsGathered = 4;

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

    /// <summary>Transforms the filters of up to <see cref="Lanes"/> output channels.</summary>
    /// <param name="source">Their weights.</param>
    /// <param name="flip">As in <see cref="TryPack"/>.</param>
    /// <param name="channels">C.</param>
    /// <param name="first">The first output channel, a multiple of <see cref="Lanes"/>.</param>
    /// <param name="count">How many they are.</param>
    /// <param name="zeroPoints">As in <see cref="TryPack"/>.</param>
    /// <param name="bounds">Receives, <see cref="Lanes"/> each, the largest <c>|w − zw|</c> and, while no weight is larger than may be, <c>Σ (w − zw)⁺</c> and <c>Σ (w − zw)⁻</c>.</param>
    [MethodImpl(HotLoop.Optimized)]
    private void Pack<TTile>(byte* source, byte flip, int channels, int first, int count, ReadOnlySpan<int> zeroPoints, int* bounds) where TTile : struct, IQWinogradTile
    {
        const int tapBytes = 2 * Lanes, pairBytes = 9 * tapBytes;
        int nr = Kernel.Nr, side = TTile.Input;
        int* lanes = stackalloc int[2 * Lanes];   // one per output channel, for its two input channels
        new Span<int>(lanes, 2 * Lanes).Clear();
        for (int n = 0; n < count; n++)
        {
            long zero = ZeroPoint(zeroPoints, flip, first + n);
            lanes[n] = (int)((ushort)Math.Clamp(zero, -FarZero, FarZero) * 0x10001u);
            lanes[Lanes + n] = -1;
        }
        Vector256<short> zeros = Vector256.Load((short*)lanes), mask = Vector256.Load((short*)(lanes + Lanes));
        byte* gathered = stackalloc byte[PairsGathered * pairBytes];
        Vector256<short>* taps = stackalloc Vector256<short>[9], columns = stackalloc Vector256<short>[3 * side], row = stackalloc Vector256<short>[side];
        Vector128<byte> flips = Vector128.Create(flip);
        Vector256<short> most = default, ones = Vector256.Create((short)1);
        Vector256<int> above = default, below = default;
        byte* to = Panel(first / nr) + first % nr * 4;
        for (int pair = 0; pair < Groups; pair++, to += nr * 4)
        {
            if (pair % PairsGathered == 0)
            {
                for (int p = 0; p < PairsGathered && pair + p < Groups; p++)
                {
                    int c = (pair + p) * 2, next = c + 1 < channels ? 9 : 0;
                    byte* at = gathered + p * pairBytes;
                    for (int n = 0; n < count; n++, at += 2)
                    {
                        byte* filter = source + ((nint)n * channels + c) * 9;
                        for (int tap = 0; tap < 9; tap++)
                        {
                            at[tap * tapBytes] = filter[tap];
                            at[tap * tapBytes + 1] = filter[tap + next];
                        }
                    }
                }
            }
            if (pair * 2 + 1 == channels) mask &= Vector256.Create(0xffff).AsInt16();
            byte* bytes = gathered + pair % PairsGathered * pairBytes;
            Vector256<short> up = default, down = default;
            for (int tap = 0; tap < 9; tap++)
            {
                Vector256<short> weight = (Avx2.ConvertToVector256Int16((Vector128.Load(bytes + tap * tapBytes) ^ flips).AsSByte()) - zeros) & mask;
                taps[tap] = weight;
                Vector256<short> plus = Vector256.Max(weight, Vector256<short>.Zero), minus = plus - weight;
                up += plus;
                down += minus;
                most = Vector256.Max(most, Vector256.Max(plus, minus));
            }
            above += Avx2.MultiplyAddAdjacent(up, ones);
            below += Avx2.MultiplyAddAdjacent(down, ones);
            for (int column = 0; column < 3; column++) TTile.Filter(taps + column, 3, columns + column * side);
            for (int i = 0; i < side; i++)
            {
                TTile.Filter(columns + i, side, row);
                for (int j = 0; j < side; j++) row[j].Store((short*)(to + (nint)(i * side + j) * PositionBytes));
            }
        }
        Vector256.Max(most.AsInt32() << 16 >> 16, most.AsInt32() >> 16).Store(bounds);
        above.Store(bounds + Lanes);
        below.Store(bounds + 2 * Lanes);
    }
}
