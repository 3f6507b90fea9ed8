using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.QGemm.X86;

namespace Octet.Kernels.QGemm;

/// <summary>The one step that differs per instruction set: <c>acc[i] += a[i,0]·b[i,0] + a[i,1]·b[i,1]</c> over the words of each 32-bit lane, exact.</summary>
internal interface IDot128
{
    static abstract Vector128<int> Accumulate(Vector128<int> acc, Vector128<int> a, Vector128<int> b);
}

/// <summary>PMADDWD + PADDD. Requires SSE4.1.</summary>
internal readonly struct SseDot128 : IDot128
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Accumulate(Vector128<int> acc, Vector128<int> a, Vector128<int> b) =>
        Sse2.Add(acc, Sse2.MultiplyAddAdjacent(a.AsInt16(), b.AsInt16()));
}

/// <summary>Any 128-bit vectors: the two words of a lane are shifted apart and multiplied as int32.</summary>
internal readonly struct PortableDot128 : IDot128
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Accumulate(Vector128<int> acc, Vector128<int> a, Vector128<int> b) =>
        acc + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
}

/// <summary>Up to 6 × 8 outputs in 128-bit vectors; the layout of <see cref="QGemmTile256{TDot}"/> with half the columns.</summary>
internal static unsafe class QGemmTile128<TDot> where TDot : struct, IDot128
{
    private const int Mr = 6, Nr = 8;

    /// <summary>The functions for 1 … 6 rows.</summary>
    public static nint[] All() =>
    [
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows1>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows2>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows3>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows4>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows5>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows6>,
    ];

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Run<TRows>(QGemmTile* tile) where TRows : struct, IRowCount
    {
        Vector128<int> c00 = Vector128.Load(tile->Init), c01 = Vector128.Load(tile->Init + 4);
        Vector128<int> c10 = c00, c11 = c01, c20 = c00, c21 = c01, c30 = c00, c31 = c01, c40 = c00, c41 = c01, c50 = c00, c51 = c01;

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
            for (nint k = 0; k < bytes; k += 4, b += Nr * 4)
            {
                Vector128<int> b0 = Vector128.Load((int*)b), b1 = Vector128.Load((int*)b + 4);
                Vector128<int> a = Vector128.Create(*(int*)(a0 + k));
                c00 = TDot.Accumulate(c00, a, b0);
                c01 = TDot.Accumulate(c01, a, b1);
                if (TRows.Value > 1)
                {
                    a = Vector128.Create(*(int*)(a1 + k));
                    c10 = TDot.Accumulate(c10, a, b0);
                    c11 = TDot.Accumulate(c11, a, b1);
                }
                if (TRows.Value > 2)
                {
                    a = Vector128.Create(*(int*)(a2 + k));
                    c20 = TDot.Accumulate(c20, a, b0);
                    c21 = TDot.Accumulate(c21, a, b1);
                }
                if (TRows.Value > 3)
                {
                    a = Vector128.Create(*(int*)(a3 + k));
                    c30 = TDot.Accumulate(c30, a, b0);
                    c31 = TDot.Accumulate(c31, a, b1);
                }
                if (TRows.Value > 4)
                {
                    a = Vector128.Create(*(int*)(a4 + k));
                    c40 = TDot.Accumulate(c40, a, b0);
                    c41 = TDot.Accumulate(c41, a, b1);
                }
                if (TRows.Value > 5)
                {
                    a = Vector128.Create(*(int*)(a5 + k));
                    c50 = TDot.Accumulate(c50, a, b0);
                    c51 = TDot.Accumulate(c51, a, b1);
                }
            }
        }

        int* c = tile->C;
        c00.Store(c);
        c01.Store(c + 4);
        if (TRows.Value > 1) { c10.Store(c + Nr); c11.Store(c + Nr + 4); }
        if (TRows.Value > 2) { c20.Store(c + 2 * Nr); c21.Store(c + 2 * Nr + 4); }
        if (TRows.Value > 3) { c30.Store(c + 3 * Nr); c31.Store(c + 3 * Nr + 4); }
        if (TRows.Value > 4) { c40.Store(c + 4 * Nr); c41.Store(c + 4 * Nr + 4); }
        if (TRows.Value > 5) { c50.Store(c + 5 * Nr); c51.Store(c + 5 * Nr + 4); }
    }
}
