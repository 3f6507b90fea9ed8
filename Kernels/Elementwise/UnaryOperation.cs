namespace Octet.Kernels.Elementwise;

/// <summary>The float functions of one value that have a vector kernel. α and β are the kernel call's two constants.</summary>
internal enum UnaryOperation
{
    /// <summary><c>x</c>.</summary>
    Identity,

    /// <summary><c>max(x, 0)</c>; NaN stays NaN.</summary>
    Relu,

    /// <summary><c>min(max(x, α), β)</c>; NaN stays NaN, and α &gt; β gives β.</summary>
    Clip,

    /// <summary><c>x</c> for x ≥ 0, else <c>α·x</c>.</summary>
    LeakyRelu,

    /// <summary><c>x</c> for x &gt; α, else 0.</summary>
    ThresholdedRelu,

    /// <summary><c>1 / (1 + e⁻ˣ)</c>.</summary>
    Sigmoid,

    /// <summary><c>tanh x</c>.</summary>
    Tanh,

    /// <summary><c>min(max(α·x + β, 0), 1)</c>, the product and the sum rounded separately.</summary>
    HardSigmoid,

    /// <summary><c>x · min(max(x/6 + ½, 0), 1)</c>.</summary>
    HardSwish,

    /// <summary><c>x/2 · (1 + erf(x/√2))</c>.</summary>
    GeluErf,

    /// <summary><c>x/2 · (1 + tanh u) = x · sigmoid(2u)</c>, <c>u = √(2/π)·(x + 0.044715·x³)</c>.</summary>
    GeluTanh,

    /// <summary><c>x / (1 + e⁻ᵅˣ)</c>; α = 1 is SiLU.</summary>
    Swish,

    /// <summary><c>x</c> for x ≥ 0, else <c>α·(eˣ − 1)</c>.</summary>
    Elu,

    /// <summary><c>β·x</c> for x ≥ 0, else <c>β·α·(eˣ − 1)</c>.</summary>
    Selu,

    /// <summary><c>x</c> for x ≥ 0, else <c>α·(e^(x/α) − 1)</c>.</summary>
    Celu,

    /// <summary><c>ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|)</c>.</summary>
    Softplus,

    /// <summary><c>ln(1 / (1 + e^−x)) = min(x, 0) − ln(1 + e^−|x|)</c>.</summary>
    LogSigmoid,

    /// <summary><c>x / (1 + |x|)</c>.</summary>
    Softsign,

    /// <summary><c>x · tanh(ln(1 + eˣ)) = x · n(n + 2) / (n(n + 2) + 2)</c>, <c>n = eˣ</c>.</summary>
    Mish,

    /// <summary><c>|x|</c>.</summary>
    Abs,

    /// <summary><c>−x</c>.</summary>
    Negate,

    /// <summary><c>x²</c>.</summary>
    Square,

    /// <summary><c>√x</c>; NaN below 0.</summary>
    Sqrt,

    /// <summary><c>1 / x</c>.</summary>
    Reciprocal,

    /// <summary><c>eˣ</c>.</summary>
    Exp,

    /// <summary><c>ln x</c>.</summary>
    Log,

    /// <summary><c>erf x</c>.</summary>
    Erf,

    /// <summary>Largest integer not above x.</summary>
    Floor,

    /// <summary>Smallest integer not below x.</summary>
    Ceiling,

    /// <summary>Nearest integer, half to even.</summary>
    Round,

    /// <summary>−1, 0 or 1; NaN stays NaN.</summary>
    Sign,

    /// <summary><c>α·x + β</c>, the product and the sum rounded separately.</summary>
    Affine,
}
