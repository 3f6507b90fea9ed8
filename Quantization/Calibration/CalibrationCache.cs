using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using Octet.Runtime;

namespace Octet.Quantization.Calibration;

/// <summary>The cache file of a collector: <c>{"format": "octet-calibration/1", "kind": …, "tensors": {name: state, …}}</c>, tensors in ordinal order, so that equal states are equal files.</summary>
internal static class CalibrationCache
{
    private const string Format = "octet-calibration/1";

    /// <summary>Greatest file read: two thousand full histograms are 300 MB at worst.</summary>
    private const long MostBytes = 512L << 20;

    private static readonly JsonWriterOptions WriterOptions = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static void Write(ResumableCollector collector, string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        AtomicFile.Write(path, stream => Write(collector, stream));
    }

    public static void Write(ResumableCollector collector, Stream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        using var writer = new Utf8JsonWriter(stream, WriterOptions);
        writer.WriteStartObject();
        writer.WriteString("format", Format);
        writer.WriteString("kind", collector.Kind);
        writer.WriteStartObject("tensors");
        foreach ((string name, CollectorState state) in collector.SaveState().OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            writer.WriteStartObject(name);
            writer.WriteNumber("min", state.Min);
            writer.WriteNumber("max", state.Max);
            writer.WriteNumber("count", state.Count);
            if (state.Bins is { } bins)
            {
                if (state.Threshold is { } threshold)
                {
                    writer.WriteNumber("threshold", threshold);
                }
                else
                {
                    writer.WriteNumber("exponent", state.Exponent);
                    writer.WriteNumber("firstBin", state.FirstBin);
                }
                // One line: thousands of lines with a number each are no more readable.
                writer.WritePropertyName("bins");
                writer.WriteRawValue("[" + string.Join(',', bins.Select(count => count.ToString(CultureInfo.InvariantCulture))) + "]");
            }
            if (state.Samples is { } samples)
            {
                writer.WritePropertyName("samples");
                writer.WriteRawValue("[" + string.Join(',', samples.Select(sample => string.Create(CultureInfo.InvariantCulture, $"[{sample.Min:R},{sample.Max:R}]"))) + "]");
            }
            writer.WriteEndObject();
        }
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    public static void Read(ResumableCollector collector, string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        using FileStream stream = File.OpenRead(path);
        Read(collector, stream, $"cache '{path}'");
    }

    public static void Read(ResumableCollector collector, Stream stream, string source)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (stream.CanSeek && stream.Length - stream.Position > MostBytes) throw Broken($"it has {stream.Length - stream.Position} bytes", $"at most {MostBytes}");
        try
        {
            using JsonDocument document = JsonDocument.Parse(stream, new JsonDocumentOptions { MaxDepth = 8 });
            collector.LoadState(ReadTensors(document.RootElement));
        }
        catch (JsonException e)
        {
            throw Broken($"line {(e.LineNumber ?? 0) + 1}: {e.Message.Split('\n')[0]}", "it is JSON");
        }
        catch (DataException e)
        {
            throw new DataException($"{source}: {e.Message}");
        }

        Dictionary<string, CollectorState> ReadTensors(JsonElement root)
        {
            RequireObject(root, "the file");
            if (Text(root, "format") is not Format and var format) throw new DataException($"the format is '{format}'; rule: '{Format}'");
            if (Text(root, "kind") is { } kind && kind != collector.Kind) throw new DataException($"the kind is '{kind}'; rule: '{collector.Kind}' reads caches of its own kind");
            JsonElement tensors = Member(root, "tensors", "the file");
            RequireObject(tensors, "'tensors'");
            var states = new Dictionary<string, CollectorState>(StringComparer.Ordinal);
            foreach (JsonProperty property in tensors.EnumerateObject())
            {
                if (!states.TryAdd(property.Name, ReadState(property.Name, property.Value))) throw new DataException($"tensor '{property.Name}' stands twice; rule: once");
            }
            return states;
        }

        DataException Broken(string facts, string rule) => new($"{source}: {facts}; rule: {rule}");
    }

    private static CollectorState ReadState(string name, JsonElement element)
    {
        string what = $"tensor '{name}'";
        RequireObject(element, what);
        var state = new CollectorState(Single(Member(element, "min", what), what), Single(Member(element, "max", what), what), Int64(Member(element, "count", what), what));
        if (element.TryGetProperty("bins", out JsonElement bins))
        {
            state = state with { Bins = [.. Items(bins, what).Select(bin => Int64(bin, what))] };
            state = element.TryGetProperty("threshold", out JsonElement threshold) ? state with { Threshold = Double(threshold, what) }
                : state with { Exponent = Int32(Member(element, "exponent", what), what), FirstBin = Int32(Member(element, "firstBin", what), what) };
        }
        if (element.TryGetProperty("samples", out JsonElement samples))
        {
            state = state with
            {
                Samples = [.. Items(samples, what).Select(pair => Items(pair, what).ToArray() is [JsonElement min, JsonElement max] ? new CalibrationRange(Single(min, what), Single(max, what))
                    : throw new DataException($"{what}: a sample is {pair.GetRawText()}; rule: [min, max]"))],
            };
        }
        return state;
    }

    private static JsonElement Member(JsonElement element, string key, string what) =>
        element.TryGetProperty(key, out JsonElement value) ? value : throw new DataException($"{what} has no '{key}'; rule: format, kind and tensors; per tensor min, max and count");

    private static string? Text(JsonElement root, string key) =>
        Member(root, key, "the file") is { ValueKind: JsonValueKind.String } value ? value.GetString() : throw new DataException($"'{key}' is no text; rule: it is");

    private static void RequireObject(JsonElement element, string what)
    {
        if (element.ValueKind != JsonValueKind.Object) throw new DataException($"{what} is {element.ValueKind}; rule: a JSON object");
    }

    private static IEnumerable<JsonElement> Items(JsonElement element, string what) =>
        element.ValueKind == JsonValueKind.Array ? element.EnumerateArray() : throw new DataException($"{what}: {element.ValueKind} stands where a list does; rule: a JSON array");

    private static float Single(JsonElement element, string what) =>
        element.ValueKind == JsonValueKind.Number && element.TryGetSingle(out float value) && float.IsFinite(value) ? value : throw NoNumber(element, what, "a finite float32");

    private static double Double(JsonElement element, string what) =>
        element.ValueKind == JsonValueKind.Number && element.TryGetDouble(out double value) && double.IsFinite(value) ? value : throw NoNumber(element, what, "a finite float64");

    private static int Int32(JsonElement element, string what) => element.ValueKind == JsonValueKind.Number && element.TryGetInt32(out int value) ? value : throw NoNumber(element, what, "an int32");

    private static long Int64(JsonElement element, string what) => element.ValueKind == JsonValueKind.Number && element.TryGetInt64(out long value) ? value : throw NoNumber(element, what, "an int64");

    private static DataException NoNumber(JsonElement element, string what, string rule)
    {
        string text = element.GetRawText();
        return new DataException($"{what}: {(text.Length > 40 ? text[..40] + "…" : text)}; rule: {rule}");
    }
}
