using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Octet.Kernels.QGemm.X86;

/// <summary>Up to 5 × 16 outputs with VPMADDUBSW where the packed weights prove that it cannot saturate, and with VPMADDWD elsewhere. Requires AVX2.</summary>
/// <remarks>
/// <code>
///   proved group:  acc += VPMADDWD(VPMADDUBSW(a, b), 1)                     a: 4 bytes of one row in every lane, b: 4 bytes of 8 columns
///   other group:   acc += VPMADDWD(a and 0x00FF, b of k 0 and 2)            the bytes of a widened to words in place
///                  acc += VPMADDWD(a &gt;&gt; 8,       b of k 1 and 3)
/// </code>
/// Both are exact, so the order of groups does not matter: <see cref="QGemmTile.Plan"/> names the proved groups of a section first.
/// 10 accumulators + 2 b + 1 a + 1 product + 1 constant ≤ 16 ymm.
/// </remarks>
internal static unsafe class QGemmPairTile256
{
    private const int Mr = 5, Nr = 16;

    /// <summary>The functions for 1 … 5 rows.</summary>
    public static nint[] All() =>
    [
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows1>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows2>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows3>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows4>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows5>,
    ];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Pairs(Vector256<int> acc, Vector256<int> a, Vector256<int> b, Vector256<short> ones) =>
        Avx2.Add(acc, Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(a.AsByte(), b.AsSByte()), ones));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Words(Vector256<int> acc, Vector256<short> a, Vector256<int> b) =>
        Avx2.Add(acc, Avx2.MultiplyAddAdjacent(a, b.AsInt16()));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Broadcast(byte* a) => Vector256.Create(*(int*)a);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Run<TRows>(QGemmTile* tile) where TRows : struct, IRowCount
    {
        Vector256<int> c00 = Vector256.Load(tile->Init), c01 = Vector256.Load(tile->Init + 8);
        Vector256<int> c10 = c00, c11 = c01, c20 = c00, c21 = c01, c30 = c00, c31 = c01, c40 = c00, c41 = c01;

        byte** rows = tile->Rows;
        byte* b = tile->B;
        int* plan = tile->Plan;
        Vector256<short> ones = Vector256.Create((short)1), lower = Vector256.Create((short)0x00FF);
        for (nint tap = tile->Taps; tap > 0; tap--, rows += Mr)
        {
            byte* a0 = rows[0];
            byte* a1 = TRows.Value > 1 ? rows[1] : a0;
            byte* a2 = TRows.Value > 2 ? rows[2] : a0;
            byte* a3 = TRows.Value > 3 ? rows[3] : a0;
            byte* a4 = TRows.Value > 4 ? rows[4] : a0;
            int* last = plan + 2 + plan[0], end = last + plan[1];
            for (plan += 2; plan < last; plan++, b += Nr * 4)
            {
                nint k = *plan;
                Vector256<int> b0 = Vector256.Load((int*)b), b1 = Vector256.Load((int*)b + 8);
                Vector256<int> a = Broadcast(a0 + k);
                c00 = Pairs(c00, a, b0, ones);
                c01 = Pairs(c01, a, b1, ones);
                if (TRows.Value > 1)
                {
                    a = Broadcast(a1 + k);
                    c10 = Pairs(c10, a, b0, ones);
                    c11 = Pairs(c11, a, b1, ones);
                }
                if (TRows.Value > 2)
                {
                    a = Broadcast(a2 + k);
                    c20 = Pairs(c20, a, b0, ones);
                    c21 = Pairs(c21, a, b1, ones);
                }
                if (TRows.Value > 3)
                {
                    a = Broadcast(a3 + k);
                    c30 = Pairs(c30, a, b0, ones);
                    c31 = Pairs(c31, a, b1, ones);
                }
                if (TRows.Value > 4)
                {
                    a = Broadcast(a4 + k);
                    c40 = Pairs(c40, a, b0, ones);
                    c41 = Pairs(c41, a, b1, ones);
                }
            }
            for (; plan < end; plan++, b += Nr * 8)
            {
                nint k = *plan;
                Vector256<int> b0 = Vector256.Load((int*)b), b1 = Vector256.Load((int*)b + 8);
                Vector256<short> a = Broadcast(a0 + k).AsInt16() & lower;
                c00 = Words(c00, a, b0);
                c01 = Words(c01, a, b1);
                if (TRows.Value > 1)
                {
                    a = Broadcast(a1 + k).AsInt16() & lower;
                    c10 = Words(c10, a, b0);
                    c11 = Words(c11, a, b1);
                }
                if (TRows.Value > 2)
                {
                    a = Broadcast(a2 + k).AsInt16() & lower;
                    c20 = Words(c20, a, b0);
                    c21 = Words(c21, a, b1);
                }
                if (TRows.Value > 3)
                {
                    a = Broadcast(a3 + k).AsInt16() & lower;
                    c30 = Words(c30, a, b0);
                    c31 = Words(c31, a, b1);
                }
                if (TRows.Value > 4)
                {
                    a = Broadcast(a4 + k).AsInt16() & lower;
                    c40 = Words(c40, a, b0);
                    c41 = Words(c41, a, b1);
                }
                b0 = Vector256.Load((int*)b + 16);
                b1 = Vector256.Load((int*)b + 24);
                a = Avx2.ShiftRightLogical(Broadcast(a0 + k).AsInt16(), 8);
                c00 = Words(c00, a, b0);
                c01 = Words(c01, a, b1);
                if (TRows.Value > 1)
                {
                    a = Avx2.ShiftRightLogical(Broadcast(a1 + k).AsInt16(), 8);
                    c10 = Words(c10, a, b0);
                    c11 = Words(c11, a, b1);
                }
                if (TRows.Value > 2)
                {
                    a = Avx2.ShiftRightLogical(Broadcast(a2 + k).AsInt16(), 8);
                    c20 = Words(c20, a, b0);
                    c21 = Words(c21, a, b1);
                }
                if (TRows.Value > 3)
                {
                    a = Avx2.ShiftRightLogical(Broadcast(a3 + k).AsInt16(), 8);
                    c30 = Words(c30, a, b0);
                    c31 = Words(c31, a, b1);
                }
                if (TRows.Value > 4)
                {
                    a = Avx2.ShiftRightLogical(Broadcast(a4 + k).AsInt16(), 8);
                    c40 = Words(c40, a, b0);
                    c41 = Words(c41, a, b1);
                }
            }
        }

        int* c = tile->C;
        c00.Store(c);
        c01.Store(c + 8);
        if (TRows.Value > 1) { c10.Store(c + Nr); c11.Store(c + Nr + 8); }
        if (TRows.Value > 2) { c20.Store(c + 2 * Nr); c21.Store(c + 2 * Nr + 8); }
        if (TRows.Value > 3) { c30.Store(c + 3 * Nr); c31.Store(c + 3 * Nr + 8); }
        if (TRows.Value > 4) { c40.Store(c + 4 * Nr); c41.Store(c + 4 * Nr + 8); }
    }
}
