using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Octet.Quantization.Calibration;

/// <summary>Natural logarithms of many float64 at a time. They have the same bits on every machine, which those of a platform's mathematics library have not.</summary>
/// <remarks>
/// x = 2ᵏ·(1 + f) with √½ ≤ 1 + f &lt; √2, s = f/(2 + f):
/// <code>
///   ln x = k·ln 2 + f − (f²/2 − s·(f²/2 + R(s²)))        R: a polynomial of degree 7
/// </code>
/// The error is below one unit in the last place. The method and its coefficients are those of fdlibm's e_log.c; multiplications and additions are not fused.
/// </remarks>
internal static class Logarithm
{
    private const double Ln2High = 6.93147180369123816490e-01, Ln2Low = 1.90821492927058770002e-10;

    /// <summary>Replaces every element by its logarithm.</summary>
    /// <param name="x">Positive normal numbers.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Replace(Span<double> x)
    {
        Span<Vector256<double>> vectors = MemoryMarshal.Cast<double, Vector256<double>>(x);
        for (int i = 0; i < vectors.Length; i++) vectors[i] = Of(vectors[i]);
        for (int i = vectors.Length * Vector256<double>.Count; i < x.Length; i++) x[i] = Of(Vector256.Create(x[i]))[0];
    }

    /// <summary>The logarithms of positive normal numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<double> Of(Vector256<double> x)
    {
        // Adding what lies between √½ and 1 moves the exponent up where the fraction is √2 or more.
        Vector256<long> bits = x.AsInt64() + Vector256.Create(0x3ff0000000000000L - 0x3fe6a09e667f3bcdL);
        Vector256<double> k = Vector256.ConvertToDouble((bits >> 52) - Vector256.Create(1023L));
        Vector256<double> f = ((bits & Vector256.Create(0x000fffffffffffffL)) + Vector256.Create(0x3fe6a09e667f3bcdL)).AsDouble() - Vector256<double>.One;
        Vector256<double> half = Vector256.Create(0.5) * f * f, s = f / (Vector256.Create(2.0) + f), z = s * s;
        Vector256<double> r = Vector256.Create(1.479819860511658591e-01);
        r = r * z + Vector256.Create(1.531383769920937332e-01);
        r = r * z + Vector256.Create(1.818357216161805012e-01);
        r = r * z + Vector256.Create(2.222219843214978396e-01);
        r = r * z + Vector256.Create(2.857142874366239149e-01);
        r = r * z + Vector256.Create(3.999999999940941908e-01);
        r = r * z + Vector256.Create(6.666666666666735130e-01);
        r *= z;
        return k * Vector256.Create(Ln2High) - ((half - (s * (half + r) + k * Vector256.Create(Ln2Low))) - f);
    }
}
