using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.SGemm;

/// <summary>What <see cref="SGemmShortTile{TLanes, V, TVectors}"/> needs; filled by a driver on its stack.</summary>
internal unsafe struct SGemmShortArguments
{
    /// <summary>First float of the first row.</summary>
    public float* A;

    /// <summary>Floats from row to row.</summary>
    public nint Step;

    /// <summary>Rows.</summary>
    public nint Rows;

    /// <summary>Where in a row each step of the depth finds its float.</summary>
    public nint* Offsets;

    /// <summary>Steps.</summary>
    public nint Depth;

    /// <summary>Packed B panel, <c>[depth][panel width]</c>.</summary>
    public float* B;

    /// <summary>Start values of the accumulators, one per column.</summary>
    public float* Bias;

    /// <summary>Output of the first row.</summary>
    public float* Y;

    /// <summary>Floats from row to row of the output.</summary>
    public nint YStride;

    /// <summary>Columns to store, 1 … panel width.</summary>
    public int Columns;

    /// <summary>Lower limit; −∞ for none.</summary>
    public float Low;

    /// <summary>Upper limit; ∞ for none.</summary>
    public float High;
}

/// <summary>
/// Many rows times one panel over a depth of a few steps: rows lie at one distance and every row has its floats at the same offsets, so nothing is set up per tile. Each output is the same chain of
/// additions as in <see cref="SGemmTile{TLanes, V, TRows, TVectors}"/>.
/// </summary>
internal static unsafe class SGemmShortTile<TLanes, V, TVectors> where TLanes : struct, ILanes<V> where V : unmanaged where TVectors : unmanaged, ITileRows
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(SGemmShortArguments* t)
    {
        nint step = t->Step, stride = t->YStride, depth = t->Depth, rows = t->Rows;
        nint* offsets = t->Offsets;
        float* y = t->Y;
        bool whole = t->Columns == sizeof(TVectors) * TLanes.Count;
        V bias0 = TLanes.Load(t->Bias), bias1 = bias0, low = TLanes.Create(t->Low), high = TLanes.Create(t->High);
        if (sizeof(TVectors) > 1) bias1 = TLanes.Load(t->Bias + TLanes.Count);
        float* a0 = t->A;
        for (; rows >= 4; rows -= 4)
        {
            float* a1 = a0 + step, a2 = a1 + step, a3 = a2 + step, b = t->B;
            V c00 = bias0, c01 = bias1, c10 = bias0, c11 = bias1, c20 = bias0, c21 = bias1, c30 = bias0, c31 = bias1;
            for (nint k = 0; k < depth; k++, b += sizeof(TVectors) * TLanes.Count)
            {
                nint offset = offsets[k];
                V b0 = TLanes.Load(b), b1 = b0;
                if (sizeof(TVectors) > 1) b1 = TLanes.Load(b + TLanes.Count);
                V a = TLanes.Create(a0[offset]);
                c00 = TLanes.MultiplyAdd(a, b0, c00);
                if (sizeof(TVectors) > 1) c01 = TLanes.MultiplyAdd(a, b1, c01);
                a = TLanes.Create(a1[offset]);
                c10 = TLanes.MultiplyAdd(a, b0, c10);
                if (sizeof(TVectors) > 1) c11 = TLanes.MultiplyAdd(a, b1, c11);
                a = TLanes.Create(a2[offset]);
                c20 = TLanes.MultiplyAdd(a, b0, c20);
                if (sizeof(TVectors) > 1) c21 = TLanes.MultiplyAdd(a, b1, c21);
                a = TLanes.Create(a3[offset]);
                c30 = TLanes.MultiplyAdd(a, b0, c30);
                if (sizeof(TVectors) > 1) c31 = TLanes.MultiplyAdd(a, b1, c31);
            }
            Store(Clamp(c00, low, high), Clamp(c01, low, high), y, whole, t->Columns);
            Store(Clamp(c10, low, high), Clamp(c11, low, high), y + stride, whole, t->Columns);
            Store(Clamp(c20, low, high), Clamp(c21, low, high), y + 2 * stride, whole, t->Columns);
            Store(Clamp(c30, low, high), Clamp(c31, low, high), y + 3 * stride, whole, t->Columns);
            a0 = a3 + step;
            y += 4 * stride;
        }
        for (; rows > 0; rows--)
        {
            float* b = t->B;
            V c0 = bias0, c1 = bias1;
            for (nint k = 0; k < depth; k++, b += sizeof(TVectors) * TLanes.Count)
            {
                V a = TLanes.Create(a0[offsets[k]]);
                c0 = TLanes.MultiplyAdd(a, TLanes.Load(b), c0);
                if (sizeof(TVectors) > 1) c1 = TLanes.MultiplyAdd(a, TLanes.Load(b + TLanes.Count), c1);
            }
            Store(Clamp(c0, low, high), Clamp(c1, low, high), y, whole, t->Columns);
            a0 += step;
            y += stride;
        }
    }

    // Limits of ∓∞ change nothing, NaN included.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Clamp(V value, V low, V high) => TLanes.Min(high, TLanes.Max(low, value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(V c0, V c1, float* y, bool whole, int columns)
    {
        if (whole)
        {
            TLanes.Store(c0, y);
            if (sizeof(TVectors) > 1) TLanes.Store(c1, y + TLanes.Count);
            return;
        }
        if (columns < TLanes.Count)
        {
            TLanes.StorePartial(c0, y, columns);
            return;
        }
        TLanes.Store(c0, y);
        if (sizeof(TVectors) > 1 && columns > TLanes.Count) TLanes.StorePartial(c1, y + TLanes.Count, columns - TLanes.Count);
    }
}
