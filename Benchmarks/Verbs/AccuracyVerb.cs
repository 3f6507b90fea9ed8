using System.CommandLine;
using System.Globalization;
using Octet.Cli.Datasets;
using Octet.Cli.Evaluation;
using Octet.Quantization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Benchmarks.Verbs;

/// <summary>
/// <c>accuracy MODEL --data DATASET</c>: top-1 of the float model and of the INT8 models that every calibration makes of it, as one row of a table. Calibrates on the first samples, as <c>octet quantize</c>
/// does, and judges on all of them; every sample is read once for all models.
/// </summary>
internal static class AccuracyVerb
{
    public static Command Create()
    {
        var model = new Argument<FileInfo>("MODEL") { Description = "A float ONNX file." };
        var data = new Option<FileInfo>("--data") { Description = "A classification dataset.", Required = true };
        var calibrated = new Option<int>("--calibrated") { Description = "Samples for calibration.", DefaultValueFactory = _ => 100 };
        var limit = new Option<int>("--limit") { Description = "Samples judged at most.", DefaultValueFactory = _ => int.MaxValue };
        var type = new Option<ActivationType>("--type") { Description = "Integer type of activations.", DefaultValueFactory = _ => ActivationType.Auto };
        var threads = new Option<int>("--threads") { Description = "Threads.", DefaultValueFactory = _ => 1 };
        var command = new Command("accuracy", "Top-1 of every calibration beside float.") { model, data, calibrated, limit, type, threads };
        command.SetAction(result => Run(result.GetValue(model)!.FullName, result.GetValue(data)!.FullName, result.GetValue(calibrated), result.GetValue(limit),
            new QuantizationOptions { Type = result.GetValue(type), Session = new SessionOptions { Threads = result.GetValue(threads) } }));
        return command;
    }

    private static int Run(string path, string dataPath, int calibrated, int limit, QuantizationOptions options)
    {
        Model model = Model.Load(path);
        DatasetBinding binding = Dataset.Load(dataPath).Bind(new InferenceSession(model, options.Session));
        if (binding.Scores is null) throw new DataException($"{dataPath} has no labels; rule: accuracy needs a classification dataset");
        IReadOnlyDictionary<string, Tensor>[] samples = [.. binding.Samples().Take(calibrated).Select(sample => sample.Inputs)];
        CalibrationMode[] modes = [CalibrationMode.Naive, CalibrationMode.Entropy, CalibrationMode.Percentile, CalibrationMode.MeanSquaredError, CalibrationMode.MovingAverage, CalibrationMode.EntropyMxNet];
        SampleFeeder?[] feeders = [new SampleFeeder(new InferenceSession(model, options.Session)), .. modes.Select(mode => Calibrated(model, samples, options with { Calibration = mode }))];
        int scores = binding.Outputs.Select(output => output.Name).ToList().IndexOf(binding.Scores.Name);
        var right = new int[feeders.Length];
        int count = 0;
        foreach (Sample sample in binding.Samples().Take(limit))
        {
            for (int f = 0; f < feeders.Length; f++)
            {
                if (feeders[f] is not { } feeder) continue;
                float[] ranked = Ranking.Scores(binding.Scores.Name, feeder.Run(sample.Inputs, default)[scores]);
                if (Ranking.Position(ranked, sample.Label ?? -1, sample.Source) == 0) right[f]++;
            }
            count++;
        }
        Console.WriteLine($"| model | samples | float | {string.Join(" | ", modes)} |");
        Console.WriteLine($"| {Path.GetFileName(Path.GetDirectoryName(path))} | {count} | {string.Join(" | ", right.Select((number, f) => feeders[f] is null ? "refused" : ((double)number / count).ToString("F4", CultureInfo.InvariantCulture)))} |");
        return 0;
    }

    /// <summary>The quantized model, ready to run; null where the calibration refuses the data, with the reason on the error stream.</summary>
    private static SampleFeeder? Calibrated(Model model, IReadOnlyDictionary<string, Tensor>[] samples, QuantizationOptions options)
    {
        try
        {
            return new SampleFeeder(new InferenceSession(Quantizer.Quantize(model, samples, options).Model, options.Session));
        }
        catch (DataException e)
        {
            Console.Error.WriteLine($"{options.Calibration}: {e.Message}");
            return null;
        }
    }
}
