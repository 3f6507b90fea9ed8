using Octet.Runtime.Tensors;

namespace Octet.Runtime.Graphs;

/// <summary>The rules of a legal graph, operator meaning aside.</summary>
/// <remarks>
/// Runs after import, after every pass in tests and Debug builds. Rules: every value is made once and before it is read; producers, uses and
/// names agree from both sides; a constant's tensor has the type that the value declares; outputs exist.
/// </remarks>
public static class GraphVerifier
{
    /// <summary>Checks <paramref name="graph"/> and its subgraphs.</summary>
    /// <exception cref="ModelException">A rule is broken; the message names the node or value, the facts and the rule.</exception>
    public static void Verify(Graph graph) => Verify(graph, [], []);

    /// <summary>Checks one graph in time proportional to its size.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="available">Values made so far, those of surrounding graphs among them; on return as on entry.</param>
    /// <param name="listed">Uses that values of this and the surrounding graphs list, each found to read that value.</param>
    private static void Verify(Graph graph, HashSet<Value> available, HashSet<Use> listed)
    {
        var own = new List<Value>();
        var inputs = new HashSet<Value>(graph.Inputs);
        var outputs = new HashSet<Value>(graph.Outputs);
        foreach ((string name, Value value) in graph.MutableValues)
        {
            if (name != value.Name) throw Broken(graph, $"value '{value.Name}' is filed under '{name}'", "a value is found by its name");
            if (!ReferenceEquals(value.Graph, graph)) throw Broken(graph, $"value '{name}' belongs to graph '{value.Graph.Name}'", "a value belongs to one graph");
            if (value.Producer is null) MakeAvailable(value);
            if (value.Constant is { } tensor)
            {
                if (value.Producer is not null) throw Broken(graph, $"'{name}' is a constant and made by {value.Producer}", "one producer per value");
                if (value.Type.Element != tensor.Type) throw Broken(graph, $"constant '{name}' holds {tensor} but is declared {value.Type}", "a constant has its declared type");
            }
            else if (value.Producer is null && !inputs.Contains(value) && (value.Uses.Count > 0 || outputs.Contains(value)))
            {
                throw Broken(graph, $"'{name}' is read, but nobody makes it", "every value is an input, a constant or a node's output");
            }
            foreach (Use use in value.Uses)
            {
                if (!ReferenceEquals(use.Node.Input(use.Index), value))
                    throw Broken(graph, $"'{name}' lists {use.Node} as reader of input {use.Index}, which reads '{use.Node.Input(use.Index)?.Name ?? "nothing"}'", "uses and inputs agree");
                listed.Add(use);
            }
        }
        foreach (Value input in graph.Inputs)
        {
            if (!ReferenceEquals(graph.Find(input.Name), input)) throw Broken(graph, $"input '{input.Name}' is not among the graph's values", "inputs are values of the graph");
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (Node node in graph.Nodes)
        {
            if (!names.Add(node.Name)) throw Broken(graph, $"two nodes are named '{node.Name}'", "node names are unique");
            for (int i = 0; i < node.Inputs.Count; i++)
            {
                if (node.Inputs[i] is not { } input) continue;
                if (!available.Contains(input))
                    throw Broken(graph, $"{node} reads '{input.Name}' before it is made", "nodes stand after those whose outputs they read");
                if (!listed.Contains(new Use(node, i)))
                    throw Broken(graph, $"{node} reads '{input.Name}' as input {i}, which the value does not know", "uses and inputs agree");
            }
            foreach (Graph inner in node.Attributes.Subgraphs) Verify(inner, available, listed);
            for (int i = 0; i < node.Outputs.Count; i++)
            {
                if (node.Outputs[i] is not { } output) continue;
                if (!ReferenceEquals(output.Producer, node) || output.OutputIndex != i)
                    throw Broken(graph, $"{node} makes '{output.Name}' as output {i}, which names {output.Producer?.ToString() ?? "nobody"} as its producer", "producers and outputs agree");
                if (!MakeAvailable(output)) throw Broken(graph, $"'{output.Name}' is made twice", "one producer per value");
            }
        }
        if (graph.Outputs.Count != graph.OutputNames.Count)
            throw Broken(graph, $"{graph.Outputs.Count} outputs have {graph.OutputNames.Count} names", "every output has a name");
        foreach (Value output in graph.Outputs)
        {
            if (!available.Contains(output)) throw Broken(graph, $"output '{output.Name}' is made by nobody", "every output is an input, a constant or a node's output");
        }
        available.ExceptWith(own);

        bool MakeAvailable(Value value)
        {
            own.Add(value);
            return available.Add(value);
        }
    }

    private static ModelException Broken(Graph graph, string what, string rule) => new($"graph '{graph.Name}': {what}; rule: {rule}");
}
