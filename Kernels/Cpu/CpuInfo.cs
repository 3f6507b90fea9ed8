using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Octet.Kernels.Cpu;

/// <summary>What this process may use of its CPU.</summary>
/// <remarks>
/// Nothing in the kernels reads this class while it chooses: selectors take <see cref="CpuFeatures"/> as an argument, and only
/// the session reads <see cref="Detected"/> to supply it. <c>OCTET_MAX_ISA</c> = <c>scalar | sse41 | avx2 | avxvnni | avx512 |
/// avx512vnni</c> caps the answer; <c>DOTNET_Enable*</c> switches are respected because the intrinsics' own
/// <c>IsSupported</c> is part of every bit.
/// </remarks>
public static class CpuInfo
{
    /// <summary>The environment variable that caps the instruction sets in use.</summary>
    public const string MaxIsaVariable = "OCTET_MAX_ISA";

    /// <summary>Features of this process, after <c>OCTET_MAX_ISA</c>; computed once.</summary>
    public static CpuFeatures Detected { get; } = Cap(Detect(), Environment.GetEnvironmentVariable(MaxIsaVariable));

    /// <summary>The CPU's own name, or the architecture where it has none.</summary>
    public static string Name { get; } = ReadName();

    /// <summary>The features left when <paramref name="features"/> is limited to the instruction set named <paramref name="isa"/>.</summary>
    /// <param name="features">What the CPU has.</param>
    /// <param name="isa">A value of <c>OCTET_MAX_ISA</c>, or null or empty for no limit.</param>
    /// <exception cref="ArgumentException"><paramref name="isa"/> is none of the known names.</exception>
    public static CpuFeatures Cap(CpuFeatures features, string? isa)
    {
        const CpuFeatures sse41 = CpuFeatures.Vector128 | CpuFeatures.Sse41;
        const CpuFeatures avx2 = sse41 | CpuFeatures.Avx2 | CpuFeatures.Fma;
        const CpuFeatures all = avx2 | CpuFeatures.AvxVnni | CpuFeatures.Avx512 | CpuFeatures.Avx512Vnni;
        return features & isa?.Trim().ToLowerInvariant() switch
        {
            null or "" => all,
            "scalar" => CpuFeatures.None,
            "sse41" => sse41,
            "avx2" => avx2,
            "avxvnni" => avx2 | CpuFeatures.AvxVnni,
            "avx512" => avx2 | CpuFeatures.AvxVnni | CpuFeatures.Avx512,
            "avx512vnni" => all,
            _ => throw new ArgumentException(
                $"{MaxIsaVariable} is '{isa}'; rule: one of scalar, sse41, avx2, avxvnni, avx512, avx512vnni", nameof(isa)),
        };
    }

    private static CpuFeatures Detect()
    {
        CpuFeatures features = CpuFeatures.None;
        if (Vector128.IsHardwareAccelerated) features |= CpuFeatures.Vector128;
        if (Sse41.IsSupported) features |= CpuFeatures.Sse41;
        if (Avx2.IsSupported) features |= CpuFeatures.Avx2;
        if (Fma.IsSupported) features |= CpuFeatures.Fma;
        if (AvxVnni.IsSupported) features |= CpuFeatures.AvxVnni;
        if (Avx512BW.IsSupported && Avx512BW.VL.IsSupported && Avx512DQ.IsSupported) features |= CpuFeatures.Avx512;

        const int vnniBit = 1 << 11;   // CPUID.(EAX=7,ECX=0):ECX
        if ((features & CpuFeatures.Avx512) != 0 && X86Base.IsSupported && (X86Base.CpuId(7, 0).Ecx & vnniBit) != 0)
            features |= CpuFeatures.Avx512Vnni;
        return features;
    }

    private static string ReadName()
    {
        if (!X86Base.IsSupported || (uint)X86Base.CpuId(unchecked((int)0x80000000), 0).Eax < 0x80000004u)
            return System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture.ToString();
        Span<int> words = stackalloc int[12];
        for (int leaf = 0; leaf < 3; leaf++)
        {
            (words[4 * leaf], words[4 * leaf + 1], words[4 * leaf + 2], words[4 * leaf + 3]) =
                X86Base.CpuId(unchecked((int)0x80000002) + leaf, 0);
        }
        return System.Text.Encoding.ASCII.GetString(System.Runtime.InteropServices.MemoryMarshal.AsBytes(words)).Trim('\0', ' ');
    }
}
