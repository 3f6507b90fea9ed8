using System.Collections.Immutable;
using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary><c>Expand</c>: the input repeated so that it has the shape that it and the shape in input 1 broadcast to.</summary>
internal sealed class Expand : Operator
{
    public override OperatorId Id { get; } = new("Expand");

    public override string Types => "all";

    public override void Infer(InferContext c)
    {
        if (c.KnownInts(1) is not { } target)
        {
            if (c.Shape(0) is { } input && c.Shape(1) is [{ IsKnown: true } rank] && rank.Value <= 64) c.Set(0, c.Element(0), new Dim[Math.Max(input.Length, (int)rank.Value)]);
            else c.SetUnknownShape(0, c.Element(0));
            return;
        }
        if (target.Any(extent => extent < 0)) throw c.Error($"the shape is [{string.Join(",", target)}]", "extents are 0 or more");
        ImmutableArray<Dim> shape = [.. target.Select(extent => new Dim(extent))];
        Broadcast.Set(c, 0, c.Element(0), Broadcast.Shapes(c, c.Shape(0), shape));
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0), y = c.OutputShape(0), from = Axes.Strides(x);
        var strides = new int[y.Length];
        int missing = y.Length - x.Length;
        for (int i = missing; i < y.Length; i++) strides[i] = x[i - missing] == 1 ? 0 : from[i - missing];
        return Tensors.Tensor.CountElements(x) == Tensors.Tensor.CountElements(y) ? new ViewStep() : StridedCopy.Plan(c, y, strides);
    }
}

/// <summary><c>Tile</c>: axis k repeated <c>repeats[k]</c> times; before version 6 one axis, <c>tiles</c> times.</summary>
internal sealed class Tile : Operator
{
    public override OperatorId Id { get; } = new("Tile");

    public override string Types => "all";

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is not { } shape)
        {
            c.SetUnknownShape(0, c.Element(0));
            return;
        }
        c.Set(0, c.Element(0), Repeats(c, shape.Length, c.KnownInts) is { } repeats ? [.. shape.Select((extent, i) => extent * repeats[i])] : new Dim[shape.Length]);
    }

    public override Step Plan(PlanContext c)
    {
        // Each repeated axis is walked as (repeat, position), the repeat having stride 0.
        int[] x = c.InputShape(0), from = Axes.Strides(x), y = c.OutputShape(0);
        var extents = new int[2 * x.Length];
        var strides = new int[2 * x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            (extents[2 * i], extents[2 * i + 1]) = (x[i] == 0 ? 0 : y[i] / x[i], x[i]);
            strides[2 * i + 1] = from[i];
        }
        return StridedCopy.Plan(c, extents, strides);
    }

    private static long[]? Repeats(NodeContext c, int rank, Func<int, long[]?> known)
    {
        long[]? repeats = known(1);
        if (c.Opset < 6)
        {
            if (repeats is null || known(2) is not { } axis) return null;
            var one = new long[rank];
            Array.Fill(one, 1);
            one[c.Axis(axis[0], rank)] = repeats[0];
            repeats = one;
        }
        if (repeats is not null && (repeats.Length != rank || repeats.Any(repeat => repeat < 0))) throw c.Error($"repeats are [{string.Join(",", repeats)}]", "one repeat per axis, 0 or more");
        return repeats;
    }
}
