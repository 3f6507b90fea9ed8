using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.Quantize;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

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

    /// <summary>Quantizes with the vector kernels where they have the type and the grid; the same bits as the definition above.</summary>
    /// <param name="x">Real values.</param>
    /// <param name="scale">Scales.</param>
    /// <param name="zeroPoint">Zero points, or empty.</param>
    /// <param name="grid">Which scale belongs to which element.</param>
    /// <param name="type">Type of <paramref name="y"/>.</param>
    /// <param name="y">Receives one element per element of <paramref name="x"/>.</param>
    /// <param name="cpu">The CPU.</param>
    /// <param name="p">Threads.</param>
    public static void Quantize<TQ>(ReadOnlySpan<float> x, ReadOnlySpan<float> scale, ReadOnlySpan<TQ> zeroPoint, QuantizationGrid grid, DataType type, Span<TQ> y, CpuFeatures cpu, Parallelism p)
        where TQ : unmanaged, IBinaryInteger<TQ>
    {
        if (type is not (DataType.UInt8 or DataType.Int8 or DataType.UInt16 or DataType.Int16) || !HasKernel(grid, scale))
        {
            Quantize(x, scale, zeroPoint, grid, QuantizedRange.Of(type), y);
            return;
        }
        int run = grid.PerTensor ? x.Length : grid.Inner;
        Parallelism threads = grid.PerTensor ? p : Parallelism.None;
        for (int at = 0, index = 0; at < x.Length; at += run, index = index + 1 == scale.Length ? 0 : index + 1)
        {
            int zero = zeroPoint.Length == 0 ? 0 : int.CreateTruncating(zeroPoint[index]);
            ReadOnlySpan<float> from = x.Slice(at, run);
            Span<TQ> to = y.Slice(at, run);
            if (type == DataType.UInt8) QuantizeKernels.Quantize<UInt8Type, byte>(from, scale[index], zero, MemoryMarshal.Cast<TQ, byte>(to), cpu, threads);
            else if (type == DataType.Int8) QuantizeKernels.Quantize<Int8Type, sbyte>(from, scale[index], zero, MemoryMarshal.Cast<TQ, sbyte>(to), cpu, threads);
            else if (type == DataType.UInt16) QuantizeKernels.Quantize<UInt16Type, ushort>(from, scale[index], zero, MemoryMarshal.Cast<TQ, ushort>(to), cpu, threads);
            else QuantizeKernels.Quantize<Int16Type, short>(from, scale[index], zero, MemoryMarshal.Cast<TQ, short>(to), cpu, threads);
        }
    }

    /// <summary>Dequantizes with the vector kernels where they have the type and the grid; the same bits as the definition above.</summary>
    /// <inheritdoc cref="Quantize{TQ}(ReadOnlySpan{float}, ReadOnlySpan{float}, ReadOnlySpan{TQ}, QuantizationGrid, DataType, Span{TQ}, CpuFeatures, Parallelism)"/>
    public static void Dequantize<TQ>(ReadOnlySpan<TQ> x, ReadOnlySpan<float> scale, ReadOnlySpan<TQ> zeroPoint, QuantizationGrid grid, DataType type, Span<float> y, CpuFeatures cpu, Parallelism p)
        where TQ : unmanaged, IBinaryInteger<TQ>
    {
        if (type is not (DataType.UInt8 or DataType.Int8 or DataType.UInt16 or DataType.Int16) || !HasKernel(grid, scale))
        {
            Dequantize(x, scale, zeroPoint, grid, y);
            return;
        }
        int run = grid.PerTensor ? x.Length : grid.Inner;
        Parallelism threads = grid.PerTensor ? p : Parallelism.None;
        for (int at = 0, index = 0; at < x.Length; at += run, index = index + 1 == scale.Length ? 0 : index + 1)
        {
            int zero = zeroPoint.Length == 0 ? 0 : int.CreateTruncating(zeroPoint[index]);
            ReadOnlySpan<TQ> from = x.Slice(at, run);
            Span<float> to = y.Slice(at, run);
            if (type == DataType.UInt8) QuantizeKernels.Dequantize<UInt8Type, byte>(MemoryMarshal.Cast<TQ, byte>(from), scale[index], zero, to, cpu, threads);
            else if (type == DataType.Int8) QuantizeKernels.Dequantize<Int8Type, sbyte>(MemoryMarshal.Cast<TQ, sbyte>(from), scale[index], zero, to, cpu, threads);
            else if (type == DataType.UInt16) QuantizeKernels.Dequantize<UInt16Type, ushort>(MemoryMarshal.Cast<TQ, ushort>(from), scale[index], zero, to, cpu, threads);
            else QuantizeKernels.Dequantize<Int16Type, short>(MemoryMarshal.Cast<TQ, short>(from), scale[index], zero, to, cpu, threads);
        }
    }

    /// <summary>Runs of one scale that are long enough for vectors, and scales that are positive numbers.</summary>
    private static bool HasKernel(QuantizationGrid grid, ReadOnlySpan<float> scale)
    {
        if (!grid.PerTensor && (grid.Block != 0 || grid.Inner < 8)) return false;
        foreach (float s in scale) if (!(s > 0 && float.IsFinite(s))) return false;
        return scale.Length > 0;
    }
}
