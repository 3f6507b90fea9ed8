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
        if (!node.Is("Conv")) return LoweringResult.None;
        if (LoweringContext.Source(node.Inputs[0]) is not { } source) return LoweringResult.Refuse(LoweringContext.WhyNoSource(node.Inputs[0], "its data"));
        if (LoweringContext.FindWeight(node.Input(1), 0, out QuantizedWeight weight) is { } why) return LoweringResult.Refuse(why);
        if (Geometry(node, weight.W.Constant!, out AttributeMap attributes) is { } problem) return LoweringResult.Refuse(problem);
        if (Bias.Real(c, node.Input(2), weight.W.Constant!.Shape[0]) is not { } bias) return LoweringResult.Refuse("its bias is computed at run time");

        float[] multipliers = Array.ConvertAll(weight.Scales, scale => source.Grid.Scale * scale);
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
        attributes["kernel_shape"] = Array.ConvertAll(w.Shape[2..].ToArray(), extent => (long)extent);
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
        if (QuantizeComputedProduct.IsCase(node)) return LoweringResult.None;
        if (LoweringContext.Source(node.Inputs[0]) is not { } source) return LoweringResult.Refuse(LoweringContext.WhyNoSource(node.Inputs[0], "its data"));
        if (source.Q.IsConstant) return LoweringResult.Refuse("its left operand is constant");
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

        float[] multipliers = Array.ConvertAll(weight.Scales, scale => alpha == 1 ? source.Grid.Scale * scale : alpha * (source.Grid.Scale * scale));
        if (!Bias.Fold(weight, axis, bias, ref multipliers, out int[] integers, out string reason)) return LoweringResult.Refuse(reason);
        var attributes = new AttributeMap();
        if (transposed) attributes["transB"] = 1L;
        Layers.Describe(attributes, source.Grid, weight, multipliers);
        Value? biasValue = integers.Length == 0 ? null : c.Editor.AddConstant(node.Name + "/bias", Tensor.Create(integers, integers.Length));
        c.Replace(node.Output, c.Add("QGemm", [c.Bytes(source), weight.W, biasValue], attributes, node, node.Output.Type, [node]));
        return LoweringResult.Done;
    }
}

/// <summary><c>ConvTranspose(DequantizeLinear(x), DequantizeLinear(w), bias)</c> → QConvTranspose with real output, <c>acc · (sx·sw[o])</c>.</summary>
/// <remarks>The weight is turned from <c>[C, O/G, k…]</c> to <c>[O, C/G, k…]</c>; scales along its axis 1 hold for every group.</remarks>
internal sealed class QuantizeTransposedConvolution : LoweringRule
{
    public override string Name => "quantize-transposed-convolution";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!node.Is("ConvTranspose")) return LoweringResult.None;
        if (LoweringContext.Source(node.Inputs[0]) is not { } source) return LoweringResult.Refuse(LoweringContext.WhyNoSource(node.Inputs[0], "its data"));
        if (LoweringContext.FindWeight(node.Input(1), 1, out QuantizedWeight weight) is { } why) return LoweringResult.Refuse(why);
        Tensor w = weight.W.Constant!;
        int spatial = w.Rank - 2, groups = (int)Math.Clamp(node.Attributes.Int("group", 1), 1, int.MaxValue);
        if (spatial is < 1 or > 3) return LoweringResult.Refuse($"{spatial} spatial axes");
        if (node.Inputs[0]!.Type is not { IsConcrete: true } type || type.Rank != w.Rank) return LoweringResult.Refuse("its extents are not known");
        if (w.Shape[0] % groups != 0) return LoweringResult.Refuse("its groups do not divide its channels");
        int groupOut = w.Shape[1], channels = groupOut * groups;
        if (Bias.Real(c, node.Input(2), channels) is not { } bias) return LoweringResult.Refuse("its bias is computed at run time");

        weight = new QuantizedWeight(c.Editor.AddConstant(node.Name + "/turned", c.Options.Weights.Get(w, $"[O, C/G] of {groups} groups", () => Turn(w, groups))),
            PerGroup(weight.Scales, groups), PerGroup(weight.ZeroPoints, groups));
        WindowAxis[] axes = ConvolutionGeometry.TransposeAxes(new InferContext(node, [.. node.Inputs.Select(input => input?.Type)], _ => null), type.ConcreteShape().AsSpan(2), w.Shape[2..]);
        var attributes = new AttributeMap
        {
            ["group"] = (long)groups,
            ["kernel_shape"] = Array.ConvertAll(axes, axis => (long)axis.Kernel),
            ["strides"] = Array.ConvertAll(axes, axis => (long)axis.Stride),
            ["dilations"] = Array.ConvertAll(axes, axis => (long)axis.Dilation),
            ["pads"] = new List<long>([.. axes.Select(axis => (long)axis.PadBegin), .. axes.Select(axis => (long)axis.PadEnd)]).ToArray(),
            ["output_padding"] = Array.ConvertAll(axes, axis => axis.Output + axis.PadBegin + axis.PadEnd - (axis.Input == 0 ? 0 : (axis.Input - 1L) * axis.Stride + axis.Span)),
        };
        float[] multipliers = Array.ConvertAll(weight.Scales, scale => source.Grid.Scale * scale);
        if (!Bias.Fold(weight, 0, bias, ref multipliers, out int[] integers, out string reason)) return LoweringResult.Refuse(reason);
        Layers.Describe(attributes, source.Grid, weight, multipliers);
        Value? biasValue = integers.Length == 0 ? null : c.Editor.AddConstant(node.Name + "/bias", Tensor.Create(integers, integers.Length));
        c.Replace(node.Output, c.Add(QConvTranspose.Type, [c.Bytes(source), weight.W, biasValue], attributes, node, node.Output.Type, [node]));
        return LoweringResult.Done;
    }

    /// <summary><c>[C, O/G, taps]</c> → <c>[O, C/G, taps]</c>.</summary>
    private static Tensor Turn(Tensor w, int groups)
    {
        int[] shape = w.Shape.ToArray();
        int groupIn = shape[0] / groups, groupOut = shape[1], taps = Tensor.CountElements(shape[2..]);
        (shape[0], shape[1]) = (groupOut * groups, groupIn);
        var turned = new Tensor(w.Type, shape);
        ReadOnlySpan<byte> from = w.Span<byte>();
        Span<byte> to = turned.Span<byte>();
        for (int o = 0; o < groupOut * groups; o++)
            for (int i = 0; i < groupIn; i++)
                from.Slice(((o / groupOut * groupIn + i) * groupOut + o % groupOut) * taps, taps).CopyTo(to[((o * groupIn + i) * taps)..]);
        return turned;
    }

    private static T[] PerGroup<T>(T[] values, int groups) => values.Length <= 1 ? values : [.. Enumerable.Repeat(values, groups).SelectMany(one => one)];
}

/// <summary><c>MatMul</c>, or <c>Gemm</c> with an untransposed A, of two dequantized operands of which B is no constant matrix → QMatMul with real output, <c>acc · (α·sa·sb)</c>.</summary>
/// <remarks>Batched products and both products of attention; an operand may be a per-tensor constant.</remarks>
internal sealed class QuantizeComputedProduct : LoweringRule
{
    public override string Name => "quantize-computed-product";

    /// <summary>Whether the node's B is computed at run time, or constant but no matrix, so that <see cref="QuantizeProduct"/> has nothing to pack.</summary>
    public static bool IsCase(Node node) =>
        (node.Is("MatMul") || node.Is("Gemm")) && LoweringContext.Source(node.Input(1)) is { } b && (!b.Q.IsConstant || b.Q.Constant!.Rank != 2 || LoweringContext.Source(node.Input(0)) is { Q.IsConstant: true });

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!IsCase(node)) return LoweringResult.None;
        if (LoweringContext.Source(node.Inputs[0]) is not { } a) return LoweringResult.Refuse(LoweringContext.WhyNoSource(node.Inputs[0], "its left operand"));
        QuantizedSource b = LoweringContext.Source(node.Input(1))!.Value;
        bool gemm = node.Is("Gemm");
        if (a.Q.Type.Rank < 2 || b.Q.Type.Rank < 2) return LoweringResult.Refuse("an operand has fewer than two axes, or how many is not known");
        if (gemm && node.Attributes.Int("transA") != 0) return LoweringResult.Refuse("its data is transposed");
        float alpha = gemm ? node.Attributes.Float("alpha", 1) : 1, beta = gemm ? node.Attributes.Float("beta", 1) : 1;
        if (!float.IsFinite(alpha) || alpha == 0) return LoweringResult.Refuse($"alpha is {alpha}");
        var attributes = new AttributeMap();
        bool transposed = gemm && node.Attributes.Int("transB") != 0;
        if (transposed) attributes["transB"] = 1L;
        double[]? bias = [];
        if (gemm && node.Input(2) is { } addend)
        {
            Dim columns = b.Q.Type.Shape!.Value[^(transposed ? 2 : 1)];
            if (!columns.IsKnown || Bias.Real(c, addend, (int)columns.Value) is not { } real) return LoweringResult.Refuse("its bias is computed at run time, or is not one number per column");
            bias = Array.ConvertAll(real, number => number * beta);
        }
        float scale = a.Grid.Scale * b.Grid.Scale;
        float[] multipliers = [alpha == 1 ? scale : alpha * scale];
        if (!Bias.Fold(new QuantizedWeight(b.Q, [], []), 0, bias, ref multipliers, out int[] integers, out string reason)) return LoweringResult.Refuse(reason);
        Layers.Describe(attributes, a.Grid, default(QuantizedWeight) with { ZeroPoints = [] }, multipliers);
        attributes["b_zero_point"] = (long)b.Grid.ZeroPoint;
        Value? biasValue = integers.Length == 0 ? null : c.Editor.AddConstant(node.Name + "/bias", Tensor.Create(integers, integers.Length));
        c.Replace(node.Output, c.Add(QMatMul.Type, [c.Bytes(a), c.Bytes(b), biasValue], attributes, node, node.Output.Type, [node]));
        return LoweringResult.Done;
    }
}

/// <summary>What the layer rules share.</summary>
internal static class Layers
{
    /// <summary>An array of equal elements.</summary>
    public static T[] Repeat<T>(T value, int count) where T : unmanaged
    {
        var values = new T[count];
        for (int i = 0; i < count; i++) values[i] = value;
        return values;
    }

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
            long[] ones = Repeat(1L, spatial);
            attributes["strides"] = node.Attributes.Ints("strides") ?? ones;
            attributes["dilations"] = node.Attributes.Ints("dilations") ?? ones;
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

    /// <summary>Output channels of a layer; −1 while they are not known.</summary>
    public static int Channels(Node layer)
    {
        if (LoweringContext.IsLowered(layer, QMatMul.Type)) return layer.Output.Type.Shape is { Length: > 0 } y && y[^1].IsKnown ? (int)y[^1].Value : -1;
        return layer.Inputs[1]!.Constant!.Shape[WeightAxis(layer)];
    }

    /// <summary>The axis of output channels in a layer's constant weight.</summary>
    public static int WeightAxis(Node layer) => LoweringContext.IsLowered(layer, "QGemm") && layer.Attributes.Int("transB") == 0 ? 1 : 0;

    /// <summary>The axis of output channels in the layer's output while it is lowered: 1 for images, the last for products.</summary>
    public static int ChannelAxis(Node layer) => LoweringContext.IsLowered(layer, "QConv") || LoweringContext.IsLowered(layer, QConvTranspose.Type) ? 1 : layer.Output.Type.Rank - 1;

    /// <summary>One number per output channel from a constant that broadcasts along all other axes of the layer's output, or null.</summary>
    public static float[]? PerChannel(Node layer, Tensor constant)
    {
        int rank = layer.Output.Type.Rank, channels = Channels(layer);
        if (rank < 0 || channels < 0 || constant.Rank > rank) return null;
        int axis = ChannelAxis(layer) - (rank - constant.Rank);
        for (int i = 0; i < constant.Rank; i++)
            if (constant.Shape[i] != 1 && (i != axis || constant.Shape[i] != channels)) return null;
        float[] values = constant.ToFloat32Array();
        return values.Length == channels ? values : Layers.Repeat(values[0], channels);
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
        if (constant.Length == 1 && channels != 1) return Layers.Repeat(real[0], channels);
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
                if (multipliers.Length == 1) multipliers = Layers.Repeat(multipliers[0], bias.Length);
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
        if (weight.W.Constant is not { } w) return false;   // a computed operand has no dead channel
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
