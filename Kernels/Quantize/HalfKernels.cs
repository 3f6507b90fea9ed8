namespace Octet.Kernels.Quantize;

/// <summary>float16 and bfloat16 to and from float32; widening is exact, narrowing rounds half to even and keeps NaN a NaN.</summary>
internal static class HalfKernels
{
    /// <summary>float16 → float32.</summary>
    public static void Widen(ReadOnlySpan<Half> x, Span<float> y)
    {
        Require(x.Length, y.Length);
        for (int i = 0; i < x.Length; i++) y[i] = (float)x[i];
    }

    /// <summary>float32 → float16; magnitudes of 65520 and above give infinity.</summary>
    public static void Narrow(ReadOnlySpan<float> x, Span<Half> y)
    {
        Require(x.Length, y.Length);
        for (int i = 0; i < x.Length; i++) y[i] = (Half)x[i];
    }

    /// <summary>bfloat16 bits → float32: the upper half of the float.</summary>
    public static void WidenBFloat16(ReadOnlySpan<ushort> x, Span<float> y)
    {
        Require(x.Length, y.Length);
        for (int i = 0; i < x.Length; i++) y[i] = BitConverter.UInt32BitsToSingle((uint)x[i] << 16);
    }

    /// <summary>float32 → bfloat16 bits.</summary>
    public static void NarrowBFloat16(ReadOnlySpan<float> x, Span<ushort> y)
    {
        Require(x.Length, y.Length);
        const uint quiet = 0x0040;
        for (int i = 0; i < x.Length; i++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(x[i]);
            // Adding 0x7FFF, or 0x8000 to an odd upper half, carries exactly when the lower half rounds up.
            y[i] = float.IsNaN(x[i]) ? (ushort)((bits >> 16) | quiet) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
        }
    }

    private static void Require(int x, int y)
    {
        if (y < x) throw new ArgumentException($"y has {y} elements but x has {x}");
    }
}
