using System.Globalization;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.MxNet;

/// <summary>Walks a symbol and writes ONNX nodes; <see cref="MxNetOperators"/> says how each operator is written.</summary>
internal sealed class MxNetTranslator
{
    private readonly MxNetSymbol _symbol;
    private readonly Dictionary<string, Tensor> _parameters;
    private readonly Value?[][] _values;
    private readonly Dictionary<string, Value> _constants = new(StringComparer.Ordinal);
    private readonly Dictionary<Value, int> _ranks = [];
    private readonly Dictionary<Value, Value> _likes = [];

    public MxNetTranslator(GraphEditor editor, MxNetSymbol symbol, Dictionary<string, Tensor> parameters)
    {
        (Editor, _symbol, _parameters) = (editor, symbol, parameters);
        _values = new Value?[symbol.Nodes.Length][];
        // Numbers that MXNet keeps as text take the type that the network computes in.
        FloatType = parameters.Values.Select(tensor => tensor.Type).Where(type => type.IsFloat()).GroupBy(type => type)
            .OrderByDescending(group => group.Count()).Select(group => group.Key).FirstOrDefault(DataType.Float32);
        Node = symbol.Nodes.Length > 0 ? symbol.Nodes[0] : new SymbolNode("null", "", new Dictionary<string, string>(), []);
    }

    /// <summary>Where nodes go.</summary>
    public GraphEditor Editor { get; }

    /// <summary>The operator that is being written.</summary>
    public SymbolNode Node { get; private set; }

    /// <summary>The element type that most parameters have.</summary>
    public DataType FloatType { get; }

    /// <summary>Writes the whole graph.</summary>
    public void Translate()
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < _symbol.Nodes.Length; i++)
        {
            Node = _symbol.Nodes[i];
            if (Node.Name.Length == 0 || !names.Add(Node.Name)) throw new ModelException($"node {i} is named '{Node.Name}'; rule: names are unique and not empty");
            if (Node.Operator == "null") continue;
            _values[i] = MxNetOperators.Find(Node.Operator) is { } write ? write(this) : Foreign();
            // What MXNet calls the operator's output is its name; the value that carries it is the last one written.
            if (_values[i][0] is { Producer: not null } output && Editor.Graph.Find(Node.Name) is null) Editor.Rename(output, Node.Name);
        }
        var outputs = new HashSet<string>(StringComparer.Ordinal);
        foreach (SymbolEntry head in _symbol.Heads)
        {
            SymbolNode node = _symbol.Nodes[head.Node];
            Node = node;
            Value value = Resolve(head) ?? throw new ModelException($"output {head.Output} of {node} does not exist; rule: heads name outputs");
            string name = head.Output == 0 && node.Operator != "null" ? $"{node.Name}_output" : node.Operator == "null" ? node.Name : string.Create(CultureInfo.InvariantCulture, $"{node.Name}_output{head.Output}");
            if (!outputs.Add(name)) throw new ModelException($"{node} is listed twice among the outputs; rule: outputs are unique");
            Editor.AddOutput(value, name);
        }
        if (outputs.Count == 0) throw new ModelException("the symbol has no outputs; rule: heads name at least one");
    }

    /// <summary>Number of inputs.</summary>
    public int InputCount => Node.Inputs.Length;

    /// <summary>Input <paramref name="index"/>.</summary>
    public Value In(int index = 0)
    {
        if (index >= Node.Inputs.Length) throw new ModelException($"{Node} has {Node.Inputs.Length} inputs; rule: it has input {index}");
        return Resolve(Node.Inputs[index]) ?? throw new ModelException($"{Node} reads output {Node.Inputs[index].Output} of {_symbol.Nodes[Node.Inputs[index].Node]}, which does not exist; rule: inputs name outputs");
    }

    /// <summary>All inputs.</summary>
    public Value?[] Ins() => [.. Enumerable.Range(0, InputCount).Select(In)];

    /// <summary>Input <paramref name="index"/>, which is a parameter of at least <paramref name="rank"/> axes.</summary>
    public Tensor Parameter(int index, int rank = 0)
    {
        if (index >= Node.Inputs.Length) throw new ModelException($"{Node} has {Node.Inputs.Length} inputs; rule: it has parameter {index}");
        SymbolNode variable = _symbol.Nodes[Node.Inputs[index].Node];
        Tensor parameter = Parameter(variable.Operator == "null" ? variable.Name : throw Node.Unsupported($"input {index} is computed by {variable}", "a parameter from the file"));
        return parameter.Rank >= rank ? parameter : throw new ModelException($"parameter '{variable.Name}' of {Node} is {parameter}; rule: it has at least {rank} axes");
    }

    /// <summary>The parameter called <paramref name="name"/>.</summary>
    public Tensor Parameter(string name) => _parameters.TryGetValue(name, out Tensor? tensor) ? tensor
        : throw new ModelException($"parameter '{name}' of {Node} is not in the parameters file; rule: every parameter is there");

    /// <summary>A constant of the graph; one of the same name and content is written once.</summary>
    public Value Constant(string name, Tensor tensor)
    {
        if (_constants.TryGetValue(name, out Value? known) && ReferenceEquals(known.Constant, tensor)) return known;
        Value value = Editor.AddConstant(name, tensor);
        _constants[name] = value;
        return value;
    }

    /// <summary>Integers as a constant.</summary>
    public Value Ints(string role, params long[] numbers) => Editor.AddConstant($"{Node.Name}/{role}", Tensor.Create(numbers, numbers.Length));

    /// <summary>A number of the network's type as a constant of rank 0.</summary>
    public Value Number(string role, double number) => Editor.AddConstant($"{Node.Name}/{role}", Convert([(float)number]));

    /// <summary>Floats of the network's type: rank 0 for one without a shape.</summary>
    public Tensor Convert(float[] numbers, params int[] shape) => FloatType switch
    {
        DataType.Float64 => Tensor.Create(Array.ConvertAll(numbers, number => (double)number), shape),
        DataType.Float16 => Tensor.Create(Array.ConvertAll(numbers, number => (Half)number), shape),
        _ => Tensor.Create(numbers, shape),
    };

    /// <summary>Writes an ONNX node and returns its output.</summary>
    public Value Onnx(string type, Value?[] inputs, AttributeMap? attributes = null) => Editor.Add(type, inputs, attributes, name: Node.Name);

    /// <summary>Writes an ONNX node whose output has the rank and channels of its first input.</summary>
    public Value Same(string type, Value?[] inputs, AttributeMap? attributes = null) => Like(Onnx(type, inputs, attributes), inputs[0]!);

    /// <summary>Writes an ONNX node with several outputs.</summary>
    public Value[] OnnxMany(string type, Value?[] inputs, int outputs, AttributeMap? attributes = null)
    {
        Value[] values = [.. Enumerable.Range(0, outputs).Select(i => Editor.AddValue(string.Create(CultureInfo.InvariantCulture, $"{Node.Name}/out{i}")))];
        Editor.AddNode(type, inputs, values, attributes, name: Node.Name);
        return values;
    }

    /// <summary>Records that <paramref name="value"/> has the rank and channels of <paramref name="original"/>.</summary>
    public Value Like(Value value, Value original)
    {
        _likes[value] = original;
        return value;
    }

    /// <summary>Records a rank.</summary>
    public Value Ranked(Value value, int rank)
    {
        _ranks[value] = rank;
        return value;
    }

    /// <summary>The rank, or −1 where it is not known.</summary>
    public int Rank(Value value)
    {
        for (Value? at = value; at is not null; at = _likes.GetValueOrDefault(at))
        {
            if (_ranks.TryGetValue(at, out int rank)) return rank;
            if (at.Type.Rank >= 0) return at.Type.Rank;
        }
        return -1;
    }

    /// <summary>The rank.</summary>
    /// <exception cref="ModelException">It is not known.</exception>
    public int KnownRank(Value value) =>
        Rank(value) is >= 0 and <= MxNetParams.MaxRank and int rank ? rank : throw Node.Unsupported($"the number of axes of '{value.Name}' is not known", "a symbol whose input variables have '__shape__'");

    /// <summary>Learns rank and channels (unknown if they are) of a value from an operator that reads it; a graph input whose type was open is given one.</summary>
    public void Expect(Value value, int rank, Dim channels)
    {
        for (Value? at = value; at is not null; at = _likes.GetValueOrDefault(at))
        {
            _ranks.TryAdd(at, rank);
            if (!at.IsGraphInput || at.Type.Shape is not null) continue;
            var dims = new Dim[rank];
            dims[0] = Dim.Named("N");
            if (rank > 1) dims[1] = channels;
            Editor.SetType(at, new TensorType(at.Type.Element, dims.AsSpan()));
        }
    }

    private Value? Resolve(SymbolEntry entry)
    {
        SymbolNode node = _symbol.Nodes[entry.Node];
        if (node.Operator != "null")
        {
            Value?[] values = _values[entry.Node];
            return entry.Output < values.Length ? values[entry.Output] : null;
        }
        if (entry.Output != 0) return null;
        if (_values[entry.Node] is { } known) return known[0];
        Value value;
        if (_parameters.TryGetValue(node.Name, out Tensor? tensor)) value = Constant(node.Name, tensor);
        else
        {
            long[]? shape = node.Ints("__shape__");
            var type = new TensorType(FloatType);
            // 0 and −1 are MXNet's unknown extents.
            if (shape is { Length: > 0 }) type = new TensorType(FloatType, Array.ConvertAll(shape, extent => extent > 0 ? new Dim(extent) : Dim.Unknown).AsSpan());
            value = Editor.AddInput(node.Name, type);
        }
        _values[entry.Node] = [value];
        return value;
    }

    private Value?[] Foreign()
    {
        int outputs = 1;
        for (int i = 0; i < _symbol.Nodes.Length; i++)
        {
            foreach (SymbolEntry input in _symbol.Nodes[i].Inputs) Count(input);
        }
        foreach (SymbolEntry head in _symbol.Heads) Count(head);
        var attributes = new AttributeMap();
        foreach ((string key, string value) in Node.Attributes)
        {
            if (key.Length > 0) attributes.Add(key, value);
        }
        Value[] values = [.. Enumerable.Range(0, outputs).Select(_ => Editor.AddValue($"{Node.Name}/out"))];
        Editor.AddNode(Node.Operator, Ins(), values, attributes, MxNetImporter.ForeignDomain, Node.Name);
        Editor.Graph.Opsets.Set(MxNetImporter.ForeignDomain, 1);
        return values;

        void Count(SymbolEntry entry)
        {
            const int most = 1000;
            if (ReferenceEquals(_symbol.Nodes[entry.Node], Node) && entry.Output < most) outputs = Math.Max(outputs, entry.Output + 1);
        }
    }
}
