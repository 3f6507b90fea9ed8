using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;

namespace Octet.Kernels.QConv;

/// <summary>Times the direct and the Winograd forms of a layer with weights that are not in the cache, once per process and shape.</summary>
/// <remarks>
/// Winograd multiplies less but reads 3.6 or 8 times the bytes of weights, so which form is faster depends on the memory of the machine as much as on the layer;
/// in a network a layer's weights have been driven out of the near caches by those of the others. Where the direct kernel is known to be
/// <see cref="LargestGain"/> times as fast as the words that Winograd multiplies, as VPDPBUSD on zmm is, nothing is timed and a session starts the sooner. Elsewhere
/// one layer that suits Winograd best is timed first, and nothing more where it loses there.
/// </remarks>
internal static class QConvTuning
{
    /// <summary>The environment variable that decides without measuring: <c>off</c>, <c>2x2</c>, <c>4x4</c> or <c>measure</c>.</summary>
    public const string Variable = "OCTET_WINOGRAD";

    /// <summary>Runs of each form; the fastest counts.</summary>
    private const int Rounds = 2;

    /// <summary>Bytes read between runs: more than the second-level cache of any CPU in use.</summary>
    private const int FlushBytes = 8 << 20;

    /// <summary>How much faster a measurement must be to count: as much as timings of one form differ on a quiet machine.</summary>
    private const double Margin = 1.05;

    /// <summary>F(4×4) multiplies a quarter as often and spends a quarter of its time on transforms.</summary>
    private const float LargestGain = 3f;

    private static readonly ConcurrentDictionary<(ConvShape Shape, CpuFeatures Cpu), Lazy<(QConvForm? Form, string Reason)>> Known = new();

    private static readonly Lock Gate = new();

    private static readonly WinogradUse? Override = Parse(Environment.GetEnvironmentVariable(Variable));

    /// <summary>The Winograd form that is faster than the direct one for <paramref name="shape"/>, or null.</summary>
    /// <param name="shape">Extents.</param>
    /// <param name="cpu">Features that kernels may use.</param>
    /// <param name="reason">What was measured; empty where nothing was to be chosen.</param>
    public static QConvForm? Choose(ConvShape shape, CpuFeatures cpu, out string reason)
    {
        reason = "";
        if (QConvMethod.Winograd(QConvForm.Winograd4, shape, cpu) is null) return null;
        if (Override is { } decided && decided != WinogradUse.Measured)
        {
            reason = $"{Variable} decides";
            return decided == WinogradUse.Never ? null : decided == WinogradUse.Tile2 ? QConvForm.Winograd2 : QConvForm.Winograd4;
        }
        int n = shape.OutChannels, k = shape.InChannels;
        float direct = QConvChoice.Direct(shape, cpu).Max(method => QGemmKernels.Speed(method.Kernel!, n, k)), words = QGemmKernels.Speed(QGemmKernels.SelectWords(n, k, cpu)!, n, k);
        if (direct >= LargestGain * words)
        {
            reason = string.Create(CultureInfo.InvariantCulture, $"the direct kernel is {direct / words:F1} times as fast as the words of Winograd's form, which gains at most {LargestGain:F0}");
            return null;
        }
        ConvShape best = Favourable;
        (QConvForm? form, string text) = Get(best, cpu);
        if (form is null)
        {
            reason = "Winograd is not faster here even on the layer that suits it best: " + text;
            return null;
        }
        // One image decides for any batch: more images only spread the cost of the weights.
        (form, reason) = Get(shape with { Batch = 1 }, cpu);
        return form;
    }

    /// <summary>The value of <see cref="Variable"/> in words.</summary>
    /// <exception cref="ArgumentException">It is none of the known names.</exception>
    public static WinogradUse? Parse(string? value) => value?.Trim().ToLowerInvariant() switch
    {
        null or "" => null,
        "measure" => WinogradUse.Measured,
        "off" => WinogradUse.Never,
        "2x2" => WinogradUse.Tile2,
        "4x4" => WinogradUse.Tile4,
        _ => throw new ArgumentException($"{Variable} is '{value}'; rule: one of measure, off, 2x2, 4x4", nameof(value)),
    };

    /// <summary>Few weights and many pixels.</summary>
    private static ConvShape Favourable
    {
        get
        {
            var axis = new WindowAxis(56, 3, 1, 1, 1, 1, 56);
            return new ConvShape(1, 64, 64, 1, WindowAxis.Unit, axis, axis);
        }
    }

    private static (QConvForm? Form, string Reason) Get(ConvShape shape, CpuFeatures cpu) =>
        Known.GetOrAdd((shape, cpu), key => new(() =>
        {
            lock (Gate) return Measure(key.Shape, key.Cpu);
        })).Value;

    private static (QConvForm? Form, string Reason) Measure(ConvShape shape, CpuFeatures cpu)
    {
        double direct = QConvChoice.Direct(shape, cpu).Min(method => Seconds(shape, method));
        double four = Seconds(shape, QConvMethod.Winograd(QConvForm.Winograd4, shape, cpu)!);
        double two = four * 1.3 < direct ? double.PositiveInfinity : Seconds(shape, QConvMethod.Winograd(QConvForm.Winograd2, shape, cpu)!);
        QConvForm? form = Math.Min(two, four) * Margin >= direct ? null : four <= two ? QConvForm.Winograd4 : QConvForm.Winograd2;
        string twoText = double.IsInfinity(two) ? "" : $", 2x2 {Micros(two)}";
        return (form, $"measured with cold weights: direct {Micros(direct)}{twoText}, 4x4 {Micros(four)}");
    }

    private static string Micros(double seconds) => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e6:F0} us");

    /// <summary>Best time of one form on one thread, its weights driven out of the near caches before every run.</summary>
    internal static double Seconds(ConvShape shape, QConvMethod method)
    {
        QConvolution convolution = QConvolution.Create(shape, QConvWeights.Ones(shape, method), 0, QEpilogue.ToUInt8(shape.OutChannels, [], [1e-3f], 0));
        var x = new byte[shape.Batch * shape.InputPixels * shape.InChannels];
        var y = new byte[shape.Batch * shape.OutputPixels * shape.OutChannels];
        var scratch = new byte[convolution.ScratchBytes(1)];
        var flush = new byte[FlushBytes];
        flush.AsSpan().Fill(1);
        convolution.Run(x, default, y, scratch, Parallelism.None);
        double best = double.PositiveInfinity;
        for (int round = 0; round < Rounds; round++)
        {
            if (flush.AsSpan().IndexOf((byte)0) >= 0) throw new InvalidOperationException("the flush buffer was overwritten");
            x.AsSpan().Fill((byte)round);   // the layer before has just written its output
            long start = Stopwatch.GetTimestamp();
            convolution.Run(x, default, y, scratch, Parallelism.None);
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        return best;
    }
}
