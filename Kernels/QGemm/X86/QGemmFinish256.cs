using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Requantize;

namespace Octet.Kernels.QGemm.X86;

/// <summary>What the 256-bit tiles do with the sums of up to two rows and 16 columns while these are in registers.</summary>
/// <remarks>
/// Bytes come out as <see cref="RequantizeReference"/> defines them, with the lower clamp applied last: conversion and rounding are monotonic, a value below −2³¹ converts to
/// −2³¹, and both packs saturate. The upper clamp comes first, since a value above 2³¹ would change its sign.
/// <code>
///   VPACKSSDW, VPACKUSWB within 128-bit lanes:   r0: n 0..3 | r0: n 8..11 | r1: n 0..3 | r1: n 8..11 ‖ the same of n 4..7, 12..15
///   VPERMD                                       r0: n 0..15 ‖ r1: n 0..15
/// </code>
/// </remarks>
internal static unsafe class QGemmFinish256
{
    /// <summary>Asks for cache lines up to <paramref name="to"/> and returns the next: weights mostly come from memory, and the first tile of a panel would wait for all of them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Ahead(byte* at, byte* to)
    {
        for (; at < to; at += 64) Sse.Prefetch1(at);
        return at;
    }

    /// <summary>Stores the sums of one row: 16 columns, or 8 of a narrow tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Sums<TWide>(int* c, Vector256<int> c0, Vector256<int> c1) where TWide : struct, ISwitch
    {
        c0.Store(c);
        if (TWide.On) c1.Store(c + 8);
    }

    /// <summary>Finishes two rows, or with <typeparamref name="TTwo"/> off only the first.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Rows<TWide, TTwo>(QGemmTile* tile, byte* y, Vector256<int> c00, Vector256<int> c01, Vector256<int> c10, Vector256<int> c11)
        where TWide : struct, ISwitch where TTwo : struct, ISwitch
    {
        if (tile->Output == QOutput.UInt8)
        {
            if (tile->IsPlain)
            {
                Vector256<byte> plain = PlainBytes<TWide, TTwo>(tile, c00, c01, c10, c11);
                if (TWide.On)
                {
                    plain.GetLower().Store(y);
                    if (TTwo.On) plain.GetUpper().Store(y + tile->YStride);
                    return;
                }
                *(long*)y = plain.AsInt64().ToScalar();
                if (TTwo.On) *(long*)(y + tile->YStride) = plain.GetUpper().AsInt64().ToScalar();
                return;
            }
            Vector256<byte> bytes = Bytes<TWide, TTwo>(tile, c00, c01, c10, c11);
            Store<TWide>(bytes.GetLower(), y, tile->Columns);
            if (TTwo.On) Store<TWide>(bytes.GetUpper(), y + tile->YStride, tile->Columns);
            return;
        }
        Floats<TWide>(tile, (float*)y, c00, c01);
        if (TTwo.On) Floats<TWide>(tile, (float*)(y + tile->YStride), c10, c11);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> PlainBytes<TWide, TTwo>(QGemmTile* tile, Vector256<int> c00, Vector256<int> c01, Vector256<int> c10, Vector256<int> c11)
        where TWide : struct, ISwitch where TTwo : struct, ISwitch
    {
        Vector256<float> m0 = Vector256.Load(tile->Multipliers), m1 = TWide.On ? Vector256.Load(tile->Multipliers + 8) : m0;
        Vector256<short> zeroPoint = Vector256.Create((short)tile->ZeroPoint);
        Vector256<int> q00 = Round(c00, m0), q01 = TWide.On ? Round(c01, m1) : q00;
        Vector256<int> q10 = TTwo.On ? Round(c10, m0) : q00, q11 = !TTwo.On ? q01 : TWide.On ? Round(c11, m1) : q10;
        Vector256<short> w0 = Avx2.AddSaturate(Avx2.PackSignedSaturate(q00, q01), zeroPoint), w1 = TTwo.On ? Avx2.AddSaturate(Avx2.PackSignedSaturate(q10, q11), zeroPoint) : w0;
        return Avx2.PermuteVar8x32(Avx2.PackUnsignedSaturate(w0, w1).AsInt32(), Vector256.Create(0, 4, 1, 5, 2, 6, 3, 7)).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Round(Vector256<int> sums, Vector256<float> multipliers) =>
        Avx.ConvertToVector256Int32(Avx.Multiply(Avx.ConvertToVector256Single(sums), multipliers));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Bytes<TWide, TTwo>(QGemmTile* tile, Vector256<int> c00, Vector256<int> c01, Vector256<int> c10, Vector256<int> c11)
        where TWide : struct, ISwitch where TTwo : struct, ISwitch
    {
        Vector256<float> m0 = Vector256.Load(tile->Multipliers), m1 = TWide.On ? Vector256.Load(tile->Multipliers + 8) : m0, high = Vector256.Create(tile->High);
        Vector256<short> zeroPoint = Vector256.Create((short)tile->ZeroPoint);
        Vector256<int> q00 = Round(c00, m0, high), q01 = TWide.On ? Round(c01, m1, high) : q00;
        Vector256<int> q10 = TTwo.On ? Round(c10, m0, high) : q00, q11 = !TTwo.On ? q01 : TWide.On ? Round(c11, m1, high) : q10;
        Vector256<short> w0 = Avx2.PackSignedSaturate(q00, q01) + zeroPoint, w1 = TTwo.On ? Avx2.PackSignedSaturate(q10, q11) + zeroPoint : w0;
        Vector256<byte> bytes = Avx2.Max(Avx2.PackUnsignedSaturate(w0, w1), Vector256.Create(tile->Floor));
        return Avx2.PermuteVar8x32(bytes.AsInt32(), Vector256.Create(0, 4, 1, 5, 2, 6, 3, 7)).AsByte();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Round(Vector256<int> sums, Vector256<float> multipliers, Vector256<float> high) =>
        Avx.ConvertToVector256Int32(Avx.Min(Avx.Multiply(Avx.ConvertToVector256Single(sums), multipliers), high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<TWide>(Vector128<byte> bytes, byte* y, nint columns) where TWide : struct, ISwitch
    {
        if (TWide.On)
        {
            if (columns == 16) bytes.Store(y);
            else QEpilogueTable.StorePart(bytes, y, columns);
            return;
        }
        if (columns == 8) *(long*)y = bytes.AsInt64().ToScalar();
        else QEpilogueTable.StorePart(bytes, y, columns);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Floats<TWide>(QGemmTile* tile, float* y, Vector256<int> c0, Vector256<int> c1) where TWide : struct, ISwitch
    {
        Store(Real(tile, c0, 0), y, tile->Columns);
        if (TWide.On) Store(Real(tile, c1, 8), y + 8, tile->Columns - 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Real(QGemmTile* tile, Vector256<int> sums, int column) =>
        Avx.Min(Vector256.Create(tile->High), Avx.Max(Vector256.Create(tile->Low), Avx.Multiply(Avx.ConvertToVector256Single(sums), Vector256.Load(tile->Multipliers + column))));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector256<float> values, float* y, nint room)
    {
        if (room >= 8) values.Store(y);
        else Avx.MaskStore(y, Vector256.LessThan(Vector256<int>.Indices, Vector256.Create((int)room)).AsSingle(), values);
    }
}
