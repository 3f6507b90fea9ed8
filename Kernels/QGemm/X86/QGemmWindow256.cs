using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Memory;

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

    /// <summary>How many entries the lists of <see cref="QGemmScratch"/> hold.</summary>
    public struct Lists
    {
        /// <summary>Groups with some e⁺, from the front.</summary>
        public int Above;

        /// <summary>Groups with some e⁻, behind the room for the others.</summary>
        public int Below;
    }

    /// <summary>Takes a row apart: d to <paramref name="to"/>, the groups with some e to the lists, their bounds to <paramref name="bounds"/>.</summary>
    /// <param name="from">The row.</param>
    /// <param name="length">Bytes of it.</param>
    /// <param name="flip">Exclusive-or for every byte: 0x80 turns signed rows into unsigned ones.</param>
    /// <param name="c">c.</param>
    /// <param name="width">W, such that c + W ≤ 255.</param>
    /// <param name="to">Receives d with zeros to whole groups; up to <see cref="Slack"/> bytes more are overwritten.</param>
    /// <param name="scratch">Room for the lists.</param>
    /// <param name="bounds">Receives first and end of e⁺, first and end of e⁻.</param>
    /// <param name="lists">Entries so far.</param>
    /// <returns>Whether they still fit.</returns>
    public static bool Row(byte* from, int length, byte flip, int c, int width, byte* to, in QGemmScratch scratch, int* bounds, ref Lists lists)
    {
        int capacity = scratch.Capacity, lower = capacity + Slack;
        bounds[0] = lists.Above;
        bounds[2] = lower + lists.Below;
        if (c == 0) Row<No>(from, length, flip, 0, width, to, scratch.Values, scratch.Listed, lower, ref lists, capacity);
        else Row<Yes>(from, length, flip, c, width, to, scratch.Values, scratch.Listed, lower, ref lists, capacity);
        bounds[1] = lists.Above;
        bounds[3] = lower + lists.Below;
        return lists.Above <= capacity && lists.Below <= capacity;
    }

    private interface IBase { static abstract bool IsAboveZero { get; } }

    private readonly struct Yes : IBase { public static bool IsAboveZero => true; }

    private readonly struct No : IBase { public static bool IsAboveZero => false; }

    [MethodImpl(HotLoop.Optimized)]
    private static void Row<TBase>(byte* from, int length, byte flip, int c, int width, byte* to, int* values, int* listed, int lowerPart, ref Lists lists, int capacity)
        where TBase : struct, IBase
    {
        int* lowerValues = values + lowerPart, lowerListed = listed + lowerPart;
        Vector256<byte> flips = Vector256.Create(flip), lowest = Vector256.Create((byte)c), highest = Vector256.Create((byte)(c + width)), largest = Vector256.Create((byte)width);
        Vector256<int> group = Vector256<int>.Indices, step = Vector256.Create(Lanes);
        byte* tail = stackalloc byte[32];
        int upper = lists.Above, lower = lists.Below;
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
            Vector256<byte> d = TBase.IsAboveZero ? Avx2.SubtractSaturate(a, lowest) : a;
            Avx2.Min(d, largest).Store(to + k);
            Append(Avx2.SubtractSaturate(a, highest).AsInt32(), group, values, listed, ref upper);
            if (TBase.IsAboveZero) Append(Avx2.SubtractSaturate(lowest, a).AsInt32(), group, lowerValues, lowerListed, ref lower);
            group += step;
            if (upper > capacity || lower > capacity) break;
        }
        lists.Above = upper;
        lists.Below = lower;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Append(Vector256<int> e, Vector256<int> group, int* values, int* listed, ref int count)
    {
        uint mask = (uint)Avx.MoveMask(Avx2.CompareEqual(e, Vector256<int>.Zero).AsSingle()) ^ 0xFF;
        Vector256<int> order = Vector256.Load((int*)Compress.Pointer + mask * Lanes);
        Avx2.PermuteVar8x32(e, order).Store(values + count);
        Avx2.PermuteVar8x32(group, order).Store(listed + count);
        count += BitOperations.PopCount(mask);
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
