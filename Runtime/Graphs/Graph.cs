namespace Octet.Runtime.Graphs;

/// <summary>A computation: inputs, constants, nodes in an order in which they can run, outputs. The portable form of a model.</summary>
/// <remarks>Reading is free for all; changing goes through <see cref="GraphEditor"/>.</remarks>
public sealed class Graph
{
    private readonly List<Node> _nodes = [];
    private readonly List<Value> _inputs = [];
    private readonly List<Value> _outputs = [];
    private readonly List<string> _outputNames = [];
    private readonly Dictionary<string, Value> _values = new(StringComparer.Ordinal);

    internal Graph(string name, OpsetImports opsets, Graph? parent = null) => (Name, Opsets, Parent) = (name, opsets, parent);

    /// <summary>The graph's name.</summary>
    public string Name { get; internal set; }

    /// <summary>The operator sets that give the operators their meaning; shared by all graphs of a model.</summary>
    public OpsetImports Opsets { get; }

    /// <summary>The graph whose node holds this one as an attribute, or null for a model's main graph.</summary>
    public Graph? Parent { get; }

    /// <summary>The inputs, in order.</summary>
    public IReadOnlyList<Value> Inputs => _inputs;

    /// <summary>The outputs, in order. A value may stand here more than once.</summary>
    public IReadOnlyList<Value> Outputs => _outputs;

    /// <summary>The names under which the outputs are known outside, in the order of <see cref="Outputs"/>; rewriting does not change them.</summary>
    public IReadOnlyList<string> OutputNames => _outputNames;

    /// <summary>The nodes, each after those whose outputs it reads.</summary>
    public IReadOnlyList<Node> Nodes => _nodes;

    /// <summary>All values of this graph: inputs, constants and node outputs.</summary>
    public IReadOnlyCollection<Value> Values => _values.Values;

    /// <summary>The value named <paramref name="name"/> in this graph, or null.</summary>
    public Value? Find(string name) => _values.GetValueOrDefault(name);

    /// <summary>The version of <paramref name="domain"/> that the model imports.</summary>
    public int OpsetVersion(string domain) => Opsets.Version(domain);

    internal List<Node> MutableNodes => _nodes;

    internal List<Value> MutableInputs => _inputs;

    internal List<Value> MutableOutputs => _outputs;

    internal List<string> MutableOutputNames => _outputNames;

    internal Dictionary<string, Value> MutableValues => _values;

    /// <summary>
    /// A copy with nodes and values of its own, subgraphs included; constants are shared. Values of surrounding graphs are taken
    /// from <paramref name="map"/> where they stand there and stay the same otherwise.
    /// </summary>
    /// <param name="map">Receives original → copy for every value.</param>
    /// <param name="parent">The copy's surrounding graph.</param>
    internal Graph Clone(Dictionary<Value, Value>? map = null, Graph? parent = null)
    {
        map ??= [];
        var copy = new Graph(Name, parent?.Opsets ?? Opsets.Copy(), parent);
        foreach (Value value in _values.Values)
        {
            var twin = new Value(copy, value.Name, value.Type) { Constant = value.Constant, MemoryOrder = value.MemoryOrder };
            map[value] = twin;
            copy._values.Add(value.Name, twin);
        }
        foreach (Value input in _inputs) copy._inputs.Add(map[input]);
        foreach (Node node in _nodes)
        {
            var attributes = new AttributeMap();
            foreach ((string name, object value) in node.Attributes)
            {
                attributes[name] = value switch
                {
                    Graph inner => inner.Clone(map, copy),
                    Graph[] inner => Array.ConvertAll(inner, graph => graph.Clone(map, copy)),
                    _ => value,
                };
            }
            var twin = new Node(copy, node.Name, node.Domain, node.OperatorType, attributes, node.Origins);
            for (int i = 0; i < node.Inputs.Count; i++)
            {
                Value? input = node.Inputs[i] is { } original ? map.GetValueOrDefault(original, original) : null;
                twin.MutableInputs.Add(input);
                input?.AddUse(new Use(twin, i));
            }
            for (int i = 0; i < node.Outputs.Count; i++)
            {
                Value? output = node.Outputs[i] is { } original ? map[original] : null;
                twin.MutableOutputs.Add(output);
                if (output is not null) (output.Producer, output.OutputIndex) = (twin, i);
            }
            copy._nodes.Add(twin);
        }
        foreach (Value output in _outputs) copy._outputs.Add(map.GetValueOrDefault(output, output));
        copy._outputNames.AddRange(_outputNames);
        return copy;
    }
}
