#if !FOOTPRINT
using System.CommandLine;
using BenchmarkDotNet.Running;
using Octet.Benchmarks.Verbs;
#endif
using System.Globalization;
using Octet.Benchmarks.Peers;

namespace Octet.Benchmarks;

/// <summary>Benchmarks: the commands below, or with BenchmarkDotNet's own arguments (<c>--filter '*'</c>, <c>--list flat</c>) its suites. Compiled ahead of time, only the child process of <c>footprint</c>.</summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        if (args is [Footprint.ChildVerb, var kind, var model, var threads]) return Footprint.RunChild(kind, model, int.Parse(threads, CultureInfo.InvariantCulture));
#if FOOTPRINT
        Console.Error.WriteLine($"usage: {Footprint.ChildVerb} {string.Join('|', Footprint.Kinds)} MODEL THREADS");
        return 2;
#else
        return RunVerb(args);
#endif
    }
#if !FOOTPRINT

    private static int RunVerb(string[] args)
    {
        var root = new RootCommand("Octet's benchmarks. Without a command the arguments go to BenchmarkDotNet.") { AccuracyVerb.Create(), CalibrateVerb.Create(), CompareVerb.Create(), GenerateVerb.Create(), KernelsVerb.Create(), LayersVerb.Create(), StepsVerb.Create(), FootprintVerb.Create(), ThreadsVerb.Create() };
        if (args.Length > 0 && (root.Subcommands.Any(command => command.Name == args[0]) || args[0] is "-h" or "--help" or "--version")) return root.Parse(args).Invoke();
        BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
        return 0;
    }
#endif
}
