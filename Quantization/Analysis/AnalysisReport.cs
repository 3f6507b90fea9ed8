using System.Text.Encodings.Web;
using System.Text.Json;
using Octet.Runtime;

namespace Octet.Quantization.Analysis;

/// <summary>What quantizing does to one activation.</summary>
/// <param name="Value">Name of the activation.</param>
/// <param name="Node">The node that makes it; empty for an input of the model.</param>
/// <param name="OperatorType">Type of that node; <c>input</c> for an input of the model.</param>
/// <param name="SqnrDb">Signal to noise in decibels of the activation in the INT8 model against the float model; the error of every layer before it is part of it.</param>
/// <param name="OwnSqnrDb">The same of rounding and clamping the float activation alone: what this one grid costs.</param>
/// <param name="Cosine">Cosine between the activation in the INT8 model and in the float model.</param>
/// <param name="MaxAbs">Greatest difference between the activation in the INT8 model and in the float model.</param>
/// <param name="ClippedShare">Share of the float activation's elements that lie outside the grid and are clamped.</param>
/// <param name="FloatMilliseconds">Mean time of the operator in the float model; null where it was not measured or has no operator of its own.</param>
/// <param name="QuantizedMilliseconds">Mean time of the operator in the INT8 model; null likewise.</param>
public sealed record LayerReport(string Value, string Node, string OperatorType, double SqnrDb, double OwnSqnrDb, double Cosine, double MaxAbs, double ClippedShare,
    double? FloatMilliseconds, double? QuantizedMilliseconds);

/// <summary>What quantizing does to one output of the model.</summary>
/// <param name="Name">Name of the output.</param>
/// <param name="SqnrDb">Signal to noise in decibels.</param>
/// <param name="Cosine">Cosine with the float model's output.</param>
/// <param name="MaxAbs">Greatest difference.</param>
public sealed record OutputReport(string Name, double SqnrDb, double Cosine, double MaxAbs);

/// <summary>What quantizing does to a model, layer by layer.</summary>
/// <param name="Samples">Samples analysed.</param>
/// <param name="Layers">One entry per quantized activation, in the order in which the model makes them.</param>
/// <param name="Outputs">One entry per output of the model.</param>
/// <param name="FloatMilliseconds">Mean time of one run of the float model; null where it was not measured.</param>
/// <param name="QuantizedMilliseconds">Mean time of one run of the INT8 model; null likewise.</param>
public sealed record AnalysisReport(int Samples, IReadOnlyList<LayerReport> Layers, IReadOnlyList<OutputReport> Outputs, double? FloatMilliseconds, double? QuantizedMilliseconds)
{
    private static readonly JsonWriterOptions WriterOptions = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes the report as JSON; a number that is infinite or unknown is null.</summary>
    /// <param name="path">The file; it takes its place when it is complete.</param>
    public void Save(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        AtomicFile.Write(path, Save);
    }

    /// <summary>Writes the report as JSON; a number that is infinite or unknown is null.</summary>
    public void Save(Stream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        using var writer = new Utf8JsonWriter(stream, WriterOptions);
        writer.WriteStartObject();
        writer.WriteString("format", "octet-analysis/1");
        writer.WriteNumber("samples", Samples);
        Number(writer, "floatMs", FloatMilliseconds);
        Number(writer, "int8Ms", QuantizedMilliseconds);
        writer.WriteStartArray("layers");
        foreach (LayerReport layer in Layers)
        {
            writer.WriteStartObject();
            writer.WriteString("value", layer.Value);
            writer.WriteString("node", layer.Node);
            writer.WriteString("operator", layer.OperatorType);
            Number(writer, "sqnrDb", layer.SqnrDb);
            Number(writer, "ownSqnrDb", layer.OwnSqnrDb);
            Number(writer, "cosine", layer.Cosine);
            Number(writer, "maxAbsDiff", layer.MaxAbs);
            Number(writer, "clippedShare", layer.ClippedShare);
            Number(writer, "floatMs", layer.FloatMilliseconds);
            Number(writer, "int8Ms", layer.QuantizedMilliseconds);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteStartArray("outputs");
        foreach (OutputReport output in Outputs)
        {
            writer.WriteStartObject();
            writer.WriteString("name", output.Name);
            Number(writer, "sqnrDb", output.SqnrDb);
            Number(writer, "cosine", output.Cosine);
            Number(writer, "maxAbsDiff", output.MaxAbs);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }

    private static void Number(Utf8JsonWriter writer, string key, double? value)
    {
        if (value is { } number && double.IsFinite(number)) writer.WriteNumber(key, number);
        else writer.WriteNull(key);
    }
}
