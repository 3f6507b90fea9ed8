namespace Octet.Tests.Support;

/// <summary>Every tolerance that a test may use, with its reason. Integers have none.</summary>
internal static class Tolerance
{
    /// <summary>ε of float32: 2⁻²³.</summary>
    public const double Epsilon = 1.0 / (1 << 23);

    /// <summary>
    /// Float matrix product or convolution of depth k against double: <c>2·ε·(k+1)·max|a|·max|b|</c>. One addition chain of k + 1 terms
    /// (the bias is one) is off by at most ε/2·(k+1)·Σ|terms|; the factor covers what follows. Precedent: YNNPACK.
    /// </summary>
    public static double Gemm(int k, double maxA, double maxB) => 2 * Epsilon * (k + 1) * Math.Max(1e-30, maxA * maxB);

    /// <summary>
    /// The mean difference of the same, which a wrong element cannot hide in: random signs make errors grow with √k, and the bound keeps a
    /// margin of 4 over that.
    /// </summary>
    public static double GemmMean(int k, double maxA, double maxB) => 4 * Epsilon * Math.Sqrt(k + 1) * Math.Max(1e-30, maxA * maxB);

    /// <summary>
    /// A fused graph against the same graph step by step: every step rounds once more and the longest chain in the tests has fewer than 64 roundings of
    /// values no larger than a small multiple of the largest result, hence 64·ε of it; the mean difference is bounded by a quarter of that.
    /// </summary>
    public static void AssertFused(float[] actual, float[] expected)
    {
        double largest = expected.Select(value => Math.Abs((double)value)).DefaultIfEmpty(0).Max(), bound = 64 * Epsilon * Math.Max(largest, 1e-3);
        double[] differences = [.. expected.Zip(actual, (e, a) => Math.Abs((double)e - a))];
        Assert.That(differences.DefaultIfEmpty(0).Max(), Is.LessThanOrEqualTo(bound));
        Assert.That(differences.DefaultIfEmpty(0).Average(), Is.LessThanOrEqualTo(bound / 4));
    }

    /// <summary>Units in the last place between a float result and the exact value.</summary>
    public static double Ulps(float actual, double exact)
    {
        if (float.IsNaN(actual) || double.IsNaN(exact)) return float.IsNaN(actual) && double.IsNaN(exact) ? 0 : double.PositiveInfinity;
        float rounded = (float)exact;
        if (actual == rounded) return 0;
        if (float.IsInfinity(actual) || float.IsInfinity(rounded)) return double.PositiveInfinity;
        double unit = Math.Max(Math.Pow(2, Math.ILogB(Math.Max(Math.Abs(exact), 1e-300)) - 23), float.Epsilon);
        return Math.Abs(actual - exact) / unit;
    }
}
