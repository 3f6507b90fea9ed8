namespace Octet.Runtime.Operators;

/// <summary>How several dense operands are walked together over one output shape: axes that all operands pass alike are merged.</summary>
/// <remarks>
/// Output element <c>(row, i)</c> lies at <c>row · Inner + i</c>; operand <c>k</c> is read at <c>offset_k(row) + i · InnerStride(k)</c>, the inner
/// stride being 0 or 1. Immutable.
/// </remarks>
internal sealed class RowPlan
{
    /// <summary>Outer axes that remain after merging at most; positions in them are kept on the stack.</summary>
    public const int MaxOuterRank = 64;

    private readonly int[] _extents;     // outer axes, outermost first, merged
    private readonly int[][] _strides;   // per operand, per outer axis

    /// <summary>Plans for an output of <paramref name="output"/> and operands that broadcast to it.</summary>
    /// <exception cref="UnsupportedModelException">More than 64 axes cannot be merged.</exception>
    public RowPlan(NodeContext c, int[] output, params int[][] operands)
    {
        int count = operands.Length, rank = output.Length;
        var strides = new int[count][];
        for (int k = 0; k < count; k++)
        {
            strides[k] = new int[rank];
            int stride = 1, missing = rank - operands[k].Length;
            for (int i = rank - 1; i >= missing; i--)
            {
                int extent = operands[k][i - missing];
                strides[k][i] = extent == 1 ? 0 : stride;
                stride *= extent;
            }
        }

        var extents = new List<int>();
        var merged = new List<int[]>();
        for (int i = 0; i < rank; i++)
        {
            if (output[i] == 1) continue;
            int[] here = Array.ConvertAll(strides, stride => stride[i]);
            if (extents.Count > 0 && CanMerge(merged[^1], here, output[i]))
            {
                extents[^1] *= output[i];
                merged[^1] = here;
            }
            else
            {
                extents.Add(output[i]);
                merged.Add(here);
            }
        }
        if (extents.Count > MaxOuterRank) throw c.Unsupported($"{extents.Count} axes are broadcast differently", $"at most {MaxOuterRank}");
        if (extents.Count == 0)
        {
            extents.Add(1);
            merged.Add(new int[count]);
        }

        Inner = extents[^1];
        InnerStrides = merged[^1];
        _extents = [.. extents.SkipLast(1)];
        _strides = new int[count][];
        for (int k = 0; k < count; k++) _strides[k] = [.. merged.SkipLast(1).Select(axis => axis[k])];
        Rows = 1;
        foreach (int extent in _extents) Rows *= extent;
        if (Inner == 0) Rows = 0;
        IsDense = Rows <= 1 && InnerStrides.All(stride => stride == 1);
    }

    /// <summary>Elements of one row.</summary>
    public int Inner { get; }

    /// <summary>Rows; 0 where the output is empty.</summary>
    public int Rows { get; }

    /// <summary>Per operand: 1 where it has an element for each element of a row, 0 where it has one for the whole row.</summary>
    public int[] InnerStrides { get; }

    /// <summary>Whether all operands have the output's shape.</summary>
    public bool IsDense { get; }

    /// <summary>Outer axes.</summary>
    public int OuterRank => _extents.Length;

    /// <summary>Where row <paramref name="row"/> of every operand begins; also fills the odometer that <see cref="Next"/> moves.</summary>
    public void Seek(int row, Span<int> index, Span<int> offsets)
    {
        offsets.Clear();
        if (Rows == 0) return;
        for (int axis = _extents.Length - 1; axis >= 0; axis--)
        {
            int position = row % _extents[axis];
            row /= _extents[axis];
            index[axis] = position;
            for (int k = 0; k < _strides.Length; k++) offsets[k] += position * _strides[k][axis];
        }
    }

    /// <summary>Moves to the next row.</summary>
    public void Next(Span<int> index, Span<int> offsets)
    {
        for (int axis = _extents.Length - 1; axis >= 0; axis--)
        {
            if (++index[axis] < _extents[axis])
            {
                for (int k = 0; k < _strides.Length; k++) offsets[k] += _strides[k][axis];
                return;
            }
            index[axis] = 0;
            for (int k = 0; k < _strides.Length; k++) offsets[k] -= (_extents[axis] - 1) * _strides[k][axis];
        }
    }

    /// <summary>Elements of one piece of parallel work: large enough to outweigh handing it out.</summary>
    private const int PieceLength = 16384;

    private int Segments => (Inner + PieceLength - 1) / PieceLength;

    private int RowsPerPiece => Math.Max(1, PieceLength / Math.Max(1, Inner));

    /// <summary>Pieces that the work is cut into: whole rows where they are short, segments of a row where they are long.</summary>
    public int Pieces => Rows == 0 ? 0 : Inner > PieceLength ? checked(Rows * Segments) : (Rows + RowsPerPiece - 1) / RowsPerPiece;

    /// <summary>The rows and the part of each row that piece <paramref name="piece"/> covers.</summary>
    public (int FirstRow, int Rows, int Start, int Length) Piece(int piece)
    {
        if (Inner > PieceLength)
        {
            int start = piece % Segments * PieceLength;
            return (piece / Segments, 1, start, Math.Min(PieceLength, Inner - start));
        }
        int first = piece * RowsPerPiece;
        return (first, Math.Min(RowsPerPiece, Rows - first), 0, Inner);
    }

    private static bool CanMerge(int[] outer, int[] inner, int innerExtent)
    {
        for (int k = 0; k < outer.Length; k++)
        {
            if (outer[k] != inner[k] * innerExtent) return false;
        }
        return true;
    }
}
