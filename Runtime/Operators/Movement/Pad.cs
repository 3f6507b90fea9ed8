using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>
/// <c>Pad</c>: elements added before and behind each axis; negative numbers take away. <c>mode</c> <c>constant</c> adds one value, <c>edge</c> the
/// nearest element, <c>reflect</c> mirrors without repeating the edge, <c>wrap</c> continues at the other end.
/// </summary>
/// <remarks>Pads and value are attributes before version 11, inputs 1 and 2 since; input 3 names the axes since version 18.</remarks>
internal sealed class Pad : Operator
{
    public override OperatorId Id { get; } = new("Pad");

    public override string Types => "all";

    public override string IntegerForm => "same";

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is not { } shape)
        {
            c.SetUnknownShape(0, c.Element(0));
            return;
        }
        if (Pads(c, shape.Length, c.KnownInts) is not var (before, behind))
        {
            c.Set(0, c.Element(0), new Dim[shape.Length]);
            return;
        }
        var result = new Dim[shape.Length];
        for (int i = 0; i < result.Length; i++)
        {
            long added = before[i] + behind[i];
            if (!shape[i].IsKnown) result[i] = added == 0 ? shape[i] : Dim.Unknown;
            else if (shape[i].Value + added < 0) throw c.Error($"axis {i} has extent {shape[i]} and {-added} elements are taken away", "no more is taken away than there is");
            else result[i] = shape[i].Value + added;
        }
        c.Set(0, c.Element(0), result);
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0), y = c.OutputShape(0);
        long[] before = Pads(c, x.Length, index => c.Has(index) ? c.Required(index).ToInt64Array() : null)!.Value.Before;
        string mode = c.Attributes.String("mode", "constant");
        var maps = new int[x.Length][];
        for (int i = 0; i < maps.Length; i++)
        {
            maps[i] = new int[y[i]];
            for (int k = 0; k < y[i]; k++) maps[i][k] = Source(c, mode, k - before[i], x[i]);
        }
        if (c.Opset >= 11 && c.Has(2) && Tensor.CountElements(c.InputShape(2)) != 1) throw c.Error($"the value has shape {Tensor.Format(c.InputShape(2))}", "the value is a scalar");
        return MovementSteps.Plan(c, c.Element(0), new Visitor(x, y, maps, c.Opset < 11 ? Value(c) : null));
    }

    private static Tensor Value(PlanContext c)
    {
        float value = c.Attributes.Float("value");
        return c.Element(0) switch
        {
            DataType.Float32 => Tensor.Scalar(value),
            DataType.Float64 => Tensor.Scalar((double)value),
            DataType.Float16 => Tensor.Scalar((Half)value),
            DataType type => value == 0 ? new Tensor(type, []) : throw c.Unsupported($"{type.Name()} is padded with {value}", "padding with 0"),
        };
    }

    private static (long[] Before, long[] Behind)? Pads(NodeContext c, int rank, Func<int, long[]?> known)
    {
        long[]? pads = c.Opset < 11 ? c.Attributes.Ints("pads") ?? c.Attributes.Ints("paddings") ?? throw c.Error("pads is missing", "pads is given") : known(1);
        if (pads is null) return null;
        var axes = new int[rank];
        for (int i = 0; i < rank; i++) axes[i] = i;
        if (c.Has(3))
        {
            if (known(3) is not { } named) return null;
            axes = Array.ConvertAll(named, axis => c.Axis(axis, rank));
        }
        if (pads.Length != 2 * axes.Length) throw c.Error($"{pads.Length} pads for {axes.Length} axes", "two pads per axis");
        long[] before = new long[rank], behind = new long[rank];
        for (int i = 0; i < axes.Length; i++) (before[axes[i]], behind[axes[i]]) = (pads[i], pads[axes.Length + i]);
        return (before, behind);
    }

    /// <summary>The input position that output position <paramref name="at"/> (counted from the input's first) shows; −1 for the constant.</summary>
    private static int Source(PlanContext c, string mode, long at, int extent)
    {
        if (at >= 0 && at < extent) return (int)at;
        if (mode == "constant") return -1;
        if (extent == 0) throw c.Error($"an axis of extent 0 is padded with mode '{mode}'", "only the mode 'constant' pads an empty axis");
        switch (mode)
        {
            case "edge":
                return at < 0 ? 0 : extent - 1;
            case "reflect":
                if (extent == 1) return 0;
                long period = 2L * (extent - 1), phase = ((at % period) + period) % period;
                return (int)(phase < extent ? phase : period - phase);
            case "wrap":
                return (int)(((at % extent) + extent) % extent);
            default:
                throw c.Error($"mode is '{mode}'", "mode is constant, edge, reflect or wrap");
        }
    }

    /// <summary>Makes the step whose output position k along axis i shows input position <c>maps[i][k]</c>, or the value where that is −1.</summary>
    internal sealed class Visitor(int[] x, int[] y, int[][] maps, Tensor? value) : IWidthVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T> => new PadStep<T>(x, y, maps, value);
    }

    /// <summary>Rows run along the last axis that changes; the axes behind it are one block per position.</summary>
    private sealed class PadStep<T> : Step where T : unmanaged
    {
        private const int PieceLength = 16384;

        private readonly int[] _extents, _strides;
        private readonly int[][] _maps;
        private readonly int[] _row;
        private readonly T _value;
        private readonly bool _readsValue;
        private readonly int _block, _rows, _runStart, _runCount;   // row positions [_runStart, _runStart + _runCount) are neighbours in the input

        public PadStep(int[] x, int[] y, int[][] maps, Tensor? value)
        {
            int last = y.Length - 1;
            while (last >= 0 && y[last] == x[last] && IsWhole(maps[last])) last--;
            _block = Axes.Product(y, last + 1, y.Length);
            _extents = last < 0 ? [] : y[..last];
            _strides = Axes.Strides(x);
            _maps = maps;
            _row = last < 0 ? [0] : maps[last];
            _readsValue = value is null;
            _value = value is null ? default : value.Span<T>()[0];
            _rows = _block == 0 || _row.Length == 0 ? 0 : Tensor.CountElements(_extents);
            for (int i = 0; i < _row.Length;)
            {
                int end = i + 1;
                while (end < _row.Length && _row[i] >= 0 && _row[end] == _row[end - 1] + 1) end++;
                if (_row[i] >= 0 && end - i > _runCount) (_runStart, _runCount) = (i, end - i);
                i = end;
            }
        }

        public override string Kernel => "Pad";

        public override void Run(StepContext c)
        {
            var work = new Pieces(this, c.Input(0), c.Output(0), _readsValue && c.Has(2) ? c.Input<T>(2)[0] : _value);
            c.Parallel.For(ref work, (_rows + RowsPerPiece - 1) / RowsPerPiece);
        }

        private static bool IsWhole(int[] map)
        {
            for (int i = 0; i < map.Length; i++) if (map[i] != i) return false;
            return true;
        }

        private int RowsPerPiece => (int)Math.Max(1, PieceLength / Math.Max(1L, (long)_row.Length * _block));

        private readonly struct Pieces(PadStep<T> step, Tensor x, Tensor y, T value) : IPieces
        {
            public void Run(int piece, int worker)
            {
                int first = piece * step.RowsPerPiece, end = Math.Min(step._rows, first + step.RowsPerPiece), block = step._block, start = step._runStart, count = step._runCount;
                int[] row = step._row;
                ReadOnlySpan<T> from = x.Span<T>();
                for (int r = first; r < end; r++)
                {
                    Span<T> to = y.Span<T>().Slice(r * row.Length * block, row.Length * block);
                    int offset = 0;
                    bool outside = false;
                    for (int axis = step._extents.Length - 1, rest = r; axis >= 0; axis--)
                    {
                        int source = step._maps[axis][rest % step._extents[axis]];
                        rest /= step._extents[axis];
                        outside |= source < 0;
                        offset += source * step._strides[axis];
                    }
                    if (outside)
                    {
                        to.Fill(value);
                        continue;
                    }
                    Single(from, to, offset, 0, start);
                    if (count > 0) from.Slice(offset + row[start] * block, count * block).CopyTo(to[(start * block)..]);
                    Single(from, to, offset, start + count, row.Length);
                }
            }

            /// <summary>Positions outside the run, one by one.</summary>
            private void Single(ReadOnlySpan<T> from, Span<T> to, int offset, int first, int end)
            {
                int block = step._block;
                for (int i = first; i < end; i++)
                {
                    int source = step._row[i];
                    if (block == 1) to[i] = source < 0 ? value : from[offset + source];
                    else if (source < 0) to.Slice(i * block, block).Fill(value);
                    else from.Slice(offset + source * block, block).CopyTo(to[(i * block)..]);
                }
            }
        }
    }
}
