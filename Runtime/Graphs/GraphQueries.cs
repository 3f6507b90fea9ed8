namespace Octet.Runtime.Graphs;

/// <summary>Questions about graphs that several rooms ask.</summary>
public static class GraphQueries
{
    /// <summary>Values of surrounding graphs that <paramref name="graph"/>, or a subgraph of it, reads; each once.</summary>
    public static IEnumerable<Value> Captures(this Graph graph)
    {
        var seen = new HashSet<Value>();
        var inside = new HashSet<Graph>();
        Collect(graph, seen, inside);
        return seen.Where(value => !inside.Contains(value.Graph));
    }

    /// <summary>The graph's nodes and those of all its subgraphs.</summary>
    public static IEnumerable<Node> AllNodes(this Graph graph)
    {
        foreach (Node node in graph.Nodes)
        {
            yield return node;
            foreach (Graph inner in node.Attributes.Subgraphs)
            {
                foreach (Node deeper in inner.AllNodes()) yield return deeper;
            }
        }
    }

    private static void Collect(Graph graph, HashSet<Value> seen, HashSet<Graph> inside)
    {
        inside.Add(graph);
        foreach (Node node in graph.Nodes)
        {
            foreach (Value? input in node.Inputs)
            {
                if (input is not null && !ReferenceEquals(input.Graph, graph)) seen.Add(input);
            }
            foreach (Graph inner in node.Attributes.Subgraphs) Collect(inner, seen, inside);
        }
        foreach (Value output in graph.Outputs)
        {
            if (!ReferenceEquals(output.Graph, graph)) seen.Add(output);
        }
    }
}
