using Octet.Kernels.Cpu;
using Octet.Kernels.Reduce;

namespace Octet.Quantization.Calibration;

/// <summary>The least and greatest element of a span; NaN if any element is NaN, and +0 for either zero.</summary>
internal static class Extremes
{
    /// <summary>Extremes of a span that is not empty.</summary>
    public static (float Min, float Max) Of(ReadOnlySpan<float> x) => RangeKernels.Extremes(x, CpuInfo.Detected);
}
