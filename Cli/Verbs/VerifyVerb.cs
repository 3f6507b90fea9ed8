using System.CommandLine;
using System.Globalization;
using Octet.Cli.CommandLine;
using Octet.Cli.Verify;
using Octet.Kernels.Cpu;
using Octet.Runtime.Execution;
using Spectre.Console;

namespace Octet.Cli.Verbs;

/// <summary><c>octet verify</c>: compares every kernel that this machine can run with its definition. Exit code 1 on any mismatch.</summary>
internal static class VerifyVerb
{
    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Option<int?> threads = CommonOptions.Threads();
        var command = new Command("verify", "Check every kernel of this machine against its definition.") { threads };
        return VerbHost.Bind(command, host => Run(host, CommonOptions.Session(host.Parsed.GetValue(threads))));
    }

    private static int Run(VerbHost host, SessionOptions options)
    {
        IReadOnlyList<KernelResult> results = WorkProgress.Show(host, "verify", progress => KernelCheck.Run(options.Cpu, options.Threads, (done, total) => progress.Report(done, total), host.Cancellation));
        (string Name, string Needs)[] skipped = [.. KernelCheck.Skipped(options.Cpu)];
        bool fine = results.All(result => result.Mismatches == 0);
        if (host.Json)
        {
            host.PrintJson(writer =>
            {
                writer.WriteString("cpu", CpuInfo.Name);
                writer.WriteString("features", options.Cpu.ToString());
                writer.WriteStartArray("kernels");
                foreach (KernelResult result in results)
                {
                    writer.WriteStartObject();
                    writer.WriteString("name", result.Name);
                    writer.WriteString("isa", result.Isa);
                    writer.WriteNumber("cases", result.Cases);
                    writer.WriteNumber("mismatches", result.Mismatches);
                    if (result.FirstMismatch is { } first) writer.WriteString("firstMismatch", first);
                    writer.WriteEndObject();
                }
                writer.WriteEndArray();
                writer.WriteStartArray("skipped");
                foreach ((string name, string needs) in skipped)
                {
                    writer.WriteStartObject();
                    writer.WriteString("name", name);
                    writer.WriteString("needs", needs);
                    writer.WriteEndObject();
                }
                writer.WriteEndArray();
            });
            return fine ? ExitCode.Fine : ExitCode.Input;
        }
        host.Line($"{CpuInfo.Name}; {options.Cpu}");
        var table = new Table().AddColumn("kernel").AddColumn("needs").AddColumn(new TableColumn("cases").RightAligned()).AddColumn(new TableColumn("mismatches").RightAligned()).AddColumn("");
        foreach (KernelResult result in results)
            table.AddRow(new Text(result.Name), new Text(result.Isa), new Text(Number(result.Cases)), new Text(Number(result.Mismatches)), new Text(result.FirstMismatch ?? ""));
        foreach ((string name, string needs) in skipped) table.AddRow(new Text(name), new Text(needs), new Text(""), new Text(""), new Text("skipped: not on this machine"));
        host.Print(table);
        host.Line($"{results.Count} kernels checked, {results.Count(result => result.Mismatches > 0)} wrong, {skipped.Length} skipped");
        return fine ? ExitCode.Fine : ExitCode.Input;
    }

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
