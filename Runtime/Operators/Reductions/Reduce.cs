using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Octet.Kernels.Reduce;
using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>How elements are combined into one.</summary>
internal interface IReduction
{
    /// <summary>Whether the result is computed in float64 even for integers.</summary>
    static virtual bool IsReal => false;

    /// <summary>Whether the result is one of the elements, so that it needs no wider type.</summary>
    static virtual bool Selects => false;

    /// <summary>Whether <c>shift</c> is the maximum of the elements; it is 0 otherwise.</summary>
    static virtual bool NeedsMaximum => false;

    /// <summary>The result for no element.</summary>
    static virtual TSum Start<TSum>(TSum lowest, TSum highest) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => TSum.Zero;

    /// <summary>The result with one more element.</summary>
    static abstract TSum Add<TSum>(TSum sum, TSum x, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum>;

    /// <summary>What is done when all <paramref name="count"/> elements are in.</summary>
    static virtual TSum Finish<TSum>(TSum sum, long count, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => sum;
}

/// <summary>
/// <c>ReduceSum</c>, <c>ReduceMean</c>, <c>ReduceMax</c>, …: all elements along <c>axes</c> combined into one; without axes all of them, or with
/// <c>noop_with_empty_axes</c> each alone. <c>keepdims</c> (default 1) leaves the axes with extent 1.
/// </summary>
/// <remarks>
/// float32 is summed in float32 by the vector kernel (runs below 16 elements in float64), other floating-point types in float64, integers in int64, each in one fixed order. Axes are an attribute, or input 1 from a version on.
/// </remarks>
/// <param name="type">Operator type.</param>
/// <param name="vector">The vector kernel for float32.</param>
/// <param name="axesInputSince">The version from which on input 1 names the axes.</param>
internal sealed class Reduce<TReduction>(string type, ReduceOperation vector, int axesInputSince = 18) : Operator where TReduction : struct, IReduction
{
    private const int ShortRun = 16;

    public override OperatorId Id { get; } = new(type);

    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64" + (TReduction.Selects ? ", bool" : "");

    public override void Infer(InferContext c)
    {
        DataType element = c.Element(0);
        bool given = c.Opset < axesInputSince ? c.Attributes.Contains("axes") : c.Has(1), keep = c.Attributes.Int("keepdims", 1) != 0;
        long[]? axes = c.Opset < axesInputSince ? c.Attributes.Ints("axes") : c.KnownInts(1);
        if (c.Shape(0) is not { } shape || (given && axes is null && c.Opset >= axesInputSince))
        {
            if (keep && c.Rank(0) >= 0) c.Set(0, element, new Dim[c.Rank(0)]);
            else c.SetUnknownShape(0, element);
            return;
        }
        int[] reduced = Reduced(c, axes, shape.Length);
        var result = new List<Dim>();
        for (int i = 0; i < shape.Length; i++)
        {
            if (Array.BinarySearch(reduced, i) < 0) result.Add(shape[i]);
            else if (keep) result.Add(1);
        }
        c.Set(0, element, [.. result]);
    }

    public override Step Plan(PlanContext c)
    {
        int[] shape = c.InputShape(0);
        long[]? axes = c.Opset < axesInputSince ? c.Attributes.Ints("axes") : c.Has(1) ? c.Required(1).ToInt64Array() : null;
        int[] reduced = Reduced(c, axes, shape.Length);
        var layout = new ReductionLayout(shape, reduced);
        bool shortRuns = layout.Summed is [{ Stride: 1, Extent: < ShortRun }];   // a call of the vector kernel each would cost more than the run
        if (c.Element(0) == DataType.Float32 && !shortRuns)
        {
            var flags = new bool[shape.Length];
            foreach (int axis in reduced) flags[axis] = true;
            return new VectorStep(ReduceKernel.Create(vector, shape, flags, c.Cpu));
        }
        return c.Element(0) == DataType.Bool && TReduction.Selects
            ? new ReduceStep<byte, byte, TReduction>(c.Node.OperatorType, layout, byte.MinValue, 1)
            : ElementTypes.Number(c, c.Element(0), new Visitor(c.Node.OperatorType, layout));
    }

    private static int[] Reduced(NodeContext c, long[]? axes, int rank)
    {
        if (axes is { Length: > 0 }) return Axes.Normalize(c, axes, rank);
        return c.Attributes.Int("noop_with_empty_axes") != 0 ? [] : [.. Enumerable.Range(0, rank)];
    }

    private sealed class VectorStep(ReduceKernel kernel) : Step
    {
        public override string Kernel => $"Reduce{kernel.Operation}";

        public override int ScratchBytes => kernel.ScratchFloats * sizeof(float);

        public override void Run(StepContext c) =>
            kernel.Run(c.Input<float>(0), c.Output<float>(0), MemoryMarshal.Cast<byte, float>(c.Scratch)[..kernel.ScratchFloats], c.Parallel);
    }

    private sealed class Visitor(string kernel, ReductionLayout layout) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T>
        {
            if (TReduction.Selects) return new ReduceStep<T, T, TReduction>(kernel, layout, T.CreateSaturating(double.NegativeInfinity), T.CreateSaturating(double.PositiveInfinity));
            bool real = TReduction.IsReal || typeof(T) == typeof(float) || typeof(T) == typeof(double) || typeof(T) == typeof(Half);
            return real ? new ReduceStep<T, double, TReduction>(kernel, layout, default, default) : new ReduceStep<T, long, TReduction>(kernel, layout, default, default);
        }
    }
}

/// <summary>The axes of a reduction, neighbours merged: which elements go into each result, in row-major order of both.</summary>
internal sealed class ReductionLayout
{
    /// <summary>Groups of axes that alternate between kept and reduced.</summary>
    public ReductionLayout(int[] shape, int[] reduced)
    {
        int[] strides = Axes.Strides(shape);
        var kept = new List<(int Extent, int Stride)>();
        var summed = new List<(int Extent, int Stride)>();
        bool? last = null;
        for (int i = 0; i < shape.Length; i++)
        {
            bool isReduced = Array.BinarySearch(reduced, i) >= 0;
            if (shape[i] == 1) continue;
            List<(int Extent, int Stride)> list = isReduced ? summed : kept;
            if (last == isReduced) list[^1] = (list[^1].Extent * shape[i], strides[i]);
            else list.Add((shape[i], strides[i]));
            last = isReduced;
        }
        Kept = [.. kept];
        Summed = [.. summed];
        Results = Kept.Aggregate(1, (product, axis) => product * axis.Extent);
        Count = Summed.Aggregate(1, (product, axis) => product * axis.Extent);
    }

    /// <summary>Axes that stay, outermost first.</summary>
    public (int Extent, int Stride)[] Kept { get; }

    /// <summary>Axes that vanish, outermost first.</summary>
    public (int Extent, int Stride)[] Summed { get; }

    /// <summary>Elements of the output.</summary>
    public int Results { get; }

    /// <summary>Elements of the input per element of the output.</summary>
    public int Count { get; }

    /// <summary>Input offset of position <paramref name="index"/> in row-major order of <paramref name="axes"/>.</summary>
    public static int Offset((int Extent, int Stride)[] axes, int index)
    {
        int offset = 0;
        for (int i = axes.Length - 1; i >= 0; i--)
        {
            offset += index % axes[i].Extent * axes[i].Stride;
            index /= axes[i].Extent;
        }
        return offset;
    }
}

/// <summary>Reduces elements of type <typeparamref name="T"/> in <typeparamref name="TSum"/>.</summary>
/// <param name="kernel">What <see cref="Step.Kernel"/> says.</param>
/// <param name="layout">Which elements go into each result.</param>
/// <param name="lowest">Result of a maximum of nothing.</param>
/// <param name="highest">Result of a minimum of nothing.</param>
internal sealed class ReduceStep<T, TSum, TReduction>(string kernel, ReductionLayout layout, TSum lowest, TSum highest) : Step
    where T : unmanaged, INumber<T>, IMinMaxValue<T> where TSum : unmanaged, INumber<TSum>, IMinMaxValue<TSum> where TReduction : struct, IReduction
{
    private const int PieceLength = 16384;

    public override string Kernel => kernel;

    public override void Run(StepContext c)
    {
        if (layout.Results == 0) return;
        var work = new Pieces(layout, c.Input(0), c.Output(0), lowest, highest);
        c.Parallel.For(ref work, (layout.Results + PerPiece(layout) - 1) / PerPiece(layout));
    }

    private static int PerPiece(ReductionLayout layout) => Math.Max(1, PieceLength / Math.Max(1, layout.Count));

    private readonly struct Pieces(ReductionLayout layout, Tensor x, Tensor y, TSum lowest, TSum highest) : IPieces
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(int piece, int worker)
        {
            ReadOnlySpan<T> from = x.Span<T>();
            Span<T> to = y.Span<T>();
            int first = piece * PerPiece(layout), end = Math.Min(layout.Results, first + PerPiece(layout));
            (int Extent, int Stride)[] summed = layout.Summed;
            int inner = summed.Length == 0 ? 1 : summed[^1].Extent, stride = summed.Length == 0 ? 1 : summed[^1].Stride;
            int rows = inner == 0 ? 0 : layout.Count / inner;
            for (int result = first; result < end; result++)
            {
                int start = ReductionLayout.Offset(layout.Kept, result);
                TSum shift = TSum.Zero;
                if (TReduction.NeedsMaximum)
                {
                    double max = double.NegativeInfinity;
                    for (int row = 0; row < rows; row++)
                    {
                        int at = start + RowOffset(summed, row);
                        for (int i = 0; i < inner; i++, at += stride) max = Math.Max(max, double.CreateTruncating(from[at]));
                    }
                    shift = double.IsFinite(max) ? TSum.CreateTruncating(max) : TSum.Zero;
                }
                TSum sum = TReduction.Start(lowest, highest);
                for (int row = 0; row < rows; row++)
                {
                    int at = start + RowOffset(summed, row);
                    for (int i = 0; i < inner; i++, at += stride) sum = TReduction.Add(sum, Conversion.Number<T, TSum>(from[at]), shift);
                }
                sum = TReduction.Finish(sum, layout.Count, shift);
                to[result] = Conversion.Number<TSum, T>(sum);
            }
        }

        /// <summary>Offset of a run along the innermost reduced axis.</summary>
        private static int RowOffset((int Extent, int Stride)[] axes, int row)
        {
            int offset = 0;
            for (int i = axes.Length - 2; i >= 0; i--)
            {
                offset += row % axes[i].Extent * axes[i].Stride;
                row /= axes[i].Extent;
            }
            return offset;
        }
    }
}

/// <summary><c>Σ x</c>.</summary>
internal readonly struct SumReduction : IReduction
{
    public static TSum Add<TSum>(TSum sum, TSum x, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => sum + x;
}

/// <summary><c>Σ x / n</c>; integers round towards zero, NaN (0 for integers) for no element.</summary>
internal readonly struct MeanReduction : IReduction
{
    public static TSum Add<TSum>(TSum sum, TSum x, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => sum + x;

    public static TSum Finish<TSum>(TSum sum, long count, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> =>
        count == 0 && typeof(TSum) != typeof(double) ? TSum.Zero : sum / TSum.CreateTruncating(count);
}

/// <summary>The largest element; −∞ or the lowest value for none, NaN where one is.</summary>
internal readonly struct MaxReduction : IReduction
{
    public static bool Selects => true;

    public static TSum Start<TSum>(TSum lowest, TSum highest) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => lowest;

    public static TSum Add<TSum>(TSum sum, TSum x, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => TSum.Max(sum, x);
}

/// <summary>The smallest element; +∞ or the highest value for none, NaN where one is.</summary>
internal readonly struct MinReduction : IReduction
{
    public static bool Selects => true;

    public static TSum Start<TSum>(TSum lowest, TSum highest) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => highest;

    public static TSum Add<TSum>(TSum sum, TSum x, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => TSum.Min(sum, x);
}

/// <summary><c>Π x</c>.</summary>
internal readonly struct ProductReduction : IReduction
{
    public static TSum Start<TSum>(TSum lowest, TSum highest) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => TSum.One;

    public static TSum Add<TSum>(TSum sum, TSum x, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => sum * x;
}

/// <summary><c>Σ |x|</c>.</summary>
internal readonly struct L1Reduction : IReduction
{
    public static TSum Add<TSum>(TSum sum, TSum x, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => sum + (TSum.IsNegative(x) ? TSum.Zero - x : x);
}

/// <summary><c>√Σ x²</c>.</summary>
internal readonly struct L2Reduction : IReduction
{
    public static bool IsReal => true;

    public static TSum Add<TSum>(TSum sum, TSum x, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => sum + x * x;

    public static TSum Finish<TSum>(TSum sum, long count, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> =>
        TSum.CreateTruncating(Math.Sqrt(double.CreateTruncating(sum)));
}

/// <summary><c>Σ x²</c>.</summary>
internal readonly struct SumSquareReduction : IReduction
{
    public static TSum Add<TSum>(TSum sum, TSum x, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => sum + x * x;
}

/// <summary><c>ln Σ x</c>.</summary>
internal readonly struct LogSumReduction : IReduction
{
    public static bool IsReal => true;

    public static TSum Add<TSum>(TSum sum, TSum x, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> => sum + x;

    public static TSum Finish<TSum>(TSum sum, long count, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> =>
        TSum.CreateTruncating(Math.Log(double.CreateTruncating(sum)));
}

/// <summary><c>ln Σ eˣ = m + ln Σ e^(x − m)</c>, m the maximum where it is finite and 0 otherwise.</summary>
internal readonly struct LogSumExpReduction : IReduction
{
    public static bool IsReal => true;

    public static bool NeedsMaximum => true;

    public static TSum Add<TSum>(TSum sum, TSum x, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> =>
        sum + TSum.CreateTruncating(Math.Exp(double.CreateTruncating(x - shift)));

    public static TSum Finish<TSum>(TSum sum, long count, TSum shift) where TSum : struct, INumber<TSum>, IMinMaxValue<TSum> =>
        shift + TSum.CreateTruncating(Math.Log(double.CreateTruncating(sum)));
}
