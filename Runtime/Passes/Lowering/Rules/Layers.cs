using Octet.Kernels.Geometry;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>Conv(DequantizeLinear(x), DequantizeLinear(w), bias)</c> → QConv with real output, <c>acc · (sx·sw[o])</c>.</summary>
/// <remarks>
/// A bias that is quantized with scale sx·sw[o] is used as it stands; any other is rounded to a multiple of it, which moves a result by at most half an
/// accumulator step. Until the last step of the lowering the node keeps the layout of Conv, <c>[N, C, …]</c>.
/// </remarks>
internal sealed class QuantizeConvolution : LoweringRule
{
    public override string Name => "quantize-convolution";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (node.Is("ConvTranspose"))
            return node.Inputs[0]?.Producer is { } data && LoweringContext.IsDequantize(data) ? LoweringResult.Refuse("transposed convolution runs in float") : LoweringResult.None;
        if (!node.Is("Conv")) return LoweringResult.None;
        if (LoweringContext.Source(node.Inputs[0]) is not { } source) return LoweringResult.Refuse(LoweringContext.WhyNoSource(node.Inputs[0], "its data"));
        if (LoweringContext.FindWeight(node.Input(1), 0, out QuantizedWeight weight) is { } why) return LoweringResult.Refuse(why);
        if (Geometry(node, weight.W.Constant!, out AttributeMap attributes) is { } problem) return LoweringResult.Refuse(problem);
        if (Bias.Real(c, node.Input(2), weight.W.Constant!.Shape[0]) is not { } bias) return LoweringResult.Refuse("its bias is computed at run time");

        float[] multipliers = [.. weight.Scales.Select(scale => source.Grid.Scale * scale)];
        if (!Bias.Fold(weight, 0, bias, ref multipliers, out int[] integers, out string reason)) return LoweringResult.Refuse(reason);
        Layers.Describe(attributes, source.Grid, weight, multipliers);
        Value? biasValue = integers.Length == 0 ? null : c.Editor.AddConstant(node.Name + "/bias", Tensor.Create(integers, integers.Length));
        c.Replace(node.Output, c.Add("QConv", [c.Bytes(source), weight.W, biasValue], attributes, node, node.Output.Type, [node]));
        return LoweringResult.Done;
    }

    /// <summary>Window attributes without auto_pad; returns why they cannot be found.</summary>
    private static string? Geometry(Node node, Tensor w, out AttributeMap attributes)
    {
        attributes = [];
        int spatial = w.Rank - 2;
        if (spatial is < 1 or > 3) return $"{spatial} spatial axes";
        attributes["group"] = node.Attributes.Int("group", 1);
        attributes["kernel_shape"] = w.Shape[2..].ToArray().Select(extent => (long)extent).ToArray();
        return Layers.Window(node, w.Shape[2..], attributes);
    }
}

/// <summary><c>Gemm</c> and <c>MatMul</c> of dequantized data and a constant dequantized matrix → QGemm with real output, <c>acc · (α·sx·sw[n])</c>.</summary>
internal sealed class QuantizeProduct : LoweringRule
{
    public override string Name => "quantize-product";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        bool gemm = node.Is("Gemm");
        if (!gemm && !node.Is("MatMul")) return LoweringResult.None;
        if (LoweringContext.Source(node.Inputs[0]) is not { } source) return LoweringResult.Refuse(LoweringContext.WhyNoSource(node.Inputs[0], "its data"));
        if (source.Q.IsConstant) return LoweringResult.Refuse("its left operand is constant");
        if (!gemm && LoweringContext.Source(node.Input(1)) is { Q.IsConstant: false }) return LoweringResult.Refuse("both operands are computed at run time");
        bool transposed = gemm && node.Attributes.Int("transB") != 0;
        int axis = transposed ? 0 : 1;
        if (LoweringContext.FindWeight(node.Input(1), axis, out QuantizedWeight weight) is { } why) return LoweringResult.Refuse(why);
        Tensor w = weight.W.Constant!;
        if (w.Rank != 2) return LoweringResult.Refuse($"its weight has {w.Rank} axes, not two");
        if (gemm && node.Attributes.Int("transA") != 0) return LoweringResult.Refuse("its data is transposed");
        float alpha = gemm ? node.Attributes.Float("alpha", 1) : 1, beta = gemm ? node.Attributes.Float("beta", 1) : 1;
        if (!float.IsFinite(alpha) || alpha == 0) return LoweringResult.Refuse($"alpha is {alpha}");
        if (Bias.Real(c, gemm ? node.Input(2) : null, w.Shape[axis]) is not { } bias) return LoweringResult.Refuse("its bias is computed at run time, or is not one number per column");
        for (int i = 0; i < bias.Length; i++) bias[i] *= beta;

        float[] multipliers = [.. weight.Scales.Select(scale => alpha == 1 ? source.Grid.Scale * scale : alpha * (source.Grid.Scale * scale))];
        if (!Bias.Fold(weight, axis, bias, ref multipliers, out int[] integers, out string reason)) return LoweringResult.Refuse(reason);
        var attributes = new AttributeMap();
        if (transposed) attributes["transB"] = 1L;
        Layers.Describe(attributes, source.Grid, weight, multipliers);
        Value? biasValue = integers.Length == 0 ? null : c.Editor.AddConstant(node.Name + "/bias", Tensor.Create(integers, integers.Length));
        c.Replace(node.Output, c.Add("QGemm", [c.Bytes(source), weight.W, biasValue], attributes, node, node.Output.Type, [node]));
        return LoweringResult.Done;
    }
}

/// <summary>What the two layer rules share.</summary>
internal static class Layers
{
    /// <summary>Attributes of a layer with real output.</summary>
    public static void Describe(AttributeMap attributes, Quantization data, QuantizedWeight weight, float[] multipliers)
    {
        attributes["x_zero_point"] = (long)data.ZeroPoint;
        if (weight.ZeroPoints.Length > 0) attributes["w_zero_points"] = Array.ConvertAll(weight.ZeroPoints, zero => (long)zero);
        attributes["output"] = "float32";
        attributes["multipliers"] = multipliers;
    }

    /// <summary>Adds strides, dilations and pads to <paramref name="attributes"/>, auto_pad resolved; returns why not.</summary>
    public static string? Window(Node node, ReadOnlySpan<int> kernel, AttributeMap attributes)
    {
        int spatial = kernel.Length;
        string autoPad = node.Attributes.String("auto_pad", "NOTSET");
        if (autoPad is "NOTSET" or "")
        {
            attributes["strides"] = node.Attributes.Ints("strides") ?? [.. Enumerable.Repeat(1L, spatial)];
            attributes["dilations"] = node.Attributes.Ints("dilations") ?? [.. Enumerable.Repeat(1L, spatial)];
            attributes["pads"] = node.Attributes.Ints("pads") ?? new long[2 * spatial];
            return null;
        }
        if (node.Inputs[0]!.Type is not { IsConcrete: true } type) return "auto_pad needs known extents";
        WindowAxis[] axes = WindowReader.Read(new InferContext(node, [.. node.Inputs.Select(input => input?.Type)], _ => null), type.ConcreteShape().AsSpan(2), kernel);
        attributes["strides"] = Array.ConvertAll(axes, axis => (long)axis.Stride);
        attributes["dilations"] = Array.ConvertAll(axes, axis => (long)axis.Dilation);
        attributes["pads"] = new List<long>([.. axes.Select(axis => (long)axis.PadBegin), .. axes.Select(axis => (long)axis.PadEnd)]).ToArray();
        return null;
    }

    /// <summary>Output channels of a layer.</summary>
    public static int Channels(Node layer)
    {
        Tensor w = layer.Inputs[1]!.Constant!;
        return w.Shape[LoweringContext.IsLowered(layer, "QGemm") && layer.Attributes.Int("transB") == 0 ? 1 : 0];
    }

    /// <summary>The axis of output channels in the layer's output while it is lowered: 1 for images, the last for products.</summary>
    public static int ChannelAxis(Node layer) => LoweringContext.IsLowered(layer, "QConv") ? 1 : layer.Output.Type.Rank - 1;

    /// <summary>One number per output channel from a constant that broadcasts along all other axes of the layer's output, or null.</summary>
    public static float[]? PerChannel(Node layer, Tensor constant)
    {
        int rank = layer.Output.Type.Rank, channels = Channels(layer);
        if (rank < 0 || constant.Rank > rank) return null;
        int axis = ChannelAxis(layer) - (rank - constant.Rank);
        for (int i = 0; i < constant.Rank; i++)
            if (constant.Shape[i] != 1 && (i != axis || constant.Shape[i] != channels)) return null;
        float[] values = constant.ToFloat32Array();
        return values.Length == channels ? values : [.. Enumerable.Repeat(values[0], channels)];
    }
}

/// <summary>Biases in units of the accumulator.</summary>
internal static class Bias
{
    /// <summary>A folded bias stays inside ±2³⁰, so that it leaves the accumulator half its range.</summary>
    private const double Largest = 1 << 30;

    /// <summary>
    /// A channel whose weights are all zero accumulates nothing, so that its scale is free: its bias is stored with this many steps, which keeps
    /// 24 bits of it, all that float32 has.
    /// </summary>
    private const double StepsOfDeadChannel = 1 << 24;

    /// <summary>The bias in real units: empty without one, null where it is no constant or has another number of elements.</summary>
    public static double[]? Real(LoweringContext c, Value? value, int channels)
    {
        if (value is null) return [];
        Tensor? constant = value.Constant;
        double[] real;
        if (constant is not null)
        {
            if (!constant.Type.IsFloat()) return null;
            real = Array.ConvertAll(constant.ToFloat32Array(), number => (double)number);
        }
        else if (value.Producer is { } node && LoweringContext.IsDequantize(node) && node.Inputs.All(input => input is null or { IsConstant: true }))
        {
            constant = node.Inputs[0]!.Constant!;
            if (constant.Type == DataType.Int32 && node.Input(1)!.Constant is { } scale && (scale.Length == 1 || scale.Length == constant.Length)
                && node.Input(2)?.Constant is var zero && (zero is null || zero.ToInt64Array().All(number => number == 0)))
            {
                float[] scales = scale.ToFloat32Array();
                real = Array.ConvertAll(constant.Span<int>().ToArray(), number => (double)number);
                for (int i = 0; i < real.Length; i++) real[i] *= scales[scales.Length == 1 ? 0 : i];
            }
            else
            {
                real = Array.ConvertAll(c.Evaluate(node, [.. node.Inputs.Select(input => input?.Constant)]).ToFloat32Array(), number => (double)number);
            }
        }
        else
        {
            return null;
        }
        if (constant.Length == 1 && channels != 1) return [.. Enumerable.Repeat(real[0], channels)];
        return constant.Length == channels && (constant.Rank == 0 || constant.Shape[^1] == channels) ? real : null;
    }

    /// <summary>Divides a real bias by the accumulator's steps, rounding half to even.</summary>
    /// <param name="weight">The layer's weight.</param>
    /// <param name="axis">Its axis of output channels.</param>
    /// <param name="bias">Real bias per channel, or empty.</param>
    /// <param name="multipliers">Real units per accumulator step, 1 or one per channel; channels without a weight other than zero may get another.</param>
    /// <param name="integers">Receives the bias, empty for none.</param>
    /// <param name="reason">Why it cannot be.</param>
    public static bool Fold(QuantizedWeight weight, int axis, double[] bias, ref float[] multipliers, out int[] integers, out string reason)
    {
        reason = "";
        integers = new int[bias.Length];
        foreach (float multiplier in multipliers)
        {
            if (multiplier != 0 && float.IsNormal(multiplier)) continue;
            reason = $"the product of its scales, {multiplier}, is no normal number";
            return false;
        }
        for (int o = 0; o < bias.Length; o++)
        {
            double steps = Math.Round(bias[o] / multipliers[multipliers.Length == 1 ? 0 : o], MidpointRounding.ToEven);
            if (!double.IsFinite(steps))
            {
                reason = "its bias is not finite";
                return false;
            }
            if (Math.Abs(steps) > Largest)
            {
                if (!IsDead(weight, axis, o))
                {
                    reason = $"the bias of channel {o} is {steps:g3} accumulator steps, above 2^30";
                    return false;
                }
                if (multipliers.Length == 1) multipliers = [.. Enumerable.Repeat(multipliers[0], bias.Length)];
                multipliers[o] = (float)(Math.Abs(bias[o]) / StepsOfDeadChannel);
                steps = Math.Round(bias[o] / multipliers[o], MidpointRounding.ToEven);
            }
            integers[o] = (int)steps;
        }
        return true;
    }

    /// <summary>Whether every weight of output channel <paramref name="o"/> is its zero point.</summary>
    private static bool IsDead(QuantizedWeight weight, int axis, int o)
    {
        Tensor w = weight.W.Constant!;
        int zero = weight.ZeroPoints.Length == 0 ? 0 : weight.ZeroPoints[weight.ZeroPoints.Length == 1 ? 0 : o];
        int inner = 1;
        for (int i = axis + 1; i < w.Rank; i++) inner *= w.Shape[i];
        int channels = w.Shape[axis];
        bool signed = w.Type is DataType.Int8 or DataType.Int4 or DataType.Int2;
        ReadOnlySpan<byte> bytes = w.Span<byte>();
        for (int i = 0; i < bytes.Length; i++)
        {
            if (i / inner % channels == o && (signed ? (sbyte)bytes[i] : bytes[i]) != zero) return false;
        }
        return true;
    }
}
