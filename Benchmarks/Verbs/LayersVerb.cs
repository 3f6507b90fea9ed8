using System.CommandLine;

namespace Octet.Benchmarks.Verbs;

internal static class LayersVerb
{
    public static Command Create() => new("layers");
}
