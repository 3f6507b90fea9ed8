using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>Relu and Clip behind a value, as limits.</summary>
internal static class Clamps
{
    /// <summary>The limits of <paramref name="node"/>, or null where it is no Relu or Clip with constant limits.</summary>
    public static (float Low, float High)? Of(Node? node)
    {
        if (node is null) return null;
        if (node.Is("Relu")) return (0, float.PositiveInfinity);
        if (!node.Is("Clip")) return null;
        const int limitsAreInputs = 11;
        float low = float.NegativeInfinity, high = float.PositiveInfinity;
        if (node.Opset < limitsAreInputs)
        {
            low = node.Attributes.Float("min", low);
            high = node.Attributes.Float("max", high);
        }
        else
        {
            if (node.Input(1) is { } min)
            {
                if (LoweringContext.Scalar(min) is not { } value) return null;
                low = value;
            }
            if (node.Input(2) is { } max)
            {
                if (LoweringContext.Scalar(max) is not { } value) return null;
                high = value;
            }
        }
        return low <= high ? (low, high) : null;
    }

    /// <summary>
    /// Follows <paramref name="value"/> through at most one Relu or Clip to the QuantizeLinear that alone reads it.
    /// </summary>
    /// <returns>The QuantizeLinear, its grid, the limits on that grid, and the nodes on the way; or null.</returns>
    public static (Node Quantize, Quantization Grid, int Low, int High, Node[] Between)? ToQuantize(LoweringContext c, Value value)
    {
        Node? reader = c.OnlyReader(value);
        (float Low, float High) limits = (float.NegativeInfinity, float.PositiveInfinity);
        Node[] between = [];
        if (Of(reader) is { } found && ReferenceEquals(reader!.Inputs[0], value))
        {
            limits = found;
            between = [reader];
            reader = c.OnlyReader(reader.Output);
        }
        if (reader is null || LoweringContext.QuantizeGrid(reader) is not { } grid) return null;
        (int low, int high) = OnGrid(limits.Low, limits.High, grid);
        return (reader, grid, low, high, between);
    }

    /// <summary>Limits of real values on a grid. Quantization is increasing, so that clamping before it and behind it is the same.</summary>
    public static (int Low, int High) OnGrid(float low, float high, Quantization grid) =>
        (LinearQuantization.Quantize(low, grid.Scale, grid.ZeroPoint, 0, 255), LinearQuantization.Quantize(high, grid.Scale, grid.ZeroPoint, 0, 255));
}

/// <summary><c>Add(layer, constant per channel)</c> → the layer's bias.</summary>
internal sealed class BiasInEpilogue : LoweringRule
{
    public override string Name => "bias-in-epilogue";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!node.Is("Add")) return LoweringResult.None;
        for (int side = 0; side < 2; side++)
        {
            if (c.FloatLayer(node.Inputs[side]) is not { } layer || Constant(c, node.Inputs[1 - side]) is not { } constant) continue;
            if (layer.Input(LayerEpilogue.Sum) is not null || layer.Attributes.Contains("lo")) return LoweringResult.None;
            if (Layers.PerChannel(layer, constant) is not { } real || layer.Output.Type.Rank != node.Output.Type.Rank) return LoweringResult.None;
            float[] multipliers = layer.Attributes.Floats("multipliers")!;
            var weight = new QuantizedWeight(layer.Inputs[1]!, [], Array.ConvertAll(layer.Attributes.Ints("w_zero_points") ?? [], zero => (int)zero));
            double[] bias = Array.ConvertAll(real, number => (double)number);
            if (layer.Input(LayerEpilogue.Bias)?.Constant is { } present)
            {
                for (int o = 0; o < bias.Length; o++) bias[o] += present.Span<int>()[o] * (double)multipliers[multipliers.Length == 1 ? 0 : o];
            }
            if (!Bias.Fold(weight, Layers.WeightAxis(layer), bias, ref multipliers, out int[] integers, out string reason)) return LoweringResult.Refuse(reason);
            AttributeMap attributes = layer.Attributes.Copy();
            attributes["multipliers"] = multipliers;
            Value value = c.Editor.AddConstant(node.Name + "/bias", Tensor.Create(integers, integers.Length));
            c.Replace(node.Output, c.Add(layer.OperatorType, [layer.Inputs[0], layer.Inputs[1], value], attributes, node, node.Output.Type, [layer, node]));
            return LoweringResult.Done;
        }
        return LoweringResult.None;
    }

    private static Tensor? Constant(LoweringContext c, Value? value)
    {
        if (value?.Constant is { Type: DataType.Float32 } tensor) return tensor;
        return value?.Producer is { } node && LoweringContext.IsDequantize(node) && node.Inputs.All(input => input is null or { IsConstant: true })
            ? c.Evaluate(node, [.. node.Inputs.Select(input => input?.Constant)]) : null;
    }
}

/// <summary><c>Mul(layer, constant per channel)</c>, <c>Div(layer, constant per channel)</c> and <c>BatchNormalization(layer)</c> → the layer's multipliers and bias.</summary>
internal sealed class ScaleInEpilogue : LoweringRule
{
    public override string Name => "scale-in-epilogue";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (node.Is("BatchNormalization"))
        {
            if (c.FloatLayer(node.Inputs[0]) is not { } layer || Layers.ChannelAxis(layer) != 1 || node.Outputs.Count(output => output is not null) != 1 || node.Attributes.Int("training_mode") != 0) return LoweringResult.None;
            float[][] parameters = new float[4][];
            for (int i = 0; i < 4; i++)
            {
                if (node.Inputs[i + 1]?.Constant is not { } tensor) return LoweringResult.Refuse("its parameters are computed at run time");
                parameters[i] = tensor.ToFloat32Array();
            }
            float epsilon = node.Attributes.Float("epsilon", 1e-5f);
            double[] factors = [.. parameters[0].Zip(parameters[3], (gamma, variance) => gamma / Math.Sqrt(variance + (double)epsilon))];
            double[] shifts = [.. Enumerable.Range(0, factors.Length).Select(o => parameters[1][o] - parameters[2][o] * factors[o])];
            return Fold(layer, factors, shifts, node, c);
        }
        bool divide = node.Is("Div");
        if (!divide && !node.Is("Mul")) return LoweringResult.None;
        for (int side = 0; side < (divide ? 1 : 2); side++)
        {
            if (c.FloatLayer(node.Inputs[side]) is not { } layer || node.Inputs[1 - side]?.Constant is not { Type: DataType.Float32 } constant) continue;
            if (Layers.PerChannel(layer, constant) is not { } factors || layer.Output.Type.Rank != node.Output.Type.Rank) return LoweringResult.None;
            if (factors.Any(factor => !float.IsFinite(factor) || factor == 0)) return LoweringResult.Refuse("it scales by a number that is zero or not finite");
            return Fold(layer, Array.ConvertAll(factors, factor => divide ? 1 / (double)factor : factor), new double[factors.Length], node, c);
        }
        return LoweringResult.None;
    }

    private static LoweringResult Fold(Node layer, double[] factors, double[] shifts, Node node, LoweringContext c)
    {
        if (layer.Input(LayerEpilogue.Sum) is not null || layer.Attributes.Contains("lo")) return LoweringResult.None;
        float[] old = layer.Attributes.Floats("multipliers")!;
        bool uniform = old.Length == 1 && factors.All(factor => factor == factors[0]) && shifts.All(shift => shift == 0) && layer.Input(LayerEpilogue.Bias) is null;
        if (uniform)
        {
            float product = (float)(old[0] * factors[0]);
            if (!float.IsNormal(product)) return LoweringResult.Refuse($"the product of its scales, {product}, is no normal number");
            AttributeMap scaled = layer.Attributes.Copy();
            scaled["multipliers"] = new[] { product };
            c.Replace(node.Output, c.Add(layer.OperatorType, [.. layer.Inputs], scaled, node, node.Output.Type, [layer, node]));
            return LoweringResult.Done;
        }
        float[] multipliers = [.. Enumerable.Range(0, factors.Length).Select(o => (float)(old[old.Length == 1 ? 0 : o] * factors[o]))];
        var bias = new double[factors.Length];
        ReadOnlySpan<int> present = layer.Input(LayerEpilogue.Bias)?.Constant is { } tensor ? tensor.Span<int>() : default;
        for (int o = 0; o < bias.Length; o++) bias[o] = shifts[o] + (present.Length == 0 ? 0 : present[o] * old[old.Length == 1 ? 0 : o] * factors[o]);
        var weight = new QuantizedWeight(layer.Inputs[1]!, [], Array.ConvertAll(layer.Attributes.Ints("w_zero_points") ?? [], zero => (int)zero));
        if (!Bias.Fold(weight, Layers.WeightAxis(layer), bias, ref multipliers, out int[] integers, out string reason)) return LoweringResult.Refuse(reason);
        AttributeMap attributes = layer.Attributes.Copy();
        attributes["multipliers"] = multipliers;
        Value value = c.Editor.AddConstant(node.Name + "/bias", Tensor.Create(integers, integers.Length));
        c.Replace(node.Output, c.Add(layer.OperatorType, [layer.Inputs[0], layer.Inputs[1], value], attributes, node, node.Output.Type, [layer, node]));
        return LoweringResult.Done;
    }
}

/// <summary><c>Relu(layer)</c> and <c>Clip(layer)</c> → limits of the layer's real output.</summary>
internal sealed class ClampInEpilogue : LoweringRule
{
    public override string Name => "clamp-in-epilogue";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (Clamps.Of(node) is not { } limits || c.FloatLayer(node.Inputs[0]) is not { } layer) return LoweringResult.None;
        AttributeMap attributes = layer.Attributes.Copy();
        float low = attributes.Float("lo", float.NegativeInfinity), high = attributes.Float("hi", float.PositiveInfinity);
        attributes["lo"] = Math.Clamp(low, limits.Low, limits.High);
        attributes["hi"] = Math.Clamp(high, limits.Low, limits.High);
        c.Replace(node.Output, c.Add(layer.OperatorType, [.. layer.Inputs], attributes, node, node.Output.Type, [layer, node]));
        return LoweringResult.Done;
    }
}

/// <summary><c>Q([clamp](layer + DequantizeLinear(s)))</c> → the layer with a sum operand, added to the unrounded product.</summary>
internal sealed class SumInEpilogue : LoweringRule
{
    public override string Name => "sum-in-epilogue";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!node.Is("Add")) return LoweringResult.None;
        for (int side = 1; side >= 0; side--)
        {
            if (Operands(node, side, c, out LoweringResult refusal) is not var (layer, other))
            {
                if (refusal.Reason is not null) return refusal;
                continue;
            }
            if (LoweringContext.Source(other) is not { } source || Clamps.ToQuantize(c, node.Output) is not var (quantize, grid, low, high, between)) continue;
            AttributeMap attributes = layer.Attributes.Copy();
            ToBytes(attributes, grid, low, high);
            attributes["sum_zero_point"] = (long)source.Grid.ZeroPoint;
            attributes["sum_multiplier"] = source.Grid.Scale / grid.Scale;
            c.Replace(quantize.Output, c.Add(layer.OperatorType, [layer.Inputs[0], layer.Inputs[1], layer.Input(LayerEpilogue.Bias), c.Bytes(source)], attributes, quantize, quantize.Output.Type, [layer, node, .. between]));
            return LoweringResult.Done;
        }
        return LoweringResult.None;
    }

    /// <summary>The layer on one side of a sum and the value on the other; null where there is no such layer, with a refusal where it cannot take the sum.</summary>
    internal static (Node Layer, Value Other)? Operands(Node node, int side, LoweringContext c, out LoweringResult refusal)
    {
        refusal = LoweringResult.None;
        Value? other = node.Inputs[1 - side];
        if (c.FloatLayer(node.Inputs[side]) is not { } layer || other is null || other.IsConstant || ReferenceEquals(other, node.Inputs[side])) return null;
        if (layer.Input(LayerEpilogue.Sum) is not null) return null;
        if (layer.Attributes.Contains("lo")) refusal = LoweringResult.Refuse("the convolution in front is clamped before the sum");
        else if (!node.Output.Type.IsConcrete) refusal = LoweringResult.Refuse("its extents are not known");
        else if (!other.Type.Equals(node.Output.Type) || !layer.Output.Type.Equals(node.Output.Type)) refusal = LoweringResult.Refuse("its operands have different shapes");
        else return (layer, other);
        return null;
    }

    /// <summary>Turns a layer's real output into bytes of <paramref name="grid"/>.</summary>
    internal static void ToBytes(AttributeMap attributes, Quantization grid, int low, int high)
    {
        attributes["output"] = "uint8";
        attributes["multipliers"] = Array.ConvertAll(attributes.Floats("multipliers")!, multiplier => multiplier / grid.Scale);
        attributes["y_zero_point"] = (long)grid.ZeroPoint;
        attributes["lo"] = (long)low;
        attributes["hi"] = (long)high;
    }
}

/// <summary><c>layer + s</c> where the sum is not quantized or s is a float value → the layer adds it in float and keeps its real output. Only once no quantization can reach the sum any more.</summary>
internal sealed class FloatSumInEpilogue : LoweringRule
{
    public override string Name => "float-sum-in-epilogue";

    public override int Phase => 2;

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!node.Is("Add")) return LoweringResult.None;
        // The later of two layers takes the other as its operand.
        for (int side = 1; side >= 0; side--)
        {
            if (SumInEpilogue.Operands(node, side, c, out _) is not var (layer, other)) continue;
            c.Replace(node.Output, c.Add(layer.OperatorType, [layer.Inputs[0], layer.Inputs[1], layer.Input(LayerEpilogue.Bias), other], layer.Attributes.Copy(), node, node.Output.Type, [layer, node]));
            return LoweringResult.Done;
        }
        return LoweringResult.None;
    }
}

/// <summary><c>QuantizeLinear(layer)</c> → the layer writes bytes: one multiplication by <c>sx·sw[o]/sy</c>.</summary>
internal sealed class QuantizeOutput : LoweringRule
{
    public override string Name => "quantize-output";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (LoweringContext.QuantizeGrid(node) is not { } grid || c.FloatLayer(node.Inputs[0]) is not { } layer || layer.Input(LayerEpilogue.Sum) is not null) return LoweringResult.None;
        AttributeMap attributes = layer.Attributes.Copy();
        if (attributes.Floats("multipliers")!.Any(multiplier => !(MathF.Abs(multiplier / grid.Scale) <= Kernels.Requantize.QEpilogue.LargestMultiplier)))
            return LoweringResult.Refuse("the ratio of its scales is out of range");
        (int low, int high) = Clamps.OnGrid(attributes.Float("lo", float.NegativeInfinity), attributes.Float("hi", float.PositiveInfinity), grid);
        SumInEpilogue.ToBytes(attributes, grid, low, high);
        c.Replace(node.Output, c.Add(layer.OperatorType, [.. layer.Inputs], attributes, node, node.Output.Type, [layer]));
        return LoweringResult.Done;
    }
}

/// <summary><c>QAdd(layer, s)</c> → the layer with a sum operand behind its own quantization, bit for bit the same.</summary>
/// <remarks>Only where nobody else reads the layer's bytes, since they are not stored any more.</remarks>
internal sealed class AddInEpilogue : LoweringRule
{
    public override string Name => "add-in-epilogue";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!LoweringContext.IsLowered(node, "QAdd")) return LoweringResult.None;
        for (int side = 1; side >= 0; side--)
        {
            Value first = node.Inputs[side]!, other = node.Inputs[1 - side]!;
            if (first.Producer is not { } layer || !LoweringContext.IsLayer(layer) || first.SingleUse is null || layer.Attributes.String("output") != "uint8") continue;
            if (layer.Attributes.Contains("table") || layer.Input(LayerEpilogue.Sum) is not null || other.IsConstant) continue;
            if (!node.Output.Type.IsConcrete || !first.Type.Equals(node.Output.Type) || !other.Type.Equals(node.Output.Type)) continue;
            (string a, string b) = side == 0 ? ("a", "b") : ("b", "a");
            float scale = node.Attributes.Float("y_scale");
            AttributeMap attributes = layer.Attributes.Copy();
            attributes["mid_multipliers"] = attributes.Floats("multipliers");
            attributes["mid_zero_point"] = attributes.Int("y_zero_point");
            attributes["mid_lo"] = attributes.Int("lo");
            attributes["mid_hi"] = attributes.Int("hi", 255);
            attributes["mid_is_second"] = (long)side;
            attributes["mid_scale_ratio"] = node.Attributes.Float(a + "_scale") / scale;
            attributes["sum_multiplier"] = node.Attributes.Float(b + "_scale") / scale;
            attributes["sum_zero_point"] = node.Attributes.Int(b + "_zero_point");
            foreach (string name in (ReadOnlySpan<string>)["y_zero_point", "lo", "hi"]) attributes[name] = node.Attributes.Int(name, name == "hi" ? 255 : 0);
            attributes["multipliers"] = null;
            c.Replace(node.Output, c.Add(layer.OperatorType, [layer.Inputs[0], layer.Inputs[1], layer.Input(LayerEpilogue.Bias), other], attributes, node, node.Output.Type, [layer, node]));
            return LoweringResult.Done;
        }
        return LoweringResult.None;
    }
}

/// <summary><c>QTable(layer)</c> → the table in the layer's epilogue, or its limits where the table is a clamp.</summary>
internal sealed class TableInEpilogue : LoweringRule
{
    public override string Name => "table-in-epilogue";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!LoweringContext.IsLowered(node, "QTable") || node.Inputs[0] is not { Producer: { } layer, SingleUse: not null } || !ReferenceEquals(layer.Graph, c.Graph)) return LoweringResult.None;
        if (node.Attributes.Contains("axis")) return LoweringResult.None;   // an epilogue has one table for all channels
        byte[] table = node.Attributes.Tensor("table")!.Span<byte>().ToArray();
        bool isLayer = LoweringContext.IsLayer(layer) && layer.Attributes.String("output") == "uint8" && !layer.Attributes.Contains("table");
        bool isPair = LoweringContext.IsPair(layer);
        AttributeMap attributes = layer.Attributes.Copy();
        if ((isLayer || isPair) && ByteTables.AsClamp(table) is var (low, high))
        {
            attributes["lo"] = Math.Clamp(attributes.Int("lo"), low, high);
            attributes["hi"] = Math.Clamp(attributes.Int("hi", 255), low, high);
        }
        else if (isLayer)
        {
            attributes["table"] = node.Attributes.Tensor("table");
        }
        else
        {
            return LoweringResult.None;
        }
        c.Replace(node.Output, c.Add(layer.OperatorType, [.. layer.Inputs], attributes, node, node.Output.Type, [layer, node]));
        return LoweringResult.Done;
    }
}
