using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary>
/// <c>Slice</c>: along each named axis the elements start, start + step, … before end. Negative bounds count from the end, bounds beyond the extent
/// are moved to it, steps may be negative. Bounds are attributes before version 10, inputs since.
/// </summary>
internal sealed class Slice : Operator
{
    public override OperatorId Id { get; } = new("Slice");

    public override string Types => "all";

    public override string IntegerForm => "same";

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is not { } shape)
        {
            c.SetUnknownShape(0, c.Element(0));
            return;
        }
        bool attributes = c.Opset < 10;
        long[]? starts = attributes ? c.Attributes.Ints("starts") : c.KnownInts(1), ends = attributes ? c.Attributes.Ints("ends") : c.KnownInts(2);
        bool axesGiven = attributes ? c.Attributes.Contains("axes") : c.Has(3);
        long[]? axes = attributes ? c.Attributes.Ints("axes") : c.KnownInts(3), steps = attributes ? null : c.KnownInts(4);
        bool stepsGiven = !attributes && c.Has(4);
        var result = shape.ToBuilder();
        if (starts is null || ends is null || (axesGiven && axes is null) || (stepsGiven && steps is null))
        {
            for (int i = 0; i < result.Count; i++)
            {
                bool touched = !axesGiven || axes is null || axes.Any(axis => c.Axis(axis, shape.Length) == i);
                if (touched) result[i] = Dim.Unknown;
            }
        }
        else
        {
            foreach ((int axis, long start, long end, long step) in Ranges(c, shape.Length, starts, ends, axes, steps))
            {
                if (result[axis].IsKnown) result[axis] = Resolve((int)result[axis].Value, start, end, step).Count;
                else if (start != 0 || end < int.MaxValue || step != 1) result[axis] = Dim.Unknown;
            }
        }
        c.Set(0, c.Element(0), result.ToArray());
    }

    public override Step Plan(PlanContext c)
    {
        int[] shape = c.InputShape(0);
        int[] extents = [.. shape], strides = Axes.Strides(shape);
        long[] starts, ends;
        long[]? axes, steps = null;
        if (c.Opset < 10)
        {
            starts = c.Attributes.Ints("starts") ?? throw c.Error("starts is missing", "starts and ends are given");
            ends = c.Attributes.Ints("ends") ?? throw c.Error("ends is missing", "starts and ends are given");
            axes = c.Attributes.Ints("axes");
        }
        else
        {
            (starts, ends) = (c.Required(1).ToInt64Array(), c.Required(2).ToInt64Array());
            axes = c.Has(3) ? c.Required(3).ToInt64Array() : null;
            steps = c.Has(4) ? c.Required(4).ToInt64Array() : null;
        }
        int offset = 0;
        foreach ((int axis, long start, long end, long step) in Ranges(c, shape.Length, starts, ends, axes, steps))
        {
            (int first, int count) = Resolve(shape[axis], start, end, step);
            offset += first * strides[axis];
            extents[axis] = count;
            strides[axis] = count <= 1 ? 0 : (int)(strides[axis] * step);
        }
        return extents.AsSpan().SequenceEqual(shape) && offset == 0 && steps?.All(step => step > 0) != false ? new ViewStep() : StridedCopy.Plan(c, extents, strides, offset);
    }

    private static IEnumerable<(int Axis, long Start, long End, long Step)> Ranges(NodeContext c, int rank, long[] starts, long[] ends, long[]? axes, long[]? steps)
    {
        int count = starts.Length;
        if (ends.Length != count || (axes is not null && axes.Length != count) || (steps is not null && steps.Length != count))
            throw c.Error($"{count} starts, {ends.Length} ends, {axes?.Length ?? count} axes, {steps?.Length ?? count} steps", "as many ends, axes and steps as starts");
        var seen = new HashSet<int>();
        for (int i = 0; i < count; i++)
        {
            int axis = c.Axis(axes is null ? i : axes[i], rank);
            if (!seen.Add(axis)) throw c.Error($"axis {axis} is named twice", "axes are different");
            long step = steps is null ? 1 : steps[i];
            if (step == 0) throw c.Error($"the step along axis {axis} is 0", "steps are not 0");
            yield return (axis, starts[i], ends[i], step);
        }
    }

    /// <summary>The first element and how many there are.</summary>
    private static (int First, int Count) Resolve(int extent, long start, long end, long step)
    {
        if (start < 0) start += extent;
        if (end < 0) end = end < -(long)extent ? -1 : end + extent;
        if (step > 0)
        {
            start = Math.Clamp(start, 0, extent);
            end = Math.Clamp(end, 0, extent);
            return ((int)start, end <= start ? 0 : (int)((end - start - 1) / step) + 1);
        }
        start = Math.Clamp(start, -1, extent - 1);
        end = Math.Clamp(end, -1, extent - 1);
        return start <= end ? (0, 0) : ((int)start, (int)((start - end - 1) / (step == long.MinValue ? long.MaxValue : -step)) + 1);
    }
}
