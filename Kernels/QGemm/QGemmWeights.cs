using Octet.Kernels.Memory;

namespace Octet.Kernels.QGemm;

/// <summary>A constant B, packed once for one kernel; immutable, shared by any number of threads, layers and sessions.</summary>
/// <remarks>
/// <code>
///   packed[panel][section][group][n = 0..Nr−1][k = 0..Kr−1] = b[section, group·Kr + k, panel·Nr + n]     zero beyond K and N
///   Σ(a−za)(b−zb) = Σa·b − zb·Σa − za·Σ(b−zb)                                                           modulo 2³²
/// </code>
/// The column term joins the bias before the tile starts, the row term exists only where some zb ≠ 0. A section is a part of the
/// depth whose operands are contiguous: the whole depth of a matrix product, one window tap (or one row of taps) of a convolution.
/// </remarks>
internal sealed unsafe class QGemmWeights
{
    private readonly AlignedBuffer _packed;
    private readonly AlignedBuffer _columnSums;
    private readonly AlignedBuffer? _zeroPoints;

    private QGemmWeights(QGemmKernel kernel, int columns, int sections, int sectionLength)
    {
        Kernel = kernel;
        Columns = columns;
        Sections = sections;
        SectionLength = sectionLength;
        Groups = (sectionLength + kernel.Kr - 1) / kernel.Kr;
        Panels = (columns + kernel.Nr - 1) / kernel.Nr;
        PanelBytes = checked((int)((long)sections * Groups * kernel.Nr * 4));
        _packed = new AlignedBuffer((long)Panels * PanelBytes);
        _columnSums = new AlignedBuffer((long)Panels * kernel.Nr * sizeof(int));
        kernel.Prepare();
    }

    private QGemmWeights(QGemmKernel kernel, int columns, int sections, int sectionLength, ReadOnlySpan<int> zeroPoints, int zeroPointShift)
        : this(kernel, columns, sections, sectionLength)
    {
        if (zeroPoints.Length > 1 && zeroPoints.Length != columns)
            throw new ArgumentException($"{zeroPoints.Length} zero points for {columns} columns; there are none, 1 or one per column", nameof(zeroPoints));
        bool any = zeroPoints.Length == 0 && zeroPointShift != 0;
        foreach (int zeroPoint in zeroPoints) any |= zeroPoint + zeroPointShift != 0;
        if (!any) return;
        _zeroPoints = new AlignedBuffer((long)Panels * kernel.Nr * sizeof(int));
        Span<int> shifted = _zeroPoints.Span<int>(0, columns);
        for (int n = 0; n < columns; n++)
            shifted[n] = (zeroPoints.Length == 0 ? 0 : zeroPoints[zeroPoints.Length == 1 ? 0 : n]) + zeroPointShift;
    }

    /// <summary>The kernel that the layout is for.</summary>
    public QGemmKernel Kernel { get; }

    /// <summary>N.</summary>
    public int Columns { get; }

    /// <summary>Parts of the depth.</summary>
    public int Sections { get; }

    /// <summary>Depth of one part.</summary>
    public int SectionLength { get; }

    /// <summary>K, all sections.</summary>
    public int Depth => Sections * SectionLength;

    /// <summary>Groups of Kr in one section, the last one padded.</summary>
    public int Groups { get; }

    /// <summary>Panels of Nr columns, the last one padded.</summary>
    public int Panels { get; }

    /// <summary>Bytes of one panel.</summary>
    public int PanelBytes { get; }

    /// <summary>Bytes that a tile reads of one row of A per section, padding included.</summary>
    public int RowBytes => Groups * 4;

    /// <summary>Bytes of packed weights.</summary>
    public long Bytes => (long)Panels * PanelBytes;

    /// <summary>Whether some zero point of B is not 0, so that row sums of A are needed.</summary>
    public bool HasZeroPoints => _zeroPoints is not null;

    internal byte* Pointer => _packed.Pointer;

    /// <summary><c>Σₖ (b[k,n] − zb[n])</c>, modulo 2³², for every column; zero for padding columns.</summary>
    internal int* ColumnSums => (int*)_columnSums.Pointer;

    /// <summary>zb per column, or null if all are 0.</summary>
    internal int* ZeroPoints => _zeroPoints is null ? null : (int*)_zeroPoints.Pointer;

    /// <summary>Packs signed weights.</summary>
    /// <param name="b">Logical <c>[K, N]</c>.</param>
    /// <param name="k">K, at least 0.</param>
    /// <param name="n">N, at least 0.</param>
    /// <param name="transposed">Memory is <c>[N, K]</c>.</param>
    /// <param name="zeroPoints">Empty (all 0), 1 or N; any int32 (arithmetic is modulo 2³²).</param>
    /// <param name="kernel">The kernel that will read it.</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public static QGemmWeights Pack(ReadOnlySpan<sbyte> b, int k, int n, bool transposed, ReadOnlySpan<int> zeroPoints, QGemmKernel kernel)
    {
        fixed (sbyte* source = b)
            return PackMatrix((byte*)source, b.Length, 0, k, n, transposed, zeroPoints, kernel);
    }

    /// <summary>Packs unsigned weights: b − 128 with the zero points shifted alike.</summary>
    /// <inheritdoc cref="Pack(ReadOnlySpan{sbyte}, int, int, bool, ReadOnlySpan{int}, QGemmKernel)"/>
    public static QGemmWeights Pack(ReadOnlySpan<byte> b, int k, int n, bool transposed, ReadOnlySpan<int> zeroPoints, QGemmKernel kernel)
    {
        fixed (byte* source = b)
            return PackMatrix(source, b.Length, 0x80, k, n, transposed, zeroPoints, kernel);
    }

    private static QGemmWeights PackMatrix(byte* source, int length, byte flip, int k, int n, bool transposed, ReadOnlySpan<int> zeroPoints, QGemmKernel kernel)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(k);
        ArgumentOutOfRangeException.ThrowIfNegative(n);
        if ((long)k * n != length) throw new ArgumentException($"B has {length} elements, not {k}·{n}");
        var offsets = new int[k];
        for (int i = 0; i < k; i++) offsets[i] = transposed ? i : i * n;
        return Pack(source, flip, n, columnStride: transposed ? k : 1, sections: 1, sectionLength: k, offsets, zeroPoints, kernel);
    }

    /// <summary>Packs any arrangement: <c>b[section, k, n] = source[n·columnStride + offsets[section·sectionLength + k]]</c>.</summary>
    /// <param name="source">Weights as bytes.</param>
    /// <param name="flip">0x80 to turn unsigned weights into signed ones, else 0.</param>
    /// <param name="columns">N.</param>
    /// <param name="columnStride">Elements from one column's first weight to the next column's.</param>
    /// <param name="sections">Parts of the depth.</param>
    /// <param name="sectionLength">Depth of one part.</param>
    /// <param name="offsets">Where each depth lies.</param>
    /// <param name="zeroPoints">Empty, 1 or N, as in <paramref name="source"/>'s own type.</param>
    /// <param name="kernel">The kernel that will read it.</param>
    internal static QGemmWeights Pack(byte* source, byte flip, int columns, int columnStride, int sections, int sectionLength,
        ReadOnlySpan<int> offsets, ReadOnlySpan<int> zeroPoints, QGemmKernel kernel)
    {
        var weights = new QGemmWeights(kernel, columns, sections, sectionLength, zeroPoints, flip == 0 ? 0 : -128);
        int nr = kernel.Nr, kr = kernel.Kr;
        for (int panel = 0; panel < weights.Panels; panel++)
        {
            int first = panel * nr, count = Math.Min(nr, columns - first);
            byte* packed = weights.Pointer + (long)panel * weights.PanelBytes;
            int* sums = weights.ColumnSums + first;
            for (int section = 0; section < sections; section++)
            {
                for (int group = 0; group < weights.Groups; group++, packed += nr * 4)
                {
                    int depth = Math.Min(kr, sectionLength - group * kr);
                    for (int k = 0; k < depth; k++)
                    {
                        byte* at = source + offsets[section * sectionLength + group * kr + k] + (long)first * columnStride;
                        for (int n = 0; n < count; n++, at += columnStride)
                        {
                            sbyte value = (sbyte)(*at ^ flip);
                            sums[n] += value;
                            if (kr == 4) ((sbyte*)packed)[n * 4 + k] = value;
                            else ((short*)packed)[n * 2 + k] = value;
                        }
                    }
                }
            }
            if (weights.ZeroPoints is not null)
                for (int n = 0; n < count; n++) sums[n] = unchecked(sums[n] - weights.Depth * weights.ZeroPoints[first + n]);
        }
        return weights;
    }
}
