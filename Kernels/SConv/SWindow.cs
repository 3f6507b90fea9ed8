using Octet.Kernels.Geometry;

namespace Octet.Kernels.SConv;

/// <summary>
/// One axis of a gather: output i lies at <c>OutStart + i · OutStep</c> and its tap t reads input <c>i · InStep + Offsets[t]</c>,
/// or zero where that is outside <c>[0, Input)</c>.
/// </summary>
/// <param name="Input">Input extent.</param>
/// <param name="Outputs">How many outputs.</param>
/// <param name="OutStart">Position of output 0.</param>
/// <param name="OutStep">Distance of outputs.</param>
/// <param name="InStep">Distance of the windows of neighbouring outputs.</param>
/// <param name="Offsets">Where each tap reads for output 0; ascending or descending.</param>
/// <param name="Taps">Index of each tap in the original window.</param>
internal sealed record SWindow(int Input, int Outputs, int OutStart, int OutStep, int InStep, int[] Offsets, int[] Taps)
{
    /// <summary>Smallest offset, 0 without taps.</summary>
    public int MinOffset { get; } = Offsets.Length == 0 ? 0 : Offsets.Min();

    /// <summary>Largest offset, 0 without taps.</summary>
    public int MaxOffset { get; } = Offsets.Length == 0 ? 0 : Offsets.Max();

    /// <summary>A convolution's axis: tap t of output i reads <c>i · stride − padBegin + t · dilation</c>.</summary>
    public static SWindow Forward(WindowAxis axis)
    {
        int[] taps = [.. Enumerable.Range(0, axis.Kernel)];
        return new(axis.Input, axis.Output, 0, 1, axis.Stride, [.. taps.Select(t => t * axis.Dilation - axis.PadBegin)], taps);
    }

    /// <summary>
    /// The outputs <c>o ≡ phase (mod stride)</c> of a transposed convolution: tap t reads input <c>(o + padBegin − t · dilation) / stride</c>,
    /// and only taps for which that is an integer exist.
    /// </summary>
    public static SWindow Transposed(WindowAxis axis, int phase)
    {
        int[] taps = [.. Enumerable.Range(0, axis.Kernel).Where(t => Mod(phase + axis.PadBegin - t * axis.Dilation, axis.Stride) == 0)];
        int outputs = phase >= axis.Output ? 0 : (axis.Output - phase + axis.Stride - 1) / axis.Stride;
        return new(axis.Input, outputs, phase, axis.Stride, 1, [.. taps.Select(t => (phase + axis.PadBegin - t * axis.Dilation) / axis.Stride)], taps);
    }

    private static int Mod(int a, int b) => ((a % b) + b) % b;
}
