using Octet.Kernels.Geometry;
using Octet.Kernels.Memory;
using Octet.Kernels.QGemm;

namespace Octet.Kernels.QConv.Winograd;

/// <summary>3×3 filters transformed and packed for one word kernel; immutable.</summary>
/// <remarks><code>packed[panel][position of the transformed tile][group][n = 0..Nr−1][k = 0, 1]      int16; zero beyond C and O</code></remarks>
internal sealed unsafe class QWinogradWeights
{
    private readonly AlignedBuffer _packed;

    private QWinogradWeights(QGemmKernel kernel, int channels, int outChannels, int positions)
    {
        Kernel = kernel;
        Groups = (channels + 1) / 2;
        Panels = (outChannels + kernel.Nr - 1) / kernel.Nr;
        PositionBytes = Groups * kernel.Nr * 4;
        Positions = positions;
        _packed = new AlignedBuffer((long)Panels * positions * PositionBytes);
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

    /// <summary>Weights that are all 1, for timing.</summary>
    public static QWinogradWeights Ones(QGemmKernel kernel, ConvShape shape, int side)
    {
        var weights = new QWinogradWeights(kernel, shape.InChannels, shape.OutChannels, side * side);
        weights._packed.Memory.Span.Fill(1);
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
        int channels = shape.InChannels, outChannels = shape.OutChannels, side = TTile.Input, nr = kernel.Nr;
        var weights = new QWinogradWeights(kernel, channels, outChannels, side * side);
        long largestOutput = 1L << (31 - TTile.Shift);
        int largestWeight = short.MaxValue / (TTile.FilterGrowth * TTile.FilterGrowth);
        Span<int> columns = stackalloc int[3 * side], transformed = stackalloc int[side];
        for (int o = 0; o < outChannels; o++)
        {
            long zeroPoint = zeroPoints.Length == 0 ? 0 : zeroPoints[zeroPoints.Length == 1 ? 0 : o];
            if (flip != 0) zeroPoint -= 128;
            long positive = 0, negative = 0;
            byte* filter = source + (nint)o * channels * 9;
            short* packed = (short*)weights.Panel(o / nr) + o % nr * 2;
            for (int c = 0; c < channels; c++, filter += 9)
            {
                for (int column = 0; column < 3; column++)
                {
                    long g0 = (sbyte)(filter[column] ^ flip) - zeroPoint, g1 = (sbyte)(filter[3 + column] ^ flip) - zeroPoint, g2 = (sbyte)(filter[6 + column] ^ flip) - zeroPoint;
                    long largest = Math.Max(Math.Abs(g0), Math.Max(Math.Abs(g1), Math.Abs(g2)));
                    if (largest > largestWeight)
                    {
                        refused = $"output channel {o} has a weight {largest} above its zero point, more than {largestWeight}";
                        return null;
                    }
                    positive += Math.Max(g0, 0) + Math.Max(g1, 0) + Math.Max(g2, 0);
                    negative -= Math.Min(g0, 0) + Math.Min(g1, 0) + Math.Min(g2, 0);
                    TTile.Filter((int)g0, (int)g1, (int)g2, transformed);
                    for (int i = 0; i < side; i++) columns[i * 3 + column] = transformed[i];
                }
                for (int i = 0; i < side; i++)
                {
                    TTile.Filter(columns[i * 3], columns[i * 3 + 1], columns[i * 3 + 2], transformed);
                    for (int j = 0; j < side; j++)
                        packed[(i * side + j) * (weights.PositionBytes / 2) + c / 2 * nr * 2 + c % 2] = (short)transformed[j];
                }
            }
            long bound = byte.MaxValue * Math.Max(positive, negative);
            if (bound >= largestOutput)
            {
                refused = $"sums of output channel {o} may reach {bound}, not below {largestOutput}";
                return null;
            }
        }
        refused = "";
        return weights;
    }
}
