namespace Octet.Kernels.Cpu;

/// <summary>Instruction sets that kernels may require; a table row is usable when all its bits are present.</summary>
/// <remarks>A bit means "the CPU has it, the operating system saves its registers, and no environment switch took it away".</remarks>
[Flags]
public enum CpuFeatures
{
    /// <summary>Nothing beyond portable C#: the scalar kernels.</summary>
    None = 0,

    /// <summary>128-bit vectors through <c>Vector128</c>, whatever the architecture.</summary>
    Vector128 = 1 << 0,

    /// <summary>SSE4.1 with SSSE3.</summary>
    Sse41 = 1 << 1,

    /// <summary>AVX2.</summary>
    Avx2 = 1 << 2,

    /// <summary>FMA3.</summary>
    Fma = 1 << 3,

    /// <summary>VPDPBUSD in its VEX form, 128 and 256 bits.</summary>
    AvxVnni = 1 << 4,

    /// <summary>AVX-512 F, BW, CD, DQ and VL, usable through .NET's intrinsics.</summary>
    Avx512 = 1 << 5,

    /// <summary>
    /// AVX-512 F, BW, CD, DQ and VL with VPDPBUSD on zmm registers; reached only by emitted code, so a program compiled ahead of time may
    /// have this bit without <see cref="Avx512"/>.
    /// </summary>
    Avx512Vnni = 1 << 6,
}
