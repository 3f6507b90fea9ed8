using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Lanes;
using Octet.Kernels.Threading;

namespace Octet.Kernels.Reduce;

/// <summary>The reductions of ONNX.</summary>
internal enum ReduceOperation
{
    /// <summary><c>Σ x</c>.</summary>
    Sum,

    /// <summary><c>Σ x / n</c>.</summary>
    Mean,

    /// <summary>Largest; NaN if any is.</summary>
    Max,

    /// <summary>Smallest; NaN if any is.</summary>
    Min,

    /// <summary><c>Π x</c>.</summary>
    Product,

    /// <summary><c>Σ |x|</c>.</summary>
    L1,

    /// <summary><c>√Σ x²</c>.</summary>
    L2,

    /// <summary><c>Σ x²</c>.</summary>
    SumSquare,

    /// <summary><c>ln Σ x</c>.</summary>
    LogSum,

    /// <summary><c>ln Σ eˣ</c>, computed as <c>m + ln Σ e^(x−m)</c> with the largest element m.</summary>
    LogSumExp,
}

/// <summary>Float reductions over any axes of a dense tensor.</summary>
/// <remarks>
/// The additions of one output have a fixed order: a run is summed in four registers that are joined pairwise and then by halving, runs are
/// joined in ascending order. The order depends on the register width but not on threads.
/// </remarks>
internal sealed unsafe class ReduceKernel
{
    private readonly int[] _extents;     // alternating groups, outermost first
    private readonly bool[] _reduced;
    private readonly delegate*<float*, nint, float, float> _row;
    private readonly delegate*<float*, nint, nint, float*, void> _rows;
    private readonly ReduceKernel? _max;
    private readonly int _split;

    private ReduceKernel(ReduceOperation operation, int[] extents, bool[] reduced, CpuFeatures cpu)
    {
        Operation = operation;
        _extents = extents;
        _reduced = reduced;
        OutputLength = 1;
        Count = 1;
        for (int i = 0; i < extents.Length; i++)
        {
            if (reduced[i]) Count = checked(Count * extents[i]);
            else OutputLength = checked(OutputLength * extents[i]);
        }
        VectorWidth width = VectorWidths.Select(cpu);
        _row = Row(operation, width);
        _rows = Rows(operation, width);
        if (operation == ReduceOperation.LogSumExp) _max = new(ReduceOperation.Max, extents, reduced, cpu);
        _split = extents.Length > 0 && !reduced[0] ? extents[0] : 1;
    }

    /// <summary>What is computed.</summary>
    public ReduceOperation Operation { get; }

    /// <summary>Elements of the output.</summary>
    public int OutputLength { get; }

    /// <summary>Elements that each output combines.</summary>
    public int Count { get; }

    /// <summary>Elements of the input.</summary>
    public int InputLength => checked(OutputLength * Count);

    /// <summary>Prepares a reduction.</summary>
    /// <param name="operation">Which.</param>
    /// <param name="shape">Input extents.</param>
    /// <param name="reduced">One flag per axis: whether it is reduced.</param>
    /// <param name="cpu">The CPU.</param>
    /// <exception cref="ArgumentException">The flags do not have the shape's rank.</exception>
    public static ReduceKernel Create(ReduceOperation operation, ReadOnlySpan<int> shape, ReadOnlySpan<bool> reduced, CpuFeatures cpu)
    {
        if (shape.Length != reduced.Length) throw new ArgumentException($"{reduced.Length} flags for rank {shape.Length}", nameof(reduced));
        var extents = new List<int>();
        var flags = new List<bool>();
        for (int i = 0; i < shape.Length; i++)
        {
            if (shape[i] == 1) continue;
            if (flags.Count > 0 && flags[^1] == reduced[i]) extents[^1] = checked(extents[^1] * shape[i]);
            else
            {
                extents.Add(shape[i]);
                flags.Add(reduced[i]);
            }
        }
        return new(operation, [.. extents], [.. flags], cpu);
    }

    /// <summary>Floats of scratch: one per output for LogSumExp, else none.</summary>
    public int ScratchFloats => _max is null ? 0 : OutputLength;

    /// <summary>Reduces.</summary>
    /// <param name="x">Input, dense.</param>
    /// <param name="y">Output, one element per combination of kept indices, in order; must not overlap x.</param>
    /// <param name="scratch">At least <see cref="ScratchFloats"/> floats.</param>
    /// <param name="p">Threads; used where the outermost axis is kept.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public void Run(ReadOnlySpan<float> x, Span<float> y, Span<float> scratch, Parallelism p)
    {
        if (x.Length < InputLength || y.Length < OutputLength || scratch.Length < ScratchFloats)
            throw new ArgumentException($"x, y and scratch need {InputLength}, {OutputLength} and {ScratchFloats} elements, but have {x.Length}, {y.Length} and {scratch.Length}");
        if (OutputLength == 0) return;
        _max?.Run(x, scratch, [], p);
        fixed (float* xp = x, yp = y, sp = scratch)
        {
            var work = new Pieces { This = this, X = xp, Y = yp, Max = sp };
            long perPiece = Math.Max(1, (long)InputLength / _split);
            work.Block = (int)Math.Clamp(32768 / perPiece, 1, _split);
            p.For(ref work, (_split + work.Block - 1) / work.Block);
        }
    }

    private struct Pieces : IPieces
    {
        public ReduceKernel This;
        public float* X, Y, Max;
        public int Block;

        public readonly void Run(int piece, int worker)
        {
            int first = piece * Block, count = Math.Min(Block, This._split - first);
            nint xStep = This.InputLength / This._split, yStep = This.OutputLength / This._split;
            This.RunPiece(X + first * xStep, Y + first * yStep, Max + first * yStep, count, (int)(count * yStep));
        }
    }

    private void RunPiece(float* x, float* y, float* max, int count, int outputs)
    {
        float identity = Operation switch
        {
            ReduceOperation.Max => MaxReduce.Identity,
            ReduceOperation.Min => MinReduce.Identity,
            ReduceOperation.Product => ProductReduce.Identity,
            _ => 0f,
        };
        new Span<float>(y, outputs).Fill(identity);
        if (_extents.Length > 0 && _reduced[0]) Accumulate(0, x, y, max);
        else if (_extents.Length > 0)
        {
            nint xStep = InputLength / _split, yStep = OutputLength / _split;
            for (int i = 0; i < count; i++) Accumulate(1, x + i * xStep, y + i * yStep, max + i * yStep);
        }
        else Accumulate(0, x, y, max);
        Finish(y, max, outputs);
    }

    /// <summary>Combines the block of groups <paramref name="group"/>… at x into its outputs at y.</summary>
    private void Accumulate(int group, float* x, float* y, float* max)
    {
        int left = _extents.Length - group;
        if (Operation == ReduceOperation.LogSumExp)
        {
            AccumulateExp(group, x, y, max);
            return;
        }
        if (left == 0) *y = _row(x, 1, *y);
        else if (left == 1 && _reduced[group]) *y = _row(x, _extents[group], *y);
        else if (left == 1) _rows(x, 1, _extents[group], y);
        else if (left == 2 && _reduced[group]) _rows(x, _extents[group], _extents[group + 1], y);
        else
        {
            (nint xStep, nint yStep) = Steps(group);
            for (int i = 0; i < _extents[group]; i++) Accumulate(group + 1, x + i * xStep, y + i * yStep, max);
        }
    }

    private (nint X, nint Y) Steps(int group)
    {
        nint x = 1, y = 1;
        for (int i = group + 1; i < _extents.Length; i++)
        {
            x *= _extents[i];
            if (!_reduced[i]) y *= _extents[i];
        }
        return (x, _reduced[group] ? 0 : y);
    }

    private void AccumulateExp(int group, float* x, float* y, float* max)
    {
        if (group == _extents.Length)
        {
            // e^(x−m) with m = ±∞ would be NaN where the sum is 0 or ∞.
            *y += float.IsInfinity(*max) ? (*x == *max ? 1f : 0f) : MathF.Exp(*x - *max);
            return;
        }
        (nint xStep, nint yStep) = Steps(group);
        for (int i = 0; i < _extents[group]; i++) AccumulateExp(group + 1, x + i * xStep, y + i * yStep, max + i * yStep);
    }

    private void Finish(float* y, float* max, int outputs)
    {
        switch (Operation)
        {
            case ReduceOperation.Mean:
                for (int i = 0; i < outputs; i++) y[i] /= Count;
                break;
            case ReduceOperation.L2:
                for (int i = 0; i < outputs; i++) y[i] = MathF.Sqrt(y[i]);
                break;
            case ReduceOperation.LogSum:
                for (int i = 0; i < outputs; i++) y[i] = MathF.Log(y[i]);
                break;
            case ReduceOperation.LogSumExp:
                for (int i = 0; i < outputs; i++) y[i] = MathF.Log(y[i]) + max[i];
                break;
        }
    }

    private static delegate*<float*, nint, float, float> Row(ReduceOperation operation, VectorWidth width) => operation switch
    {
        ReduceOperation.Max => Row<MaxReduce>(width),
        ReduceOperation.Min => Row<MinReduce>(width),
        ReduceOperation.Product => Row<ProductReduce>(width),
        ReduceOperation.L1 => Row<AbsSumReduce>(width),
        ReduceOperation.L2 or ReduceOperation.SumSquare => Row<SquareSumReduce>(width),
        _ => Row<SumReduce>(width),
    };

    private static delegate*<float*, nint, nint, float*, void> Rows(ReduceOperation operation, VectorWidth width) => operation switch
    {
        ReduceOperation.Max => Rows<MaxReduce>(width),
        ReduceOperation.Min => Rows<MinReduce>(width),
        ReduceOperation.Product => Rows<ProductReduce>(width),
        ReduceOperation.L1 => Rows<AbsSumReduce>(width),
        ReduceOperation.L2 or ReduceOperation.SumSquare => Rows<SquareSumReduce>(width),
        _ => Rows<SumReduce>(width),
    };

    private static delegate*<float*, nint, float, float> Row<TOp>(VectorWidth width) where TOp : struct, IReduceOp => width switch
    {
        VectorWidth.V512 => &ReduceLoop<TOp, Lanes512, Vector512<float>>.Row,
        VectorWidth.V256 => &ReduceLoop<TOp, Lanes256, Vector256<float>>.Row,
        VectorWidth.V128 => &ReduceLoop<TOp, Lanes128, Vector128<float>>.Row,
        _ => &ReduceLoop<TOp, ScalarLanes, float>.Row,
    };

    private static delegate*<float*, nint, nint, float*, void> Rows<TOp>(VectorWidth width) where TOp : struct, IReduceOp => width switch
    {
        VectorWidth.V512 => &ReduceLoop<TOp, Lanes512, Vector512<float>>.Rows,
        VectorWidth.V256 => &ReduceLoop<TOp, Lanes256, Vector256<float>>.Rows,
        VectorWidth.V128 => &ReduceLoop<TOp, Lanes128, Vector128<float>>.Rows,
        _ => &ReduceLoop<TOp, ScalarLanes, float>.Rows,
    };
}

/// <summary>The two traversals of a reduction.</summary>
internal static unsafe class ReduceLoop<TOp, TLanes, V>
    where TOp : struct, IReduceOp where TLanes : struct, ILanes<V> where V : unmanaged
{
    /// <summary>Elements of a run that is summed in one go; longer rows join runs in order, which bounds how far rounding errors add up.</summary>
    private const int Run = 4096;

    /// <summary>Combines <paramref name="length"/> consecutive elements with <paramref name="start"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Row(float* x, nint length, float start)
    {
        float* lanes = stackalloc float[TLanes.Count];
        float total = start;
        for (nint done = 0; done < length; done += Run)
        {
            nint end = Math.Min(length, done + Run), i = done;
            V a = TLanes.Create(TOp.Identity), b = a, c = a, d = a;
            for (; i <= end - 4 * TLanes.Count; i += 4 * TLanes.Count)
            {
                a = TOp.Combine<TLanes, V>(a, TOp.Map<TLanes, V>(TLanes.Load(x + i)));
                b = TOp.Combine<TLanes, V>(b, TOp.Map<TLanes, V>(TLanes.Load(x + i + TLanes.Count)));
                c = TOp.Combine<TLanes, V>(c, TOp.Map<TLanes, V>(TLanes.Load(x + i + 2 * TLanes.Count)));
                d = TOp.Combine<TLanes, V>(d, TOp.Map<TLanes, V>(TLanes.Load(x + i + 3 * TLanes.Count)));
            }
            for (; i <= end - TLanes.Count; i += TLanes.Count) a = TOp.Combine<TLanes, V>(a, TOp.Map<TLanes, V>(TLanes.Load(x + i)));
            a = TOp.Combine<TLanes, V>(TOp.Combine<TLanes, V>(a, b), TOp.Combine<TLanes, V>(c, d));
            TLanes.Store(a, lanes);
            for (int half = TLanes.Count / 2; half > 0; half /= 2)
                for (int l = 0; l < half; l++) lanes[l] = TOp.Combine<ScalarLanes, float>(lanes[l], lanes[l + half]);
            float run = lanes[0];
            for (; i < end; i++) run = TOp.Combine<ScalarLanes, float>(run, TOp.Map<ScalarLanes, float>(x[i]));
            total = TOp.Combine<ScalarLanes, float>(total, run);
        }
        return total;
    }

    /// <summary>Combines <paramref name="rows"/> rows of <paramref name="inner"/> elements into y, element by element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows(float* x, nint rows, nint inner, float* y)
    {
        nint j = 0;
        for (; j <= inner - 4 * TLanes.Count; j += 4 * TLanes.Count)
        {
            V a = TLanes.Load(y + j), b = TLanes.Load(y + j + TLanes.Count), c = TLanes.Load(y + j + 2 * TLanes.Count), d = TLanes.Load(y + j + 3 * TLanes.Count);
            float* at = x + j;
            for (nint r = 0; r < rows; r++, at += inner)
            {
                a = TOp.Combine<TLanes, V>(a, TOp.Map<TLanes, V>(TLanes.Load(at)));
                b = TOp.Combine<TLanes, V>(b, TOp.Map<TLanes, V>(TLanes.Load(at + TLanes.Count)));
                c = TOp.Combine<TLanes, V>(c, TOp.Map<TLanes, V>(TLanes.Load(at + 2 * TLanes.Count)));
                d = TOp.Combine<TLanes, V>(d, TOp.Map<TLanes, V>(TLanes.Load(at + 3 * TLanes.Count)));
            }
            TLanes.Store(a, y + j);
            TLanes.Store(b, y + j + TLanes.Count);
            TLanes.Store(c, y + j + 2 * TLanes.Count);
            TLanes.Store(d, y + j + 3 * TLanes.Count);
        }
        for (; j < inner; j += TLanes.Count)
        {
            int count = (int)Math.Min(TLanes.Count, inner - j);
            V a = TLanes.LoadPartial(y + j, count);
            float* at = x + j;
            for (nint r = 0; r < rows; r++, at += inner) a = TOp.Combine<TLanes, V>(a, TOp.Map<TLanes, V>(TLanes.LoadPartial(at, count)));
            TLanes.StorePartial(a, y + j, count);
        }
    }
}
