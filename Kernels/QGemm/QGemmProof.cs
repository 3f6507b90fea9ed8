using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Octet.Kernels.QGemm;

/// <summary>How much of a packed matrix is proved free of saturation when products are added in 16 bits.</summary>
/// <remarks>
/// VPMADDUBSW returns <c>saturate16(a₀·b₀ + a₁·b₁)</c> with 0 ≤ aᵢ ≤ A. The extremes of a sum of products over all activations are A times the positive and A times the
/// negative part of its weights, so a sum, and every sum of a part of it, fits 16 bits for every input when <c>A·Σ bᵢ⁺ ≤ 32767</c> and <c>A·Σ bᵢ⁻ ≥ −32768</c>. For A = 255
/// both parts may reach 128; for A = 127 they may reach 258, so that every pair of signed bytes is safe. A group of 4 depths is a proved pair when its two sums of two are
/// safe in every column of the panel; two groups are fours when their sums of four, two products from either, are.
/// </remarks>
/// <param name="Groups">Groups of all panels.</param>
/// <param name="Fours">Those that are one of two whose sums of four products are proved.</param>
/// <param name="Pairs">Those of which only sums of two products are proved.</param>
/// <param name="LargestActivation">A.</param>
internal readonly record struct QGemmProof(int Groups, int Fours, int Pairs, int LargestActivation)
{
    /// <summary>Groups that are multiplied as words.</summary>
    public int Words => Groups - Fours - Pairs;

    /// <summary>Share of groups multiplied as bytes; 1 for a matrix without groups.</summary>
    public double Share => Groups == 0 ? 1 : (double)(Fours + Pairs) / Groups;

    /// <summary>Share of groups in fours; 1 for a matrix without groups.</summary>
    public double FoursShare => Groups == 0 ? 1 : (double)Fours / Groups;

    /// <summary>Both together.</summary>
    public static QGemmProof operator +(QGemmProof a, QGemmProof b) =>
        new(a.Groups + b.Groups, a.Fours + b.Fours, a.Pairs + b.Pairs, Math.Max(a.LargestActivation, b.LargestActivation));

    /// <summary>Whether a pair of weights is safe with activations up to <paramref name="largestActivation"/>.</summary>
    public static bool IsSafe(int b0, int b1, int largestActivation) => IsSafe(b0, b1, 0, 0, largestActivation);

    /// <summary>Whether the sum of four products is safe.</summary>
    public static bool IsSafe(int b0, int b1, int b2, int b3, int largestActivation)
    {
        int positive = Math.Max(b0, 0) + Math.Max(b1, 0) + Math.Max(b2, 0) + Math.Max(b3, 0);
        int negative = Math.Min(b0, 0) + Math.Min(b1, 0) + Math.Min(b2, 0) + Math.Min(b3, 0);
        return positive * largestActivation <= short.MaxValue && negative * largestActivation >= short.MinValue;
    }

    /// <summary>Whether the two pairs of each column are safe.</summary>
    /// <param name="group">4 bytes per column.</param>
    /// <param name="largestActivation">A.</param>
    public static bool IsSafe(ReadOnlySpan<sbyte> group, int largestActivation)
    {
        int at = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            Vector128<short> mostPositive = Most(short.MaxValue, largestActivation), mostNegative = Most(-short.MinValue, largestActivation);
            for (; at <= group.Length - 16; at += 16)
            {
                Vector128<sbyte> w = Vector128.Create(group.Slice(at, 16));
                if (Vector128.GreaterThanAny(Positive(w), mostPositive) || Vector128.GreaterThanAny(Negative(w), mostNegative)) return false;
            }
        }
        for (; at < group.Length; at += 2)
            if (!IsSafe(group[at], group[at + 1], largestActivation)) return false;
        return true;
    }

    /// <summary>Whether two groups are fours: in every column, both sums of two products from either group are safe.</summary>
    public static bool AreSafe(ReadOnlySpan<sbyte> one, ReadOnlySpan<sbyte> other, int largestActivation)
    {
        int at = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            Vector128<short> mostPositive = Most(short.MaxValue, largestActivation), mostNegative = Most(-short.MinValue, largestActivation);
            for (; at <= one.Length - 16; at += 16)
            {
                Vector128<sbyte> w = Vector128.Create(one.Slice(at, 16)), v = Vector128.Create(other.Slice(at, 16));
                if (Vector128.GreaterThanAny(Positive(w) + Positive(v), mostPositive) || Vector128.GreaterThanAny(Negative(w) + Negative(v), mostNegative)) return false;
            }
        }
        for (; at < one.Length; at += 2)
            if (!IsSafe(one[at], one[at + 1], other[at], other[at + 1], largestActivation)) return false;
        return true;
    }

    /// <summary>The proofs of many groups against each other, from sums that are made once per group.</summary>
    /// <param name="largestActivation">A.</param>
    public readonly unsafe struct Limits(int largestActivation)
    {
        private readonly Vector128<short> _positive = Most(short.MaxValue, largestActivation), _negative = Most(-short.MinValue, largestActivation);

        /// <summary>Makes the sums of a group and says whether its pairs are safe.</summary>
        /// <param name="group">Its weights.</param>
        /// <param name="length">How many they are, a multiple of 16.</param>
        /// <param name="sums">Receives as many: of the positive and of the negative weights of each pair, by vectors.</param>
        public bool IsSafe(sbyte* group, int length, short* sums)
        {
            bool safe = true;
            for (int at = 0; at < length; at += 16, sums += 16)
            {
                Vector128<sbyte> w = Vector128.Load(group + at);
                Vector128<short> positive = Positive(w), negative = Negative(w);
                positive.Store(sums);
                negative.Store(sums + 8);
                safe &= !Vector128.GreaterThanAny(positive, _positive) && !Vector128.GreaterThanAny(negative, _negative);
            }
            return safe;
        }

        /// <summary>Whether two groups are fours.</summary>
        /// <param name="one">Sums of one.</param>
        /// <param name="other">Sums of the other.</param>
        /// <param name="length">As in <see cref="IsSafe"/>.</param>
        public bool AreSafe(short* one, short* other, int length)
        {
            for (int at = 0; at < length; at += 16)
            {
                Vector128<short> positive = Vector128.Load(one + at) + Vector128.Load(other + at), negative = Vector128.Load(one + at + 8) + Vector128.Load(other + at + 8);
                if ((Vector128.GreaterThan(positive, _positive) | Vector128.GreaterThan(negative, _negative)) != Vector128<short>.Zero) return false;
            }
            return true;
        }
    }

    /// <summary>Largest sum of weights of one sign whose products with activations stay within <paramref name="limit"/>; four weights never reach the largest short.</summary>
    private static Vector128<short> Most(int limit, int largestActivation) => Vector128.Create((short)Math.Min(short.MaxValue, limit / Math.Max(1, largestActivation)));

    /// <summary>Per pair of weights, the sum of the positive ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<short> Positive(Vector128<sbyte> weights) => PairSums(Vector128.Max(weights, Vector128<sbyte>.Zero).AsByte());

    /// <summary>Per pair of weights, the sum of the negative ones without its sign: −128 becomes the byte 128.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<short> Negative(Vector128<sbyte> weights) => PairSums((-Vector128.Min(weights, Vector128<sbyte>.Zero)).AsByte());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<short> PairSums(Vector128<byte> bytes) => ((bytes.AsUInt16() & Vector128.Create((ushort)byte.MaxValue)) + (bytes.AsUInt16() >>> 8)).AsInt16();
}
