using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>Rewrites a graph of opset 7 … 12 in terms of opset 13, the first whose QuantizeLinear has one scale per channel.</summary>
/// <remarks>Operators whose meaning or form changed in between are listed here; all others mean the same in both. Runs on simplified graphs (no Dropout in training form, constant shapes folded).</remarks>
internal static class OpsetUpgrade
{
    /// <summary>The version that graphs are raised to.</summary>
    public const int Target = 13;

    /// <summary>Raises <paramref name="graph"/> to <see cref="Target"/>; does nothing where it is there already.</summary>
    /// <exception cref="UnsupportedModelException">A node cannot be expressed in the newer version.</exception>
    public static void Run(Graph graph)
    {
        int from = graph.OpsetVersion("");
        if (from >= Target) return;
        var editor = new GraphEditor(graph);
        foreach (Graph inner in graph.Nodes.SelectMany(node => node.Attributes.Subgraphs)) RunInner(inner, from);
        foreach (Node node in graph.Nodes.ToArray())
        {
            if (node.Domain.Length == 0) Upgrade(node, editor, from);
        }
        graph.Opsets.Set("", Target);
    }

    private static void RunInner(Graph graph, int from)
    {
        var editor = new GraphEditor(graph);
        foreach (Node node in graph.Nodes.ToArray())
        {
            foreach (Graph inner in node.Attributes.Subgraphs) RunInner(inner, from);
            if (node.Domain.Length == 0) Upgrade(node, editor, from);
        }
    }

    private static void Upgrade(Node node, GraphEditor editor, int from)
    {
        switch (node.OperatorType)
        {
            case "Squeeze" or "Unsqueeze" or "ReduceSum":
                IntsToInput(node, editor, "axes", 1);
                break;
            case "Split":
                IntsToInput(node, editor, "split", 1);
                break;
            case "Clip" when from < 11:
                FloatToInput(node, editor, "min", 1);
                FloatToInput(node, editor, "max", 2);
                break;
            case "Pad" when from < 11:
                IntsToInput(node, editor, "pads", 1);
                FloatToInput(node, editor, "value", 2);
                break;
            case "Slice" when from < 10:
                IntsToInput(node, editor, "starts", 1);
                IntsToInput(node, editor, "ends", 2);
                IntsToInput(node, editor, "axes", 3);
                break;
            case "TopK" when from < 10:
                editor.SetInput(node, 1, editor.AddConstant(node.Name + "/k", Tensor.Create([node.Attributes.Int("k")], 1)));
                editor.SetAttribute(node, "k", null);
                break;
            case "Dropout":
                editor.SetAttribute(node, "ratio", null);
                break;
            case "BatchNormalization":
                if (node.Attributes.Int("spatial", 1) != 1) throw Impossible(node, "spatial = 0");
                editor.SetAttribute(node, "spatial", null);
                break;
            case "Softmax" or "LogSoftmax" or "Hardmax":
                FlattenedAxis(node, editor);
                break;
            case "Upsample" or "Resize" when from < 11:
                Resample(node, editor, from);
                break;
            case "Scatter":
                Replace(node, editor, "ScatterElements", [.. node.Inputs], Copy(node));
                break;
            case "Scan" when from < 9:
                throw Impossible(node, "Scan of version 8");
        }
    }

    private static void IntsToInput(Node node, GraphEditor editor, string attribute, int input)
    {
        if (node.Attributes.Ints(attribute) is not { } values) return;
        editor.SetAttribute(node, attribute, null);
        editor.SetInput(node, input, editor.AddConstant($"{node.Name}/{attribute}", Tensor.Create(values, values.Length)));
    }

    private static void FloatToInput(Node node, GraphEditor editor, string attribute, int input)
    {
        if (!node.Attributes.Contains(attribute)) return;
        float value = node.Attributes.Float(attribute);
        editor.SetAttribute(node, attribute, null);
        editor.SetInput(node, input, editor.AddConstant($"{node.Name}/{attribute}", Tensor.Scalar(value)));
    }

    /// <summary>Before 13 the axes from <c>axis</c> on were one: <c>Reshape(op(Flatten(x, axis), −1), Shape(x))</c>; the last axis alone needs no reshaping.</summary>
    private static void FlattenedAxis(Node node, GraphEditor editor)
    {
        Value x = node.Inputs[0]!;
        long axis = node.Attributes.Int("axis", 1);
        int rank = x.Type.Rank;
        if (axis == -1 || (rank > 0 && axis == rank - 1))
        {
            editor.SetAttribute(node, "axis", -1L);
            return;
        }
        Value flat = editor.Add("Flatten", [x], new AttributeMap { { "axis", axis } }, name: node.Name + "/flatten", like: node);
        Value result = editor.Add(node.OperatorType, [flat], new AttributeMap { { "axis", -1L } }, name: node.Name, like: node);
        Value shape = editor.Add("Shape", [x], name: node.Name + "/shape", like: node);
        Value back = editor.Add("Reshape", [result, shape], name: node.Name + "/reshape", like: node, outputType: node.Output.Type);
        editor.ReplaceUses(node.Output, back);
        editor.Remove(node);
    }

    /// <summary>Upsample, and Resize before 11, mapped coordinates by <c>x · 1/scale</c> and took the floor.</summary>
    private static void Resample(Node node, GraphEditor editor, int from)
    {
        Value? scales = node.Input(1);
        if (node.Attributes.Floats("scales") is { } values) scales = editor.AddConstant(node.Name + "/scales", Tensor.Create(values, values.Length));
        if (scales is null) throw Impossible(node, $"version {from} without scales");
        var attributes = new AttributeMap
        {
            { "mode", node.Attributes.String("mode", "nearest") }, { "coordinate_transformation_mode", "asymmetric" }, { "nearest_mode", "floor" },
        };
        Value roi = editor.AddConstant(node.Name + "/roi", Tensor.Create(Array.Empty<float>(), 0));
        Replace(node, editor, "Resize", [node.Inputs[0], roi, scales], attributes);
    }

    private static void Replace(Node node, GraphEditor editor, string type, Value?[] inputs, AttributeMap attributes)
    {
        Value result = editor.Add(type, inputs, attributes, name: node.Name, like: node, outputType: node.Output.Type);
        editor.ReplaceUses(node.Output, result);
        editor.Remove(node);
    }

    private static AttributeMap Copy(Node node) => node.Attributes.Copy();

    private static UnsupportedModelException Impossible(Node node, string what) =>
        new($"{node}: {what} has no form in opset {Target}; rule: quantized models need opset {Target}");
}
