using System.CommandLine;
using System.Diagnostics;
using Octet.Cli.CommandLine;
using Octet.Cli.Datasets;
using Octet.Cli.Evaluation;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Cli.Verbs;

/// <summary><c>octet bench MODEL</c>: how long loading, the first run and later runs take, and what a run allocates.</summary>
internal static class BenchVerb
{
    /// <summary>Runs measured where the command line does not say: enough for a tenth percentile, and about as long as a person waits.</summary>
    private const int LeastRuns = 20, MostRuns = 2000;

    private static readonly TimeSpan MeasuredTime = TimeSpan.FromSeconds(3), WarmUpTime = TimeSpan.FromSeconds(1);

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Argument<string> model = CommonOptions.Model();
        Option<string?> data = new("--data") { Description = "A dataset file whose first sample is the input. Without it: random numbers.", HelpName = "DATASET" };
        Option<string[]> shape = CommonOptions.Shapes();
        Option<int?> threads = CommonOptions.Threads();
        Option<int?> runs = CommonOptions.AtLeastOne(new Option<int?>("--runs") { Description = "Runs that are measured. Default: as many as fit in 3 s, from 20 to 2000.", HelpName = "N" });
        var command = new Command("bench", "Measure the speed of a model.") { model, data, shape, threads, runs };
        return VerbHost.Bind(command, host => Run(host, host.Parsed.GetRequiredValue(model), host.Parsed.GetValue(data), CommonOptions.ParseShapes(host.Parsed.GetValue(shape)),
            host.Parsed.GetValue(threads), host.Parsed.GetValue(runs)));
    }

    private static int Run(VerbHost host, string path, string? dataPath, Dictionary<string, int[]> shapes, int? threads, int? runs)
    {
        if (dataPath is not null && shapes.Count > 0) throw new UsageException("--data and --shape are both given; rule: the data have shapes of their own");
        Dataset? dataset = dataPath is null ? null : Dataset.Load(dataPath);
        long start = Stopwatch.GetTimestamp();
        var session = new InferenceSession(Model.Load(path), CommonOptions.Session(threads));
        double load = Stopwatch.GetElapsedTime(start).TotalMilliseconds;

        Tensor[] inputs;
        if (dataset is not null)
        {
            Sample sample = dataset.Bind(session).Samples().First();
            inputs = [.. session.Inputs.Select(input => sample.Inputs[input.Name])];
        }
        else
        {
            inputs = SyntheticInputs.Create(session.Inputs, shapes);
        }
        var runner = new SampleRunner(session);
        Tensor[] outputs = runner.Run(inputs, host.Cancellation);
        double first = runner.Elapsed.TotalMilliseconds;
        bool isStatic = session.PlanFor(inputs).HasStaticOutputs;

        void Once()
        {
            if (isStatic) session.Run(inputs, outputs, host.Cancellation);
            else runner.Run(inputs, host.Cancellation);
        }

        double[] times = WorkProgress.Show(host, "run", progress =>
        {
            long begin = Stopwatch.GetTimestamp();
            for (int i = 0; i < LeastRuns && Stopwatch.GetElapsedTime(begin) < WarmUpTime; i++) Once();
            var measured = new List<double>();
            begin = Stopwatch.GetTimestamp();
            while (runs is { } wanted ? measured.Count < wanted : measured.Count < LeastRuns || (measured.Count < MostRuns && Stopwatch.GetElapsedTime(begin) < MeasuredTime))
            {
                long from = Stopwatch.GetTimestamp();
                Once();
                measured.Add(Stopwatch.GetElapsedTime(from).TotalMilliseconds);
                progress.Report(measured.Count, runs);
            }
            measured.Sort();
            return measured.ToArray();
        });
        const int allocationRuns = 10;
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < allocationRuns; i++) Once();
        double allocated = (GC.GetAllocatedBytesForCurrentThread() - before) / (double)allocationRuns;
        double median = Quantile(times, 0.5), tenth = Quantile(times, 0.1);

        if (host.Json)
        {
            host.PrintJson(writer =>
            {
                writer.WriteNumber("medianMs", median);
                writer.WriteNumber("p10Ms", tenth);
                writer.WriteNumber("threads", session.Options.Threads);
                writer.WriteNumber("loadMs", load);
                writer.WriteNumber("firstRunMs", first);
                writer.WriteNumber("allocatedBytesPerRun", allocated);
                writer.WriteNumber("runs", times.Length);
            });
            return ExitCode.Fine;
        }
        host.Line($"inputs      {string.Join(", ", session.Inputs.Zip(inputs, (input, tensor) => $"{input.Name} {tensor}"))}");
        host.Line($"median      {median:F3} ms   ({times.Length} runs, {session.Options.Threads} threads)");
        host.Line($"fastest 10% {tenth:F3} ms");
        host.Line($"load        {load:F1} ms, first run {first:F1} ms");
        host.Line($"allocated   {allocated:F0} bytes per run");
        return ExitCode.Fine;
    }

    /// <summary>The value below which a share of sorted values lies; between two values, on the line between them.</summary>
    internal static double Quantile(ReadOnlySpan<double> sorted, double share)
    {
        double position = share * (sorted.Length - 1);
        int below = (int)position;
        return below + 1 < sorted.Length ? sorted[below] + (position - below) * (sorted[below + 1] - sorted[below]) : sorted[below];
    }
}
