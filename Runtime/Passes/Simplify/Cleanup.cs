using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>Removes what computes nothing: dead nodes and constants, and nodes whose output equals their input.</summary>
/// <remarks>
/// Equal to their input are <c>Identity</c>; <c>Dropout</c> outside training whose mask nobody reads; <c>Cast</c> to the type at hand; <c>Transpose</c>
/// that permutes nothing; <c>Pad</c> by zero; <c>Concat</c>, <c>Sum</c>, <c>Max</c>, <c>Min</c>, <c>Mean</c> of one; and, where extents are known,
/// <c>Reshape</c>, <c>Flatten</c>, <c>Expand</c>, <c>Tile</c>, <c>Split</c> and forward <c>Slice</c> that keep every extent. A node that stands between a graph
/// output and an input, a constant or another output stays, because each output is a value of its own.
/// </remarks>
internal static class Cleanup
{
    /// <summary>The rule that removes <c>Identity</c>.</summary>
    public const string Identity = "remove-identity";

    /// <summary>The rule that removes <c>Dropout</c> outside training.</summary>
    public const string Dropout = "remove-dropout";

    /// <summary>The rule that removes everything else that repeats its input.</summary>
    public const string Others = "remove-no-ops";

    /// <summary>Cleans one graph, not its subgraphs.</summary>
    /// <param name="editor">Editor of the graph.</param>
    /// <param name="trustTypes">Whether extents are those of every run.</param>
    /// <param name="disabled">Which of <see cref="Identity"/>, <see cref="Dropout"/> and <see cref="Others"/> must not run.</param>
    /// <returns>Whether anything was removed.</returns>
    public static bool Run(GraphEditor editor, bool trustTypes, IReadOnlySet<string>? disabled = null)
    {
        bool changed = false;
        foreach (Node node in editor.Graph.Nodes.ToArray())
        {
            if (!RepeatsInput(node, trustTypes)) continue;
            if (disabled?.Contains(node.OperatorType switch { "Identity" => Identity, "Dropout" => Dropout, _ => Others }) == true) continue;
            // A model may list outputs that the operator does not have.
            if (IsReadBeyondFirst(node)) continue;
            Value input = node.Inputs[0]!, output = node.Output;
            if (output.IsGraphOutput && (input.IsConstant || input.IsGraphInput || input.IsGraphOutput || !ReferenceEquals(input.Graph, editor.Graph))) continue;
            editor.ReplaceUses(output, input);
            editor.Remove(node);
            changed = true;
        }
        return RemoveDead(editor) | changed;
    }

    /// <summary>Removes nodes and constants that no output depends on.</summary>
    public static bool RemoveDead(GraphEditor editor)
    {
        bool changed = false;
        Graph graph = editor.Graph;
        var returned = new HashSet<Value>(graph.Outputs);
        CollectReturned(graph, returned);
        for (int i = graph.Nodes.Count - 1; i >= 0; i--)
        {
            Node node = graph.Nodes[i];
            if (IsRead(node, returned)) continue;
            editor.Remove(node);
            changed = true;
        }
        foreach (Value value in graph.Values.ToArray())
        {
            if (value.Producer is not null || value.Uses.Count > 0 || returned.Contains(value) || value.IsGraphInput) continue;
            editor.Remove(value);
            changed = true;
        }
        return changed;
    }

    private static bool IsRead(Node node, HashSet<Value> returned)
    {
        foreach (Value? output in node.Outputs)
        {
            if (output is not null && (output.Uses.Count > 0 || returned.Contains(output))) return true;
        }
        return false;
    }

    /// <summary>Outputs of subgraphs may be values of this graph without any node reading them.</summary>
    private static void CollectReturned(Graph graph, HashSet<Value> returned)
    {
        foreach (Node node in graph.Nodes)
        {
            foreach (Graph inner in node.Attributes.Subgraphs)
            {
                returned.UnionWith(inner.Outputs);
                CollectReturned(inner, returned);
            }
        }
    }

    private static bool IsReadBeyondFirst(Node node)
    {
        for (int i = 1; i < node.Outputs.Count; i++)
        {
            if (node.Outputs[i] is { } other && (other.Uses.Count > 0 || other.IsGraphOutput) || IsReturnedBySubgraph(node, i)) return true;
        }
        return false;
    }

    private static bool RepeatsInput(Node node, bool trustTypes)
    {
        if (node.Domain.Length != 0 || node.Input(0) is not { } x || node.Outputs.Count == 0 || node.Outputs[0] is not { } y) return false;
        bool sameExtents = trustTypes && x.Type.IsConcrete && x.Type.Equals(y.Type);
        switch (node.OperatorType)
        {
            case "Identity":
                return true;
            case "Dropout":
                bool inference = node.Opset < 12 || node.Input(2) is not { } training || training.Constant is { Type: DataType.Bool, Length: 1 } flag && !flag.Span<bool>()[0];
                return inference;
            case "Cast":
                return x.Type.Container == Container.None && x.Type.Element != DataType.Undefined && (long)x.Type.Element == node.Attributes.Int("to");
            case "Transpose":
                return node.Attributes.Ints("perm") is { } perm ? IsAscending(perm) : x.Type.Rank is 0 or 1;
            case "Pad":
                return IsZero(node.Opset < 11 ? node.Attributes.Ints("pads") ?? node.Attributes.Ints("paddings") : node.Input(1)?.Constant?.ToInt64Array());
            case "Concat":
            case "Sum":
            case "Max":
            case "Min":
            case "Mean":
                return node.Inputs.Count == 1;
            case "Reshape":
            case "Flatten":
            case "Expand":
            case "Tile":
                return sameExtents;
            case "Split":
                return sameExtents && node.Outputs.Count == 1;
            case "Slice":
                bool forward = node.Opset < 10 || node.Input(4) is not { } steps || steps.Constant?.ToInt64Array().All(step => step > 0) == true;
                return sameExtents && forward;
            default:
                return false;
        }
    }

    private static bool IsReturnedBySubgraph(Node node, int output)
    {
        if (node.Outputs.Count <= output || node.Outputs[output] is not { } value) return false;
        var returned = new HashSet<Value>();
        CollectReturned(node.Graph, returned);
        return returned.Contains(value);
    }

    private static bool IsAscending(long[] perm)
    {
        for (int i = 0; i < perm.Length; i++)
        {
            if (perm[i] != i) return false;
        }
        return true;
    }

    private static bool IsZero(long[]? pads) => pads is not null && pads.All(pad => pad == 0);
}
