using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>Computes float16 and bfloat16 values in float32.</summary>
/// <remarks>
/// Inputs and outputs of the graph keep their type, with a Cast beside them; constants are converted, once per model; every value in between becomes
/// float32. Where the model itself casts to half precision, <c>octet.RoundTo</c> rounds as the Cast does. Other results are not rounded to half
/// precision: they are at least as close to the exact value as the model's own. Sequences of half precision stay as they are.
/// </remarks>
internal static class PromoteHalf
{
    /// <summary>Rewrites <paramref name="graph"/> and its subgraphs.</summary>
    /// <param name="graph">The graph, types inferred.</param>
    /// <param name="options">Holds converted constants.</param>
    /// <returns>Whether there was anything to promote.</returns>
    public static bool Run(Graph graph, PlanOptions options)
    {
        if (!HoldsHalf(graph)) return false;
        Promote(graph, options);
#if DEBUG
        GraphVerifier.Verify(graph);
#endif
        return true;
    }

    private static bool HoldsHalf(Graph graph) => graph.Values.Any(value => IsHalf(value.Type)) || graph.Nodes.Any(node => node.Attributes.Subgraphs.Any(HoldsHalf));

    private static bool IsHalf(TensorType type) => type.Element is DataType.Float16 or DataType.BFloat16 && type.Container is Container.None or Container.Optional;

    private static bool IsHalf(long element) => element is (long)DataType.Float16 or (long)DataType.BFloat16;

    private static void Promote(Graph graph, PlanOptions options)
    {
        var editor = new GraphEditor(graph);
        bool isMain = graph.Parent is null;
        DataType[] outputs = [.. graph.Outputs.Select(output => output.Type.Element)];
        foreach (Value value in graph.Values.ToArray())
        {
            if (!IsHalf(value.Type)) continue;
            if (value.Constant is { } constant) editor.SetConstant(value, options.Weights.Get(constant, "float32", () => Tensor.Create(constant.ToFloat32Array(), constant.Shape)));
            else if (!isMain || !value.IsGraphInput) editor.SetType(value, value.Type with { Element = DataType.Float32 });
        }
        foreach (Node node in graph.Nodes.ToArray())
        {
            foreach (Graph inner in node.Attributes.Subgraphs) Promote(inner, options);
            PromoteNode(node, editor);
        }
        if (!isMain) return;

        foreach (Value input in graph.Inputs.ToArray())
        {
            if (input.IsConstant || !IsHalf(input.Type)) continue;
            Value promoted = editor.AddValue(input.Name + "/float32", input.Type with { Element = DataType.Float32 });
            editor.ReplaceUses(input, promoted);
            Node? first = graph.Nodes.Count > 0 ? graph.Nodes[0] : null;
            editor.AddNode("Cast", [input], [promoted], new AttributeMap { { "to", (long)DataType.Float32 } }, name: input.Name + "/promote", like: first, origins: []);
        }
        for (int i = 0; i < outputs.Length; i++)
        {
            if (!IsHalf((long)outputs[i])) continue;
            Value output = graph.Outputs[i];
            Value demoted = editor.Add("Cast", [output], new AttributeMap { { "to", (long)outputs[i] } }, name: graph.OutputNames[i] + "/demote", outputType: output.Type with { Element = outputs[i] });
            editor.SetOutput(i, demoted);
        }
    }

    /// <summary>Attributes that name half precision.</summary>
    private static void PromoteNode(Node node, GraphEditor editor)
    {
        if (node.Is("Cast") && IsHalf(node.Attributes.Int("to")))
        {
            Round(node, editor, node.Attributes.Int("to"));
            editor.SetAttribute(node, "to", (long)DataType.Float32);
            return;
        }
        foreach (string name in (string[])["dtype", "output_dtype", "stash_type", "output_datatype"])
        {
            if (node.Attributes[name] is long element && IsHalf(element)) editor.SetAttribute(node, name, (long)DataType.Float32);
        }
        foreach ((string name, object value) in node.Attributes.ToArray())
        {
            if (value is Tensor { Type: DataType.Float16 or DataType.BFloat16 } tensor) editor.SetAttribute(node, name, Tensor.Create(tensor.ToFloat32Array(), tensor.Shape));
        }
    }

    /// <summary>Lets the readers of a Cast to half precision read its result rounded.</summary>
    private static void Round(Node cast, GraphEditor editor, long to)
    {
        Value exact = cast.Output;
        Value rounded = editor.AddValue(exact.Name + "/rounded", exact.Type);
        editor.ReplaceUses(exact, rounded);
        editor.AddNode("RoundTo", [exact], [rounded], new AttributeMap { { "to", to } }, Operator.OctetDomain, cast.Name + "/round", Layout.Following(cast), cast.Origins);
    }
}
