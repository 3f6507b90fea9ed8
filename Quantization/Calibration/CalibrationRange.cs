namespace Octet.Quantization.Calibration;

/// <summary>The range of real values that a tensor's quantized form should cover. Both ends are finite and <c>Min ≤ Max</c>.</summary>
/// <param name="Min">Least value.</param>
/// <param name="Max">Greatest value.</param>
public readonly record struct CalibrationRange(float Min, float Max)
{
    /// <summary>The greatest magnitude in the range.</summary>
    public float MaxAbs => MathF.Max(MathF.Abs(Min), MathF.Abs(Max));

    /// <summary>The smallest range that contains both.</summary>
    public CalibrationRange Union(CalibrationRange other) => new(MathF.Min(Min, other.Min), MathF.Max(Max, other.Max));
}
