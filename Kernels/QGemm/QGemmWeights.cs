using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Cpu;
using Octet.Kernels.Memory;

namespace Octet.Kernels.QGemm;

/// <summary>B packed for one kernel. A constant B is packed once, immutable, shared by any number of threads, layers and sessions; one made by <see cref="Create"/> is filled anew for every product.</summary>
/// <remarks>
/// <code>
///   packed[panel][section][group][n = 0..Nr−1][k = 0..Kr−1] = b[section, group·Kr + k, panel·Nr + n]     zero beyond K and N
///   Σ(a−za)(b−zb) = Σa·b − zb·Σa − za·Σ(b−zb)                                                           modulo 2³²
/// </code>
/// The column term joins the bias before the tile starts, the row term exists only where some zb ≠ 0. A section is a part of the
/// depth whose operands are contiguous: the whole depth of a matrix product, one window tap (or one row of taps) of a convolution.
/// For <see cref="QGemmPacking.Pairs"/> the groups of a section are reordered: fours, two groups each, then pairs, as above, then the others as words,
/// <c>[k = 0, 2 | k = 1, 3][n][2]</c>; the panel's plan says where in a row each of them reads.
/// </remarks>
internal sealed unsafe class QGemmWeights
{
    private readonly AlignedBuffer _columnSums;
    private readonly AlignedBuffer? _zeroPoints;
    private static readonly NativeBuffer Nothing = new(0);

    private NativeBuffer _packed;          // nothing before Prove
    private NativeBuffer? _plan;           // [panel][section][fours, pairs, words, offsets…]
    private NativeBuffer? _places;         // [panel][group]
    private int[]? _panelOffsets;
    private readonly int _panelBytes;

    private QGemmWeights(QGemmKernel kernel, int columns, int sections, int sectionLength)
    {
        Kernel = kernel;
        Columns = columns;
        Sections = sections;
        SectionLength = sectionLength;
        Groups = (sectionLength + kernel.Kr - 1) / kernel.Kr;
        Panels = (columns + kernel.Nr - 1) / kernel.Nr;
        _panelBytes = checked((int)((long)sections * Groups * kernel.Nr * 4));
        _packed = kernel.Packing == QGemmPacking.Pairs ? Nothing : new NativeBuffer((long)Panels * _panelBytes);
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
        HasZeroPoints = true;
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

    /// <summary>Bytes that a tile reads of one row of A per section, padding included.</summary>
    public int RowBytes => Groups * 4;

    /// <summary>Bytes of packed weights.</summary>
    public long Bytes => _packed.Length;

    /// <summary>For <see cref="QGemmPacking.Pairs"/>, how much of the matrix is multiplied as bytes.</summary>
    public QGemmProof Proof { get; private set; }

    /// <summary>Largest value of A that the packing allows.</summary>
    public int LargestActivation { get; private init; } = byte.MaxValue;

    /// <summary>Why this kernel, in one sentence; empty where no proof was in question.</summary>
    public string Reason { get; private set; } = "";

    /// <summary>Whether some zero point of B is not 0, so that row sums of A are needed.</summary>
    public bool HasZeroPoints { get; private set; }

    /// <summary>Bytes of a panel; 0 where they differ.</summary>
    internal int PanelBytes => _panelOffsets is null ? _panelBytes : 0;

    /// <summary>Bytes of one panel.</summary>
    internal nint PanelLength(int panel) =>
        _panelOffsets is null ? _panelBytes : (panel + 1 < Panels ? _panelOffsets[panel + 1] : (nint)_packed.Length) - _panelOffsets[panel];

    /// <summary>First byte of a panel.</summary>
    internal byte* Panel(int panel) => _packed.Pointer + (_panelOffsets is null ? (nint)panel * _panelBytes : _panelOffsets[panel]);

    /// <summary>Order of the panel's groups, or null where they lie in order.</summary>
    internal int* Plan(int panel) => _plan is null ? null : (int*)_plan.Pointer + (nint)panel * Sections * PlanLength;

    /// <summary>Counts of fours, pairs and words ahead of a section's offsets.</summary>
    private const int PlanHeader = 3;

    /// <summary>Elements of the plan of one section.</summary>
    private int PlanLength => PlanHeader + Groups;

    /// <summary>Where the bytes of each group lie in a panel whose rows of A are taken apart.</summary>
    internal int* Places(int panel) => (int*)_places!.Pointer + (nint)panel * Sections * Groups;

    /// <summary>Largest value of the dense part of A; below <see cref="LargestActivation"/> rows have to be taken apart.</summary>
    public int Width { get; private set; } = byte.MaxValue;

    /// <summary>Whether rows of A have to be taken apart.</summary>
    public bool TakesApart => Width < LargestActivation;

    /// <summary><c>Σₖ (b[k,n] − zb[n])</c>, modulo 2³², for every column; zero for padding columns.</summary>
    internal int* ColumnSums => (int*)_columnSums.Pointer;

    /// <summary>What a panel holds, for kernels whose panels are alike, and the sums of its columns.</summary>
    internal (byte[] Bytes, int[] Sums) Content(int panel) => (new Span<byte>(Panel(panel), PanelBytes).ToArray(), new Span<int>(ColumnSums + panel * Kernel.Nr, Math.Min(Kernel.Nr, Columns - panel * Kernel.Nr)).ToArray());

    /// <summary>zb per column, or null if all are 0.</summary>
    internal int* ZeroPoints => HasZeroPoints ? (int*)_zeroPoints!.Pointer : null;

    /// <summary>Room for a B that is known only at run time, to be filled by <see cref="Fill"/>; until then it counts as having zero points, so that scratch space is large enough for any.</summary>
    /// <param name="k">K.</param>
    /// <param name="n">N.</param>
    /// <param name="kernel">The kernel that will read it; none that needs a proof of its weights.</param>
    /// <exception cref="ArgumentException">The kernel needs a proof.</exception>
    public static QGemmWeights Create(int k, int n, QGemmKernel kernel)
    {
        if (kernel.Packing == QGemmPacking.Pairs) throw new ArgumentException($"{kernel.Name} needs a proof of its weights, which are not known", nameof(kernel));
        ArgumentOutOfRangeException.ThrowIfNegative(k);
        ArgumentOutOfRangeException.ThrowIfNegative(n);
        return new QGemmWeights(kernel, n, 1, k, [1], 0);
    }

    /// <summary>Packs another B into the same room. Allocates nothing.</summary>
    /// <param name="b">Logical <c>[K, N]</c>.</param>
    /// <param name="transposed">Memory is <c>[N, K]</c>.</param>
    /// <param name="signed">Bytes are signed; unsigned ones are stored as b − 128 with the zero points shifted alike.</param>
    /// <param name="zeroPoints">Empty (all 0), 1 or N.</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public void Fill(ReadOnlySpan<byte> b, bool transposed, bool signed, ReadOnlySpan<int> zeroPoints)
    {
        int k = SectionLength, n = Columns;
        if (b.Length < (long)k * n) throw new ArgumentException($"B has {b.Length} elements, needs {(long)k * n}", nameof(b));
        if (zeroPoints.Length > 1 && zeroPoints.Length != n) throw new ArgumentException($"{zeroPoints.Length} zero points for {n} columns; there are none, 1 or one per column", nameof(zeroPoints));
        // Words have room for unsigned bytes and for the difference from a zero point, so that no row sums of A are needed.
        bool inWords = Kernel.Packing == QGemmPacking.Words && FitWords(zeroPoints);
        byte flip = signed || inWords ? (byte)0 : (byte)0x80;
        int nr = Kernel.Nr;
        fixed (byte* source = b)
        fixed (int* zeros = zeroPoints)
        {
            for (int panel = 0; panel < Panels; panel++)
            {
                int first = panel * nr, count = Math.Min(nr, n - first);
                byte* packed = Panel(panel);
                int* sums = ColumnSums + first;
                if (inWords)
                {
                    int zeroStep = zeroPoints.Length > 1 ? 1 : 0;
                    int* zero = zeroPoints.Length == 0 ? null : zeros + first * zeroStep;
                    if (transposed) QGemmFill.Columns(source + (long)first * k, k, (short*)packed, nr, sums, count, signed, zero, zeroStep);
                    else QGemmFill.Rows(source + first, n, k, (short*)packed, nr, sums, count, signed, zero, zeroStep);
                }
                else if (transposed) QGemmFill.ByteColumns(source + (long)first * k, k, packed, nr, Kernel.Kr, sums, count, flip);
                else QGemmFill.ByteRows(source + first, n, k, packed, nr, Kernel.Kr, sums, count, flip);
            }
        }
        HasZeroPoints = false;
        if (inWords) return;
        int shift = signed ? 0 : -128;
        Span<int> shifted = _zeroPoints!.Span<int>(0, n);
        int* columnSums = ColumnSums;
        bool any = false;
        for (int i = 0; i < n; i++)
        {
            int zero = (zeroPoints.Length == 0 ? 0 : zeroPoints[zeroPoints.Length == 1 ? 0 : i]) + shift;
            shifted[i] = zero;
            any |= zero != 0;
            columnSums[i] = unchecked(columnSums[i] - k * zero);
        }
        HasZeroPoints = any;
    }

    /// <summary>Zero points up to this size leave differences small enough for words: 255·(255 + 1024)·2 is below 2³¹.</summary>
    private const int LargestWordZeroPoint = 1024;

    private static bool FitWords(ReadOnlySpan<int> zeroPoints)
    {
        foreach (int zeroPoint in zeroPoints)
        {
            if (zeroPoint is < -LargestWordZeroPoint or > LargestWordZeroPoint) return false;
        }
        return true;
    }

    /// <summary>Packs signed weights.</summary>
    /// <param name="b">Logical <c>[K, N]</c>.</param>
    /// <param name="k">K, at least 0.</param>
    /// <param name="n">N, at least 0.</param>
    /// <param name="transposed">Memory is <c>[N, K]</c>.</param>
    /// <param name="zeroPoints">Empty (all 0), 1 or N; any int32 (arithmetic is modulo 2³²).</param>
    /// <param name="kernel">The kernel that will read it.</param>
    /// <param name="largestActivation">Largest value of unsigned A, in [0, 255]; a smaller one proves more pairs.</param>
    /// <param name="width">Largest value of the dense part of A for a kernel that takes rows apart, in [128, 255]; 0: the fastest.</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public static QGemmWeights Pack(ReadOnlySpan<sbyte> b, int k, int n, bool transposed, ReadOnlySpan<int> zeroPoints, QGemmKernel kernel, int largestActivation = byte.MaxValue, int width = 0)
    {
        fixed (sbyte* source = b)
            return PackMatrix((byte*)source, b.Length, 0, k, n, transposed, zeroPoints, kernel, null, largestActivation, width);
    }

    /// <summary>Packs unsigned weights: b − 128 with the zero points shifted alike.</summary>
    /// <inheritdoc cref="Pack(ReadOnlySpan{sbyte}, int, int, bool, ReadOnlySpan{int}, QGemmKernel, int, int)"/>
    public static QGemmWeights Pack(ReadOnlySpan<byte> b, int k, int n, bool transposed, ReadOnlySpan<int> zeroPoints, QGemmKernel kernel, int largestActivation = byte.MaxValue)
    {
        fixed (byte* source = b)
            return PackMatrix(source, b.Length, 0x80, k, n, transposed, zeroPoints, kernel, null, largestActivation);
    }

    /// <summary>Packs signed weights for the kernel that is fastest with them on <paramref name="cpu"/>: one that needs a proof where enough of it holds.</summary>
    /// <param name="b">Logical <c>[K, N]</c>.</param>
    /// <param name="m">Rows of the products to come; a guess does.</param>
    /// <param name="k">K, at least 0.</param>
    /// <param name="n">N, at least 0.</param>
    /// <param name="transposed">Memory is <c>[N, K]</c>.</param>
    /// <param name="zeroPoints">Empty (all 0), 1 or N.</param>
    /// <param name="cpu">Features to choose by.</param>
    /// <param name="largestActivation">Largest value of unsigned A.</param>
    public static QGemmWeights PackFastest(ReadOnlySpan<sbyte> b, int m, int k, int n, bool transposed, ReadOnlySpan<int> zeroPoints, CpuFeatures cpu, int largestActivation = byte.MaxValue)
    {
        fixed (sbyte* source = b)
            return PackMatrix((byte*)source, b.Length, 0, k, n, transposed, zeroPoints, QGemmKernels.Select(m, n, k, cpu), QGemmKernels.SelectIfProved(m, n, k, cpu), largestActivation);
    }

    /// <summary>The same for unsigned weights.</summary>
    /// <inheritdoc cref="PackFastest(ReadOnlySpan{sbyte}, int, int, int, bool, ReadOnlySpan{int}, CpuFeatures, int)"/>
    public static QGemmWeights PackFastest(ReadOnlySpan<byte> b, int m, int k, int n, bool transposed, ReadOnlySpan<int> zeroPoints, CpuFeatures cpu, int largestActivation = byte.MaxValue)
    {
        fixed (byte* source = b)
            return PackMatrix(source, b.Length, 0x80, k, n, transposed, zeroPoints, QGemmKernels.Select(m, n, k, cpu), QGemmKernels.SelectIfProved(m, n, k, cpu), largestActivation);
    }

    private static QGemmWeights PackMatrix(byte* source, int length, byte flip, int k, int n, bool transposed, ReadOnlySpan<int> zeroPoints,
        QGemmKernel kernel, QGemmKernel? ifProved, int largestActivation, int width = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(k);
        ArgumentOutOfRangeException.ThrowIfNegative(n);
        if ((long)k * n != length) throw new ArgumentException($"B has {length} elements, not {k}·{n}");
        var offsets = new int[k];
        for (int i = 0; i < k; i++) offsets[i] = transposed ? i : i * n;
        int columnStride = transposed ? k : 1;
        string refused = "";
        if (ifProved is not null)
        {
            QGemmWeights proved = Pack(source, flip, n, columnStride, sections: 1, sectionLength: k, offsets, zeroPoints, ifProved, largestActivation, mayTakeApart: true);
            if (IsFaster([proved], kernel, out refused)) return proved;
            proved.Free();
        }
        QGemmWeights weights = Pack(source, flip, n, columnStride, sections: 1, sectionLength: k, offsets, zeroPoints, kernel, largestActivation, mayTakeApart: true, width);
        weights.Reason = refused;
        return weights;
    }

    /// <summary>Frees weights that nobody will multiply with.</summary>
    internal void Free()
    {
        if (_packed != Nothing) _packed.Dispose();
        _packed = Nothing;
        _plan?.Dispose();
        _places?.Dispose();
        _plan = _places = null;
    }

    /// <summary>Whether no zero point is other than 0.</summary>
    private static bool AllZero(ReadOnlySpan<int> zeroPoints) => !zeroPoints.ContainsAnyExcept(0);

    /// <summary>Weights that are all 1, for timing a kernel without the cost of packing.</summary>
    internal static QGemmWeights Ones(QGemmKernel kernel, int columns, int sections, int sectionLength)
    {
        var weights = new QGemmWeights(kernel, columns, sections, sectionLength);
        long bytes = (long)weights.Panels * weights._panelBytes;
        bool pairs = kernel.Packing == QGemmPacking.Pairs;
        using NativeScratch room = pairs ? new NativeScratch(bytes) : default;
        byte* start = pairs ? room.Pointer : weights._packed.Pointer;
        NativeMemory.Fill(start, (nuint)bytes, 1);
        if (pairs) weights.Prove((sbyte*)start);
        return weights;
    }

    /// <summary>Whether enough of <paramref name="groups"/> is proved to beat a kernel that needs no proof; sets their reason, or says why not.</summary>
    internal static bool IsFaster(QGemmWeights[] groups, QGemmKernel kernel, out string refused)
    {
        QGemmWeights proved = groups[0];
        int n = proved.Columns, k = proved.SectionLength;
        QGemmProof proof = proved.Proof;
        for (int i = 1; i < groups.Length; i++) proof += groups[i].Proof;
        string share = string.Create(CultureInfo.InvariantCulture, $"{100 * proof.Share:F0} % of {proof.Groups} groups of weights cannot saturate 16 bits with activations up to {proof.LargestActivation}");
        double speed = 0;
        foreach (QGemmWeights group in groups) speed += group.ExpectedSpeed / groups.Length;
        if (speed > QGemmKernels.Speed(kernel, n, k))
        {
            proved.Reason = (proved.TakesApart ? $"activations are split at {proved.Width} of {proved.LargestActivation}, so that " : "") + share + (proof.Words > 0 ? ": those as bytes, the rest as words" : ": all as bytes") +
                string.Create(CultureInfo.InvariantCulture, $", {100 * proof.FoursShare:F0} % by fours");
            refused = "";
            return true;
        }
        refused = "only " + share + ": all as words";
        return false;
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
    /// <param name="largestActivation">Largest value of A.</param>
    /// <param name="mayTakeApart">The driver can take rows of A apart.</param>
    /// <param name="width">Largest value of the dense part of A; 0: the fastest.</param>
    internal static QGemmWeights Pack(byte* source, byte flip, int columns, int columnStride, int sections, int sectionLength,
        ReadOnlySpan<int> offsets, ReadOnlySpan<int> zeroPoints, QGemmKernel kernel, int largestActivation = byte.MaxValue, bool mayTakeApart = false, int width = 0)
    {
        if (largestActivation is < 0 or > byte.MaxValue)
            throw new ArgumentOutOfRangeException(nameof(largestActivation), $"largest activation {largestActivation} is outside [0, 255]");
        var weights = new QGemmWeights(kernel, columns, sections, sectionLength, zeroPoints, flip == 0 ? 0 : -128) { LargestActivation = largestActivation };
        int nr = kernel.Nr, kr = kernel.Kr;
        uint flips = flip * 0x01010101u;
        bool pairs = kernel.Packing == QGemmPacking.Pairs;
        long bytes = (long)weights.Panels * weights._panelBytes;
        using NativeScratch room = pairs ? new NativeScratch(bytes) : default;
        byte* start = pairs ? room.Pointer : weights._packed.Pointer;
        bool isConsecutive = kr == 4 && Avx2.IsSupported && QGemmFill.AreConsecutive(offsets, sectionLength);
        bool areRows = kr == 4 && sections == 1 && columnStride == 1 && QGemmFill.AreRows(offsets, columns);
        if (pairs && (columns % nr != 0 || sectionLength % kr != 0)) NativeMemory.Clear(start, (nuint)bytes);
        for (int panel = 0; panel < weights.Panels; panel++)
        {
            int first = panel * nr, count = Math.Min(nr, columns - first);
            int* sums = weights.ColumnSums + first;
            byte* panelStart = start + (nint)panel * weights._panelBytes;
            if (areRows)
            {
                QGemmFill.ByteRows(source + first, columns, sectionLength, panelStart, nr, kr, sums, count, flip);
                SubtractZeroPoints();
                continue;
            }
            int done = isConsecutive && count % 8 == 0 ? sectionLength / QGemmFill.Consecutive * (QGemmFill.Consecutive / 4) : 0;
            for (int section = 0; section < sections && done > 0; section++)
            {
                byte* packed = panelStart + (nint)section * weights.Groups * nr * 4;
                QGemmFill.ConsecutiveColumns(source + offsets[section * sectionLength] + (long)first * columnStride, columnStride, packed, nr, count, done / 8, flips, sums);
            }
            // Sections inside of groups: the taps of a window are neighbours in the source.
            for (int group = done; group < weights.Groups; group++)
            {
                for (int section = 0; section < sections; section++)
                {
                    byte* packed = panelStart + ((nint)section * weights.Groups + group) * nr * 4;
                    int depth = Math.Min(kr, sectionLength - group * kr);
                    ReadOnlySpan<int> places = offsets.Slice(section * sectionLength + group * kr, depth);
                    if (depth == 4)
                    {
                        // All four of a column at once; where they are neighbours, as in a matrix whose columns are contiguous, by one load.
                        byte* from = source + places[0] + (long)first * columnStride;
                        int second = places[1] - places[0], third = places[2] - places[0], fourth = places[3] - places[0];
                        bool neighbours = second == 1 && third == 2 && fourth == 3 && BitConverter.IsLittleEndian;
                        for (int n = 0; n < count; n++, from += columnStride)
                        {
                            uint four = (neighbours ? *(uint*)from : (uint)from[0] | (uint)from[second] << 8 | (uint)from[third] << 16 | (uint)from[fourth] << 24) ^ flips;
                            sums[n] += (sbyte)four + (sbyte)(four >> 8) + (sbyte)(four >> 16) + (sbyte)(four >> 24);
                            ((uint*)packed)[n] = four;
                        }
                        continue;
                    }
                    for (int k = 0; k < depth; k++)
                    {
                        byte* at = source + places[k] + (long)first * columnStride;
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
            SubtractZeroPoints();

            void SubtractZeroPoints()
            {
                if (weights.ZeroPoints is null) return;
                for (int n = 0; n < count; n++) sums[n] = unchecked(sums[n] - weights.Depth * weights.ZeroPoints[first + n]);
            }
        }
        if (pairs)
        {
            if (mayTakeApart && !weights.HasZeroPoints) weights.Width = width == 0 ? weights.FastestWidth((sbyte*)start) : width;
            weights.Prove((sbyte*)start);
        }
        return weights;
    }

    /// <summary>Widths of the dense part that are considered, besides all.</summary>
    private static ReadOnlySpan<int> Widths => [255, 208, 184, 160, 144, 128];

    /// <summary>Groups looked at for that: the share of each kind is the same everywhere.</summary>
    private const int GroupsSampled = 512;

    /// <summary>Columns and depth below which taking rows apart costs more than it saves.</summary>
    private const int FewestColumnsApart = 40, SmallestDepthApart = 40;

    /// <summary>Time of a listed group, of taking a group apart (once for all columns), and of starting values of a row, in units of a group of one row and one panel multiplied as fours.</summary>
    private const double ListedCost = 2.7, ApartCost = 6, StartCost = 2;

    /// <summary>What listed groups are expected to add to the time of one group, with a dense part up to <paramref name="width"/>.</summary>
    private double ApartCosts(int width)
    {
        if (width >= LargestActivation) return 0;
        return ListedCost * X86.QGemmWindow256.ExpectedShare(width) + ApartCost / Columns + StartCost / (Sections * Groups);
    }

    /// <summary>Speed that is to be expected, on the scale of <see cref="QGemmKernel.Throughput"/>.</summary>
    private double ExpectedSpeed
    {
        get
        {
            double dense = Proof.Groups == 0 ? 1 : (Proof.Fours + Proof.Pairs * (double)Kernel.Throughput / Kernel.PairThroughput + Proof.Words * (double)Kernel.Throughput / Kernel.UnprovedThroughput) / Proof.Groups;
            return QGemmKernels.Speed(Kernel, Columns, SectionLength) / (dense + ApartCosts(Width));
        }
    }

    /// <summary>The width with which sampled groups, and those that are expected outside, take least time.</summary>
    /// <param name="groups">The groups before <see cref="Prove"/> reorders them: 4 bytes per column.</param>
    private int FastestWidth(sbyte* groups)
    {
        if (LargestActivation <= X86.QGemmWindow256.SmallestWidth || Columns < FewestColumnsApart || Depth < SmallestDepthApart) return byte.MaxValue;
        int groupBytes = Kernel.Nr * 4, total = Panels * Sections * Groups, step = 1 + (total - 1) / GroupsSampled;
        double best = double.PositiveInfinity;
        int fastest = byte.MaxValue;
        foreach (int width in Widths)
        {
            if (width > LargestActivation) continue;
            double cost = 0;
            for (int group = 0; group < total; group += step)
            {
                ReadOnlySpan<sbyte> one = new(groups + (nint)group * groupBytes, groupBytes), other = new(groups + (nint)Math.Min(group + 1, total - 1) * groupBytes, groupBytes);
                cost += QGemmProof.AreSafe(one, other, width) ? 1
                    : QGemmProof.IsSafe(one, width) ? Kernel.Throughput / Kernel.PairThroughput
                    : Kernel.Throughput / Kernel.UnprovedThroughput;
            }
            cost /= (total + step - 1) / step;
            cost += ApartCosts(width);
            if (cost < best) (best, fastest) = (cost, width);
        }
        return fastest;
    }

    /// <summary>How many partners are tried for a group before it stays a pair.</summary>
    private const int PartnersTried = 12;

    /// <summary>Reorders groups packed as bytes into fours, pairs and words.</summary>
    /// <param name="source">The groups, which all have to be there: 4 bytes per column.</param>
    private void Prove(sbyte* source)
    {
        int largest = Math.Min(Width, LargestActivation);
        int nr = Kernel.Nr, groupBytes = nr * 4, planLength = PlanLength;
        int total = Panels * Sections * Groups, fours = 0, pairs = 0;
        using NativeScratch partnersRoom = new((long)total * sizeof(int)), sumsRoom = new((long)Groups * groupBytes * sizeof(short));
        int* partners = (int*)partnersRoom.Pointer;   // of groups in fours; itself: a pair; −1: words
        short* sums = (short*)sumsRoom.Pointer;       // of the groups of a section
        var proof = new QGemmProof.Limits(largest);
        for (int first = 0; first < total; first += Groups)
        {
            for (int group = first; group < first + Groups; group++)
            {
                bool safe = proof.IsSafe(source + (nint)group * groupBytes, groupBytes, sums + (nint)(group - first) * groupBytes);
                partners[group] = safe ? group : -1;
                if (safe) pairs++;
            }
            for (int group = first; group < first + Groups; group++)
            {
                if (partners[group] != group) continue;
                for (int other = group + 1, tried = 0; other < first + Groups && tried < PartnersTried; other++)
                {
                    if (partners[other] != other) continue;
                    tried++;
                    if (!proof.AreSafe(sums + (nint)(group - first) * groupBytes, sums + (nint)(other - first) * groupBytes, groupBytes)) continue;
                    (partners[group], partners[other]) = (other, group);
                    fours += 2;
                    pairs -= 2;
                    break;
                }
            }
        }
        Proof = new QGemmProof(total, fours, pairs, largest);
        bool lists = TakesApart;
        var packed = new NativeBuffer((long)(fours + pairs) * groupBytes + Proof.Words * (lists ? 3L : 2L) * groupBytes);
        if (lists) _places = new NativeBuffer((long)Panels * Sections * Groups * sizeof(int));
        _plan = new NativeBuffer((long)Panels * Sections * planLength * sizeof(int));
        _panelOffsets = new int[Panels];
        byte* origin = packed.Pointer, to = origin;
        int* plan = (int*)_plan.Pointer;
        for (int panel = 0; panel < Panels; panel++)
        {
            int start = checked((int)(to - origin));
            int* sectionPlaces = lists ? Places(panel) : null;
            _panelOffsets[panel] = start;
            for (int section = 0; section < Sections; section++, plan += planLength)
            {
                int first = (panel * Sections + section) * Groups;
                int* offset = plan + PlanHeader, places = sectionPlaces;
                sectionPlaces += lists ? Groups : 0;
                for (int group = 0; group < Groups; group++)
                {
                    int partner = partners[first + group] - first;
                    if (partner <= group) continue;
                    plan[0]++;
                    *offset++ = group * 4;
                    *offset++ = partner * 4;
                    if (places != null) (places[group], places[partner]) = ((int)(to - origin) - start, (int)(to - origin) - start + groupBytes);
                    to = Copy(source + (nint)(first + group) * groupBytes, to, groupBytes);
                    to = Copy(source + (nint)(first + partner) * groupBytes, to, groupBytes);
                }
                for (int group = 0; group < Groups; group++)
                {
                    if (partners[first + group] != first + group) continue;
                    plan[1]++;
                    *offset++ = group * 4;
                    if (places != null) places[group] = (int)(to - origin) - start;
                    to = Copy(source + (nint)(first + group) * groupBytes, to, groupBytes);
                }
                for (int group = 0; group < Groups; group++)
                {
                    if (partners[first + group] >= 0) continue;
                    plan[2]++;
                    *offset++ = group * 4;
                    sbyte* from = source + (nint)(first + group) * groupBytes;
                    for (int i = 0; i < groupBytes; i += Vector128<byte>.Count)
                    {
                        Vector128<short> two = Vector128.Load(from + i).AsInt16();
                        (two << 8 >> 8).Store((short*)(to + i));
                        (two >> 8).Store((short*)(to + groupBytes + i));
                    }
                    to += 2 * groupBytes;
                }
            }
            // Behind all that is read in order: the bytes of groups that are words above.
            int firstOfPanel = panel * Sections * Groups;
            for (int group = 0; lists && group < Sections * Groups; group++)
            {
                if (partners[firstOfPanel + group] >= 0) continue;
                Places(panel)[group] = (int)(to - origin) - start;
                to = Copy(source + (nint)(firstOfPanel + group) * groupBytes, to, groupBytes);
            }
        }
        _packed = packed;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte* Copy(sbyte* from, byte* to, int length)
    {
        for (int i = 0; i < length; i += Vector128<byte>.Count) Vector128.Load(from + i).Store((sbyte*)to + i);
        return to + length;
    }
}
