using System.Diagnostics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Emit;
using Octet.Kernels.QGemm;
using Octet.Tests.Kernels.Cpu;

namespace Octet.Tests.Kernels.QGemm;

/// <summary>The choice between the two widths of VPDPBUSD.</summary>
internal sealed class VnniTuningTests
{
    [Test]
    public void ACpuWithOneFormKeepsIt()
    {
        foreach (string name in new[] { "Haswell", "Skylake-X", "Cascade Lake", "Zen 4", "Alder Lake" })
            Assert.That(VnniTuning.Usable(KnownCpus.All[name].Features()), Is.EqualTo(KnownCpus.All[name].Features()), name);
    }

    [TestCase(null, null)]
    [TestCase("", null)]
    [TestCase("measure", null)]
    [TestCase("zmm", false)]
    [TestCase(" YMM ", true)]
    public void TheVariableDecides(string? value, bool? ymm) => Assert.That(VnniTuning.Parse(value), Is.EqualTo(ymm));

    [Test]
    public void AnUnknownValueIsRefused() => Assert.That(Assert.Throws<ArgumentException>(() => VnniTuning.Parse("xmm"))!.Message, Does.Contain("measure, zmm, ymm"));

    [Test]
    public void MeasuringDropsTheSlowerFormAndIsRemembered()
    {
        const CpuFeatures both = CpuFeatures.AvxVnni | CpuFeatures.Avx512Vnni;
        if ((CpuInfo.Detected & both) != both) Assert.Ignore("this CPU has not both forms of VNNI");
        if (!EmittedCode.Allowed) Assert.Ignore("the system refuses executable memory");
        (bool ymm, string reason) = VnniTuning.Measure();
        TestContext.Out.WriteLine(reason);
        Assert.That(reason, Does.Match(@"^measured: zmm \d+, ymm \d+ GMAC/s$"));
        string[] numbers = [.. reason.Split(' ').Select(word => word.TrimEnd(',')).Where(word => word.All(char.IsAsciiDigit))];
        if (numbers[0] != numbers[1]) Assert.That(ymm, Is.EqualTo(int.Parse(numbers[1]) > int.Parse(numbers[0])));

        CpuFeatures left = VnniTuning.Usable(CpuInfo.Detected);
        Assert.That(left | CpuFeatures.Avx512Vnni, Is.EqualTo(CpuInfo.Detected));
        Assert.That(VnniTuning.Reason, Is.Not.Empty);
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < 100; i++) Assert.That(VnniTuning.Usable(CpuInfo.Detected), Is.EqualTo(left));
        Assert.That(Stopwatch.GetElapsedTime(start), Is.LessThan(TimeSpan.FromSeconds(1)), "a hundred measurements would take longer");
    }
}
