using Octet.Kernels.Cpu;

namespace Octet.Tests.Kernels.Cpu;

/// <summary>CPUID and XCR0 of CPUs that this machine is not, bit by bit from their makers' manuals; bits that Octet does not read are left out.</summary>
internal static class KnownCpus
{
    private const int Leaf1Sse = CpuId.Ssse3 | CpuId.Sse41, Leaf1Avx = Leaf1Sse | CpuId.Osxsave | CpuId.Avx, Leaf1Fma = Leaf1Avx | CpuId.Fma;
    private const int Avx512 = CpuId.Avx2 | CpuId.Avx512F | CpuId.Avx512Dq | CpuId.Avx512Cd | CpuId.Avx512Bw | CpuId.Avx512Vl;
    private const ulong Ymm = 0x07, ZmmPkru = 0x2E7, ZmmPkruAmx = 0x602E7;

    public static IReadOnlyDictionary<string, CpuId> All { get; } = new Dictionary<string, CpuId>(StringComparer.Ordinal)
    {
        ["Nehalem"] = new(Leaf1Sse, 0, 0, 0, 0),
        ["Sandy Bridge"] = new(Leaf1Avx, 0, 0, 0, Ymm),
        ["Haswell"] = new(Leaf1Fma, CpuId.Avx2, 0, 0, Ymm),
        ["Zen 3"] = new(Leaf1Fma, CpuId.Avx2, 0, 0, Ymm | 0x200),
        ["Skylake-X"] = new(Leaf1Fma, Avx512, 0, 0, ZmmPkru),
        ["Cascade Lake"] = new(Leaf1Fma, Avx512, CpuId.Avx512Vnni, 0, ZmmPkru),
        ["Ice Lake"] = new(Leaf1Fma, Avx512, CpuId.Avx512Vnni, 0, ZmmPkru),
        ["Alder Lake"] = new(Leaf1Fma, CpuId.Avx2, 0, CpuId.AvxVnni, Ymm | 0x200),
        ["Sapphire Rapids"] = new(Leaf1Fma, Avx512, CpuId.Avx512Vnni, CpuId.AvxVnni, ZmmPkruAmx),
        ["Zen 4"] = new(Leaf1Fma, Avx512, CpuId.Avx512Vnni, 0, ZmmPkru),
        ["Zen 5"] = new(Leaf1Fma, Avx512, CpuId.Avx512Vnni, CpuId.AvxVnni, ZmmPkru),
    };
}
