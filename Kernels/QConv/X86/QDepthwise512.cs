using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Octet.Kernels.QConv.X86;

/// <summary>64 channels of one output pixel at a time, two taps per VPMADDWD; order of channels and exactness as in <see cref="QDepthwise256{TStep}"/>. Requires AVX-512BW.</summary>
internal static unsafe class QDepthwise512
{
    private const int Block = 64, Taps = 2, GroupBytes = Block * Taps * sizeof(short);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(QDepthwiseRun* run)
    {
        Vector512<float> low = Vector512.Create(run->Low), high = Vector512.Create(run->High);
        Vector512<short> zeroPoint = Vector512.Create((short)run->ZeroPoint);
        Vector512<byte> zero = Vector512<byte>.Zero;
        Vector512<byte> stored = Vector512.LessThan(Vector512<byte>.Indices, Vector512.Create((byte)run->Channels));
        float* m = run->Multipliers;
        byte* y = run->Y;
        nint offset = 0;
        for (nint pixel = run->Pixels; pixel > 0; pixel--, y += run->YStride, offset += run->Step)
        {
            Vector512<int> s0 = Vector512.Load(run->Init), s1 = Vector512.Load(run->Init + 16);
            Vector512<int> s2 = Vector512.Load(run->Init + 32), s3 = Vector512.Load(run->Init + 48);
            byte** taps = run->Taps;
            short* w = (short*)run->Weights;
            for (nint group = run->Groups; group > 0; group--, taps += Taps, w += Block * Taps)
            {
                Vector512<byte> x0 = Vector512.Load(taps[0] + offset), x1 = Vector512.Load(taps[1] + offset);
                Vector512<byte> lows = Avx512BW.UnpackLow(x0, x1), highs = Avx512BW.UnpackHigh(x0, x1);
                s0 = Avx512F.Add(s0, Avx512BW.MultiplyAddAdjacent(Avx512BW.UnpackLow(lows, zero).AsInt16(), Vector512.Load(w)));
                s1 = Avx512F.Add(s1, Avx512BW.MultiplyAddAdjacent(Avx512BW.UnpackHigh(lows, zero).AsInt16(), Vector512.Load(w + 32)));
                s2 = Avx512F.Add(s2, Avx512BW.MultiplyAddAdjacent(Avx512BW.UnpackLow(highs, zero).AsInt16(), Vector512.Load(w + 64)));
                s3 = Avx512F.Add(s3, Avx512BW.MultiplyAddAdjacent(Avx512BW.UnpackHigh(highs, zero).AsInt16(), Vector512.Load(w + 96)));
            }

            if (m == null)
            {
                // A 4 × 4 transpose of 128-bit lanes: vector v, lane l → vector l, lane v.
                Vector512<int> a = Avx512F.Shuffle4x128(s0, s1, 0x44), b = Avx512F.Shuffle4x128(s2, s3, 0x44);
                Vector512<int> c = Avx512F.Shuffle4x128(s0, s1, 0xEE), d = Avx512F.Shuffle4x128(s2, s3, 0xEE);
                Store(Avx512F.Shuffle4x128(a, b, 0x88), (int*)y, run->Channels);
                Store(Avx512F.Shuffle4x128(a, b, 0xDD), (int*)y + 16, run->Channels - 16);
                Store(Avx512F.Shuffle4x128(c, d, 0x88), (int*)y + 32, run->Channels - 32);
                Store(Avx512F.Shuffle4x128(c, d, 0xDD), (int*)y + 48, run->Channels - 48);
                continue;
            }

            Vector512<int> q0 = Round(s0, m, low, high), q1 = Round(s1, m + 16, low, high);
            Vector512<int> q2 = Round(s2, m + 32, low, high), q3 = Round(s3, m + 48, low, high);
            Vector512<short> w0 = Avx512BW.PackSignedSaturate(q0, q1) + zeroPoint, w1 = Avx512BW.PackSignedSaturate(q2, q3) + zeroPoint;
            Vector512<byte> bytes = Avx512BW.PackUnsignedSaturate(w0, w1);
            if (run->Channels == Block) bytes.Store(y);
            else Avx512BW.MaskStore(y, stored, bytes);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Round(Vector512<int> sum, float* multipliers, Vector512<float> low, Vector512<float> high) =>
        Avx512F.ConvertToVector512Int32(Avx512F.Min(Avx512F.Max(Vector512.ConvertToSingle(sum) * Vector512.Load(multipliers), low), high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector512<int> sums, int* to, int room)
    {
        if (room >= 16) sums.Store(to);
        else if (room > 0) Avx512F.MaskStore(to, Vector512.LessThan(Vector512<int>.Indices, Vector512.Create(room)), sums);
    }
}
