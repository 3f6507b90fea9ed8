using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>Puts images channels-last: convolutions and pools take <c>[N, …, C]</c>, and the Transposes this needs move down and cancel.</summary>
/// <remarks>
/// <code>
///   convert   Conv(x)                  →  ToFirst(Conv′(ToLast(x)))          octet.Conv, octet.ConvTranspose, pools
///   cancel    ToLast(ToFirst(x))       →  x
///   sink      op(ToFirst(x), …)        →  ToFirst(op′(x, …))                 element-wise, axis attributes permuted, constants permuted
///   free      Transpose that moves only axes of extent 1  →  Reshape, which costs nothing
/// </code>
/// A value that is kept in another order than the model's says so in <see cref="Value.MemoryOrder"/>, and its type is that of the memory. Works on
/// graphs whose types are concrete; values of unknown extents keep the model's order.
/// </remarks>
internal static class Layout
{
    /// <summary>Sweeps over the graph; each moves every Transpose down by at least one node.</summary>
    private const int MostSweeps = 1000;

    /// <summary>Rewrites <paramref name="graph"/>, not its subgraphs.</summary>
    public static void Run(Graph graph)
    {
        var editor = new GraphEditor(graph);
        foreach (Node node in graph.Nodes.ToArray()) ChannelsLastForms.Convert(node, editor);
        for (int sweep = 0; sweep < MostSweeps; sweep++)
        {
            bool changed = false;
            foreach (Node node in graph.Nodes.ToArray())
            {
                if (node.Outputs.Count == 0) continue;
                changed |= node.Is("Transpose") ? Cancel(node, editor) : TransposeSink.Sink(node, editor);
            }
            changed |= Cleanup.RemoveDead(editor);
            if (!changed) break;
        }
        foreach (Node node in graph.Nodes.ToArray())
        {
            if (node.Is("Transpose")) Free(node, editor);
        }
        MergeViews(editor);
        Share(editor);
        Cleanup.Run(editor, trustTypes: true);
#if DEBUG
        GraphVerifier.Verify(graph);
#endif
    }

    /// <summary>Inserts a Transpose of <paramref name="value"/> in front of <paramref name="before"/>.</summary>
    internal static Value Insert(GraphEditor editor, Value value, int[] order, Node before)
    {
        if (value.Producer is { } producer && producer.Is("Transpose") && Permutation.Of(producer) is { } first && Permutation.IsIdentity(Permutation.Compose(first, order)))
            return producer.Inputs[0]!;
        return editor.Add("Transpose", [value], new AttributeMap { { "perm", Permutation.Attribute(order) } }, name: value.Name + "/layout", like: before, outputType: Permuted(value.Type, order));
    }

    /// <summary>
    /// Lets <paramref name="value"/>, which its node now makes in another order, keep its name, while its readers get it in the model's order through a
    /// Transpose by <paramref name="back"/>.
    /// </summary>
    internal static void Restore(GraphEditor editor, Value value, int[] back)
    {
        int[] made = Permutation.Inverse(back);
        TensorType logical = value.Type;
        value.MemoryOrder = value.MemoryOrder is { } earlier ? Permutation.Compose(earlier, made) : made;
        editor.SetType(value, Permuted(logical, made));
        Value restored = editor.AddValue(value.Name + "/first", logical);
        editor.ReplaceUses(value, restored);
        Node node = value.Producer!;
        editor.AddNode("Transpose", [value], [restored], new AttributeMap { { "perm", Permutation.Attribute(back) } }, name: node.Name + "/first", like: Following(node), origins: node.Origins);
    }

    /// <summary>The type of a transposed value.</summary>
    internal static TensorType Permuted(TensorType type, int[] order)
    {
        if (type.Shape is not { } shape) return type;
        var dims = new Dim[order.Length];
        for (int i = 0; i < dims.Length; i++) dims[i] = shape[order[i]];
        return new TensorType(type.Element, dims) { Container = type.Container };
    }

    /// <summary>The node after <paramref name="node"/>, or null.</summary>
    internal static Node? Following(Node node)
    {
        int at = node.Graph.MutableNodes.IndexOf(node);
        return at + 1 < node.Graph.Nodes.Count ? node.Graph.Nodes[at + 1] : null;
    }

    /// <summary>Joins a Transpose with the one that it reads.</summary>
    private static bool Cancel(Node node, GraphEditor editor)
    {
        if (node.Inputs[0]?.Producer is not { } inner || !inner.Is("Transpose") || !ReferenceEquals(inner.Graph, node.Graph)) return false;
        if (Permutation.Of(inner) is not { } first || Permutation.Of(node) is not { } second || first.Length != second.Length) return false;
        Value source = inner.Inputs[0]!;
        int[] both = Permutation.Compose(first, second);
        if (!Permutation.IsIdentity(both))
        {
            editor.SetInput(node, 0, source);
            editor.SetAttribute(node, "perm", Permutation.Attribute(both));
            return true;
        }
        Value result = node.Output;
        if (result.IsGraphOutput)
        {
            // Two outputs of a graph are two values, and an input or constant is no output.
            if (source.IsGraphOutput || source.IsGraphInput || source.IsConstant || !ReferenceEquals(source.Graph, node.Graph)) return false;
            source.MemoryOrder = null;
        }
        editor.ReplaceUses(result, source);
        editor.Remove(node);
        return true;
    }

    private static bool HasNoElements(int[] shape)
    {
        foreach (int extent in shape)
        {
            if (extent == 0) return true;
        }
        return false;
    }

    /// <summary>Makes a Transpose that leaves the memory as it is a Reshape.</summary>
    private static void Free(Node node, GraphEditor editor)
    {
        if (node.Inputs[0] is not { Type.IsConcrete: true } x || Permutation.Of(node) is not { } order) return;
        int[] shape = x.Type.ConcreteShape();
        if (node.Opset < 5 || HasNoElements(shape) || !Permutation.KeepsMemory(order, shape)) return;
        long[] target = Array.ConvertAll(order, axis => (long)shape[axis]);
        ReplaceNode(node, editor, "Reshape", "", [x, editor.AddConstant(node.Name + "/shape", Tensor.Create(target, target.Length))], null);
    }

    /// <summary>Reshapes of reshapes of known extents become one; one that restores the extents it started from disappears.</summary>
    private static void MergeViews(GraphEditor editor)
    {
        foreach (Node node in editor.Graph.Nodes.ToArray())
        {
            if (!IsView(node) || !node.Output.Type.IsConcrete) continue;
            Value source = node.Inputs[0]!;
            bool skipped = false;
            while (source.Producer is { } inner && IsView(inner) && ReferenceEquals(inner.Graph, node.Graph) && inner.Inputs[0]!.Type.IsConcrete)
            {
                source = inner.Inputs[0]!;
                skipped = true;
            }
            if (!skipped) continue;
            int[] shape = node.Output.Type.ConcreteShape();
            if (HasNoElements(shape) || node.Opset < 5) continue;
            Value target = editor.AddConstant(node.Name + "/shape", Tensor.Create(Array.ConvertAll(shape, extent => (long)extent), shape.Length));
            ReplaceNode(node, editor, "Reshape", "", [source, target], null);
        }
    }

    private static bool IsView(Node node) => node.Domain.Length == 0 && node.OperatorType is "Reshape" or "Flatten" or "Squeeze" or "Unsqueeze";

    /// <summary>Equal Transposes of one value become one.</summary>
    private static void Share(GraphEditor editor)
    {
        var first = new Dictionary<(Value, string), Value>();
        foreach (Node node in editor.Graph.Nodes.ToArray())
        {
            if (!node.Is("Transpose") || node.Inputs[0] is not { } x || Permutation.Of(node) is not { } order) continue;
            var key = (x, string.Join(',', order));
            if (first.TryAdd(key, node.Output) || node.Output.IsGraphOutput) continue;
            editor.ReplaceUses(node.Output, first[key]);
            editor.Remove(node);
        }
    }

    /// <summary>Puts another operator in a node's place; it makes the same values.</summary>
    internal static Node ReplaceNode(Node node, GraphEditor editor, string type, string domain, ReadOnlySpan<Value?> inputs, AttributeMap? attributes)
    {
        Node? following = Following(node);
        Value?[] outputs = [.. node.Outputs];
        IReadOnlyList<string> origins = node.Origins;
        string name = node.Name;
        editor.Detach(node);
        return editor.AddNode(type, inputs, outputs, attributes, domain, name, following, origins);
    }
}
