using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.SGemm;

/// <summary>What one tile needs; filled by a driver on its stack.</summary>
internal unsafe struct SGemmTileArguments
{
    /// <summary>Row pointers, <c>[taps][rows]</c>: where the <see cref="Depth"/> consecutive floats of each row begin for each tap.</summary>
    public float** Rows;

    /// <summary>Segments that the depth consists of: 1 for a matrix, the taps of the window for a convolution.</summary>
    public nint Taps;

    /// <summary>Consecutive floats per row and tap.</summary>
    public nint Depth;

    /// <summary>Packed B panel, <c>[taps · depth][panel width]</c>.</summary>
    public float* B;

    /// <summary>Start values of the accumulators, one per column; null to go on from what <see cref="Y"/> holds.</summary>
    public float* Bias;

    /// <summary>Bytes that will be wanted soon; <see cref="PrefetchStep"/> of them per step of the depth are asked for.</summary>
    public byte* Prefetch;

    /// <summary>Bytes of <see cref="Prefetch"/> per step of the depth.</summary>
    public nint PrefetchStep;

    /// <summary>Added after the products, same extent as the tile; null for none.</summary>
    public float* Sum;

    /// <summary>Row stride of <see cref="Sum"/> in floats.</summary>
    public nint SumStride;

    /// <summary>Output tile.</summary>
    public float* Y;

    /// <summary>Row stride of <see cref="Y"/> in floats.</summary>
    public nint YStride;

    /// <summary>Columns to store, 1 … panel width.</summary>
    public int Columns;

    /// <summary>Whether to clamp to [<see cref="Low"/>, <see cref="High"/>].</summary>
    public bool Clamps;

    /// <summary>Whether to clamp before <see cref="Sum"/> is added.</summary>
    public bool ClampFirst;

    /// <summary>Lower limit.</summary>
    public float Low;

    /// <summary>Upper limit.</summary>
    public float High;
}

/// <summary>One tile of <c>C = A·B</c> in float32, up to 12 rows by one or two vectors of columns.</summary>
/// <remarks>
/// <code>
///                           b0: n 0..L−1   b1: n L..2L−1      L lanes
///                         ┌──────────────┬──────────────┐
///   a0 broadcast  ──────▶ │     c00      │     c01      │
///   a1                    │     c10      │     c11      │     512 bits: 24 accumulators + 2 b + 1 a ≤ 32
///   …                     │      …       │      …       │     256 bits: 12 accumulators + 2 b + 1 a ≤ 16
///   aR−1                  │              │              │
///                         └──────────────┴──────────────┘
/// </code>
/// Rows and the two-vector choice are struct parameters: code of rows and vectors that do not exist is removed by the JIT.
/// Each output is <c>bias + Σ over taps, then k, ascending</c>, the same whatever tile it falls into.
/// </remarks>
internal static unsafe class SGemmTile<TLanes, V, TRows, TVectors>
    where TLanes : struct, ILanes<V> where V : unmanaged where TRows : struct, ITileRows where TVectors : struct, ITileRows
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(SGemmTileArguments* t)
    {
        V c00 = TLanes.Create(0f), c01 = c00;
        if (t->Bias != null)
        {
            c00 = TLanes.Load(t->Bias);
            if (TVectors.Count > 1) c01 = TLanes.Load(t->Bias + TLanes.Count);
        }
        V c10 = c00, c11 = c01;
        V c20 = c00, c21 = c01;
        V c30 = c00, c31 = c01;
        V c40 = c00, c41 = c01;
        V c50 = c00, c51 = c01;
        V c60 = c00, c61 = c01;
        V c70 = c00, c71 = c01;
        V c80 = c00, c81 = c01;
        V c90 = c00, c91 = c01;
        V ca0 = c00, ca1 = c01;
        V cb0 = c00, cb1 = c01;
        if (t->Bias == null)
        {
            Continue(t, 0, ref c00, ref c01);
            if (TRows.Count > 1) Continue(t, 1, ref c10, ref c11);
            if (TRows.Count > 2) Continue(t, 2, ref c20, ref c21);
            if (TRows.Count > 3) Continue(t, 3, ref c30, ref c31);
            if (TRows.Count > 4) Continue(t, 4, ref c40, ref c41);
            if (TRows.Count > 5) Continue(t, 5, ref c50, ref c51);
            if (TRows.Count > 6) Continue(t, 6, ref c60, ref c61);
            if (TRows.Count > 7) Continue(t, 7, ref c70, ref c71);
            if (TRows.Count > 8) Continue(t, 8, ref c80, ref c81);
            if (TRows.Count > 9) Continue(t, 9, ref c90, ref c91);
            if (TRows.Count > 10) Continue(t, 10, ref ca0, ref ca1);
            if (TRows.Count > 11) Continue(t, 11, ref cb0, ref cb1);
        }
        byte* prefetch = t->Prefetch;
        nint prefetchStep = t->PrefetchStep;
        float* b = t->B;
        float** rows = t->Rows;
        nint depth = t->Depth;
        for (nint tap = t->Taps; tap > 0; tap--, rows += TRows.Count)
        {
            float* a0 = rows[0];
            float* a1 = TRows.Count > 1 ? rows[1] : a0;
            float* a2 = TRows.Count > 2 ? rows[2] : a0;
            float* a3 = TRows.Count > 3 ? rows[3] : a0;
            float* a4 = TRows.Count > 4 ? rows[4] : a0;
            float* a5 = TRows.Count > 5 ? rows[5] : a0;
            float* a6 = TRows.Count > 6 ? rows[6] : a0;
            float* a7 = TRows.Count > 7 ? rows[7] : a0;
            float* a8 = TRows.Count > 8 ? rows[8] : a0;
            float* a9 = TRows.Count > 9 ? rows[9] : a0;
            float* aa = TRows.Count > 10 ? rows[10] : a0;
            float* ab = TRows.Count > 11 ? rows[11] : a0;
            for (nint k = 0; k < depth; k++, b += TVectors.Count * TLanes.Count)
            {
                TLanes.Prefetch(prefetch);
                prefetch += prefetchStep;
                V b0 = TLanes.Load(b), b1 = TVectors.Count > 1 ? TLanes.Load(b + TLanes.Count) : b0;
                V a = TLanes.Create(a0[k]);
                c00 = TLanes.MultiplyAdd(a, b0, c00);
                if (TVectors.Count > 1) c01 = TLanes.MultiplyAdd(a, b1, c01);
                if (TRows.Count > 1)
                {
                    a = TLanes.Create(a1[k]);
                    c10 = TLanes.MultiplyAdd(a, b0, c10);
                    if (TVectors.Count > 1) c11 = TLanes.MultiplyAdd(a, b1, c11);
                }
                if (TRows.Count > 2)
                {
                    a = TLanes.Create(a2[k]);
                    c20 = TLanes.MultiplyAdd(a, b0, c20);
                    if (TVectors.Count > 1) c21 = TLanes.MultiplyAdd(a, b1, c21);
                }
                if (TRows.Count > 3)
                {
                    a = TLanes.Create(a3[k]);
                    c30 = TLanes.MultiplyAdd(a, b0, c30);
                    if (TVectors.Count > 1) c31 = TLanes.MultiplyAdd(a, b1, c31);
                }
                if (TRows.Count > 4)
                {
                    a = TLanes.Create(a4[k]);
                    c40 = TLanes.MultiplyAdd(a, b0, c40);
                    if (TVectors.Count > 1) c41 = TLanes.MultiplyAdd(a, b1, c41);
                }
                if (TRows.Count > 5)
                {
                    a = TLanes.Create(a5[k]);
                    c50 = TLanes.MultiplyAdd(a, b0, c50);
                    if (TVectors.Count > 1) c51 = TLanes.MultiplyAdd(a, b1, c51);
                }
                if (TRows.Count > 6)
                {
                    a = TLanes.Create(a6[k]);
                    c60 = TLanes.MultiplyAdd(a, b0, c60);
                    if (TVectors.Count > 1) c61 = TLanes.MultiplyAdd(a, b1, c61);
                }
                if (TRows.Count > 7)
                {
                    a = TLanes.Create(a7[k]);
                    c70 = TLanes.MultiplyAdd(a, b0, c70);
                    if (TVectors.Count > 1) c71 = TLanes.MultiplyAdd(a, b1, c71);
                }
                if (TRows.Count > 8)
                {
                    a = TLanes.Create(a8[k]);
                    c80 = TLanes.MultiplyAdd(a, b0, c80);
                    if (TVectors.Count > 1) c81 = TLanes.MultiplyAdd(a, b1, c81);
                }
                if (TRows.Count > 9)
                {
                    a = TLanes.Create(a9[k]);
                    c90 = TLanes.MultiplyAdd(a, b0, c90);
                    if (TVectors.Count > 1) c91 = TLanes.MultiplyAdd(a, b1, c91);
                }
                if (TRows.Count > 10)
                {
                    a = TLanes.Create(aa[k]);
                    ca0 = TLanes.MultiplyAdd(a, b0, ca0);
                    if (TVectors.Count > 1) ca1 = TLanes.MultiplyAdd(a, b1, ca1);
                }
                if (TRows.Count > 11)
                {
                    a = TLanes.Create(ab[k]);
                    cb0 = TLanes.MultiplyAdd(a, b0, cb0);
                    if (TVectors.Count > 1) cb1 = TLanes.MultiplyAdd(a, b1, cb1);
                }
            }
        }

        Finish(t, 0, c00, c01);
        if (TRows.Count > 1) Finish(t, 1, c10, c11);
        if (TRows.Count > 2) Finish(t, 2, c20, c21);
        if (TRows.Count > 3) Finish(t, 3, c30, c31);
        if (TRows.Count > 4) Finish(t, 4, c40, c41);
        if (TRows.Count > 5) Finish(t, 5, c50, c51);
        if (TRows.Count > 6) Finish(t, 6, c60, c61);
        if (TRows.Count > 7) Finish(t, 7, c70, c71);
        if (TRows.Count > 8) Finish(t, 8, c80, c81);
        if (TRows.Count > 9) Finish(t, 9, c90, c91);
        if (TRows.Count > 10) Finish(t, 10, ca0, ca1);
        if (TRows.Count > 11) Finish(t, 11, cb0, cb1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Continue(SGemmTileArguments* t, nint row, ref V c0, ref V c1)
    {
        float* y = t->Y + row * t->YStride;
        int columns = t->Columns;
        if (columns == TVectors.Count * TLanes.Count)
        {
            c0 = TLanes.Load(y);
            if (TVectors.Count > 1) c1 = TLanes.Load(y + TLanes.Count);
        }
        else if (columns <= TLanes.Count)
        {
            c0 = TLanes.LoadPartial(y, columns);
        }
        else
        {
            c0 = TLanes.Load(y);
            c1 = TLanes.LoadPartial(y + TLanes.Count, columns - TLanes.Count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(SGemmTileArguments* t, nint row, V c0, V c1)
    {
        V low = TLanes.Create(t->Low), high = TLanes.Create(t->High);
        float* y = t->Y + row * t->YStride;
        int columns = t->Columns;
        if (t->Clamps && t->ClampFirst) Clamp(low, high, ref c0, ref c1);
        if (t->Sum != null)
        {
            float* sum = t->Sum + row * t->SumStride;
            if (columns == TVectors.Count * TLanes.Count)
            {
                c0 = TLanes.Add(c0, TLanes.Load(sum));
                if (TVectors.Count > 1) c1 = TLanes.Add(c1, TLanes.Load(sum + TLanes.Count));
            }
            else if (columns <= TLanes.Count)
            {
                c0 = TLanes.Add(c0, TLanes.LoadPartial(sum, columns));
            }
            else
            {
                c0 = TLanes.Add(c0, TLanes.Load(sum));
                c1 = TLanes.Add(c1, TLanes.LoadPartial(sum + TLanes.Count, columns - TLanes.Count));
            }
        }
        if (t->Clamps && !t->ClampFirst) Clamp(low, high, ref c0, ref c1);

        if (columns == TVectors.Count * TLanes.Count)
        {
            TLanes.Store(c0, y);
            if (TVectors.Count > 1) TLanes.Store(c1, y + TLanes.Count);
        }
        else if (columns <= TLanes.Count)
        {
            TLanes.StorePartial(c0, y, columns);
        }
        else
        {
            TLanes.Store(c0, y);
            TLanes.StorePartial(c1, y + TLanes.Count, columns - TLanes.Count);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Clamp(V low, V high, ref V c0, ref V c1)
    {
        c0 = TLanes.Min(high, TLanes.Max(low, c0));
        if (TVectors.Count > 1) c1 = TLanes.Min(high, TLanes.Max(low, c1));
    }
}
