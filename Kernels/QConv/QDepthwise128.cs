using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.QGemm;

namespace Octet.Kernels.QConv;

/// <summary>16 channels of one output pixel at a time in 128-bit vectors, two taps as int16 pairs: <c>|x·w| ≤ 255·2¹⁵</c>, two products stay below 2³¹.</summary>
/// <remarks>Sum vector v holds channels 4v … 4v + 3, so that starting values, multipliers and weights lie in the order of memory.</remarks>
internal static unsafe class QDepthwise128<TDot> where TDot : struct, IDot128
{
    private const int Block = 16, Taps = 2;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(QDepthwiseRun* run)
    {
        Vector128<float> low = Vector128.Create(run->Low), high = Vector128.Create(run->High);
        Vector128<short> zeroPoint = Vector128.Create((short)run->ZeroPoint);
        float* m = run->Multipliers;
        byte* y = run->Y;
        int* sums = stackalloc int[Block];
        byte* bytes = stackalloc byte[Block];
        nint offset = 0;
        for (nint pixel = run->Pixels; pixel > 0; pixel--, y += run->YStride, offset += run->Step)
        {
            Vector128<int> s0 = Vector128.Load(run->Init), s1 = Vector128.Load(run->Init + 4), s2 = Vector128.Load(run->Init + 8), s3 = Vector128.Load(run->Init + 12);
            byte** taps = run->Taps;
            int* w = (int*)run->Weights;
            for (nint group = run->Groups; group > 0; group--, taps += Taps, w += Block)
            {
                Vector128<byte> x0 = Vector128.Load(taps[0] + offset), x1 = Vector128.Load(taps[1] + offset);
                (Vector128<ushort> low0, Vector128<ushort> high0) = Vector128.Widen(x0);
                (Vector128<ushort> low1, Vector128<ushort> high1) = Vector128.Widen(x1);
                s0 = TDot.Accumulate(s0, Pair(low0, low1, false), Vector128.Load(w));
                s1 = TDot.Accumulate(s1, Pair(low0, low1, true), Vector128.Load(w + 4));
                s2 = TDot.Accumulate(s2, Pair(high0, high1, false), Vector128.Load(w + 8));
                s3 = TDot.Accumulate(s3, Pair(high0, high1, true), Vector128.Load(w + 12));
            }

            if (m == null)
            {
                int* to = run->Channels == Block ? (int*)y : sums;
                s0.Store(to);
                s1.Store(to + 4);
                s2.Store(to + 8);
                s3.Store(to + 12);
                if (to == sums) for (int c = 0; c < run->Channels; c++) ((int*)y)[c] = sums[c];
                continue;
            }

            Vector128<short> w0 = Vector128.Narrow(Round(s0, m, low, high), Round(s1, m + 4, low, high)) + zeroPoint;
            Vector128<short> w1 = Vector128.Narrow(Round(s2, m + 8, low, high), Round(s3, m + 12, low, high)) + zeroPoint;
            Vector128<byte> result = Vector128.Narrow(w0.AsUInt16(), w1.AsUInt16());
            if (run->Channels == Block)
            {
                result.Store(y);
                continue;
            }
            result.Store(bytes);
            for (int c = 0; c < run->Channels; c++) y[c] = bytes[c];
        }
    }

    /// <summary>The words of two taps side by side in the 32-bit lanes of four channels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> Pair(Vector128<ushort> tap0, Vector128<ushort> tap1, bool upper)
    {
        if (Sse2.IsSupported) return (upper ? Sse2.UnpackHigh(tap0, tap1) : Sse2.UnpackLow(tap0, tap1)).AsInt32();
        Vector128<uint> x0 = upper ? Vector128.WidenUpper(tap0) : Vector128.WidenLower(tap0), x1 = upper ? Vector128.WidenUpper(tap1) : Vector128.WidenLower(tap1);
        return (x0 | x1 << 16).AsInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> Round(Vector128<int> sum, float* multipliers, Vector128<float> low, Vector128<float> high)
    {
        Vector128<float> t = Vector128.ConvertToSingle(sum) * Vector128.Load(multipliers);
        return Vector128.ConvertToInt32Native(Vector128.Round(Vector128.MinNative(Vector128.MaxNative(t, low), high)));
    }
}
