using System.CommandLine;
using System.CommandLine.Invocation;
using Octet.Cli.Verbs;

namespace Octet.Cli.CommandLine;

/// <summary>The command <c>octet</c>: its verbs, and how a run becomes an exit code.</summary>
internal static class OctetCommand
{
    /// <summary>Runs a command line.</summary>
    /// <param name="args">The arguments.</param>
    /// <param name="output">Standard output: results, and with <c>--json</c> exactly one object.</param>
    /// <param name="error">Standard error: errors, notes and progress.</param>
    /// <returns>One of <see cref="ExitCode"/>.</returns>
    public static int Run(IReadOnlyList<string> args, TextWriter output, TextWriter error)
    {
        ParseResult parsed = Create().Parse(args);
        if (parsed.Action is ParseErrorAction)
        {
            var host = new VerbHost(parsed, output, error, CancellationToken.None);
            string verb = host.Verb;
            return host.Fail("usage", ExitCode.Usage, string.Join(" ", parsed.Errors.Select(e => e.Message)) + $"; rule: see '{verb} --help'");
        }
        // The verbs answer for their own exceptions (VerbHost); nothing else may end in a default handler's exit code.
        return parsed.Invoke(new InvocationConfiguration { Output = output, Error = error, EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = TimeSpan.FromSeconds(10) });
    }

    /// <summary>The command with all its verbs.</summary>
    public static RootCommand Create() => new("Octet runs ONNX models and makes INT8 models of float ones.")
    {
        DemoVerb.Create(),
        InspectVerb.Create(),
        RunVerb.Create(),
        QuantizeVerb.Create(),
        EvalVerb.Create(),
        BenchVerb.Create(),
        ExplainVerb.Create(),
        VerifyVerb.Create(),
        DisasmVerb.Create(),
        ConformVerb.Create(),
        CommonOptions.Json,
        CommonOptions.Verbose,
    };
}
