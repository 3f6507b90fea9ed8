using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Octet.Cli.CommandLine;
using Octet.Cli.Datasets;
using Octet.Cli.Evaluation;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Spectre.Console;

namespace Octet.Cli.Verbs;

/// <summary><c>octet eval MODEL --data DATASET [--against MODEL2] [--limit N] [--threads N]</c>: accuracy, latency, and how far two models are apart.</summary>
internal static class EvalVerb
{
    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Argument<string> model = CommonOptions.Model();
        Option<string> data = CommonOptions.Data();
        var against = new Option<string?>("--against") { Description = "A model to compare with; it is the reference of maxAbsDiff and sqnrDb.", HelpName = "MODEL2" };
        Option<int?> limit = CommonOptions.Limit(), threads = CommonOptions.Threads();
        var command = new Command("eval", "Measure a model on a dataset, and compare it with another.") { model, data, against, limit, threads };
        return VerbHost.Bind(command, host => Run(host, host.Parsed.GetRequiredValue(model), host.Parsed.GetRequiredValue(data), host.Parsed.GetValue(against),
            host.Parsed.GetValue(limit), host.Parsed.GetValue(threads)));
    }

    private static int Run(VerbHost host, string modelPath, string dataPath, string? againstPath, int? limit, int? threads)
    {
        SessionOptions options = CommonOptions.Session(threads);
        Dataset dataset = Dataset.Load(dataPath);
        var session = new InferenceSession(Model.Load(modelPath), options);
        InferenceSession? against = againstPath is null ? null : new InferenceSession(Model.Load(againstPath), options);
        Evaluation.Evaluation result = WorkProgress.Show(host, "evaluate",
            progress => Evaluator.Run(dataset, session, against, limit, (done, total) => progress.Report(done, total), host.Cancellation));
        if (host.Json) host.PrintJson(writer => WriteJson(writer, result));
        else Print(host, result);
        return ExitCode.Fine;
    }

    private static void WriteJson(Utf8JsonWriter writer, Evaluation.Evaluation result)
    {
        writer.WriteNumber("samples", result.Samples);
        writer.WriteFinite("top1", result.Top1);
        writer.WriteFinite("top5", result.Top5);
        writer.WriteFinite("meanLatencyMs", result.MeanLatencyMs);
        if (result.Outputs is { } outputs)
        {
            writer.WriteFinite("agreement", result.Agreement);
            WriteDifferences(writer, "outputs", outputs);
        }
        if (result.Expected is { } expected) WriteDifferences(writer, "expected", expected);
    }

    private static void WriteDifferences(Utf8JsonWriter writer, string key, IReadOnlyDictionary<string, OutputDifference> differences)
    {
        writer.WriteStartObject(key);
        foreach ((string name, OutputDifference difference) in differences)
        {
            writer.WriteStartObject(name);
            writer.WriteFinite("maxAbsDiff", difference.MaxAbs);
            writer.WriteFinite("sqnrDb", difference.SqnrDb);
            writer.WriteEndObject();
        }
        writer.WriteEndObject();
    }

    private static void Print(VerbHost host, Evaluation.Evaluation result)
    {
        var table = new Table().AddColumn("").AddColumn(new TableColumn("").RightAligned()).HideHeaders();
        Row(table, "samples", result.Samples.ToString(CultureInfo.InvariantCulture));
        if (result.Top1 is { } top1) Row(table, "top-1", Percent(top1));
        if (result.Top5 is { } top5) Row(table, "top-5", Percent(top5));
        if (result.MeanLatencyMs is { } latency) Row(table, "mean latency", $"{latency.ToString("F3", CultureInfo.InvariantCulture)} ms");
        if (result.Agreement is { } agreement) Row(table, "agreement (top-1)", Percent(agreement));
        host.Print(table);
        if (result.Outputs is { } outputs) PrintDifferences(host, "against the other model", outputs);
        if (result.Expected is { } expected) PrintDifferences(host, "against the dataset", expected);
    }

    private static void PrintDifferences(VerbHost host, string title, IReadOnlyDictionary<string, OutputDifference> differences)
    {
        var table = new Table().Title(title).AddColumn("output").AddColumn(new TableColumn("max |diff|").RightAligned()).AddColumn(new TableColumn("SQNR dB").RightAligned());
        foreach ((string name, OutputDifference difference) in differences)
            table.AddRow(new Text(name), new Text(difference.MaxAbs.ToString("G4", CultureInfo.InvariantCulture)), new Text(Decibels(difference.SqnrDb)));
        host.Print(table);
    }

    private static void Row(Table table, string name, string value) => table.AddRow(new Text(name), new Text(value));

    private static string Percent(double share) => $"{(100 * share).ToString("F2", CultureInfo.InvariantCulture)} %";

    private static string Decibels(double value) => double.IsPositiveInfinity(value) ? "equal" : value.ToString("F1", CultureInfo.InvariantCulture);
}
