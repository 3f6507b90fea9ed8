using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Octet.Kernels.QConv.X86;

/// <summary>Adds one group of taps to the sums of 32 channels.</summary>
internal unsafe interface IDepthwiseStep256
{
    /// <summary>Taps of one group.</summary>
    static abstract int Taps { get; }

    /// <summary>Bytes of one packed weight.</summary>
    static abstract int WeightBytes { get; }

    static abstract void Step(byte** taps, nint offset, byte* weights, ref Vector256<int> s0, ref Vector256<int> s1, ref Vector256<int> s2, ref Vector256<int> s3);
}

/// <summary>Two taps as int16 pairs through VPMADDWD: <c>|x·w| ≤ 255·2¹⁵</c>, two products stay below 2³¹. Requires AVX2.</summary>
internal readonly unsafe struct PairStep256 : IDepthwiseStep256
{
    public static int Taps => 2;

    public static int WeightBytes => 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Step(byte** taps, nint offset, byte* weights, ref Vector256<int> s0, ref Vector256<int> s1, ref Vector256<int> s2, ref Vector256<int> s3)
    {
        Vector256<byte> x0 = Vector256.Load(taps[0] + offset), x1 = Vector256.Load(taps[1] + offset);
        Vector256<byte> low = Avx2.UnpackLow(x0, x1), high = Avx2.UnpackHigh(x0, x1), zero = Vector256<byte>.Zero;
        short* w = (short*)weights;
        s0 = Avx2.Add(s0, Avx2.MultiplyAddAdjacent(Avx2.UnpackLow(low, zero).AsInt16(), Vector256.Load(w)));
        s1 = Avx2.Add(s1, Avx2.MultiplyAddAdjacent(Avx2.UnpackHigh(low, zero).AsInt16(), Vector256.Load(w + 16)));
        s2 = Avx2.Add(s2, Avx2.MultiplyAddAdjacent(Avx2.UnpackLow(high, zero).AsInt16(), Vector256.Load(w + 32)));
        s3 = Avx2.Add(s3, Avx2.MultiplyAddAdjacent(Avx2.UnpackHigh(high, zero).AsInt16(), Vector256.Load(w + 48)));
    }
}

/// <summary>Four taps through VPDPBUSD. Requires AVX-VNNI.</summary>
internal readonly unsafe struct QuadStep256 : IDepthwiseStep256
{
    public static int Taps => 4;

    public static int WeightBytes => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Step(byte** taps, nint offset, byte* weights, ref Vector256<int> s0, ref Vector256<int> s1, ref Vector256<int> s2, ref Vector256<int> s3)
    {
        Vector256<byte> x0 = Vector256.Load(taps[0] + offset), x1 = Vector256.Load(taps[1] + offset);
        Vector256<byte> x2 = Vector256.Load(taps[2] + offset), x3 = Vector256.Load(taps[3] + offset);
        Vector256<short> low01 = Avx2.UnpackLow(x0, x1).AsInt16(), high01 = Avx2.UnpackHigh(x0, x1).AsInt16();
        Vector256<short> low23 = Avx2.UnpackLow(x2, x3).AsInt16(), high23 = Avx2.UnpackHigh(x2, x3).AsInt16();
        sbyte* w = (sbyte*)weights;
        s0 = AvxVnni.MultiplyWideningAndAdd(s0, Avx2.UnpackLow(low01, low23).AsByte(), Vector256.Load(w));
        s1 = AvxVnni.MultiplyWideningAndAdd(s1, Avx2.UnpackHigh(low01, low23).AsByte(), Vector256.Load(w + 32));
        s2 = AvxVnni.MultiplyWideningAndAdd(s2, Avx2.UnpackLow(high01, high23).AsByte(), Vector256.Load(w + 64));
        s3 = AvxVnni.MultiplyWideningAndAdd(s3, Avx2.UnpackHigh(high01, high23).AsByte(), Vector256.Load(w + 96));
    }
}

/// <summary>32 channels of one output pixel at a time.</summary>
/// <remarks>
/// Unpacking within 128-bit lanes puts channels 16·lane + 4·v … + 3 into lane <c>lane</c> of sum vector v; weights, starting values
/// and multipliers are packed in that order, and VPACKSSDW + VPACKUSWB, which work within lanes too, restore the order of memory.
/// </remarks>
internal static unsafe class QDepthwise256<TStep> where TStep : struct, IDepthwiseStep256
{
    private const int Block = 32;

    /// <summary>The function.</summary>
    [MethodImpl(HotLoop.Optimized)]
    public static void RunPrecompiled(QDepthwiseRun* run) => Run(run);

    /// <summary>The same, never compiled ahead of time: for instructions that such code may not consist of.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RunAtRunTime(QDepthwiseRun* run) => Run(run);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Run(QDepthwiseRun* run)
    {
        int groupBytes = Block * TStep.Taps * TStep.WeightBytes;
        byte* y = run->Y;
        nint offset = run->Offset, pixel = run->Pixels, step = run->Step;
        Vector256<byte> low = Vector256.Create((byte)(run->Low + run->ZeroPoint));
        if (run->Multipliers != null)
        {
            // Two pixels at a time: what one waits for in rounding, the other computes.
            Vector256<int> i0 = Vector256.Load(run->Init), i1 = Vector256.Load(run->Init + 8), i2 = Vector256.Load(run->Init + 16), i3 = Vector256.Load(run->Init + 24);
            for (; pixel > 1; pixel -= 2, y += 2 * run->YStride, offset += 2 * step)
            {
                Vector256<int> s0 = i0, s1 = i1, s2 = i2, s3 = i3, t0 = i0, t1 = i1, t2 = i2, t3 = i3;
                byte** taps = run->Taps;
                byte* weights = run->Weights;
                for (nint group = run->Groups; group > 0; group--, taps += TStep.Taps, weights += groupBytes)
                {
                    TStep.Step(taps, offset, weights, ref s0, ref s1, ref s2, ref s3);
                    TStep.Step(taps, offset + step, weights, ref t0, ref t1, ref t2, ref t3);
                }
                Vector256<byte> first = Finish(run, low, s0, s1, s2, s3), second = Finish(run, low, t0, t1, t2, t3);
                if (run->Channels == Block)
                {
                    first.Store(y);
                    second.Store(y + run->YStride);
                    continue;
                }
                StorePart(first, y, run->Channels);
                StorePart(second, y + run->YStride, run->Channels);
            }
        }
        for (; pixel > 0; pixel--, y += run->YStride, offset += step)
        {
            Vector256<int> s0 = Vector256.Load(run->Init), s1 = Vector256.Load(run->Init + 8);
            Vector256<int> s2 = Vector256.Load(run->Init + 16), s3 = Vector256.Load(run->Init + 24);
            byte** taps = run->Taps;
            byte* weights = run->Weights;
            for (nint group = run->Groups; group > 0; group--, taps += TStep.Taps, weights += groupBytes)
                TStep.Step(taps, offset, weights, ref s0, ref s1, ref s2, ref s3);

            if (run->Multipliers == null)
            {
                Vector256<int> c0 = Avx2.Permute2x128(s0, s1, 0x20), c1 = Avx2.Permute2x128(s2, s3, 0x20);
                Vector256<int> c2 = Avx2.Permute2x128(s0, s1, 0x31), c3 = Avx2.Permute2x128(s2, s3, 0x31);
                int* to = (int*)y;
                Store(c0, to, run->Channels);
                Store(c1, to + 8, run->Channels - 8);
                Store(c2, to + 16, run->Channels - 16);
                Store(c3, to + 24, run->Channels - 24);
                continue;
            }
            Vector256<byte> bytes = Finish(run, low, s0, s1, s2, s3);
            if (run->Channels == Block) bytes.Store(y);
            else StorePart(bytes, y, run->Channels);
        }
    }

    /// <summary>Requantizes, with the lower clamp last: every step is monotonic and both packs saturate, see <see cref="QGemm.X86.QGemmFinish256"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Finish(QDepthwiseRun* run, Vector256<byte> low, Vector256<int> s0, Vector256<int> s1, Vector256<int> s2, Vector256<int> s3)
    {
        float* m = run->Multipliers;
        Vector256<short> zeroPoint = Vector256.Create((short)run->ZeroPoint);
        if (run->IsPlain)
        {
            return Avx2.PackUnsignedSaturate(
                Avx2.AddSaturate(Avx2.PackSignedSaturate(Round(s0, m), Round(s1, m + 8)), zeroPoint),
                Avx2.AddSaturate(Avx2.PackSignedSaturate(Round(s2, m + 16), Round(s3, m + 24)), zeroPoint));
        }
        Vector256<float> high = Vector256.Create(run->High);
        Vector256<short> w0 = Avx2.PackSignedSaturate(Round(s0, m, high), Round(s1, m + 8, high)) + zeroPoint;
        Vector256<short> w1 = Avx2.PackSignedSaturate(Round(s2, m + 16, high), Round(s3, m + 24, high)) + zeroPoint;
        return Avx2.Max(Avx2.PackUnsignedSaturate(w0, w1), low);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Round(Vector256<int> sum, float* multipliers) => Avx.ConvertToVector256Int32(Avx.ConvertToVector256Single(sum) * Vector256.Load(multipliers));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Round(Vector256<int> sum, float* multipliers, Vector256<float> high) =>
        Avx.ConvertToVector256Int32(Avx.Min(Avx.ConvertToVector256Single(sum) * Vector256.Load(multipliers), high));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector256<int> sums, int* to, int room)
    {
        if (room >= 8) sums.Store(to);
        else if (room > 0) Avx2.MaskStore(to, Vector256.LessThan(Vector256<int>.Indices, Vector256.Create(room)), sums);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StorePart(Vector256<byte> bytes, byte* to, int count)
    {
        Vector128<byte> part = bytes.GetLower();
        if ((count & 16) != 0)
        {
            part.Store(to);
            to += 16;
            part = bytes.GetUpper();
        }
        if ((count & 8) != 0)
        {
            *(long*)to = part.AsInt64().ToScalar();
            to += 8;
            part = Sse2.ShiftRightLogical128BitLane(part, 8);
        }
        if ((count & 4) != 0)
        {
            *(int*)to = part.AsInt32().ToScalar();
            to += 4;
            part = Sse2.ShiftRightLogical128BitLane(part, 4);
        }
        int rest = part.AsInt32().ToScalar();
        for (int i = 0; i < (count & 3); i++, rest >>= 8) to[i] = (byte)rest;
    }
}
