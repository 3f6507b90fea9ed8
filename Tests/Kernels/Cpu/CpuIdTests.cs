using Octet.Kernels.Cpu;

namespace Octet.Tests.Kernels.Cpu;

/// <summary>From what CPUs say about themselves to the features that kernels may use.</summary>
internal sealed class CpuIdTests
{
    private const CpuFeatures Sse = CpuFeatures.Sse41, Avx2 = Sse | CpuFeatures.Avx2 | CpuFeatures.Fma, Avx512 = Avx2 | CpuFeatures.Avx512;

    [TestCase("Nehalem", Sse)]
    [TestCase("Sandy Bridge", Sse)]
    [TestCase("Haswell", Avx2)]
    [TestCase("Zen 3", Avx2)]
    [TestCase("Skylake-X", Avx512)]
    [TestCase("Cascade Lake", Avx512 | CpuFeatures.Avx512Vnni)]
    [TestCase("Ice Lake", Avx512 | CpuFeatures.Avx512Vnni)]
    [TestCase("Alder Lake", Avx2 | CpuFeatures.AvxVnni)]
    [TestCase("Sapphire Rapids", Avx512 | CpuFeatures.Avx512Vnni | CpuFeatures.AvxVnni)]
    [TestCase("Zen 4", Avx512 | CpuFeatures.Avx512Vnni)]
    [TestCase("Zen 5", Avx512 | CpuFeatures.Avx512Vnni | CpuFeatures.AvxVnni)]
    public void FeaturesOfACpu(string name, CpuFeatures features) => Assert.That(KnownCpus.All[name].Features(), Is.EqualTo(features));

    [Test]
    public void RegistersThatTheSystemDoesNotSaveCountForNothing()
    {
        CpuId cpu = KnownCpus.All["Sapphire Rapids"];
        Assert.That((cpu with { Xcr0 = 0x07 }).Features(), Is.EqualTo(Avx2 | CpuFeatures.AvxVnni), "ymm only");
        Assert.That((cpu with { Xcr0 = 0x67 }).Features(), Is.EqualTo(Avx2 | CpuFeatures.AvxVnni), "zmm16–31 missing");
        Assert.That((cpu with { Xcr0 = 0x03 }).Features(), Is.EqualTo(Sse), "xmm only");
        Assert.That((cpu with { Leaf1Ecx = cpu.Leaf1Ecx & ~CpuId.Osxsave }).Features(), Is.EqualTo(Sse), "no XSAVE");
        Assert.That((cpu with { Leaf7Ebx = cpu.Leaf7Ebx & ~CpuId.Avx512Vl }).Features(), Is.EqualTo(Avx2 | CpuFeatures.AvxVnni), "AVX-512 without VL");
    }

    [Test]
    public void ThisCpuSaysWhatItsIntrinsicsSay()
    {
        if (CpuId.Read() is not { } cpu)
        {
            Assert.Ignore("no CPUID on this architecture");
            return;
        }
        CpuFeatures features = cpu.Features();
        // No intrinsic is supported that our own reading misses; the other way round switches may be set.
        if (System.Runtime.Intrinsics.X86.Avx2.IsSupported) Assert.That(features.HasFlag(CpuFeatures.Avx2));
        if (System.Runtime.Intrinsics.X86.Fma.IsSupported) Assert.That(features.HasFlag(CpuFeatures.Fma));
        if (System.Runtime.Intrinsics.X86.AvxVnni.IsSupported) Assert.That(features.HasFlag(CpuFeatures.AvxVnni));
        if (System.Runtime.Intrinsics.X86.Avx512BW.IsSupported) Assert.That(features.HasFlag(CpuFeatures.Avx512));
        if (System.Runtime.Intrinsics.X86.Avx2.IsSupported) Assert.That(cpu.Xcr0 & CpuId.SavesYmm, Is.EqualTo(CpuId.SavesYmm));
        if (OperatingSystem.IsLinux())
        {
            string flags = " " + File.ReadLines("/proc/cpuinfo").First(line => line.StartsWith("flags", StringComparison.Ordinal)) + " ";
            Assert.That(features.HasFlag(CpuFeatures.Avx512Vnni), Is.EqualTo(flags.Contains(" avx512_vnni ", StringComparison.Ordinal)));
            Assert.That(features.HasFlag(CpuFeatures.AvxVnni), Is.EqualTo(flags.Contains(" avx_vnni ", StringComparison.Ordinal)));
        }
    }

    [Test]
    public void SwitchesTakeEmittedCodeAwayToo()
    {
        const CpuFeatures hardware = Avx512 | CpuFeatures.Avx512Vnni | CpuFeatures.AvxVnni;
        const CpuFeatures compiled = hardware & ~CpuFeatures.Avx512Vnni | CpuFeatures.Vector128;
        static string? None(string name) => null;

        Assert.That(CpuInfo.Usable(hardware, compiled, compiledNow: true, None), Is.EqualTo(hardware | CpuFeatures.Vector128));
        Assert.That(CpuInfo.Usable(hardware, compiled & ~CpuFeatures.Avx512, compiledNow: true, None), Is.EqualTo(Avx2 | CpuFeatures.AvxVnni | CpuFeatures.Vector128),
            "the runtime says AVX-512 is off");
        Assert.That(CpuInfo.Usable(hardware, compiled & ~CpuFeatures.Avx512, compiledNow: false, None), Is.EqualTo(Avx2 | CpuFeatures.AvxVnni | CpuFeatures.Avx512Vnni | CpuFeatures.Vector128),
            "compiled ahead of time without AVX-512: emitted code needs no intrinsics");
        foreach (string name in new[] { "DOTNET_EnableHWIntrinsic", "DOTNET_EnableAVX2", "DOTNET_EnableAVX512", "DOTNET_EnableAVX512F" })
        {
            Assert.That(CpuInfo.Usable(hardware, compiled & ~CpuFeatures.Avx512, compiledNow: false, asked => asked == name ? "0" : null).HasFlag(CpuFeatures.Avx512Vnni), Is.False, name);
            Assert.That(CpuInfo.Usable(hardware, compiled & ~CpuFeatures.Avx512, compiledNow: false, asked => asked == name ? "1" : null).HasFlag(CpuFeatures.Avx512Vnni), Is.True, name);
        }
        Assert.That(CpuInfo.Usable(Avx2, Avx2, compiledNow: true, None), Is.EqualTo(Avx2), "a CPU without VNNI gets none");
    }

    [TestCase("scalar", CpuFeatures.None)]
    [TestCase("sse41", CpuFeatures.Vector128 | Sse)]
    [TestCase("avx2", CpuFeatures.Vector128 | Avx2)]
    [TestCase("avxvnni", CpuFeatures.Vector128 | Avx2 | CpuFeatures.AvxVnni)]
    [TestCase("avx512", CpuFeatures.Vector128 | Avx512 | CpuFeatures.AvxVnni)]
    [TestCase("avx512vnni", CpuFeatures.Vector128 | Avx512 | CpuFeatures.AvxVnni | CpuFeatures.Avx512Vnni)]
    [TestCase(" AVX2 ", CpuFeatures.Vector128 | Avx2)]
    [TestCase("", CpuFeatures.Vector128 | Avx512 | CpuFeatures.AvxVnni | CpuFeatures.Avx512Vnni)]
    public void CapsByName(string isa, CpuFeatures left)
    {
        const CpuFeatures all = CpuFeatures.Vector128 | Avx512 | CpuFeatures.AvxVnni | CpuFeatures.Avx512Vnni;
        Assert.That(CpuInfo.Cap(all, isa), Is.EqualTo(left));
        Assert.That(CpuInfo.Cap(CpuFeatures.Sse41, isa) & ~CpuFeatures.Sse41, Is.EqualTo(CpuFeatures.None), "a cap adds nothing");
    }

    [Test]
    public void AnUnknownCapIsRefused() => Assert.Throws<ArgumentException>(() => CpuInfo.Cap(CpuFeatures.None, "avx10"));
}
