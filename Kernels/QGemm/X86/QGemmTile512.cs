using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Octet.Kernels.QGemm.X86;

/// <summary>Up to 8 × 32 outputs with VPMADDWD + VPADDD in 512-bit vectors (AVX-512BW without VNNI); lanes as in <see cref="QGemmTile256{TDot}"/>.</summary>
/// <remarks>16 accumulators + 2 b + 1 a + 1 product ≤ 32 zmm; 8 row addresses + 4 pointers and counters ≤ 15 general registers.</remarks>
internal static unsafe class QGemmTile512
{
    private const int Mr = 8, Nr = 32;

    /// <summary>The functions for 1 … 8 rows.</summary>
    public static nint[] All() =>
    [
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows1>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows2>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows3>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows4>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows5>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows6>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows7>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows8>,
    ];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Dot(Vector512<int> acc, Vector512<int> a, Vector512<int> b) =>
        Avx512F.Add(acc, Avx512BW.MultiplyAddAdjacent(a.AsInt16(), b.AsInt16()));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Run<TRows>(QGemmTile* tile) where TRows : struct, IRowCount
    {
        Vector512<int> c00 = Vector512.Load(tile->Init), c01 = Vector512.Load(tile->Init + 16);
        Vector512<int> c10 = c00, c11 = c01, c20 = c00, c21 = c01, c30 = c00, c31 = c01;
        Vector512<int> c40 = c00, c41 = c01, c50 = c00, c51 = c01, c60 = c00, c61 = c01, c70 = c00, c71 = c01;

        byte** rows = tile->Rows;
        byte* b = tile->B;
        nint bytes = tile->Groups * 4;
        for (nint tap = tile->Taps; tap > 0; tap--, rows += Mr)
        {
            byte* a0 = rows[0];
            byte* a1 = TRows.Value > 1 ? rows[1] : a0;
            byte* a2 = TRows.Value > 2 ? rows[2] : a0;
            byte* a3 = TRows.Value > 3 ? rows[3] : a0;
            byte* a4 = TRows.Value > 4 ? rows[4] : a0;
            byte* a5 = TRows.Value > 5 ? rows[5] : a0;
            byte* a6 = TRows.Value > 6 ? rows[6] : a0;
            byte* a7 = TRows.Value > 7 ? rows[7] : a0;
            for (nint k = 0; k < bytes; k += 4, b += Nr * 4)
            {
                Vector512<int> b0 = Vector512.Load((int*)b), b1 = Vector512.Load((int*)b + 16);
                Vector512<int> a = Vector512.Create(*(int*)(a0 + k));
                c00 = Dot(c00, a, b0);
                c01 = Dot(c01, a, b1);
                if (TRows.Value > 1)
                {
                    a = Vector512.Create(*(int*)(a1 + k));
                    c10 = Dot(c10, a, b0);
                    c11 = Dot(c11, a, b1);
                }
                if (TRows.Value > 2)
                {
                    a = Vector512.Create(*(int*)(a2 + k));
                    c20 = Dot(c20, a, b0);
                    c21 = Dot(c21, a, b1);
                }
                if (TRows.Value > 3)
                {
                    a = Vector512.Create(*(int*)(a3 + k));
                    c30 = Dot(c30, a, b0);
                    c31 = Dot(c31, a, b1);
                }
                if (TRows.Value > 4)
                {
                    a = Vector512.Create(*(int*)(a4 + k));
                    c40 = Dot(c40, a, b0);
                    c41 = Dot(c41, a, b1);
                }
                if (TRows.Value > 5)
                {
                    a = Vector512.Create(*(int*)(a5 + k));
                    c50 = Dot(c50, a, b0);
                    c51 = Dot(c51, a, b1);
                }
                if (TRows.Value > 6)
                {
                    a = Vector512.Create(*(int*)(a6 + k));
                    c60 = Dot(c60, a, b0);
                    c61 = Dot(c61, a, b1);
                }
                if (TRows.Value > 7)
                {
                    a = Vector512.Create(*(int*)(a7 + k));
                    c70 = Dot(c70, a, b0);
                    c71 = Dot(c71, a, b1);
                }
            }
        }

        int* c = tile->C;
        c00.Store(c);
        c01.Store(c + 16);
        if (TRows.Value > 1) { c10.Store(c + Nr); c11.Store(c + Nr + 16); }
        if (TRows.Value > 2) { c20.Store(c + 2 * Nr); c21.Store(c + 2 * Nr + 16); }
        if (TRows.Value > 3) { c30.Store(c + 3 * Nr); c31.Store(c + 3 * Nr + 16); }
        if (TRows.Value > 4) { c40.Store(c + 4 * Nr); c41.Store(c + 4 * Nr + 16); }
        if (TRows.Value > 5) { c50.Store(c + 5 * Nr); c51.Store(c + 5 * Nr + 16); }
        if (TRows.Value > 6) { c60.Store(c + 6 * Nr); c61.Store(c + 6 * Nr + 16); }
        if (TRows.Value > 7) { c70.Store(c + 7 * Nr); c71.Store(c + 7 * Nr + 16); }
    }
}
