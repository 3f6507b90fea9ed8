using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.SGemm;

/// <summary>What one tile needs; filled by a driver on its stack.</summary>
internal unsafe struct SGemmTileArguments
{
    /// <summary>
    /// Tiles of the same height and width to compute. They follow each other in <see cref="Rows"/> or <see cref="Line"/>, <see cref="Sum"/> and <see cref="Y"/>, or, if
    /// <see cref="Across"/>, in <see cref="B"/>, <see cref="Bias"/>, <see cref="Sum"/> and <see cref="Y"/>; these and <see cref="Prefetch"/> advance.
    /// </summary>
    public nint Tiles;

    /// <summary>Whether the tiles are those of neighbouring panels and the same rows.</summary>
    public bool Across;

    /// <summary>Row pointers, <c>[tiles][taps][rows]</c>: where the <see cref="Depth"/> consecutive floats of each row begin for each tap; null if they lie evenly, see <see cref="Line"/>.</summary>
    public float** Rows;

    /// <summary>Where <see cref="Rows"/> is null: the first float of the first row for the first tap. Rows, of all tiles, are <see cref="LineStep"/> floats apart, taps <see cref="TapStep"/>.</summary>
    public float* Line;

    /// <summary>Floats from row to row of <see cref="Line"/>.</summary>
    public nint LineStep;

    /// <summary>Floats from tap to tap of <see cref="Line"/>.</summary>
    public nint TapStep;

    /// <summary>Segments that the depth consists of: 1 for a matrix, the taps of the window for a convolution.</summary>
    public nint Taps;

    /// <summary>Consecutive floats per row and tap.</summary>
    public nint Depth;

    /// <summary>Packed B panel, <c>[taps · depth][panel width]</c>.</summary>
    public float* B;

    /// <summary>Floats between panels, for a tile that reads several.</summary>
    public nint PanelStride;

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

    /// <summary>A dense tile of rows × panel width that the tile may use.</summary>
    public float* Spare;

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
/// Rows and the two-vector choice are the sizes of struct parameters: the JIT never reads the code of rows and vectors that do not exist.
/// Each output is <c>bias + Σ over taps, then k, ascending</c>, the same whatever tile it falls into.
/// </remarks>
internal static unsafe class SGemmTile<TLanes, V, TRows, TVectors>
    where TLanes : struct, ILanes<V> where V : unmanaged where TRows : unmanaged, ITileRows where TVectors : unmanaged, ITileRows
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(SGemmTileArguments* t)
    {
        while (true)
        {
            // Columns that are not all there, and a sum after a clamp, are left to the spare tile and what follows it.
            bool simple = t->Columns == sizeof(TVectors) * TLanes.Count && (t->Sum == null || !(t->Clamps && t->ClampFirst));
            float* y = simple ? t->Y : t->Spare;
            nint stride = simple ? t->YStride : sizeof(TVectors) * TLanes.Count;

            V c00 = TLanes.Create(0f), c01 = c00;
            V c10 = c00, c11 = c00;
            V c20 = c00, c21 = c00;
            V c30 = c00, c31 = c00;
            V c40 = c00, c41 = c00;
            V c50 = c00, c51 = c00;
            V c60 = c00, c61 = c00;
            V c70 = c00, c71 = c00;
            V c80 = c00, c81 = c00;
            V c90 = c00, c91 = c00;
            V ca0 = c00, ca1 = c00;
            V cb0 = c00, cb1 = c00;
            if (t->Bias != null)
            {
                c00 = TLanes.Load(t->Bias);
                if (sizeof(TVectors) > 1) c01 = TLanes.Load(t->Bias + TLanes.Count);
                if (sizeof(TRows) > 1) (c10, c11) = (c00, c01);
                if (sizeof(TRows) > 2) (c20, c21) = (c00, c01);
                if (sizeof(TRows) > 3) (c30, c31) = (c00, c01);
                if (sizeof(TRows) > 4) (c40, c41) = (c00, c01);
                if (sizeof(TRows) > 5) (c50, c51) = (c00, c01);
                if (sizeof(TRows) > 6) (c60, c61) = (c00, c01);
                if (sizeof(TRows) > 7) (c70, c71) = (c00, c01);
                if (sizeof(TRows) > 8) (c80, c81) = (c00, c01);
                if (sizeof(TRows) > 9) (c90, c91) = (c00, c01);
                if (sizeof(TRows) > 10) (ca0, ca1) = (c00, c01);
                if (sizeof(TRows) > 11) (cb0, cb1) = (c00, c01);
            }
            else
            {
                if (!simple) SGemmSpare<TLanes, V>.Fill(t, sizeof(TRows), sizeof(TVectors) * TLanes.Count);
                float* from = y;
                c00 = TLanes.Load(from);
                if (sizeof(TVectors) > 1) c01 = TLanes.Load(from + TLanes.Count);
                if (sizeof(TRows) > 1)
                {
                    from += stride;
                    c10 = TLanes.Load(from);
                    if (sizeof(TVectors) > 1) c11 = TLanes.Load(from + TLanes.Count);
                }
                if (sizeof(TRows) > 2)
                {
                    from += stride;
                    c20 = TLanes.Load(from);
                    if (sizeof(TVectors) > 1) c21 = TLanes.Load(from + TLanes.Count);
                }
                if (sizeof(TRows) > 3)
                {
                    from += stride;
                    c30 = TLanes.Load(from);
                    if (sizeof(TVectors) > 1) c31 = TLanes.Load(from + TLanes.Count);
                }
                if (sizeof(TRows) > 4)
                {
                    from += stride;
                    c40 = TLanes.Load(from);
                    if (sizeof(TVectors) > 1) c41 = TLanes.Load(from + TLanes.Count);
                }
                if (sizeof(TRows) > 5)
                {
                    from += stride;
                    c50 = TLanes.Load(from);
                    if (sizeof(TVectors) > 1) c51 = TLanes.Load(from + TLanes.Count);
                }
                if (sizeof(TRows) > 6)
                {
                    from += stride;
                    c60 = TLanes.Load(from);
                    if (sizeof(TVectors) > 1) c61 = TLanes.Load(from + TLanes.Count);
                }
                if (sizeof(TRows) > 7)
                {
                    from += stride;
                    c70 = TLanes.Load(from);
                    if (sizeof(TVectors) > 1) c71 = TLanes.Load(from + TLanes.Count);
                }
                if (sizeof(TRows) > 8)
                {
                    from += stride;
                    c80 = TLanes.Load(from);
                    if (sizeof(TVectors) > 1) c81 = TLanes.Load(from + TLanes.Count);
                }
                if (sizeof(TRows) > 9)
                {
                    from += stride;
                    c90 = TLanes.Load(from);
                    if (sizeof(TVectors) > 1) c91 = TLanes.Load(from + TLanes.Count);
                }
                if (sizeof(TRows) > 10)
                {
                    from += stride;
                    ca0 = TLanes.Load(from);
                    if (sizeof(TVectors) > 1) ca1 = TLanes.Load(from + TLanes.Count);
                }
                if (sizeof(TRows) > 11)
                {
                    from += stride;
                    cb0 = TLanes.Load(from);
                    if (sizeof(TVectors) > 1) cb1 = TLanes.Load(from + TLanes.Count);
                }
            }

            float* b = t->B;
            float** rows = t->Rows;
            float* line = t->Line;
            byte* prefetch = t->Prefetch;
            nint depth = t->Depth, prefetchStep = t->PrefetchStep;
            for (nint tap = t->Taps; tap > 0; tap--)
            {
                float* a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, aa, ab;
                if (rows != null)
                {
                    a0 = rows[0];
                    a1 = sizeof(TRows) > 1 ? rows[1] : a0;
                    a2 = sizeof(TRows) > 2 ? rows[2] : a0;
                    a3 = sizeof(TRows) > 3 ? rows[3] : a0;
                    a4 = sizeof(TRows) > 4 ? rows[4] : a0;
                    a5 = sizeof(TRows) > 5 ? rows[5] : a0;
                    a6 = sizeof(TRows) > 6 ? rows[6] : a0;
                    a7 = sizeof(TRows) > 7 ? rows[7] : a0;
                    a8 = sizeof(TRows) > 8 ? rows[8] : a0;
                    a9 = sizeof(TRows) > 9 ? rows[9] : a0;
                    aa = sizeof(TRows) > 10 ? rows[10] : a0;
                    ab = sizeof(TRows) > 11 ? rows[11] : a0;
                    rows += sizeof(TRows);
                }
                else
                {
                    nint step = t->LineStep;
                    a0 = line;
                    a1 = sizeof(TRows) > 1 ? a0 + step : a0;
                    a2 = sizeof(TRows) > 2 ? a1 + step : a0;
                    a3 = sizeof(TRows) > 3 ? a2 + step : a0;
                    a4 = sizeof(TRows) > 4 ? a3 + step : a0;
                    a5 = sizeof(TRows) > 5 ? a4 + step : a0;
                    a6 = sizeof(TRows) > 6 ? a5 + step : a0;
                    a7 = sizeof(TRows) > 7 ? a6 + step : a0;
                    a8 = sizeof(TRows) > 8 ? a7 + step : a0;
                    a9 = sizeof(TRows) > 9 ? a8 + step : a0;
                    aa = sizeof(TRows) > 10 ? a9 + step : a0;
                    ab = sizeof(TRows) > 11 ? aa + step : a0;
                    line += t->TapStep;
                }
                // Two steps at a time: where another thread shares the core, instructions beside the multiplications cost as much as these.
                nint k = 0, next = sizeof(TVectors) * TLanes.Count;
                V a, b0, b1;
                for (; k < depth - 1; k += 2, b += 2 * next)
                {
                    TLanes.Prefetch(prefetch);
                    TLanes.Prefetch(prefetch + prefetchStep);
                    prefetch += 2 * prefetchStep;
                    b0 = TLanes.Load(b);
                    b1 = b0;
                    if (sizeof(TVectors) > 1) b1 = TLanes.Load(b + TLanes.Count);
                    a = TLanes.Create(a0[k]);
                    c00 = TLanes.MultiplyAdd(a, b0, c00);
                    if (sizeof(TVectors) > 1) c01 = TLanes.MultiplyAdd(a, b1, c01);
                    if (sizeof(TRows) > 1)
                    {
                        a = TLanes.Create(a1[k]);
                        c10 = TLanes.MultiplyAdd(a, b0, c10);
                        if (sizeof(TVectors) > 1) c11 = TLanes.MultiplyAdd(a, b1, c11);
                    }
                    if (sizeof(TRows) > 2)
                    {
                        a = TLanes.Create(a2[k]);
                        c20 = TLanes.MultiplyAdd(a, b0, c20);
                        if (sizeof(TVectors) > 1) c21 = TLanes.MultiplyAdd(a, b1, c21);
                    }
                    if (sizeof(TRows) > 3)
                    {
                        a = TLanes.Create(a3[k]);
                        c30 = TLanes.MultiplyAdd(a, b0, c30);
                        if (sizeof(TVectors) > 1) c31 = TLanes.MultiplyAdd(a, b1, c31);
                    }
                    if (sizeof(TRows) > 4)
                    {
                        a = TLanes.Create(a4[k]);
                        c40 = TLanes.MultiplyAdd(a, b0, c40);
                        if (sizeof(TVectors) > 1) c41 = TLanes.MultiplyAdd(a, b1, c41);
                    }
                    if (sizeof(TRows) > 5)
                    {
                        a = TLanes.Create(a5[k]);
                        c50 = TLanes.MultiplyAdd(a, b0, c50);
                        if (sizeof(TVectors) > 1) c51 = TLanes.MultiplyAdd(a, b1, c51);
                    }
                    if (sizeof(TRows) > 6)
                    {
                        a = TLanes.Create(a6[k]);
                        c60 = TLanes.MultiplyAdd(a, b0, c60);
                        if (sizeof(TVectors) > 1) c61 = TLanes.MultiplyAdd(a, b1, c61);
                    }
                    if (sizeof(TRows) > 7)
                    {
                        a = TLanes.Create(a7[k]);
                        c70 = TLanes.MultiplyAdd(a, b0, c70);
                        if (sizeof(TVectors) > 1) c71 = TLanes.MultiplyAdd(a, b1, c71);
                    }
                    if (sizeof(TRows) > 8)
                    {
                        a = TLanes.Create(a8[k]);
                        c80 = TLanes.MultiplyAdd(a, b0, c80);
                        if (sizeof(TVectors) > 1) c81 = TLanes.MultiplyAdd(a, b1, c81);
                    }
                    if (sizeof(TRows) > 9)
                    {
                        a = TLanes.Create(a9[k]);
                        c90 = TLanes.MultiplyAdd(a, b0, c90);
                        if (sizeof(TVectors) > 1) c91 = TLanes.MultiplyAdd(a, b1, c91);
                    }
                    if (sizeof(TRows) > 10)
                    {
                        a = TLanes.Create(aa[k]);
                        ca0 = TLanes.MultiplyAdd(a, b0, ca0);
                        if (sizeof(TVectors) > 1) ca1 = TLanes.MultiplyAdd(a, b1, ca1);
                    }
                    if (sizeof(TRows) > 11)
                    {
                        a = TLanes.Create(ab[k]);
                        cb0 = TLanes.MultiplyAdd(a, b0, cb0);
                        if (sizeof(TVectors) > 1) cb1 = TLanes.MultiplyAdd(a, b1, cb1);
                    }
                    b0 = TLanes.Load(b + next);
                    b1 = b0;
                    if (sizeof(TVectors) > 1) b1 = TLanes.Load(b + next + TLanes.Count);
                    a = TLanes.Create(a0[k + 1]);
                    c00 = TLanes.MultiplyAdd(a, b0, c00);
                    if (sizeof(TVectors) > 1) c01 = TLanes.MultiplyAdd(a, b1, c01);
                    if (sizeof(TRows) > 1)
                    {
                        a = TLanes.Create(a1[k + 1]);
                        c10 = TLanes.MultiplyAdd(a, b0, c10);
                        if (sizeof(TVectors) > 1) c11 = TLanes.MultiplyAdd(a, b1, c11);
                    }
                    if (sizeof(TRows) > 2)
                    {
                        a = TLanes.Create(a2[k + 1]);
                        c20 = TLanes.MultiplyAdd(a, b0, c20);
                        if (sizeof(TVectors) > 1) c21 = TLanes.MultiplyAdd(a, b1, c21);
                    }
                    if (sizeof(TRows) > 3)
                    {
                        a = TLanes.Create(a3[k + 1]);
                        c30 = TLanes.MultiplyAdd(a, b0, c30);
                        if (sizeof(TVectors) > 1) c31 = TLanes.MultiplyAdd(a, b1, c31);
                    }
                    if (sizeof(TRows) > 4)
                    {
                        a = TLanes.Create(a4[k + 1]);
                        c40 = TLanes.MultiplyAdd(a, b0, c40);
                        if (sizeof(TVectors) > 1) c41 = TLanes.MultiplyAdd(a, b1, c41);
                    }
                    if (sizeof(TRows) > 5)
                    {
                        a = TLanes.Create(a5[k + 1]);
                        c50 = TLanes.MultiplyAdd(a, b0, c50);
                        if (sizeof(TVectors) > 1) c51 = TLanes.MultiplyAdd(a, b1, c51);
                    }
                    if (sizeof(TRows) > 6)
                    {
                        a = TLanes.Create(a6[k + 1]);
                        c60 = TLanes.MultiplyAdd(a, b0, c60);
                        if (sizeof(TVectors) > 1) c61 = TLanes.MultiplyAdd(a, b1, c61);
                    }
                    if (sizeof(TRows) > 7)
                    {
                        a = TLanes.Create(a7[k + 1]);
                        c70 = TLanes.MultiplyAdd(a, b0, c70);
                        if (sizeof(TVectors) > 1) c71 = TLanes.MultiplyAdd(a, b1, c71);
                    }
                    if (sizeof(TRows) > 8)
                    {
                        a = TLanes.Create(a8[k + 1]);
                        c80 = TLanes.MultiplyAdd(a, b0, c80);
                        if (sizeof(TVectors) > 1) c81 = TLanes.MultiplyAdd(a, b1, c81);
                    }
                    if (sizeof(TRows) > 9)
                    {
                        a = TLanes.Create(a9[k + 1]);
                        c90 = TLanes.MultiplyAdd(a, b0, c90);
                        if (sizeof(TVectors) > 1) c91 = TLanes.MultiplyAdd(a, b1, c91);
                    }
                    if (sizeof(TRows) > 10)
                    {
                        a = TLanes.Create(aa[k + 1]);
                        ca0 = TLanes.MultiplyAdd(a, b0, ca0);
                        if (sizeof(TVectors) > 1) ca1 = TLanes.MultiplyAdd(a, b1, ca1);
                    }
                    if (sizeof(TRows) > 11)
                    {
                        a = TLanes.Create(ab[k + 1]);
                        cb0 = TLanes.MultiplyAdd(a, b0, cb0);
                        if (sizeof(TVectors) > 1) cb1 = TLanes.MultiplyAdd(a, b1, cb1);
                    }
                }
                if (k < depth)
                {
                    TLanes.Prefetch(prefetch);
                    prefetch += prefetchStep;
                    b0 = TLanes.Load(b);
                    b1 = b0;
                    if (sizeof(TVectors) > 1) b1 = TLanes.Load(b + TLanes.Count);
                    a = TLanes.Create(a0[k]);
                    c00 = TLanes.MultiplyAdd(a, b0, c00);
                    if (sizeof(TVectors) > 1) c01 = TLanes.MultiplyAdd(a, b1, c01);
                    if (sizeof(TRows) > 1)
                    {
                        a = TLanes.Create(a1[k]);
                        c10 = TLanes.MultiplyAdd(a, b0, c10);
                        if (sizeof(TVectors) > 1) c11 = TLanes.MultiplyAdd(a, b1, c11);
                    }
                    if (sizeof(TRows) > 2)
                    {
                        a = TLanes.Create(a2[k]);
                        c20 = TLanes.MultiplyAdd(a, b0, c20);
                        if (sizeof(TVectors) > 1) c21 = TLanes.MultiplyAdd(a, b1, c21);
                    }
                    if (sizeof(TRows) > 3)
                    {
                        a = TLanes.Create(a3[k]);
                        c30 = TLanes.MultiplyAdd(a, b0, c30);
                        if (sizeof(TVectors) > 1) c31 = TLanes.MultiplyAdd(a, b1, c31);
                    }
                    if (sizeof(TRows) > 4)
                    {
                        a = TLanes.Create(a4[k]);
                        c40 = TLanes.MultiplyAdd(a, b0, c40);
                        if (sizeof(TVectors) > 1) c41 = TLanes.MultiplyAdd(a, b1, c41);
                    }
                    if (sizeof(TRows) > 5)
                    {
                        a = TLanes.Create(a5[k]);
                        c50 = TLanes.MultiplyAdd(a, b0, c50);
                        if (sizeof(TVectors) > 1) c51 = TLanes.MultiplyAdd(a, b1, c51);
                    }
                    if (sizeof(TRows) > 6)
                    {
                        a = TLanes.Create(a6[k]);
                        c60 = TLanes.MultiplyAdd(a, b0, c60);
                        if (sizeof(TVectors) > 1) c61 = TLanes.MultiplyAdd(a, b1, c61);
                    }
                    if (sizeof(TRows) > 7)
                    {
                        a = TLanes.Create(a7[k]);
                        c70 = TLanes.MultiplyAdd(a, b0, c70);
                        if (sizeof(TVectors) > 1) c71 = TLanes.MultiplyAdd(a, b1, c71);
                    }
                    if (sizeof(TRows) > 8)
                    {
                        a = TLanes.Create(a8[k]);
                        c80 = TLanes.MultiplyAdd(a, b0, c80);
                        if (sizeof(TVectors) > 1) c81 = TLanes.MultiplyAdd(a, b1, c81);
                    }
                    if (sizeof(TRows) > 9)
                    {
                        a = TLanes.Create(a9[k]);
                        c90 = TLanes.MultiplyAdd(a, b0, c90);
                        if (sizeof(TVectors) > 1) c91 = TLanes.MultiplyAdd(a, b1, c91);
                    }
                    if (sizeof(TRows) > 10)
                    {
                        a = TLanes.Create(aa[k]);
                        ca0 = TLanes.MultiplyAdd(a, b0, ca0);
                        if (sizeof(TVectors) > 1) ca1 = TLanes.MultiplyAdd(a, b1, ca1);
                    }
                    if (sizeof(TRows) > 11)
                    {
                        a = TLanes.Create(ab[k]);
                        cb0 = TLanes.MultiplyAdd(a, b0, cb0);
                        if (sizeof(TVectors) > 1) cb1 = TLanes.MultiplyAdd(a, b1, cb1);
                    }
                    b += next;
                }
            }

            if (simple && t->Sum != null)
            {
                float* sum = t->Sum;
                c00 = TLanes.Add(c00, TLanes.Load(sum));
                if (sizeof(TVectors) > 1) c01 = TLanes.Add(c01, TLanes.Load(sum + TLanes.Count));
                if (sizeof(TRows) > 1)
                {
                    sum += t->SumStride;
                    c10 = TLanes.Add(c10, TLanes.Load(sum));
                    if (sizeof(TVectors) > 1) c11 = TLanes.Add(c11, TLanes.Load(sum + TLanes.Count));
                }
                if (sizeof(TRows) > 2)
                {
                    sum += t->SumStride;
                    c20 = TLanes.Add(c20, TLanes.Load(sum));
                    if (sizeof(TVectors) > 1) c21 = TLanes.Add(c21, TLanes.Load(sum + TLanes.Count));
                }
                if (sizeof(TRows) > 3)
                {
                    sum += t->SumStride;
                    c30 = TLanes.Add(c30, TLanes.Load(sum));
                    if (sizeof(TVectors) > 1) c31 = TLanes.Add(c31, TLanes.Load(sum + TLanes.Count));
                }
                if (sizeof(TRows) > 4)
                {
                    sum += t->SumStride;
                    c40 = TLanes.Add(c40, TLanes.Load(sum));
                    if (sizeof(TVectors) > 1) c41 = TLanes.Add(c41, TLanes.Load(sum + TLanes.Count));
                }
                if (sizeof(TRows) > 5)
                {
                    sum += t->SumStride;
                    c50 = TLanes.Add(c50, TLanes.Load(sum));
                    if (sizeof(TVectors) > 1) c51 = TLanes.Add(c51, TLanes.Load(sum + TLanes.Count));
                }
                if (sizeof(TRows) > 6)
                {
                    sum += t->SumStride;
                    c60 = TLanes.Add(c60, TLanes.Load(sum));
                    if (sizeof(TVectors) > 1) c61 = TLanes.Add(c61, TLanes.Load(sum + TLanes.Count));
                }
                if (sizeof(TRows) > 7)
                {
                    sum += t->SumStride;
                    c70 = TLanes.Add(c70, TLanes.Load(sum));
                    if (sizeof(TVectors) > 1) c71 = TLanes.Add(c71, TLanes.Load(sum + TLanes.Count));
                }
                if (sizeof(TRows) > 8)
                {
                    sum += t->SumStride;
                    c80 = TLanes.Add(c80, TLanes.Load(sum));
                    if (sizeof(TVectors) > 1) c81 = TLanes.Add(c81, TLanes.Load(sum + TLanes.Count));
                }
                if (sizeof(TRows) > 9)
                {
                    sum += t->SumStride;
                    c90 = TLanes.Add(c90, TLanes.Load(sum));
                    if (sizeof(TVectors) > 1) c91 = TLanes.Add(c91, TLanes.Load(sum + TLanes.Count));
                }
                if (sizeof(TRows) > 10)
                {
                    sum += t->SumStride;
                    ca0 = TLanes.Add(ca0, TLanes.Load(sum));
                    if (sizeof(TVectors) > 1) ca1 = TLanes.Add(ca1, TLanes.Load(sum + TLanes.Count));
                }
                if (sizeof(TRows) > 11)
                {
                    sum += t->SumStride;
                    cb0 = TLanes.Add(cb0, TLanes.Load(sum));
                    if (sizeof(TVectors) > 1) cb1 = TLanes.Add(cb1, TLanes.Load(sum + TLanes.Count));
                }
            }

            // Limits of ∓∞ change nothing, NaN included.
            bool clamps = simple && t->Clamps;
            V low = TLanes.Create(clamps ? t->Low : float.NegativeInfinity), high = TLanes.Create(clamps ? t->High : float.PositiveInfinity);
            TLanes.Store(TLanes.Min(high, TLanes.Max(low, c00)), y);
            if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, c01)), y + TLanes.Count);
            if (sizeof(TRows) > 1)
            {
                y += stride;
                TLanes.Store(TLanes.Min(high, TLanes.Max(low, c10)), y);
                if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, c11)), y + TLanes.Count);
            }
            if (sizeof(TRows) > 2)
            {
                y += stride;
                TLanes.Store(TLanes.Min(high, TLanes.Max(low, c20)), y);
                if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, c21)), y + TLanes.Count);
            }
            if (sizeof(TRows) > 3)
            {
                y += stride;
                TLanes.Store(TLanes.Min(high, TLanes.Max(low, c30)), y);
                if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, c31)), y + TLanes.Count);
            }
            if (sizeof(TRows) > 4)
            {
                y += stride;
                TLanes.Store(TLanes.Min(high, TLanes.Max(low, c40)), y);
                if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, c41)), y + TLanes.Count);
            }
            if (sizeof(TRows) > 5)
            {
                y += stride;
                TLanes.Store(TLanes.Min(high, TLanes.Max(low, c50)), y);
                if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, c51)), y + TLanes.Count);
            }
            if (sizeof(TRows) > 6)
            {
                y += stride;
                TLanes.Store(TLanes.Min(high, TLanes.Max(low, c60)), y);
                if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, c61)), y + TLanes.Count);
            }
            if (sizeof(TRows) > 7)
            {
                y += stride;
                TLanes.Store(TLanes.Min(high, TLanes.Max(low, c70)), y);
                if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, c71)), y + TLanes.Count);
            }
            if (sizeof(TRows) > 8)
            {
                y += stride;
                TLanes.Store(TLanes.Min(high, TLanes.Max(low, c80)), y);
                if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, c81)), y + TLanes.Count);
            }
            if (sizeof(TRows) > 9)
            {
                y += stride;
                TLanes.Store(TLanes.Min(high, TLanes.Max(low, c90)), y);
                if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, c91)), y + TLanes.Count);
            }
            if (sizeof(TRows) > 10)
            {
                y += stride;
                TLanes.Store(TLanes.Min(high, TLanes.Max(low, ca0)), y);
                if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, ca1)), y + TLanes.Count);
            }
            if (sizeof(TRows) > 11)
            {
                y += stride;
                TLanes.Store(TLanes.Min(high, TLanes.Max(low, cb0)), y);
                if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, cb1)), y + TLanes.Count);
            }
            if (!simple) SGemmSpare<TLanes, V>.Finish(t, sizeof(TRows), sizeof(TVectors) * TLanes.Count);
            t->Prefetch = prefetch;
            if (--t->Tiles <= 0) return;
            bool across = t->Across;
            if (across)
            {
                t->B = b;
                if (t->Bias != null) t->Bias += sizeof(TVectors) * TLanes.Count;
            }
            else if (rows != null) t->Rows = rows;
            else t->Line += sizeof(TRows) * t->LineStep;
            t->Y += across ? sizeof(TVectors) * TLanes.Count : sizeof(TRows) * t->YStride;
            if (t->Sum != null) t->Sum += across ? sizeof(TVectors) * TLanes.Count : sizeof(TRows) * t->SumStride;
        }
    }
}

/// <summary>The way from and to the output of tiles that <see cref="SGemmTile{TLanes, V, TRows, TVectors}"/> keeps in <see cref="SGemmTileArguments.Spare"/>.</summary>
internal static unsafe class SGemmSpare<TLanes, V> where TLanes : struct, ILanes<V> where V : unmanaged
{
    /// <summary>Reads running sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Fill(SGemmTileArguments* t, int rows, int width)
    {
        for (nint r = 0; r < rows; r++)
        {
            for (int c = 0; c < width; c += TLanes.Count)
                TLanes.Store(TLanes.LoadPartial(t->Y + r * t->YStride + c, Math.Clamp(t->Columns - c, 0, TLanes.Count)), t->Spare + r * width + c);
        }
    }

    /// <summary>Adds the sum, clamps and writes the columns that exist.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Finish(SGemmTileArguments* t, int rows, int width)
    {
        V low = TLanes.Create(t->Low), high = TLanes.Create(t->High);
        bool before = t->Clamps && t->ClampFirst, after = t->Clamps && !t->ClampFirst;
        for (nint r = 0; r < rows; r++)
        {
            float* spare = t->Spare + r * width, y = t->Y + r * t->YStride, sum = t->Sum == null ? null : t->Sum + r * t->SumStride;
            for (int c = 0; c < t->Columns; c += TLanes.Count)
            {
                int count = Math.Min(TLanes.Count, t->Columns - c);
                V value = TLanes.Load(spare + c);
                if (before) value = TLanes.Min(high, TLanes.Max(low, value));
                if (sum != null) value = TLanes.Add(value, count == TLanes.Count ? TLanes.Load(sum + c) : TLanes.LoadPartial(sum + c, count));
                if (after) value = TLanes.Min(high, TLanes.Max(low, value));
                if (count == TLanes.Count) TLanes.Store(value, y + c);
                else TLanes.StorePartial(value, y + c, count);
            }
        }
    }
}
