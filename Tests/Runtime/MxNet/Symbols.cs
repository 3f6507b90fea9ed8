using System.Text;
using System.Text.Json;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Runtime.MxNet;

/// <summary>Writes MXNet's files down: symbols in each dialect, parameters in each version.</summary>
internal sealed class Symbols
{
    private readonly List<string> _nodes = [];
    private readonly Dictionary<string, int> _indices = [];

    public Dictionary<string, Tensor> Parameters { get; } = [];

    public string AttributeKey { get; init; } = "attrs";

    public Symbols Variable(string name, Tensor? parameter = null, params (string Key, string Value)[] attributes)
    {
        if (parameter is not null) Parameters.Add(name, parameter);
        return Add("null", name, [], attributes);
    }

    /// <summary>An input is a node's name, or <c>name:output</c>.</summary>
    public Symbols Add(string op, string name, string[] inputs, params (string Key, string Value)[] attributes)
    {
        _indices.Add(name, _nodes.Count);
        string pairs = string.Join(",", attributes.Select(pair => $"{Quoted(pair.Key)}:{Quoted(pair.Value)}"));
        _nodes.Add($"{{\"op\":{Quoted(op)},\"name\":{Quoted(name)},\"{AttributeKey}\":{{{pairs}}},\"inputs\":[{string.Join(",", inputs.Select(Entry))}]}}");
        return this;
    }

    public byte[] Json(params string[] heads) =>
        Encoding.UTF8.GetBytes($"{{\"nodes\":[{string.Join(",", _nodes)}],\"arg_nodes\":[],\"heads\":[{string.Join(",", heads.Select(Entry))}],\"attrs\":{{\"mxnet_version\":[\"int\",10900]}}}}");

    private string Entry(string text)
    {
        string[] parts = text.Split(':');
        return $"[{_indices[parts[0]]},{(parts.Length > 1 ? parts[1] : "0")},0]";
    }

    private static string Quoted(string text) => $"\"{JsonEncodedText.Encode(text)}\"";

    public static Tensor Floats(float[] numbers, params int[] shape) => Tensor.Create(numbers, shape.Length == 0 ? [numbers.Length] : shape);

    /// <summary>A parameters file whose arrays have format version 0 to 3.</summary>
    public static byte[] Params(int version, params (string Name, Tensor Tensor)[] arrays)
    {
        using var bytes = new MemoryStream();
        using var writer = new BinaryWriter(bytes);
        writer.Write(0x112UL);
        writer.Write(0UL);
        writer.Write((ulong)arrays.Length);
        foreach ((_, Tensor tensor) in arrays)
        {
            if (version > 0) writer.Write(0xF993FAC7u + (uint)version);
            if (version > 1) writer.Write(0);
            writer.Write(tensor.Rank);
            foreach (int extent in tensor.Shape)
            {
                if (version == 0) writer.Write(extent);
                else writer.Write((long)extent);
            }
            if (tensor.Rank == 0 && version < 3) continue;
            writer.Write(1);
            writer.Write(0);
            writer.Write(tensor.Type switch { DataType.Float32 => 0, DataType.Float64 => 1, DataType.Float16 => 2, DataType.UInt8 => 3, DataType.Int32 => 4, DataType.Int8 => 5, DataType.Int64 => 6, _ => throw new ArgumentException("no such type") });
            writer.Write(tensor.Bytes.Span);
        }
        writer.Write((ulong)arrays.Length);
        foreach ((string name, _) in arrays)
        {
            byte[] text = Encoding.UTF8.GetBytes(name);
            writer.Write((ulong)text.Length);
            writer.Write(text);
        }
        writer.Flush();
        return bytes.ToArray();
    }
}
