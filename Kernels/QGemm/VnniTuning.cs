using System.Diagnostics;
using System.Globalization;
using Octet.Kernels.Cpu;
using Octet.Kernels.Emit;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;

namespace Octet.Kernels.QGemm;

/// <summary>Which form of VNNI is faster where a CPU has both: emitted zmm code or ymm intrinsics. Timed once per process.</summary>
/// <remarks>
/// Twice the width is not always twice the speed: CPUs split 512-bit operations in halves, or lower their clock for them. The product
/// that is timed stays in the near caches, so that the instruction decides and not the memory.
/// </remarks>
internal static class VnniTuning
{
    /// <summary>The environment variable that decides without measuring: <c>measure</c>, <c>zmm</c> or <c>ymm</c>.</summary>
    public const string Variable = "OCTET_VNNI";

    private const CpuFeatures Both = CpuFeatures.Avx512Vnni | CpuFeatures.AvxVnni;

    private const string Zmm = "u8s8s32-12x32x4-avx512vnni", Ymm = "u8s8s32-6x16x4-avxvnni";

    /// <summary>Rows fill the tiles of both kernels; the operands take 40 KiB.</summary>
    private const int M = 48, N = 64, K = 384;

    /// <summary>Products of one timing, alternating timings of each kernel: below 3 ms in all at 150 GMAC/s.</summary>
    private const int Repeats = 24, Rounds = 5;

    private static readonly Lazy<bool?> Override = new(() => Parse(Environment.GetEnvironmentVariable(Variable)));

    private static readonly Lazy<(bool PrefersYmm, string Reason)> Measured = new(Measure);

    /// <summary>What decided, in words; empty as long as nothing was to be decided.</summary>
    public static string Reason { get; private set; } = "";

    /// <summary>The features without the 512-bit form of VNNI where the 256-bit form is there too and faster.</summary>
    /// <exception cref="ArgumentException"><see cref="Variable"/> has an unknown value.</exception>
    public static CpuFeatures Usable(CpuFeatures cpu)
    {
        if ((cpu & Both) != Both || !EmittedCode.Allowed) return cpu;
        bool ymm;
        if (Override.Value is { } decided) (ymm, Reason) = (decided, $"{Variable} decides");
        else (ymm, Reason) = Measured.Value;
        return ymm ? cpu & ~CpuFeatures.Avx512Vnni : cpu;
    }

    /// <summary>The value of <see cref="Variable"/>: whether ymm is wanted, or null to measure.</summary>
    /// <exception cref="ArgumentException">It is none of the known names.</exception>
    public static bool? Parse(string? value) => value?.Trim().ToLowerInvariant() switch
    {
        null or "" or "measure" => null,
        "zmm" => false,
        "ymm" => true,
        _ => throw new ArgumentException($"{Variable} is '{value}'; rule: one of measure, zmm, ymm", nameof(value)),
    };

    /// <summary>Times both kernels by turns.</summary>
    internal static (bool PrefersYmm, string Reason) Measure()
    {
        Action zmm = Product(QGemmKernels.Find(Zmm)), ymm = Product(QGemmKernels.Find(Ymm));
        double bestZmm = double.PositiveInfinity, bestYmm = double.PositiveInfinity;
        for (int round = 0; round < Rounds; round++)
        {
            bestZmm = Math.Min(bestZmm, Seconds(zmm));
            bestYmm = Math.Min(bestYmm, Seconds(ymm));
        }
        return (bestYmm < bestZmm, string.Create(CultureInfo.InvariantCulture, $"measured: zmm {Speed(bestZmm):F0}, ymm {Speed(bestYmm):F0} GMAC/s"));
    }

    private static double Speed(double seconds) => (double)Repeats * M * N * K / seconds / 1e9;

    private static double Seconds(Action product)
    {
        product();   // widest registers and clock as in a run
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < Repeats; i++) product();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static Action Product(QGemmKernel kernel)
    {
        QGemmWeights weights = QGemmWeights.Pack(new sbyte[K * N], K, N, transposed: false, [], kernel);
        QEpilogue epilogue = QEpilogue.ToUInt8(N, [], [1e-3f], 0);
        byte[] a = new byte[M * K], y = new byte[M * N], scratch = new byte[QGemmDriver.ScratchBytes(M, weights, 1)];
        return () => QGemmDriver.Run(a, K, M, weights, 0, epilogue, default, y, N, scratch, Parallelism.None);
    }
}
