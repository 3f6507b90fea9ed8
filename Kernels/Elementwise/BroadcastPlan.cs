using Octet.Kernels.Threading;

namespace Octet.Kernels.Elementwise;

/// <summary>One run of outputs along which every operand advances by a fixed step.</summary>
internal interface IBroadcastBody
{
    /// <summary>Handles outputs <c>[y, y + length)</c>.</summary>
    /// <param name="a">First element of operand 0.</param>
    /// <param name="b">First element of operand 1.</param>
    /// <param name="c">First element of operand 2.</param>
    /// <param name="y">First output.</param>
    /// <param name="length">Outputs; the operands advance by <see cref="BroadcastPlan.InnerStep"/>, 0 or 1.</param>
    void Run(nint a, nint b, nint c, nint y, nint length);
}

/// <summary>
/// NumPy broadcasting of up to three dense operands to one dense output, worked out once: axes along which all operands behave alike are
/// merged, so equal shapes are one run, a scalar is one run of step 0, and a per-channel operand is one run per pixel.
/// </summary>
internal sealed class BroadcastPlan
{
    /// <summary>Operands at most.</summary>
    public const int MaxOperands = 3;

    /// <summary>Outputs of one piece of parallel work.</summary>
    private const int PieceLength = 16384;

    private readonly int[] _extents;     // outermost first
    private readonly nint[] _steps;      // [operand][axis], in elements
    private readonly nint[] _elements;   // of each operand
    private readonly int _rank;

    private BroadcastPlan(int[] extents, nint[] steps, nint length)
    {
        (_extents, _steps, _rank, Length) = (extents, steps, extents.Length, length);
        _elements = [Elements(0), Elements(1), Elements(2)];
    }

    /// <summary>Outputs.</summary>
    public nint Length { get; }

    /// <summary>Outputs of one run.</summary>
    public int InnerLength => _extents[_rank - 1];

    /// <summary>Step of an operand along a run, 0 or 1.</summary>
    public nint InnerStep(int operand) => _steps[operand * _rank + _rank - 1];

    /// <summary>Plans a broadcast.</summary>
    /// <param name="output">Output extents.</param>
    /// <param name="a">Extents of operand 0, aligned at the last axis; each is 1 or the output's.</param>
    /// <param name="b">Extents of operand 1.</param>
    /// <param name="c">Extents of operand 2; a scalar by default.</param>
    /// <exception cref="ArgumentException">An operand does not broadcast to the output.</exception>
    public static BroadcastPlan Create(ReadOnlySpan<int> output, ReadOnlySpan<int> a, ReadOnlySpan<int> b, ReadOnlySpan<int> c = default)
    {
        int rank = output.Length;
        var steps = new nint[MaxOperands][];
        for (int operand = 0; operand < MaxOperands; operand++)
        {
            ReadOnlySpan<int> shape = operand == 0 ? a : operand == 1 ? b : c;
            if (shape.Length > rank) throw new ArgumentException($"operand {operand} has rank {shape.Length}, the output {rank}");
            steps[operand] = new nint[rank];
            nint step = 1;
            for (int axis = rank - 1, own = shape.Length - 1; own >= 0; axis--, own--)
            {
                if (shape[own] != 1 && shape[own] != output[axis])
                    throw new ArgumentException($"operand {operand} has extent {shape[own]} where the output has {output[axis]}; rule: 1 or the same");
                steps[operand][axis] = shape[own] == 1 ? 0 : step;
                step *= shape[own];
            }
        }

        nint length = 1;
        var extents = new List<int>();
        var merged = new List<nint>[MaxOperands];
        for (int operand = 0; operand < MaxOperands; operand++) merged[operand] = [];
        for (int axis = 0; axis < rank; axis++)
        {
            length = checked(length * output[axis]);
            if (output[axis] == 1) continue;
            bool joins = extents.Count > 0;
            for (int operand = 0; operand < MaxOperands && joins; operand++)
                joins = merged[operand][^1] == steps[operand][axis] * output[axis];
            if (joins && (long)extents[^1] * output[axis] <= int.MaxValue)
            {
                extents[^1] *= output[axis];
                for (int operand = 0; operand < MaxOperands; operand++) merged[operand][^1] = steps[operand][axis];
            }
            else
            {
                extents.Add(output[axis]);
                for (int operand = 0; operand < MaxOperands; operand++) merged[operand].Add(steps[operand][axis]);
            }
        }
        if (extents.Count == 0)
        {
            extents.Add(1);
            for (int operand = 0; operand < MaxOperands; operand++) merged[operand].Add(0);
        }
        return new([.. extents], [.. merged.SelectMany(m => m)], length);
    }

    /// <summary>Operands of one shape.</summary>
    public static BroadcastPlan Same(int length) => Create([length], [length], [length], [length]);

    /// <summary>Elements that a dense operand has.</summary>
    private nint Elements(int operand)
    {
        nint last = 0;
        for (int axis = 0; axis < _rank; axis++) last += (_extents[axis] - 1) * _steps[operand * _rank + axis];
        return last + 1;
    }

    /// <summary>Refuses spans that are shorter than the operands and the output.</summary>
    public void Require(nint a, nint b, nint y) => Require(a, b, nint.MaxValue, y);

    /// <inheritdoc cref="Require(nint, nint, nint)"/>
    public void Require(nint a, nint b, nint c, nint y)
    {
        if (Length == 0) return;
        if (a < _elements[0] || b < _elements[1] || c < _elements[2] || y < Length)
            throw new ArgumentException($"operands and output need {_elements[0]}, {_elements[1]}, {_elements[2]} and {Length} elements, but have {a}, {b}, {c} and {y}");
    }

    /// <summary>Runs <paramref name="body"/> over all outputs, in pieces.</summary>
    public void Run<TBody>(ref TBody body, Parallelism p) where TBody : struct, IBroadcastBody
    {
        if (Length == 0) return;
        var work = new Pieces<TBody> { Plan = this, Body = body };
        p.For(ref work, (int)((Length + PieceLength - 1) / PieceLength));
    }

    private struct Pieces<TBody> : IPieces where TBody : struct, IBroadcastBody
    {
        public BroadcastPlan Plan;
        public TBody Body;

        public void Run(int piece, int worker)
        {
            nint start = (nint)piece * PieceLength;
            TBody body = Body;
            Plan.Visit(ref body, start, Math.Min(Plan.Length, start + PieceLength));
        }
    }

    private void Visit<TBody>(ref TBody body, nint start, nint end) where TBody : struct, IBroadcastBody
    {
        Span<int> index = stackalloc int[_rank];
        nint a = 0, b = 0, c = 0, rest = start;
        for (int axis = _rank - 1; axis >= 0; axis--)
        {
            nint at = rest % _extents[axis];
            rest /= _extents[axis];
            index[axis] = (int)at;
            a += at * _steps[axis];
            b += at * _steps[_rank + axis];
            c += at * _steps[2 * _rank + axis];
        }
        int inner = _rank - 1;
        while (start < end)
        {
            nint run = Math.Min(_extents[inner] - index[inner], end - start);
            body.Run(a, b, c, start, run);
            start += run;
            a += run * _steps[inner];
            b += run * _steps[_rank + inner];
            c += run * _steps[2 * _rank + inner];
            index[inner] += (int)run;
            for (int axis = inner; axis > 0 && index[axis] == _extents[axis]; axis--)
            {
                index[axis] = 0;
                index[axis - 1]++;
                a += _steps[axis - 1] - _extents[axis] * _steps[axis];
                b += _steps[_rank + axis - 1] - _extents[axis] * _steps[_rank + axis];
                c += _steps[2 * _rank + axis - 1] - _extents[axis] * _steps[2 * _rank + axis];
            }
        }
    }
}
