using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>Q([clamp](Add | Sub | Mul | Div of two dequantized tensors))</c> → QAdd, QMul or QDiv. A subtraction is an addition with a negative scale.</summary>
/// <remarks>The order of a sum's operands decides how it rounds: as in ONNX Runtime, one that stays the same along the innermost axis comes second.</remarks>
internal sealed class QuantizePair : LoweringRule
{
    public override string Name => "quantize-pair";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        bool multiply = node.Is("Mul"), divide = node.Is("Div"), subtract = node.Is("Sub");
        if (!multiply && !divide && !subtract && !node.Is("Add") && !(node.Is("Sum") && node.Inputs.Count == 2)) return LoweringResult.None;
        if (LoweringContext.Source(node.Inputs[0]) is not { } a) return LoweringResult.Refuse(LoweringContext.WhyNoSource(node.Inputs[0], "its left operand"));
        if (LoweringContext.Source(node.Inputs[1]) is not { } b) return LoweringResult.Refuse(LoweringContext.WhyNoSource(node.Inputs[1], "its right operand"));
        if (Clamps.ToQuantize(c, node.Output) is not var (quantize, grid, low, high, between)) return LoweringResult.Refuse("its result is not quantized, or is read in float as well");
        float factor = multiply ? a.Grid.Scale * b.Grid.Scale / grid.Scale : divide ? a.Grid.Scale / (b.Grid.Scale * grid.Scale) : a.Grid.Scale / grid.Scale, other = divide ? 0 : b.Grid.Scale / grid.Scale;
        if (!(factor <= Kernels.Requantize.QEpilogue.LargestMultiplier && other <= Kernels.Requantize.QEpilogue.LargestMultiplier)) return LoweringResult.Refuse("the ratio of its scales is out of range");
        bool swap = !multiply && !divide && node.Inputs[0]!.Type.IsConcrete && node.Inputs[1]!.Type.IsConcrete
            && BroadcastPair.Create(node.Inputs[0]!.Type.ConcreteShape(), node.Inputs[1]!.Type.ConcreteShape()) is { AStep: 0, BStep: 1 };
        if (swap) (a, b) = (b, a);
        var attributes = new AttributeMap
        {
            ["a_scale"] = a.Grid.Scale,
            ["a_zero_point"] = (long)a.Grid.ZeroPoint,
            ["b_scale"] = b.Grid.Scale,
            ["b_zero_point"] = (long)b.Grid.ZeroPoint,
            ["y_scale"] = grid.Scale,
            ["y_zero_point"] = (long)grid.ZeroPoint,
            ["lo"] = (long)low,
            ["hi"] = (long)high,
        };
        if (subtract) attributes[swap ? "a_scale" : "b_scale"] = -attributes.Float(swap ? "a_scale" : "b_scale");
        c.Replace(quantize.Output, c.Add(multiply ? "QMul" : divide ? "QDiv" : "QAdd", [c.Bytes(a), c.Bytes(b)], attributes, quantize, quantize.Output.Type, [node, .. between]));
        return LoweringResult.Done;
    }
}

/// <summary>Add of two dequantized tensors whose sum stays real → DequantizeAdd: one step instead of three, the same bits.</summary>
internal sealed class AddDequantized : LoweringRule
{
    public override string Name => "add-dequantized";

    public override int Phase => 2;

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!node.Is("Add") || LoweringContext.Source(node.Inputs[0]) is not { Q.IsConstant: false } a || LoweringContext.Source(node.Inputs[1]) is not { Q.IsConstant: false } b) return LoweringResult.None;
        if (!node.Output.Type.IsConcrete) return LoweringResult.Refuse("its extents are not known");
        if (!a.Q.Type.Equals(b.Q.Type)) return LoweringResult.Refuse("its operands have different shapes");
        var attributes = new AttributeMap
        {
            ["a_scale"] = a.Grid.Scale,
            ["a_zero_point"] = (long)a.Grid.ZeroPoint,
            ["b_scale"] = b.Grid.Scale,
            ["b_zero_point"] = (long)b.Grid.ZeroPoint,
        };
        c.Replace(node.Output, c.Add(DequantizeAdd.Type, [a.Q, b.Q], attributes, node, node.Output.Type, [node]));
        return LoweringResult.Done;
    }
}

/// <summary><c>Q(AveragePool | GlobalAveragePool | ReduceMean)</c> of dequantized data → QAveragePool or QGlobalAveragePool.</summary>
internal sealed class QuantizeAverage : LoweringRule
{
    public override string Name => "quantize-average";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        bool window = node.Is("AveragePool"), mean = node.Is("ReduceMean");
        if (!window && !mean && !node.Is("GlobalAveragePool")) return LoweringResult.None;
        if (LoweringContext.Source(node.Inputs[0]) is not { } source) return LoweringResult.Refuse(LoweringContext.WhyNoSource(node.Inputs[0], "its data"));
        if (Clamps.ToQuantize(c, node.Output) is not var (quantize, grid, low, high, between) || between.Length > 0) return LoweringResult.Refuse("its result is not quantized, or is read in float as well");
        int rank = node.Inputs[0]!.Type.Rank;
        if (rank < 0 || (!mean && rank is < 3 or > 5)) return LoweringResult.Refuse(rank < 0 ? "its rank is not known" : $"its data has {rank} axes");

        var attributes = new AttributeMap
        {
            ["x_scale"] = source.Grid.Scale,
            ["x_zero_point"] = (long)source.Grid.ZeroPoint,
            ["y_scale"] = grid.Scale,
            ["y_zero_point"] = (long)grid.ZeroPoint,
        };
        if (window)
        {
            if (node.Attributes.Ints("kernel_shape") is not { } kernel || kernel.Length != rank - 2) return LoweringResult.Refuse("kernel_shape does not fit");
            if (Layers.Window(node, Array.ConvertAll(kernel, extent => (int)extent), attributes) is { } problem) return LoweringResult.Refuse(problem);
            attributes["kernel_shape"] = kernel;
            attributes["count_include_pad"] = node.Attributes.Int("count_include_pad");
            if (node.Attributes.String("auto_pad", "NOTSET") is "NOTSET" or "") attributes["ceil_mode"] = node.Attributes.Int("ceil_mode");
            c.Replace(quantize.Output, c.Add("QAveragePool", [c.Bytes(source)], attributes, quantize, quantize.Output.Type, [node]));
            return LoweringResult.Done;
        }

        TensorType kept = quantize.Output.Type;
        if (mean)
        {
            if (Axes(node, rank) is not { } axes) return LoweringResult.Refuse("its axes are computed at run time");
            bool channelsLast = rank >= 3 && AreSpatial(axes, 1, rank);
            if (!channelsLast && (rank is < 3 or > 5 || !AreSpatial(axes, 2, rank))) return AverageOfAnyAxes(node, axes, source, attributes, quantize, c);
            if (channelsLast) attributes[ChannelsLast.Flag] = 1L;
            Dim[] shape = [.. node.Inputs[0]!.Type.Shape!.Value];
            foreach (int axis in axes) shape[axis] = 1;
            kept = new TensorType(DataType.UInt8, shape);
        }
        if (kept.Equals(quantize.Output.Type))
        {
            c.Replace(quantize.Output, c.Add("QGlobalAveragePool", [c.Bytes(source)], attributes, quantize, kept, [node]));
            return LoweringResult.Done;
        }
        if (!quantize.Output.Type.IsConcrete) return LoweringResult.Refuse("its extents are not known");
        Value pooled = c.Add("QGlobalAveragePool", [c.Bytes(source)], attributes, quantize, kept, [node]);
        c.Replace(quantize.Output, Reshape(c, pooled, quantize.Output.Type.ConcreteShape(), node, quantize));
        return LoweringResult.Done;
    }

    /// <summary>Whether axes are all those from <paramref name="first"/> to the last spatial one, in order.</summary>
    private static bool AreSpatial(int[] axes, int first, int rank)
    {
        if (axes.Length != Math.Max(0, rank - 2)) return false;
        for (int i = 0; i < axes.Length; i++)
        {
            if (axes[i] != first + i) return false;
        }
        return true;
    }

    /// <summary>Averages over any axes: the data as <c>[outer, averaged, inner]</c>, transposed first where the averaged axes are no neighbours.</summary>
    private static LoweringResult AverageOfAnyAxes(Node node, int[] axes, QuantizedSource source, AttributeMap attributes, Node quantize, LoweringContext c)
    {
        if (axes.Length == 0) return LoweringResult.Refuse("it averages nothing");
        if (!source.Q.Type.IsConcrete || !quantize.Output.Type.IsConcrete) return LoweringResult.Refuse("its extents are not known");
        int[] shape = source.Q.Type.ConcreteShape();
        Value bytes = c.Bytes(source);
        int outer, inner;
        if (axes[^1] - axes[0] == axes.Length - 1)
        {
            (outer, inner) = (Tensor.CountElements(shape[..axes[0]]), Tensor.CountElements(shape[(axes[^1] + 1)..]));
        }
        else
        {
            int[] order = [.. Enumerable.Range(0, shape.Length).Except(axes), .. axes];
            bytes = c.Add("Transpose", [bytes], new AttributeMap { ["perm"] = Array.ConvertAll(order, axis => (long)axis) }, quantize, new TensorType(DataType.UInt8, Array.ConvertAll(order, axis => shape[axis])), [node], "");
            (outer, inner) = (Tensor.CountElements([.. order.Take(shape.Length - axes.Length).Select(axis => shape[axis])]), 1);
        }
        int averaged = Tensor.CountElements([.. axes.Select(axis => shape[axis])]);
        if (averaged == 0) return LoweringResult.Refuse("it averages no elements");
        attributes[ChannelsLast.Flag] = 1L;
        Value grouped = Reshape(c, bytes, [outer, averaged, inner], node, quantize);
        Value pooled = c.Add("QGlobalAveragePool", [grouped], attributes, quantize, new TensorType(DataType.UInt8, [outer, 1, inner]), [node]);
        c.Replace(quantize.Output, Reshape(c, pooled, quantize.Output.Type.ConcreteShape(), node, quantize));
        return LoweringResult.Done;
    }

    private static Value Reshape(LoweringContext c, Value value, int[] shape, Node node, Node place)
    {
        Value target = c.Editor.AddConstant(node.Name + "/shape", Tensor.Create(Array.ConvertAll(shape, extent => (long)extent), shape.Length));
        return c.Add("Reshape", [value, target], new AttributeMap { ["allowzero"] = 1L }, place, new TensorType(DataType.UInt8, shape), [node], "");
    }

    /// <summary>The reduced axes in ascending order, or null where they are not constant.</summary>
    private static int[]? Axes(Node node, int rank)
    {
        long[]? axes = node.Attributes.Ints("axes");
        if (node.Input(1) is { } input)
        {
            if (input.Constant is null) return null;
            axes = input.Constant.ToInt64Array();
        }
        if (axes is null || axes.Length == 0) return node.Attributes.Int("noop_with_empty_axes") != 0 ? [] : [.. Enumerable.Range(0, rank)];
        return [.. axes.Select(axis => (int)(axis < 0 ? axis + rank : axis)).Order()];
    }
}
