using Octet.Cli.CommandLine;

namespace Octet.Cli;

internal static class Program
{
    private static int Main(string[] args) => OctetCommand.Run(args, Console.Out, Console.Error);
}
