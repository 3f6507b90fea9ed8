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
        new("u8s8s32-12x32x4-avx512vnni", CpuFeatures.Avx512Vnni, 12, 32, QGemmPacking.Bytes, 360f, QEpilogueKernel.BesideEmittedCode, windows => QGemmAvx512VnniEmitter.EmitAll(12, 2, windows)),
        new("u8s8s32-6x64x4-avx512vnni", CpuFeatures.Avx512Vnni, 6, 64, QGemmPacking.Bytes, 350f, QEpilogueKernel.BesideEmittedCode, windows => QGemmAvx512VnniEmitter.EmitAll(6, 4, windows)),
        new("u8s8s32-12x16x4-avx512vnni", CpuFeatures.Avx512Vnni, 12, 16, QGemmPacking.Bytes, 300f, QEpilogueKernel.BesideEmittedCode, windows => QGemmAvx512VnniEmitter.EmitAll(12, 1, windows)),
        new("u8s8s32-6x16x4-avxvnni", CpuFeatures.Avx2 | CpuFeatures.AvxVnni, 6, 16, QGemmPacking.Bytes, 180f, QEpilogueKernel.Isa256, () => QGemmTile256<VnniDot256>.AllAtRunTime()) { Finishes = true, HasNarrow = true },
        new("u8s8s32-8x32x2-avx512", CpuFeatures.Avx512, 8, 32, QGemmPacking.Words, 100f, QEpilogueKernel.Isa512, () => QGemmTile512.All()),
        new("u8s8s32-3x16x4-avx2", CpuFeatures.Avx2, 3, 16, QGemmPacking.Pairs, 116f, QEpilogueKernel.Isa256, () => QGemmPairTile256.All()) { PairThroughput = 95f, UnprovedThroughput = 62f, Finishes = true, HasNarrow = true },
        new("u8s8s32-6x16x2-avx2", CpuFeatures.Avx2, 6, 16, QGemmPacking.Words, 80f, QEpilogueKernel.Isa256, () => QGemmTile256<WordDot256>.All()) { Finishes = true, HasNarrow = true },
        new("u8s8s32-6x8x2-sse41", CpuFeatures.Vector128 | CpuFeatures.Sse41, 6, 8, QGemmPacking.Words, 40f, QEpilogueKernel.Isa128, () => QGemmTile128<SseDot128>.All()),
        new("u8s8s32-6x8x2-vector128", CpuFeatures.Vector128, 6, 8, QGemmPacking.Words, 10f, QEpilogueKernel.Isa128, () => QGemmTile128<PortableDot128>.All()),
        new("u8s8s32-4x8x4-scalar", CpuFeatures.None, 4, 8, QGemmPacking.Bytes, 1f, QEpilogueKernel.Scalar, () => QGemmTileScalar.All()),
    ];

    /// <summary>The fastest kernel for an M×N×K product whatever the weights are: throughput times the share of the padded tile that is real work.</summary>
    public static QGemmKernel Select(int m, int n, int k, CpuFeatures cpu) => Fastest(n, k, cpu, 0f, proved: false)!;

    /// <summary>The kernel that would be faster still if the weights proved that every pair is safe; null if there is none.</summary>
    public static QGemmKernel? SelectIfProved(int m, int n, int k, CpuFeatures cpu) => Fastest(n, k, cpu, Speed(Select(m, n, k, cpu), n, k), proved: true);

    /// <summary>Names of the kernels among which weights decide; equal names pack equal weights equally.</summary>
    public static string Candidates(int m, int n, int k, CpuFeatures cpu) =>
        (SelectIfProved(m, n, k, cpu) is { } proved ? proved.Name + " or " : "") + Select(m, n, k, cpu).Name;

    /// <summary>The fastest kernel of words; null where the CPU has none.</summary>
    public static QGemmKernel? SelectWords(int n, int k, CpuFeatures cpu) =>
        All.Where(kernel => kernel.Packing == QGemmPacking.Words && (kernel.Requires & ~cpu) == 0).MaxBy(kernel => Speed(kernel, n, k));

    /// <summary>Relative speed of <paramref name="kernel"/>, with all of the weights proved: throughput times the share of the padded tile that is real work.</summary>
    public static float Speed(QGemmKernel kernel, int n, int k) =>
        kernel.Throughput * Used(n, kernel.HasNarrow ? kernel.Nr / 2 : kernel.Nr) * Used(k, kernel.Kr);

    private static QGemmKernel? Fastest(int n, int k, CpuFeatures cpu, float bestSpeed, bool proved)
    {
        cpu = EmittedCode.Usable(cpu);
        QGemmKernel? best = null;
        foreach (QGemmKernel kernel in All)
        {
            if ((kernel.Requires & ~cpu) != 0 || kernel.Packing == QGemmPacking.Pairs != proved) continue;
            float speed = Speed(kernel, n, k);
            if (speed > bestSpeed) (best, bestSpeed) = (kernel, speed);
        }
        return best;
    }

    /// <summary>The kernel called <paramref name="name"/>.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static QGemmKernel Find(string name) =>
        Array.Find(All, kernel => kernel.Name == name) ?? throw new ArgumentException($"no QGemm kernel is called '{name}'", nameof(name));

    private static float Used(int extent, int tile) => extent <= 0 ? 1f : (float)extent / ((extent + tile - 1) / tile * tile);
}
