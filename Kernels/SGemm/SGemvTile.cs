using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.SGemm;

/// <summary>
/// One row times four whole panels, or two rows times two: B comes from memory and is used once, so four streams are read at a time and asked for ahead. Each output is the same
/// chain of additions as in <see cref="SGemmTile{TLanes, V, TRows, TVectors}"/>.
/// </summary>
internal static unsafe class SGemvTile<TLanes, V> where TLanes : struct, ILanes<V> where V : unmanaged
{
    /// <summary>How far ahead a stream is asked for, in floats: four times that is what memory delivers in its latency, and stays in L1.</summary>
    private const int Ahead = 512;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(SGemmTileArguments* t)
    {
        nint stride = t->PanelStride, width = 2 * TLanes.Count;
        float* bias = t->Bias;
        V c00 = TLanes.Load(bias), c01 = TLanes.Load(bias + TLanes.Count);
        V c10 = TLanes.Load(bias + width), c11 = TLanes.Load(bias + width + TLanes.Count);
        V c20 = TLanes.Load(bias + 2 * width), c21 = TLanes.Load(bias + 2 * width + TLanes.Count);
        V c30 = TLanes.Load(bias + 3 * width), c31 = TLanes.Load(bias + 3 * width + TLanes.Count);
        float* a = t->Rows[0];
        float* b0 = t->B, b1 = b0 + stride, b2 = b1 + stride, b3 = b2 + stride;
        nint depth = t->Depth, near = depth - Ahead / width;   // beyond the end of the last stream there may be no memory, and asking for that takes long
        for (nint k = 0; k < depth; k++)
        {
            V v = TLanes.Create(a[k]);
            TLanes.PrefetchNear(b0 + Ahead);
            c00 = TLanes.MultiplyAdd(v, TLanes.Load(b0), c00);
            c01 = TLanes.MultiplyAdd(v, TLanes.Load(b0 + TLanes.Count), c01);
            TLanes.PrefetchNear(b1 + Ahead);
            c10 = TLanes.MultiplyAdd(v, TLanes.Load(b1), c10);
            c11 = TLanes.MultiplyAdd(v, TLanes.Load(b1 + TLanes.Count), c11);
            TLanes.PrefetchNear(b2 + Ahead);
            c20 = TLanes.MultiplyAdd(v, TLanes.Load(b2), c20);
            c21 = TLanes.MultiplyAdd(v, TLanes.Load(b2 + TLanes.Count), c21);
            TLanes.PrefetchNear(k < near ? b3 + Ahead : b3);
            c30 = TLanes.MultiplyAdd(v, TLanes.Load(b3), c30);
            c31 = TLanes.MultiplyAdd(v, TLanes.Load(b3 + TLanes.Count), c31);
            b0 += width;
            b1 += width;
            b2 += width;
            b3 += width;
        }
        float* spare = t->Spare;
        TLanes.Store(c00, spare);
        TLanes.Store(c01, spare + TLanes.Count);
        TLanes.Store(c10, spare + width);
        TLanes.Store(c11, spare + width + TLanes.Count);
        TLanes.Store(c20, spare + 2 * width);
        TLanes.Store(c21, spare + 2 * width + TLanes.Count);
        TLanes.Store(c30, spare + 3 * width);
        TLanes.Store(c31, spare + 3 * width + TLanes.Count);
        SGemmSpare<TLanes, V>.Finish(t, 1, (int)(4 * width));
    }

    /// <summary>Two rows times two whole panels: as many chains of additions as one row has with four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RunTwo(SGemmTileArguments* t)
    {
        nint stride = t->PanelStride, width = 2 * TLanes.Count;
        float* bias = t->Bias;
        V c00 = TLanes.Load(bias), c01 = TLanes.Load(bias + TLanes.Count), c02 = TLanes.Load(bias + width), c03 = TLanes.Load(bias + width + TLanes.Count);
        V c10 = c00, c11 = c01, c12 = c02, c13 = c03;
        float* a0 = t->Rows[0], a1 = t->Rows[1], b0 = t->B, b1 = b0 + stride;
        nint depth = t->Depth, near = depth - Ahead / width;
        for (nint k = 0; k < depth; k++)
        {
            V v0 = TLanes.Create(a0[k]), v1 = TLanes.Create(a1[k]);
            TLanes.PrefetchNear(b0 + Ahead);
            V b = TLanes.Load(b0);
            c00 = TLanes.MultiplyAdd(v0, b, c00);
            c10 = TLanes.MultiplyAdd(v1, b, c10);
            b = TLanes.Load(b0 + TLanes.Count);
            c01 = TLanes.MultiplyAdd(v0, b, c01);
            c11 = TLanes.MultiplyAdd(v1, b, c11);
            TLanes.PrefetchNear(k < near ? b1 + Ahead : b1);
            b = TLanes.Load(b1);
            c02 = TLanes.MultiplyAdd(v0, b, c02);
            c12 = TLanes.MultiplyAdd(v1, b, c12);
            b = TLanes.Load(b1 + TLanes.Count);
            c03 = TLanes.MultiplyAdd(v0, b, c03);
            c13 = TLanes.MultiplyAdd(v1, b, c13);
            b0 += width;
            b1 += width;
        }
        float* spare = t->Spare;
        TLanes.Store(c00, spare);
        TLanes.Store(c01, spare + TLanes.Count);
        TLanes.Store(c02, spare + width);
        TLanes.Store(c03, spare + width + TLanes.Count);
        spare += 2 * width;
        TLanes.Store(c10, spare);
        TLanes.Store(c11, spare + TLanes.Count);
        TLanes.Store(c12, spare + width);
        TLanes.Store(c13, spare + width + TLanes.Count);
        SGemmSpare<TLanes, V>.Finish(t, 2, (int)(2 * width));
    }
}
