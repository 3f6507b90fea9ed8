using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Shape</c>: the extents from attribute <c>start</c> up to, not including, <c>end</c>, as int64.</summary>
internal sealed class Shape : Operator
{
    public override OperatorId Id { get; } = new("Shape");

    public override string Types => "all";

    public override void Infer(InferContext c)
    {
        if (c.Rank(0) < 0) c.Set(0, DataType.Int64, Dim.Unknown);
        else
        {
            (int start, int end) = Range(c, c.Rank(0));
            c.Set(0, DataType.Int64, end - start);
        }
    }

    public override Step Plan(PlanContext c)
    {
        int[] shape = c.InputShape(0);
        (int start, int end) = Range(c, shape.Length);
        long[] extents = [.. shape[start..end].Select(extent => (long)extent)];
        return Step.From("Shape", step => extents.CopyTo(step.Output<long>(0)));
    }

    private static (int Start, int End) Range(NodeContext c, int rank)
    {
        long start = c.Attributes.Int("start"), end = c.Attributes.Int("end", rank);
        int first = (int)Math.Clamp(start < 0 ? start + rank : start, 0, rank);
        return (first, (int)Math.Clamp(end < 0 ? end + rank : end, first, rank));
    }
}

/// <summary><c>Size</c>: the number of elements, as an int64 scalar.</summary>
internal sealed class Size : Operator
{
    public override OperatorId Id { get; } = new("Size");

    public override string Types => "all";

    public override void Infer(InferContext c) => c.Set(0, DataType.Int64, ReadOnlySpan<Dim>.Empty);

    public override Step Plan(PlanContext c)
    {
        long count = Tensor.CountElements(c.InputShape(0));
        return Step.From("Size", step => step.Output<long>(0)[0] = count);
    }
}
