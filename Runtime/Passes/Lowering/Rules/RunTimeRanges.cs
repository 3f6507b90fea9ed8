using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>LSTM</c>, <c>GRU</c> and <c>RNN</c> whose W and R are dequantized 8-bit constants → DynamicQuantizeLSTM, DynamicQuantizeGRU, DynamicQuantizeRNN.</summary>
/// <remarks>The weights stay integers; X and every hidden state are quantized by their own range, gates and states stay float32.</remarks>
internal sealed class QuantizeRecurrent : LoweringRule
{
    /// <summary>Position of the first parameter of the weights in the integer forms.</summary>
    private const int Parameters = 8;

    public override string Name => "quantize-recurrent";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        (string type, string domain) = node switch
        {
            _ when node.Is("LSTM") => ("DynamicQuantizeLSTM", Operator.MicrosoftDomain),
            _ when node.Is("GRU") => (DynamicQuantizeGru.Type, Operator.OctetDomain),
            _ when node.Is("RNN") => (DynamicQuantizeRnn.Type, Operator.OctetDomain),
            _ => ("", ""),
        };
        if (type.Length == 0) return LoweringResult.None;
        if (node.Attributes.Int("layout") != 0) return LoweringResult.Refuse("its batch comes first");
        var inputs = new Value?[Parameters + 4];
        for (int i = 0; i < Math.Min(Parameters, node.Inputs.Count); i++) inputs[i] = node.Inputs[i];
        for (int i = 0; i < 2; i++)
        {
            if (LoweringContext.FindWeight(node.Input(1 + i), 1, out QuantizedWeight weight) is { } why) return LoweringResult.Refuse(why);
            Tensor w = weight.W.Constant!;
            if (w.Rank != 3 || w.Type is not (DataType.Int8 or DataType.UInt8)) return LoweringResult.Refuse($"its weight is {w}, not 8-bit with three axes");
            int directions = w.Shape[0], columns = w.Shape[1];
            Tensor turned = c.Options.Weights.Get(w, "depth before gates", () => Turn(w));
            inputs[1 + i] = c.Editor.AddConstant(node.Name + (i == 0 ? "/w" : "/r"), turned);
            float[] scales = [.. Enumerable.Repeat(weight.Scales, directions).SelectMany(one => one)];
            int[] shape = weight.Scales.Length == 1 ? [directions] : [directions, columns];
            inputs[Parameters + 2 * i] = c.Editor.AddConstant(node.Name + (i == 0 ? "/w_scale" : "/r_scale"), Tensor.Create(scales, shape));
            if (weight.ZeroPoints.Length == 0) continue;
            byte[] zeros = new byte[scales.Length];
            for (int at = 0; at < zeros.Length; at++) zeros[at] = (byte)weight.ZeroPoints[weight.ZeroPoints.Length == 1 ? 0 : at % columns];
            inputs[Parameters + 1 + 2 * i] = c.Editor.AddConstant(node.Name + (i == 0 ? "/w_zero_point" : "/r_zero_point"), new Tensor(w.Type, shape, zeros));
        }
        AttributeMap attributes = node.Attributes.Copy();
        attributes["layout"] = null;
        Value?[] outputs = [.. node.Outputs.Select(output => output is null ? null : c.Editor.AddValue(output.Name + "/integer", output.Type))];
        Node made = c.Editor.AddNode(type, inputs, outputs, attributes, domain, node.Name, node);
        c.Note(made, node);
        for (int i = 0; i < outputs.Length; i++)
        {
            if (node.Outputs[i] is not { } old) continue;
            string name = old.Name;
            c.Editor.ReplaceUses(old, outputs[i]!);
            c.Editor.Rename(old, name + "/float");
            c.Editor.Rename(outputs[i]!, name);
        }
        c.RemoveUnread(node);
        return LoweringResult.Done;
    }

    /// <summary><c>[D, G·H, K]</c> → <c>[D, K, G·H]</c>.</summary>
    private static Tensor Turn(Tensor w)
    {
        (int directions, int columns, int depth) = (w.Shape[0], w.Shape[1], w.Shape[2]);
        var turned = new Tensor(w.Type, [directions, depth, columns]);
        ReadOnlySpan<byte> from = w.Span<byte>();
        Span<byte> to = turned.Span<byte>();
        for (int d = 0; d < directions; d++)
            for (int n = 0; n < columns; n++)
                for (int k = 0; k < depth; k++) to[(d * depth + k) * columns + n] = from[(d * columns + n) * depth + k];
        return turned;
    }
}

/// <summary><c>Cast(MatMulInteger(DynamicQuantizeLinear(x), w)) · (sx · sw)</c> → DynamicQuantizeMatMul, and a constant per column added behind it joins as its bias; the same bits.</summary>
internal sealed class FuseRunTimeProduct : LoweringRule
{
    /// <summary>Position of the bias of DynamicQuantizeMatMul.</summary>
    private const int Bias = 4;

    public override string Name => "fuse-run-time-product";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (node.Is("Add")) return AddBias(node, c);
        if (!node.Is("Mul")) return LoweringResult.None;
        for (int side = 0; side < 2; side++)
        {
            if (node.Inputs[side]?.Producer is not { } cast || !cast.Is("Cast") || c.OnlyReader(cast.Output) is null || cast.Attributes.Int("to") != (long)DataType.Float32) continue;
            if (cast.Inputs[0]?.Producer is not { } product || !product.Is("MatMulInteger") || c.OnlyReader(product.Output) is null) continue;
            if (node.Inputs[1 - side]?.Producer is not { } scale || !scale.Is("Mul")) continue;
            if (product.Inputs[0]?.Producer is not { } quantize || !quantize.Is("DynamicQuantizeLinear") || !ReferenceEquals(product.Input(2), quantize.Outputs[2])) return LoweringResult.None;
            for (int at = 0; at < 2; at++)
            {
                if (!ReferenceEquals(scale.Inputs[at], quantize.Outputs[1]) || scale.Inputs[1 - at] is not { Constant: { Type: DataType.Float32 } weights }) continue;
                if (product.Inputs[1] is not { Constant: { Rank: 2 } w } || (weights.Length != 1 && (weights.Length != w.Shape[1] || weights.Shape[^1] != weights.Length)))
                    return LoweringResult.Refuse("the scale of its weight is not one number, or one per column");
                Value factors = weights.Rank <= 1 ? scale.Inputs[1 - at]! : c.Editor.AddConstant(node.Name + "/w_scale", weights.Reshape([weights.Length]));
                Value y = c.Add("DynamicQuantizeMatMul", [quantize.Inputs[0], product.Inputs[1], factors, product.Input(3)], [], node, node.Output.Type, [product, cast, node], Operator.MicrosoftDomain);
                c.Replace(node.Output, y);
                return LoweringResult.Done;
            }
        }
        return LoweringResult.None;
    }

    private static LoweringResult AddBias(Node node, LoweringContext c)
    {
        for (int side = 0; side < 2; side++)
        {
            if (node.Inputs[side]?.Producer is not { } product || product.OperatorType != "DynamicQuantizeMatMul" || product.Domain != Operator.MicrosoftDomain || product.Input(Bias) is not null) continue;
            if (c.OnlyReader(product.Output) is null || node.Inputs[1 - side] is not { Constant: { Type: DataType.Float32 } bias } || product.Inputs[1]?.Type.Shape is not { Length: 2 } w || !w[1].Is(bias.Length)) continue;
            if (bias.Shape[^1] != bias.Length || !node.Output.Type.Equals(product.Output.Type)) continue;
            Value row = bias.Rank == 1 ? node.Inputs[1 - side]! : c.Editor.AddConstant(node.Name + "/bias", bias.Reshape([bias.Length]));
            var inputs = new Value?[Bias + 1];
            for (int i = 0; i < product.Inputs.Count; i++) inputs[i] = product.Inputs[i];
            inputs[Bias] = row;
            c.Replace(node.Output, c.Add(product.OperatorType, inputs, [], node, node.Output.Type, [product, node], product.Domain));
            return LoweringResult.Done;
        }
        return LoweringResult.None;
    }
}
