using System.Diagnostics;
using Octet.Benchmarks.Networks;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Benchmarks.Peers;

/// <summary>Speed of a model in Octet and in ONNX Runtime: one process, same threads, alternating rounds.</summary>
/// <param name="Model">File compared.</param>
/// <param name="Threads">Threads of both.</param>
/// <param name="Rounds">Rounds; each times Octet, then the peer.</param>
/// <param name="OctetMedianMs">Median over rounds.</param>
/// <param name="PeerMedianMs">Median over rounds.</param>
/// <param name="Ratio">Median of the rounds' peer time over Octet time; above 1 Octet is faster.</param>
/// <param name="RatioP25">Lower quartile of the same.</param>
/// <param name="RatioP75">Upper quartile of the same.</param>
/// <param name="OctetFastMs">The call that a tenth of all calls is faster than: on a busy machine, the time of a call that nobody disturbed.</param>
/// <param name="PeerFastMs">The same of the peer.</param>
/// <param name="MaxAbsDiff">Largest difference of the first output.</param>
/// <param name="Top1Agrees">Whether the first output's largest element is the same.</param>
internal sealed record Comparison(string Model, int Threads, int Rounds, double OctetMedianMs, double PeerMedianMs, double Ratio, double RatioP25, double RatioP75, double OctetFastMs, double PeerFastMs, double MaxAbsDiff, bool Top1Agrees)
{
    /// <summary>A round runs each side for about this long, so that a timer tick or a short run does not matter.</summary>
    private const double RoundMilliseconds = 30;

    /// <summary>Calls after which the JIT compiles a method again.</summary>
    private const int WarmUpCalls = 40;

    /// <summary>Passes without a gain after which it is over, and passes at most.</summary>
    private const int WarmUpPasses = 3, MostWarmUpPasses = 15;

    /// <summary>A pass that is faster than this times the best counts as a gain.</summary>
    private const double WarmUpGain = 0.97;

    private static readonly TimeSpan WarmUpTime = TimeSpan.FromMilliseconds(300), WarmUpPause = TimeSpan.FromMilliseconds(150);

    /// <summary>Pauses of 5 ms at most until the process rests.</summary>
    private const int MostPauses = 60;

    /// <summary>Share of the calls that are faster than the fast one.</summary>
    private const double FastShare = 0.1;

    /// <summary>Compares.</summary>
    public static Comparison Run(string path, string peerPath, int threads, int rounds, bool exact, Func<InferenceSession, Tensor[]>? makeInputs = null, bool cpuTime = false)
    {
        Model model = Octet.Runtime.Model.Load(path);
        var session = new InferenceSession(model, new SessionOptions { Threads = threads });
        Tensor[] inputs = makeInputs?.Invoke(session) ?? SampleInputs.For(session, 1);
        // Where an extent of an output follows from data, no outputs can be made before the run.
        bool planned = TryCreateOutputs(session, inputs, out Tensor[] outputs);
        Dictionary<string, Tensor> named = session.Inputs.Zip(inputs).ToDictionary(pair => pair.First.Name, pair => pair.Second);
        if (planned) session.Run(inputs, outputs);
        else outputs = [.. session.Outputs.Select(output => session.Run(named)[output.Name])];
        using var peer = new PeerSession(peerPath, inputs, [.. session.Inputs.Select(input => input.Name)], threads, exact);
        float[] expected = peer.RunFirstOutput();
        float[] actual = outputs[0].Type == DataType.Float32 ? outputs[0].Span<float>().ToArray() : [];

        void Ours()
        {
            if (planned) session.Run(inputs, outputs);
            else session.Run(named);
        }

        WarmUp(Ours);
        int ours = Repeats(Ours), theirs = Repeats(peer.Run);
        var octetMs = new double[rounds];
        var peerMs = new double[rounds];
        var ratios = new double[rounds];
        List<double> octetCalls = [], peerCalls = [];
        for (int round = 0; round < rounds; round++)
        {
            if (threads > 1) Settle();
            octetMs[round] = Time(Ours, ours, octetCalls, cpuTime);
            if (threads > 1) Settle();
            peerMs[round] = Time(peer.Run, theirs, peerCalls, cpuTime);
            ratios[round] = peerMs[round] / octetMs[round];
        }
        double difference = 0;
        for (int i = 0; i < Math.Min(expected.Length, actual.Length); i++) difference = Math.Max(difference, Math.Abs((double)expected[i] - actual[i]));
        return new Comparison(Path.GetFileName(path), threads, rounds, Quantile(octetMs, 0.5), Quantile(peerMs, 0.5), Quantile(ratios, 0.5), Quantile(ratios, 0.25), Quantile(ratios, 0.75),
            Quantile([.. octetCalls], FastShare), Quantile([.. peerCalls], FastShare),
            expected.Length == actual.Length ? difference : double.NaN, expected.Length == actual.Length && IndexOfMax(expected) == IndexOfMax(actual));
    }

    private static bool TryCreateOutputs(InferenceSession session, Tensor[] inputs, out Tensor[] outputs)
    {
        try
        {
            outputs = session.CreateOutputs(inputs);
            return true;
        }
        catch (UnsupportedModelException)
        {
            outputs = [];
            return false;
        }
    }

    /// <summary>Element at fraction <paramref name="q"/> of the sorted values, interpolated.</summary>
    public static double Quantile(double[] values, double q)
    {
        double[] sorted = [.. values.Order()];
        double position = q * (sorted.Length - 1);
        int below = (int)position;
        return below + 1 < sorted.Length ? sorted[below] + (position - below) * (sorted[below + 1] - sorted[below]) : sorted[below];
    }

    /// <summary>Mean milliseconds of <paramref name="repeats"/> calls.</summary>
    public static double Time(Action run, int repeats)
    {
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < repeats; i++) run();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds / repeats;
    }

    /// <summary>
    /// The same, with the time of every call added to <paramref name="calls"/>; with <paramref name="cpuTime"/> the mean is of the time that the process was running, on all its threads together.
    /// </summary>
    private static double Time(Action run, int repeats, List<double> calls, bool cpuTime)
    {
        TimeSpan before = Environment.CpuUsage.TotalTime;
        long first = Stopwatch.GetTimestamp(), start = first;
        for (int i = 0; i < repeats; i++)
        {
            run();
            long end = Stopwatch.GetTimestamp();
            calls.Add(Stopwatch.GetElapsedTime(start, end).TotalMilliseconds);
            start = end;
        }
        return (cpuTime ? Environment.CpuUsage.TotalTime - before : Stopwatch.GetElapsedTime(first, start)).TotalMilliseconds / repeats;
    }

    /// <summary>
    /// Runs, and pauses, until the JIT has replaced what it first compiled quickly: it waits for a moment in which nothing new starts, and compiles on a thread of its own.
    /// That is over when passes no longer get faster. A peer in native code needs none of it.
    /// </summary>
    public static void WarmUp(Action run)
    {
        double best = double.PositiveInfinity;
        for (int pass = 0, since = 0; pass < MostWarmUpPasses && since < WarmUpPasses; pass++)
        {
            double fastest = double.PositiveInfinity;
            long start = Stopwatch.GetTimestamp();
            for (int calls = 0; calls < WarmUpCalls && (calls < 3 || Stopwatch.GetElapsedTime(start) < WarmUpTime); calls++) fastest = Math.Min(fastest, Time(run, 1));
            since = fastest < WarmUpGain * best ? 0 : since + 1;
            best = Math.Min(best, fastest);
            Thread.Sleep(WarmUpPause);
        }
    }

    /// <summary>
    /// Waits until this process rests: the threads of a peer that spins for its next call hold the processors for a while after its last one, and would be timed with the other side.
    /// </summary>
    private static void Settle()
    {
        for (int i = 0; i < MostPauses; i++)
        {
            TimeSpan before = Environment.CpuUsage.TotalTime;
            long start = Stopwatch.GetTimestamp();
            Thread.Sleep(5);
            if (Environment.CpuUsage.TotalTime - before < Stopwatch.GetElapsedTime(start) / 10) return;
        }
    }

    /// <summary>Warms up and says how many calls fill a round.</summary>
    public static int Repeats(Action run)
    {
        long start = Stopwatch.GetTimestamp();
        int calls = 0;
        while (calls < 3 || (Stopwatch.GetElapsedTime(start).TotalMilliseconds < 10 * RoundMilliseconds && calls < 2000))
        {
            run();
            calls++;
        }
        double each = Time(run, 1);
        return Math.Max(1, (int)(RoundMilliseconds / Math.Max(each, 1e-3)));
    }

    private static int IndexOfMax(float[] values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++) if (values[i] > values[best]) best = i;
        return best;
    }
}
