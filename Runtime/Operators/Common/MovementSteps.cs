using System.Runtime.CompilerServices;
using Octet.Kernels.Layout;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Plans for operators that only move elements, whatever they are.</summary>
internal static class MovementSteps
{
    /// <summary>The step that <paramref name="visitor"/> makes for elements of this width; text is moved by number.</summary>
    public static Step Plan(NodeContext c, DataType type, IWidthVisitor<Step> visitor) =>
        type == DataType.String ? new TextMovementStep(visitor.Visit<uint>()) : ElementTypes.Width(c, type, visitor);
}

/// <summary>Moves text with a step for 4-byte elements: every string gets a number, 0 being the empty one; the numbers are moved.</summary>
internal sealed class TextMovementStep(Step inner) : Step
{
    public override string Kernel => inner.Kernel;

    public override int ScratchBytes => inner.ScratchBytes;

    public override void Run(StepContext c)
    {
        var texts = new List<string> { "" };
        var inputs = new Tensor?[c.InputCount];
        for (int i = 0; i < inputs.Length; i++)
        {
            if (!c.Has(i) || c.Input(i).Type != DataType.String)
            {
                inputs[i] = c.Has(i) ? c.Input(i) : null;
                continue;
            }
            var numbers = new Tensor(DataType.UInt32, c.Input(i).Shape);
            Span<uint> to = numbers.Span<uint>();
            for (int j = 0; j < to.Length; j++) to[j] = (uint)(texts.Count + j);
            texts.AddRange(c.Input(i).Strings);
            inputs[i] = numbers;
        }
        var outputs = new Tensor?[c.OutputCount];
        for (int i = 0; i < outputs.Length; i++)
        {
            if (c.Wants(i)) outputs[i] = c.Output(i).Type == DataType.String ? new Tensor(DataType.UInt32, c.Output(i).Shape) : c.Output(i);
        }
        inner.Run(new StepContext(inputs, outputs, c.ScratchMemory, c.Parallel));
        for (int i = 0; i < outputs.Length; i++)
        {
            if (!c.Wants(i) || c.Output(i).Type != DataType.String) continue;
            ReadOnlySpan<uint> numbers = outputs[i]!.Span<uint>();
            Span<string> to = c.Output(i).Strings;
            for (int j = 0; j < to.Length; j++) to[j] = texts[(int)numbers[j]];
        }
    }
}

/// <summary>
/// <c>y[i₀,…] = x[offset + Σ iₖ · strideₖ]</c>: transposes, slices, repeats. Strides may be 0 or negative; axes that the input passes alike are merged.
/// </summary>
internal sealed class StridedCopyStep<T> : Step where T : unmanaged
{
    /// <summary>Axes that remain after merging at most; positions in them are kept on the stack.</summary>
    private const int MaxRank = 64;

    /// <summary>Elements of one piece of parallel work: large enough to outweigh handing it out.</summary>
    private const int PieceLength = 16384;

    private readonly int _innerStride, _offset;
    private int[] _extents, _strides;   // outer axes
    private int _inner, _rows;
    private int _firstTarget, _targetStride;   // where rows of _inner elements begin in the output

    /// <summary>Plans a copy.</summary>
    /// <param name="c">For errors.</param>
    /// <param name="kernel">What <see cref="Step.Kernel"/> says.</param>
    /// <param name="extents">Extents of the output.</param>
    /// <param name="strides">Input elements between neighbours along each axis of the output.</param>
    /// <param name="offset">Input element that the output begins with.</param>
    /// <exception cref="UnsupportedModelException">More than 64 axes cannot be merged.</exception>
    public StridedCopyStep(NodeContext c, string kernel, ReadOnlySpan<int> extents, ReadOnlySpan<int> strides, int offset)
    {
        Kernel = kernel;
        var mergedExtents = new List<int>();
        var mergedStrides = new List<int>();
        for (int i = 0; i < extents.Length; i++)
        {
            if (extents[i] == 1) continue;
            if (mergedExtents.Count > 0 && mergedStrides[^1] == (long)strides[i] * extents[i])
            {
                mergedExtents[^1] *= extents[i];
                mergedStrides[^1] = strides[i];
            }
            else
            {
                mergedExtents.Add(extents[i]);
                mergedStrides.Add(strides[i]);
            }
        }
        if (mergedExtents.Count > MaxRank) throw c.Unsupported($"{mergedExtents.Count} axes are moved separately", $"at most {MaxRank}");
        if (mergedExtents.Count == 0)
        {
            mergedExtents.Add(1);
            mergedStrides.Add(1);
        }
        _inner = mergedExtents[^1];
        _innerStride = mergedStrides[^1];
        _extents = [.. mergedExtents.SkipLast(1)];
        _strides = [.. mergedStrides.SkipLast(1)];
        _offset = offset;
        _rows = Tensor.CountElements(extents) == 0 ? 0 : Tensor.CountElements(_extents);
        _targetStride = _inner;
    }

    public override Step? IntoRows(int width, int first, int stride)
    {
        if (_rows == 0 || _inner % width != 0) return null;
        var copy = (StridedCopyStep<T>)MemberwiseClone();
        if (width != _inner)
        {
            copy._extents = [.. _extents, _inner / width];
            copy._strides = [.. _strides, _innerStride * width];
            copy._rows = _rows * (_inner / width);
            copy._inner = width;
        }
        (copy._firstTarget, copy._targetStride) = (first, stride);
        return copy;
    }

    public override string Kernel { get; }

    public override void Run(StepContext c)
    {
        if (_rows == 0) return;
        var work = new Pieces(this, c.Input(0), c.Output(0));
        c.Parallel.For(ref work, (_rows + RowsPerPiece - 1) / RowsPerPiece);
    }

    private int RowsPerPiece => Math.Max(1, PieceLength / _inner);

    private readonly struct Pieces(StridedCopyStep<T> step, Tensor x, Tensor y) : IPieces
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(int piece, int worker)
        {
            int[] extents = step._extents, strides = step._strides;
            int first = piece * step.RowsPerPiece, rows = Math.Min(step.RowsPerPiece, step._rows - first), inner = step._inner, stride = step._innerStride;
            Span<int> index = stackalloc int[extents.Length];
            int from = step._offset;
            for (int axis = extents.Length - 1, rest = first; axis >= 0; axis--)
            {
                index[axis] = rest % extents[axis];
                rest /= extents[axis];
                from += index[axis] * strides[axis];
            }
            ReadOnlySpan<T> source = x.Span<T>();
            Span<T> target = y.Span<T>();
            for (int row = first; row < first + rows; row++)
            {
                Span<T> to = target.Slice(step._firstTarget + row * step._targetStride, inner);
                if (stride == 1) source.Slice(from, inner).CopyTo(to);
                else if (stride == 0) to.Fill(source[from]);
                else if (stride == 2) LayoutKernels.EverySecond(source.Slice(from, 2 * inner - 1), to);
                else for (int i = 0, at = from; i < to.Length; i++, at += stride) to[i] = source[at];
                for (int axis = extents.Length - 1; axis >= 0; axis--)
                {
                    from += strides[axis];
                    if (++index[axis] < extents[axis]) break;
                    from -= extents[axis] * strides[axis];
                    index[axis] = 0;
                }
            }
        }
    }
}

/// <summary>Makes <see cref="StridedCopyStep{T}"/> for any element type.</summary>
internal sealed class StridedCopy(NodeContext c, string kernel, int[] extents, int[] strides, int offset) : IWidthVisitor<Step>
{
    public Step Visit<T>() where T : unmanaged, IEquatable<T> => new StridedCopyStep<T>(c, kernel, extents, strides, offset);

    /// <summary>The step.</summary>
    public static Step Plan(PlanContext c, int[] extents, int[] strides, int offset = 0) =>
        MovementSteps.Plan(c, c.Element(0), new StridedCopy(c, c.Node.OperatorType, extents, strides, offset));
}
