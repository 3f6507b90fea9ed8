using System.Collections.Immutable;
using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary><c>Flatten</c>: a matrix whose rows run over the axes before attribute <c>axis</c> (default 1), columns over the others.</summary>
internal sealed class Flatten : Operator
{
    public override OperatorId Id { get; } = new("Flatten");

    public override string Types => "all";

    public override string IntegerForm => "same";

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is not { } shape)
        {
            c.Set(0, c.Element(0), Dim.Unknown, Dim.Unknown);
            return;
        }
        long attribute = c.Attributes.Int("axis", 1);
        int axis = attribute == shape.Length ? shape.Length : c.Axis(attribute, shape.Length);
        c.Set(0, c.Element(0), Axes.Product(shape, 0, axis), Axes.Product(shape, axis, shape.Length));
    }

    public override Step Plan(PlanContext c) => new ViewStep();
}

/// <summary><c>Squeeze</c>: axes of extent 1 removed: those in <c>axes</c> (attribute before version 13, input 1 since), or all.</summary>
internal sealed class Squeeze : Operator
{
    public override OperatorId Id { get; } = new("Squeeze");

    public override string Types => "all";

    public override string IntegerForm => "same";

    public override void Infer(InferContext c)
    {
        bool given = c.Opset < 13 ? c.Attributes.Contains("axes") : c.Has(1);
        long[]? axes = c.Opset < 13 ? c.Attributes.Ints("axes") : c.KnownInts(1);
        if (c.Shape(0) is not { } shape || (given && axes is null) || (!given && shape.Any(dim => !dim.IsKnown)))
        {
            c.SetUnknownShape(0, c.Element(0));
            return;
        }
        var result = ImmutableArray.CreateBuilder<Dim>();
        int[] removed = axes is null ? [.. Enumerable.Range(0, shape.Length).Where(i => shape[i].Is(1))] : Axes.Normalize(c, axes, shape.Length);
        for (int i = 0; i < shape.Length; i++)
        {
            if (Array.IndexOf(removed, i) < 0) result.Add(shape[i]);
            else if (shape[i].IsKnown && !shape[i].Is(1)) throw c.Error($"axis {i} has extent {shape[i]}", "only axes of extent 1 are squeezed");
        }
        c.Set(0, c.Element(0), result.ToArray());
    }

    public override Step Plan(PlanContext c)
    {
        Views.RequireSameLength(c);
        return new ViewStep();
    }
}

/// <summary><c>Unsqueeze</c>: axes of extent 1 inserted, at the places that <c>axes</c> (attribute before version 13, input 1 since) names in the output.</summary>
internal sealed class Unsqueeze : Operator
{
    public override OperatorId Id { get; } = new("Unsqueeze");

    public override string Types => "all";

    public override string IntegerForm => "same";

    public override void Infer(InferContext c)
    {
        long[]? axes = c.Opset < 13 ? c.Attributes.Ints("axes") ?? throw c.Error("axes is missing", "axes names the new axes") : c.KnownInts(1);
        if (c.Shape(0) is not { } shape || axes is null)
        {
            c.SetUnknownShape(0, c.Element(0));
            return;
        }
        int rank = shape.Length + axes.Length;
        int[] inserted = Axes.Normalize(c, axes, rank);
        var result = new Dim[rank];
        for (int i = 0, from = 0; i < rank; i++) result[i] = Array.BinarySearch(inserted, i) >= 0 ? 1 : shape[from++];
        c.Set(0, c.Element(0), result);
    }

    public override Step Plan(PlanContext c) => new ViewStep();
}
