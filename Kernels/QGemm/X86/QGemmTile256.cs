using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Requantize;

namespace Octet.Kernels.QGemm.X86;

/// <summary>The one step that differs per instruction set: <c>acc[i] += Σ a[i,t]·b[i,t]</c> over the group in each 32-bit lane, exact.</summary>
internal interface IDot256
{
    static abstract Vector256<int> Accumulate(Vector256<int> acc, Vector256<int> a, Vector256<int> b);
}

/// <summary>VPMADDWD + VPADDD on int16 pairs: <c>|a·b| ≤ 255·128</c>, so the sum of two products is exact. Requires AVX2.</summary>
internal readonly struct WordDot256 : IDot256
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Accumulate(Vector256<int> acc, Vector256<int> a, Vector256<int> b) =>
        Avx2.Add(acc, Avx2.MultiplyAddAdjacent(a.AsInt16(), b.AsInt16()));
}

/// <summary>VPDPBUSD ymm in its VEX form: four byte products and the accumulator added without saturation. Requires AVX-VNNI.</summary>
internal readonly struct VnniDot256 : IDot256
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Accumulate(Vector256<int> acc, Vector256<int> a, Vector256<int> b) =>
        AvxVnni.MultiplyWideningAndAdd(acc, a.AsByte(), b.AsSByte());
}

/// <summary>Up to 6 × 16 outputs in 256-bit vectors.</summary>
/// <remarks>
/// <code>
///                            b0: n 0..7    b1: n 8..15     each 32-bit lane holds one group (4 bytes or 2 words) of k
///                          ┌─────────────┬─────────────┐
///   a: row 0, one group ─▶ │     c00     │     c01     │   12 accumulators + 2 b + 1 a (+ 1 product) ≤ 16 ymm
///      …                   │             │             │
///      row 5               │     c50     │     c51     │
///                          └─────────────┴─────────────┘
/// </code>
/// The row count is a constant to the JIT: rows that a variant lacks leave no instruction behind.
/// </remarks>
internal static unsafe class QGemmTile256<TDot> where TDot : struct, IDot256
{
    private const int Mr = 6, Nr = 16;

    /// <summary>The functions for 1 … 6 rows, of 16 columns and of 8.</summary>
    public static nint[] All() =>
    [
        (nint)(delegate*<QGemmTile*, void>)&RunPrecompiled<Rows1, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&RunPrecompiled<Rows2, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&RunPrecompiled<Rows3, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&RunPrecompiled<Rows4, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&RunPrecompiled<Rows5, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&RunPrecompiled<Rows6, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&RunPrecompiled<Rows1, No>,
        (nint)(delegate*<QGemmTile*, void>)&RunPrecompiled<Rows2, No>,
        (nint)(delegate*<QGemmTile*, void>)&RunPrecompiled<Rows3, No>,
        (nint)(delegate*<QGemmTile*, void>)&RunPrecompiled<Rows4, No>,
        (nint)(delegate*<QGemmTile*, void>)&RunPrecompiled<Rows5, No>,
        (nint)(delegate*<QGemmTile*, void>)&RunPrecompiled<Rows6, No>,
    ];

    /// <summary>The same, never compiled ahead of time: for instructions that such code may not consist of.</summary>
    public static nint[] AllAtRunTime() =>
    [
        (nint)(delegate*<QGemmTile*, void>)&RunAtRunTime<Rows1, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&RunAtRunTime<Rows2, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&RunAtRunTime<Rows3, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&RunAtRunTime<Rows4, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&RunAtRunTime<Rows5, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&RunAtRunTime<Rows6, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&RunAtRunTime<Rows1, No>,
        (nint)(delegate*<QGemmTile*, void>)&RunAtRunTime<Rows2, No>,
        (nint)(delegate*<QGemmTile*, void>)&RunAtRunTime<Rows3, No>,
        (nint)(delegate*<QGemmTile*, void>)&RunAtRunTime<Rows4, No>,
        (nint)(delegate*<QGemmTile*, void>)&RunAtRunTime<Rows5, No>,
        (nint)(delegate*<QGemmTile*, void>)&RunAtRunTime<Rows6, No>,
    ];

    [MethodImpl(HotLoop.Optimized)]
    private static void RunPrecompiled<TRows, TWide>(QGemmTile* tile) where TRows : struct, IRowCount where TWide : struct, ISwitch => Run<TRows, TWide>(tile);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void RunAtRunTime<TRows, TWide>(QGemmTile* tile) where TRows : struct, IRowCount where TWide : struct, ISwitch => Run<TRows, TWide>(tile);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Run<TRows, TWide>(QGemmTile* tile) where TRows : struct, IRowCount where TWide : struct, ISwitch
    {
        byte** rows = tile->Rows;
        int* c = tile->C;
        byte* y = tile->Y, ahead = tile->Ahead, wanted = ahead;
        nint bytes = tile->Groups * 4;
        for (nint tiles = tile->Tiles; tiles > 0; tiles--)
        {
            Vector256<int> c00 = Vector256.Load(tile->Init), c01 = TWide.On ? Vector256.Load(tile->Init + 8) : c00;
            Vector256<int> c10 = c00, c11 = c01, c20 = c00, c21 = c01, c30 = c00, c31 = c01, c40 = c00, c41 = c01, c50 = c00, c51 = c01;
            byte* b = tile->B;
            for (nint tap = tile->Taps; tap > 0; tap--, rows += Mr)
            {
                if (tile->AheadStep != 0)
                {
                    wanted += tile->AheadStep;
                    ahead = QGemmFinish256.Ahead(ahead, wanted < tile->AheadEnd ? wanted : tile->AheadEnd);
                }
                byte* a0 = rows[0];
                byte* a1 = TRows.Value > 1 ? rows[1] : a0;
                byte* a2 = TRows.Value > 2 ? rows[2] : a0;
                byte* a3 = TRows.Value > 3 ? rows[3] : a0;
                byte* a4 = TRows.Value > 4 ? rows[4] : a0;
                byte* a5 = TRows.Value > 5 ? rows[5] : a0;
                Vector256<int> a, b0, b1 = default;
                nint k = 0;
                for (; k < bytes - 4; k += 8, b += Nr * 8)
                {
                    b0 = Vector256.Load((int*)b);
                    if (TWide.On) b1 = Vector256.Load((int*)b + 8);
                    a = Vector256.Create(*(int*)(a0 + k));
                    c00 = TDot.Accumulate(c00, a, b0);
                    if (TWide.On) c01 = TDot.Accumulate(c01, a, b1);
                    if (TRows.Value > 1)
                    {
                        a = Vector256.Create(*(int*)(a1 + k));
                        c10 = TDot.Accumulate(c10, a, b0);
                        if (TWide.On) c11 = TDot.Accumulate(c11, a, b1);
                    }
                    if (TRows.Value > 2)
                    {
                        a = Vector256.Create(*(int*)(a2 + k));
                        c20 = TDot.Accumulate(c20, a, b0);
                        if (TWide.On) c21 = TDot.Accumulate(c21, a, b1);
                    }
                    if (TRows.Value > 3)
                    {
                        a = Vector256.Create(*(int*)(a3 + k));
                        c30 = TDot.Accumulate(c30, a, b0);
                        if (TWide.On) c31 = TDot.Accumulate(c31, a, b1);
                    }
                    if (TRows.Value > 4)
                    {
                        a = Vector256.Create(*(int*)(a4 + k));
                        c40 = TDot.Accumulate(c40, a, b0);
                        if (TWide.On) c41 = TDot.Accumulate(c41, a, b1);
                    }
                    if (TRows.Value > 5)
                    {
                        a = Vector256.Create(*(int*)(a5 + k));
                        c50 = TDot.Accumulate(c50, a, b0);
                        if (TWide.On) c51 = TDot.Accumulate(c51, a, b1);
                    }
                    b0 = Vector256.Load((int*)b + Nr);
                    if (TWide.On) b1 = Vector256.Load((int*)b + Nr + 8);
                    a = Vector256.Create(*(int*)(a0 + k + 4));
                    c00 = TDot.Accumulate(c00, a, b0);
                    if (TWide.On) c01 = TDot.Accumulate(c01, a, b1);
                    if (TRows.Value > 1)
                    {
                        a = Vector256.Create(*(int*)(a1 + k + 4));
                        c10 = TDot.Accumulate(c10, a, b0);
                        if (TWide.On) c11 = TDot.Accumulate(c11, a, b1);
                    }
                    if (TRows.Value > 2)
                    {
                        a = Vector256.Create(*(int*)(a2 + k + 4));
                        c20 = TDot.Accumulate(c20, a, b0);
                        if (TWide.On) c21 = TDot.Accumulate(c21, a, b1);
                    }
                    if (TRows.Value > 3)
                    {
                        a = Vector256.Create(*(int*)(a3 + k + 4));
                        c30 = TDot.Accumulate(c30, a, b0);
                        if (TWide.On) c31 = TDot.Accumulate(c31, a, b1);
                    }
                    if (TRows.Value > 4)
                    {
                        a = Vector256.Create(*(int*)(a4 + k + 4));
                        c40 = TDot.Accumulate(c40, a, b0);
                        if (TWide.On) c41 = TDot.Accumulate(c41, a, b1);
                    }
                    if (TRows.Value > 5)
                    {
                        a = Vector256.Create(*(int*)(a5 + k + 4));
                        c50 = TDot.Accumulate(c50, a, b0);
                        if (TWide.On) c51 = TDot.Accumulate(c51, a, b1);
                    }
                }
                if (k < bytes)
                {
                    b0 = Vector256.Load((int*)b);
                    if (TWide.On) b1 = Vector256.Load((int*)b + 8);
                    a = Vector256.Create(*(int*)(a0 + k));
                    c00 = TDot.Accumulate(c00, a, b0);
                    if (TWide.On) c01 = TDot.Accumulate(c01, a, b1);
                    if (TRows.Value > 1)
                    {
                        a = Vector256.Create(*(int*)(a1 + k));
                        c10 = TDot.Accumulate(c10, a, b0);
                        if (TWide.On) c11 = TDot.Accumulate(c11, a, b1);
                    }
                    if (TRows.Value > 2)
                    {
                        a = Vector256.Create(*(int*)(a2 + k));
                        c20 = TDot.Accumulate(c20, a, b0);
                        if (TWide.On) c21 = TDot.Accumulate(c21, a, b1);
                    }
                    if (TRows.Value > 3)
                    {
                        a = Vector256.Create(*(int*)(a3 + k));
                        c30 = TDot.Accumulate(c30, a, b0);
                        if (TWide.On) c31 = TDot.Accumulate(c31, a, b1);
                    }
                    if (TRows.Value > 4)
                    {
                        a = Vector256.Create(*(int*)(a4 + k));
                        c40 = TDot.Accumulate(c40, a, b0);
                        if (TWide.On) c41 = TDot.Accumulate(c41, a, b1);
                    }
                    if (TRows.Value > 5)
                    {
                        a = Vector256.Create(*(int*)(a5 + k));
                        c50 = TDot.Accumulate(c50, a, b0);
                        if (TWide.On) c51 = TDot.Accumulate(c51, a, b1);
                    }
                    b += Nr * 4;
                }
            }

            if (tile->Output == QOutput.Int32)
            {
                QGemmFinish256.Sums<TWide>(c, c00, c01);
                if (TRows.Value > 1) QGemmFinish256.Sums<TWide>(c + Nr, c10, c11);
                if (TRows.Value > 2) QGemmFinish256.Sums<TWide>(c + 2 * Nr, c20, c21);
                if (TRows.Value > 3) QGemmFinish256.Sums<TWide>(c + 3 * Nr, c30, c31);
                if (TRows.Value > 4) QGemmFinish256.Sums<TWide>(c + 4 * Nr, c40, c41);
                if (TRows.Value > 5) QGemmFinish256.Sums<TWide>(c + 5 * Nr, c50, c51);
                c += TRows.Value * Nr;
                continue;
            }
            if (TRows.Value > 1) QGemmFinish256.Rows<TWide, Yes>(tile, y, c00, c01, c10, c11);
            else QGemmFinish256.Rows<TWide, No>(tile, y, c00, c01, c00, c01);
            if (TRows.Value > 3) QGemmFinish256.Rows<TWide, Yes>(tile, y + 2 * tile->YStride, c20, c21, c30, c31);
            else if (TRows.Value > 2) QGemmFinish256.Rows<TWide, No>(tile, y + 2 * tile->YStride, c20, c21, c20, c21);
            if (TRows.Value > 5) QGemmFinish256.Rows<TWide, Yes>(tile, y + 4 * tile->YStride, c40, c41, c50, c51);
            else if (TRows.Value > 4) QGemmFinish256.Rows<TWide, No>(tile, y + 4 * tile->YStride, c40, c41, c40, c41);
            y += TRows.Value * tile->YStride;
        }
    }
}
