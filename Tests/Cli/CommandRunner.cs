using System.Text.Json;
using Octet.Cli.CommandLine;

namespace Octet.Tests.Cli;

/// <summary>What one run of the command gave.</summary>
internal sealed record CommandResult(int ExitCode, string Output, string Error)
{
    /// <summary>Standard output as the one JSON object that <c>--json</c> promises.</summary>
    public JsonElement Json
    {
        get
        {
            using JsonDocument document = JsonDocument.Parse(Output);   // throws on anything before or after the object
            Assert.That(document.RootElement.ValueKind, Is.EqualTo(JsonValueKind.Object));
            return document.RootElement.Clone();
        }
    }
}

/// <summary>Runs the command in this process.</summary>
internal static class CommandRunner
{
    public static CommandResult Run(params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        int code = OctetCommand.Run(args, output, error);
        return new CommandResult(code, output.ToString(), error.ToString());
    }

    /// <summary>Runs and expects exit code 0.</summary>
    public static CommandResult Succeed(params string[] args)
    {
        CommandResult result = Run(args);
        Assert.That(result.ExitCode, Is.Zero, result.Error + result.Output);
        return result;
    }
}
