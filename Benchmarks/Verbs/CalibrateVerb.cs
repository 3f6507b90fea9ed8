using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Octet.Cli.Datasets;
using Octet.Quantization;
using Octet.Quantization.Calibration;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Benchmarks.Verbs;

/// <summary>
/// <c>calibrate MODEL --data DATASET</c>: what calibrating costs beside plain float inference over the same samples. Rounds alternate; times are processor
/// time, which other work on the machine disturbs least, ratios are medians over the rounds. Memory is what a calibration holds above the float session after a full collection.
/// </summary>
internal static class CalibrateVerb
{
    public static Command Create()
    {
        var model = new Argument<FileInfo>("MODEL") { Description = "A float ONNX file." };
        var data = new Option<FileInfo>("--data") { Description = "A dataset file.", Required = true };
        var samples = new Option<int>("--samples") { Description = "Samples per round.", DefaultValueFactory = _ => 20 };
        var rounds = new Option<int>("--rounds") { Description = "Rounds.", DefaultValueFactory = _ => 7 };
        var threads = new Option<int>("--threads") { Description = "Threads.", DefaultValueFactory = _ => 1 };
        var command = new Command("calibrate", "Time and memory of calibration beside plain float inference.") { model, data, samples, rounds, threads };
        command.SetAction(result => Run(result.GetValue(model)!.FullName, result.GetValue(data)!.FullName, result.GetValue(samples), result.GetValue(rounds), result.GetValue(threads)));
        return command;
    }

    private static int Run(string path, string dataPath, int count, int rounds, int threads)
    {
        Model model = Model.Load(path);
        var session = new SessionOptions { Threads = threads };
        var plain = new InferenceSession(model, session);
        IReadOnlyDictionary<string, Tensor>[] samples = [.. Dataset.Load(dataPath).Bind(plain).Samples().Take(count).Select(sample => sample.Inputs)];
        var floatFeeder = new SampleFeeder(plain);
        WarmUp(floatFeeder, samples);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{Path.GetFileName(Path.GetDirectoryName(path))}: {samples.Length} samples, {threads} threads, {rounds} rounds"));
        foreach (CalibrationMode mode in Enum.GetValues<CalibrationMode>().Except([CalibrationMode.None, CalibrationMode.Custom, CalibrationMode.EntropyMxNet]))
        {
            var options = new QuantizationOptions { Calibration = mode, Session = session };
            long before = GC.GetTotalMemory(forceFullCollection: true);
            CalibrationCollector collector = options.CreateCollector();
            PreparedModel prepared = Quantizer.Prepare(model, options);
            InferenceSession watched = prepared.CreateSession();
            using IDisposable registration = watched.RegisterOpHook(prepared.CreateHook(collector), monitorAll: true);
            var feeder = new SampleFeeder(watched);
            WarmUp(feeder, samples);
            var floats = new double[rounds];
            var calibrations = new double[rounds];
            for (int round = 0; round < rounds; round++)
            {
                floats[round] = Feed(floatFeeder, samples);
                calibrations[round] = Feed(feeder, samples);
            }
            long held = GC.GetTotalMemory(forceFullCollection: true) - before;
            TimeSpan start = Environment.CpuUsage.TotalTime;
            int ranges = collector.PostCollect().Count;
            double search = (Environment.CpuUsage.TotalTime - start).TotalMilliseconds;
            double floatMs = Median(floats), calibrationMs = Median(calibrations);
            // The search comes once, however many samples there are; it counts against one round of them.
            double ratio = Median([.. calibrations.Zip(floats, (a, b) => (a + search) / b)]);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{mode,-18} float {floatMs,8:F1} ms   calibrating {calibrationMs,8:F1} ms + search {search,7:F1} ms of {ranges} tensors   ratio {ratio,5:F2}   memory {held / 1048576.0,6:F1} MiB"));
        }
        return 0;
    }

    /// <summary>Until the JIT's second tier is in place: it comes after thirty calls and a tenth of a second.</summary>
    private static void WarmUp(SampleFeeder feeder, IReadOnlyDictionary<string, Tensor>[] samples)
    {
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < 40 || Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(0.5); i++) feeder.Run(samples[i % samples.Length], default);
    }

    private static double Feed(SampleFeeder feeder, IReadOnlyDictionary<string, Tensor>[] samples)
    {
        TimeSpan start = Environment.CpuUsage.TotalTime;
        foreach (IReadOnlyDictionary<string, Tensor> sample in samples) feeder.Run(sample, default);
        return (Environment.CpuUsage.TotalTime - start).TotalMilliseconds;
    }

    private static double Median(double[] values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }
}
