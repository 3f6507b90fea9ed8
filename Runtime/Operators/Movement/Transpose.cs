using Octet.Kernels.Layout;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Transpose</c>: axis k of the output is axis <c>perm[k]</c> of the input; without <c>perm</c> the axes are reversed.</summary>
internal sealed class Transpose : Operator
{
    public override OperatorId Id { get; } = new("Transpose");

    public override string Types => "all";

    public override string IntegerForm => "same";

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is not { } shape)
        {
            if (c.Attributes.Ints("perm") is { Length: <= 64 } known) c.Set(0, c.Element(0), new Dim[known.Length]);
            else c.SetUnknownShape(0, c.Element(0));
            return;
        }
        int[] permutation = Permutation(c, shape.Length);
        var moved = new Dim[permutation.Length];
        for (int i = 0; i < moved.Length; i++) moved[i] = shape[permutation[i]];
        c.Set(0, c.Element(0), moved);
    }

    public override Step Plan(PlanContext c)
    {
        int[] shape = c.InputShape(0), permutation = Permutation(c, shape.Length);
        bool inOrder = true;
        int last = -1;
        foreach (int axis in permutation)
        {
            if (shape[axis] == 1) continue;
            inOrder &= axis > last;
            last = axis;
        }
        if (inOrder) return new ViewStep();
        bool text = c.Element(0) == DataType.String;
        var step = new PermuteStep(TransposePlan.Create(shape, permutation, text ? sizeof(uint) : c.Element(0).Size()));
        return text ? new TextMovementStep(step) : step;
    }

    private sealed class PermuteStep(TransposePlan plan) : Step
    {
        public override string Kernel => "Transpose";

        public override void Run(StepContext c) => plan.Run(c.Input(0).Bytes.Span, c.Output(0).Bytes.Span, c.Parallel);
    }

    private static int[] Permutation(NodeContext c, int rank)
    {
        if (c.Attributes.Ints("perm") is not { } perm) return [.. Enumerable.Range(0, rank).Reverse()];
        int[] axes = Array.ConvertAll(perm, axis => c.Axis(axis, rank));
        bool distinct = true;
        for (int i = 1; i < axes.Length; i++) distinct &= Array.IndexOf(axes, axes[i], 0, i) < 0;
        if (axes.Length != rank || !distinct) throw c.Error($"perm [{string.Join(",", perm)}] is no permutation of {rank} axes", "perm names every axis once");
        return axes;
    }
}
