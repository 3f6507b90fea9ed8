using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>What operators on sequences share: indexes, types.</summary>
internal abstract class SequenceOperator : Operator
{
    public override string Types => "any";

    public override bool IsDynamic => true;

    /// <summary>The sequence type around an element type.</summary>
    protected static TensorType SequenceOf(TensorType element) => element with { Container = Container.Sequence };

    /// <summary>The element type inside a sequence type.</summary>
    protected static TensorType ElementOf(TensorType sequence) => sequence with { Container = Container.None };

    /// <summary>A position, negative ones counted from the end.</summary>
    /// <param name="c">Names the node in errors.</param>
    /// <param name="input">The input that holds the position.</param>
    /// <param name="count">Positions are in [−count, count − 1].</param>
    protected static int Position(EvaluateContext c, int input, int count)
    {
        Tensor tensor = c.Input(input);
        if (tensor.Length != 1 || !tensor.Type.IsInteger()) throw c.Error($"the position is {tensor}", "a position is one integer");
        long position = tensor.ToInt64Array()[0];
        if (position < -count || position >= count) throw c.Error($"position {position} is outside", $"−{count} ≤ position < {count}");
        return (int)(position < 0 ? position + count : position);
    }
}

/// <summary>ONNX <c>SequenceEmpty</c>: a sequence without elements, of element type <c>dtype</c> (float32 by default).</summary>
internal sealed class SequenceEmpty : SequenceOperator
{
    public override OperatorId Id => new("SequenceEmpty", Since: 11);

    public override void Infer(InferContext c) => c.Set(0, SequenceOf(new TensorType(Element(c))));

    public override RuntimeValue?[] Evaluate(EvaluateContext c) => [new TensorSequence(Element(c), [])];

    private static DataType Element(NodeContext c)
    {
        var type = (DataType)c.Attributes.Int("dtype", (long)DataType.Float32);
        return type.Size() > 0 || type == DataType.String ? type : throw c.Error($"dtype {(long)type} is no element type", "dtype is an ONNX element type");
    }
}

/// <summary>ONNX <c>SequenceConstruct</c>: a sequence of the inputs, which have one element type.</summary>
internal sealed class SequenceConstruct : SequenceOperator
{
    public override OperatorId Id => new("SequenceConstruct", Since: 11);

    public override void Infer(InferContext c)
    {
        TensorType type = c.Type(0);
        for (int i = 1; i < c.InputCount; i++) type = TypeMerge.Merge(type, c.Type(i));
        c.Set(0, SequenceOf(type));
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        var items = new Tensor[c.InputCount];
        for (int i = 0; i < items.Length; i++)
        {
            items[i] = c.Input(i);
            if (items[i].Type != items[0].Type) throw c.Error($"elements are {items[0].Type.Name()} and {items[i].Type.Name()}", "all elements have one type");
        }
        if (items.Length == 0) throw c.Error("no element is given", "at least one input");
        return [new TensorSequence(items[0].Type, items)];
    }
}

/// <summary>ONNX <c>SequenceAt</c>: the element at a position; negative positions count from the end.</summary>
internal sealed class SequenceAt : SequenceOperator
{
    public override OperatorId Id => new("SequenceAt", Since: 11);

    public override void Infer(InferContext c) => c.Set(0, ElementOf(c.Type(0)));

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        TensorSequence sequence = c.Sequence(0);
        return [sequence.Items[Position(c, 1, sequence.Items.Count)]];
    }
}

/// <summary>ONNX <c>SequenceInsert</c>: the sequence with a tensor before the given position, or at the end.</summary>
internal sealed class SequenceInsert : SequenceOperator
{
    public override OperatorId Id => new("SequenceInsert", Since: 11);

    public override void Infer(InferContext c) => c.Set(0, SequenceOf(new TensorType(c.Element(1) == DataType.Undefined ? c.Element(0) : c.Element(1))));

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        TensorSequence sequence = c.Sequence(0);
        Tensor tensor = c.Input(1);
        if (sequence.Items.Count > 0 && tensor.Type != sequence.ElementType) throw c.Error($"{tensor} does not fit a sequence of {sequence.ElementType.Name()}", "all elements have one type");
        var items = new List<Tensor>(sequence.Items);
        items.Insert(c.Has(2) ? Place(c, items.Count) : items.Count, tensor);
        return [new TensorSequence(tensor.Type, items)];
    }

    /// <summary>In [−n, n]: n appends, −n stands before the first.</summary>
    private static int Place(EvaluateContext c, int count)
    {
        long place = c.Input(2).ToInt64Array() is [long one] ? one : throw c.Error($"the position is {c.Input(2)}", "a position is one integer");
        if (place < -count || place > count) throw c.Error($"position {place} is outside", $"−{count} ≤ position ≤ {count}");
        return (int)(place < 0 ? place + count : place);
    }
}

/// <summary>ONNX <c>SequenceErase</c>: the sequence without the element at a position, the last by default.</summary>
internal sealed class SequenceErase : SequenceOperator
{
    public override OperatorId Id => new("SequenceErase", Since: 11);

    public override void Infer(InferContext c) => c.Set(0, c.Type(0));

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        TensorSequence sequence = c.Sequence(0);
        if (sequence.Items.Count == 0) throw c.Error("the sequence is empty", "there is an element to erase");
        var items = new List<Tensor>(sequence.Items);
        items.RemoveAt(c.Has(1) ? Position(c, 1, items.Count) : items.Count - 1);
        return [new TensorSequence(sequence.ElementType, items)];
    }
}

/// <summary>ONNX <c>SequenceLength</c>: the number of elements, an int64 scalar.</summary>
internal sealed class SequenceLength : SequenceOperator
{
    public override OperatorId Id => new("SequenceLength", Since: 11);

    public override void Infer(InferContext c) => c.Set(0, DataType.Int64);

    public override RuntimeValue?[] Evaluate(EvaluateContext c) => [Tensor.Scalar((long)c.Sequence(0).Items.Count)];
}

/// <summary>ONNX <c>ConcatFromSequence</c>: the elements joined along <c>axis</c>, or along a new axis where <c>new_axis</c> is 1.</summary>
internal sealed class ConcatFromSequence : SequenceOperator
{
    public override OperatorId Id => new("ConcatFromSequence", Since: 11);

    public override void Infer(InferContext c)
    {
        TensorType element = ElementOf(c.Type(0));
        if (element.Shape is not { } shape) { c.SetUnknownShape(0, element.Element); return; }
        bool newAxis = c.Attributes.Int("new_axis") == 1;
        int axis = c.Axis(c.Attributes.Int("axis"), shape.Length + (newAxis ? 1 : 0));
        c.Set(0, new TensorType(element.Element, (newAxis ? shape.Insert(axis, Dim.Unknown) : shape.SetItem(axis, Dim.Unknown)).AsSpan()));
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        IReadOnlyList<Tensor> items = c.Sequence(0).Items;
        if (items.Count == 0) throw c.Error("the sequence is empty", "there is at least one element to join");
        bool newAxis = c.Attributes.Int("new_axis") == 1;
        int axis = c.Axis(c.Attributes.Int("axis"), items[0].Rank + (newAxis ? 1 : 0));
        if (!TensorBlocks.Agree(items, newAxis ? -1 : axis)) throw c.Error($"the elements are {string.Join(", ", items.Take(8))}", "elements agree in type and in every extent but that of the axis");
        return [newAxis ? TensorBlocks.Stack(items, axis) : TensorBlocks.Concat(items, axis)];
    }
}

/// <summary>ONNX <c>SplitToSequence</c>: cuts a tensor along <c>axis</c> into pieces.</summary>
/// <remarks>
/// <c>split</c> as a scalar is the extent of each piece (the last may be smaller), as a vector the extents of all. Left out, every piece has extent 1, and
/// <c>keepdims</c> 0 removes the axis.
/// </remarks>
internal sealed class SplitToSequence : SequenceOperator
{
    public override OperatorId Id => new("SplitToSequence", Since: 11);

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is not { } shape) { c.Set(0, SequenceOf(new TensorType(c.Element(0)))); return; }
        int axis = c.Axis(c.Attributes.Int("axis"), shape.Length);
        bool drop = !c.Has(1) && c.Attributes.Int("keepdims", 1) == 0;
        c.Set(0, SequenceOf(new TensorType(c.Element(0), (drop ? shape.RemoveAt(axis) : shape.SetItem(axis, Dim.Unknown)).AsSpan())));
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        Tensor tensor = c.Input(0);
        int axis = c.Axis(c.Attributes.Int("axis"), tensor.Rank), extent = tensor.Shape[axis];
        bool keep = c.Has(1) || c.Attributes.Int("keepdims", 1) != 0;
        var extents = new List<int>();
        if (c.OptionalInput(1) is { Rank: > 0 } vector)
        {
            long[] given = vector.ToInt64Array();
            if (given.Any(piece => piece < 0) || given.Sum() != extent) throw c.Error($"split is [{string.Join(", ", given)}]", $"the pieces' extents sum to {extent}");
            extents.AddRange(given.Select(piece => (int)piece));
        }
        else
        {
            long piece = c.OptionalInput(1)?.ToInt64Array()[0] ?? 1;
            if (piece <= 0) throw c.Error($"split is {piece}", "a piece has at least one element");
            for (long at = 0; at < extent; at += piece) extents.Add((int)Math.Min(piece, extent - at));
        }
        var items = new List<Tensor>(extents.Count);
        int start = 0;
        foreach (int piece in extents)
        {
            items.Add(TensorBlocks.Slice(tensor, axis, start, piece, keep));
            start += piece;
        }
        return [new TensorSequence(tensor.Type, items)];
    }
}

/// <summary>ONNX <c>SequenceMap</c>: runs <c>body</c> on every element of the first sequence; further sequences are walked along, tensors are passed as they are.</summary>
internal sealed class SequenceMap : SequenceOperator
{
    public override OperatorId Id => new("SequenceMap", Since: 17);

    public override void Infer(InferContext c)
    {
        Graph body = c.Attributes.Graph("body") ?? throw c.Error("attribute 'body' is missing", "'body' is a graph");
        var given = new TensorType[c.InputCount];
        for (int i = 0; i < given.Length; i++) given[i] = ElementOf(c.Type(i));
        IReadOnlyList<TensorType> made = c.InferSubgraph(body, given);
        for (int i = 0; i < made.Count; i++) c.Set(i, SequenceOf(made[i]));
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        Graph body = c.Attributes.Graph("body") ?? throw c.Error("attribute 'body' is missing", "'body' is a graph");
        int count = c.Sequence(0).Items.Count;
        var made = new List<Tensor>[body.Outputs.Count];
        for (int i = 0; i < made.Length; i++) made[i] = [];
        var arguments = new RuntimeValue?[c.InputCount];
        for (int item = 0; item < count; item++)
        {
            c.Cancellation.ThrowIfCancellationRequested();
            for (int i = 0; i < arguments.Length; i++)
            {
                if (c.Value(i) is TensorSequence sequence)
                {
                    if (sequence.Items.Count != count) throw c.Error($"sequences have {count} and {sequence.Items.Count} elements", "all sequences are equally long");
                    arguments[i] = sequence.Items[item];
                }
                else arguments[i] = c.Value(i);
            }
            RuntimeValue?[] results = c.RunSubgraph("body", arguments);
            for (int i = 0; i < made.Length; i++) made[i].Add(results[i] as Tensor ?? throw c.Error($"output {i} of the body is no tensor", "the body makes tensors"));
        }
        var outputs = new RuntimeValue?[made.Length];
        for (int i = 0; i < outputs.Length; i++) outputs[i] = new TensorSequence(count > 0 ? made[i][0].Type : body.Outputs[i].Type.Element, made[i]);
        return outputs;
    }
}
