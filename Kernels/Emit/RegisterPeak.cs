using System.Diagnostics;
using Octet.Kernels.Cpu;
using static Octet.Kernels.Emit.Gpr;
using static Octet.Kernels.Emit.KernelAssembler;

namespace Octet.Kernels.Emit;

/// <summary>What this CPU's multiply instructions reach on registers alone: the ceiling that kernels are compared with in the same run.</summary>
internal static unsafe class RegisterPeak
{
    private const int Iterations = 100_000, Rounds = 50;

    /// <summary>Multiply-accumulates per second of VPDPBUSD on zmm; 0 where it cannot run.</summary>
    public static double DotZmm(CpuFeatures cpu) => Measure(cpu, CpuFeatures.Avx512Vnni, 16 * 64, "peak-vpdpbusd-zmm", code =>
    {
        for (int i = 0; i < 16; i++) code.Vpdpbusd(Zmm(i), Zmm(30), Zmm(31));
    });

    /// <summary>Multiply-accumulates per second of VPDPBUSD on ymm in its VEX form; 0 where it cannot run.</summary>
    public static double DotYmm(CpuFeatures cpu) => Measure(cpu, CpuFeatures.AvxVnni, 12 * 32, "peak-vpdpbusd-ymm", code =>
    {
        for (int i = 0; i < 12; i++) code.Vpdpbusd(Ymm(i), Ymm(14), Ymm(15));
    });

    /// <summary>Multiply-accumulates per second of VPMADDWD with VPADDD on ymm; 0 where it cannot run.</summary>
    public static double WordsYmm(CpuFeatures cpu) => Measure(cpu, CpuFeatures.Avx2, 8 * 16, "peak-vpmaddwd-ymm", code =>
    {
        const int sums = 8, products = 6;
        for (int i = 0; i < sums; i++)
        {
            Vec product = Ymm(sums + i % products);
            code.Vpmaddwd(product, Ymm(14), Ymm(15));
            code.Vpaddd(Ymm(i), Ymm(i), product);
        }
    });

    private static Vec Ymm(int number) => new(number, 256);

    private static double Measure(CpuFeatures cpu, CpuFeatures requires, int macs, string name, Action<KernelAssembler> body)
    {
        if ((requires & ~cpu) != 0 || !EmittedCode.Allowed) return 0;
        nint[] functions = EmittedCode.Load(name, () =>
        {
            var code = new KernelAssembler(1);
            CodeLabel loop = Label();
            code.Place(loop);
            body(code);
            code.Dec(Rax);
            code.Jne(loop);
            return [code.Finish(name)];
        });
        var function = (delegate* unmanaged[SuppressGCTransition]<nint, void>)functions[0];
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
