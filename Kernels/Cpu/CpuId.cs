using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Memory;

namespace Octet.Kernels.Cpu;

/// <summary>What an x86-64 CPU says about itself and which registers the operating system saves.</summary>
/// <param name="Leaf1Ecx">CPUID.1:ECX.</param>
/// <param name="Leaf7Ebx">CPUID.(7,0):EBX, 0 on a CPU without leaf 7.</param>
/// <param name="Leaf7Ecx">CPUID.(7,0):ECX.</param>
/// <param name="Leaf7Sub1Eax">CPUID.(7,1):EAX, 0 on a CPU without that subleaf.</param>
/// <param name="Xcr0">XCR0: the register state that the operating system saves; 0 if it uses no XSAVE.</param>
internal readonly record struct CpuId(int Leaf1Ecx, int Leaf7Ebx, int Leaf7Ecx, int Leaf7Sub1Eax, ulong Xcr0)
{
    // CPUID.1:ECX
    public const int Ssse3 = 1 << 9, Fma = 1 << 12, Sse41 = 1 << 19, Osxsave = 1 << 27, Avx = 1 << 28;

    // CPUID.(7,0):EBX
    public const int Avx2 = 1 << 5, Avx512F = 1 << 16, Avx512Dq = 1 << 17, Avx512Cd = 1 << 28, Avx512Bw = 1 << 30, Avx512Vl = 1 << 31;

    // CPUID.(7,0):ECX and CPUID.(7,1):EAX
    public const int Avx512Vnni = 1 << 11, AvxVnni = 1 << 4;

    /// <summary>XCR0: xmm and ymm; with opmask, upper zmm halves, zmm16–31.</summary>
    public const ulong SavesYmm = 0x06, SavesZmm = 0xE6;

    /// <summary><c>xor ecx,ecx; xgetbv; shl rdx,32; or rax,rdx; ret</c>: .NET has no intrinsic for XGETBV.</summary>
    private static readonly byte[] ReadXcr0Code = [0x31, 0xC9, 0x0F, 0x01, 0xD0, 0x48, 0xC1, 0xE2, 0x20, 0x48, 0x09, 0xD0, 0xC3];

    /// <summary>Asks this CPU; null where there is no CPUID.</summary>
    public static CpuId? Read()
    {
        if (!X86Base.X64.IsSupported) return null;
        int leaves = X86Base.CpuId(0, 0).Eax;
        int leaf1Ecx = X86Base.CpuId(1, 0).Ecx;
        var (subleaves, leaf7Ebx, leaf7Ecx, _) = leaves >= 7 ? X86Base.CpuId(7, 0) : default;
        int leaf7Sub1Eax = subleaves >= 1 ? X86Base.CpuId(7, 1).Eax : 0;
        return new CpuId(leaf1Ecx, leaf7Ebx, leaf7Ecx, leaf7Sub1Eax, (leaf1Ecx & Osxsave) != 0 ? ReadXcr0() : 0);
    }

    /// <summary>The instruction sets that CPU and operating system together allow.</summary>
    /// <remarks><see cref="CpuFeatures.Vector128"/> is .NET's to say and not among them.</remarks>
    public CpuFeatures Features()
    {
        CpuFeatures features = CpuFeatures.None;
        if (Has(Leaf1Ecx, Sse41 | Ssse3)) features |= CpuFeatures.Sse41;
        if (!Has(Leaf1Ecx, Osxsave | Avx) || (Xcr0 & SavesYmm) != SavesYmm) return features;
        if (Has(Leaf1Ecx, Fma)) features |= CpuFeatures.Fma;
        if (!Has(Leaf7Ebx, Avx2)) return features;
        features |= CpuFeatures.Avx2;
        if (Has(Leaf7Sub1Eax, AvxVnni)) features |= CpuFeatures.AvxVnni;
        if (!Has(Leaf7Ebx, Avx512F | Avx512Dq | Avx512Cd | Avx512Bw | Avx512Vl) || (Xcr0 & SavesZmm) != SavesZmm) return features;
        features |= CpuFeatures.Avx512;
        if (Has(Leaf7Ecx, Avx512Vnni)) features |= CpuFeatures.Avx512Vnni;
        return features;
    }

    private static bool Has(int register, int bits) => (register & bits) == bits;

    /// <summary>
    /// XCR0. Where executable memory is refused it follows from the intrinsics, which .NET enables only with the state behind them;
    /// nothing is lost, because without executable memory no feature beyond the intrinsics can be used.
    /// </summary>
    private static unsafe ulong ReadXcr0()
    {
        using ExecutableMemory? code = ExecutableMemory.TryLoad(ReadXcr0Code);
        if (code is not null) return ((delegate* unmanaged[SuppressGCTransition]<ulong>)code.Address)();
        return System.Runtime.Intrinsics.X86.Avx512F.IsSupported ? SavesZmm : System.Runtime.Intrinsics.X86.Avx.IsSupported ? SavesYmm : 0;
    }
}
