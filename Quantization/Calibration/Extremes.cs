using System.Numerics;
using System.Runtime.InteropServices;

namespace Octet.Quantization.Calibration;

/// <summary>The least and greatest element of a span; NaN if any element is NaN.</summary>
internal static class Extremes
{
    /// <summary>Extremes of a span that is not empty.</summary>
    public static (float Min, float Max) Of(ReadOnlySpan<float> x)
    {
        float min = x[0], max = x[0];
        int i = 0;
        if (x.Length >= Vector<float>.Count)
        {
            // Vector.Min and Max give NaN for a NaN operand, as MathF.Min and Max do.
            ReadOnlySpan<Vector<float>> vectors = MemoryMarshal.Cast<float, Vector<float>>(x);
            Vector<float> low = vectors[0], high = vectors[0];
            foreach (Vector<float> v in vectors)
            {
                low = Vector.Min(low, v);
                high = Vector.Max(high, v);
            }
            for (int lane = 0; lane < Vector<float>.Count; lane++)
            {
                min = MathF.Min(min, low[lane]);
                max = MathF.Max(max, high[lane]);
            }
            i = vectors.Length * Vector<float>.Count;
        }
        for (; i < x.Length; i++)
        {
            min = MathF.Min(min, x[i]);
            max = MathF.Max(max, x[i]);
        }
        return (min, max);
    }
}
