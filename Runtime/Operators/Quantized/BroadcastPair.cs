using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Two operands under NumPy's broadcasting, walked in rows along the last axis without allocating.</summary>
/// <remarks>Axes along which both operands behave alike are merged, so that equal shapes are one row and one loop.</remarks>
internal sealed class BroadcastPair
{
    private readonly int[] _extents, _aStrides, _bStrides;

    private BroadcastPair(int[] extents, int[] aStrides, int[] bStrides) => (_extents, _aStrides, _bStrides) = (extents, aStrides, bStrides);

    /// <summary>Elements of one row.</summary>
    public int RowLength => _extents[^1];

    /// <summary>Step of A along a row: 0 or 1.</summary>
    public int AStep => _aStrides[^1];

    /// <summary>Step of B along a row: 0 or 1.</summary>
    public int BStep => _bStrides[^1];

    /// <summary>Number of rows.</summary>
    public int Rows { get; private init; }

    /// <summary>Broadcast extents as far as they are known.</summary>
    /// <exception cref="ModelException">The operands do not fit.</exception>
    public static TensorType Infer(NodeContext c, TensorType a, TensorType b, DataType element)
    {
        if (a.Shape is not { } left || b.Shape is not { } right) return new TensorType(element);
        var shape = new Dim[Math.Max(left.Length, right.Length)];
        for (int i = 0; i < shape.Length; i++)
        {
            int l = i - (shape.Length - left.Length), r = i - (shape.Length - right.Length);
            Dim x = l < 0 ? 1 : left[l], y = r < 0 ? 1 : right[r];
            if (x.Is(1)) shape[i] = y;
            else if (y.Is(1) || x.SameAs(y)) shape[i] = x;
            else if (x.DiffersFrom(y)) throw c.Error($"extents {x} and {y} differ on axis {i}", "extents are equal or 1");
            else shape[i] = x.IsKnown ? x : y.IsKnown ? y : Dim.Unknown;
        }
        return new TensorType(element, shape);
    }

    /// <summary>Prepares operands of these extents, which fit.</summary>
    public static BroadcastPair Create(int[] a, int[] b)
    {
        int rank = Math.Max(a.Length, b.Length);
        var extents = new List<int>();
        var aStrides = new List<int>();
        var bStrides = new List<int>();
        int aStride = 1, bStride = 1;
        for (int i = rank - 1; i >= 0; i--)
        {
            int x = i - (rank - a.Length) is var l && l >= 0 ? a[l] : 1, y = i - (rank - b.Length) is var r && r >= 0 ? b[r] : 1;
            int extent = x == 1 ? y : x, aStep = x == 1 ? 0 : aStride, bStep = y == 1 ? 0 : bStride;
            aStride *= x;
            bStride *= y;
            if (extent == 1) continue;
            if (extents.Count > 0 && aStep == extents[^1] * aStrides[^1] && bStep == extents[^1] * bStrides[^1]) extents[^1] *= extent;
            else
            {
                extents.Add(extent);
                aStrides.Add(aStep);
                bStrides.Add(bStep);
            }
        }
        if (extents.Count == 0)
        {
            extents.Add(1);
            aStrides.Add(0);
            bStrides.Add(0);
        }
        extents.Reverse();
        aStrides.Reverse();
        bStrides.Reverse();
        int rows = 1;
        for (int i = 0; i < extents.Count - 1; i++) rows *= extents[i];
        return new BroadcastPair([.. extents], [.. aStrides], [.. bStrides]) { Rows = rows };
    }

    /// <summary>Where row <paramref name="row"/> starts in A and in B.</summary>
    public (int A, int B) Start(int row)
    {
        int a = 0, b = 0;
        for (int i = _extents.Length - 2; i >= 0; i--)
        {
            int position = row % _extents[i];
            row /= _extents[i];
            a += position * _aStrides[i];
            b += position * _bStrides[i];
        }
        return (a, b);
    }
}
