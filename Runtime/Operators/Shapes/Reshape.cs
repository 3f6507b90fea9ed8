using System.Collections.Immutable;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>
/// <c>Reshape</c>: the same elements under another shape. −1 stands for what is left, 0 for the input's extent at the same place (with
/// <c>allowzero</c> for 0 itself). The shape is attribute <c>shape</c> before version 5, input 1 since.
/// </summary>
internal sealed class Reshape : Operator
{
    public override OperatorId Id { get; } = new("Reshape");

    public override string Types => "all";

    public override string IntegerForm => "same";

    public override void Infer(InferContext c)
    {
        long[]? target = c.Opset < 5 ? c.Attributes.Ints("shape") : c.KnownInts(1);
        if (target is null)
        {
            if (c.Opset >= 5 && c.Shape(1) is [{ IsKnown: true } rank] && rank.Value <= 64) c.Set(0, c.Element(0), new Dim[rank.Value]);
            else c.SetUnknownShape(0, c.Element(0));
            return;
        }
        c.Set(0, c.Element(0), Resolve(c, c.Shape(0), target, c.Attributes.Int("allowzero") != 0));
    }

    public override Step Plan(PlanContext c)
    {
        Views.RequireSameLength(c);
        return new ViewStep();
    }

    private static Dim[] Resolve(InferContext c, ImmutableArray<Dim>? input, long[] target, bool allowZero)
    {
        var result = new Dim[target.Length];
        Dim given = 1;
        int rest = -1;
        var copied = new HashSet<int>();
        for (int i = 0; i < target.Length; i++)
        {
            switch (target[i])
            {
                case -1:
                    if (rest >= 0) throw c.Error("two extents are −1", "at most one extent is −1");
                    rest = i;
                    break;
                case 0 when !allowZero:
                    if (input is { } shape)
                    {
                        if (i >= shape.Length) throw c.Error($"extent {i} is 0 but the input has rank {shape.Length}", "0 stands for the input's extent at the same place");
                        result[i] = shape[i];
                    }
                    copied.Add(i);
                    break;
                case < -1:
                    throw c.Error($"extent {i} is {target[i]}", "extents are −1 or more");
                default:
                    result[i] = target[i];
                    given *= target[i];
                    break;
            }
        }
        if (input is not { } from) return result;

        // Extents that are copied cancel on both sides, so that a batch of unknown size does not hide the others.
        Dim known = 1, unknown = 1;
        int unknowns = 0;
        for (int i = 0; i < from.Length; i++)
        {
            if (copied.Contains(i) && !from[i].Is(0)) continue;
            if (from[i].IsKnown) known *= from[i];
            else { unknown = from[i]; unknowns++; }
        }
        if (rest >= 0)
        {
            if (unknowns == 0)
            {
                if (given.Is(0)) throw c.Error("an extent is −1 beside an extent of 0", "−1 stands for the rest of a product that is not 0");
                if (known.Value % given.Value != 0) throw c.Error($"{known} elements do not divide into {given}", "element counts agree");
                result[rest] = known / given;
            }
            else if (unknowns == 1 && known.Equals(given)) result[rest] = unknown;
        }
        else if (unknowns == 0 && !known.Equals(given)) throw c.Error($"the input has {known} elements where the shape has {given}", "element counts agree");
        return result;
    }
}

/// <summary>What operators that only rename axes have in common.</summary>
internal static class Views
{
    /// <summary>Checks that output 0 has as many elements as input 0, so that it may be a view.</summary>
    public static void RequireSameLength(PlanContext c)
    {
        int from = Tensor.CountElements(c.InputShape(0)), to = Tensor.CountElements(c.OutputShape(0));
        if (from != to) throw c.Error($"the input has {from} elements but the output shape {Tensor.Format(c.OutputShape(0))} has {to}", "element counts agree");
    }
}
