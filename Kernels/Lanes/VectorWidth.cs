using Octet.Kernels.Cpu;

namespace Octet.Kernels.Lanes;

/// <summary>Which <see cref="ILanes{V}"/> a kernel without its own table runs on.</summary>
internal enum VectorWidth
{
    /// <summary><see cref="ScalarLanes"/>.</summary>
    Scalar,

    /// <summary><see cref="Lanes128"/>.</summary>
    V128,

    /// <summary><see cref="Lanes256"/>.</summary>
    V256,

    /// <summary><see cref="Lanes512"/>.</summary>
    V512,
}

/// <summary>Chooses the width for a CPU.</summary>
internal static class VectorWidths
{
    /// <summary>The widest register that <paramref name="cpu"/> has.</summary>
    public static VectorWidth Select(CpuFeatures cpu) =>
        (cpu & CpuFeatures.Avx512) != 0 ? VectorWidth.V512
        : (cpu & CpuFeatures.Avx2) != 0 ? VectorWidth.V256
        : (cpu & CpuFeatures.Vector128) != 0 ? VectorWidth.V128
        : VectorWidth.Scalar;

    /// <summary>Every width that <paramref name="cpu"/> can run, narrowest first.</summary>
    public static IEnumerable<VectorWidth> Usable(CpuFeatures cpu)
    {
        for (VectorWidth width = VectorWidth.Scalar; width <= Select(cpu); width++) yield return width;
    }
}
