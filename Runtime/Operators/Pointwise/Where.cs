using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Where</c>: <c>z = condition ? x : y</c> with broadcasting of all three.</summary>
internal sealed class Where : Operator
{
    public override OperatorId Id { get; } = new("Where");

    public override string Types => "all";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Bool);
        DataType element = c.Element(1) == DataType.Undefined ? c.Element(2) : c.Element(1);
        if (c.Element(2) != DataType.Undefined && c.Element(2) != element) throw c.Error($"x is {element.Name()} and y is {c.Element(2).Name()}", "x and y have one element type");
        Broadcast.Set(c, 0, element, Broadcast.Inputs(c, 0, 2));
    }

    public override Step Plan(PlanContext c)
    {
        var plan = new RowPlan(c, c.OutputShape(0), c.InputShape(0), c.InputShape(1), c.InputShape(2));
        return c.OutputElement(0) == DataType.String
            ? Step.From("string", step => SelectStrings(step, plan))
            : ElementTypes.Width(c, c.OutputElement(0), new Visitor(plan, Tensor.CountElements(c.InputShape(1)) == Tensor.CountElements(c.OutputShape(0)) ? 1 : 2));
    }

    private static void SelectStrings(StepContext c, RowPlan plan)
    {
        ReadOnlySpan<byte> condition = c.Input<byte>(0);
        Span<string> x = c.Input(1).Strings, y = c.Input(2).Strings, z = c.Output(0).Strings;
        Span<int> index = stackalloc int[plan.OuterRank], offsets = stackalloc int[3];
        plan.Seek(0, index, offsets);
        for (int row = 0; row < plan.Rows; row++, plan.Next(index, offsets))
        {
            for (int i = 0; i < plan.Inner; i++)
            {
                z[row * plan.Inner + i] = condition[offsets[0] + i * plan.InnerStrides[0]] != 0
                    ? x[offsets[1] + i * plan.InnerStrides[1]] : y[offsets[2] + i * plan.InnerStrides[2]];
            }
        }
    }

    private sealed class Visitor(RowPlan plan, int inPlaceInput) : IWidthVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T> => new SelectStep<T>(plan, inPlaceInput);
    }

    private sealed class SelectStep<T>(RowPlan plan, int inPlaceInput) : Step where T : unmanaged
    {
        public override string Kernel => "Where";

        public override int InPlaceInput(int output) => output == 0 ? inPlaceInput : -1;

        public override void Run(StepContext c)
        {
            var work = new Pieces(plan, c.Input(0), c.Input(1), c.Input(2), c.Output(0));
            c.Parallel.For(ref work, plan.Pieces);
        }

        /// <summary>Sixteen conditions at a time; returns how many elements are done.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static int Select(ReadOnlySpan<byte> choose, ReadOnlySpan<uint> x, int xStride, ReadOnlySpan<uint> y, int yStride, Span<uint> to)
        {
            const int Block = 16;
            int i = 0;
            for (; i <= to.Length - Block; i += Block)
            {
                Vector128<sbyte> no = Vector128.Equals(Vector128.Create(choose.Slice(i, Block)), Vector128<byte>.Zero).AsSByte();
                (Vector128<short> low, Vector128<short> high) = Vector128.Widen(no);
                (Vector128<int> a, Vector128<int> b) = Vector128.Widen(low);
                (Vector128<int> c, Vector128<int> d) = Vector128.Widen(high);
                Four(a.AsUInt32(), x, xStride, y, yStride, to, i);
                Four(b.AsUInt32(), x, xStride, y, yStride, to, i + 4);
                Four(c.AsUInt32(), x, xStride, y, yStride, to, i + 8);
                Four(d.AsUInt32(), x, xStride, y, yStride, to, i + 12);
            }
            return i;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Four(Vector128<uint> no, ReadOnlySpan<uint> x, int xStride, ReadOnlySpan<uint> y, int yStride, Span<uint> to, int at)
        {
            Vector128<uint> ifTrue = xStride == 0 ? Vector128.Create(x[0]) : Vector128.Create(x.Slice(at, 4)), ifFalse = yStride == 0 ? Vector128.Create(y[0]) : Vector128.Create(y.Slice(at, 4));
            Vector128.ConditionalSelect(no, ifFalse, ifTrue).CopyTo(to.Slice(at, 4));
        }

        private readonly struct Pieces(RowPlan plan, Tensor condition, Tensor x, Tensor y, Tensor z) : IPieces
        {
            [MethodImpl(MethodImplOptions.AggressiveOptimization)]
            public void Run(int piece, int worker)
            {
                (int first, int rows, int start, int length) = plan.Piece(piece);
                Span<int> index = stackalloc int[plan.OuterRank], offsets = stackalloc int[3];
                plan.Seek(first, index, offsets);
                int cStride = plan.InnerStrides[0], xStride = plan.InnerStrides[1], yStride = plan.InnerStrides[2];
                ReadOnlySpan<byte> cAll = condition.Span<byte>();
                ReadOnlySpan<T> xAll = x.Span<T>(), yAll = y.Span<T>();
                Span<T> zAll = z.Span<T>();
                for (int row = first; row < first + rows; row++, plan.Next(index, offsets))
                {
                    ReadOnlySpan<byte> choose = cAll[(offsets[0] + start * cStride)..];
                    ReadOnlySpan<T> ifTrue = xAll[(offsets[1] + start * xStride)..], ifFalse = yAll[(offsets[2] + start * yStride)..];
                    Span<T> to = zAll.Slice(row * plan.Inner + start, length);
                    int done = Unsafe.SizeOf<T>() == sizeof(uint) && cStride == 1
                        ? Select(choose, MemoryMarshal.Cast<T, uint>(ifTrue), xStride, MemoryMarshal.Cast<T, uint>(ifFalse), yStride, MemoryMarshal.Cast<T, uint>(to)) : 0;
                    for (int i = done; i < to.Length; i++) to[i] = choose[i * cStride] != 0 ? ifTrue[i * xStride] : ifFalse[i * yStride];
                }
            }
        }
    }
}
