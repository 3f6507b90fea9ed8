using Octet.Runtime.Tensors;

namespace Octet.Runtime.Graphs;

/// <summary>The only way to change a graph. Keeps names unique and uses, producers and origins consistent.</summary>
public sealed class GraphEditor
{
    private int _nextName;
    private readonly HashSet<string> _nodeNames;
    private readonly HashSet<Value> _nameless = [];

    /// <summary>Opens <paramref name="graph"/> for changes.</summary>
    public GraphEditor(Graph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        Graph = graph;
        _nodeNames = new HashSet<string>(graph.Nodes.Select(node => node.Name), StringComparer.Ordinal);
    }

    /// <summary>The graph being changed.</summary>
    public Graph Graph { get; }

    /// <summary>Adds a graph input.</summary>
    public Value AddInput(string name, TensorType type)
    {
        Value value = NewValue(name, type);
        Graph.MutableInputs.Add(value);
        return value;
    }

    /// <summary>Makes an existing constant also an input with a default, as old models list their initializers.</summary>
    internal void MarkAsInput(Value value) => Graph.MutableInputs.Add(value);

    /// <summary>Takes a value from the graph's inputs; it stays in the graph.</summary>
    internal void UnmarkInput(Value value) => Graph.MutableInputs.Remove(value);

    /// <summary>Adds a graph output.</summary>
    /// <param name="value">What the graph returns; of this graph or a surrounding one.</param>
    /// <param name="name">Its name outside, or null for the value's own.</param>
    public void AddOutput(Value value, string? name = null)
    {
        Graph.MutableOutputs.Add(value);
        Graph.MutableOutputNames.Add(name ?? value.Name);
    }

    /// <summary>Takes the outputs from <paramref name="first"/> on back; their values stay in the graph.</summary>
    internal void RemoveOutputs(int first)
    {
        Graph.MutableOutputs.RemoveRange(first, Graph.MutableOutputs.Count - first);
        Graph.MutableOutputNames.RemoveRange(first, Graph.MutableOutputNames.Count - first);
    }

    /// <summary>Replaces output <paramref name="index"/>; its outside name stays.</summary>
    public void SetOutput(int index, Value value) => Graph.MutableOutputs[index] = value;

    /// <summary>Adds a constant; <paramref name="name"/> is made unique by a suffix where it is taken.</summary>
    public Value AddConstant(string name, Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        Value value = NewValue(name, new TensorType(tensor.Type, tensor.Shape));
        value.Constant = tensor;
        return value;
    }

    /// <summary>Turns a value that no node makes any more into a constant, or gives a constant another tensor.</summary>
    public void SetConstant(Value value, Tensor tensor)
    {
        if (value.Producer is not null) throw new InvalidOperationException($"'{value.Name}' is made by {value.Producer}");
        value.Constant = tensor;
        value.Type = new TensorType(tensor.Type, tensor.Shape);
    }

    /// <summary>Adds a value that a node will make.</summary>
    public Value AddValue(string name, TensorType? type = null) => NewValue(name, type ?? TensorType.Unknown);

    /// <summary>Adds a node with one new output.</summary>
    /// <param name="operatorType">Operator type.</param>
    /// <param name="inputs">Inputs; null for one left out.</param>
    /// <param name="attributes">Attributes, or null for none.</param>
    /// <param name="domain">Operator domain.</param>
    /// <param name="name">Node name, made unique; null derives one from the type.</param>
    /// <param name="like">Node whose place, origins and first output's name the new node takes up, or null to append.</param>
    /// <param name="outputType">Type of the output, where known.</param>
    /// <returns>The new output.</returns>
    public Value Add(string operatorType, ReadOnlySpan<Value?> inputs, AttributeMap? attributes = null, string domain = "",
        string? name = null, Node? like = null, TensorType? outputType = null)
    {
        string stem = name ?? like?.Name ?? operatorType;
        Value output = NewValue(stem + "/out", outputType ?? TensorType.Unknown);
        _nameless.Add(output);
        AddNode(operatorType, inputs, [output], attributes, domain, stem, like);
        return output;
    }

    /// <summary>Adds a node that makes the given values, which no node makes yet.</summary>
    public Node AddNode(string operatorType, ReadOnlySpan<Value?> inputs, ReadOnlySpan<Value?> outputs, AttributeMap? attributes = null,
        string domain = "", string? name = null, Node? like = null, IReadOnlyList<string>? origins = null)
    {
        string unique = UniqueNodeName(name ?? operatorType);
        var node = new Node(Graph, unique, OpsetImports.Canonical(domain), operatorType, attributes ?? [], origins ?? like?.Origins ?? [unique]);
        foreach (Value? input in inputs)
        {
            input?.AddUse(new Use(node, node.MutableInputs.Count));
            node.MutableInputs.Add(input);
        }
        foreach (Value? output in outputs)
        {
            if (output is not null)
            {
                if (output.Producer is not null || output.Constant is not null)
                    throw new ModelException($"value '{output.Name}' would be made twice: by {node} and by {output.Producer?.ToString() ?? "a constant"}; rule: one producer per value");
                (output.Producer, output.OutputIndex) = (node, node.MutableOutputs.Count);
            }
            node.MutableOutputs.Add(output);
        }
        int place = like is null ? -1 : Graph.MutableNodes.IndexOf(like);
        if (place < 0) Graph.MutableNodes.Add(node);
        else Graph.MutableNodes.Insert(place, node);
        return node;
    }

    /// <summary>Lets input <paramref name="index"/> of <paramref name="node"/> read <paramref name="value"/> (null leaves it out).</summary>
    public void SetInput(Node node, int index, Value? value)
    {
        while (node.MutableInputs.Count <= index) node.MutableInputs.Add(null);
        node.MutableInputs[index]?.RemoveUse(new Use(node, index));
        node.MutableInputs[index] = value;
        value?.AddUse(new Use(node, index));
    }

    /// <summary>Sets or (with null) removes an attribute.</summary>
    public void SetAttribute(Node node, string name, object? value) => node.Attributes[name] = value;

    /// <summary>Records what is known of a value's type.</summary>
    public void SetType(Value value, TensorType type) => value.Type = type;

    /// <summary>Records which original nodes a node stands for.</summary>
    public void SetOrigins(Node node, IEnumerable<string> origins) => node.Origins = [.. origins.Distinct(StringComparer.Ordinal)];

    /// <summary>Gives a node another name, made unique where it is taken.</summary>
    public void Rename(Node node, string name)
    {
        if (node.Name == name) return;
        _nodeNames.Remove(node.Name);
        node.Name = UniqueNodeName(name);
    }

    /// <summary>Gives a value another name, made unique where it is taken.</summary>
    public void Rename(Value value, string name)
    {
        if (value.Name == name) return;
        Graph.MutableValues.Remove(value.Name);
        value.Name = UniqueValueName(name);
        Graph.MutableValues.Add(value.Name, value);
    }

    /// <summary>Lets every reader of <paramref name="old"/>, graph outputs included, read <paramref name="replacement"/> instead.</summary>
    /// <remarks>A replacement made by <see cref="Add"/> takes over the name of the value that it replaces, so that hooks and calibration know it.</remarks>
    public void ReplaceUses(Value old, Value replacement)
    {
        if (ReferenceEquals(old, replacement)) return;
        if (old.Producer is not null && ReferenceEquals(old.Graph, Graph) && _nameless.Remove(replacement))
        {
            (old.Name, replacement.Name) = (replacement.Name, old.Name);
            Graph.MutableValues[old.Name] = old;
            Graph.MutableValues[replacement.Name] = replacement;
        }
        foreach (Use use in old.Uses.ToArray()) SetInput(use.Node, use.Index, replacement);
        for (int i = 0; i < Graph.Outputs.Count; i++)
        {
            if (ReferenceEquals(Graph.Outputs[i], old)) Graph.MutableOutputs[i] = replacement;
        }
        ReplaceInSubgraphOutputs(Graph, old, replacement);
    }

    /// <summary>Removes a node whose outputs nobody reads, together with those outputs.</summary>
    /// <exception cref="InvalidOperationException">An output is read or is a graph output.</exception>
    public void Remove(Node node)
    {
        foreach (Value? output in node.Outputs)
        {
            if (output is not null && (output.Uses.Count > 0 || output.IsGraphOutput))
                throw new InvalidOperationException($"{node} cannot be removed: '{output.Name}' is still read");
        }
        for (int i = 0; i < node.MutableInputs.Count; i++) SetInput(node, i, null);
        foreach (Graph inner in node.Attributes.Subgraphs) DropUses(inner);
        foreach (Value? output in node.Outputs)
        {
            if (output is not null) Graph.MutableValues.Remove(output.Name);
        }
        Graph.MutableNodes.Remove(node);
        _nodeNames.Remove(node.Name);
    }

    /// <summary>Removes a node and lets each of its outputs be made otherwise: the values stay, without a producer.</summary>
    public void Detach(Node node)
    {
        for (int i = 0; i < node.MutableInputs.Count; i++) SetInput(node, i, null);
        foreach (Graph inner in node.Attributes.Subgraphs) DropUses(inner);
        foreach (Value? output in node.Outputs)
        {
            if (output is not null) output.Producer = null;
        }
        node.MutableOutputs.Clear();
        Graph.MutableNodes.Remove(node);
        _nodeNames.Remove(node.Name);
    }

    /// <summary>Removes a constant or unmade value that nobody reads.</summary>
    public void Remove(Value value)
    {
        if (value.Producer is not null || value.Uses.Count > 0 || value.IsGraphOutput || value.IsGraphInput)
            throw new InvalidOperationException($"'{value.Name}' cannot be removed: it is still made or read");
        Graph.MutableValues.Remove(value.Name);
    }

    /// <summary>Puts every node after those whose outputs it reads; nodes that are free to stay keep their order.</summary>
    /// <exception cref="ModelException">The nodes form a cycle.</exception>
    public void Sort()
    {
        var sorted = new List<Node>(Graph.Nodes.Count);
        var state = new Dictionary<Node, int>(Graph.Nodes.Count);   // 1 = being visited, 2 = placed
        var stack = new Stack<Visit>();
        foreach (Node root in Graph.Nodes)
        {
            if (state.ContainsKey(root)) continue;
            state[root] = 1;
            stack.Push(new Visit(root, Producers(root).GetEnumerator()));
            while (stack.Count > 0)
            {
                (Node node, IEnumerator<Node> before) = stack.Peek();
                if (before.MoveNext())
                {
                    Node producer = before.Current;
                    if (!state.TryGetValue(producer, out int seen))
                    {
                        state[producer] = 1;
                        stack.Push(new Visit(producer, Producers(producer).GetEnumerator()));
                    }
                    else if (seen == 1)
                    {
                        throw new ModelException($"{producer} reads its own result through {node}; rule: a graph has no cycles");
                    }
                    continue;
                }
                stack.Pop();
                state[node] = 2;
                sorted.Add(node);
            }
        }
        Graph.MutableNodes.Clear();
        Graph.MutableNodes.AddRange(sorted);
    }

    private sealed record Visit(Node Node, IEnumerator<Node> Before);

    /// <summary>The nodes of this graph whose outputs <paramref name="node"/> or a subgraph of it reads.</summary>
    private IEnumerable<Node> Producers(Node node)
    {
        foreach (Value? input in node.Inputs)
        {
            if (input?.Producer is { } producer && ReferenceEquals(producer.Graph, Graph)) yield return producer;
        }
        foreach (Graph inner in node.Attributes.Subgraphs)
        {
            foreach (Value captured in inner.Captures())
            {
                if (captured.Producer is { } producer && ReferenceEquals(producer.Graph, Graph)) yield return producer;
            }
        }
    }

    private static void DropUses(Graph graph)
    {
        foreach (Node node in graph.Nodes)
        {
            for (int i = 0; i < node.Inputs.Count; i++)
            {
                if (node.Inputs[i] is { } value && !ReferenceEquals(value.Graph, graph)) value.RemoveUse(new Use(node, i));
            }
            foreach (Graph inner in node.Attributes.Subgraphs) DropUses(inner);
        }
    }

    private static void ReplaceInSubgraphOutputs(Graph graph, Value old, Value replacement)
    {
        foreach (Node node in graph.Nodes)
        {
            foreach (Graph inner in node.Attributes.Subgraphs)
            {
                for (int i = 0; i < inner.Outputs.Count; i++)
                {
                    if (ReferenceEquals(inner.Outputs[i], old)) inner.MutableOutputs[i] = replacement;
                }
                ReplaceInSubgraphOutputs(inner, old, replacement);
            }
        }
    }

    private Value NewValue(string name, TensorType type)
    {
        var value = new Value(Graph, UniqueValueName(name), type);
        Graph.MutableValues.Add(value.Name, value);
        return value;
    }

    private string UniqueValueName(string name)
    {
        if (name.Length > 0 && !Taken(name)) return name;
        while (true)
        {
            string candidate = $"{name}_{_nextName++}";
            if (!Taken(candidate)) return candidate;
        }
    }

    private bool Taken(string name)
    {
        for (Graph? graph = Graph; graph is not null; graph = graph.Parent)
        {
            if (graph.MutableValues.ContainsKey(name)) return true;
        }
        return false;
    }

    private string UniqueNodeName(string name)
    {
        if (name.Length > 0 && _nodeNames.Add(name)) return name;
        while (true)
        {
            string candidate = $"{name}_{_nextName++}";
            if (_nodeNames.Add(candidate)) return candidate;
        }
    }
}
