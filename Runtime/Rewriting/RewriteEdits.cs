using Octet.Runtime.Graphs;

namespace Octet.Runtime.Rewriting;

/// <summary>Changes that most rules make.</summary>
internal static class RewriteEdits
{
    /// <summary>
    /// Puts one node in the place of a whole match. It makes the root's own outputs, so names, types and readers stay; its origins are those of all
    /// matched nodes, oldest first.
    /// </summary>
    /// <param name="editor">Editor of the graph.</param>
    /// <param name="match">What is replaced.</param>
    /// <param name="anchor">The matched node whose name the new one takes.</param>
    /// <param name="operatorType">Operator type of the new node.</param>
    /// <param name="inputs">Its inputs.</param>
    /// <param name="attributes">Its attributes.</param>
    /// <param name="domain">Its domain.</param>
    public static Node Fuse(this GraphEditor editor, Match match, Node anchor, string operatorType, ReadOnlySpan<Value?> inputs, AttributeMap? attributes = null, string domain = "")
    {
        Graph graph = editor.Graph;
        Node[] ordered = [.. match.Nodes.OrderBy(node => IndexOf(graph, node))];
        string[] origins = [.. ordered.SelectMany(node => node.Origins).Distinct(StringComparer.Ordinal)];
        int place = IndexOf(graph, match.Root);
        Node? following = place + 1 < graph.Nodes.Count ? graph.Nodes[place + 1] : null;
        Value?[] outputs = [.. match.Root.Outputs];
        string name = anchor.Name;

        var needed = new HashSet<Value>();
        foreach (Value? input in inputs)
        {
            if (input is not null) needed.Add(input);
        }
        editor.Detach(match.Root);
        for (int i = ordered.Length - 1; i >= 0; i--)
        {
            Node node = ordered[i];
            if (ReferenceEquals(node, match.Root)) continue;
            if (node.Outputs.All(output => output is null || (output.Uses.Count == 0 && !output.IsGraphOutput && !needed.Contains(output)))) editor.Remove(node);
        }
        return editor.AddNode(operatorType, inputs, outputs, attributes, domain, name, following, origins);
    }

    /// <summary>Lets every reader of the match's result read <paramref name="value"/> instead and removes the nodes that nobody needs any more.</summary>
    public static void ReplaceBy(this GraphEditor editor, Match match, Value value)
    {
        Graph graph = editor.Graph;
        Node[] ordered = [.. match.Nodes.OrderBy(node => IndexOf(graph, node))];
        editor.ReplaceUses(match.Root.Output, value);
        for (int i = ordered.Length - 1; i >= 0; i--)
        {
            Node node = ordered[i];
            if (node.Outputs.All(output => output is null || (output.Uses.Count == 0 && !output.IsGraphOutput && !ReferenceEquals(output, value)))) editor.Remove(node);
        }
    }

    private static int IndexOf(Graph graph, Node node)
    {
        for (int i = 0; i < graph.Nodes.Count; i++)
        {
            if (ReferenceEquals(graph.Nodes[i], node)) return i;
        }
        return -1;
    }
}
