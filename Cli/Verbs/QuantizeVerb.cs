using System.CommandLine;
using System.Diagnostics;
using Octet.Cli.CommandLine;
using Octet.Cli.Datasets;
using Octet.Quantization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;
using Spectre.Console;

namespace Octet.Cli.Verbs;

/// <summary><c>octet quantize MODEL -o OUT --data DATASET …</c>: makes an INT8 model of a float one.</summary>
internal static class QuantizeVerb
{
    /// <summary>Samples used where the user says nothing: ranges settle within about a hundred, and more extremes only widen them.</summary>
    private const int DefaultSamples = 100;

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Argument<string> model = CommonOptions.Model();
        var output = new Option<string>("--output", "-o") { Description = "The INT8 model to write; it takes its place when it is complete.", HelpName = "OUT", Required = true };
        Option<string?> data = new("--data") { Description = "A dataset file with calibration samples (docs/dataset-format.md); not needed with --calibration none.", HelpName = "DATASET" };
        Option<string> calibration = Calibration();
        Option<string> type = Choice("--type", "Integer type of activations.", "auto", "int8", "uint8", "auto");
        Option<string> mode = Choice("--mode", "Which operators are quantized: all that can be, or products and what lies between them.", "full", "full", "smart");
        Option<string> granularity = Choice("--granularity", "How many scales a weight tensor has.", "channel", "tensor", "channel");
        Option<string[]> exclude = Many("--exclude", "A node to leave float.", "NAME"), match = Many("--exclude-match", "Nodes to leave float: a pattern, * is any text.", "PATTERN"),
            operators = Many("--exclude-operator", "An operator type to leave float.", "TYPE");
        Option<int?> batches = CommonOptions.AtLeastOne(new Option<int?>("--batches") { Description = "Calibration batches; a batch is one sample. Default: as --limit.", HelpName = "N" });
        Option<int?> limit = CommonOptions.Limit($"{DefaultSamples}"), threads = CommonOptions.Threads();
        var command = new Command("quantize", "Calibrate a float model and write its INT8 form.")
        {
            model, output, data, calibration, type, mode, granularity, exclude, match, operators, batches, limit, threads,
        };
        return VerbHost.Bind(command, host =>
        {
            ParseResult parsed = host.Parsed;
            int samples = Least(parsed.GetValue(batches), parsed.GetValue(limit)) ?? DefaultSamples;
            QuantizationOptions options = UsageException.Check(new QuantizationOptions
            {
                Calibration = ParseCalibration(parsed.GetRequiredValue(calibration)),
                Type = Enum.Parse<ActivationType>(parsed.GetRequiredValue(type), ignoreCase: true),
                Mode = Enum.Parse<QuantizeMode>(parsed.GetRequiredValue(mode), ignoreCase: true),
                Granularity = Enum.Parse<Granularity>(parsed.GetRequiredValue(granularity), ignoreCase: true),
                Exclude = parsed.GetValue(exclude) ?? [],
                ExcludeMatch = parsed.GetValue(match) ?? [],
                ExcludeOperators = parsed.GetValue(operators) ?? [],
                Samples = samples,
                Session = CommonOptions.Session(parsed.GetValue(threads)),
            }.Validate);
            return Run(host, parsed.GetRequiredValue(model), parsed.GetRequiredValue(output), parsed.GetValue(data), options);
        });
    }

    /// <summary>The option that chooses a calibration.</summary>
    internal static Option<string> Calibration() => Choice("--calibration", "How ranges of activations are found.", "entropy", "none", "naive", "entropy");

    /// <summary>The mode that <see cref="Calibration"/> names.</summary>
    internal static CalibrationMode ParseCalibration(string name) => Enum.Parse<CalibrationMode>(name, ignoreCase: true);

    private static int Run(VerbHost host, string modelPath, string outputPath, string? dataPath, QuantizationOptions options)
    {
        if (dataPath is null && options.Calibration != CalibrationMode.None)
            throw new UsageException($"--data is missing; rule: calibration needs samples, or --calibration none");
        if (Path.GetFullPath(modelPath) == Path.GetFullPath(outputPath)) throw new UsageException($"OUT is MODEL, '{modelPath}'; rule: the float model is kept");
        string folder = Path.GetDirectoryName(Path.GetFullPath(outputPath)) ?? "";
        if (!Directory.Exists(folder)) throw new DataException($"OUT '{outputPath}' lies in a folder that does not exist; rule: the folder is there before the work starts");

        long start = Stopwatch.GetTimestamp();
        Dataset? dataset = dataPath is null || options.Calibration == CalibrationMode.None ? null : Dataset.Load(dataPath);
        Model model = Model.Load(modelPath);
        QuantizationResult result = WorkProgress.Show(host, "prepare", progress =>
        {
            IEnumerable<IReadOnlyDictionary<string, Tensor>>? samples = null;
            if (dataset is not null)
            {
                DatasetBinding binding = dataset.Bind(new InferenceSession(model, options.Session));
                samples = binding.Samples().Select(sample => sample.Inputs);
                options = options with { Samples = (int)Math.Min(binding.Count, options.Samples ?? int.MaxValue) };
            }
            return Quantizer.Quantize(model, samples, options, new Receiver(report => progress.Report(report.Done, report.Total, report.Stage)), host.Cancellation);
        });
        host.Cancellation.ThrowIfCancellationRequested();
        result.Model.Save(outputPath);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        long before = new FileInfo(modelPath).Length, after = new FileInfo(outputPath).Length;

        if (host.Json)
        {
            host.PrintJson(writer =>
            {
                writer.WriteString("output", outputPath);
                writer.WriteNumber("quantizedNodes", result.Report.QuantizedNodes);
                writer.WriteNumber("floatNodes", result.Report.FloatNodes);
                writer.WriteNumber("bytesBefore", before);
                writer.WriteNumber("bytesAfter", after);
                writer.WriteNumber("seconds", seconds);
            });
            return ExitCode.Fine;
        }
        foreach (string warning in result.Report.Warnings) host.Note(warning);
        host.Line($"{result.Report.QuantizedNodes} operators quantized, {result.Report.FloatNodes} stay float");
        if (result.Report.FloatNodes > 0)
        {
            var table = new Table().AddColumn("float operators").AddColumn(new TableColumn("count").RightAligned()).AddColumn("why");
            foreach (IGrouping<(string, string), NodeDecision> group in result.Report.Decisions.Where(decision => !decision.Quantized).GroupBy(decision => (decision.OperatorType, decision.Reason)))
                table.AddRow(new Text(group.Key.Item1), new Text(Number(group.Count())), new Text(group.Key.Item2));
            host.Print(table);
        }
        host.Line($"{before:N0} bytes → {after:N0} bytes ({(double)after / before:P0}) in {seconds:F1} s");
        host.Line($"wrote {outputPath}");
        return ExitCode.Fine;
    }

    private static string Number(int value) => value.ToString(System.Globalization.CultureInfo.InvariantCulture);

    private static int? Least(int? a, int? b) => a is null ? b : b is null ? a : Math.Min(a.Value, b.Value);

    private static Option<string> Choice(string name, string description, string byDefault, params string[] values)
    {
        var option = new Option<string>(name) { Description = description, DefaultValueFactory = _ => byDefault };
        option.AcceptOnlyFromAmong(values);
        return option;
    }

    private static Option<string[]> Many(string name, string description, string help) => new(name) { Description = description + " May be given several times.", HelpName = help };

    /// <summary>Reports on the thread that works, so that order is kept.</summary>
    private sealed class Receiver(Action<QuantizationProgress> receive) : IProgress<QuantizationProgress>
    {
        public void Report(QuantizationProgress value) => receive(value);
    }
}
