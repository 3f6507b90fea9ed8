using System.Runtime.CompilerServices;
using Octet.Kernels.Layout;
using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Concat</c>: the inputs side by side along attribute <c>axis</c> (default 1 before version 4); all other extents agree.</summary>
internal sealed class Concat : Operator
{
    public override OperatorId Id { get; } = new("Concat");

    public override string Types => "all";

    public override string IntegerForm => "same";

    public override void Infer(InferContext c)
    {
        DataType element = c.Element(0);
        int rank = -1;
        for (int i = 0; i < c.InputCount; i++)
        {
            if (element == DataType.Undefined) element = c.Element(i);
            if (c.Element(i) != DataType.Undefined && c.Element(i) != element) throw c.Error($"input {i} is {c.Element(i).Name()}", "all inputs have one element type");
            if (c.Rank(i) < 0) continue;
            if (rank >= 0 && rank != c.Rank(i)) throw c.Error($"input {i} has rank {c.Rank(i)}, others have {rank}", "all inputs have one rank");
            rank = c.Rank(i);
        }
        if (rank < 0)
        {
            c.SetUnknownShape(0, element);
            return;
        }
        int axis = Axis(c, rank);
        var result = new Dim[rank];
        for (int k = 0; k < rank; k++)
        {
            Dim extent = k == axis ? 0 : Dim.Unknown;
            for (int i = 0; i < c.InputCount; i++)
            {
                Dim here = c.Shape(i) is { } shape ? shape[k] : Dim.Unknown;
                if (k == axis) extent = here.IsKnown && extent.IsKnown || extent.Is(0) ? extent + here : Dim.Unknown;
                else if (extent.DiffersFrom(here)) throw c.Error($"input {i} has extent {here} at axis {k}, others have {extent}", "extents agree at every axis but the one that is joined");
                else if (!extent.IsKnown && (here.IsKnown || extent.Symbol is null)) extent = here;
            }
            result[k] = extent;
        }
        c.Set(0, element, result);
    }

    public override Step Plan(PlanContext c)
    {
        int[] y = c.OutputShape(0);
        int axis = Axis(c, y.Length), outer = Axes.Product(y, 0, axis);
        if (c.InputCount == 1) return new ViewStep();
        var blocks = new int[c.InputCount];
        for (int i = 0; i < blocks.Length; i++) blocks[i] = Axes.Product(c.InputShape(i), axis, y.Length);
        return MovementSteps.Plan(c, c.OutputElement(0), new Visitor(outer, blocks));
    }

    private static int Axis(NodeContext c, int rank)
    {
        if (!c.Attributes.Contains("axis") && c.Opset >= 4) throw c.Error("attribute 'axis' is missing", "'axis' is required");
        return c.Axis(c.Attributes.Int("axis", 1), rank);
    }

    private sealed class Visitor(int outer, int[] blocks) : IWidthVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T> => new ConcatStep<T>(outer, blocks, []);
    }

    private sealed class ConcatStep<T>(int outer, int[] blocks, bool[] done) : JoinStep where T : unmanaged
    {
        private readonly int _width = blocks.Sum();
        private readonly int[] _copied = [.. Enumerable.Range(0, blocks.Length).Where(i => done.Length == 0 || !done[i])];

        public override string Kernel => _copied.Length == blocks.Length ? "Concat" : $"Concat, {blocks.Length - _copied.Length} of {blocks.Length} inputs written in place";

        public override int Rows => outer;

        public override ReadOnlySpan<int> Widths => blocks;

        public override JoinStep Without(bool[] done) => new ConcatStep<T>(outer, blocks, done);

        public override void Run(StepContext c)
        {
            var work = new Pieces(c, outer, blocks, _copied, _width);
            c.Parallel.For(ref work, _copied.Length);
        }

        private readonly struct Pieces(StepContext c, int outer, int[] blocks, int[] copied, int width) : IPieces
        {
            public void Run(int piece, int worker)
            {
                int input = copied[piece], block = blocks[input], start = 0;
                for (int i = 0; i < input; i++) start += blocks[i];
                if (outer == 0 || block == 0) return;
                int size = Unsafe.SizeOf<T>();
                LayoutKernels.CopyRows(c.Input(input).Bytes.Span, (long)block * size, c.Output(0).Bytes.Span[(start * size)..], (long)width * size, block * size, outer);
            }
        }
    }
}
