namespace Octet.Kernels.Requantize;

/// <summary>The definition of the epilogue, one element at a time.</summary>
internal static class RequantizeReference
{
    /// <summary><c>clamp(round(t) + zeroPoint, low, high)</c>, half to even. Clamping first in float is the same, since the limits are integers, and keeps the conversion in range.</summary>
    public static int Quantize(float t, int zeroPoint, int low, int high) =>
        (int)MathF.Round(Math.Clamp(t, low - zeroPoint, high - zeroPoint), MidpointRounding.ToEven) + zeroPoint;

    /// <summary>A byte output from an accumulator that holds the bias; <paramref name="sum"/> is read only if the layer has a sum.</summary>
    public static byte ToUInt8(QEpilogue e, int acc, int channel, byte sum)
    {
        float t = acc * e.Multipliers[channel];
        if (e.Sum is { } s)
        {
            if (s.Intermediate is { } first) t = (Quantize(t, first.ZeroPoint, first.Low, first.High) - first.ZeroPoint) * first.Scale;
            float addend = (sum - s.ZeroPoint) * s.Scale;
            t += addend;
        }
        int q = Quantize(t, e.ZeroPoint, e.Low, e.High);
        return e.Table.Length == 0 ? (byte)q : e.Table[q];
    }

    /// <summary>A float output from an accumulator that holds the bias.</summary>
    public static float ToFloat32(QEpilogue e, int acc, int channel, float sum)
    {
        float t = acc * e.Multipliers[channel];
        if (e.Sum is not null) t += sum;
        t = e.LowFloat > t ? e.LowFloat : t;   // a NaN operand stays NaN, as in VMAXPS with t second
        return e.HighFloat < t ? e.HighFloat : t;
    }
}
