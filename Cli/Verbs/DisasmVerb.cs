using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Octet.Cli.CommandLine;
using Octet.Kernels.Cpu;
using Octet.Kernels.Emit;
using Octet.Kernels.QConv;
using Octet.Kernels.QGemm;
using Spectre.Console;

namespace Octet.Cli.Verbs;

/// <summary><c>octet disasm</c>: the kernels whose machine code Octet makes itself, and that code. Works on every CPU, since the code is only shown.</summary>
internal static class DisasmVerb
{
    /// <summary>A kernel in emitted code.</summary>
    private sealed record EmittedKernel(string Name, CpuFeatures Requires, Func<bool?, EmittedFunction[]> Emit);

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        var kernel = new Argument<string?>("KERNEL") { Description = "The kernel; without it, the list of kernels and what emitting them cost in this process.", Arity = ArgumentArity.ZeroOrOne };
        var function = new Option<string?>("--function") { Description = "Only this function of the kernel." };
        var convention = new Option<string>("--convention") { Description = "Calling convention: system, sysv or windows.", DefaultValueFactory = _ => "system" };
        convention.AcceptOnlyFromAmong("system", "sysv", "windows");
        var command = new Command("disasm", "Show the machine code of kernels that .NET has no instructions for.") { kernel, function, convention };
        return VerbHost.Bind(command, host =>
        {
            bool? windows = host.Parsed.GetValue(convention) switch { "sysv" => false, "windows" => true, _ => null };
            return host.Parsed.GetValue(kernel) is { } name ? Show(host, name, host.Parsed.GetValue(function), windows) : List(host, windows);
        });
    }

    private static IEnumerable<EmittedKernel> Kernels()
    {
        foreach (QGemmKernel kernel in QGemmKernels.All)
            if (kernel.Emit is { } emit) yield return new EmittedKernel(kernel.Name, kernel.Requires, emit);
        foreach (QDepthwiseKernel kernel in QDepthwiseKernels.All)
            if (kernel.Emit is { } emit) yield return new EmittedKernel(kernel.Name, kernel.Requires, emit);
    }

    private static int List(VerbHost host, bool? windows)
    {
        var rows = new List<(EmittedKernel Kernel, int Functions, int Bytes, double Milliseconds)>();
        TimeSpan processor = Environment.CpuUsage.TotalTime;
        foreach (EmittedKernel kernel in Kernels())
        {
            long start = Stopwatch.GetTimestamp();
            EmittedFunction[] functions = kernel.Emit(windows);
            rows.Add((kernel, functions.Length, functions.Sum(function => function.Bytes.Length), Stopwatch.GetElapsedTime(start).TotalMilliseconds));
        }
        double total = rows.Sum(row => row.Milliseconds), processorTime = (Environment.CpuUsage.TotalTime - processor).TotalMilliseconds;
        if (host.Json)
        {
            host.PrintJson(writer =>
            {
                writer.WriteStartArray("kernels");
                foreach ((EmittedKernel kernel, int functions, int bytes, double milliseconds) in rows)
                {
                    writer.WriteStartObject();
                    writer.WriteString("name", kernel.Name);
                    writer.WriteString("isa", kernel.Requires.ToString());
                    writer.WriteNumber("functions", functions);
                    writer.WriteNumber("bytes", bytes);
                    writer.WriteNumber("emissionMs", milliseconds);
                    writer.WriteEndObject();
                }
                writer.WriteEndArray();
                writer.WriteNumber("emissionMs", total);
                writer.WriteNumber("emissionProcessorMs", processorTime);
            });
            return ExitCode.Fine;
        }
        var table = new Table().AddColumn("kernel").AddColumn("needs").AddColumn(new TableColumn("functions").RightAligned()).AddColumn(new TableColumn("bytes").RightAligned()).AddColumn(new TableColumn("ms to emit").RightAligned());
        foreach ((EmittedKernel kernel, int functions, int bytes, double milliseconds) in rows)
            table.AddRow(new Text(kernel.Name), new Text(kernel.Requires.ToString()), new Text(Number(functions)), new Text(Number(bytes)), new Text(milliseconds.ToString("F1", CultureInfo.InvariantCulture)));
        host.Print(table);
        host.Line($"emitted in {total:F1} ms ({processorTime:F1} ms of processor time), most of it compiling the encoder: later kernels cost what the last lines show");
        return ExitCode.Fine;
    }

    private static int Show(VerbHost host, string name, string? only, bool? windows)
    {
        EmittedKernel kernel = Kernels().FirstOrDefault(kernel => kernel.Name == name)
            ?? throw new UsageException($"no emitted kernel is called '{name}'; rule: one of {string.Join(", ", Kernels().Select(kernel => kernel.Name))}");
        EmittedFunction[] functions = kernel.Emit(windows);
        if (only is not null)
        {
            functions = [.. functions.Where(function => function.Name == only)];
            if (functions.Length == 0)
                throw new UsageException($"{name} has no function '{only}'; rule: one of {string.Join(", ", kernel.Emit(windows).Select(function => function.Name))}");
        }
        if (host.Json)
        {
            host.PrintJson(writer =>
            {
                writer.WriteString("kernel", kernel.Name);
                writer.WriteString("isa", kernel.Requires.ToString());
                writer.WriteStartArray("functions");
                foreach (EmittedFunction function in functions)
                {
                    writer.WriteStartObject();
                    writer.WriteString("name", function.Name);
                    writer.WriteNumber("bytes", function.Bytes.Length);
                    writer.WriteStartArray("instructions");
                    foreach (DisassembledLine line in Disassembly.Of(function.Bytes))
                    {
                        writer.WriteStartObject();
                        writer.WriteNumber("offset", line.Offset);
                        writer.WriteString("code", Convert.ToHexString(function.Bytes, line.Offset, line.Length));
                        writer.WriteString("text", line.Text);
                        writer.WriteEndObject();
                    }
                    writer.WriteEndArray();
                    writer.WriteEndObject();
                }
                writer.WriteEndArray();
            });
            return ExitCode.Fine;
        }
        foreach (EmittedFunction function in functions)
        {
            host.Line($"{kernel.Name} {function.Name}: {function.Bytes.Length} bytes");
            foreach (DisassembledLine line in Disassembly.Of(function.Bytes))
                host.Line($"{line.Offset,6:x}  {Convert.ToHexString(function.Bytes, line.Offset, line.Length),-24}  {line.Text}");
        }
        return ExitCode.Fine;
    }

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
