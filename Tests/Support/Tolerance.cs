using Octet.Kernels.SConv;

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
    /// Winograd's convolution of c channels against double: <c>ε/2 · (c + 24) · c · A² · max|a| · max|b|</c>. Each term of an output is a product of one entry each of Aᵀ, G·g and Bᵀ·d
    /// per axis; A² sums their magnitudes over both axes. It is rounded once as a weight, at most 4 times per axis on its way in, c + 1 times in the sum over channels,
    /// at most 6 times per axis on its way out, and once with the bias: fewer than c + 24.
    /// </summary>
    public static double Winograd(int c, double amplification, double maxA, double maxB) => Epsilon / 2 * (c + 24) * c * amplification * amplification * maxA * maxB;

    /// <summary>The mean difference of the same: roundings of random sign add up as roots, and no term is all of its bound; so ε · √c · A, which the transforms' own roundings dominate.</summary>
    public static double WinogradMean(int c, double amplification, double maxA, double maxB) => Epsilon * Math.Sqrt(c) * amplification * maxA * maxB;

    /// <summary>A of <see cref="Winograd"/>: the largest over outputs i of <c>Σ over p |Aᵀ[i,p]| · Σ|G[p]| · Σ|Bᵀ[p]|</c>.</summary>
    public static double Amplification<TTile>() where TTile : struct, IWinogradTile
    {
        double largest = 0;
        for (int i = 0; i < TTile.Outputs; i++)
        {
            double sum = 0;
            for (int p = 0; p < TTile.Inputs; p++)
            {
                double weights = 0, inputs = 0;
                for (int k = 0; k < 3; k++) weights += Math.Abs(TTile.WeightTransform[3 * p + k]);
                for (int k = 0; k < TTile.Inputs; k++) inputs += Math.Abs(TTile.InputTransform[TTile.Inputs * p + k]);
                sum += Math.Abs(TTile.OutputTransform[TTile.Inputs * i + p]) * weights * inputs;
            }
            largest = Math.Max(largest, sum);
        }
        return largest;
    }

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

    /// <summary>
    /// One operator against ONNX Runtime, as a share of the output's largest magnitude: both compute in float32, sum in different orders and
    /// approximate exp and tanh differently, a few units in the last place per step of at most some hundred.
    /// </summary>
    public const float PeerRelative = 2e-5f;

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

    /// <summary>Units in the last place that a transcendental kernel may be off, as its documentation states.</summary>
    public static class FunctionUlps
    {
        /// <summary>Exponential and logarithm.</summary>
        public const double Exp = 2, Log = 2;

        /// <summary>e^x − 1, ln(1 + e^x): one function more inside.</summary>
        public const double ExpMinusOne = 3, Softplus = 4;

        /// <summary>tanh, sigmoid and erf.</summary>
        public const double Tanh = 4, Sigmoid = 4, Erf = 4;

        /// <summary>One IEEE operation each: the rounded exact value.</summary>
        public const double Exact = 0.5;

        /// <summary>Two IEEE operations in a row.</summary>
        public const double TwoOperations = 1.5;
    }

    /// <summary>Activations built of a factor that may cancel (GELU, Swish, Mish …), absolute: 4·ε of max(1, |x|).</summary>
    public static double Activation(double x) => 4 * Epsilon * Math.Max(1, Math.Abs(x));

    /// <summary>A sum of n floats in float32 lanes: <c>ε·n·max|x|</c>, generous beside the lanes' shorter chains.</summary>
    public static double Sum(int n, double max) => Epsilon * (n + 1) * max;

    /// <summary>A softmax element, relative: 6 units in the last place, the sum's chain, and the rounding of x − max, which the exponential makes relative.</summary>
    public static double Softmax(int n, double spread) => Epsilon * (6 + n / 2.0 + spread);

    /// <summary>A normalized element: mean and variance are each a sum of n, so the relative error is that of a sum; values are of order √n at most.</summary>
    public static double Normalized(int n) => 8 * Epsilon * (n + 4);
}
