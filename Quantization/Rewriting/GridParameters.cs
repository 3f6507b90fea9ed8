using Octet.Quantization.Calibration;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Rewriting;

/// <summary>Scale, zero point and type of a quantized activation: <c>real = Scale · (q − ZeroPoint)</c>.</summary>
/// <param name="Scale">Real units per step; finite and positive.</param>
/// <param name="ZeroPoint">The integer that represents real 0 exactly.</param>
/// <param name="Type">int8 or uint8.</param>
internal readonly record struct GridParameters(float Scale, int ZeroPoint, DataType Type)
{
    /// <summary>The least positive scale: the least normal float32, so that a division by it neither overflows for values in range nor loses bits.</summary>
    public const float LeastScale = 1.17549435e-38f;

    /// <summary>
    /// The grid for a range. int8: <c>Scale = max|x| / 127</c>, zero point 0. uint8: the range widened to contain 0, <c>Scale = (max − min) / 255</c>,
    /// <c>ZeroPoint = round(−min / Scale)</c>. Auto: uint8 where no value is negative, else the int8 grid as uint8 with zero point 128. A zero range gets scale 1.
    /// </summary>
    public static GridParameters For(CalibrationRange range, ActivationType type)
    {
        if (type == ActivationType.Int8) return new GridParameters(Step(range.MaxAbs, 127), 0, DataType.Int8);
        if (type == ActivationType.Auto && range.Min < 0) return new GridParameters(Step(range.MaxAbs, 127), 128, DataType.UInt8);
        float min = MathF.Min(0, range.Min), max = MathF.Max(0, range.Max);
        float scale = Step((double)max - min, 255);
        return new GridParameters(scale, (int)Math.Clamp(Math.Round(-min / (double)scale), 0, 255), DataType.UInt8);
    }

    /// <summary>The least and the greatest real value of the grid; the int8 grid is symmetric however it is stored.</summary>
    public (double Least, double Greatest) Ends => Type == DataType.Int8 || ZeroPoint == 128 ? (-127.0 * Scale, 127.0 * Scale) : (-(double)ZeroPoint * Scale, (255.0 - ZeroPoint) * Scale);

    /// <summary>The width of one of <paramref name="steps"/> steps over a span; 1 where the span is zero.</summary>
    public static float Step(double span, int steps) => span == 0 ? 1 : MathF.Max((float)(span / steps), LeastScale);
}
