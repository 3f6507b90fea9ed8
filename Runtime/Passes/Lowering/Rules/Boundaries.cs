using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>M(DequantizeLinear(constant))</c> → <c>DequantizeLinear(M(constant))</c> with M computed: a weight that the graph transposes or reshapes.</summary>
/// <remarks>Per-axis weights take part in Transpose only; the quantization axis moves along.</remarks>
internal sealed class FoldWeightMovement : LoweringRule
{
    public override string Name => "fold-weight-movement";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!Movements.IsReordering(node) || node.OperatorType is "MaxPool" or "GlobalMaxPool" || node.Inputs[0]?.Producer is not { } dequantize || !LoweringContext.IsDequantize(dequantize)) return LoweringResult.None;
        if (dequantize.Inputs[0] is not { Constant: { } q } || node.Inputs.Skip(1).Any(input => input is { IsConstant: false })) return LoweringResult.None;
        AttributeMap attributes = dequantize.Attributes.Copy();
        bool perTensor = dequantize.Input(1)?.Constant is { Length: 1 } && node.Attributes.Int("block_size") == 0;
        if (!perTensor)
        {
            if (!node.Is("Transpose") || attributes.Int("block_size") != 0 || dequantize.Input(1)?.Constant is null) return LoweringResult.Refuse("a per-axis weight can only be transposed");
            long[] perm = node.Attributes.Ints("perm") ?? [.. Enumerable.Range(0, q.Rank).Select(i => (long)(q.Rank - 1 - i))];
            long axis = attributes.Int("axis", 1);
            attributes["axis"] = (long)Array.IndexOf(perm, axis < 0 ? axis + q.Rank : axis);
        }
        Tensor moved = c.Options.Weights.Get(q, $"moved by {node.Name}", () => c.Evaluate(node, [q, .. node.Inputs.Skip(1).Select(input => input?.Constant)]));
        Value constant = c.Editor.AddConstant(node.Output.Name + "/moved", moved);
        Value real = c.Add("DequantizeLinear", [constant, .. dequantize.Inputs.Skip(1)], attributes, node, node.Output.Type, [dequantize], dequantize.Domain);
        c.Replace(node.Output, real);
        return LoweringResult.Done;
    }
}

/// <summary>int8 activations become uint8: QuantizeLinear writes, DequantizeLinear reads <c>q + 128</c>, and FlipSign stands between that and what is int8.</summary>
internal sealed class StoreAsUInt8 : LoweringRule
{
    public override string Name => "store-as-uint8";

    public override int Phase => 0;

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (LoweringContext.IsQuantize(node) && node.Output.Type.Element == DataType.Int8 && LoweringContext.PerTensor(node) is { } written)
        {
            Value q = c.Quantize(node.Inputs[0]!, written with { ZeroPoint = written.ZeroPoint + 128 }, node, node);
            c.Replace(node.Output, c.Add("FlipSign", [q], [], node, node.Output.Type, [node]));
            return LoweringResult.Done;
        }
        if (LoweringContext.IsDequantize(node) && node.Inputs[0] is { IsConstant: false, Type.Element: DataType.Int8 } bytes && LoweringContext.PerTensor(node) is { } read)
        {
            Value moved = c.Add("FlipSign", [bytes], [], node, bytes.Type with { Element = DataType.UInt8 }, [node]);
            c.Replace(node.Output, c.Dequantize(moved, read with { ZeroPoint = read.ZeroPoint + 128 }, node, node));
            return LoweringResult.Done;
        }
        return LoweringResult.None;
    }
}

/// <summary><c>FlipSign(FlipSign(x))</c> → <c>x</c>.</summary>
internal sealed class CancelFlips : LoweringRule
{
    public override string Name => "cancel-flips";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!LoweringContext.IsLowered(node, "FlipSign") || node.Inputs[0]?.Producer is not { } inner || !LoweringContext.IsLowered(inner, "FlipSign")) return LoweringResult.None;
        c.Replace(node.Output, inner.Inputs[0]!);
        return LoweringResult.Done;
    }
}

/// <summary><c>M(FlipSign(x))</c> → <c>FlipSign(M(x))</c> for operators that move elements.</summary>
internal sealed class MoveFlipDown : LoweringRule
{
    public override string Name => "move-flip-down";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!Movements.Is(node) || node.Outputs.Count != 1 || node.Is("Pad")) return LoweringResult.None;
        int count = Movements.DataInputs(node);
        for (int i = 0; i < count; i++)
            if (!LoweringContext.IsLowered(node.Inputs[i]?.Producer, "FlipSign")) return LoweringResult.None;
        DataType element = node.Inputs[0]!.Producer!.Inputs[0]!.Type.Element;
        Value moved = c.Again(node, [.. node.Inputs.Take(count).Select(input => input!.Producer!.Inputs[0]), .. node.Inputs.Skip(count)], element);
        c.Replace(node.Output, c.Add("FlipSign", [moved], [], node, node.Output.Type, [node]));
        return LoweringResult.Done;
    }
}

/// <summary>Two equal QuantizeLinear, or two equal DequantizeLinear, of one value become one.</summary>
internal sealed class MergeTwins : LoweringRule
{
    public override string Name => "merge-twins";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        bool quantize = LoweringContext.IsQuantize(node);
        if ((!quantize && !LoweringContext.IsDequantize(node)) || node.Inputs[0] is not { } x || LoweringContext.PerTensor(node) is not { } grid) return LoweringResult.None;
        foreach (Use use in x.Uses)
        {
            Node other = use.Node;
            if (ReferenceEquals(other, node) || use.Index != 0 || !ReferenceEquals(other.Graph, c.Graph)) continue;
            if (quantize ? !LoweringContext.IsQuantize(other) : !LoweringContext.IsDequantize(other)) continue;
            if (other.Output.Type.Element != node.Output.Type.Element || LoweringContext.PerTensor(other) != grid) continue;
            bool first = false;
            foreach (Node candidate in c.Graph.Nodes)
            {
                if (ReferenceEquals(candidate, node)) first = true;
                if (ReferenceEquals(candidate, node) || ReferenceEquals(candidate, other)) break;
            }
            c.Replace((first ? other : node).Output, (first ? node : other).Output);
            return LoweringResult.Done;
        }
        return LoweringResult.None;
    }
}

/// <summary><c>QuantizeLinear(DequantizeLinear(q))</c> on the same grid → <c>q</c>.</summary>
internal sealed class CancelQuantize : LoweringRule
{
    public override string Name => "cancel-quantize";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (LoweringContext.QuantizeGrid(node) is not { } grid || LoweringContext.Source(node.Inputs[0]) is not { } source || source.Grid != grid) return LoweringResult.None;
        c.Replace(node.Output, c.Bytes(source));
        return LoweringResult.Done;
    }
}

/// <summary><c>M(DequantizeLinear(q))</c> → <c>DequantizeLinear(M(q))</c> for operators that move elements: bytes are moved instead of floats.</summary>
internal sealed class MoveDequantizeDown : LoweringRule
{
    public override string Name => "move-dequantize-down";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!Movements.Is(node)) return LoweringResult.None;
        int count = Movements.DataInputs(node);
        var sources = new QuantizedSource[count];
        bool anyComputed = false;
        for (int i = 0; i < count; i++)
        {
            if (LoweringContext.Source(node.Inputs[i]) is not { } source) return LoweringResult.None;
            anyComputed |= !source.Q.IsConstant;
            sources[i] = source;
        }
        anyComputed |= node.Inputs.Skip(count).Any(input => input is { IsConstant: false });   // an embedding: constant rows, computed indices
        if (!anyComputed) return LoweringResult.None;
        if (Array.Exists(sources, source => source.Grid != sources[0].Grid)) return LoweringResult.Refuse("its inputs have different scales or zero points");
        if (Movements.OnBytes(c, node, Array.ConvertAll(sources, c.Bytes), sources[0].Grid) is not var (inputs, attributes)) return LoweringResult.Refuse("its padding value is no step of the data's grid");

        Value[] outputs = [.. node.Outputs.Select(output => c.Editor.AddValue((output?.Name ?? node.Name) + "/uint8", (output?.Type ?? TensorType.Unknown) with { Element = DataType.UInt8 }))];
        Node moved = c.Editor.AddNode(node.OperatorType, inputs, outputs, attributes, node.Domain, node.Name, node);
        c.Note(moved, node);
        for (int i = 0; i < outputs.Length; i++)
        {
            if (node.Outputs[i] is { } old) c.Editor.ReplaceUses(old, c.Dequantize(outputs[i], sources[0].Grid, node, node));
        }
        c.RemoveUnread(node);
        return LoweringResult.Done;
    }
}

/// <summary><c>QuantizeLinear(M(x))</c> → <c>M(QuantizeLinear(x))</c> for operators that reorder elements, so that the producer of x can write bytes.</summary>
internal sealed class MoveQuantizeUp : LoweringRule
{
    public override string Name => "move-quantize-up";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (LoweringContext.QuantizeGrid(node) is not { } grid || node.Inputs[0] is not { Producer: { } mover, SingleUse: not null } || !Movements.IsReordering(mover)) return LoweringResult.None;
        if (!ReferenceEquals(mover.Graph, c.Graph) || mover.Inputs[0] is not { Producer: { } producer, SingleUse: not null } x || LoweringContext.IsDequantize(producer)) return LoweringResult.None;
        Value q = c.Quantize(x, grid, mover, node);
        Value moved = c.Again(mover, [q, .. mover.Inputs.Skip(1)], DataType.UInt8);
        c.Replace(node.Output, moved);
        return LoweringResult.Done;
    }
}

/// <summary><c>QuantizeLinear(Concat(DequantizeLinear(q₁), …))</c> → <c>Concat(QTable(q₁), …)</c>: every part is brought to the output's grid.</summary>
internal sealed class AlignConcat : LoweringRule
{
    public override string Name => "align-concat";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!node.Is("Concat")) return LoweringResult.None;
        if (c.OnlyReader(node.Output) is not { } reader || LoweringContext.QuantizeGrid(reader) is not { } grid) return LoweringResult.Refuse("its result is not quantized, and its inputs have different grids");
        var sources = new QuantizedSource[node.Inputs.Count];
        for (int i = 0; i < sources.Length; i++)
        {
            if (LoweringContext.Source(node.Inputs[i]) is not { } source) return LoweringResult.Refuse(LoweringContext.WhyNoSource(node.Inputs[i], $"input {i}"));
            sources[i] = source;
        }
        var parts = new Value[sources.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            Value q = c.Bytes(sources[i]);
            parts[i] = sources[i].Grid == grid ? q : c.Table(q, ByteTables.Requantize(sources[i].Grid, grid), node, [node]);
        }
        c.Replace(reader.Output, c.Add("Concat", parts, node.Attributes.Copy(), reader, reader.Output.Type, [node], ""));
        return LoweringResult.Done;
    }
}
