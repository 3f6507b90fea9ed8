using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>Moves a Transpose from a node's inputs to its outputs, where the node computes the same on permuted axes.</summary>
internal static class TransposeSink
{
    /// <summary>One data input, any other inputs are scalars: each element by itself.</summary>
    private static readonly HashSet<string> Unary = new(StringComparer.Ordinal)
    {
        "Relu", "LeakyRelu", "ThresholdedRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Gelu", "Swish", "Elu", "Selu", "Celu", "Softplus", "Softsign",
        "Mish", "Abs", "Neg", "Sqrt", "Exp", "Log", "Erf", "Floor", "Ceil", "Round", "Sign", "Reciprocal", "Clip", "Cast", "Not", "Shrink", "IsNaN", "IsInf",
        "Sin", "Cos", "BitwiseNot", "Identity", "octet.Activation", "octet.QTable", "octet.FlipSign", "octet.RoundTo",
        "com.microsoft.Gelu", "com.microsoft.QuickGelu",
    };

    /// <summary>All inputs are data and broadcast.</summary>
    private static readonly HashSet<string> Broadcasting = new(StringComparer.Ordinal)
    {
        "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "And", "Or", "Xor", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual",
        "Where", "PRelu", "Mod", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "octet.QAdd", "octet.QMul", "octet.QDiv", "octet.DequantizeAdd",
    };

    private static readonly HashSet<string> Reductions = new(StringComparer.Ordinal)
    {
        "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare",
    };

    /// <summary>Moves a Transpose below <paramref name="node"/>; false where there is none, or where it cannot or should not move.</summary>
    public static bool Sink(Node node, GraphEditor editor)
    {
        if (Find(node) is not { } order) return false;
        string type = node.QualifiedType;
        if (type == "octet.QTable" && node.Attributes.Contains("axis")) return Through(node, editor, order, 1, () => PermuteAxis(node, editor, order, 1));
        if (Unary.Contains(type)) return Through(node, editor, order, dataInputs: 1);
        if (type is "QuantizeLinear" or "DequantizeLinear") return ThroughQuantization(node, editor, order);
        if (Broadcasting.Contains(type)) return node.Opset >= 7 || node.Domain.Length > 0 ? Through(node, editor, order, node.Inputs.Count) : false;
        if (Reductions.Contains(type)) return ThroughReduction(node, editor, order);
        return type switch
        {
            "DynamicQuantizeLinear" => ThroughRangeQuantization(node, editor, order),
            "Concat" => ThroughConcat(node, editor, order),
            "Split" => ThroughSplit(node, editor, order),
            "Softmax" or "LogSoftmax" or "Hardmax" => node.Opset >= 13 && Through(node, editor, order, 1, () => PermuteAxis(node, editor, order, -1)),
            "ArgMax" or "ArgMin" => node.Attributes.Int("keepdims", 1) != 0 && Through(node, editor, order, 1, () => PermuteAxis(node, editor, order, 0)),
            "Pad" => ThroughPad(node, editor, order),
            "Slice" => ThroughSlice(node, editor, order),
            "Resize" or "Upsample" => ThroughResize(node, editor, order),
            _ => false,
        };
    }

    /// <summary>The order in which a Transpose to channels-first, read by the node, permutes; null where there is none.</summary>
    private static int[]? Find(Node node)
    {
        foreach (Value? input in node.Inputs)
        {
            if (Order(input, node.Graph) is { } order) return order;
        }
        return null;
    }

    private static int[]? Order(Value? input, Graph graph)
    {
        if (input?.Producer is not { } producer || !producer.Is("Transpose") || !ReferenceEquals(producer.Graph, graph) || !input.Type.IsConcrete) return null;
        int rank = input.Type.Rank;
        return rank is >= 3 and <= 5 && Permutation.Of(producer) is { } order && order.AsSpan().SequenceEqual(Permutation.ToChannelsFirst(rank)) ? order : null;
    }

    /// <summary>Inputs that are data are read untransposed, or permuted where they are constants or where that costs nothing; then the outputs are restored.</summary>
    private static bool Through(Node node, GraphEditor editor, int[] order, int dataInputs, Action? adapt = null)
    {
        int rank = order.Length;
        int[] made = Permutation.Inverse(order);
        for (int i = 0; i < dataInputs && i < node.Inputs.Count; i++)
        {
            if (node.Inputs[i] is { } input && !CanPermute(input, order, made, node)) return false;
        }
        foreach (Value? output in node.Outputs)
        {
            if (output is not null && (!output.Type.IsConcrete || output.Type.Rank != rank)) return false;
        }
        for (int i = 0; i < dataInputs && i < node.Inputs.Count; i++)
        {
            if (node.Inputs[i] is { } input) editor.SetInput(node, i, Permuted(input, order, made, node, editor));
        }
        adapt?.Invoke();
        RestoreOutputs(node, editor, order);
        return true;
    }

    /// <summary>One scale for all elements, so only output 0 is an image.</summary>
    private static bool ThroughRangeQuantization(Node node, GraphEditor editor, int[] order)
    {
        if (node.Outputs[0] is not { Type.IsConcrete: true } y || y.Type.Rank != order.Length || !CanPermute(node.Inputs[0]!, order, Permutation.Inverse(order), node)) return false;
        editor.SetInput(node, 0, Permuted(node.Inputs[0]!, order, Permutation.Inverse(order), node, editor));
        Layout.Restore(editor, y, order);
        return true;
    }

    private static void RestoreOutputs(Node node, GraphEditor editor, int[] order)
    {
        foreach (Value? output in node.Outputs.ToArray())
        {
            if (output is not null) Layout.Restore(editor, output, order);
        }
    }

    private static bool CanPermute(Value input, int[] order, int[] made, Node reader)
    {
        if (Order(input, reader.Graph) is { } own && own.AsSpan().SequenceEqual(order)) return true;
        if (input.Constant is { } constant) return constant.Type != DataType.String && constant.Rank <= order.Length;
        if (!input.Type.IsConcrete) return false;
        if (Tensor.CountElements(input.Type.ConcreteShape()) == 1 && input.Type.Rank <= 1) return true;
        if (input.Type.Rank != order.Length) return false;
        return Permutation.KeepsMemory(made, input.Type.ConcreteShape()) || ReadPermuted(input, made);
    }

    /// <summary>Whether somebody reads the value in that order anyway.</summary>
    private static bool ReadPermuted(Value input, int[] made) =>
        input.Uses.Any(use => use.Node.Is("Transpose") && ReferenceEquals(use.Node.Graph, input.Graph) && Permutation.Of(use.Node) is { } order && order.AsSpan().SequenceEqual(made));

    private static Value Permuted(Value input, int[] order, int[] made, Node reader, GraphEditor editor)
    {
        if (Order(input, reader.Graph) is { } own && own.AsSpan().SequenceEqual(order)) return input.Producer!.Inputs[0]!;
        if (input.Constant is { } constant)
        {
            if (constant.Length == 1 && constant.Rank <= 1) return input;
            int[] shape = new int[order.Length];
            Array.Fill(shape, 1);
            constant.Shape.CopyTo(shape.AsSpan(order.Length - constant.Rank));
            return editor.AddConstant(input.Name + "/layout", ConstantLayout.Transpose(constant.Reshape(shape), made));
        }
        if (input.Type.Rank <= 1) return input;
        return Layout.Insert(editor, input, made, reader);
    }

    private static void PermuteAxis(Node node, GraphEditor editor, int[] order, long otherwise) =>
        editor.SetAttribute(node, "axis", (long)MovedAxis(node.Attributes.Int("axis", otherwise), order));

    /// <summary>Where an axis of the transposed tensor lies in the untransposed one.</summary>
    private static int MovedAxis(long axis, int[] order) => order[(int)(axis < 0 ? axis + order.Length : axis)];

    private static bool ThroughQuantization(Node node, GraphEditor editor, int[] order)
    {
        if (node.Attributes.Int("block_size") != 0) return false;
        bool perAxis = node.Input(1)?.Type is not { IsConcrete: true } scale || Tensor.CountElements(scale.ConcreteShape()) != 1 || scale.Rank > 1;
        return Through(node, editor, order, 1, perAxis ? () => PermuteAxis(node, editor, order, 1) : null);
    }

    private static bool ThroughConcat(Node node, GraphEditor editor, int[] order) =>
        node.Attributes.Contains("axis") && Through(node, editor, order, node.Inputs.Count, () => PermuteAxis(node, editor, order, 0));

    private static bool ThroughSplit(Node node, GraphEditor editor, int[] order) => Through(node, editor, order, 1, () => PermuteAxis(node, editor, order, 0));

    private static bool ThroughReduction(Node node, GraphEditor editor, int[] order)
    {
        int rank = order.Length;
        bool listed = node.Attributes.Ints("axes") is not null;
        if (!listed && node.Input(1) is { IsConstant: false }) return false;
        if (RuleValues.ReductionAxes(node) is not { Length: > 0 } axes) return false;   // over all axes, or none: no order to keep or a view
        if (axes.Any(axis => axis < -rank || axis >= rank)) return false;
        long[] moved = [.. axes.Select(axis => (long)MovedAxis(axis, order)).Order()];
        bool keeps = node.Attributes.Int("keepdims", 1) != 0;
        Value y = node.Output;
        if (!y.Type.IsConcrete) return false;

        // Without keepdims the axes that are left keep the order of the untransposed tensor.
        int[] left = [.. Enumerable.Range(0, rank).Where(axis => !moved.Contains(axis))];
        int[] wanted = [.. order.Where(axis => !moved.Contains(axis))];
        int[] back = keeps ? order : Array.ConvertAll(wanted, axis => Array.IndexOf(left, axis));

        editor.SetInput(node, 0, node.Inputs[0]!.Producer!.Inputs[0]);
        if (listed) editor.SetAttribute(node, "axes", moved);
        else editor.SetInput(node, 1, editor.AddConstant(node.Name + "/axes", Tensor.Create(moved, moved.Length)));
        if (Permutation.IsIdentity(back)) return true;
        Layout.Restore(editor, y, back);
        return true;
    }

    private static bool ThroughPad(Node node, GraphEditor editor, int[] order)
    {
        int rank = order.Length;
        if (node.Opset < 11)
        {
            string name = node.Attributes.Contains("pads") ? "pads" : "paddings";
            return node.Attributes.Ints(name) is { } pads && pads.Length == 2 * rank
                && Through(node, editor, order, 1, () => editor.SetAttribute(node, name, Pairs(pads, order)));
        }
        if (node.Input(1)?.Constant is not { Type: DataType.Int64 } amounts) return false;
        if (node.Input(3) is { } axes)
        {
            return axes.Constant is { } listed && Through(node, editor, order, 1, () => SetAxes(node, editor, 3, listed, order));
        }
        return amounts.Length == 2 * rank
            && Through(node, editor, order, 1, () => editor.SetInput(node, 1, editor.AddConstant(node.Name + "/pads", Tensor.Create(Pairs(amounts.ToInt64Array(), order), 2 * rank))));
    }

    /// <summary>Amounts per axis, begins then ends, in the order of the untransposed tensor.</summary>
    private static long[] Pairs(long[] amounts, int[] order)
    {
        long[] moved = new long[amounts.Length];
        for (int i = 0; i < order.Length; i++)
        {
            moved[order[i]] = amounts[i];
            moved[order[i] + order.Length] = amounts[i + order.Length];
        }
        return moved;
    }

    private static bool ThroughSlice(Node node, GraphEditor editor, int[] order)
    {
        if (node.Opset < 10)
        {
            if (node.Attributes.Ints("starts") is not { } starts) return false;
            long[] attribute = node.Attributes.Ints("axes") ?? [.. Enumerable.Range(0, starts.Length).Select(axis => (long)axis)];
            return Through(node, editor, order, 1, () => editor.SetAttribute(node, "axes", Array.ConvertAll(attribute, axis => (long)MovedAxis(axis, order))));
        }
        if (node.Input(3) is { } axes) return axes.Constant is { } listed && Through(node, editor, order, 1, () => SetAxes(node, editor, 3, listed, order));
        if (node.Input(1)?.Type is not { IsConcrete: true } count) return false;
        long[] all = [.. Enumerable.Range(0, Tensor.CountElements(count.ConcreteShape())).Select(axis => (long)axis)];
        return Through(node, editor, order, 1, () => SetAxes(node, editor, 3, Tensor.Create(all, all.Length), order));
    }

    private static void SetAxes(Node node, GraphEditor editor, int input, Tensor axes, int[] order)
    {
        long[] moved = Array.ConvertAll(axes.ToInt64Array(), axis => (long)MovedAxis(axis, order));
        editor.SetInput(node, input, editor.AddConstant(node.Name + "/axes", Tensor.Create(moved, moved.Length)));
    }

    private static bool ThroughResize(Node node, GraphEditor editor, int[] order)
    {
        int rank = order.Length;
        if (node.Attributes.Ints("axes") is { } axes)
            return Through(node, editor, order, 1, () => editor.SetAttribute(node, "axes", Array.ConvertAll(axes, axis => (long)MovedAxis(axis, order))));
        if (node.Attributes.Floats("scales") is { } attribute)
            return attribute.Length == rank && Through(node, editor, order, 1, () => editor.SetAttribute(node, "scales", Moved(attribute, order)));
        int first = node.OperatorType == "Upsample" || node.Opset < 11 ? 1 : 2;
        if (first == 2 && node.Input(1) is { } roi && roi.Constant is not { Length: 0 }) return false;
        for (int i = first; i < node.Inputs.Count; i++)
        {
            if (node.Inputs[i] is { } input && (input.Constant is not { } constant || (constant.Length != 0 && constant.Length != rank))) return false;
        }
        return Through(node, editor, order, 1, () =>
        {
            for (int i = first; i < node.Inputs.Count; i++)
            {
                if (node.Inputs[i]?.Constant is not { Length: > 0 } constant) continue;
                Tensor moved = constant.Type == DataType.Float32 ? Tensor.Create(Moved(constant.Span<float>().ToArray(), order), rank) : Tensor.Create(Moved(constant.ToInt64Array(), order), rank);
                editor.SetInput(node, i, editor.AddConstant(node.Name + "/extents", moved));
            }
        });
    }

    private static T[] Moved<T>(T[] perAxis, int[] order)
    {
        var moved = new T[perAxis.Length];
        for (int i = 0; i < order.Length; i++) moved[order[i]] = perAxis[i];
        return moved;
    }
}

/// <summary>Constants in another order.</summary>
internal static class ConstantLayout
{
    /// <summary>A transposed copy.</summary>
    public static Tensor Transpose(Tensor tensor, int[] order)
    {
        int rank = order.Length, size = tensor.Type.Size();
        int[] shape = Array.ConvertAll(order, axis => tensor.Shape[axis]);
        if (Permutation.KeepsMemory(order, tensor.Shape)) return tensor.Reshape(shape);
        int[] stride = new int[rank];
        for (int i = rank - 1, next = size; i >= 0; i--)
        {
            stride[i] = next;
            next *= tensor.Shape[i];
        }
        var result = new Tensor(tensor.Type, shape);
        ReadOnlySpan<byte> from = tensor.Bytes.Span;
        Span<byte> to = result.Bytes.Span;
        int[] index = new int[rank];
        for (int at = 0; at < to.Length; at += size)
        {
            int source = 0;
            for (int i = 0; i < rank; i++) source += index[i] * stride[order[i]];
            from.Slice(source, size).CopyTo(to[at..]);
            for (int i = rank - 1; i >= 0 && ++index[i] == shape[i]; i--) index[i] = 0;
        }
        return result;
    }
}
