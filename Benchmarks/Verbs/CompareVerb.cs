using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Octet.Benchmarks.Networks;
using Octet.Benchmarks.Peers;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Benchmarks.Verbs;

/// <summary><c>compare MODEL</c>: Octet and ONNX Runtime side by side.</summary>
internal static class CompareVerb
{
    public static Command Create()
    {
        var model = new Argument<FileInfo>("MODEL") { Description = "The ONNX model that Octet runs." };
        var peer = new Option<FileInfo?>("--peer-model") { Description = "Another file for ONNX Runtime; default: the same." };
        var exact = new Option<bool>("--exact") { Description = "Switch ONNX Runtime's exact integer mode on (session.x64quantprecision = 1)." };
        var threads = new Option<int>("--threads") { Description = "Threads of both.", DefaultValueFactory = _ => 1 };
        var rounds = new Option<int>("--rounds") { Description = "Alternating rounds.", DefaultValueFactory = _ => 21 };
        var shape = new Option<string[]>("--shape") { Description = "Extents of an input, as NAME=1x3x224x224; default: those stored beside the model, else unknown ones are 1." };
        var number = new Option<string[]>("--number") { Description = "A number that fills an integer input, as NAME=16000." };
        var random = new Option<bool>("--random") { Description = "Random inputs even where test_data_set_0 lies beside the model." };
        var cpuTime = new Option<bool>("--cpu-time") { Description = "Compare processor time instead of time on the wall: on a machine that others use, waiting for a processor then counts for neither." };
        var json = new Option<bool>("--json") { Description = "One JSON object." };
        var command = new Command("compare", "Times a model in Octet and in ONNX Runtime, alternating in one process.") { model, peer, exact, threads, rounds, shape, number, random, cpuTime, json };
        command.SetAction(result =>
        {
            string path = result.GetValue(model)!.FullName;
            Comparison c = Comparison.Run(path, result.GetValue(peer)?.FullName ?? path, result.GetValue(threads), result.GetValue(rounds), result.GetValue(exact),
                session => Inputs(session, path, result.GetValue(shape) ?? [], result.GetValue(number) ?? [], result.GetValue(random)), cpuTime: result.GetValue(cpuTime));
            if (result.GetValue(json))
            {
                using var stream = Console.OpenStandardOutput();
                using var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
                writer.WriteStartObject();
                writer.WriteString("model", c.Model);
                writer.WriteNumber("threads", c.Threads);
                writer.WriteNumber("rounds", c.Rounds);
                writer.WriteNumber("octetMedianMs", c.OctetMedianMs);
                writer.WriteNumber("peerMedianMs", c.PeerMedianMs);
                writer.WriteNumber("ratio", c.Ratio);
                writer.WriteNumber("ratioP25", c.RatioP25);
                writer.WriteNumber("ratioP75", c.RatioP75);
                writer.WriteNumber("octetFastMs", c.OctetFastMs);
                writer.WriteNumber("peerFastMs", c.PeerFastMs);
                if (double.IsNaN(c.MaxAbsDiff)) writer.WriteNull("maxAbsDiff");
                else writer.WriteNumber("maxAbsDiff", c.MaxAbsDiff);
                writer.WriteBoolean("top1Agrees", c.Top1Agrees);
                writer.WriteEndObject();
                return 0;
            }
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{Path.GetFileName(Path.GetDirectoryName(path))}/{c.Model}: Octet {c.OctetMedianMs:F3} ms, ONNX Runtime {c.PeerMedianMs:F3} ms, ratio {c.Ratio:F2} [{c.RatioP25:F2}, {c.RatioP75:F2}] over {c.Rounds} rounds, {c.Threads} thread(s); undisturbed {c.OctetFastMs:F3} and {c.PeerFastMs:F3} ms, ratio {c.PeerFastMs / c.OctetFastMs:F2}; max difference {c.MaxAbsDiff:G4}, top-1 {(c.Top1Agrees ? "agrees" : "differs")}"));
            return 0;
        });
        return command;
    }

    private static Tensor[] Inputs(InferenceSession session, string model, string[] shapes, string[] numbers, bool random)
    {
        string stored = Path.Combine(Path.GetDirectoryName(model)!, "test_data_set_0");
        if (!random && shapes.Length == 0 && numbers.Length == 0 && Directory.Exists(stored)) return SampleInputs.Stored(session, stored);
        return SampleInputs.For(session, 1, Pairs(shapes).ToDictionary(pair => pair.Name, pair => Array.ConvertAll(pair.Value.Split('x'), extent => int.Parse(extent, CultureInfo.InvariantCulture))),
            Pairs(numbers).ToDictionary(pair => pair.Name, pair => long.Parse(pair.Value, CultureInfo.InvariantCulture)));
    }

    private static IEnumerable<(string Name, string Value)> Pairs(string[] texts) =>
        texts.Select(text => text.LastIndexOf('=') is > 0 and var at ? (text[..at], text[(at + 1)..]) : throw new DataException($"'{text}' has no name; rule: NAME=VALUE"));
}
