using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Octet.Benchmarks.Networks;
using Octet.Benchmarks.Peers;
using Octet.Quantization;
using Octet.Runtime;
using Octet.Runtime.Execution;

namespace Octet.Benchmarks.Verbs;

/// <summary><c>layers</c>: single layers, float and INT8, beside ONNX Runtime and the ceiling of this machine measured in the same run.</summary>
internal static class LayersVerb
{
    private sealed record Row(string Layer, string Type, Comparison Times, double GigaMacs, double Share, string Kernel, string Reason);

    public static Command Create()
    {
        var rounds = new Option<int>("--rounds") { Description = "Alternating rounds per layer.", DefaultValueFactory = _ => 9 };
        var match = new Option<string?>("--match") { Description = "Only layers whose name contains this text." };
        var json = new Option<bool>("--json") { Description = "One JSON object." };
        var command = new Command("layers", "Times single layers: GMAC/s, share of the ceiling, method, and ONNX Runtime beside it.") { rounds, match, json };
        command.SetAction(result =>
        {
            double float32 = Ceilings.Float32(), int8 = Ceilings.Int8();
            var rows = new List<Row>();
            string folder = Directory.CreateTempSubdirectory("octet-layers").FullName;
            try
            {
                foreach (LayerShape layer in LayerShape.All.Where(layer => result.GetValue(match) is not { } text || layer.Name.Contains(text, StringComparison.OrdinalIgnoreCase)))
                {
                    Model model = layer.Make();
                    rows.Add(Measure(layer, model, "float32", float32, folder, result.GetValue(rounds)));
                    Model quantized = Quantizer.Quantize(model, SampleInputs.Samples(model, 1), new QuantizationOptions { Calibration = CalibrationMode.Naive, Type = ActivationType.UInt8 }).Model;
                    rows.Add(Measure(layer, quantized, "int8", int8, folder, result.GetValue(rounds)));
                }
            }
            finally
            {
                Directory.Delete(folder, recursive: true);
            }
            if (result.GetValue(json)) WriteJson(float32, int8, rows);
            else Write(float32, int8, rows);
            return 0;
        });
        return command;
    }

    private static Row Measure(LayerShape layer, Model model, string type, double ceiling, string folder, int rounds)
    {
        string path = Path.Combine(folder, "layer.onnx");
        model.Save(path);
        Comparison times = Comparison.Run(path, path, threads: 1, rounds, exact: false);
        var session = new InferenceSession(model, new SessionOptions { Threads = 1 });
        OpProfile main = session.Profile(SampleInputs.For(session, 1), runs: 5).Operators.MaxBy(op => op.MultiplyAccumulates)!;
        double speed = layer.MultiplyAccumulates / times.OctetMedianMs / 1e6;
        return new Row(layer.Name, type, times, speed, ceiling > 0 ? speed / ceiling : 0, main.Kernel, main.Reason);
    }

    private static void Write(double float32, double int8, List<Row> rows)
    {
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"ceiling of one core, measured now: float32 {float32:F1} GMAC/s, int8 {int8:F1} GMAC/s"));
        Console.WriteLine($"{"layer",-26} {"type",-8} {"ms",9} {"GMAC/s",8} {"share",7} {"ORT ms",9} {"ratio",6}  kernel");
        foreach (Row row in rows)
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{row.Layer,-26} {row.Type,-8} {row.Times.OctetMedianMs,9:F4} {row.GigaMacs,8:F1} {row.Share,7:P0} {row.Times.PeerMedianMs,9:F4} {row.Times.Ratio,6:F2}  {row.Kernel}{(row.Reason.Length > 0 ? ": " + row.Reason : "")}"));
        }
    }

    private static void WriteJson(double float32, double int8, List<Row> rows)
    {
        using var stream = Console.OpenStandardOutput();
        using var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
        writer.WriteStartObject();
        writer.WriteNumber("ceilingFloat32GMacs", float32);
        writer.WriteNumber("ceilingInt8GMacs", int8);
        writer.WriteStartArray("layers");
        foreach (Row row in rows)
        {
            writer.WriteStartObject();
            writer.WriteString("layer", row.Layer);
            writer.WriteString("type", row.Type);
            writer.WriteNumber("octetMedianMs", row.Times.OctetMedianMs);
            writer.WriteNumber("gMacs", row.GigaMacs);
            writer.WriteNumber("shareOfCeiling", row.Share);
            writer.WriteNumber("peerMedianMs", row.Times.PeerMedianMs);
            writer.WriteNumber("ratio", row.Times.Ratio);
            writer.WriteString("kernel", row.Kernel);
            writer.WriteString("reason", row.Reason);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}
