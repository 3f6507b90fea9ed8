using System.CommandLine;
using System.Text.Json;
using Octet.Cli.CommandLine;
using Octet.Cli.Conform;
using Octet.Runtime.Execution;
using Spectre.Console;

namespace Octet.Cli.Verbs;

/// <summary><c>octet conform FOLDER… [--json] [--timeout S] [--rtol R] [--atol A] [--of-largest F]</c>: runs ONNX backend cases and compares with their stored outputs.</summary>
/// <remarks>
/// Floats are compared at ONNX's own tolerances (rtol 1e-3, atol 1e-7; rtol 1e-2 where float16 takes part), everything else exactly. The three options replace both:
/// <c>|actual − expected| ≤ A + R·|expected| + F·max|expected|</c>, and those that are left out are 0.
/// Exit code 0 only if no case failed; 1 if one did; 2 if there was nothing to run.</remarks>
internal static class ConformVerb
{
    /// <summary>The verb.</summary>
    public static Command Create()
    {
        var folders = new Argument<string[]>("folder") { Description = "Folders; every folder in or below them with model.onnx and test_data_set_N is a case.", Arity = ArgumentArity.OneOrMore };
        var timeout = new Option<int>("--timeout") { Description = "Seconds that one case may take.", DefaultValueFactory = _ => 120 };
        var relative = new Option<double?>("--rtol") { Description = "Tolerance of floats relative to the expected element, in place of ONNX's own tolerances." };
        var absolute = new Option<double?>("--atol") { Description = "Absolute tolerance of floats, in place of ONNX's own tolerances." };
        var ofLargest = new Option<double?>("--of-largest") { Description = "Tolerance of floats relative to the largest expected magnitude of the output, in place of ONNX's own tolerances." };
        var command = new Command("conform", "Run ONNX backend test cases and compare with their stored outputs.") { folders, timeout, relative, absolute, ofLargest };
        return VerbHost.Bind(command, host => Run(host, host.Parsed.GetValue(folders) ?? [], host.Parsed.GetValue(timeout),
            Given(host.Parsed.GetValue(relative), host.Parsed.GetValue(absolute), host.Parsed.GetValue(ofLargest))));
    }

    private static Tolerances? Given(double? relative, double? absolute, double? ofLargest)
    {
        foreach ((string name, double? value) in new[] { ("--rtol", relative), ("--atol", absolute), ("--of-largest", ofLargest) })
        {
            if (value is { } number && !(number >= 0 && double.IsFinite(number))) throw new UsageException($"{name} is {number}; rule: a number that is not negative");
        }
        return relative is null && absolute is null && ofLargest is null ? null : new Tolerances(relative ?? 0, absolute ?? 0, ofLargest ?? 0);
    }

    private static int Run(VerbHost host, IReadOnlyList<string> folders, int timeoutSeconds, Tolerances? tolerances)
    {
        if (timeoutSeconds < 1) throw new UsageException($"--timeout is {timeoutSeconds}; rule: at least 1");
        List<ConformanceCase> cases = ConformanceCase.Find(folders);
        if (cases.Count == 0) throw new UsageException($"no case in {string.Join(", ", folders.Select(folder => $"'{folder}'"))}; rule: a case is a folder with model.onnx and test_data_set_N");
        var runner = new ConformanceRunner(new SessionOptions { Threads = 1 }, TimeSpan.FromSeconds(timeoutSeconds), tolerances);
        List<ConformanceResult> results = WorkProgress.Show(host, "conform", progress =>
        {
            var done = new List<ConformanceResult>(cases.Count);
            foreach (ConformanceCase one in cases)
            {
                done.Add(runner.Run(one, host.Cancellation));
                progress.Report(done.Count, cases.Count);
            }
            return done;
        });
        if (host.Json) host.PrintJson(writer => WriteJson(writer, results));
        else Print(host, results);
        return Count(results, ConformanceOutcome.Failed) == 0 ? ExitCode.Fine : ExitCode.Input;
    }

    private static int Count(List<ConformanceResult> results, ConformanceOutcome outcome) => results.Count(result => result.Outcome == outcome);

    private static string Name(ConformanceOutcome outcome) => outcome switch
    {
        ConformanceOutcome.Passed => "passed",
        ConformanceOutcome.Failed => "failed",
        _ => "unsupported",
    };

    private static void WriteJson(Utf8JsonWriter writer, List<ConformanceResult> results)
    {
        foreach (ConformanceOutcome outcome in new[] { ConformanceOutcome.Passed, ConformanceOutcome.Failed, ConformanceOutcome.Unsupported })
            writer.WriteNumber(Name(outcome), Count(results, outcome));
        writer.WriteStartArray("cases");
        foreach (ConformanceResult result in results)
        {
            writer.WriteStartObject();
            writer.WriteString("case", result.Case.Name);
            writer.WriteString("result", Name(result.Outcome));
            writer.WriteString("reason", result.Reason);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    private static void Print(VerbHost host, List<ConformanceResult> results)
    {
        var table = new Table().AddColumn("case").AddColumn("result").AddColumn("reason");
        foreach (ConformanceResult result in results.Where(result => result.Outcome != ConformanceOutcome.Passed))
            table.AddRow(new Text(result.Case.Name), new Text(Name(result.Outcome)), new Text(result.Reason));
        if (table.Rows.Count > 0) host.Print(table);
        host.Line($"{Count(results, ConformanceOutcome.Passed)} passed, {Count(results, ConformanceOutcome.Failed)} failed, {Count(results, ConformanceOutcome.Unsupported)} unsupported, {results.Count} cases");
    }
}
