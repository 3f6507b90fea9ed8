using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Octet.Cli.CommandLine;
using Octet.Cli.Datasets;
using Octet.Quantization;
using Octet.Quantization.Accuracy;
using Octet.Quantization.Analysis;
using Octet.Quantization.Calibration;
using Octet.Quantization.Search;
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

    /// <summary>Samples that each model of a search is judged with, where the user says nothing.</summary>
    private const int DefaultSearchSamples = 200;

    /// <summary>Samples of a layer report: node-by-node runs take long, and ratios settle soon.</summary>
    private const int ReportSamples = 16;

    private static readonly Dictionary<string, CalibrationMode> Modes = new(StringComparer.Ordinal)
    {
        ["none"] = CalibrationMode.None,
        ["naive"] = CalibrationMode.Naive,
        ["entropy"] = CalibrationMode.Entropy,
        ["percentile"] = CalibrationMode.Percentile,
        ["mse"] = CalibrationMode.MeanSquaredError,
        ["moving-average"] = CalibrationMode.MovingAverage,
        ["entropy-mxnet"] = CalibrationMode.EntropyMxNet,
    };

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Argument<string> model = CommonOptions.Model();
        var output = new Option<string>("--output", "-o") { Description = "The INT8 model to write; it takes its place when it is complete.", HelpName = "OUT", Required = true };
        Option<string?> data = new("--data") { Description = "A dataset file with calibration samples (docs/dataset-format.md); not needed with --calibration none or a --cache.", HelpName = "DATASET" };
        Option<string> calibration = Calibration();
        var percentile = new Option<double?>("--percentile") { Description = $"Share of the values that --calibration percentile keeps, in percent. Default: {Number(PercentileCollector.DefaultPercentile)}.", HelpName = "P" };
        Option<string> type = Choice("--type", "Integer type of activations.", "auto", "int8", "uint8", "auto");
        Option<string> mode = Choice("--mode", "Which operators are quantized: all that can be, or products and what lies between them.", "full", "full", "smart");
        Option<string> granularity = Choice("--granularity", "How many scales a weight tensor has.", "channel", "tensor", "channel");
        Option<string[]> exclude = Many("--exclude", "A node to leave float.", "NAME"), match = Many("--exclude-match", "Nodes to leave float: a pattern, * is any text.", "PATTERN"),
            operators = Many("--exclude-operator", "An operator type to leave float.", "TYPE");
        var bias = new Option<bool>("--bias-correction") { Description = "Let biases make up for the mean error of rounded weights." };
        var equalize = new Option<bool>("--equalize") { Description = "Even out the channels of neighbouring layers first; the float model stays the same." };
        var smooth = new Option<double?>("--smooth") { Description = "Move outliers of activations into the weights behind (SmoothQuant), with strength ALPHA in 0 … 1; 0.5 without a number.", HelpName = "ALPHA", Arity = ArgumentArity.ZeroOrOne };
        var neverSlower = new Option<bool>("--never-slower") { Description = "Measure, and leave float what is slower as INT8 on this machine." };
        var cache = new Option<string?>("--cache") { Description = "Statistics of the calibration: read where FILE exists, samples of --data added, written back. Without --data, FILE alone decides.", HelpName = "FILE" };
        var report = new Option<string?>("--report") { Description = "Write error, clipping and time of every layer as JSON.", HelpName = "FILE" };
        var search = new Option<string?>("--search") { Description = "Leave the fewest operators float that keep the loss within --tolerance, judged by METRIC: top1, cosine or mse.", HelpName = "METRIC" };
        search.AcceptOnlyFromAmong("top1", "cosine", "mse");
        var tolerance = new Option<double?>("--tolerance") { Description = "Greatest loss that --search accepts. Default: 0.005, for top1 half a point.", HelpName = "LOSS" };
        var budget = new Option<double?>("--time-budget") { Description = "Time for --search. Default: 600.", HelpName = "SECONDS" };
        var sqnr = new Option<double?>("--least-sqnr") { Description = $"Leave float what reads an activation, and batch normalizations with the sums in front, where rounding to 8 bits leaves less than DB of signal to noise; 0 for never. Default: {Number(QuantizationOptions.DefaultLeastSqnr)}.", HelpName = "DB" };
        Option<int?> searchSamples = CommonOptions.AtLeastOne(new Option<int?>("--search-samples") { Description = $"Samples that --search judges with, the last of the dataset. Default: {DefaultSearchSamples}.", HelpName = "N" });
        Option<int?> batches = CommonOptions.AtLeastOne(new Option<int?>("--batches") { Description = "Calibration batches; a batch is one sample. Default: as --limit.", HelpName = "N" });
        Option<int?> limit = CommonOptions.Limit($"{DefaultSamples}"), threads = CommonOptions.Threads();
        var command = new Command("quantize", "Calibrate a float model and write its INT8 form.")
        {
            model, output, data, calibration, percentile, type, mode, granularity, exclude, match, operators, bias, equalize, smooth, sqnr, neverSlower, cache, report, search, tolerance, budget, searchSamples,
            batches, limit, threads,
        };
        return VerbHost.Bind(command, host =>
        {
            ParseResult parsed = host.Parsed;
            int samples = Least(parsed.GetValue(batches), parsed.GetValue(limit)) ?? DefaultSamples;
            QuantizationOptions options = UsageException.Check(new QuantizationOptions
            {
                Calibration = ParseCalibration(parsed.GetRequiredValue(calibration)),
                Percentile = parsed.GetValue(percentile) ?? PercentileCollector.DefaultPercentile,
                Type = Enum.Parse<ActivationType>(parsed.GetRequiredValue(type), ignoreCase: true),
                Mode = Enum.Parse<QuantizeMode>(parsed.GetRequiredValue(mode), ignoreCase: true),
                Granularity = Enum.Parse<Granularity>(parsed.GetRequiredValue(granularity), ignoreCase: true),
                Exclude = parsed.GetValue(exclude) ?? [],
                ExcludeMatch = parsed.GetValue(match) ?? [],
                ExcludeOperators = parsed.GetValue(operators) ?? [],
                BiasCorrection = parsed.GetValue(bias),
                Equalize = parsed.GetValue(equalize) ? new EqualizationOptions() : null,
                Smooth = parsed.GetResult(smooth) is null ? null : new SmoothOptions { Strength = parsed.GetValue(smooth) ?? 0.5 },
                LeastSqnr = parsed.GetValue(sqnr) ?? QuantizationOptions.DefaultLeastSqnr,
                KeepFloatWhereSlower = parsed.GetValue(neverSlower),
                Samples = samples,
                Session = CommonOptions.Session(parsed.GetValue(threads)),
            }.Validate);
            if (parsed.GetValue(percentile) is not null && options.Calibration != CalibrationMode.Percentile) throw new UsageException("--percentile goes with --calibration percentile; rule: options that do nothing are refused");
            SearchOptions? searching = parsed.GetValue(search) is null ? null : UsageException.Check(() =>
            {
                double seconds = parsed.GetValue(budget) ?? 600;
                if (seconds is not (> 0 and <= 1e6)) throw new UsageException($"--time-budget is {Number(seconds)}; rule: more than 0 and at most 1000000 seconds");
                var chosen = new SearchOptions { Tolerance = parsed.GetValue(tolerance) ?? 0.005, TimeBudget = TimeSpan.FromSeconds(seconds) };
                chosen.Validate();
                return chosen;
            });
            if (searching is null && (parsed.GetValue(tolerance) is not null || parsed.GetValue(budget) is not null || parsed.GetValue(searchSamples) is not null))
                throw new UsageException("--tolerance, --time-budget and --search-samples go with --search; rule: options that do nothing are refused");
            if (searching is not null && options.KeepFloatWhereSlower) throw new UsageException("--search and --never-slower are given; rule: one of them decides what stays float");
            return new Work(host, options)
            {
                ModelPath = parsed.GetRequiredValue(model),
                OutputPath = parsed.GetRequiredValue(output),
                DataPath = parsed.GetValue(data),
                CachePath = parsed.GetValue(cache),
                ReportPath = parsed.GetValue(report),
                Metric = parsed.GetValue(search),
                Search = searching,
                SearchSamples = parsed.GetValue(searchSamples) ?? DefaultSearchSamples,
            }.Run();
        });
    }

    /// <summary>The option that chooses a calibration.</summary>
    internal static Option<string> Calibration() => Choice("--calibration", "How ranges of activations are found.", "entropy", [.. Modes.Keys]);

    /// <summary>The mode that <see cref="Calibration"/> names.</summary>
    internal static CalibrationMode ParseCalibration(string name) => Modes[name];

    /// <summary>One invocation.</summary>
    private sealed class Work(VerbHost host, QuantizationOptions options)
    {
        public required string ModelPath { get; init; }

        public required string OutputPath { get; init; }

        public required string? DataPath { get; init; }

        public required string? CachePath { get; init; }

        public required string? ReportPath { get; init; }

        public required string? Metric { get; init; }

        public required SearchOptions? Search { get; init; }

        public required int SearchSamples { get; init; }

        public int Run()
        {
            bool cached = CachePath is not null && File.Exists(CachePath);
            if (DataPath is null && options.Calibration != CalibrationMode.None && !cached)
                throw new UsageException($"--data is missing; rule: calibration needs samples, or --calibration none, or a --cache that exists");
            if (DataPath is null && (ReportPath is not null || Search is not null || options.BiasCorrection || options.Smooth is not null || options.KeepFloatWhereSlower))
                throw new UsageException("--data is missing; rule: --report, --search, --bias-correction, --smooth and --never-slower work on samples");
            if (Path.GetFullPath(ModelPath) == Path.GetFullPath(OutputPath)) throw new UsageException($"OUT is MODEL, '{ModelPath}'; rule: the float model is kept");
            RequireFolder("OUT", OutputPath);
            RequireFolder("--cache", CachePath);
            RequireFolder("--report", ReportPath);

            long start = Stopwatch.GetTimestamp();
            ResumableCollector? collector = CachePath is null ? null : OpenCache(cached);
            Model model = Model.Load(ModelPath);
            DatasetBinding? binding = DataPath is null || (options.Calibration == CalibrationMode.None && ReportPath is null && Search is null) ? null
                : Dataset.Load(DataPath).Bind(new InferenceSession(model, options.Session));
            QuantizationOptions quantization = collector is null ? options : options with { Calibration = CalibrationMode.Custom, Collector = collector };
            if (binding is not null) quantization = quantization with { Samples = (int)Math.Min(binding.Count, options.Samples ?? int.MaxValue) };
            IEnumerable<IReadOnlyDictionary<string, Tensor>>? samples = binding?.Samples().Select(sample => sample.Inputs);

            (QuantizationResult result, SearchResult? found) = WorkProgress.Show<(QuantizationResult, SearchResult?)>(host, "prepare", progress =>
            {
                var receiver = new Receiver(report => progress.Report(report.Done, report.Total, report.Stage));
                if (Search is null) return (Quantizer.Quantize(model, samples, quantization, receiver, host.Cancellation), null);
                SearchResult search = AccuracySearch.Run(model, samples!, CreateMetric(binding!), quantization, Search, receiver, host.Cancellation);
                return (search.Quantized, search);
            });
            host.Cancellation.ThrowIfCancellationRequested();
            result.Model.Save(OutputPath);
            if (CachePath is not null) collector!.Save(CachePath);
            AnalysisReport? analysis = ReportPath is null ? null : Analyse(model, samples!, quantization);
            Print(result, found, analysis, cached, Stopwatch.GetElapsedTime(start).TotalSeconds);
            return ExitCode.Fine;
        }

        private static void RequireFolder(string what, string? path)
        {
            if (path is null) return;
            string folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? "";
            if (!Directory.Exists(folder)) throw new DataException($"{what} '{path}' lies in a folder that does not exist; rule: the folder is there before the work starts");
        }

        private ResumableCollector OpenCache(bool exists)
        {
            if (options.Calibration == CalibrationMode.None || options.CreateCollector() is not ResumableCollector collector)
                throw new UsageException("--cache goes with a calibration, not with --calibration none; rule: it keeps statistics");
            if (exists) collector.Load(CachePath!);
            return collector;
        }

        /// <summary>Judges with the last samples of the dataset, which calibration does not reach where there are enough.</summary>
        private AccuracyMetric CreateMetric(DatasetBinding binding)
        {
            int skip = (int)Math.Max(0, Math.Min(int.MaxValue, binding.Count) - SearchSamples);
            Sample[] samples = [.. binding.Samples().Skip(skip)];
            if (Metric != "top1") return Metric == "mse" ? AccuracyMetric.MeanSquaredError(samples.Select(sample => sample.Inputs)) : AccuracyMetric.Cosine(samples.Select(sample => sample.Inputs));
            if (binding.Scores is null) throw new UsageException($"--search top1 but {DataPath} has no labels; rule: top1 needs a classification dataset");
            return AccuracyMetric.Top1([.. samples.Select(sample => (sample.Inputs, sample.Label ?? -1))], binding.Scores.Name);
        }

        private AnalysisReport Analyse(Model model, IEnumerable<IReadOnlyDictionary<string, Tensor>> samples, QuantizationOptions quantization)
        {
            // Smoothing changes the float model to compare with; its factors come from the same samples again.
            Model compared = quantization.Smooth is null ? model : Smoothing.Apply(model, samples.Take(quantization.Samples ?? int.MaxValue), quantization.Smooth, quantization.Session, host.Cancellation);
            AnalysisReport analysis = WorkProgress.Show(host, "analyse", progress => ModelAnalysis.Run(Quantizer.Prepare(compared, quantization with { Smooth = null }), Model.Load(OutputPath), samples.Take(ReportSamples),
                progress: new Receiver(report => progress.Report(report.Done, ReportSamples, report.Stage)), cancellation: host.Cancellation));
            analysis.Save(ReportPath!);
            return analysis;
        }

        private void Print(QuantizationResult result, SearchResult? found, AnalysisReport? analysis, bool cached, double seconds)
        {
            long before = new FileInfo(ModelPath).Length, after = new FileInfo(OutputPath).Length;
            if (host.Json)
            {
                host.PrintJson(writer =>
                {
                    writer.WriteString("output", OutputPath);
                    writer.WriteNumber("quantizedNodes", result.Report.QuantizedNodes);
                    writer.WriteNumber("floatNodes", result.Report.FloatNodes);
                    writer.WriteNumber("bytesBefore", before);
                    writer.WriteNumber("bytesAfter", after);
                    writer.WriteNumber("seconds", seconds);
                    if (found is null) return;
                    writer.WriteStartObject("search");
                    writer.WriteString("metric", found.Metric);
                    writer.WriteFinite("loss", found.Loss);
                    writer.WriteBoolean("withinTolerance", found.WithinTolerance);
                    writer.WriteBoolean("timedOut", found.TimedOut);
                    writer.WriteStrings("floatOperators", found.FloatOperators);
                    writer.WriteStrings("warnings", result.Report.Warnings);
                    writer.WriteStartArray("path");
                    foreach (SearchTrial trial in found.Path)
                    {
                        writer.WriteStartObject();
                        writer.WriteString("step", trial.Step);
                        writer.WriteNumber("floatOperators", trial.FloatOperators.Count);
                        writer.WriteFinite("loss", trial.Loss);
                        writer.WriteBoolean("withinTolerance", trial.WithinTolerance);
                        writer.WriteNumber("seconds", trial.Elapsed.TotalSeconds);
                        writer.WriteEndObject();
                    }
                    writer.WriteEndArray();
                    writer.WriteEndObject();
                });
                return;
            }
            if (cached) host.Note($"statistics of '{CachePath}' are part of the ranges");
            foreach (string warning in result.Report.Warnings) host.Note(warning);
            if (found is not null)
            {
                var path = new Table().Title($"search by {found.Metric}").AddColumn("step").AddColumn(new TableColumn("float operators").RightAligned()).AddColumn(new TableColumn("loss").RightAligned()).AddColumn("")
                    .AddColumn(new TableColumn("s").RightAligned());
                foreach (SearchTrial trial in found.Path)
                    path.AddRow(new Text(trial.Step), new Text(Number(trial.FloatOperators.Count)), new Text(trial.Loss.ToString("G4", CultureInfo.InvariantCulture)), new Text(trial.WithinTolerance ? "within" : "outside"),
                        new Text(trial.Elapsed.TotalSeconds.ToString("F1", CultureInfo.InvariantCulture)));
                host.Print(path);
                host.Line($"loss {found.Loss:G4} by {found.Metric}, tolerance {Search!.Tolerance:G4}: {(found.WithinTolerance ? "within" : "OUTSIDE")}; left float: {(found.FloatOperators.Count == 0 ? "nothing" : string.Join(", ", found.FloatOperators))}");
            }
            host.Line($"{result.Report.QuantizedNodes} operators quantized, {result.Report.FloatNodes} stay float");
            if (result.Report.FloatNodes > 0)
            {
                var table = new Table().AddColumn("float operators").AddColumn(new TableColumn("count").RightAligned()).AddColumn("why");
                foreach (IGrouping<(string, string), NodeDecision> group in result.Report.Decisions.Where(decision => !decision.Quantized).GroupBy(decision => (decision.OperatorType, decision.Reason)))
                    table.AddRow(new Text(group.Key.Item1), new Text(Number(group.Count())), new Text(group.Key.Item2));
                host.Print(table);
            }
            if (analysis is not null)
            {
                var table = new Table().Title("layers with the largest errors").AddColumn("activation").AddColumn("operator").AddColumn(new TableColumn("SQNR dB").RightAligned()).AddColumn(new TableColumn("own dB").RightAligned())
                    .AddColumn(new TableColumn("clipped").RightAligned()).AddColumn(new TableColumn("float ms").RightAligned()).AddColumn(new TableColumn("INT8 ms").RightAligned());
                foreach (LayerReport layer in analysis.Layers.OrderBy(layer => layer.SqnrDb).Take(10))
                    table.AddRow(new Text(layer.Value), new Text(layer.OperatorType), Fixed(layer.SqnrDb, "F1"), Fixed(layer.OwnSqnrDb, "F1"), new Text(layer.ClippedShare.ToString("P3", CultureInfo.InvariantCulture)),
                        Fixed(layer.FloatMilliseconds, "F3"), Fixed(layer.QuantizedMilliseconds, "F3"));
                host.Print(table);
            }
            host.Line($"{before:N0} bytes → {after:N0} bytes ({(double)after / before:P1}) in {seconds:F1} s");
            host.Line($"wrote {OutputPath}");
        }
    }

    private static Text Fixed(double? value, string format) => new(value is not { } number ? "" : double.IsPositiveInfinity(number) ? "equal" : number.ToString(format, CultureInfo.InvariantCulture));

    private static string Number(IFormattable value) => value.ToString(null, CultureInfo.InvariantCulture);

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
