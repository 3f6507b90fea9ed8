using Google.Protobuf;
using Google.Protobuf.Collections;
using Microsoft.Win32.SafeHandles;
using Octet.Runtime.Graphs;
using Octet.Runtime.Onnx.Proto;
using Octet.Runtime.Tensors;
using AttributeType = Octet.Runtime.Onnx.Proto.AttributeProto.Types.AttributeType;

namespace Octet.Runtime.Onnx;

/// <summary>ONNX file → <see cref="Model"/>. A file is data from anywhere: whatever is wrong with it ends in a <see cref="ModelException"/>.</summary>
/// <remarks>
/// Names are resolved once: every value of a graph is declared before a node is read, so nodes may stand in any order and subgraphs find
/// values of the graphs around them. <c>Constant</c> nodes become constants, calls of the model's own functions are replaced by their bodies, nodes are
/// sorted, and the verifier has the last word.
/// </remarks>
internal sealed class OnnxImporter
{
    /// <summary>Subgraphs within subgraphs. Protobuf's own limit of 100 nested messages lies a little above.</summary>
    internal const int MaxDepth = 30;

    /// <summary>Functions that call functions.</summary>
    internal const int MaxCalls = 64;

    /// <summary>What a node made from a function's body takes at least.</summary>
    private const int NodeBytes = 512;

    private readonly OnnxTensors _tensors;
    private readonly ExpansionBudget _expansion;
    private readonly OpsetImports _opsets = new();
    private readonly Dictionary<(string Domain, string Name, string Overload), FunctionProto> _functions = [];
    private readonly List<FunctionProto> _calls = [];

    private OnnxImporter(ExternalData? external, long fileBytes, IReadOnlyDictionary<TensorProto, FileBytes>? large)
    {
        _expansion = new ExpansionBudget(fileBytes);
        _tensors = new OnnxTensors(external, _expansion, large);
    }

    /// <summary>Reads a model.</summary>
    /// <param name="file">The file's bytes.</param>
    /// <param name="source">How messages call the file.</param>
    /// <param name="folder">Where external data may lie, or null for nowhere.</param>
    /// <exception cref="ModelException">The file is no legal model; the message names the file, the place, the facts and the rule.</exception>
    public static Model Import(byte[] file, string source, string? folder) =>
        Import(() => Parse(ModelProto.Parser, file), file.Length, source, folder);

    /// <summary>Reads a model from an ordinary file. Large weights are left in it until they are asked for, and keep it open.</summary>
    /// <param name="file">The file; closed here where nothing is left in it.</param>
    /// <param name="source">How messages call the file.</param>
    /// <param name="folder">Where external data may lie.</param>
    /// <param name="largeBytes">Raw data of at least as many bytes are left in the file.</param>
    /// <exception cref="ModelException">The file is no legal model; the message names the file, the place, the facts and the rule.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static Model Import(SafeFileHandle file, string source, string folder, int largeBytes = OutlineReader.LargeBytes)
    {
        bool isKept = false;
        try
        {
            long length = RandomAccess.GetLength(file);
            if (OutlineReader.Read(file, source, out ModelProto outline, largeBytes) is { } reader)
            {
                Model model = Import(() => outline, length, source, folder, reader.Large);
                isKept = reader.Large.Count > 0;
                return model;
            }
            return Import(() =>
            {
                using var stream = new FileStream(file, FileAccess.Read);
                try
                {
                    return ModelProto.Parser.WithDiscardUnknownFields(true).ParseFrom(stream);
                }
                catch (InvalidProtocolBufferException e)
                {
                    throw NoMessage<ModelProto>(length, e);
                }
            }, length, source, folder);
        }
        finally
        {
            if (!isKept) file.Dispose();
        }
    }

    private static Model Import(Func<ModelProto> parse, long bytes, string source, string? folder, IReadOnlyDictionary<TensorProto, FileBytes>? large = null)
    {
        try
        {
            ModelProto proto = parse();
            using ExternalData? external = folder is null ? null : new ExternalData(folder);
            return new OnnxImporter(external, bytes, large).Import(proto);
        }
        catch (UnsupportedModelException e)
        {
            throw new UnsupportedModelException($"{source}: {e.Message}", e);
        }
        catch (ModelException e)
        {
            throw new ModelException($"{source}: {e.Message}", e);
        }
    }

    /// <summary>Parses a protobuf message; fields that the schema does not know are skipped.</summary>
    /// <exception cref="ModelException">The bytes are no such message.</exception>
    internal static T Parse<T>(MessageParser<T> parser, byte[] bytes) where T : IMessage<T>
    {
        try
        {
            return parser.WithDiscardUnknownFields(true).ParseFrom(bytes);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw NoMessage<T>(bytes.Length, e);
        }
    }

    private static ModelException NoMessage<T>(long bytes, InvalidProtocolBufferException e) =>
        new($"{bytes} bytes are not a {typeof(T).Name}: {e.Message}; rule: the file is a complete protobuf message", e);

    private Model Import(ModelProto proto)
    {
        if (proto.Graph is null) throw new ModelException("the model has no graph; rule: an ONNX file holds a graph");
        if (proto.IrVersion < 0) throw new ModelException($"the file format version is {proto.IrVersion}; rule: it is 1 or more");
        ImportOpsets(proto.OpsetImport, "the model");
        foreach (FunctionProto function in proto.Functions)
        {
            if (!_functions.TryAdd(Key(function.Domain, function.Name, function.Overload), function))
                throw new ModelException($"two functions are called '{function.Domain}.{function.Name}{function.Overload}'; rule: function names are unique");
        }

        var graph = new Graph(NameOf(proto.Graph), _opsets);
        ImportGraph(proto.Graph, graph, null, new Scope(null), 0);
        GraphVerifier.Verify(graph);
        var metadata = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (StringStringEntryProto entry in proto.MetadataProps) metadata[entry.Key] = entry.Value;
        return new Model(graph)
        {
            IrVersion = proto.IrVersion,
            ProducerName = proto.ProducerName,
            ProducerVersion = proto.ProducerVersion,
            Domain = proto.Domain,
            ModelVersion = proto.ModelVersion,
            Description = proto.DocString,
            Metadata = metadata,
        };
    }

    private void ImportOpsets(RepeatedField<OperatorSetIdProto> imports, string what)
    {
        foreach (OperatorSetIdProto import in imports)
        {
            if (import.Version is < 1 or > int.MaxValue)
                throw new ModelException($"{what} imports version {import.Version} of operator set '{import.Domain}'; rule: versions are 1 to {int.MaxValue}");
            if (_opsets.Contains(import.Domain) && _opsets.Version(import.Domain) != import.Version)
            {
                throw new UnsupportedModelException($"{what} imports version {import.Version} of operator set '{import.Domain}' beside version {_opsets.Version(import.Domain)}; "
                    + "what works: one version of an operator set in a model and its functions");
            }
            _opsets.Set(import.Domain, (int)import.Version);
        }
    }

    /// <summary>Reads a graph into <paramref name="graph"/>, which is empty.</summary>
    private void ImportGraph(GraphProto proto, Graph graph, FunctionCall? call, Scope scope, int depth)
    {
        if (depth > MaxDepth) throw new ModelException($"graph '{graph.Name}' is nested {depth} deep; rule: at most {MaxDepth} graphs within graphs");
        var editor = new GraphEditor(graph);
        Dictionary<string, Tensor> constants = ImportInitializers(proto);

        foreach (ValueInfoProto input in proto.Input)
        {
            string what = $"input '{input.Name}'";
            if (input.Name.Length == 0) throw new ModelException($"an input of graph '{graph.Name}' has no name; rule: inputs have names");
            TensorType type = OnnxTypes.Read(input.Type, what);
            Value value;
            if (constants.Remove(input.Name, out Tensor? tensor))
            {
                if (type.Element != DataType.Undefined && type.Element != tensor.Type)
                    throw new ModelException($"{what} is declared {type} and its initializer is {tensor}; rule: an initializer has its input's type");
                value = editor.AddConstant(input.Name, tensor);
                editor.MarkAsInput(value);
            }
            else
            {
                value = editor.AddInput(input.Name, type);
            }
            Declare(scope, input.Name, value, graph);
        }
        foreach ((string name, Tensor tensor) in constants) Declare(scope, name, editor.AddConstant(name, tensor), graph);

        var types = new Dictionary<string, TensorType>(StringComparer.Ordinal);
        foreach (ValueInfoProto info in proto.ValueInfo.Concat(proto.Output))
        {
            TensorType type = OnnxTypes.Read(info.Type, $"value '{info.Name}'");
            if (type.Element != DataType.Undefined && (type.Shape is not null || !types.ContainsKey(info.Name))) types[info.Name] = type;
        }
        ImportNodes(proto.Node, editor, call, scope, depth, "", types);

        var outputs = new HashSet<string>(StringComparer.Ordinal);
        foreach (ValueInfoProto output in proto.Output)
        {
            if (!outputs.Add(output.Name)) throw new ModelException($"graph '{graph.Name}' has two outputs '{output.Name}'; rule: output names are unique");
            if (scope.Find(output.Name) is not { } value)
                throw new ModelException($"output '{output.Name}' of graph '{graph.Name}' is made by nobody; rule: every output is an input, a constant or a node's output");
            // The outputs of a subgraph count by position; only the model's own are known outside by name.
            editor.AddOutput(value, graph.Parent is null ? output.Name : null);
        }
        editor.Sort();
    }

    private Dictionary<string, Tensor> ImportInitializers(GraphProto proto)
    {
        // Insertion order is kept, so that what is read is numbered alike every time.
        var constants = new Dictionary<string, Tensor>(proto.Initializer.Count, StringComparer.Ordinal);
        foreach (TensorProto initializer in proto.Initializer) Add(initializer.Name, what => _tensors.Read(initializer, what));
        foreach (SparseTensorProto initializer in proto.SparseInitializer) Add(initializer.Values?.Name ?? "", what => _tensors.ReadSparse(initializer, what));
        return constants;

        void Add(string name, Func<string, Tensor> read)
        {
            if (name.Length == 0) throw new ModelException($"an initializer of graph '{proto.Name}' has no name; rule: initializers have names");
            if (constants.ContainsKey(name)) throw new ModelException($"graph '{proto.Name}' has two initializers '{name}'; rule: one producer per value");
            constants.Add(name, read($"initializer '{name}'"));
        }
    }

    private static void Declare(Scope scope, string name, Value? value, Graph graph)
    {
        if (!scope.Names.TryAdd(name, value))
            throw new ModelException($"graph '{graph.Name}': '{name}' is made twice; rule: one producer per value");
    }

    /// <summary>Reads nodes in two passes: first what they make, then what they read.</summary>
    /// <param name="nodes">Nodes of a graph or of a function's body.</param>
    /// <param name="editor">Where they go.</param>
    /// <param name="call">The call whose body they are, or null.</param>
    /// <param name="scope">Which names mean which values; receives the outputs.</param>
    /// <param name="depth">Graphs around.</param>
    /// <param name="prefix">Put before the names of nodes and values.</param>
    /// <param name="types">Recorded types by name.</param>
    private void ImportNodes(RepeatedField<NodeProto> nodes, GraphEditor editor, FunctionCall? call, Scope scope, int depth, string prefix,
        Dictionary<string, TensorType> types)
    {
        Graph graph = editor.Graph;
        foreach (NodeProto node in nodes)
        {
            if (node.OpType.Length == 0) throw new ModelException($"a node named '{node.Name}' has no operator type; rule: every node has one");
            if (IsConstant(node))
            {
                if (node.Output.Count != 1 || node.Output[0].Length == 0 || node.Input.Count > 0)
                    throw new ModelException($"{Describe(node)} has {node.Input.Count} inputs and {node.Output.Count} outputs; rule: Constant has one output and no input");
                Value constant = MadeOutside(node.Output[0]) ?? editor.AddValue(prefix + node.Output[0]);
                editor.SetConstant(constant, ConstantOf(node, call));
                if (!scope.Bound.Remove(node.Output[0])) Declare(scope, node.Output[0], constant, graph);
                continue;
            }
            foreach (string output in node.Output)
            {
                // The outputs of a function's body that the call wants are declared where the call stands.
                if (output.Length == 0 || scope.Bound.Remove(output)) continue;
                Declare(scope, output, editor.AddValue(prefix + output, types.GetValueOrDefault(output)), graph);
            }
        }

        foreach (NodeProto node in nodes)
        {
            if (IsConstant(node)) continue;
            var inputs = new Value?[node.Input.Count];
            for (int i = 0; i < inputs.Length; i++)
            {
                string name = node.Input[i];
                if (name.Length == 0) continue;
                if (!scope.TryFind(name, out inputs[i]))
                    throw new ModelException($"{Describe(node)} reads '{name}', which nobody makes; rule: every value is an input, a constant or a node's output");
            }
            Value?[] outputs = [.. node.Output.Select(output => output.Length == 0 ? null : scope.Names[output])];
            string nodeName = prefix + (node.Name.Length > 0 ? node.Name : $"{node.OpType}_{node.Output.FirstOrDefault(output => output.Length > 0) ?? "unused"}");
            string domain = OpsetImports.Canonical(node.Domain);
            if (_functions.TryGetValue(Key(node.Domain, node.OpType, node.Overload), out FunctionProto? function))
            {
                Inline(function, node, nodeName, inputs, outputs, editor, call, depth);
                continue;
            }
            if (domain == Internal) throw new ModelException($"{Describe(node)} is of domain '{Internal}'; rule: that domain is Octet's own and never in a file");
            editor.AddNode(node.OpType, inputs, outputs, ImportAttributes(node, graph, call, scope, depth), domain, nodeName);
        }

        Value? MadeOutside(string name) => scope.Bound.Contains(name) ? scope.Names[name] : null;
    }

    /// <summary>The domain of the operators that passes create.</summary>
    internal const string Internal = "octet";

    private bool IsConstant(NodeProto node) => node.OpType == "Constant" && OpsetImports.Canonical(node.Domain).Length == 0
        && !_functions.ContainsKey(Key(node.Domain, node.OpType, node.Overload));

    private Tensor ConstantOf(NodeProto node, FunctionCall? call)
    {
        Tensor? tensor = null;
        int given = 0;
        foreach (AttributeProto written in node.Attribute)
        {
            if (Resolve(written, call) is not { } attribute) continue;
            given++;
            string what = $"{Describe(node)}, attribute '{written.Name}'";
            // The name says which kind it is; the type says the same, or is missing in old files.
            tensor = written.Name switch
            {
                "value" => _tensors.Read(attribute.T ?? throw WrongKind(what, "a tensor"), what),
                "sparse_value" => _tensors.ReadSparse(attribute.SparseTensor ?? throw WrongKind(what, "a sparse tensor"), what),
                "value_float" => Tensor.Scalar(attribute.HasF ? attribute.F : throw WrongKind(what, "a float")),
                "value_int" => Tensor.Scalar(attribute.HasI ? attribute.I : throw WrongKind(what, "an integer")),
                "value_string" => new Tensor([OnnxTensors.Text(attribute.HasS ? attribute.S : throw WrongKind(what, "a text"), what)], []),
                "value_floats" => Tensor.Create(attribute.Floats.ToArray(), attribute.Floats.Count),
                "value_ints" => Tensor.Create(attribute.Ints.ToArray(), attribute.Ints.Count),
                "value_strings" => new Tensor([.. attribute.Strings.Select(text => OnnxTensors.Text(text, what))], [attribute.Strings.Count]),
                _ => throw new ModelException($"{what} is not known; rule: Constant has value, sparse_value, value_float(s), value_int(s) or value_string(s)"),
            };
        }
        return given == 1 ? tensor! : throw new ModelException($"{Describe(node)} has {given} values; rule: Constant has one");
    }

    /// <summary>Puts a function's body where a call of it stands.</summary>
    private void Inline(FunctionProto function, NodeProto node, string name, Value?[] inputs, Value?[] outputs, GraphEditor editor, FunctionCall? caller, int depth)
    {
        if (_calls.Contains(function)) throw new ModelException($"{Describe(node)} calls a function that calls itself; rule: functions do not recur");
        if (_calls.Count >= MaxCalls) throw new ModelException($"{Describe(node)} is called through {_calls.Count} functions; rule: at most {MaxCalls}");
        if (inputs.Length > function.Input.Count || outputs.Length > function.Output.Count)
        {
            throw new ModelException($"{Describe(node)} has {inputs.Length} inputs and {outputs.Length} outputs; "
                + $"rule: its function has at most {function.Input.Count} and {function.Output.Count}");
        }
        ImportOpsets(function.OpsetImport, $"function '{function.Name}'");
        _expansion.Take((long)NodeBytes * (1 + function.Node.Count), Describe(node));

        Graph graph = editor.Graph;
        var scope = new Scope(null);
        for (int i = 0; i < function.Input.Count; i++) Declare(scope, function.Input[i], i < inputs.Length ? inputs[i] : null, graph);
        var made = new HashSet<string>(StringComparer.Ordinal);
        foreach (NodeProto inner in function.Node) made.UnionWith(inner.Output);
        var passed = new List<(string From, Value To)>();
        for (int i = 0; i < outputs.Length; i++)
        {
            if (outputs[i] is not { } output) continue;
            string formal = function.Output[i];
            if (made.Contains(formal) && scope.Names.TryAdd(formal, output)) scope.Bound.Add(formal);
            else passed.Add((formal, output));   // an input handed through, or one value returned twice
        }

        _calls.Add(function);
        ImportNodes(function.Node, editor, new FunctionCall(function, node, caller), scope, depth, name + "/", []);
        foreach ((string from, Value to) in passed)
        {
            if (scope.Find(from) is not { } source)
                throw new ModelException($"{Describe(node)} wants '{from}', which its function does not make; rule: every output is an input or a node's output");
            editor.AddNode("Identity", [source], [to], name: $"{name}/{from}");
        }
        _calls.RemoveAt(_calls.Count - 1);
    }

    private AttributeMap ImportAttributes(NodeProto node, Graph graph, FunctionCall? call, Scope scope, int depth)
    {
        var attributes = new AttributeMap();
        foreach (AttributeProto written in node.Attribute)
        {
            if (written.Name.Length == 0) throw new ModelException($"{Describe(node)} has an attribute without a name; rule: attributes have names");
            if (attributes.Contains(written.Name)) throw new ModelException($"{Describe(node)} has two attributes '{written.Name}'; rule: attribute names are unique");
            if (Resolve(written, call) is not { } attribute) continue;
            string what = $"{Describe(node)}, attribute '{written.Name}'";
            attributes.Add(written.Name, KindOf(attribute, what) switch
            {
                AttributeType.Float => attribute.F,
                AttributeType.Int => attribute.I,
                AttributeType.String => OnnxTensors.Text(attribute.S, what),
                AttributeType.Tensor => _tensors.Read(attribute.T ?? throw WrongKind(what, "a tensor"), what),
                AttributeType.SparseTensor => _tensors.ReadSparse(attribute.SparseTensor ?? throw WrongKind(what, "a sparse tensor"), what),
                AttributeType.Graph => Subgraph(attribute.G ?? throw WrongKind(what, "a graph")),
                AttributeType.TypeProto => OnnxTypes.Read(attribute.Tp, what),
                AttributeType.Floats => attribute.Floats.ToArray(),
                AttributeType.Ints => attribute.Ints.ToArray(),
                AttributeType.Strings => attribute.Strings.Select(text => OnnxTensors.Text(text, what)).ToArray(),
                AttributeType.Tensors => attribute.Tensors.Select(tensor => _tensors.Read(tensor, what)).ToArray(),
                AttributeType.SparseTensors => attribute.SparseTensors.Select(tensor => _tensors.ReadSparse(tensor, what)).ToArray(),
                AttributeType.Graphs => attribute.Graphs.Select(Subgraph).ToArray(),
                AttributeType.TypeProtos => attribute.TypeProtos.Select(type => OnnxTypes.Read(type, what)).ToArray(),
                AttributeType kind => throw new ModelException($"{what} is of kind {(int)kind}; rule: ONNX's attribute kinds are 1 to {(int)AttributeType.TypeProtos}"),
            });
        }
        return attributes;

        Graph Subgraph(GraphProto proto)
        {
            var inner = new Graph(NameOf(proto), graph.Opsets, graph);
            ImportGraph(proto, inner, call, new Scope(scope), depth + 1);
            return inner;
        }
    }

    /// <summary>The kind that the file names, or, where it names none, that of the field that is there.</summary>
    private static AttributeType KindOf(AttributeProto attribute, string what)
    {
        if (attribute.Type != AttributeType.Undefined) return attribute.Type;
        return attribute.HasF ? AttributeType.Float : attribute.HasI ? AttributeType.Int : attribute.HasS ? AttributeType.String
            : attribute.T is not null ? AttributeType.Tensor : attribute.G is not null ? AttributeType.Graph
            : attribute.Tp is not null ? AttributeType.TypeProto : attribute.SparseTensor is not null ? AttributeType.SparseTensor
            : attribute.Floats.Count > 0 ? AttributeType.Floats : attribute.Ints.Count > 0 ? AttributeType.Ints
            : attribute.Strings.Count > 0 ? AttributeType.Strings : attribute.Tensors.Count > 0 ? AttributeType.Tensors
            : attribute.Graphs.Count > 0 ? AttributeType.Graphs : attribute.TypeProtos.Count > 0 ? AttributeType.TypeProtos
            : attribute.SparseTensors.Count > 0 ? AttributeType.SparseTensors
            : throw new ModelException($"{what} has neither a kind nor a value; rule: an attribute has a value");
    }

    /// <summary>Inside a function's body, follows a reference to the calling node's attribute; null where neither the call nor the function gives one.</summary>
    private static AttributeProto? Resolve(AttributeProto attribute, FunctionCall? call)
    {
        while (attribute.RefAttrName.Length > 0)
        {
            if (call is null)
                throw new ModelException($"attribute '{attribute.Name}' refers to '{attribute.RefAttrName}' outside a function; rule: only a function's body refers to attributes of its call");
            string name = attribute.RefAttrName;
            if (call.Node.Attribute.FirstOrDefault(given => given.Name == name) is { } given)
            {
                attribute = given;
                call = call.Caller;
            }
            else if (call.Function.AttributeProto.FirstOrDefault(given => given.Name == name) is { } preset && preset.RefAttrName.Length == 0)
            {
                return preset;
            }
            else
            {
                return null;
            }
        }
        return attribute;
    }

    /// <summary>A graph's name; ONNX wants one, and some writers leave it out.</summary>
    private static string NameOf(GraphProto proto) => proto.Name.Length > 0 ? proto.Name : "graph";

    private static ModelException WrongKind(string what, string wanted) => new($"{what} is missing or of another kind; rule: it is {wanted}");

    private static (string Domain, string Name, string Overload) Key(string domain, string name, string overload) => (OpsetImports.Canonical(domain), name, overload);

    private static string Describe(NodeProto node)
    {
        string type = OpsetImports.Canonical(node.Domain) is { Length: > 0 } domain ? $"{domain}.{node.OpType}" : node.OpType;
        return $"{type} '{(node.Name.Length > 0 ? node.Name : node.Output.FirstOrDefault() ?? "")}'";
    }

    /// <summary>Names of one graph, or of one function's body, and of what surrounds it.</summary>
    private sealed class Scope(Scope? parent)
    {
        /// <summary>Name → value; null where a function's optional input is left out.</summary>
        public Dictionary<string, Value?> Names { get; } = new(StringComparer.Ordinal);

        /// <summary>Names of a function's outputs that are declared but not yet made.</summary>
        public HashSet<string> Bound { get; } = new(StringComparer.Ordinal);

        public bool TryFind(string name, out Value? value)
        {
            for (Scope? scope = this; scope is not null; scope = scope.Parent)
            {
                if (scope.Names.TryGetValue(name, out value)) return true;
            }
            value = null;
            return false;
        }

        public Value? Find(string name) => TryFind(name, out Value? value) ? value : null;

        private Scope? Parent { get; } = parent;
    }

    /// <summary>A call that is being replaced: whose attributes the body may refer to.</summary>
    private sealed record FunctionCall(FunctionProto Function, NodeProto Node, FunctionCall? Caller);
}
