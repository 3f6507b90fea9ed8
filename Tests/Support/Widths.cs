using Octet.Kernels.Cpu;
using Octet.Kernels.Lanes;

namespace Octet.Tests.Support;

/// <summary>Register widths as test parameters.</summary>
internal static class Widths
{
    /// <summary>All widths; a test calls <see cref="Require"/> first.</summary>
    public static readonly VectorWidth[] All = [VectorWidth.Scalar, VectorWidth.V128, VectorWidth.V256, VectorWidth.V512];

    /// <summary>A CPU that has this width and nothing wider; the test is ignored where the machine has not got it.</summary>
    public static CpuFeatures Require(VectorWidth width)
    {
        if (VectorWidths.Select(CpuInfo.Detected) < width) NUnit.Framework.Assert.Ignore($"this CPU has no {width}");
        return CpuInfo.Cap(CpuInfo.Detected, width switch
        {
            VectorWidth.V512 => "avx512",
            VectorWidth.V256 => "avx2",
            VectorWidth.V128 => "sse41",
            _ => "scalar",
        });
    }
}
