namespace Octet.Kernels.Requantize;

/// <summary>The definition of the epilogue, one element at a time.</summary>
internal static class RequantizeReference
{
    /// <summary><c>clamp(round(t) + zeroPoint, low, high)</c>, half to even. Clamping first in float is the same, since the limits are integers, and keeps the conversion in range.</summary>
    public static int Quantize(float t, int zeroPoint, int low, int high) =>
        (int)MathF.Round(Math.Clamp(t, low - zeroPoint, high - zeroPoint), MidpointRounding.ToEven) + zeroPoint;

    /// <summary>The part of a quantized sum that does not depend on its operands: <c>zy − (A·za + B·zb)</c>, as the one below in ONNX Runtime's order of rounding.</summary>
    public static float SumConstant(float scaleA, int zeroA, float scaleB, int zeroB, int zeroY) => zeroY - MathF.FusedMultiplyAdd(scaleA, zeroA, scaleB * zeroB);

    /// <summary>That of a layer with a sum operand.</summary>
    public static float SumConstant(QSum s, int zeroPoint)
    {
        (int zb, int zy) = (s.ZeroPoint + s.Shift, zeroPoint + s.OutputShift);
        return s.Intermediate switch
        {
            null => SumConstant(0, 0, s.Scale, zb, zy),
            { IsSecond: true } first => SumConstant(s.Scale, zb, first.Scale, first.ZeroPoint, zy),
            { } first => SumConstant(first.Scale, first.ZeroPoint, s.Scale, zb, zy),
        };
    }

    /// <summary>A quantized sum before it is rounded, zero point included: <c>a·A + (b·B + constant)</c>, two fused multiply-adds.</summary>
    public static float Sum(float a, float scaleA, float b, float scaleB, float constant) => MathF.FusedMultiplyAdd(a, scaleA, MathF.FusedMultiplyAdd(b, scaleB, constant));

    /// <summary>A byte output from an accumulator that holds the bias; <paramref name="sum"/> is read only if the layer has a sum.</summary>
    public static byte ToUInt8(QEpilogue e, int acc, int channel, byte sum)
    {
        float t = acc * e.Multipliers[channel];
        if (e.Sum is { } s)
        {
            QIntermediate? first = s.Intermediate;
            (float a, float scale) = first is null ? (acc, e.Multipliers[channel]) : (Quantize(t, first.ZeroPoint, first.Low, first.High), first.Scale);
            float b = sum + s.Shift;
            t = first is { IsSecond: true } ? Sum(b, s.Scale, a, scale, e.SumConstant) : Sum(a, scale, b, s.Scale, e.SumConstant);
        }
        int q = Quantize(t, e.Origin, e.Low, e.High);
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
