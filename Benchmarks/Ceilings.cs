using System.Diagnostics;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Cpu;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;

namespace Octet.Benchmarks;

/// <summary>What one core of this machine can do at most, measured now: multiply-accumulates per second with operands in registers or, for emitted code, in L1.</summary>
internal static class Ceilings
{
    /// <summary>Windows measured; the best counts, since the machine may be shared.</summary>
    private const int Windows = 15;

    private const int Iterations = 200_000;

    /// <summary>float32 FMA on the widest vectors, GMAC/s; 0 without FMA.</summary>
    public static double Float32() => Avx512F.IsSupported ? Best(Fma512, Iterations * 16L * 16) : Fma.IsSupported ? Best(Fma256, Iterations * 12L * 8) : 0;

    /// <summary>
    /// Integer products: the fastest tile of this CPU on one tile whose operands stay in L1, GMAC/s. (The instruction itself has no intrinsic on zmm registers.)
    /// </summary>
    public static double Int8()
    {
        double best = 0;
        foreach (QGemmKernel kernel in QGemmKernels.All)
        {
            if ((kernel.Requires & ~CpuInfo.Detected) != 0) continue;
            const int k = 512;
            const int tiles = 4;
            var a = new byte[tiles * kernel.Mr * k];
            var b = new sbyte[k * kernel.Nr];
            QGemmWeights weights = QGemmWeights.Pack(b, k, kernel.Nr, transposed: false, [], kernel);
            QEpilogue epilogue = QEpilogue.ToInt32(kernel.Nr);
            var y = new byte[tiles * kernel.Mr * kernel.Nr * sizeof(int)];
            var scratch = new byte[QGemmDriver.ScratchBytes(tiles * kernel.Mr, weights, 1)];
            const int repeats = 500;
            best = Math.Max(best, Best(() =>
            {
                for (int i = 0; i < repeats; i++) QGemmDriver.Run(a, k, tiles * kernel.Mr, weights, 0, epilogue, [], y, kernel.Nr, scratch, Parallelism.None);
            }, (long)repeats * tiles * kernel.Mr * kernel.Nr * k));
        }
        return best;
    }

    private static double Best(Action run, long multiplyAccumulates)
    {
        for (int i = 0; i < 3; i++) run();
        double best = double.PositiveInfinity;
        for (int i = 0; i < Windows; i++)
        {
            long start = Stopwatch.GetTimestamp();
            run();
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        return multiplyAccumulates / best / 1e9;
    }

    private static void Fma512()
    {
        Vector512<float> x = Vector512.Create(0.5f), y = Vector512.Create(0.25f);
        Vector512<float> a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x, m = x, n = x, o = x, p = x;
        for (int t = 0; t < Iterations; t++)
        {
            a = Avx512F.FusedMultiplyAdd(a, x, y); b = Avx512F.FusedMultiplyAdd(b, x, y); c = Avx512F.FusedMultiplyAdd(c, x, y); d = Avx512F.FusedMultiplyAdd(d, x, y);
            e = Avx512F.FusedMultiplyAdd(e, x, y); f = Avx512F.FusedMultiplyAdd(f, x, y); g = Avx512F.FusedMultiplyAdd(g, x, y); h = Avx512F.FusedMultiplyAdd(h, x, y);
            i = Avx512F.FusedMultiplyAdd(i, x, y); j = Avx512F.FusedMultiplyAdd(j, x, y); k = Avx512F.FusedMultiplyAdd(k, x, y); l = Avx512F.FusedMultiplyAdd(l, x, y);
            m = Avx512F.FusedMultiplyAdd(m, x, y); n = Avx512F.FusedMultiplyAdd(n, x, y); o = Avx512F.FusedMultiplyAdd(o, x, y); p = Avx512F.FusedMultiplyAdd(p, x, y);
        }
        Keep(Vector512.Sum(a + b + c + d + e + f + g + h + i + j + k + l + m + n + o + p));
    }

    private static void Fma256()
    {
        Vector256<float> x = Vector256.Create(0.5f), y = Vector256.Create(0.25f);
        Vector256<float> a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x;
        for (int t = 0; t < Iterations; t++)
        {
            a = Fma.MultiplyAdd(a, x, y); b = Fma.MultiplyAdd(b, x, y); c = Fma.MultiplyAdd(c, x, y); d = Fma.MultiplyAdd(d, x, y);
            e = Fma.MultiplyAdd(e, x, y); f = Fma.MultiplyAdd(f, x, y); g = Fma.MultiplyAdd(g, x, y); h = Fma.MultiplyAdd(h, x, y);
            i = Fma.MultiplyAdd(i, x, y); j = Fma.MultiplyAdd(j, x, y); k = Fma.MultiplyAdd(k, x, y); l = Fma.MultiplyAdd(l, x, y);
        }
        Keep(Vector256.Sum(a + b + c + d + e + f + g + h + i + j + k + l));
    }

    private static float s_kept;

    private static void Keep(float value) => Volatile.Write(ref s_kept, value);
}
