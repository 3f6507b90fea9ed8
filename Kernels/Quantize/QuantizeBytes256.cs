using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Quantize;

/// <summary><see cref="QuantizeLoop{TType,T,TLanes,V}"/> to bytes for AVX2: four vectors of floats become one of bytes.</summary>
/// <remarks>
/// The same bytes in fewer steps per value, so that the division is what takes the time. Clamping comes last and costs nothing, because narrowing saturates:
/// <code>
///   t = x / scale                NaN becomes 0; at most 2¹⁵ − 1
///   VCVTPS2DQ                    half to even; what is below −2³¹ becomes −2³¹
///   VPACKSSDW, VPADDSW           saturated to 16 bits, the zero point added with saturation: beyond the byte's range only where the sum is
///   VPACKUSWB or VPACKSSWB       saturated to the byte
/// </code>
/// </remarks>
internal static unsafe class QuantizeBytes256
{
    private const int Lanes = 8, Block = 4 * Lanes;

    [MethodImpl(HotLoop.Optimized)]
    public static void Unsigned(float* x, byte* q, nint length, float scale, int zeroPoint)
    {
        if (length >= Block) Run(x, q, length, scale, zeroPoint, signed: false);
        else QuantizeLoop<UInt8Type, byte, ScalarLanes, float>.Run(x, q, length, scale, zeroPoint);
    }

    [MethodImpl(HotLoop.Optimized)]
    public static void Signed(float* x, sbyte* q, nint length, float scale, int zeroPoint)
    {
        if (length >= Block) Run(x, (byte*)q, length, scale, zeroPoint, signed: true);
        else QuantizeLoop<Int8Type, sbyte, ScalarLanes, float>.Run(x, q, length, scale, zeroPoint);
    }

    /// <summary>At least one block; the last one overlaps the one before.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Run(float* x, byte* q, nint length, float scale, int zeroPoint, bool signed)
    {
        Vector256<float> divisor = Vector256.Create(scale);
        Vector256<short> zero = Vector256.Create((short)zeroPoint);
        Vector256<int> order = Vector256.Create(0, 4, 1, 5, 2, 6, 3, 7);
        for (nint at = 0; at < length; at += Block)
        {
            nint i = Math.Min(at, length - Block);
            float* from = x + i;
            Vector256<short> ab = Avx2.AddSaturate(Avx2.PackSignedSaturate(Rounded(from, divisor), Rounded(from + Lanes, divisor)), zero);
            Vector256<short> cd = Avx2.AddSaturate(Avx2.PackSignedSaturate(Rounded(from + 2 * Lanes, divisor), Rounded(from + 3 * Lanes, divisor)), zero);
            Vector256<int> bytes = signed ? Avx2.PackSignedSaturate(ab, cd).AsInt32() : Avx2.PackUnsignedSaturate(ab, cd).AsInt32();
            Avx2.PermuteVar8x32(bytes, order).Store((int*)(q + i));   // packing works within halves: a c e g | b d f h
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Rounded(float* x, Vector256<float> divisor)
    {
        Vector256<float> t = Vector256.Load(x) / divisor;
        t &= Avx.CompareOrdered(t, t);
        return Avx.ConvertToVector256Int32(Avx.Min(t, Vector256.Create((float)short.MaxValue)));
    }
}
