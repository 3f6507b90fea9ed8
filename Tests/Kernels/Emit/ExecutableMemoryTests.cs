using System.Globalization;
using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.Emit;
using Octet.Kernels.Memory;
using Octet.Kernels.QGemm;

namespace Octet.Tests.Kernels.Emit;

/// <summary>Memory for code: never writable and executable, freed with its owner, refused in one line.</summary>
internal sealed class ExecutableMemoryTests
{
    private static readonly byte[] Return = [0xC3];

    /// <summary>Protection of the page at an address, or null where nothing is mapped.</summary>
    private static string? Protection(nint address)
    {
        if (!OperatingSystem.IsLinux()) Assert.Ignore("reads /proc/self/maps");
        foreach (string line in File.ReadLines("/proc/self/maps"))
        {
            string[] parts = line.Split(' '), range = parts[0].Split('-');
            if (nint.Parse(range[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture) <= address
                && address < nint.Parse(range[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture)) return parts[1];
        }
        return null;
    }

    private static ExecutableMemory Load(byte[] code)
    {
        ExecutableMemory? memory = ExecutableMemory.TryLoad(code);
        if (memory is null) Assert.Ignore("the system refuses executable memory");
        return memory!;
    }

    [TestCase(1)]
    [TestCase(4096)]
    [TestCase(100_000)]
    public void IsNeverWritableAndExecutable(int bytes)
    {
        using ExecutableMemory memory = Load(new byte[bytes]);
        for (int at = 0; at < bytes; at += Environment.SystemPageSize)
            Assert.That(Protection(memory.Address + at), Is.EqualTo("r-xp"));
        Assert.That(Protection(memory.Address + bytes - 1), Is.EqualTo("r-xp"));
    }

    [Test]
    public void IsFreedByItsOwner()
    {
        ExecutableMemory memory = Load(Return);
        nint address = memory.Address;
        Assert.That(Protection(address), Is.EqualTo("r-xp"));
        memory.Dispose();
        Assert.That(Protection(address), Is.Not.EqualTo("r-xp"));
        Assert.Throws<ObjectDisposedException>(() => _ = memory.Address);
        memory.Dispose();
    }

    [Test]
    public void RepeatedLoadingLeaksNothing()
    {
        if (!OperatingSystem.IsLinux()) Assert.Ignore("reads /proc/self/maps");
        static int Regions() => File.ReadLines("/proc/self/maps").Count(line => line.Contains("r-xp", StringComparison.Ordinal));
        Load(Return).Dispose();
        int before = Regions();
        for (int i = 0; i < 500; i++) Load(new byte[20_000]).Dispose();
        Assert.That(Regions(), Is.LessThan(before + 100));
    }

    [Test]
    public void CacheMakesEachSignatureOnceAndFreesAll()
    {
        Load(Return).Dispose();
        int made = 0;
        EmittedFunction[] Emit()
        {
            made++;
            return [new EmittedFunction("a", Return, []), new EmittedFunction("b", Return, [])];
        }
        nint[] first;
        using (var cache = new CodeCache())
        {
            first = cache.Get("x", Emit);
            Assert.That(cache.Get("x", Emit), Is.SameAs(first));
            Assert.That(made, Is.EqualTo(1));
            Assert.That((long)(first[1] - first[0]), Is.EqualTo(64), "functions start on cache lines of their own");
            Assert.That(cache.Get("y", Emit)[0], Is.Not.EqualTo(first[0]));
            Assert.That((made, cache.Count), Is.EqualTo((2, 2)));
            Assert.That(cache.Spent, Is.GreaterThan(TimeSpan.Zero));
            Assert.That(Protection(first[0]), Is.EqualTo("r-xp"));
        }
        Assert.That(Protection(first[0]), Is.Not.EqualTo("r-xp"));
    }

    [Test]
    public void CodeRuns()
    {
        if (!System.Runtime.Intrinsics.X86.X86Base.X64.IsSupported) Assert.Ignore("x86-64 code");
        using ExecutableMemory memory = Load([0xB8, 0x2A, 0x00, 0x00, 0x00, 0xC3]);   // mov eax, 42; ret
        Assert.That(Marshal.GetDelegateForFunctionPointer<Answer>(memory.Address)(), Is.EqualTo(42));
    }

    [Test]
    public void RefusalIsSaidOnceAndLeavesTheIntrinsics()
    {
        const CpuFeatures cpu = CpuFeatures.Vector128 | CpuFeatures.Sse41 | CpuFeatures.Avx2 | CpuFeatures.Fma | CpuFeatures.AvxVnni | CpuFeatures.Avx512 | CpuFeatures.Avx512Vnni;
        int asked = 0;
        var lines = new List<string>();
        var permit = new CodePermit(
            () =>
            {
                asked++;
                return false;
            },
            lines.Add);
        Assert.That(permit.Usable(CpuFeatures.Avx2), Is.EqualTo(CpuFeatures.Avx2));
        Assert.That(asked, Is.Zero, "a CPU that needs no emitted code asks for nothing");
        CpuFeatures left = permit.Usable(cpu);
        Assert.That(left, Is.EqualTo(cpu & ~CpuFeatures.Avx512Vnni));
        Assert.That(permit.Usable(cpu), Is.EqualTo(left));
        Assert.That((asked, lines.Count), Is.EqualTo((1, 1)));
        Assert.That(lines[0], Does.Contain("executable memory").And.Not.Contain("\n"));
        Assert.That(QGemmKernels.Select(196, 256, 1024, left).Name, Is.EqualTo("u8s8s32-6x16x4-avxvnni"));
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate int Answer();
}
