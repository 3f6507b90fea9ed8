using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>Operators that move or select elements without computing on them, and so commute with any increasing function such as dequantization.</summary>
internal static class Movements
{
    private static readonly HashSet<string> FirstInput = new(StringComparer.Ordinal)
    {
        "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Transpose", "Slice", "Split", "Gather", "GatherElements", "GatherND", "Expand", "Tile",
        "DepthToSpace", "SpaceToDepth", "MaxPool", "GlobalMaxPool", "Resize", "Upsample", "Pad",
    };

    private static readonly HashSet<string> Reordering = new(StringComparer.Ordinal)
    {
        "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Transpose", "DepthToSpace", "SpaceToDepth", "MaxPool", "GlobalMaxPool",
    };

    /// <summary>Whether <paramref name="node"/> moves the elements of its data inputs.</summary>
    public static bool Is(Node node)
    {
        if (node.Domain.Length != 0) return false;
        if (node.OperatorType == "Concat") return true;
        if (!FirstInput.Contains(node.OperatorType)) return false;
        return node.OperatorType switch
        {
            "MaxPool" => node.Outputs.Count == 1,
            "Resize" or "Upsample" => node.Attributes.String("mode", "nearest") == "nearest" && node.Attributes.String("coordinate_transformation_mode") != "tf_crop_and_resize",
            _ => true,
        };
    }

    /// <summary>Whether <paramref name="node"/> has one data input and one output and keeps or shrinks the number of elements.</summary>
    public static bool IsReordering(Node node) => Is(node) && Reordering.Contains(node.OperatorType);

    /// <summary>How many of the leading inputs are data.</summary>
    public static int DataInputs(Node node) => node.OperatorType == "Concat" ? node.Inputs.Count : 1;

    /// <summary>
    /// The inputs and attributes with which <paramref name="node"/> moves bytes of <paramref name="grid"/> instead of real values, or null where a
    /// padding value lies between two steps of the grid.
    /// </summary>
    /// <param name="c">Adds the padding value where it is an input.</param>
    /// <param name="node">The node.</param>
    /// <param name="data">The bytes for every data input.</param>
    /// <param name="grid">Their grid.</param>
    public static (Value?[] Inputs, AttributeMap Attributes)? OnBytes(LoweringContext c, Node node, Value[] data, Quantization grid)
    {
        Value?[] inputs = [.. data, .. node.Inputs.Skip(data.Length)];
        AttributeMap attributes = node.Attributes.Copy();
        if (node.OperatorType != "Pad" || node.Attributes.String("mode", "constant") != "constant") return (inputs, attributes);

        const int valueIsInput = 11;   // Pad-11 turned pads and value from attributes into inputs
        float real = node.Opset < valueIsInput ? node.Attributes.Float("value") : 0;
        if (node.Opset >= valueIsInput && node.Input(2) is { } value)
        {
            if (LoweringContext.Scalar(value) is not { } constant) return null;
            real = constant;
        }
        int step = LinearQuantization.Quantize(real, grid.Scale, grid.ZeroPoint, 0, 255);
        if ((step - grid.ZeroPoint) * grid.Scale != real) return null;
        if (node.Opset < valueIsInput)
        {
            attributes["value"] = (float)step;
            return (inputs, attributes);
        }
        if (inputs.Length < 3) Array.Resize(ref inputs, 3);
        inputs[2] = c.Editor.AddConstant(node.Name + "/value", Tensor.Scalar((byte)step));
        return (inputs, attributes);
    }
}
