using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Memory;
using Octet.Kernels.Requantize;

namespace Octet.Kernels.QGemm.X86;

/// <summary>Rows of A taken apart into a dense part whose values are at most W, and the few groups that reach beyond, exactly and for any bytes.</summary>
/// <remarks>
/// <code>
///   a = c + d + e⁺ − e⁻      d = clamp(a − c, 0, W)      e⁺ = max(a − c − W, 0)      e⁻ = max(c − a, 0)      W, e⁺, e⁻ in [0, 255]; e⁺, e⁻ ≤ 128
/// </code>
/// Sums of products with d are proved of more weights than with a, and so multiplied faster. c is one number for all rows, with which most of a lies in c … c + W: quantized
/// activations are bell-shaped or one half of a bell, and their range reaches to the largest value. d is multiplied densely; groups of 4 bytes with some e are listed, row after row;
/// for e up to 128 every pair of signed weights is safe (2·128·127 ≤ 32767, 2·128·128 ≤ 32768). The constant c joins the column term.
/// Where more than <see cref="LargestShare"/> of all groups are listed, which takes data of another kind, a = (a and 127) + (a and 128) is multiplied in two dense passes instead.
/// </remarks>
internal static unsafe class QGemmWindow256
{
    /// <summary>Listed groups beyond which two dense passes are faster.</summary>
    public const double LargestShare = 0.4;

    /// <summary>Smallest W, so that e is at most 128 and so are both dense parts.</summary>
    public const int SmallestWidth = 128;

    /// <summary>Entries that may be written behind the last one, and bytes behind the last row.</summary>
    public const int Slack = 32;

    /// <summary>Columns of the panels whose starting values take the listed groups.</summary>
    public const int PanelColumns = 2 * Lanes;

    private const int Lanes = 8;

    /// <summary>Per mask of lanes: where the lanes that are set go, in order.</summary>
    private static readonly AlignedBuffer Compress = MakeCompress();

    private static AlignedBuffer MakeCompress()
    {
        var table = new AlignedBuffer(256 * Lanes * sizeof(int));
        Span<int> lanes = table.Span<int>(0, 256 * Lanes);
        for (int mask = 0; mask < 256; mask++)
        {
            int at = mask * Lanes;
            for (int lane = 0; lane < Lanes; lane++) if ((mask >> lane & 1) != 0) lanes[at++] = lane;
        }
        return table;
    }

    /// <summary>c for rows with zero point <paramref name="zeroPoint"/>: a bell around it, or the half of one that begins at it.</summary>
    public static int Base(int zeroPoint, int width) => Math.Clamp(zeroPoint < 64 ? 0 : zeroPoint - width / 2, 0, byte.MaxValue - width);

    /// <summary>Share of groups of 4 with a value outside a window of <paramref name="width"/>, if values are one half of a bell whose 3.6 standard deviations are 255.</summary>
    public static double ExpectedShare(int width)
    {
        double x = 3.6 * width / 255, t = 1 / (1 + 0.33267 * x);
        double beyond = 2 * Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI) * t * (0.4361836 + t * (-0.1201676 + t * 0.937298));
        return 1 - Math.Pow(1 - beyond, 4);
    }

    /// <summary>The groups with some e of a piece of rows: those with e⁺ from the front, those with e⁻ behind the room for the others.</summary>
    public struct Lists
    {
        /// <summary>The 4 bytes e of a group, its number in the depth, and the place of its row's sums: elements from the first row's.</summary>
        public int* Values, Groups, Places;

        /// <summary>Per row: first and end of e⁺, first and end of e⁻.</summary>
        public int* Bounds;

        /// <summary>Most entries of either kind.</summary>
        public int Capacity;

        /// <summary>Entries so far.</summary>
        public int Above, Below;

        /// <summary>Bytes that <see cref="Carve"/> takes.</summary>
        public static long Bytes(int rows, int capacity) => (3L * Entries(capacity) + 4L * rows) * sizeof(int);

        private static long Entries(int capacity) => 2L * (capacity + Slack);

        /// <summary>Lists without entries in <paramref name="memory"/>.</summary>
        public static Lists Carve(byte* memory, int capacity)
        {
            Lists lists;
            lists.Values = (int*)memory;
            lists.Groups = lists.Values + Entries(capacity);
            lists.Places = lists.Groups + Entries(capacity);
            lists.Bounds = lists.Places + Entries(capacity);
            lists.Capacity = capacity;
            lists.Above = lists.Below = 0;
            return lists;
        }

        /// <summary>First entry of the groups with e⁻.</summary>
        public readonly int FirstBelow => Capacity + Slack;

        /// <summary>
        /// Whether the products of entries are added faster ahead of the dense ones, for all rows together. Many of one row are better added where its sums are in registers, and those
        /// of few rows after the dense products have brought the panel near.
        /// </summary>
        public readonly bool AreFew(int rows) => rows >= 12 && Above + Below <= 8 * rows;

        /// <summary>Whether all entries found room.</summary>
        public readonly bool Fit => Above <= Capacity && Below <= Capacity;
    }

    /// <summary>Takes a row apart: d to <paramref name="to"/>, the groups with some e to the lists.</summary>
    /// <param name="from">The row.</param>
    /// <param name="length">Bytes of it.</param>
    /// <param name="flip">Exclusive-or for every byte: 0x80 turns signed rows into unsigned ones.</param>
    /// <param name="c">c.</param>
    /// <param name="width">W, such that c + W ≤ 255.</param>
    /// <param name="to">Receives d with zeros to whole groups; up to <see cref="Slack"/> bytes more are overwritten.</param>
    /// <param name="row">Which row of the piece it is.</param>
    /// <param name="lists">Entries so far; if they no longer <see cref="Lists.Fit"/>, nothing else holds.</param>
    public static void Row(byte* from, int length, byte flip, int c, int width, byte* to, int row, ref Lists lists)
    {
        int* bounds = lists.Bounds + 4 * row;
        bounds[0] = lists.Above;
        bounds[2] = lists.FirstBelow + lists.Below;
        if (c == 0) Row<No>(from, length, flip, 0, width, to, row * PanelColumns, ref lists);
        else Row<Yes>(from, length, flip, c, width, to, row * PanelColumns, ref lists);
        bounds[1] = lists.Above;
        bounds[3] = lists.FirstBelow + lists.Below;
    }

    [MethodImpl(HotLoop.Optimized)]
    private static void Row<TBase>(byte* from, int length, byte flip, int c, int width, byte* to, int place, ref Lists lists) where TBase : struct, ISwitch
    {
        int* values = lists.Values, groups = lists.Groups, places = lists.Places;
        Vector256<byte> flips = Vector256.Create(flip), lowest = Vector256.Create((byte)c), highest = Vector256.Create((byte)(c + width)), largest = Vector256.Create((byte)width);
        Vector256<int> group = Vector256<int>.Indices, step = Vector256.Create(Lanes);
        byte* tail = stackalloc byte[32];
        int upper = lists.Above, firstBelow = lists.FirstBelow, lower = firstBelow + lists.Below, capacity = lists.Capacity;
        for (int k = 0; k < length; k += 32)
        {
            Vector256<byte> a;
            if (length - k >= 32)
            {
                a = Vector256.Load(from + k) ^ flips;
            }
            else
            {
                lowest.Store(tail);
                for (int i = k; i < length; i++) tail[i - k] = (byte)(from[i] ^ flip);
                a = Vector256.Load(tail);
            }
            Vector256<byte> d = TBase.On ? Avx2.SubtractSaturate(a, lowest) : a;
            Avx2.Min(d, largest).Store(to + k);
            Append(Avx2.SubtractSaturate(a, highest).AsInt32(), group, place, values, groups, places, ref upper);
            if (TBase.On) Append(Avx2.SubtractSaturate(lowest, a).AsInt32(), group, place, values, groups, places, ref lower);
            group += step;
            if (upper > capacity || lower > firstBelow + capacity) break;
        }
        lists.Above = upper;
        lists.Below = lower - firstBelow;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Append(Vector256<int> e, Vector256<int> group, int place, int* values, int* groups, int* places, ref int count)
    {
        uint mask = (uint)Avx.MoveMask(Avx2.CompareEqual(e, Vector256<int>.Zero).AsSingle()) ^ 0xFF;
        Vector256<int> order = Vector256.Load((int*)Compress.Pointer + mask * Lanes);
        Avx2.PermuteVar8x32(e, order).Store(values + count);
        Avx2.PermuteVar8x32(group, order).Store(groups + count);
        Vector256.Create(place).Store(places + count);
        count += BitOperations.PopCount(mask);
    }

    /// <summary>What the dense sums of every row start with: <paramref name="init"/> and the products of the listed groups.</summary>
    /// <param name="lists">The listed groups.</param>
    /// <param name="init">Starting values of 16 columns.</param>
    /// <param name="panel">The panel.</param>
    /// <param name="groups">Where the bytes of each group lie in it.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="starts">Receives <c>[rows][16]</c>.</param>
    [MethodImpl(HotLoop.Optimized)]
    public static void Start(in Lists lists, int* init, byte* panel, int* groups, int rows, int* starts)
    {
        Vector256<int> left = Vector256.Load(init), right = Vector256.Load(init + Lanes);
        for (nint row = 0; row < rows; row++)
        {
            left.Store(starts + row * PanelColumns);
            right.Store(starts + row * PanelColumns + Lanes);
        }
        Add<Yes>(lists, 0, lists.Above, panel, groups, starts);
        if (lists.Below > 0) Add<No>(lists, lists.FirstBelow, lists.Below, panel, groups, starts);
    }

    /// <summary>Adds the products of entries, or subtracts them. Neighbours mostly belong to one row and would wait for each other's sums, so four parts of the list take turns.</summary>
    [MethodImpl(HotLoop.Optimized)]
    private static void Add<TAdds>(in Lists lists, int first, int count, byte* panel, int* groups, int* starts) where TAdds : struct, ISwitch
    {
        int* values = lists.Values + first, listed = lists.Groups + first, places = lists.Places + first;
        nint part = count / 4, i = 0;
        for (; i < part; i++)
        {
            AddOne<TAdds>(values + i, panel + groups[listed[i]], starts + places[i]);
            AddOne<TAdds>(values + i + part, panel + groups[listed[i + part]], starts + places[i + part]);
            AddOne<TAdds>(values + i + 2 * part, panel + groups[listed[i + 2 * part]], starts + places[i + 2 * part]);
            AddOne<TAdds>(values + i + 3 * part, panel + groups[listed[i + 3 * part]], starts + places[i + 3 * part]);
        }
        for (i = 4 * part; i < count; i++) AddOne<TAdds>(values + i, panel + groups[listed[i]], starts + places[i]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddOne<TAdds>(int* value, byte* b, int* sums) where TAdds : struct, ISwitch
    {
        Vector256<int> e = QGemmPairTile256.Broadcast((byte*)value);
        Vector256<short> ones = Vector256.Create((short)1);
        Vector256<int> left = QGemmPairTile256.Pairs(e, Vector256.Load((int*)b), ones), right = QGemmPairTile256.Pairs(e, Vector256.Load((int*)b + Lanes), ones);
        (TAdds.On ? Vector256.Load(sums) + left : Vector256.Load(sums) - left).Store(sums);
        (TAdds.On ? Vector256.Load(sums + Lanes) + right : Vector256.Load(sums + Lanes) - right).Store(sums + Lanes);
    }

    /// <summary>The two dense parts: <c>a and 127</c> and <c>a and 128</c>, rows after rows.</summary>
    public static void Halves(byte* from, int length, int rowBytes, byte flip, byte* lower, byte* upper)
    {
        int k = 0;
        for (; k <= length - 32; k += 32)
        {
            Vector256<byte> a = Vector256.Load(from + k) ^ Vector256.Create(flip);
            (a & Vector256.Create((byte)127)).Store(lower + k);
            (a & Vector256.Create((byte)128)).Store(upper + k);
        }
        for (; k < length; k++)
        {
            lower[k] = (byte)((from[k] ^ flip) & 127);
            upper[k] = (byte)((from[k] ^ flip) & 128);
        }
        for (; k < rowBytes; k++) lower[k] = upper[k] = 0;
    }
}
