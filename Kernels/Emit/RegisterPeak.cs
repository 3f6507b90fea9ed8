using System.Diagnostics;
using Iced.Intel;
using Octet.Kernels.Cpu;
using static Iced.Intel.AssemblerRegisters;

namespace Octet.Kernels.Emit;

/// <summary>What this CPU's multiply instructions reach on registers alone: the ceiling that kernels are compared with in the same run.</summary>
internal static unsafe class RegisterPeak
{
    private const int Iterations = 100_000, Rounds = 50;

    /// <summary>Multiply-accumulates per second of VPDPBUSD on zmm; 0 where it cannot run.</summary>
    public static double DotZmm(CpuFeatures cpu) => Measure(cpu, CpuFeatures.Avx512Vnni, 16 * 64, code =>
    {
        for (int i = 0; i < 16; i++) code.vpdpbusd(KernelAssembler.Zmm(i), zmm30, zmm31);
    });

    /// <summary>Multiply-accumulates per second of VPDPBUSD on ymm in its VEX form; 0 where it cannot run.</summary>
    public static double DotYmm(CpuFeatures cpu) => Measure(cpu, CpuFeatures.AvxVnni, 12 * 32, code =>
    {
        AssemblerRegisterYMM[] sums = [ymm0, ymm1, ymm2, ymm3, ymm4, ymm5, ymm6, ymm7, ymm8, ymm9, ymm10, ymm11];
        code.PreferVex = true;
        foreach (AssemblerRegisterYMM sum in sums) code.vpdpbusd(sum, ymm14, ymm15);
    });

    /// <summary>Multiply-accumulates per second of VPMADDWD with VPADDD on ymm; 0 where it cannot run.</summary>
    public static double WordsYmm(CpuFeatures cpu) => Measure(cpu, CpuFeatures.Avx2, 8 * 16, code =>
    {
        AssemblerRegisterYMM[] sums = [ymm0, ymm1, ymm2, ymm3, ymm4, ymm5, ymm6, ymm7], products = [ymm8, ymm9, ymm10, ymm11, ymm12, ymm13];
        for (int i = 0; i < sums.Length; i++)
        {
            code.vpmaddwd(products[i % products.Length], ymm14, ymm15);
            code.vpaddd(sums[i], sums[i], products[i % products.Length]);
        }
    });

    private static double Measure(CpuFeatures cpu, CpuFeatures requires, int macs, Action<Assembler> body)
    {
        if ((requires & ~cpu) != 0 || !EmittedCode.Allowed) return 0;
        var kernel = new KernelAssembler(1);
        Label loop = kernel.Code.CreateLabel();
        kernel.Code.Label(ref loop);
        body(kernel.Code);
        kernel.Code.dec(rax);
        kernel.Code.jnz(loop);
        var function = (delegate* unmanaged[SuppressGCTransition]<nint, void>)EmittedCode.Load([kernel.Finish()])[0];
        double best = double.MaxValue;
        for (int round = 0; round < Rounds; round++)
        {
            long start = Stopwatch.GetTimestamp();
            function(Iterations);
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        return (double)Iterations * macs / best;
    }
}
