using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Requantize;

namespace Octet.Kernels.QGemm.X86;

/// <summary>Up to 3 × 16 outputs with VPMADDUBSW where the packed weights prove that 16 bits hold its sums, and with VPMADDWD elsewhere. Requires AVX2.</summary>
/// <remarks>
/// <code>
///   fours, two groups:  acc += VPMADDWD(VPMADDUBSW(a, b) + VPMADDUBSW(a′, b′), 1)     a: 4 bytes of one row in every lane, b: 4 bytes of 8 columns
///   pair:               acc += VPMADDWD(VPMADDUBSW(a, b), 1)
///   other group:        acc += VPMADDWD(a and 0x00FF, b of k 0 and 2)                 the bytes of a widened to words in place
///                       acc += VPMADDWD(a &gt;&gt; 8,       b of k 1 and 3)
///   outside:            acc ± VPMADDWD(VPMADDUBSW(e, b), 1)                           listed groups of one row, see QGemmWindow256
/// </code>
/// All are exact, so the order of groups does not matter: <see cref="QGemmTile.Plan"/> names the fours of a section first, then the pairs.
/// 6 accumulators + 4 b + 2 a + 2 products + 1 constant = 15 ymm. VPMADDUBSW and VPMADDWD share two execution units, and fours, 3 of them for 64 products, are bound by these.
/// </remarks>
internal static unsafe class QGemmPairTile256
{
    private const int Mr = 3, Nr = 16;

    /// <summary>The functions for 1 … 3 rows, of 16 columns and of 8.</summary>
    public static nint[] All() =>
    [
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows1, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows2, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows3, Yes>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows1, No>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows2, No>,
        (nint)(delegate*<QGemmTile*, void>)&Run<Rows3, No>,
    ];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Fours(Vector256<int> a, Vector256<int> next, Vector256<int> b, Vector256<int> nextB, Vector256<short> ones) =>
        Avx2.MultiplyAddAdjacent(Avx2.Add(Avx2.MultiplyAddAdjacent(a.AsByte(), b.AsSByte()), Avx2.MultiplyAddAdjacent(next.AsByte(), nextB.AsSByte())), ones);

    /// <summary>Sums of the products of a group whose sums of two are safe.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Pairs(Vector256<int> a, Vector256<int> b, Vector256<short> ones) =>
        Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(a.AsByte(), b.AsSByte()), ones);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Words(Vector256<int> acc, Vector256<short> a, Vector256<int> b) =>
        Avx2.Add(acc, Avx2.MultiplyAddAdjacent(a, b.AsInt16()));

    /// <summary>Four bytes of a row in every lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Broadcast(byte* a) => Vector256.Create(*(int*)a);

    /// <summary>Asks for weights of a product with one row, which memory alone slows down: hardware does not fetch ahead beyond a page.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Ahead(byte* b, int bytes)
    {
        const int distance = 2048;
        Sse.Prefetch0(b + distance);
        if (bytes > 64) Sse.Prefetch0(b + distance + 64);
    }

    [MethodImpl(HotLoop.Optimized)]
    private static void Run<TRows, TWide>(QGemmTile* tile) where TRows : struct, IRowCount where TWide : struct, ISwitch
    {
        byte** rows = tile->Rows;
        int* c = tile->C, init = tile->Init;
        int* outside = tile->Outside;
        byte* y = tile->Y, ahead = tile->Ahead, wanted = ahead;
        Vector256<short> ones = Vector256.Create((short)1);
        for (nint tiles = tile->Tiles; tiles > 0; tiles--)
        {
            Vector256<int> c00 = Vector256.Load(init), c01 = TWide.On ? Vector256.Load(init + 8) : c00;
            init += tile->InitStride;
            Vector256<int> c10 = c00, c11 = c01, c20 = c00, c21 = c01;
            if (TRows.Value > 1)
            {
                c10 = Vector256.Load(init);
                if (TWide.On) c11 = Vector256.Load(init + 8);
                init += tile->InitStride;
            }
            if (TRows.Value > 2)
            {
                c20 = Vector256.Load(init);
                if (TWide.On) c21 = Vector256.Load(init + 8);
                init += tile->InitStride;
            }
            byte* b = null;
            for (nint pass = tile->Passes; pass > 0; pass--)
            {
                b = tile->B;
                int* plan = tile->Plan;
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
                    int* fours = plan + 3 + 2 * plan[0], pairs = fours + plan[1], words = pairs + plan[2];
                    for (plan += 3; plan < fours; plan += 2, b += Nr * 8)
                    {
                        nint k = plan[0], l = plan[1];
                        if (TRows.Value == 1) Ahead(b, 128);
                        Vector256<int> b0 = Vector256.Load((int*)b), b1 = TWide.On ? Vector256.Load((int*)b + 8) : b0;
                        Vector256<int> b2 = Vector256.Load((int*)b + Nr), b3 = TWide.On ? Vector256.Load((int*)b + Nr + 8) : b2;
                        Vector256<int> a = Broadcast(a0 + k), next = Broadcast(a0 + l);
                        c00 = Avx2.Add(c00, Fours(a, next, b0, b2, ones));
                        if (TWide.On) c01 = Avx2.Add(c01, Fours(a, next, b1, b3, ones));
                        if (TRows.Value > 1)
                        {
                            a = Broadcast(a1 + k);
                            next = Broadcast(a1 + l);
                            c10 = Avx2.Add(c10, Fours(a, next, b0, b2, ones));
                            if (TWide.On) c11 = Avx2.Add(c11, Fours(a, next, b1, b3, ones));
                        }
                        if (TRows.Value > 2)
                        {
                            a = Broadcast(a2 + k);
                            next = Broadcast(a2 + l);
                            c20 = Avx2.Add(c20, Fours(a, next, b0, b2, ones));
                            if (TWide.On) c21 = Avx2.Add(c21, Fours(a, next, b1, b3, ones));
                        }
                    }
                    for (; plan < pairs; plan++, b += Nr * 4)
                    {
                        nint k = *plan;
                        if (TRows.Value == 1) Ahead(b, 64);
                        Vector256<int> b0 = Vector256.Load((int*)b), b1 = TWide.On ? Vector256.Load((int*)b + 8) : b0;
                        Vector256<int> a = Broadcast(a0 + k);
                        c00 = Avx2.Add(c00, Pairs(a, b0, ones));
                        if (TWide.On) c01 = Avx2.Add(c01, Pairs(a, b1, ones));
                        if (TRows.Value > 1)
                        {
                            a = Broadcast(a1 + k);
                            c10 = Avx2.Add(c10, Pairs(a, b0, ones));
                            if (TWide.On) c11 = Avx2.Add(c11, Pairs(a, b1, ones));
                        }
                        if (TRows.Value > 2)
                        {
                            a = Broadcast(a2 + k);
                            c20 = Avx2.Add(c20, Pairs(a, b0, ones));
                            if (TWide.On) c21 = Avx2.Add(c21, Pairs(a, b1, ones));
                        }
                    }
                    for (; plan < words; plan++, b += Nr * 8)
                    {
                        nint k = *plan;
                        if (TRows.Value == 1) Ahead(b, 128);
                        Vector256<short> lower = Vector256.Create((short)0x00FF);
                        Vector256<int> b0 = Vector256.Load((int*)b), b1 = TWide.On ? Vector256.Load((int*)b + 8) : b0;
                        Vector256<int> b2 = Vector256.Load((int*)b + Nr), b3 = TWide.On ? Vector256.Load((int*)b + Nr + 8) : b2;
                        Vector256<short> a = Broadcast(a0 + k).AsInt16(), even = a & lower, odd = Avx2.ShiftRightLogical(a, 8);
                        c00 = Words(Words(c00, even, b0), odd, b2);
                        if (TWide.On) c01 = Words(Words(c01, even, b1), odd, b3);
                        if (TRows.Value > 1)
                        {
                            a = Broadcast(a1 + k).AsInt16();
                            even = a & lower;
                            odd = Avx2.ShiftRightLogical(a, 8);
                            c10 = Words(Words(c10, even, b0), odd, b2);
                            if (TWide.On) c11 = Words(Words(c11, even, b1), odd, b3);
                        }
                        if (TRows.Value > 2)
                        {
                            a = Broadcast(a2 + k).AsInt16();
                            even = a & lower;
                            odd = Avx2.ShiftRightLogical(a, 8);
                            c20 = Words(Words(c20, even, b0), odd, b2);
                            if (TWide.On) c21 = Words(Words(c21, even, b1), odd, b3);
                        }
                    }
                }
            }

            if (outside != null)
            {
                int* values = tile->Values, groups = tile->Listed, places = tile->Places;
                for (nint i = outside[0]; i < outside[1]; i++)
                {
                    b = tile->B + places[groups[i]];
                    Vector256<int> e = Broadcast((byte*)(values + i));
                    c00 = Avx2.Add(c00, Pairs(e, Vector256.Load((int*)b), ones));
                    if (TWide.On) c01 = Avx2.Add(c01, Pairs(e, Vector256.Load((int*)b + 8), ones));
                }
                for (nint i = outside[2]; i < outside[3]; i++)
                {
                    b = tile->B + places[groups[i]];
                    Vector256<int> e = Broadcast((byte*)(values + i));
                    c00 = Avx2.Subtract(c00, Pairs(e, Vector256.Load((int*)b), ones));
                    if (TWide.On) c01 = Avx2.Subtract(c01, Pairs(e, Vector256.Load((int*)b + 8), ones));
                }
                if (TRows.Value > 1)
                {
                    for (nint i = outside[4]; i < outside[5]; i++)
                    {
                        b = tile->B + places[groups[i]];
                        Vector256<int> e = Broadcast((byte*)(values + i));
                        c10 = Avx2.Add(c10, Pairs(e, Vector256.Load((int*)b), ones));
                        if (TWide.On) c11 = Avx2.Add(c11, Pairs(e, Vector256.Load((int*)b + 8), ones));
                    }
                    for (nint i = outside[6]; i < outside[7]; i++)
                    {
                        b = tile->B + places[groups[i]];
                        Vector256<int> e = Broadcast((byte*)(values + i));
                        c10 = Avx2.Subtract(c10, Pairs(e, Vector256.Load((int*)b), ones));
                        if (TWide.On) c11 = Avx2.Subtract(c11, Pairs(e, Vector256.Load((int*)b + 8), ones));
                    }
                }
                if (TRows.Value > 2)
                {
                    for (nint i = outside[8]; i < outside[9]; i++)
                    {
                        b = tile->B + places[groups[i]];
                        Vector256<int> e = Broadcast((byte*)(values + i));
                        c20 = Avx2.Add(c20, Pairs(e, Vector256.Load((int*)b), ones));
                        if (TWide.On) c21 = Avx2.Add(c21, Pairs(e, Vector256.Load((int*)b + 8), ones));
                    }
                    for (nint i = outside[10]; i < outside[11]; i++)
                    {
                        b = tile->B + places[groups[i]];
                        Vector256<int> e = Broadcast((byte*)(values + i));
                        c20 = Avx2.Subtract(c20, Pairs(e, Vector256.Load((int*)b), ones));
                        if (TWide.On) c21 = Avx2.Subtract(c21, Pairs(e, Vector256.Load((int*)b + 8), ones));
                    }
                }
                outside += TRows.Value * 4;
            }

            if (tile->Output == QOutput.Int32)
            {
                QGemmFinish256.Sums<TWide>(c, c00, c01);
                if (TRows.Value > 1) QGemmFinish256.Sums<TWide>(c + Nr, c10, c11);
                if (TRows.Value > 2) QGemmFinish256.Sums<TWide>(c + 2 * Nr, c20, c21);
                c += TRows.Value * Nr;
                continue;
            }
            if (TRows.Value > 1) QGemmFinish256.Rows<TWide, Yes>(tile, y, c00, c01, c10, c11);
            else QGemmFinish256.Rows<TWide, No>(tile, y, c00, c01, c00, c01);
            if (TRows.Value > 2) QGemmFinish256.Rows<TWide, No>(tile, y + 2 * tile->YStride, c20, c21, c20, c21);
            y += TRows.Value * tile->YStride;
        }
    }
}
