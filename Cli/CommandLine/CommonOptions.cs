using System.CommandLine;
using System.Globalization;
using Octet.Runtime.Execution;

namespace Octet.Cli.CommandLine;

/// <summary>Options and arguments that several verbs share.</summary>
internal static class CommonOptions
{
    /// <summary>One JSON object on standard output and nothing else.</summary>
    public static Option<bool> Json { get; } = new("--json") { Description = "Print exactly one JSON object on standard output.", Recursive = true };

    /// <summary>Stack traces of internal errors.</summary>
    public static Option<bool> Verbose { get; } = new("--verbose") { Description = "Print the stack trace of an internal error.", Recursive = true };

    /// <summary>The model file.</summary>
    public static Argument<string> Model() => new("MODEL") { Description = "An ONNX file." };

    /// <summary>The dataset file.</summary>
    public static Option<string> Data(bool required = true) => new("--data") { Description = "A dataset file (docs/dataset-format.md).", HelpName = "DATASET", Required = required };

    /// <summary>Threads of one run.</summary>
    public static Option<int?> Threads() => AtLeastOne(new Option<int?>("--threads") { Description = "Threads that one run may use. Default: the processors of the process.", HelpName = "N" });

    /// <summary>Samples read at most.</summary>
    public static Option<int?> Limit(string otherwise = "all") =>
        AtLeastOne(new Option<int?>("--limit") { Description = $"Samples of the dataset that are used, the first N. Default: {otherwise}.", HelpName = "N" });

    /// <summary>Shapes of inputs whose extents the model leaves open.</summary>
    public static Option<string[]> Shapes() => new("--shape") { Description = "Shape of an input, as NAME=1x3x224x224. May be given for several inputs.", HelpName = "NAME=EXTENTS", AllowMultipleArgumentsPerToken = true };

    /// <summary>Session options with <paramref name="threads"/> threads where given.</summary>
    public static SessionOptions Session(int? threads) => threads is { } given ? new SessionOptions { Threads = given } : new SessionOptions();

    /// <summary>Makes every value below one a mistake of the command line.</summary>
    public static Option<int?> AtLeastOne(Option<int?> option)
    {
        option.Validators.Add(result =>
        {
            // A value that is no number has an error already.
            if (result.Tokens.Count == 1 && int.TryParse(result.Tokens[0].Value, NumberStyles.Integer, CultureInfo.InvariantCulture, out int value) && value < 1)
                result.AddError($"{option.Name} is {value}; rule: at least 1");
        });
        return option;
    }

    /// <summary><c>NAME=VALUE</c> pairs by name.</summary>
    /// <exception cref="UsageException">One has no <c>=</c>, or a name stands twice.</exception>
    public static Dictionary<string, string> Pairs(string option, IEnumerable<string>? given)
    {
        var pairs = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string pair in given ?? [])
        {
            // The first '=' separates: paths hold one more often than names of values do.
            int split = pair.IndexOf('=', StringComparison.Ordinal);
            if (split <= 0 || split == pair.Length - 1) throw new UsageException($"{option} '{pair}'; rule: NAME=VALUE");
            if (!pairs.TryAdd(pair[..split], pair[(split + 1)..])) throw new UsageException($"{option} names '{pair[..split]}' twice; rule: once per input");
        }
        return pairs;
    }

    /// <summary>The shapes given with <see cref="Shapes"/>.</summary>
    /// <exception cref="UsageException">A shape is no list of extents.</exception>
    public static Dictionary<string, int[]> ParseShapes(IEnumerable<string>? given)
    {
        var shapes = new Dictionary<string, int[]>(StringComparer.Ordinal);
        foreach ((string name, string text) in Pairs("--shape", given))
        {
            string[] parts = text.Split('x', ',');
            var shape = new int[parts.Length];
            for (int axis = 0; axis < shape.Length; axis++)
            {
                if (!int.TryParse(parts[axis], NumberStyles.None, CultureInfo.InvariantCulture, out shape[axis]))
                    throw new UsageException($"--shape {name}={text}: '{parts[axis]}' is no extent; rule: NAME=1x3x224x224");
            }
            shapes.Add(name, shape);
        }
        return shapes;
    }
}
