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

    /// <summary>Whether the two pairs of each of <paramref name="columns"/> columns, 4 bytes each, are safe.</summary>
    public static unsafe bool IsSafe(sbyte* group, int columns, int largestActivation)
    {
        for (int n = 0; n < columns; n++, group += 4)
            if (!IsSafe(group[0], group[1], largestActivation) || !IsSafe(group[2], group[3], largestActivation)) return false;
        return true;
    }

    /// <summary>Whether two groups are fours: in every column, both sums of two products from either group are safe.</summary>
    public static unsafe bool AreSafe(sbyte* one, sbyte* other, int columns, int largestActivation)
    {
        for (int n = 0; n < columns; n++, one += 4, other += 4)
        {
            if (!IsSafe(one[0], one[1], other[0], other[1], largestActivation) || !IsSafe(one[2], one[3], other[2], other[3], largestActivation)) return false;
        }
        return true;
    }
}
