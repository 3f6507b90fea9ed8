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

    /// <summary>Timed runs of each form, by turns; the fastest counts. With two, a busy machine made the direct form of a layer look 18 times slower than it is.</summary>
    private const int Rounds = 5;

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
        Trial[] directTrials = [.. QConvChoice.Direct(shape, cpu).Select(method => new Trial(shape, method))];
        var fourTrial = new Trial(shape, QConvMethod.Winograd(QConvForm.Winograd4, shape, cpu)!);
        Alternate([.. directTrials, fourTrial]);
        double two = double.PositiveInfinity;
        if (fourTrial.Best * 1.3 >= directTrials.Min(trial => trial.Best))
        {
            var twoTrial = new Trial(shape, QConvMethod.Winograd(QConvForm.Winograd2, shape, cpu)!);
            Alternate([.. directTrials, fourTrial, twoTrial]);
            two = twoTrial.Best;
        }
        double direct = directTrials.Min(trial => trial.Best), four = fourTrial.Best;
        QConvForm? form = Math.Min(two, four) * Margin >= direct ? null : four <= two ? QConvForm.Winograd4 : QConvForm.Winograd2;
        string twoText = double.IsInfinity(two) ? "" : $", 2x2 {Micros(two)}";
        return (form, $"measured with cold weights: direct {Micros(direct)}{twoText}, 4x4 {Micros(four)}");
    }

    /// <summary>Runs all forms by turns, so that a stretch of time in which another program has the CPU cannot fall on one form alone.</summary>
    private static void Alternate(Trial[] trials)
    {
        for (int round = 0; round < Rounds; round++)
            foreach (Trial trial in trials) trial.Run();
    }

    private static string Micros(double seconds) => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e6:F0} us");

    /// <summary>Best time of one form on one thread, its weights driven out of the near caches before every run.</summary>
    internal static double Seconds(ConvShape shape, QConvMethod method)
    {
        var trial = new Trial(shape, method);
        Alternate([trial]);
        return trial.Best;
    }

    /// <summary>One form with everything that a run needs; made and run once, so that timings find its code compiled.</summary>
    private sealed class Trial
    {
        private readonly QConvolution _convolution;
        private readonly byte[] _x, _y, _scratch, _flush = new byte[FlushBytes];
        private byte _round;

        public Trial(ConvShape shape, QConvMethod method)
        {
            _convolution = QConvolution.Create(shape, QConvWeights.Ones(shape, method), 0, QEpilogue.ToUInt8(shape.OutChannels, [], [1e-3f], 0));
            _x = new byte[shape.Batch * shape.InputPixels * shape.InChannels];
            _y = new byte[shape.Batch * shape.OutputPixels * shape.OutChannels];
            _scratch = new byte[_convolution.ScratchBytes(1)];
            _flush.AsSpan().Fill(1);
            _convolution.Run(_x, default, _y, _scratch, Parallelism.None);
        }

        /// <summary>Least time of a run, seconds.</summary>
        public double Best { get; private set; } = double.PositiveInfinity;

        public void Run()
        {
            if (_flush.AsSpan().IndexOf((byte)0) >= 0) throw new InvalidOperationException("the flush buffer was overwritten");
            _x.AsSpan().Fill(_round++);   // the layer before has just written its output
            long start = Stopwatch.GetTimestamp();
            _convolution.Run(_x, default, _y, _scratch, Parallelism.None);
            Best = Math.Min(Best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
    }
}
