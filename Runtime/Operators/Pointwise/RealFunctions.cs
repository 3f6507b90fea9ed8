using System.Numerics;

namespace Octet.Runtime.Operators;

/// <summary><c>arccos x</c>.</summary>
internal readonly struct AcosFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Acos(x);
}

/// <summary><c>arcosh x</c>.</summary>
internal readonly struct AcoshFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Acosh(x);
}

/// <summary><c>arcsin x</c>.</summary>
internal readonly struct AsinFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Asin(x);
}

/// <summary><c>arsinh x</c>.</summary>
internal readonly struct AsinhFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Asinh(x);
}

/// <summary><c>arctan x</c>.</summary>
internal readonly struct AtanFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Atan(x);
}

/// <summary><c>artanh x</c>.</summary>
internal readonly struct AtanhFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Atanh(x);
}

/// <summary><c>⌈x⌉</c>.</summary>
internal readonly struct CeilingFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Ceiling(x);
}

/// <summary><c>cos x</c>.</summary>
internal readonly struct CosFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Cos(x);
}

/// <summary><c>cosh x</c>.</summary>
internal readonly struct CoshFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Cosh(x);
}

/// <summary><c>max(0, x) + min(0, α·(e^(x/α) − 1))</c>.</summary>
internal readonly struct CeluFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        x >= T.Zero ? x : alpha * T.ExpM1(x / alpha);
}

/// <summary><c>x for x ≥ 0, else α·(eˣ − 1)</c>.</summary>
internal readonly struct EluFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        x >= T.Zero ? x : alpha * T.ExpM1(x);
}

/// <summary><c>eˣ</c>.</summary>
internal readonly struct ExpFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Exp(x);
}

/// <summary><c>⌊x⌋</c>.</summary>
internal readonly struct FloorFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Floor(x);
}

/// <summary><c>max(0, min(1, α·x + β))</c>.</summary>
internal readonly struct HardSigmoidFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Clamp(alpha * x + beta, T.Zero, T.One);
}

/// <summary><c>x · max(0, min(1, x/6 + ½))</c>.</summary>
internal readonly struct HardSwishFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        x * T.Clamp(x / T.CreateTruncating(6) + T.CreateTruncating(0.5), T.Zero, T.One);
}

/// <summary><c>x for x ≥ 0, else α·x</c>.</summary>
internal readonly struct LeakyReluFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        x < T.Zero ? alpha * x : x;
}

/// <summary><c>ln x</c>.</summary>
internal readonly struct LogFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Log(x);
}

/// <summary><c>x · tanh(ln(1 + eˣ))</c>.</summary>
internal readonly struct MishFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        x * T.Tanh(SoftplusFunction.Invoke(x, alpha, beta));
}

/// <summary><c>1 / x</c>.</summary>
internal readonly struct ReciprocalFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.One / x;
}

/// <summary><c>the nearest integer, half to even</c>.</summary>
internal readonly struct RoundFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Round(x);
}

/// <summary><c>γ·x for x &gt; 0, else γ·(α·eˣ − α)</c>.</summary>
internal readonly struct SeluFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        x > T.Zero ? beta * x : beta * (alpha * T.ExpM1(x));
}

/// <summary><c>x + β for x &lt; −α, x − β for x &gt; α, else 0</c>.</summary>
internal readonly struct ShrinkFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        x < -alpha ? x + beta : x > alpha ? x - beta : T.Zero;
}

/// <summary><c>1 / (1 + e⁻ˣ)</c>.</summary>
internal readonly struct SigmoidFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        x >= T.Zero ? T.One / (T.One + T.Exp(-x)) : T.Exp(x) / (T.One + T.Exp(x));
}

/// <summary><c>sin x</c>.</summary>
internal readonly struct SinFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Sin(x);
}

/// <summary><c>sinh x</c>.</summary>
internal readonly struct SinhFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Sinh(x);
}

/// <summary><c>ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|)</c>.</summary>
internal readonly struct SoftplusFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Max(x, T.Zero) + T.LogP1(T.Exp(-T.Abs(x)));
}

/// <summary><c>x / (1 + |x|)</c>.</summary>
internal readonly struct SoftsignFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        x / (T.One + T.Abs(x));
}

/// <summary><c>√x</c>.</summary>
internal readonly struct SqrtFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Sqrt(x);
}

/// <summary><c>x · sigmoid(α·x)</c>.</summary>
internal readonly struct SwishFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        x * SigmoidFunction.Invoke(alpha * x, alpha, beta);
}

/// <summary><c>tan x</c>.</summary>
internal readonly struct TanFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Tan(x);
}

/// <summary><c>tanh x</c>.</summary>
internal readonly struct TanhFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        T.Tanh(x);
}

/// <summary><c>x for x &gt; α, else 0</c>.</summary>
internal readonly struct ThresholdedReluFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        x > alpha ? x : T.Zero;
}

/// <summary><c>x/2 · (1 + erf(x/√2))</c>.</summary>
internal readonly struct GeluErfFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        x * T.CreateTruncating(0.5) * (T.One + ErfFunction.Invoke(x * T.CreateTruncating(0.70710678118654752), alpha, beta));
}

/// <summary><c>x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³)))</c>.</summary>
internal readonly struct GeluTanhFunction : IRealFunction
{
    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> =>
        x * T.CreateTruncating(0.5) * (T.One + T.Tanh(T.CreateTruncating(0.79788456080286536) * (x + T.CreateTruncating(0.044715) * x * x * x)));
}

/// <summary>erf x = 2/√π · ∫₀ˣ e^(−t²) dt, computed in float64; absolute error below 1e-15.</summary>
/// <remarks>
/// Below 2.5: the series <c>2/√π · e^(−x²) · Σₙ 2ⁿ·x^(2n+1) / (1·3·…·(2n+1))</c>, all of whose terms are positive (Abramowitz and Stegun 7.1.6).
/// Above: <c>1 − erfc(x)</c> with the continued fraction 7.1.14 of the same, 40 levels deep.
/// </remarks>
internal readonly struct ErfFunction : IRealFunction
{
    private const double TwoOverRootPi = 1.1283791670955126, SeriesLimit = 2.5, One = 6.0;
    private const int Levels = 40;

    public static T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T> => T.CreateTruncating(Erf(double.CreateTruncating(x)));

    private static double Erf(double x)
    {
        if (double.IsNaN(x)) return x;
        double magnitude = Math.Abs(x);
        if (magnitude >= One) return Math.Sign(x);
        double result;
        if (magnitude < SeriesLimit)
        {
            double term = magnitude, sum = magnitude;
            for (int n = 1; term > 1e-17 * sum; n++)
            {
                term *= 2 * magnitude * magnitude / (2 * n + 1);
                sum += term;
            }
            result = TwoOverRootPi * Math.Exp(-magnitude * magnitude) * sum;
        }
        else
        {
            double fraction = 0;
            for (int k = Levels; k >= 1; k--) fraction = k / 2.0 / (magnitude + fraction);
            result = 1 - Math.Exp(-magnitude * magnitude) / ((magnitude + fraction) * Math.Sqrt(Math.PI));
        }
        return Math.CopySign(result, x);
    }
}
