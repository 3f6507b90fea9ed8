using System.CommandLine;
using System.Text.Json;
using Octet.Cli.Conform;
using Octet.Runtime.Execution;
using Spectre.Console;

namespace Octet.Cli.Verbs;

/// <summary><c>octet conform FOLDER… [--json] [--timeout S]</c>: runs ONNX backend cases and compares with their stored outputs.</summary>
/// <remarks>Exit code 0 only if no case failed; 1 if one did; 2 if there was nothing to run.</remarks>
internal static class ConformVerb
{
    /// <summary>The verb.</summary>
    public static Command Create()
    {
        var folders = new Argument<string[]>("folder") { Description = "Folders; every folder in or below them with model.onnx and test_data_set_N is a case.", Arity = ArgumentArity.OneOrMore };
        var json = new Option<bool>("--json") { Description = "Print {\"passed\",\"failed\",\"unsupported\",\"cases\":[…]} instead of a table." };
        var timeout = new Option<int>("--timeout") { Description = "Seconds that one case may take.", DefaultValueFactory = _ => 120 };
        var command = new Command("conform", "Run ONNX backend test cases and compare with their stored outputs.") { folders, json, timeout };
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(parsed.GetValue(folders) ?? [], parsed.GetValue(json), parsed.GetValue(timeout), Console.Out, cancellation)));
        return command;
    }

    /// <summary>Runs the cases below <paramref name="folders"/> and prints to <paramref name="output"/>.</summary>
    public static int Run(IReadOnlyList<string> folders, bool json, int timeoutSeconds, TextWriter output, CancellationToken cancellation)
    {
        List<ConformanceCase> cases;
        try
        {
            cases = ConformanceCase.Find(folders);
        }
        catch (DirectoryNotFoundException e)
        {
            Console.Error.WriteLine($"octet conform: {e.Message}");
            return 2;
        }
        if (cases.Count == 0)
        {
            Console.Error.WriteLine("octet conform: no folder with model.onnx and test_data_set_N found");
            return 2;
        }
        var runner = new ConformanceRunner(new SessionOptions { Threads = 1 }, TimeSpan.FromSeconds(Math.Max(1, timeoutSeconds)));
        var results = new List<ConformanceResult>(cases.Count);
        foreach (ConformanceCase one in cases) results.Add(runner.Run(one, cancellation));
        if (json) WriteJson(results, output);
        else WriteTable(results, output);
        return Count(results, ConformanceOutcome.Failed) == 0 ? 0 : 1;
    }

    private static int Count(List<ConformanceResult> results, ConformanceOutcome outcome) => results.Count(result => result.Outcome == outcome);

    private static string Name(ConformanceOutcome outcome) => outcome switch
    {
        ConformanceOutcome.Passed => "passed",
        ConformanceOutcome.Failed => "failed",
        _ => "unsupported",
    };

    private static void WriteJson(List<ConformanceResult> results, TextWriter output)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            writer.WriteStartObject();
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
            writer.WriteEndObject();
        }
        output.WriteLine(System.Text.Encoding.UTF8.GetString(buffer.ToArray()));
    }

    private static void WriteTable(List<ConformanceResult> results, TextWriter output)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });
        var table = new Table().AddColumn("case").AddColumn("result").AddColumn("reason");
        foreach (ConformanceResult result in results.Where(result => result.Outcome != ConformanceOutcome.Passed))
            table.AddRow(new Text(result.Case.Name), new Text(Name(result.Outcome)), new Text(result.Reason));
        if (table.Rows.Count > 0) console.Write(table);
        output.WriteLine($"{Count(results, ConformanceOutcome.Passed)} passed, {Count(results, ConformanceOutcome.Failed)} failed, {Count(results, ConformanceOutcome.Unsupported)} unsupported, {results.Count} cases");
    }
}
