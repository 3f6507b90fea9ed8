using System.Numerics;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>GatherElements</c>: <c>y[…, i, …] = x[…, indices[…, i, …], …]</c> along attribute <c>axis</c>; y has the shape of the indices.</summary>
internal sealed class GatherElements : Operator
{
    public override OperatorId Id { get; } = new("GatherElements");

    public override string Types => "all";

    public override void Infer(InferContext c)
    {
        c.Expect(1, ElementTypes.Indices);
        c.Set(0, c.Type(1) with { Element = c.Element(0) });
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0), indices = c.InputShape(1);
        int axis = c.Axis(c.Attributes.Int("axis"), x.Length);
        ElementPlaces places = new(c, x, indices, axis);
        return MovementSteps.Plan(c, c.Element(0), new Visitor(c.Node, c.Element(1), places));
    }

    private sealed class Visitor(Node node, DataType indexType, ElementPlaces places) : IWidthVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T> =>
            Step.From("GatherElements", indexType == DataType.Int32 ? c => Gather<T, int>(c, node, places) : c => Gather<T, long>(c, node, places));
    }

    private static void Gather<T, TIndex>(StepContext c, Node node, ElementPlaces places) where T : unmanaged where TIndex : unmanaged, IBinaryInteger<TIndex>
    {
        ReadOnlySpan<T> x = c.Input<T>(0);
        ReadOnlySpan<TIndex> indices = c.Input<TIndex>(1);
        Span<T> y = c.Output<T>(0);
        for (int row = 0; row < y.Length; row += places.Row)
        {
            int offset = places.Offset(row);
            for (int i = row; i < row + places.Row; i++, offset += places.Step) y[i] = x[offset + Indices.At(node, indices[i], places.Extent) * places.Stride];
        }
    }
}

/// <summary>Where the elements of <c>GatherElements</c> and <c>ScatterElements</c> lie in the data: at the index's own position in all axes but one.</summary>
internal sealed class ElementPlaces
{
    private readonly int[] _extents, _strides;

    /// <summary>Plans for indices of shape <paramref name="indices"/> into data of shape <paramref name="data"/>.</summary>
    /// <exception cref="ModelException">The indices reach beyond the data at another axis.</exception>
    public ElementPlaces(NodeContext c, int[] data, int[] indices, int axis)
    {
        if (data.Length != indices.Length) throw c.Error($"data has rank {data.Length}, indices have {indices.Length}", "both have one rank");
        for (int i = 0; i < data.Length; i++)
        {
            if (i != axis && indices[i] > data[i]) throw c.Error($"indices have extent {indices[i]} at axis {i}, data has {data[i]}", "indices reach no further than the data at the other axes");
        }
        _extents = indices;
        _strides = Axes.Strides(data);
        Stride = _strides[axis];
        _strides[axis] = 0;
        Extent = data[axis];
        (Row, Step) = data.Length == 0 ? (1, 0) : (indices[^1], _strides[^1]);
    }

    /// <summary>Elements of the indices' last axis.</summary>
    public int Row { get; }

    /// <summary>How much <see cref="Offset"/> grows from one element of a row to the next.</summary>
    public int Step { get; }

    /// <summary>Elements between neighbours along the axis.</summary>
    public int Stride { get; }

    /// <summary>The data's extent along the axis.</summary>
    public int Extent { get; }

    /// <summary>Where the data at element <paramref name="index"/> of the indices lies, were that index 0.</summary>
    public int Offset(int index)
    {
        int offset = 0;
        for (int axis = _extents.Length - 1; axis >= 0; axis--)
        {
            offset += index % _extents[axis] * _strides[axis];
            index /= _extents[axis];
        }
        return offset;
    }
}

/// <summary><c>GatherND</c>: the last axis of the indices holds positions in the data's axes behind the <c>batch_dims</c> first; slices are copied.</summary>
internal sealed class GatherND : Operator
{
    public override OperatorId Id { get; } = new("GatherND");

    public override string Types => "all";

    public override void Infer(InferContext c)
    {
        c.Expect(1, DataType.Int64);
        int batch = (int)c.Attributes.Int("batch_dims");
        if (c.Shape(0) is not { } x || c.Shape(1) is not { } indices || indices.Length == 0 || !indices[^1].IsKnown)
        {
            c.SetUnknownShape(0, c.Element(0));
            return;
        }
        long depth = indices[^1].Value;
        if (batch < 0 || batch >= Math.Min(x.Length, indices.Length) || depth < 1 || batch + depth > x.Length)
            throw c.Error($"batch_dims is {batch}, the indices name {depth} axes, data has rank {x.Length}", "1 ≤ named axes ≤ rank(data) − batch_dims, and batch_dims < both ranks");
        for (int i = 0; i < batch; i++)
        {
            if (x[i].DiffersFrom(indices[i])) throw c.Error($"batch axis {i} has extents {x[i]} and {indices[i]}", "data and indices agree at the batch axes");
        }
        c.Set(0, c.Element(0), [.. indices[..^1], .. x[(int)(batch + depth)..]]);
    }

    public override Step Plan(PlanContext c) => MovementSteps.Plan(c, c.Element(0), new Visitor(c.Node, new SlicePlaces(c.InputShape(0), c.InputShape(1), (int)c.Attributes.Int("batch_dims"))));

    private sealed class Visitor(Node node, SlicePlaces places) : IWidthVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T> => Step.From("GatherND", c =>
        {
            ReadOnlySpan<T> x = c.Input<T>(0);
            ReadOnlySpan<long> indices = c.Input<long>(1);
            Span<T> y = c.Output<T>(0);
            for (int i = 0; i < places.Count; i++) x.Slice(places.Offset(node, indices, i), places.Length).CopyTo(y.Slice(i * places.Length, places.Length));
        });
    }
}

/// <summary>Where the slices of <c>GatherND</c> and <c>ScatterND</c> lie in the data.</summary>
internal sealed class SlicePlaces
{
    private readonly int[] _extents, _strides;
    private readonly int _batch, _depth, _perBatch, _batchStride;

    /// <summary>Plans for indices whose last axis names positions.</summary>
    public SlicePlaces(int[] data, int[] indices, int batch)
    {
        _batch = batch;
        _depth = indices[^1];
        _extents = data[batch..(batch + _depth)];
        _strides = Axes.Strides(data)[batch..(batch + _depth)];
        Length = Axes.Product(data, batch + _depth, data.Length);
        Count = Axes.Product(indices, 0, indices.Length - 1);
        _perBatch = Axes.Product(indices, batch, indices.Length - 1);
        _batchStride = Axes.Product(data, batch, data.Length);
    }

    /// <summary>Elements of a slice.</summary>
    public int Length { get; }

    /// <summary>How many slices the indices name.</summary>
    public int Count { get; }

    /// <summary>Where slice <paramref name="slice"/> begins.</summary>
    public int Offset(Node node, ReadOnlySpan<long> indices, int slice)
    {
        int offset = _batch == 0 ? 0 : slice / _perBatch * _batchStride;
        for (int i = 0; i < _depth; i++) offset += Indices.At(node, indices[slice * _depth + i], _extents[i]) * _strides[i];
        return offset;
    }
}
