using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise;

/// <summary>Transcendental functions in lanes. Each states its error against the exact value; the tests measure it against double.</summary>
/// <remarks>
/// Polynomials interpolate at the Chebyshev nodes of the interval given beside them, computed with 60 digits. NaN gives NaN.
/// </remarks>
internal readonly struct Functions<TLanes, V> where TLanes : struct, ILanes<V> where V : unmanaged
{
    private const float Log2E = 1.44269504f;

    // ln 2 in two parts: the first has trailing zero bits enough that n · Ln2High is exact for every exponent n.
    private const float Ln2High = 0.693359375f, Ln2Low = -2.12194440e-4f;

    private const int SignBit = int.MinValue;

    /// <summary><c>|x|</c>; clears the sign bit, of NaN too.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Abs(V x) => TLanes.And(x, TLanes.CreateBits(int.MaxValue));

    /// <summary><c>−x</c>; flips the sign bit, of NaN too.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Negate(V x) => TLanes.Xor(x, TLanes.CreateBits(SignBit));

    /// <summary><c>|magnitude|</c> with the sign of <paramref name="sign"/>; magnitude is not negative.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V WithSign(V magnitude, V sign) =>
        TLanes.Or(magnitude, TLanes.And(sign, TLanes.CreateBits(SignBit)));

    /// <summary><c>a · x + b</c> with a constant b.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Step(V a, V x, float b) => TLanes.MultiplyAdd(a, x, TLanes.Create(b));

    /// <summary>Splits <c>x = n · ln 2 + r</c>, <c>|r| ≤ ln 2 / 2</c>, and returns <c>(eʳ − 1)</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V ReduceExp(V x, out V n)
    {
        // Adding 1.5·2²³ leaves no fraction bits: the sum is rounded to an integer, half to even.
        V shift = TLanes.Create(12582912f);
        n = TLanes.Subtract(TLanes.MultiplyAdd(x, TLanes.Create(Log2E), shift), shift);
        V r = TLanes.MultiplyAdd(n, TLanes.Create(-Ln2High), x);
        r = TLanes.MultiplyAdd(n, TLanes.Create(-Ln2Low), r);

        // (eʳ − 1 − r) / r² on |r| ≤ 0.34671, error 6.5e-8, which r² makes 8e-9
        V p = TLanes.Create(0.00139267409f);
        p = Step(p, r, 0.00836318752f);
        p = Step(p, r, 0.0416665496f);
        p = Step(p, r, 0.166665769f);
        p = Step(p, r, 0.5f);
        return TLanes.MultiplyAdd(TLanes.Multiply(r, r), p, r);
    }

    /// <summary><c>eˣ</c>, at most 2 units in the last place (2⁻¹⁴⁹ where the result is subnormal); 0 below −104, ∞ above 88.73.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp(V x)
    {
        x = TLanes.Min(TLanes.Create(90f), TLanes.Max(TLanes.Create(-105f), x));
        V p = TLanes.Add(ReduceExp(x, out V n), TLanes.Create(1f));
        return TLanes.ScaleByPowerOfTwo(p, n);
    }

    /// <summary><c>eˣ</c> for x in [−105, 88] or NaN: <see cref="Exp"/> without its limits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V ExpInRange(V x)
    {
        V p = TLanes.Add(ReduceExp(x, out V n), TLanes.Create(1f));
        return TLanes.ScaleByPowerOfTwo(p, n);
    }

    /// <summary><c>eˣ</c> for x ≤ 0 or NaN, as <see cref="Exp"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V ExpOfNegative(V x) => ExpInRange(TLanes.Max(TLanes.Create(-105f), x));

    /// <summary><c>eˣ − 1</c>, at most 3 units in the last place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V ExpMinusOne(V x)
    {
        x = TLanes.Min(TLanes.Create(90f), TLanes.Max(TLanes.Create(-30f), x));
        V p = ReduceExp(x, out V n);
        V one = TLanes.Create(1f);
        // 2ⁿ·(eʳ − 1) + (2ⁿ − 1); the second term is 0 for n = 0, which keeps small x exact. 2¹²⁸ would overflow before p < 0 brings it back.
        V half = TLanes.ScaleByPowerOfTwo(one, TLanes.Subtract(n, one));
        V y = TLanes.MultiplyAdd(half, p, TLanes.Subtract(half, TLanes.Create(0.5f)));
        return TLanes.Add(y, y);
    }

    /// <summary><c>ln x</c>, at most 2 units in the last place; −∞ at 0, NaN below, ∞ at ∞.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Log(V x)
    {
        // Subnormals are scaled by 2²⁴ into the normal range and the exponent is put right.
        V small = TLanes.LessThan(x, TLanes.Create(1.17549435e-38f));
        V scaled = TLanes.Select(small, TLanes.Multiply(x, TLanes.Create(16777216f)), x);

        // m in [√½, √2): the exponent of x/√½ relative to the bits of √½.
        V root = TLanes.CreateBits(0x3F3504F3);
        V shifted = TLanes.SubtractBits(scaled, TLanes.SubtractBits(root, TLanes.Create(1f)));
        V e = TLanes.Exponent(shifted);
        V m = TLanes.SubtractBits(scaled, TLanes.SubtractBits(TLanes.And(shifted, TLanes.CreateBits(0x7F800000)), TLanes.Create(1f)));
        e = TLanes.Subtract(e, TLanes.And(small, TLanes.Create(24f)));

        V f = TLanes.Subtract(m, TLanes.Create(1f));
        // (ln(1 + f) − f + f²/2) / f³ on [√½ − 1, √2 − 1], error 2.7e-8
        V p = TLanes.Create(0.0697161147f);
        p = Step(p, f, -0.114797338f);
        p = Step(p, f, 0.116854199f);
        p = Step(p, f, -0.124256873f);
        p = Step(p, f, 0.142490576f);
        p = Step(p, f, -0.166678023f);
        p = Step(p, f, 0.200007157f);
        p = Step(p, f, -0.24999997f);
        p = Step(p, f, 0.333333312f);
        V f2 = TLanes.Multiply(f, f);
        V y = TLanes.MultiplyAdd(TLanes.Multiply(f2, f), p, TLanes.Multiply(e, TLanes.Create(Ln2Low)));
        y = TLanes.MultiplyAdd(f2, TLanes.Create(-0.5f), y);
        y = TLanes.Add(y, f);
        y = TLanes.MultiplyAdd(e, TLanes.Create(Ln2High), y);

        V zero = TLanes.Create(0f), infinity = TLanes.Create(float.PositiveInfinity);
        y = TLanes.Select(TLanes.LessThan(x, infinity), y, x);   // ∞ and NaN
        y = TLanes.Select(TLanes.Equals(x, zero), TLanes.Create(float.NegativeInfinity), y);
        return TLanes.Select(TLanes.LessThan(x, zero), TLanes.Create(float.NaN), y);
    }

    /// <summary><c>ln(1 + u)</c> for u ≥ 0, at most 3 units in the last place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V LogOnePlus(V u)
    {
        // w = 1 + u rounds; ln u′ with u′ = w − 1 is put right by the first-order term (u − u′)/w.
        V one = TLanes.Create(1f);
        V w = TLanes.Add(u, one);
        V lost = TLanes.Subtract(u, TLanes.Subtract(w, one));
        return TLanes.Add(Log(w), TLanes.Divide(lost, w));
    }

    /// <summary><c>tanh x</c>, at most 4 units in the last place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Tanh(V x)
    {
        // e = e²ᵗ − 1, tanh t = e / (e + 2); above t = 10 the quotient rounds to 1.
        V t = TLanes.Min(TLanes.Create(20f), Abs(TLanes.Add(x, x)));
        V p = ReduceExp(t, out V n);
        V power = TLanes.ScaleByPowerOfTwo(TLanes.Create(1f), n);
        V e = TLanes.MultiplyAdd(power, p, TLanes.Subtract(power, TLanes.Create(1f)));
        return WithSign(TLanes.Divide(e, TLanes.Add(e, TLanes.Create(2f))), x);
    }

    /// <summary><c>1 / (1 + e⁻ˣ)</c>, at most 4 units in the last place; computed as <c>eˣ / (1 + eˣ)</c> below 0, where e⁻ˣ may overflow.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Sigmoid(V x)
    {
        V one = TLanes.Create(1f);
        V e = ExpOfNegative(TLanes.Or(x, TLanes.CreateBits(SignBit)));
        return TLanes.Divide(TLanes.Select(TLanes.LessThan(x, TLanes.Create(0f)), e, one), TLanes.Add(one, e));
    }

    /// <summary><c>erf x</c>, at most 4 units in the last place.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Erf(V x)
    {
        V t = TLanes.Min(TLanes.Create(4f), Abs(x));   // erf 4 rounds to 1
        V s = TLanes.Multiply(t, t);
        // erf x / x in x² on [0, 1], error 1.2e-9
        V p = TLanes.Create(7.87587506e-05f);
        p = Step(p, s, -0.000801686429f);
        p = Step(p, s, 0.00518908742f);
        p = Step(p, s, -0.026854212f);
        p = Step(p, s, 0.112835947f);
        p = Step(p, s, -0.376126267f);
        p = Step(p, s, 1.12837917f);
        V near = TLanes.Multiply(p, x);

        // ln erfc t on [1, 4], error 1.7e-8
        V q = TLanes.Create(1.63715141e-06f);
        q = Step(q, t, -4.60580427e-05f);
        q = Step(q, t, 0.000596805626f);
        q = Step(q, t, -0.00475959629f);
        q = Step(q, t, 0.026421136f);
        q = Step(q, t, -0.110080083f);
        q = Step(q, t, -0.631826052f);
        q = Step(q, t, -1.13023343f);
        q = Step(q, t, 0.00032013805f);
        V far = TLanes.Subtract(TLanes.Create(1f), ExpInRange(q));
        return TLanes.Select(TLanes.LessThan(t, TLanes.Create(1f)), near, WithSign(far, x));
    }
}
