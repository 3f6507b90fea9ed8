using Google.Protobuf;
using Octet.Runtime.Graphs;
using Octet.Runtime.Onnx.Proto;
using Octet.Runtime.Tensors;
using AttributeType = Octet.Runtime.Onnx.Proto.AttributeProto.Types.AttributeType;

namespace Octet.Runtime.Onnx;

/// <summary><see cref="Model"/> → ONNX file. The graph stays as it is; constants are written from where they lie.</summary>
/// <remarks>
/// Outputs get the names under which they are known outside: their value is written under that name, or, where one value has to carry two names, an
/// <c>Identity</c> makes the second. Values of subgraphs whose names a surrounding graph uses are written under fresh names.
/// </remarks>
internal sealed class OnnxExporter
{
    private readonly Dictionary<Value, string> _names = [];
    private readonly HashSet<string> _taken = new(StringComparer.Ordinal);
    private readonly HashSet<string> _domains = new(StringComparer.Ordinal);
    private int _nextName;
    private readonly Graph _main;
    private long _bytes;
    private readonly bool _writesTypes;
    private long _irVersion;

    private OnnxExporter(Model model) => (_main, _irVersion, _writesTypes) = (model.Graph, model.IrVersion, model.WritesTypes);

    /// <summary>The protobuf message for a model.</summary>
    /// <exception cref="ModelException">The graph holds operators of Octet's own domain, gives two values one name, or is above 2 GiB.</exception>
    public static ModelProto Export(Model model) => new OnnxExporter(model).Convert(model);

    /// <summary>Writes the message.</summary>
    public static void Write(ModelProto proto, Stream stream)
    {
        // MessageExtensions.WriteTo flushes its own buffer only.
        proto.WriteTo(stream);
        stream.Flush();
    }

    private ModelProto Convert(Model model)
    {
        Graph graph = model.Graph;
        ChooseNames(graph);
        var proto = new ModelProto
        {
            ProducerName = model.ProducerName,
            ProducerVersion = model.ProducerVersion,
            Domain = model.Domain,
            ModelVersion = model.ModelVersion,
            DocString = model.Description,
            Graph = Convert(graph),
        };
        if (_bytes > int.MaxValue || proto.CalculateSize() < 0)
            throw new ModelException($"graph '{graph.Name}' holds {_bytes} bytes of constants; rule: an ONNX file that Octet writes has at most {int.MaxValue} bytes");

        foreach ((string domain, int version) in graph.Opsets)
        {
            proto.OpsetImport.Add(new OperatorSetIdProto { Domain = domain, Version = version });
            _domains.Remove(domain);
        }
        foreach (string domain in _domains.Order(StringComparer.Ordinal))
            proto.OpsetImport.Add(new OperatorSetIdProto { Domain = domain, Version = graph.OpsetVersion(domain) });
        if (proto.OpsetImport.Count == 0) proto.OpsetImport.Add(new OperatorSetIdProto { Domain = "", Version = 1 });
        proto.IrVersion = Math.Max(_irVersion, IrVersionOf(graph.OpsetVersion("")));
        foreach ((string key, string value) in model.Metadata) proto.MetadataProps.Add(new StringStringEntryProto { Key = key, Value = value });
        return proto;
    }

    /// <summary>The file format version that appeared with a version of ONNX's operator set; 3 is the first with operator sets.</summary>
    private static int IrVersionOf(int opset) => opset switch
    {
        <= 8 => 3,
        9 => 4,
        10 => 5,
        11 => 6,
        <= 14 => 7,
        <= 18 => 8,
        <= 20 => 9,
        <= 22 => 10,
        23 => 11,
        24 => 12,
        _ => 13,
    };

    /// <summary>The file format version that introduced an element type.</summary>
    private static int IrVersionOf(DataType type) => type switch
    {
        DataType.Float8E4M3FN or DataType.Float8E4M3FNUZ or DataType.Float8E5M2 or DataType.Float8E5M2FNUZ => 9,
        DataType.Int4 or DataType.UInt4 => 10,
        DataType.Float4E2M1 => 11,
        DataType.Float8E8M0 => 12,
        DataType.Int2 or DataType.UInt2 => 13,
        _ => 3,
    };

    private void ChooseNames(Graph graph)
    {
        foreach (Value input in graph.Inputs) Claim(input, input.Name);
        for (int i = 0; i < graph.Outputs.Count; i++)
        {
            Value value = graph.Outputs[i];
            string name = graph.OutputNames[i];
            if (_names.GetValueOrDefault(value) == name) continue;
            if (!_names.ContainsKey(value)) Claim(value, name);
            else Reserve(name);
        }
        ChooseInner(graph, new HashSet<string>(_taken, StringComparer.Ordinal));

        void Claim(Value value, string name)
        {
            Reserve(name);
            _names.Add(value, name);
        }

        void Reserve(string name)
        {
            if (!_taken.Add(name)) throw new ModelException($"graph '{graph.Name}' has two inputs or outputs '{name}'; rule: names of inputs and outputs are unique");
        }
    }

    /// <summary>Names what has no name yet: its own where no visible value has it, else a fresh one.</summary>
    private void ChooseInner(Graph graph, HashSet<string> visible)
    {
        var added = new List<string>();
        foreach (Value value in graph.Values)
        {
            if (_names.ContainsKey(value)) continue;
            string name = value.Name;
            while (!visible.Add(name)) name = Fresh(value.Name);
            added.Add(name);
            _names.Add(value, name);
        }
        foreach (Node node in graph.Nodes)
        {
            foreach (Graph inner in node.Attributes.Subgraphs) ChooseInner(inner, visible);
        }
        _taken.UnionWith(added);
        visible.ExceptWith(added);
    }

    private string Fresh(string stem)
    {
        string name;
        do name = $"{stem}_{_nextName++}";
        while (_taken.Contains(name));
        return name;
    }

    private GraphProto Convert(Graph graph)
    {
        var proto = new GraphProto { Name = graph.Name };
        var outputs = new HashSet<Value>();
        var inputs = new HashSet<Value>(graph.Inputs);
        foreach (Value input in graph.Inputs) proto.Input.Add(Info(_names[input], input.Type));
        foreach (Value value in graph.Values)
        {
            if (value.Constant is not { } tensor) continue;
            proto.Initializer.Add(Convert(tensor, _names[value]));
            if (!inputs.Contains(value)) _irVersion = Math.Max(_irVersion, 4);
        }
        var nodeNames = new HashSet<string>(graph.Nodes.Select(node => node.Name), StringComparer.Ordinal);
        foreach (Node node in graph.Nodes) proto.Node.Add(Convert(node));

        for (int i = 0; i < graph.Outputs.Count; i++)
        {
            Value value = graph.Outputs[i];
            string name = _names[value];
            bool main = ReferenceEquals(graph, _main);
            // A subgraph returns values of its own, each once; their names do not matter.
            if (main ? name != graph.OutputNames[i] : !ReferenceEquals(value.Graph, graph) || !outputs.Add(value))
            {
                string from = name;
                name = main ? graph.OutputNames[i] : Fresh(name);
                _taken.Add(name);
                string nodeName = $"Identity_{name}";
                while (!nodeNames.Add(nodeName)) nodeName = Fresh($"Identity_{name}");
                proto.Node.Add(new NodeProto { Name = nodeName, OpType = "Identity", Input = { from }, Output = { name } });
                _domains.Add("");
            }
            proto.Output.Add(Info(name, value.Type));
            outputs.Add(value);
        }
        foreach (Value value in graph.Values)
        {
            if (value.Producer is null || value.Type.Element == DataType.Undefined || outputs.Contains(value)) continue;
            if (!_writesTypes && value.Producer.Domain.Length == 0) continue;
            proto.ValueInfo.Add(Info(_names[value], value.Type));
        }
        return proto;
    }

    private ValueInfoProto Info(string name, TensorType type)
    {
        _irVersion = Math.Max(_irVersion, IrVersionOf(type.Element));
        if (type.Container is Container.Optional or Container.OptionalSequence) _irVersion = Math.Max(_irVersion, 8);
        return new ValueInfoProto { Name = name, Type = OnnxTypes.Write(type) };
    }

    private NodeProto Convert(Node node)
    {
        if (node.Domain == OnnxImporter.Internal)
            throw new ModelException($"{node} is of domain '{OnnxImporter.Internal}'; rule: only graphs in ONNX's terms are saved, before lowering and fusion");
        _domains.Add(node.Domain);
        var proto = new NodeProto { Name = node.Name, OpType = node.OperatorType, Domain = node.Domain };
        foreach (Value? input in node.Inputs) proto.Input.Add(input is null ? "" : _names[input]);
        foreach (Value? output in node.Outputs) proto.Output.Add(output is null ? "" : _names[output]);
        foreach ((string name, object value) in node.Attributes) proto.Attribute.Add(Convert(name, value));
        return proto;
    }

    private AttributeProto Convert(string name, object value)
    {
        var proto = new AttributeProto { Name = name };
        switch (value)
        {
            case long number: (proto.Type, proto.I) = (AttributeType.Int, number); break;
            case float number: (proto.Type, proto.F) = (AttributeType.Float, number); break;
            case string text: (proto.Type, proto.S) = (AttributeType.String, ByteString.CopyFromUtf8(text)); break;
            case Tensor tensor: (proto.Type, proto.T) = (AttributeType.Tensor, Convert(tensor, "")); break;
            case Graph graph: (proto.Type, proto.G) = (AttributeType.Graph, Convert(graph)); break;
            case TensorType type: (proto.Type, proto.Tp) = (AttributeType.TypeProto, OnnxTypes.Write(type) ?? new TypeProto()); break;
            case long[] numbers: proto.Type = AttributeType.Ints; proto.Ints.AddRange(numbers); break;
            case float[] numbers: proto.Type = AttributeType.Floats; proto.Floats.AddRange(numbers); break;
            case string[] texts: proto.Type = AttributeType.Strings; proto.Strings.AddRange(texts.Select(ByteString.CopyFromUtf8)); break;
            case Tensor[] tensors: proto.Type = AttributeType.Tensors; proto.Tensors.AddRange(tensors.Select(tensor => Convert(tensor, ""))); break;
            case Graph[] graphs: proto.Type = AttributeType.Graphs; proto.Graphs.AddRange(graphs.Select(Convert)); break;
            case TensorType[] types: proto.Type = AttributeType.TypeProtos; proto.TypeProtos.AddRange(types.Select(type => OnnxTypes.Write(type) ?? new TypeProto())); break;
        }
        return proto;
    }

    private TensorProto Convert(Tensor tensor, string name)
    {
        _irVersion = Math.Max(_irVersion, IrVersionOf(tensor.Type));
        _bytes += OnnxTensors.RawBytes(tensor.Type, tensor.Length);
        return OnnxTensors.Write(tensor, name);
    }
}
