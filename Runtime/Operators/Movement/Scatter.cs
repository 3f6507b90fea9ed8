using System.Numerics;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>What happens to an element that an update meets.</summary>
internal enum ScatterReduction
{
    /// <summary>It is replaced.</summary>
    None,
    /// <summary>Sum.</summary>
    Add,
    /// <summary>Product.</summary>
    Mul,
    /// <summary>The larger.</summary>
    Max,
    /// <summary>The smaller.</summary>
    Min,
}

/// <summary>What the scattering operators have in common: output 0 starts as a copy of input 0.</summary>
internal static class Scattering
{
    /// <summary>Attribute <c>reduction</c>.</summary>
    public static ScatterReduction Reduction(NodeContext c) => c.Attributes.String("reduction", "none") switch
    {
        "none" => ScatterReduction.None,
        "add" => ScatterReduction.Add,
        "mul" => ScatterReduction.Mul,
        "max" => ScatterReduction.Max,
        "min" => ScatterReduction.Min,
        string other => throw c.Error($"reduction is '{other}'", "reduction is none, add, mul, max or min"),
    };

    /// <summary>Copies input 0 to output 0 unless they share memory already.</summary>
    public static void CopyData(StepContext c)
    {
        if (!c.Input(0).Bytes.Equals(c.Output(0).Bytes)) c.Input(0).Bytes.Span.CopyTo(c.Output(0).Bytes.Span);
    }

    /// <summary>The element after an update.</summary>
    public static T Combine<T>(ScatterReduction reduction, T old, T update) where T : unmanaged, INumber<T> => reduction switch
    {
        ScatterReduction.Add => old + update,
        ScatterReduction.Mul => old * update,
        ScatterReduction.Max => T.Max(old, update),
        ScatterReduction.Min => T.Min(old, update),
        _ => update,
    };

    /// <summary>Checks data and updates.</summary>
    public static void Infer(InferContext c, int updates)
    {
        if (c.Element(updates) != DataType.Undefined && c.Element(0) != DataType.Undefined && c.Element(updates) != c.Element(0))
            throw c.Error($"data is {c.Element(0).Name()}, updates are {c.Element(updates).Name()}", "both have one element type");
        c.Set(0, c.Type(0));
    }
}

/// <summary>
/// <c>ScatterElements</c>, and <c>Scatter</c> of versions 9 and 10: the data with <c>y[…, indices[…, i, …], …] = updates[…, i, …]</c> along attribute
/// <c>axis</c>, or combined by <c>reduction</c>, in order of the updates.
/// </summary>
internal sealed class ScatterElements(string type) : Operator
{
    public override OperatorId Id { get; } = new(type);

    public override string Types => "all; numbers with a reduction";

    public override void Infer(InferContext c)
    {
        c.Expect(1, ElementTypes.Indices);
        Scattering.Infer(c, 2);
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0), indices = c.InputShape(1);
        if (!indices.AsSpan().SequenceEqual(c.InputShape(2))) throw c.Error("indices and updates have different shapes", "one update per index");
        var places = new ElementPlaces(c, x, indices, c.Axis(c.Attributes.Int("axis"), x.Length));
        ScatterReduction reduction = Scattering.Reduction(c);
        bool narrow = c.Element(1) == DataType.Int32;
        return reduction == ScatterReduction.None
            ? MovementSteps.Plan(c, c.Element(0), new Replace(c.Node, narrow, places))
            : ElementTypes.Number(c, c.Element(0), new Combine(c.Node, narrow, places, reduction));
    }

    private sealed class Replace(Node node, bool narrow, ElementPlaces places) : IWidthVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T> => Step.From("ScatterElements", narrow ? Run<T, int> : Run<T, long>, inPlaceInput: 0);

        private void Run<T, TIndex>(StepContext c) where T : unmanaged where TIndex : unmanaged, IBinaryInteger<TIndex>
        {
            Scattering.CopyData(c);
            ReadOnlySpan<TIndex> indices = c.Input<TIndex>(1);
            ReadOnlySpan<T> updates = c.Input<T>(2);
            Span<T> y = c.Output<T>(0);
            for (int row = 0; row < updates.Length; row += places.Row)
            {
                int offset = places.Offset(row);
                for (int i = row; i < row + places.Row; i++, offset += places.Step) y[offset + Indices.At(node, indices[i], places.Extent) * places.Stride] = updates[i];
            }
        }
    }

    private sealed class Combine(Node node, bool narrow, ElementPlaces places, ScatterReduction reduction) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => Step.From("ScatterElements", narrow ? Run<T, int> : Run<T, long>, inPlaceInput: 0);

        private void Run<T, TIndex>(StepContext c) where T : unmanaged, INumber<T> where TIndex : unmanaged, IBinaryInteger<TIndex>
        {
            Scattering.CopyData(c);
            ReadOnlySpan<TIndex> indices = c.Input<TIndex>(1);
            ReadOnlySpan<T> updates = c.Input<T>(2);
            Span<T> y = c.Output<T>(0);
            for (int row = 0; row < updates.Length; row += places.Row)
            {
                int offset = places.Offset(row);
                for (int i = row; i < row + places.Row; i++, offset += places.Step)
                {
                    ref T element = ref y[offset + Indices.At(node, indices[i], places.Extent) * places.Stride];
                    element = Scattering.Combine(reduction, element, updates[i]);
                }
            }
        }
    }
}

/// <summary><c>ScatterND</c>: the data with the slices that the last axis of the indices names replaced by the updates, or combined by <c>reduction</c>.</summary>
internal sealed class ScatterND : Operator
{
    public override OperatorId Id { get; } = new("ScatterND");

    public override string Types => "all; numbers with a reduction";

    public override void Infer(InferContext c)
    {
        c.Expect(1, DataType.Int64);
        Scattering.Infer(c, 2);
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0), indices = c.InputShape(1);
        if (indices.Length == 0 || indices[^1] > x.Length) throw c.Error($"indices are {Tensor.Format(indices)} for data of rank {x.Length}", "the last extent of the indices is at most the rank of the data");
        int[] expected = [.. indices[..^1], .. x[indices[^1]..]];
        if (!expected.AsSpan().SequenceEqual(c.InputShape(2))) throw c.Error($"updates are {Tensor.Format(c.InputShape(2))}", $"updates are {Tensor.Format(expected)}");
        var places = new SlicePlaces(x, indices, 0);
        ScatterReduction reduction = Scattering.Reduction(c);
        return reduction == ScatterReduction.None
            ? MovementSteps.Plan(c, c.Element(0), new Replace(c.Node, places))
            : ElementTypes.Number(c, c.Element(0), new Combine(c.Node, places, reduction));
    }

    private sealed class Replace(Node node, SlicePlaces places) : IWidthVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T> => Step.From("ScatterND", c =>
        {
            Scattering.CopyData(c);
            ReadOnlySpan<long> indices = c.Input<long>(1);
            ReadOnlySpan<T> updates = c.Input<T>(2);
            Span<T> y = c.Output<T>(0);
            for (int i = 0; i < places.Count; i++) updates.Slice(i * places.Length, places.Length).CopyTo(y.Slice(places.Offset(node, indices, i), places.Length));
        }, inPlaceInput: 0);
    }

    private sealed class Combine(Node node, SlicePlaces places, ScatterReduction reduction) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => Step.From("ScatterND", c =>
        {
            Scattering.CopyData(c);
            ReadOnlySpan<long> indices = c.Input<long>(1);
            ReadOnlySpan<T> updates = c.Input<T>(2);
            Span<T> y = c.Output<T>(0);
            for (int i = 0; i < places.Count; i++)
            {
                ReadOnlySpan<T> from = updates.Slice(i * places.Length, places.Length);
                Span<T> to = y.Slice(places.Offset(node, indices, i), places.Length);
                for (int k = 0; k < to.Length; k++) to[k] = Scattering.Combine(reduction, to[k], from[k]);
            }
        }, inPlaceInput: 0);
    }
}

/// <summary>
/// <c>TensorScatter</c>: a cache <c>[B, …, S, …]</c> with an update <c>[B, …, L, …]</c> written at positions <c>write_indices[b] … + L − 1</c> of attribute
/// <c>axis</c> (default −2); mode <c>circular</c> continues at the start.
/// </summary>
internal sealed class TensorScatter : Operator
{
    public override OperatorId Id { get; } = new("TensorScatter", Since: 24);

    public override string Types => "all";

    public override void Infer(InferContext c) => Scattering.Infer(c, 1);

    public override Step Plan(PlanContext c)
    {
        int[] cache = c.InputShape(0), update = c.InputShape(1);
        int axis = c.Axis(c.Attributes.Int("axis", -2), cache.Length);
        if (axis == 0) throw c.Error("axis is 0, the batch", "axis is behind the batch");
        if (update.Length != cache.Length) throw c.Error($"the update has rank {update.Length}", $"rank {cache.Length}, as the cache");
        for (int i = 0; i < cache.Length; i++)
        {
            if (i == axis ? update[i] > cache[i] : update[i] != cache[i]) throw c.Error($"the update has extent {update[i]} at axis {i}, the cache has {cache[i]}", "extents agree, or along the axis are no larger");
        }
        if (c.Has(2) && Tensor.CountElements(c.InputShape(2)) != cache[0]) throw c.Error($"write_indices are {Tensor.Format(c.InputShape(2))}", "one index per batch element");
        bool circular = c.Attributes.String("mode", "linear") == "circular";
        return MovementSteps.Plan(c, c.Element(0), new Visitor(c.Node, cache[0], Axes.Product(cache, 1, axis), cache[axis], update[axis], Axes.Product(cache, axis + 1, cache.Length), circular));
    }

    private sealed class Visitor(Node node, int batch, int middle, int extent, int length, int inner, bool circular) : IWidthVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T> => Step.From("TensorScatter", c =>
        {
            Scattering.CopyData(c);
            ReadOnlySpan<T> update = c.Input<T>(1);
            ReadOnlySpan<long> starts = c.Input<long>(2);
            Span<T> y = c.Output<T>(0);
            for (int row = 0; row < batch * middle; row++)
            {
                long start = starts.IsEmpty ? 0 : starts[row / middle];
                for (int i = 0; i < length; i++)
                {
                    long at = circular ? (start + i) % extent : start + i;
                    if ((ulong)at >= (ulong)extent) throw new DataException($"{node}: position {at} does not exist in extent {extent}; rule: 0 ≤ write index, and write index + update ≤ extent");
                    update.Slice((row * length + i) * inner, inner).CopyTo(y.Slice((row * extent + (int)at) * inner, inner));
                }
            }
        }, inPlaceInput: 0);
    }
}
