using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Octet.Runtime;
using Spectre.Console;

namespace Octet.Cli.CommandLine;

/// <summary>What a verb gets to work with: its streams, how to print, when to stop. Turns exceptions into messages and exit codes.</summary>
internal sealed class VerbHost
{
    /// <summary>Columns assumed where the output is no terminal.</summary>
    private const int FileWidth = 200;

    private readonly TextWriter _error;
    private readonly bool _verbose;

    /// <summary>Streams and options of one invocation.</summary>
    public VerbHost(ParseResult parsed, TextWriter output, TextWriter error, CancellationToken cancellation)
    {
        (Parsed, Out, _error, Cancellation) = (parsed, output, error, cancellation);
        Json = parsed.GetValue(CommonOptions.Json);
        _verbose = parsed.GetValue(CommonOptions.Verbose);
        var names = new List<string>();
        for (System.CommandLine.Parsing.SymbolResult? at = parsed.CommandResult; at is System.CommandLine.Parsing.CommandResult command; at = at.Parent)
        {
            names.Insert(0, command.Command is RootCommand ? "octet" : command.Command.Name);
        }
        Verb = string.Join(' ', names);
    }

    /// <summary>The values of the command line.</summary>
    public ParseResult Parsed { get; }

    /// <summary>Standard output.</summary>
    public TextWriter Out { get; }

    /// <summary>Whether the only output is one JSON object.</summary>
    public bool Json { get; }

    /// <summary>Ends when the user stops the command.</summary>
    public CancellationToken Cancellation { get; }

    /// <summary>The command as typed: <c>octet quantize</c>.</summary>
    public string Verb { get; }

    /// <summary>Whether progress bars have somebody to look at them.</summary>
    public bool ShowsProgress => !Json && ReferenceEquals(_error, Console.Error) && !Console.IsErrorRedirected;

    /// <summary>A console on standard error, for progress.</summary>
    public IAnsiConsole ErrorConsole() => AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(_error) });

    /// <summary>Makes <paramref name="verb"/> the action of <paramref name="command"/>.</summary>
    /// <returns><paramref name="command"/>.</returns>
    public static Command Bind(Command command, Func<VerbHost, int> verb)
    {
        // On a thread of its own, so that Ctrl-C is listened to while the verb works.
        command.SetAction((parsed, cancellation) => Task.Run(
            () => new VerbHost(parsed, parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error, cancellation).Guard(verb), CancellationToken.None));
        return command;
    }

    /// <summary>Prints one JSON object.</summary>
    public void PrintJson(Action<Utf8JsonWriter> write) => JsonText.Print(Out, write);

    /// <summary>Prints a table or another element.</summary>
    public void Print(Spectre.Console.Rendering.IRenderable element)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Out) });
        if (!ReferenceEquals(Out, Console.Out) || Console.IsOutputRedirected) console.Profile.Width = FileWidth;
        console.Write(element);
    }

    /// <summary>Prints a line in the invariant culture.</summary>
    public void Line(FormattableString line) => Out.WriteLine(line.ToString(CultureInfo.InvariantCulture));

    /// <summary>Says on standard error what the user should know; nothing with <see cref="Json"/>.</summary>
    public void Note(string note)
    {
        if (!Json) _error.WriteLine($"note: {note}");
    }

    /// <summary>Reports an error in the form that was asked for.</summary>
    /// <param name="kind">What is at fault: <c>usage</c>, <c>model</c>, <c>data</c>, <c>io</c>, <c>cancelled</c>, <c>internal</c>.</param>
    /// <param name="code">The exit code.</param>
    /// <param name="message">What; facts; rule.</param>
    /// <returns><paramref name="code"/>.</returns>
    public int Fail(string kind, int code, string message)
    {
        if (Json)
        {
            PrintJson(writer =>
            {
                writer.WriteStartObject("error");
                writer.WriteString("kind", kind);
                writer.WriteString("message", message);
                writer.WriteEndObject();
            });
            return code;
        }
        const string rule = "; rule: ";
        int split = message.LastIndexOf(rule, StringComparison.Ordinal);
        _error.WriteLine($"{Verb}: {(split < 0 ? message : message[..split])}");
        if (split >= 0) _error.WriteLine($"  rule: {message[(split + rule.Length)..]}");
        return code;
    }

    private int Guard(Func<VerbHost, int> verb)
    {
        try
        {
            return verb(this);
        }
        catch (UsageException e)
        {
            return Fail("usage", ExitCode.Usage, e.Message);
        }
        catch (DataException e)
        {
            return Fail("data", ExitCode.Input, e.Message);
        }
        catch (OctetException e)
        {
            return Fail("model", ExitCode.Input, e.Message);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Fail("io", ExitCode.Input, $"{e.Message}; rule: given files can be read and written");
        }
        catch (OutOfMemoryException e)
        {
            return Fail("model", ExitCode.Input, $"{e.Message}; rule: the model and its data fit in memory");
        }
        catch (OperationCanceledException) when (Cancellation.IsCancellationRequested)
        {
            return Fail("cancelled", ExitCode.Cancelled, "stopped; files that were to be written are as before");
        }
        catch (Exception e)
        {
            string trace = _verbose ? $"{Environment.NewLine}{e.StackTrace}" : "";
            return Fail("internal", ExitCode.Internal, $"internal error: {e.GetType().Name}: {e.Message}{trace}{(_verbose ? "" : "; rule: this is a defect of Octet; --verbose shows where")}");
        }
    }
}
