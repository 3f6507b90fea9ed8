using Octet.Kernels.Cpu;
using Octet.Kernels.Emit;
using Octet.Kernels.Geometry;
using Octet.Kernels.QConv;
using Octet.Kernels.QGemm;
using Octet.Tests.Kernels.Cpu;

namespace Octet.Tests.Kernels.QGemm;

/// <summary>What is chosen on CPUs that this machine is not.</summary>
internal sealed class QGemmSelectionTests
{
    private const CpuFeatures Sse = CpuFeatures.Vector128 | CpuFeatures.Sse41;

    /// <summary>What a process gets on a CPU: its own word for it, and .NET's vectors.</summary>
    private static CpuFeatures Of(string name) => KnownCpus.All[name].Features() | CpuFeatures.Vector128;

    private static readonly object[][] Cpus =
    [
        ["none", CpuFeatures.None, "u8s8s32-4x8x4-scalar", "u8s8s32-4x8x4-scalar", "u8s8s32-dw1x1-scalar"],
        ["any with 128-bit vectors", CpuFeatures.Vector128, "u8s8s32-6x8x2-vector128", "u8s8s32-6x8x2-vector128", "u8s8s32-dw16x2-vector128"],
        ["Nehalem", Of("Nehalem"), "u8s8s32-6x8x2-sse41", "u8s8s32-6x8x2-sse41", "u8s8s32-dw16x2-sse41"],
        ["Haswell", Of("Haswell"), "u8s8s32-6x16x2-avx2", "u8s8s32-6x16x2-avx2", "u8s8s32-dw32x2-avx2"],
        ["Zen 3", Of("Zen 3"), "u8s8s32-6x16x2-avx2", "u8s8s32-6x16x2-avx2", "u8s8s32-dw32x2-avx2"],
        ["Skylake-X", Of("Skylake-X"), "u8s8s32-8x32x2-avx512", "u8s8s32-6x16x2-avx2", "u8s8s32-dw64x2-avx512"],
        ["Cascade Lake", Of("Cascade Lake"), "u8s8s32-12x32x4-avx512vnni", "u8s8s32-12x16x4-avx512vnni", "u8s8s32-dw64x4-avx512vnni"],
        ["Ice Lake", Of("Ice Lake"), "u8s8s32-12x32x4-avx512vnni", "u8s8s32-12x16x4-avx512vnni", "u8s8s32-dw64x4-avx512vnni"],
        ["Alder Lake", Of("Alder Lake"), "u8s8s32-6x16x4-avxvnni", "u8s8s32-6x16x4-avxvnni", "u8s8s32-dw32x4-avxvnni"],
        ["Sapphire Rapids", Of("Sapphire Rapids"), "u8s8s32-12x32x4-avx512vnni", "u8s8s32-12x16x4-avx512vnni", "u8s8s32-dw64x4-avx512vnni"],
        ["Zen 4", Of("Zen 4"), "u8s8s32-12x32x4-avx512vnni", "u8s8s32-12x16x4-avx512vnni", "u8s8s32-dw64x4-avx512vnni"],
        ["Zen 5", Of("Zen 5"), "u8s8s32-12x32x4-avx512vnni", "u8s8s32-12x16x4-avx512vnni", "u8s8s32-dw64x4-avx512vnni"],
    ];

    [TestCaseSource(nameof(Cpus))]
    public void ChoosesTheExpectedKernels(string name, CpuFeatures cpu, string wide, string narrow, string depthwise)
    {
        if ((cpu & CpuFeatures.Avx512Vnni) != 0 && !EmittedCode.Allowed) Assert.Ignore("the system refuses executable memory");
        Assert.That(QGemmKernels.Select(196, 256, 1024, cpu).Name, Is.EqualTo(wide), name);
        Assert.That(QGemmKernels.Select(196, 16, 1024, cpu).Name, Is.EqualTo(narrow), name);
        ConvShape shape = QConv.ConvShapes.Square(1, 128, 128, 128, 14, 3, 1, 1, 1);
        Assert.That(QConvMethod.Select(shape, cpu).Name, Is.EqualTo("depthwise " + depthwise), name);
    }

    [Test]
    public void NeverChoosesWhatTheCpuLacks()
    {
        foreach (CpuFeatures cpu in KnownCpus.All.Keys.Select(Of).Concat([CpuFeatures.None, Sse]))
        {
            for (int n = 1; n < 200; n += 7)
                Assert.That(QGemmKernels.Select(5, n, 33, cpu).Requires & ~cpu, Is.EqualTo(CpuFeatures.None));
        }
    }

    [Test]
    public void FormsFollowShapeAndKernel()
    {
        QGemmKernel bytes = QGemmKernels.Find("u8s8s32-6x16x4-avxvnni"), words = QGemmKernels.Find("u8s8s32-6x16x2-avx2");
        ConvShape pointwise = QConv.ConvShapes.Square(1, 64, 64, 1, 8, 1, 1, 1, 0), window = QConv.ConvShapes.Square(1, 64, 64, 1, 8, 3, 1, 1, 1);
        ConvShape first = QConv.ConvShapes.Square(1, 3, 64, 1, 32, 7, 2, 1, 3), dilated = QConv.ConvShapes.Square(1, 6, 64, 1, 32, 3, 1, 2, 2);
        Assert.That(QConvMethod.Select(pointwise, bytes).Form, Is.EqualTo(QConvForm.Pointwise));
        Assert.That(QConvMethod.Select(window, bytes).Form, Is.EqualTo(QConvForm.Indirect));
        Assert.That(QConvMethod.Select(window, words).Form, Is.EqualTo(QConvForm.PaddedRuns));
        Assert.That(QConvMethod.Select(first, bytes).Form, Is.EqualTo(QConvForm.PaddedRuns));
        Assert.That(QConvMethod.Select(dilated, bytes).Form, Is.EqualTo(QConvForm.Padded));
        Assert.That(QConvMethod.Select(first, bytes).Reason, Does.Contain("3 channels are no multiple of 4"));
    }

    [Test]
    public void KernelNamesAreUniqueAndTheDefinitionIsLast()
    {
        Assert.That(QGemmKernels.All.Select(k => k.Name), Is.Unique);
        Assert.That(QGemmKernels.All[^1].Requires, Is.EqualTo(CpuFeatures.None));
        Assert.That(QDepthwiseKernels.All.Select(k => k.Name), Is.Unique);
        Assert.That(QDepthwiseKernels.All[^1].Requires, Is.EqualTo(CpuFeatures.None));
    }
}
