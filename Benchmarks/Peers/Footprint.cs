using System.Diagnostics;
using System.Globalization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Benchmarks.Peers;

/// <summary>What a whole process costs that loads a model and runs it once: time until the first result, and peak memory.</summary>
/// <param name="Milliseconds">From the start of the process to the first result.</param>
/// <param name="PeakMebibytes">Largest resident set.</param>
internal sealed record Footprint(double Milliseconds, double PeakMebibytes)
{
    /// <summary>First argument of a child process.</summary>
    public const string ChildVerb = "footprint-child";

    /// <summary>Child processes: one that does nothing, one with Octet, one with ONNX Runtime.</summary>
    public static readonly string[] Kinds = ["empty", "octet", "peer"];

    /// <summary>The child's part: does its work, says "ready", then its peak memory.</summary>
    public static int RunChild(string kind, string path, int threads)
    {
        if (kind == "octet") Octet(path, threads);
        else if (kind == "peer") Peer(path, threads);
        Console.WriteLine("ready");
        Console.WriteLine(PeakBytes().ToString(CultureInfo.InvariantCulture));
        return 0;
    }

    /// <summary>Runs one child.</summary>
    /// <param name="kind">One of <see cref="Kinds"/>.</param>
    /// <param name="path">The model.</param>
    /// <param name="threads">Threads of either runtime.</param>
    /// <exception cref="InvalidOperationException">The child failed.</exception>
    public static Footprint Measure(string kind, string path, int threads) =>
        Measure(Environment.ProcessPath!, [.. Host(), ChildVerb, kind, path, threads.ToString(CultureInfo.InvariantCulture)]);

    /// <summary>Runs a program that speaks as <see cref="RunChild"/> does.</summary>
    /// <exception cref="InvalidOperationException">The program failed.</exception>
    public static Footprint Measure(string program, IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, UseShellExecute = false };
        long begin = Stopwatch.GetTimestamp();
        using Process child = Process.Start(start)!;
        string? ready = child.StandardOutput.ReadLine();
        double elapsed = Stopwatch.GetElapsedTime(begin).TotalMilliseconds;
        string? peak = child.StandardOutput.ReadLine();
        child.WaitForExit();
        if (child.ExitCode != 0 || ready != "ready" || peak is null) throw new InvalidOperationException($"'{program} {string.Join(' ', start.ArgumentList)}' ended with {child.ExitCode} and said '{ready}'");
        return new(elapsed, long.Parse(peak, CultureInfo.InvariantCulture) / (1024.0 * 1024));
    }

    private static IEnumerable<string> Host()
    {
        // Under "dotnet Program.dll" the program's own file is the first argument.
        string entry = Environment.GetCommandLineArgs()[0];
        return entry.EndsWith(".dll", StringComparison.OrdinalIgnoreCase) && Path.GetFileNameWithoutExtension(Environment.ProcessPath!) == "dotnet" ? [entry] : [];
    }

    private static void Octet(string path, int threads)
    {
        var session = new InferenceSession(Model.Load(path), new SessionOptions { Threads = threads });
        var inputs = new Tensor[session.Inputs.Count];
        for (int i = 0; i < inputs.Length; i++)
        {
            TensorType type = session.Inputs[i].Type;
            var shape = new int[type.Rank];
            for (int axis = 0; axis < shape.Length; axis++) shape[axis] = type.Shape!.Value[axis] is { IsKnown: true } extent ? (int)extent.Value : 1;
            inputs[i] = PeerSession.RandomInput(type.Element, shape);
        }
        session.Run(inputs, session.CreateOutputs(inputs));
    }

    private static void Peer(string path, int threads)
    {
        using PeerSession peer = PeerSession.Open(path, threads);
        peer.Run();
    }

    /// <summary>Peak resident memory of this process; Linux keeps it where .NET does not look.</summary>
    private static long PeakBytes()
    {
        const string status = "/proc/self/status", peak = "VmHWM:";
        if (File.Exists(status))
        {
            foreach (string line in File.ReadLines(status))
            {
                if (line.StartsWith(peak, StringComparison.Ordinal)) return long.Parse(line.AsSpan(peak.Length).Trim(" \tkB"), CultureInfo.InvariantCulture) * 1024;
            }
        }
        return Process.GetCurrentProcess().PeakWorkingSet64;
    }
}
