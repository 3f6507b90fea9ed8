using System.CommandLine;
using System.Globalization;
using Octet.Benchmarks.Peers;

namespace Octet.Benchmarks.Verbs;

/// <summary><c>footprint MODEL</c>: load plus first inference and peak memory of whole processes, above those of a .NET process that does nothing.</summary>
internal static class FootprintVerb
{
    public static Command Create()
    {
        var model = new Argument<FileInfo>("MODEL") { Description = "The ONNX model." };
        var rounds = new Option<int>("--rounds") { Description = "Alternating rounds; each starts every process once.", DefaultValueFactory = _ => 7 };
        var threads = new Option<int>("--threads") { Description = "Threads of either runtime.", DefaultValueFactory = _ => 1 };
        var program = new Option<FileInfo?>("--program") { Description = "Another program that takes 'footprint-child KIND MODEL THREADS' and answers alike, such as a NativeAOT build of this one." };
        var command = new Command("footprint", "Measures load, first inference and peak memory of whole processes.") { model, rounds, threads, program };
        command.SetAction(result =>
        {
            string path = result.GetValue(model)!.FullName;
            int workers = result.GetValue(threads);
            var measured = new Dictionary<string, List<Footprint>>();
            for (int round = 0; round < result.GetValue(rounds); round++)
            {
                foreach (string kind in Footprint.Kinds) Add(kind, Footprint.Measure(kind, path, workers));
                if (result.GetValue(program) is not { } other) continue;
                foreach (string kind in Footprint.Kinds[..2])
                    Add($"{kind}, {other.Name}", Footprint.Measure(other.FullName, [Footprint.ChildVerb, kind, path, workers.ToString(CultureInfo.InvariantCulture)]));
            }
            Footprint empty = Median(measured["empty"]);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{"process",-24} {"ms",8} {"above empty",12} {"peak MiB",9} {"above empty",12}"));
            foreach ((string kind, List<Footprint> values) in measured)
            {
                Footprint median = Median(values);
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{kind,-24} {median.Milliseconds,8:F0} {median.Milliseconds - empty.Milliseconds,12:F0} {median.PeakMebibytes,9:F1} {median.PeakMebibytes - empty.PeakMebibytes,12:F1}"));
            }
            return 0;

            void Add(string kind, Footprint value)
            {
                if (!measured.TryGetValue(kind, out List<Footprint>? values)) measured.Add(kind, values = []);
                values.Add(value);
            }
        });
        return command;
    }

    private static Footprint Median(List<Footprint> values) =>
        new(Comparison.Quantile([.. values.Select(value => value.Milliseconds)], 0.5), Comparison.Quantile([.. values.Select(value => value.PeakMebibytes)], 0.5));
}
