using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Octet.Kernels.Cpu;

/// <summary>What this process may use of its CPU.</summary>
/// <remarks>
/// Nothing in the kernels reads this class while it chooses: selectors take <see cref="CpuFeatures"/> as an argument, and only
/// the session reads <see cref="Detected"/> to supply it. <c>OCTET_MAX_ISA</c> = <c>scalar | sse41 | avx2 | avxvnni | avx512 |
/// avx512vnni</c> caps the answer; <c>DOTNET_Enable*</c> switches are respected because the intrinsics' own <c>IsSupported</c> is
/// part of every bit but <see cref="CpuFeatures.Avx512Vnni"/>, which has no intrinsic: see <see cref="Usable"/>.
/// </remarks>
public static class CpuInfo
{
    /// <summary>The environment variable that caps the instruction sets in use.</summary>
    public const string MaxIsaVariable = "OCTET_MAX_ISA";

    /// <summary>Features of this process, after <c>OCTET_MAX_ISA</c>; computed once.</summary>
    public static CpuFeatures Detected { get; } = Cap(Detect(), Environment.GetEnvironmentVariable(MaxIsaVariable));

    /// <summary>The CPU's own name, or the architecture where it has none.</summary>
    public static string Name => ReadName();

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
        CpuFeatures intrinsics = Intrinsics();
        // Only what has no intrinsic makes it necessary to ask the CPU itself.
        if (RuntimeFeature.IsDynamicCodeCompiled && (intrinsics & CpuFeatures.Avx512) == 0) return intrinsics;
        return CpuId.Read() is { } cpu ? Usable(cpu.Features(), intrinsics, RuntimeFeature.IsDynamicCodeCompiled, Environment.GetEnvironmentVariable) : intrinsics;
    }

    /// <summary>What is left of the CPU's features for a process.</summary>
    /// <param name="hardware">What CPU and operating system allow.</param>
    /// <param name="intrinsics">What .NET's intrinsics say they support in this process.</param>
    /// <param name="compiledNow">
    /// Whether methods are compiled while the program runs: then intrinsics that are missing although the CPU has them were switched
    /// off. In a program compiled ahead of time they may just not have been compiled, so the switches are read here.
    /// </param>
    /// <param name="variable">Reads an environment variable.</param>
    internal static CpuFeatures Usable(CpuFeatures hardware, CpuFeatures intrinsics, bool compiledNow, Func<string, string?> variable)
    {
        bool emitted = (hardware & CpuFeatures.Avx512Vnni) != 0
            && (compiledNow ? (intrinsics & CpuFeatures.Avx512) != 0 : !IsSwitchedOff(variable));
        return hardware & intrinsics | intrinsics & CpuFeatures.Vector128 | (emitted ? CpuFeatures.Avx512Vnni : CpuFeatures.None);
    }

    /// <summary>Whether an environment switch of .NET that takes AVX-512 away is 0.</summary>
    private static bool IsSwitchedOff(Func<string, string?> variable)
    {
        foreach (string name in new[] { "HWIntrinsic", "AVX", "AVX2", "AVX512", "AVX512F", "AVX512F_VL", "AVX512BW", "AVX512BW_VL", "AVX512CD", "AVX512DQ" })
        {
            if (variable("DOTNET_Enable" + name)?.Trim() == "0") return true;
        }
        return false;
    }

    private static CpuFeatures Intrinsics()
    {
        CpuFeatures features = CpuFeatures.None;
        if (Vector128.IsHardwareAccelerated) features |= CpuFeatures.Vector128;
        if (Sse41.IsSupported) features |= CpuFeatures.Sse41;
        // A program compiled ahead of time for a smaller CPU can ask for AVX2 but was not compiled for it: Vector256 is emulated there, and the 128-bit kernels are the fast ones.
        if (Avx2.IsSupported && (RuntimeFeature.IsDynamicCodeCompiled || Vector256.IsHardwareAccelerated)) features |= CpuFeatures.Avx2;
        if (Fma.IsSupported) features |= CpuFeatures.Fma;
        if (AvxVnni.IsSupported) features |= CpuFeatures.AvxVnni;
        if ((RuntimeFeature.IsDynamicCodeCompiled || Vector512.IsHardwareAccelerated) && Avx512BW.IsSupported && Avx512BW.VL.IsSupported && Avx512DQ.IsSupported && Avx512CD.IsSupported) features |= CpuFeatures.Avx512;
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
