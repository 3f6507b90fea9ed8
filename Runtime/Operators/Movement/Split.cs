using System.Runtime.CompilerServices;
using Octet.Kernels.Layout;
using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>
/// <c>Split</c>: the input cut along attribute <c>axis</c> into pieces of the extents in <c>split</c> (attribute before version 13, input 1 since), or
/// into equal ones, the last smaller where they do not divide.
/// </summary>
internal sealed class Split : Operator
{
    public override OperatorId Id { get; } = new("Split");

    public override string Types => "all";

    public override string IntegerForm => "same";

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is not { } shape)
        {
            for (int i = 0; i < c.OutputCount; i++) c.SetUnknownShape(i, c.Element(0));
            return;
        }
        int axis = c.Axis(c.Attributes.Int("axis"), shape.Length);
        Dim[] extents = Extents(c, shape[axis]);
        for (int i = 0; i < c.OutputCount; i++) c.Set(i, c.Element(0), shape.SetItem(axis, extents[i]).AsSpan());
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        int axis = c.Axis(c.Attributes.Int("axis"), x.Length), inner = Axes.Product(x, axis + 1, x.Length);
        var blocks = new int[c.OutputCount];
        Dim[] extents = Extents(c, x[axis]);
        for (int i = 0; i < blocks.Length; i++) blocks[i] = (int)extents[i].Value * inner;
        return MovementSteps.Plan(c, c.Element(0), new Visitor(Axes.Product(x, 0, axis), x[axis] * inner, blocks));
    }

    private static Dim[] Extents(NodeContext c, Dim whole)
    {
        bool given = c.Opset < 13 ? c.Attributes.Contains("split") || c.Has(1) : c.Has(1);
        long[]? split = c.Opset < 13 && !c.Has(1) ? c.Attributes.Ints("split") : c is InferContext infer ? infer.KnownInts(1) : ((PlanContext)c).Known(1)?.ToInt64Array();
        var result = new Dim[c.OutputCount];
        if (given && split is null)
        {
            // Planned with concrete outputs although the extents are computed: they are in the outputs' types already.
            if (c is PlanContext plan)
            {
                for (int i = 0; i < result.Length; i++) result[i] = plan.Wants(i) ? plan.OutputShape(i)[plan.Axis(plan.Attributes.Int("axis"), plan.InputShape(0).Length)] : throw c.Unsupported("input 1 is computed at run time and an output is left out", "a constant split");
            }
            return result;
        }
        if (split is not null)
        {
            if (split.Length != result.Length) throw c.Error($"{split.Length} extents for {result.Length} outputs", "one extent per output");
            long sum = 0;
            for (int i = 0; i < split.Length; i++)
            {
                if (split[i] < 0) throw c.Error($"extent {i} is {split[i]}", "extents are 0 or more");
                sum += split[i];
                result[i] = split[i];
            }
            if (whole.IsKnown && whole.Value != sum) throw c.Error($"the extents sum to {sum}, the axis has {whole}", "extents sum to that of the axis");
            return result;
        }
        long pieces = c.Attributes.Int("num_outputs", result.Length);
        if (pieces != result.Length) throw c.Error($"num_outputs is {pieces} but the node has {result.Length} outputs", "num_outputs is the number of outputs");
        if (!whole.IsKnown) return result;
        long each = (whole.Value + pieces - 1) / pieces;
        if (c.Opset < 18 && whole.Value % pieces != 0) throw c.Error($"extent {whole} does not divide by {pieces} outputs", "before version 18 all outputs are equal");
        for (int i = 0; i < result.Length; i++) result[i] = Math.Max(0, Math.Min(each, whole.Value - i * each));
        return result;
    }

    private sealed class Visitor(int outer, int width, int[] blocks) : IWidthVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T> => new SplitStep<T>(outer, width, blocks);
    }

    private sealed class SplitStep<T>(int outer, int width, int[] blocks) : Step where T : unmanaged
    {
        public override string Kernel => "Split";

        public override void Run(StepContext c)
        {
            var work = new Pieces(c, outer, width, blocks);
            c.Parallel.For(ref work, blocks.Length);
        }

        private readonly struct Pieces(StepContext c, int outer, int width, int[] blocks) : IPieces
        {
            public void Run(int piece, int worker)
            {
                if (!c.Wants(piece)) return;
                int block = blocks[piece], start = 0;
                for (int i = 0; i < piece; i++) start += blocks[i];
                if (outer == 0 || block == 0) return;
                int size = Unsafe.SizeOf<T>();
                LayoutKernels.CopyRows(c.Input(0).Bytes.Span[(start * size)..], (long)width * size, c.Output(piece).Bytes.Span, (long)block * size, block * size, outer);
            }
        }
    }
}
