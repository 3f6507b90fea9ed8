using System.Numerics;
using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Gather</c>: <c>y[o, i…, r] = x[o, indices[i…], r]</c> along attribute <c>axis</c>; negative indices count from the end.</summary>
internal sealed class Gather : Operator
{
    public override OperatorId Id { get; } = new("Gather");

    public override string Types => "all";

    public override string IntegerForm => "same";

    public override void Infer(InferContext c)
    {
        c.Expect(1, ElementTypes.Indices);
        if (c.Shape(0) is not { } shape || c.Shape(1) is not { } indices)
        {
            c.SetUnknownShape(0, c.Element(0));
            return;
        }
        int axis = c.Axis(c.Attributes.Int("axis"), shape.Length);
        c.Set(0, c.Element(0), shape.RemoveAt(axis).InsertRange(axis, indices).AsSpan());
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        (int outer, int extent, int inner) = Axes.Around(x, c.Axis(c.Attributes.Int("axis"), x.Length));
        return MovementSteps.Plan(c, c.Element(0), new Visitor(c.Node, c.Element(1), outer, extent, inner));
    }

    private sealed class Visitor(Node node, DataType indexType, int outer, int extent, int inner) : IWidthVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T> =>
            indexType == DataType.Int32 ? new GatherStep<T, int>(node, outer, extent, inner) : new GatherStep<T, long>(node, outer, extent, inner);
    }

    private sealed class GatherStep<T, TIndex>(Node node, int outer, int extent, int inner) : Step where T : unmanaged where TIndex : unmanaged, IBinaryInteger<TIndex>
    {
        public override string Kernel => "Gather";

        public override void Run(StepContext c)
        {
            ReadOnlySpan<T> x = c.Input<T>(0);
            ReadOnlySpan<TIndex> indices = c.Input<TIndex>(1);
            Span<T> y = c.Output<T>(0);
            for (int o = 0, to = 0; o < outer; o++)
            {
                for (int i = 0; i < indices.Length; i++, to += inner)
                {
                    int from = (o * extent + Indices.At(node, indices[i], extent)) * inner;
                    if (inner == 1) y[to] = x[from];
                    else x.Slice(from, inner).CopyTo(y.Slice(to, inner));
                }
            }
        }
    }
}

/// <summary>Indices that come with the data.</summary>
internal static class Indices
{
    /// <summary>A negative index counted from the end, checked.</summary>
    /// <exception cref="DataException">The index is outside [−extent, extent − 1].</exception>
    public static int At<TIndex>(Node node, TIndex index, int extent) where TIndex : unmanaged, IBinaryInteger<TIndex>
    {
        long value = long.CreateSaturating(index);
        if (value < 0) value += extent;
        if ((ulong)value >= (ulong)extent) throw Outside(node, long.CreateSaturating(index), extent);
        return (int)value;
    }

    private static DataException Outside(Node node, long index, int extent) => new($"{node}: index {index} does not exist in extent {extent}; rule: −{extent} ≤ index < {extent}");
}
