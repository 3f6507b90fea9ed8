using System.CommandLine;
using System.Globalization;
using BenchmarkDotNet.Running;
using Octet.Benchmarks.Peers;
using Octet.Benchmarks.Verbs;

namespace Octet.Benchmarks;

/// <summary>Benchmarks: the commands below, or with BenchmarkDotNet's own arguments (<c>--filter '*'</c>, <c>--list flat</c>) its suites.</summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        if (args is [Footprint.ChildVerb, var kind, var model, var threads]) return Footprint.RunChild(kind, model, int.Parse(threads, CultureInfo.InvariantCulture));
        return RunVerb(args);
    }

    private static int RunVerb(string[] args)
    {
        var root = new RootCommand("Octet's benchmarks. Without a command the arguments go to BenchmarkDotNet.") { AccuracyVerb.Create(), CalibrateVerb.Create(), CompareVerb.Create(), GenerateVerb.Create(), KernelsVerb.Create(), LayersVerb.Create(), StepsVerb.Create(), FootprintVerb.Create(), ThreadsVerb.Create() };
        if (args.Length > 0 && (root.Subcommands.Any(command => command.Name == args[0]) || args[0] is "-h" or "--help" or "--version")) return root.Parse(args).Invoke();
        BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
        return 0;
    }
}
