using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Cpu;

namespace Octet.Kernels.Requantize.X86;

/// <summary>The epilogue in 512-bit vectors: 16 columns at a time, multipliers loaded once for all rows of the block.</summary>
/// <remarks>
/// Same bits as the definition because every step is the same IEEE operation: VCVTDQ2PS rounds to nearest even like C#'s
/// conversion, only a sum's multiplications are fused with its additions, the upper clamp is an integer (so clamping ahead of rounding changes nothing), and
/// VCVTPS2DQ rounds half to even.
/// </remarks>
internal sealed unsafe class QEpilogueKernel512 : QEpilogueKernel
{
    private const int Lanes = 16;

    public override string Name => "requantize-avx512";

    public override CpuFeatures Requires => CpuFeatures.Avx512;

    public override void Apply(QEpilogue epilogue, QEpilogueBlock* block)
    {
        switch (epilogue.Output)
        {
            case QOutput.Int32:
                CopyInt32(block);
                break;
            case QOutput.Float32:
                if (epilogue.Sum is null) ToFloat32<No>(epilogue, block);
                else ToFloat32<Yes>(epilogue, block);
                break;
            default:
                if (epilogue.Sum is null) ToUInt8<No, No, No>(epilogue, block);
                else if (epilogue.Sum.Intermediate is null) ToUInt8<Yes, No, No>(epilogue, block);
                else if (epilogue.Sum.Intermediate.IsSecond) ToUInt8<Yes, Yes, Yes>(epilogue, block);
                else ToUInt8<Yes, Yes, No>(epilogue, block);
                if (epilogue.TablePointer != null) QEpilogueTable.Apply(epilogue.TablePointer, block);
                break;
        }
    }

    /// <summary>What a byte output needs besides its multipliers, in registers.</summary>
    private readonly struct Constants(QEpilogue epilogue)
    {
        public readonly Vector512<float> High = Vector512.Create((float)(epilogue.High - epilogue.Origin));
        public readonly Vector512<short> Origin = Vector512.Create((short)epilogue.Origin);
        public readonly Vector512<byte> Low = Vector512.Create((byte)epilogue.Low);
        public readonly Vector512<float> SumScale = Vector512.Create(epilogue.Sum?.Scale ?? 0f);
        public readonly Vector512<float> SumConstant = Vector512.Create(epilogue.SumConstant);
        public readonly Vector512<int> SumShift = Vector512.Create(epilogue.Sum?.Shift ?? 0);
        public readonly Vector512<float> FirstScale = Vector512.Create(epilogue.Sum?.Intermediate?.Scale ?? 0f);
        public readonly Vector512<float> FirstZeroPoint = Vector512.Create((float)(epilogue.Sum?.Intermediate?.ZeroPoint ?? 0));
        public readonly Vector512<float> FirstLow = Vector512.Create((float)(epilogue.Sum?.Intermediate?.Low - epilogue.Sum?.Intermediate?.ZeroPoint ?? 0));
        public readonly Vector512<float> FirstHigh = Vector512.Create((float)(epilogue.Sum?.Intermediate?.High - epilogue.Sum?.Intermediate?.ZeroPoint ?? 0));
    }

    /// <summary>As <see cref="RequantizeReference.Sum"/>: a comes first, or where it is the second operand, b.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Sum<TSecond>(Vector512<float> a, Vector512<float> scaleA, Vector512<float> b, Vector512<float> scaleB, Vector512<float> constant) where TSecond : struct, ISwitch =>
        TSecond.On
            ? Vector512.FusedMultiplyAdd(b, scaleB, Vector512.FusedMultiplyAdd(a, scaleA, constant))
            : Vector512.FusedMultiplyAdd(a, scaleA, Vector512.FusedMultiplyAdd(b, scaleB, constant));

    /// <summary>16 rounded outputs ahead of zero point and lower clamp. Clamped from above, so that VCVTPS2DQ cannot overflow; below its range it returns −2³¹, which the packs keep at the low end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Round<TSum, TIntermediate, TSecond>(Vector512<int> c, Vector512<float> m, Vector128<byte> sum, in Constants k)
        where TSum : struct, ISwitch where TIntermediate : struct, ISwitch where TSecond : struct, ISwitch
    {
        Vector512<float> t = Vector512.ConvertToSingle(c);
        if (!TSum.On || TIntermediate.On) t = Avx512F.Multiply(t, m);
        if (TIntermediate.On)
        {
            const byte nearestEven = 8;   // no scaling, no exception
            t = Avx512F.Add(Avx512F.RoundScale(Avx512F.Min(Avx512F.Max(t, k.FirstLow), k.FirstHigh), nearestEven), k.FirstZeroPoint);
        }
        if (TSum.On)
        {
            Vector512<int> s = Avx512F.Add(Avx512F.ConvertToVector512Int32(sum), k.SumShift);
            t = Sum<TSecond>(t, TIntermediate.On ? k.FirstScale : m, Vector512.ConvertToSingle(s), k.SumScale, k.SumConstant);
        }
        return Avx512F.ConvertToVector512Int32(Avx512F.Min(t, k.High));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ToUInt8<TSum, TIntermediate, TSecond>(QEpilogue epilogue, QEpilogueBlock* block)
        where TSum : struct, ISwitch where TIntermediate : struct, ISwitch where TSecond : struct, ISwitch
    {
        var k = new Constants(epilogue);
        // VPACKSSDW and VPACKUSWB work within 128-bit lanes: lane i holds bytes of columns 4i … 4i+3 of all four inputs.
        Vector512<int> order = Vector512.Create(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        float* multipliers = epilogue.MultiplierPointer + block->Channel;
        nint columns = block->Columns, rows = block->Rows, cStride = block->CStride, yStride = block->YStride, sumStride = block->SumStride, n = 0;
        Vector128<byte> none = default;

        // 2 rows × 32 columns → 64 bytes; an odd last row is paired with itself.
        for (; n <= columns - 2 * Lanes; n += 2 * Lanes)
        {
            Vector512<float> m0 = Vector512.Load(multipliers + n), m1 = Vector512.Load(multipliers + n + Lanes);
            int* c = block->C + n;
            byte* y = block->Y + n, s = TSum.On ? block->Sum + n : null;
            for (nint r = 0; r < rows; r += 2, c += 2 * cStride, y += 2 * yStride, s += 2 * sumStride)
            {
                bool pair = r + 1 < rows;
                int* c1 = pair ? c + cStride : c;
                byte* y1 = pair ? y + yStride : y, s1 = TSum.On && pair ? s + sumStride : s;
                Vector512<int> q00 = Round<TSum, TIntermediate, TSecond>(Vector512.Load(c), m0, TSum.On ? Vector128.Load(s) : none, k);
                Vector512<int> q01 = Round<TSum, TIntermediate, TSecond>(Vector512.Load(c + Lanes), m1, TSum.On ? Vector128.Load(s + Lanes) : none, k);
                Vector512<int> q10 = Round<TSum, TIntermediate, TSecond>(Vector512.Load(c1), m0, TSum.On ? Vector128.Load(s1) : none, k);
                Vector512<int> q11 = Round<TSum, TIntermediate, TSecond>(Vector512.Load(c1 + Lanes), m1, TSum.On ? Vector128.Load(s1 + Lanes) : none, k);
                Vector512<short> w0 = Avx512BW.AddSaturate(Avx512BW.PackSignedSaturate(q00, q01), k.Origin);
                Vector512<short> w1 = Avx512BW.AddSaturate(Avx512BW.PackSignedSaturate(q10, q11), k.Origin);
                Vector512<byte> packed = Avx512BW.Max(Avx512BW.PackUnsignedSaturate(w0, w1), k.Low);
                Vector512<byte> bytes = Avx512F.PermuteVar16x32(packed.AsInt32(), order).AsByte();
                bytes.GetLower().Store(y);
                bytes.GetUpper().Store(y1);
            }
        }
        for (; n < columns; n += Lanes)
        {
            Vector512<float> m = Vector512.Load(multipliers + n);
            for (nint r = 0; r < rows; r++)
            {
                Vector128<byte> sum = TSum.On ? QEpilogueTable.Load(block->Sum + r * sumStride + n, columns - n) : none;
                Vector512<int> q = Round<TSum, TIntermediate, TSecond>(Vector512.Load(block->C + r * cStride + n), m, sum, k);
                Vector256<short> words = Avx2.AddSaturate(Avx512F.ConvertToVector256Int16WithSaturation(q), k.Origin.GetLower());
                Vector128<byte> bytes = Sse2.Max(Sse2.PackUnsignedSaturate(words.GetLower(), words.GetUpper()), k.Low.GetLower().GetLower());
                byte* y = block->Y + r * yStride + n;
                if (columns - n >= Lanes) bytes.Store(y);
                else QEpilogueTable.StorePart(bytes, y, columns - n);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ToFloat32<TSum>(QEpilogue epilogue, QEpilogueBlock* block) where TSum : struct, ISwitch
    {
        Vector512<float> low = Vector512.Create(epilogue.LowFloat), high = Vector512.Create(epilogue.HighFloat);
        float* multipliers = epilogue.MultiplierPointer + block->Channel;
        nint columns = block->Columns;
        for (nint n = 0; n < columns; n += Lanes)
        {
            Vector512<float> m = Vector512.Load(multipliers + n);
            for (nint r = 0; r < block->Rows; r++)
            {
                Vector512<float> t = Vector512.ConvertToSingle(Vector512.Load(block->C + r * block->CStride + n)) * m;
                if (TSum.On) t += Load((float*)(block->Sum + r * block->SumStride) + n, columns - n);
                t = Avx512F.Min(high, Avx512F.Max(low, t));   // the second operand wins when it is NaN
                Store(t, (float*)(block->Y + r * block->YStride) + n, columns - n);
            }
        }
    }

    private static void CopyInt32(QEpilogueBlock* block)
    {
        for (nint r = 0; r < block->Rows; r++)
        {
            int* c = block->C + r * block->CStride, y = (int*)(block->Y + r * block->YStride);
            for (nint n = 0; n < block->Columns; n += Lanes) Store(Vector512.Load(c + n).AsSingle(), (float*)y + n, block->Columns - n);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Load(float* from, nint room) =>
        room >= Lanes ? Vector512.Load(from) : Avx512F.MaskLoad(from, Mask(room), Vector512<float>.Zero);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector512<float> t, float* to, nint room)
    {
        if (room >= Lanes) t.Store(to);
        else Avx512F.MaskStore(to, Mask(room), t);
    }

    /// <summary>All ones in the first <paramref name="count"/> lanes.</summary>
    private static Vector512<float> Mask(nint count) => Vector512.LessThan(Vector512<int>.Indices, Vector512.Create((int)count)).AsSingle();
}
