using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>The last step: <c>octet.QConv</c>, <c>octet.QConvTranspose</c> and the quantized pools read and write channels-last, with a Transpose on every side.</summary>
/// <remarks>The layout pass moves the transposes and cancels them against each other.</remarks>
internal static class ChannelsLast
{
    /// <summary>Marks a node that is channels-last already while the lowering runs; removed here.</summary>
    public const string Flag = "channels_last";

    /// <summary>Wraps every image operator of the graph.</summary>
    public static void Run(LoweringContext c)
    {
        foreach (Node node in c.Graph.Nodes.ToArray())
        {
            bool conv = LoweringContext.IsLowered(node, "QConv") || LoweringContext.IsLowered(node, "QConvTranspose");
            if (!conv && !LoweringContext.IsLowered(node, "QAveragePool") && !LoweringContext.IsLowered(node, "QGlobalAveragePool")) continue;
            if (node.Attributes.Contains(Flag))
            {
                c.Editor.SetAttribute(node, Flag, null);
                continue;
            }
            int rank = conv ? node.Inputs[1]!.Constant!.Rank : node.Inputs[0]!.Type.Rank;
            long[] toLast = Permutation.Attribute(Permutation.ToChannelsLast(rank)), toFirst = Permutation.Attribute(Permutation.ToChannelsFirst(rank));
            c.Editor.SetInput(node, 0, Transpose(c, node.Inputs[0]!, toLast, node));
            if (conv && node.Input(Operators.LayerEpilogue.Sum) is { } sum) c.Editor.SetInput(node, Operators.LayerEpilogue.Sum, Transpose(c, sum, toLast, node));

            Value old = node.Output;
            Use[] readers = [.. old.Uses];
            TensorType logical = old.Type;
            c.Editor.SetType(old, Permute(logical, toLast));
            int[] made = Array.ConvertAll(toLast, axis => (int)axis);
            old.MemoryOrder = old.MemoryOrder is { } earlier ? Permutation.Compose(earlier, made) : made;
            Node? next = Layout.Following(node);
            Value first = c.Editor.Add("Transpose", [old], new AttributeMap { ["perm"] = toFirst }, "", node.Name + "/nchw", next, logical);
            c.Editor.SetOrigins(first.Producer!, []);
            foreach (Use use in readers) c.Editor.SetInput(use.Node, use.Index, first);
            for (int i = 0; i < c.Graph.Outputs.Count; i++)
                if (ReferenceEquals(c.Graph.Outputs[i], old)) c.Editor.SetOutput(i, first);
            foreach (Node other in c.Graph.Nodes)
            {
                foreach (Graph inner in other.Attributes.Subgraphs) RedirectOutputs(inner, old, first);
            }
        }
    }

    private static Value Transpose(LoweringContext c, Value value, long[] perm, Node place)
    {
        Value moved = c.Editor.Add("Transpose", [value], new AttributeMap { ["perm"] = perm }, "", place.Name + "/nhwc", place, Permute(value.Type, perm));
        c.Editor.SetOrigins(moved.Producer!, []);
        return moved;
    }

    private static TensorType Permute(TensorType type, long[] perm) => Layout.Permuted(type, Array.ConvertAll(perm, axis => (int)axis));

    private static void RedirectOutputs(Graph graph, Value old, Value replacement)
    {
        var editor = new GraphEditor(graph);
        for (int i = 0; i < graph.Outputs.Count; i++)
            if (ReferenceEquals(graph.Outputs[i], old)) editor.SetOutput(i, replacement);
        foreach (Graph inner in graph.Nodes.SelectMany(node => node.Attributes.Subgraphs)) RedirectOutputs(inner, old, replacement);
    }
}
