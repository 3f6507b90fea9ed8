using Octet.Runtime.Operators;

namespace Octet.Runtime.Passes;

/// <summary>Tables of 256 bytes: functions from uint8 to uint8.</summary>
internal static class ByteTables
{
    /// <summary>Entries of a table.</summary>
    public const int Length = 256;

    /// <summary>The table that quantizes the real values of <paramref name="from"/> to <paramref name="to"/>.</summary>
    public static byte[] Requantize(Quantization from, Quantization to) => Quantize(Reals(from), to);

    /// <summary>The real value of every byte, as DequantizeLinear computes it.</summary>
    public static float[] Reals(Quantization grid)
    {
        var reals = new float[Length];
        for (int q = 0; q < Length; q++) reals[q] = (q - grid.ZeroPoint) * grid.Scale;
        return reals;
    }

    /// <summary>Quantizes 256 real values, as QuantizeLinear computes it.</summary>
    public static byte[] Quantize(ReadOnlySpan<float> reals, Quantization grid)
    {
        var table = new byte[Length];
        for (int q = 0; q < Length; q++) table[q] = (byte)LinearQuantization.Quantize(reals[q], grid.Scale, grid.ZeroPoint, 0, 255);
        return table;
    }

    /// <summary><c>outer[inner[q]]</c>.</summary>
    public static byte[] Compose(ReadOnlySpan<byte> outer, ReadOnlySpan<byte> inner)
    {
        var table = new byte[Length];
        for (int q = 0; q < Length; q++) table[q] = outer[inner[q]];
        return table;
    }

    /// <summary>Whether <c>table[q] = q</c> for every q.</summary>
    public static bool IsIdentity(ReadOnlySpan<byte> table)
    {
        for (int q = 0; q < Length; q++) if (table[q] != q) return false;
        return true;
    }

    /// <summary>The limits for which <c>table[q] = clamp(q, low, high)</c>, or null.</summary>
    public static (int Low, int High)? AsClamp(ReadOnlySpan<byte> table)
    {
        int low = table[0], high = table[Length - 1];
        if (low > high) return null;
        for (int q = 0; q < Length; q++) if (table[q] != Math.Clamp(q, low, high)) return null;
        return (low, high);
    }
}
