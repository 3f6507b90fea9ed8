using System.Numerics;

namespace Octet.Runtime.Operators;

/// <summary>The definition of linear quantization, for every grid and type.</summary>
internal static class LinearQuantization
{
    /// <summary><c>clamp(roundHalfEven(x / scale) + zeroPoint, low, high)</c>; NaN gives the zero point.</summary>
    public static int Quantize(float x, float scale, int zeroPoint, int low, int high) => Round(x / scale, zeroPoint, low, high);

    /// <summary><c>clamp(roundHalfEven(steps) + zeroPoint, low, high)</c>; NaN gives the zero point.</summary>
    public static int Round(float steps, int zeroPoint, int low, int high)
    {
        if (float.IsNaN(steps)) return Math.Clamp(zeroPoint, low, high);
        // The limits are integers, so clamping before rounding gives the same and keeps the conversion in range.
        return (int)MathF.Round(Math.Clamp(steps, low - zeroPoint, high - zeroPoint), MidpointRounding.ToEven) + zeroPoint;
    }

    /// <summary><c>clamp(roundHalfEven(float(acc) · multiplier) + zeroPoint, low, high)</c>; a multiplier that is no number gives the zero point.</summary>
    public static int Requantize(int acc, float multiplier, int zeroPoint, int low, int high) => Round(acc * multiplier, zeroPoint, low, high);

    /// <summary>Quantizes a tensor.</summary>
    /// <param name="x">Real values.</param>
    /// <param name="scale">Scales, as <paramref name="grid"/> counts them.</param>
    /// <param name="zeroPoint">As many as scales, or empty for 0.</param>
    /// <param name="grid">Which scale belongs to which element.</param>
    /// <param name="range">Limits of the quantized type.</param>
    /// <param name="y">Receives one element per element of <paramref name="x"/>.</param>
    public static void Quantize<TQ>(ReadOnlySpan<float> x, ReadOnlySpan<float> scale, ReadOnlySpan<TQ> zeroPoint, QuantizationGrid grid, QuantizedRange range, Span<TQ> y)
        where TQ : unmanaged, IBinaryInteger<TQ>
    {
        int at = 0, step = grid.Block == 0 ? 0 : 1;
        for (int outer = 0; outer < grid.Outer; outer++)
        {
            for (int position = 0; position < grid.Extent; position++)
            {
                int first = grid.ScaleOfRun(outer, position);
                for (int inner = 0; inner < grid.Inner; inner++, at++)
                {
                    int index = first + inner * step;
                    int zero = zeroPoint.Length == 0 ? 0 : int.CreateTruncating(zeroPoint[index]);
                    y[at] = TQ.CreateTruncating(Quantize(x[at], scale[index], zero, range.Low, range.High));
                }
            }
        }
    }

    /// <summary>Dequantizes a tensor: <c>(q − zeroPoint) · scale</c>, the difference modulo 2³².</summary>
    /// <param name="q">Quantized values.</param>
    /// <param name="scale">Scales, as <paramref name="grid"/> counts them.</param>
    /// <param name="zeroPoint">As many as scales, or empty for 0.</param>
    /// <param name="grid">Which scale belongs to which element.</param>
    /// <param name="y">Receives one element per element of <paramref name="q"/>.</param>
    public static void Dequantize<TQ>(ReadOnlySpan<TQ> q, ReadOnlySpan<float> scale, ReadOnlySpan<TQ> zeroPoint, QuantizationGrid grid, Span<float> y)
        where TQ : unmanaged, IBinaryInteger<TQ>
    {
        int at = 0, step = grid.Block == 0 ? 0 : 1;
        for (int outer = 0; outer < grid.Outer; outer++)
        {
            for (int position = 0; position < grid.Extent; position++)
            {
                int first = grid.ScaleOfRun(outer, position);
                for (int inner = 0; inner < grid.Inner; inner++, at++)
                {
                    int index = first + inner * step;
                    int zero = zeroPoint.Length == 0 ? 0 : int.CreateTruncating(zeroPoint[index]);
                    y[at] = unchecked(int.CreateTruncating(q[at]) - zero) * scale[index];
                }
            }
        }
    }
}
