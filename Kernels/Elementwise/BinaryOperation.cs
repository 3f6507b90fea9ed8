namespace Octet.Kernels.Elementwise;

/// <summary>The float functions of two values that have a vector kernel.</summary>
internal enum BinaryOperation
{
    /// <summary><c>a + b</c>.</summary>
    Add,

    /// <summary><c>a − b</c>.</summary>
    Subtract,

    /// <summary><c>a · b</c>.</summary>
    Multiply,

    /// <summary><c>a / b</c>.</summary>
    Divide,

    /// <summary><c>max(a, b)</c>; NaN if either is.</summary>
    Max,

    /// <summary><c>min(a, b)</c>; NaN if either is.</summary>
    Min,

    /// <summary><c>a</c> for a ≥ 0, else <c>a · b</c>.</summary>
    PRelu,

    /// <summary><c>(a − b)²</c>.</summary>
    SquaredDifference,
}
