using System.CommandLine;
using BenchmarkDotNet.Running;
using Octet.Benchmarks.Verbs;

namespace Octet.Benchmarks;

/// <summary>Benchmarks: the commands below, or with BenchmarkDotNet's own arguments (<c>--filter '*'</c>, <c>--list flat</c>) its suites.</summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        var root = new RootCommand("Octet's benchmarks. Without a command the arguments go to BenchmarkDotNet.") { CalibrateVerb.Create(), CompareVerb.Create(), GenerateVerb.Create(), KernelsVerb.Create(), LayersVerb.Create(), StepsVerb.Create() };
        if (args.Length > 0 && (root.Subcommands.Any(command => command.Name == args[0]) || args[0] is "-h" or "--help" or "--version")) return root.Parse(args).Invoke();
        BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
        return 0;
    }
}
