using Octet.Kernels.Cpu;
using Octet.Kernels.Emit;
using Octet.Kernels.QGemm.X86;
using Octet.Kernels.Requantize;

namespace Octet.Kernels.QGemm;

/// <summary>Every u8×s8→s32 tile. Adding a kernel is one file and one row: selector, tests and benchmarks iterate the table.</summary>
internal static unsafe class QGemmKernels
{
    /// <summary>The table; the scalar definition is last and always usable.</summary>
    public static readonly QGemmKernel[] All =
    [
        //  types-MrxNrxKr-isa        requires             Mr  Nr  packing             throughput (GMAC/s of a full tile, one machine)
        new("u8s8s32-12x32x4-avx512vnni", CpuFeatures.Avx512 | CpuFeatures.Avx512Vnni, 12, 32, QGemmPacking.Bytes, 360f, QEpilogueKernel.Isa512, true, () => QGemmAvx512VnniEmitter.Load(12, 2)),
        new("u8s8s32-6x64x4-avx512vnni", CpuFeatures.Avx512 | CpuFeatures.Avx512Vnni, 6, 64, QGemmPacking.Bytes, 350f, QEpilogueKernel.Isa512, true, () => QGemmAvx512VnniEmitter.Load(6, 4)),
        new("u8s8s32-12x16x4-avx512vnni", CpuFeatures.Avx512 | CpuFeatures.Avx512Vnni, 12, 16, QGemmPacking.Bytes, 300f, QEpilogueKernel.Isa512, true, () => QGemmAvx512VnniEmitter.Load(12, 1)),
        new("u8s8s32-6x16x4-avxvnni", CpuFeatures.Avx2 | CpuFeatures.AvxVnni, 6, 16, QGemmPacking.Bytes, 180f, QEpilogueKernel.Isa256, false, () => QGemmTile256<VnniDot256>.All()),
        new("u8s8s32-8x32x2-avx512", CpuFeatures.Avx512, 8, 32, QGemmPacking.Words, 100f, QEpilogueKernel.Isa512, false, () => QGemmTile512.All()),
        new("u8s8s32-6x16x2-avx2", CpuFeatures.Avx2, 6, 16, QGemmPacking.Words, 80f, QEpilogueKernel.Isa256, false, () => QGemmTile256<WordDot256>.All()),
        new("u8s8s32-4x8x4-scalar", CpuFeatures.None, 4, 8, QGemmPacking.Bytes, 1f, QEpilogueKernel.Scalar, false, () => QGemmTileScalar.All()),
    ];

    /// <summary>The fastest kernel for an M×N×K product: throughput times the share of the padded tile that is real work.</summary>
    public static QGemmKernel Select(int m, int n, int k, CpuFeatures cpu)
    {
        cpu = EmittedCode.Usable(cpu);
        QGemmKernel? best = null;
        float bestSpeed = 0;
        foreach (QGemmKernel kernel in All)
        {
            if ((kernel.Requires & ~cpu) != 0) continue;
            float speed = kernel.Throughput * Used(n, kernel.Nr) * Used(k, kernel.Kr);
            if (speed > bestSpeed) (best, bestSpeed) = (kernel, speed);
        }
        return best!;
    }

    /// <summary>The kernel called <paramref name="name"/>.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static QGemmKernel Find(string name) =>
        Array.Find(All, kernel => kernel.Name == name) ?? throw new ArgumentException($"no QGemm kernel is called '{name}'", nameof(name));

    private static float Used(int extent, int tile) => extent <= 0 ? 1f : (float)extent / ((extent + tile - 1) / tile * tile);
}
