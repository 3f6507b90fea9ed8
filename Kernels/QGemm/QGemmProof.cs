namespace Octet.Kernels.QGemm;

/// <summary>How much of a packed matrix is proved free of saturation when adjacent products are added in 16 bits.</summary>
/// <remarks>
/// VPMADDUBSW returns <c>saturate16(a₀·b₀ + a₁·b₁)</c> with 0 ≤ aᵢ ≤ A. Its extremes over all activations are A times the positive and A times the negative part
/// of the pair of weights, so it is exact for every input when <c>A·(b₀⁺ + b₁⁺) ≤ 32767</c> and <c>A·(b₀⁻ + b₁⁻) ≥ −32768</c>. For A = 255 both parts may reach 128;
/// for A = 127 every pair of signed bytes is safe. A group is proved when its two pairs are, in every column of the panel.
/// </remarks>
/// <param name="Groups">Groups of all panels.</param>
/// <param name="Proved">Those that are proved.</param>
/// <param name="LargestActivation">A.</param>
internal readonly record struct QGemmProof(int Groups, int Proved, int LargestActivation)
{
    /// <summary>Share of proved groups; 1 for a matrix without groups.</summary>
    public double Share => Groups == 0 ? 1 : (double)Proved / Groups;

    /// <summary>Whether a pair of weights is safe with activations up to <paramref name="largestActivation"/>.</summary>
    public static bool IsSafe(int b0, int b1, int largestActivation)
    {
        int positive = Math.Max(b0, 0) + Math.Max(b1, 0), negative = Math.Min(b0, 0) + Math.Min(b1, 0);
        return positive * largestActivation <= short.MaxValue && negative * largestActivation >= short.MinValue;
    }

    /// <summary>Whether the two pairs of each of <paramref name="columns"/> columns, 4 bytes each, are safe.</summary>
    public static unsafe bool IsSafe(sbyte* group, int columns, int largestActivation)
    {
        for (int n = 0; n < columns; n++, group += 4)
            if (!IsSafe(group[0], group[1], largestActivation) || !IsSafe(group[2], group[3], largestActivation)) return false;
        return true;
    }
}
