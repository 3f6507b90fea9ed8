using System.Collections.Immutable;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Base of the element-wise operators of two inputs: NumPy broadcasting since version 7, <c>broadcast</c> and <c>axis</c> before.</summary>
internal abstract class BinaryOperator(string type, string domain = "") : Operator
{
    public override OperatorId Id { get; } = new(type, domain);

    /// <summary>Element types of the inputs.</summary>
    protected abstract ReadOnlySpan<DataType> Allowed { get; }

    /// <summary>Element type of the output, given that of the inputs.</summary>
    protected virtual DataType Result(DataType element) => element;

    public override void Infer(InferContext c)
    {
        DataType element = c.Expect(0, Allowed), second = c.Expect(1, Allowed);
        if (element == DataType.Undefined) element = second;
        if (second != DataType.Undefined && second != element) throw c.Error($"inputs are {element.Name()} and {second.Name()}", "both inputs have one element type");
        Broadcast.Set(c, 0, Result(element), Broadcast.Shapes(c, c.Shape(0), LegacyBroadcast.Second(c)));
    }

    public override Step Plan(PlanContext c)
    {
        int[] a = c.InputShape(0), b = LegacyBroadcast.SecondConcrete(c), y = c.OutputShape(0);
        var plan = new RowPlan(c, y, a, b);
        return Plan(c, plan, c.Element(0) != c.OutputElement(0) ? -1 : Tensor.CountElements(a) == Tensor.CountElements(y) ? 0 : 1);
    }

    /// <summary>The step for operands walked by <paramref name="plan"/>.</summary>
    protected abstract Step Plan(PlanContext c, RowPlan plan, int inPlaceInput);
}

/// <summary>Broadcasting as versions before 7 ask for it: B's axis 0 lies under axis <c>axis</c> of A.</summary>
internal static class LegacyBroadcast
{
    /// <summary>The extents of input 1, with the trailing 1s that put it under the right axes of input 0; a slope of <c>PRelu</c> belongs to axis 1.</summary>
    public static ImmutableArray<Dim>? Second(NodeContext c)
    {
        if (c.Opset < 7 && c.Node.Is("PRelu") && c.Rank(0) > 2 && c.Shape(1) is [var channels] && !channels.Is(1))
            return [channels, .. Enumerable.Repeat<Dim>(1, c.Rank(0) - 2)];
        if (c.Opset >= 7 || c.Node.Domain.Length != 0 || c.Attributes.Int("broadcast") == 0 || !c.Attributes.Contains("axis") || c.Rank(0) < 0 || c.Shape(1) is not { } b) return c.Shape(1);
        int trailing = c.Rank(0) - c.Axis(c.Attributes.Int("axis"), c.Rank(0)) - b.Length;
        if (trailing < 0) throw c.Error($"B has rank {b.Length}, which does not fit behind axis {c.Attributes.Int("axis")} of A", "axis + rank(B) ≤ rank(A)");
        return b.AddRange(Enumerable.Repeat<Dim>(1, trailing));
    }

    /// <summary>The same once all extents are numbers.</summary>
    public static int[] SecondConcrete(PlanContext c) => Second(c) is { } shape ? new TensorType(c.Element(1), shape.AsSpan()).ConcreteShape() : c.InputShape(1);
}
