using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.Memory;
using Octet.Kernels.QConv.Winograd;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;

namespace Octet.Kernels.QConv;

/// <summary>Times the direct and the Winograd form of a layer with weights that are not in the cache, once per process and shape.</summary>
/// <remarks>
/// Winograd multiplies less but transforms its filters in every run, so which form is faster depends on the layer and on the machine; in a network a layer's weights have been driven out of
/// the near caches by those of the others. Where the direct kernel is known to be <see cref="LargestGain"/> times as fast as the words that Winograd multiplies, as VPDPBUSD on zmm is,
/// nothing is timed and a session starts the sooner. Elsewhere one layer that suits Winograd best is timed first, and nothing more where it loses there. A layer takes four to eight runs of itself.
/// </remarks>
internal static class QConvTuning
{
    /// <summary>The environment variable that decides without measuring: <c>off</c>, <c>2x2</c>, <c>4x4</c> or <c>measure</c>.</summary>
    public const string Variable = "OCTET_WINOGRAD";

    /// <summary>Runs of each form, by turns; the fastest counts, so that the first, which finds its room untouched, does no harm.</summary>
    private const int Rounds = 2;

    /// <summary>Further runs where the forms are within a factor <see cref="Sure"/> of each other.</summary>
    private const int FurtherRounds = 2;

    private const double Sure = 1.07;

    /// <summary>Bytes read between runs: more than the second-level cache of almost any CPU in use.</summary>
    private const int FlushBytes = 4 << 20;

    /// <summary>F(4×4) multiplies a quarter as often and spends a quarter of its time on transforms.</summary>
    private const float LargestGain = 3f;

    private static readonly Dictionary<string, (QConvForm? Form, string Reason)> Known = [];

    private static readonly Lock Gate = new();

    private static readonly WeakReference<byte[]> Flush = new([]);

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
        float direct = 0;
        foreach (QConvMethod method in QConvChoice.Direct(shape, cpu)) direct = Math.Max(direct, QGemmKernels.Speed(method.Kernel!, n, k));
        float words = QGemmKernels.Speed(QGemmKernels.SelectWords(n, k, cpu)!, n, k);
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

    private static (QConvForm? Form, string Reason) Get(ConvShape shape, CpuFeatures cpu)
    {
        // A string, since comparers of structs would have to be compiled.
        string key = string.Create(CultureInfo.InvariantCulture, $"{(long)cpu} {shape.Batch} {shape.InChannels} {shape.OutChannels} {shape.Groups} {Key(shape.D)} {Key(shape.H)} {Key(shape.W)}");
        lock (Gate)
        {
            if (!Known.TryGetValue(key, out (QConvForm? Form, string Reason) choice)) Known.Add(key, choice = Measure(Part(shape), cpu));
            return choice;
        }
    }

    private static string Key(WindowAxis axis) =>
        string.Create(CultureInfo.InvariantCulture, $"{axis.Input} {axis.Kernel} {axis.Stride} {axis.Dilation} {axis.PadBegin} {axis.PadEnd} {axis.Output}");

    /// <summary>Output channels and output pixels of a layer that are timed: enough for either form to show its speed.</summary>
    private const int PartChannels = 128, PartPixels = 784;

    /// <summary>As much of a layer as is timed: either form does the same for all channels of its output, and for all lines.</summary>
    private static ConvShape Part(ConvShape shape)
    {
        WindowAxis h = shape.H;
        int lines = Math.Max(QWinograd4.Output, PartPixels / Math.Max(1, shape.W.Output) / QWinograd4.Output * QWinograd4.Output);
        if (lines < h.Output && h.PadBegin < h.Span) h = h with { Input = lines + h.Span - 1 - h.PadBegin, PadEnd = 0, Output = lines };
        return shape with { OutChannels = Math.Min(shape.OutChannels, PartChannels), H = h };
    }

    private static (QConvForm? Form, string Reason) Measure(ConvShape shape, CpuFeatures cpu)
    {
        // F(4×4) multiplies least, but for images that one tile of 2×2 covers.
        QConvForm form = shape.H.Output <= QWinograd2.Output && shape.W.Output <= QWinograd2.Output ? QConvForm.Winograd2 : QConvForm.Winograd4;
        // The first direct method is the faster one where the weights allow it; here they do.
        using Trial direct = new(shape, QConvChoice.Direct(shape, cpu).First()), winograd = new(shape, QConvMethod.Winograd(form, shape, cpu)!);
        Alternate([direct, winograd], Rounds);
        double gain = direct.Best / winograd.Best;
        if (gain is > 1 / Sure and < Sure) Alternate([direct, winograd], FurtherRounds);
        string name = form == QConvForm.Winograd4 ? "4x4" : "2x2";
        return (winograd.Best < direct.Best ? form : null, $"measured with cold weights on {shape.H.Output} lines and {shape.OutChannels} channels: direct {Micros(direct.Best)}, {name} {Micros(winograd.Best)}");
    }

    /// <summary>Runs all forms by turns, so that a stretch of time in which another program has the CPU cannot fall on one form alone.</summary>
    private static void Alternate(Trial[] trials, int rounds)
    {
        for (int round = 0; round < rounds; round++)
        {
            foreach (Trial trial in trials) trial.Run();
        }
    }

    private static string Micros(double seconds) => string.Create(CultureInfo.InvariantCulture, $"{seconds * 1e6:F0} us");

    /// <summary>Best time of one form on one thread, its weights driven out of the near caches before every run.</summary>
    internal static double Seconds(ConvShape shape, QConvMethod method)
    {
        using var trial = new Trial(shape, method);
        Alternate([trial], Rounds + FurtherRounds);
        return trial.Best;
    }

    /// <summary>One form with everything that a run needs.</summary>
    private sealed unsafe class Trial : IDisposable
    {
        private readonly QConvolution _convolution;
        private readonly int _xBytes, _yBytes, _scratchBytes;
        private readonly byte* _room;
        private readonly byte[] _flush;
        private byte _round;

        public Trial(ConvShape shape, QConvMethod method)
        {
            _convolution = QConvolution.Create(shape, QConvWeights.Ones(shape, method), 0, QEpilogue.ToUInt8(shape.OutChannels, [], [1e-3f], 0));
            _xBytes = shape.Batch * shape.InputPixels * shape.InChannels;
            _yBytes = shape.Batch * shape.OutputPixels * shape.OutChannels;
            _scratchBytes = _convolution.ScratchBytes(1);
            if (!Flush.TryGetTarget(out byte[]? flush) || flush.Length == 0)
            {
                flush = new byte[FlushBytes];
                fixed (byte* bytes = flush) NativeMemory.Fill(bytes, FlushBytes, 1);
                Flush.SetTarget(flush);
            }
            _flush = flush;
            _room = (byte*)NativeMemory.AlignedAlloc((nuint)_xBytes + (nuint)_yBytes + (nuint)_scratchBytes + AlignedBuffer.Slack, AlignedBuffer.Alignment);
        }

        /// <summary>Least time of a run, seconds.</summary>
        public double Best { get; private set; } = double.PositiveInfinity;

        public void Run()
        {
            if (_flush.AsSpan().IndexOf((byte)0) >= 0) throw new InvalidOperationException("the flush buffer was overwritten");
            Span<byte> x = new(_room, _xBytes), y = new(_room + _xBytes, _yBytes), scratch = new(_room + _xBytes + _yBytes, _scratchBytes);
            NativeMemory.Fill(_room, (nuint)_xBytes, _round++);   // the layer before has just written its output
            TimeSpan processor = ProcessorTime();
            long start = Stopwatch.GetTimestamp();
            _convolution.Run(x, default, y, scratch, Parallelism.None);
            // Time on the clock counts other programs that had this CPU, the process's own counts other threads: neither is too short.
            double elapsed = Stopwatch.GetElapsedTime(start).TotalSeconds, used = (ProcessorTime() - processor).TotalSeconds;
            Best = Math.Min(Best, used > 0 ? Math.Min(elapsed, used) : elapsed);
        }

        public void Dispose()
        {
            NativeMemory.AlignedFree(_room);
            _convolution.Weights.Free();
        }

        private static TimeSpan ProcessorTime() =>
            OperatingSystem.IsLinux() || OperatingSystem.IsMacOS() ? Environment.CpuUsage.TotalTime : TimeSpan.Zero;   // elsewhere it counts in ticks of milliseconds
    }
}
