using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Cpu;

namespace Octet.Kernels.Requantize.X86;

/// <summary>The epilogue in 256-bit vectors: 16 columns at a time as two vectors; the steps and their exactness as in <see cref="QEpilogueKernel512"/>.</summary>
internal sealed unsafe class QEpilogueKernel256 : QEpilogueKernel
{
    private const int Lanes = 8;

    public override string Name => "requantize-avx2";

    public override CpuFeatures Requires => CpuFeatures.Avx2;

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
                if (epilogue.Sum is null && epilogue.ClampsByType) ToUInt8<No, No, No, Yes>(epilogue, block);
                else if (epilogue.Sum is null) ToUInt8<No, No, No, No>(epilogue, block);
                else if (epilogue.Sum.Intermediate is null) ToUInt8<Yes, No, No, No>(epilogue, block);
                else if (epilogue.Sum.Intermediate.IsSecond) ToUInt8<Yes, Yes, Yes, No>(epilogue, block);
                else ToUInt8<Yes, Yes, No, No>(epilogue, block);
                if (epilogue.TablePointer != null) QEpilogueTable.Apply(epilogue.TablePointer, block);
                break;
        }
    }

    /// <summary>As <see cref="RequantizeReference.Sum"/>: a comes first, or where it is the second operand, b.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Sum<TSecond>(Vector256<float> a, Vector256<float> scaleA, Vector256<float> b, Vector256<float> scaleB, Vector256<float> constant) where TSecond : struct, ISwitch =>
        TSecond.On
            ? Vector256.FusedMultiplyAdd(b, scaleB, Vector256.FusedMultiplyAdd(a, scaleA, constant))
            : Vector256.FusedMultiplyAdd(a, scaleA, Vector256.FusedMultiplyAdd(b, scaleB, constant));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Round(Vector256<float> t, Vector256<float> low, Vector256<float> high) =>
        Avx.ConvertToVector256Int32(Avx.Min(Avx.Max(t, low), high));

    [MethodImpl(HotLoop.Optimized)]
    private static void ToUInt8<TSum, TIntermediate, TSecond, TPlain>(QEpilogue epilogue, QEpilogueBlock* block)
        where TSum : struct, ISwitch where TIntermediate : struct, ISwitch where TSecond : struct, ISwitch where TPlain : struct, ISwitch
    {
        Vector256<float> low = Vector256.Create((float)(epilogue.Low - epilogue.Origin)), high = Vector256.Create((float)(epilogue.High - epilogue.Origin));
        Vector256<float> sumScale = default, constant = default, firstScale = default, firstZeroPoint = default, firstLow = default, firstHigh = default;
        Vector256<int> sumShift = default;
        if (TSum.On)
        {
            sumScale = Vector256.Create(epilogue.Sum!.Scale);
            sumShift = Vector256.Create(epilogue.Sum.Shift);
            constant = Vector256.Create(epilogue.SumConstant);
        }
        if (TIntermediate.On)
        {
            QIntermediate first = epilogue.Sum!.Intermediate!;
            firstScale = Vector256.Create(first.Scale);
            firstZeroPoint = Vector256.Create((float)first.ZeroPoint);
            firstLow = Vector256.Create((float)(first.Low - first.ZeroPoint));
            firstHigh = Vector256.Create((float)(first.High - first.ZeroPoint));
        }
        Vector128<short> origin = Vector128.Create((short)epilogue.Origin);
        float* multipliers = epilogue.MultiplierPointer + block->Channel;
        nint columns = block->Columns;
        for (nint n = 0; n < columns; n += 2 * Lanes)
        {
            Vector256<float> m0 = Vector256.Load(multipliers + n), m1 = Vector256.Load(multipliers + n + Lanes);
            for (nint r = 0; r < block->Rows; r++)
            {
                int* c = block->C + r * block->CStride + n;
                Vector256<float> t0 = Avx.ConvertToVector256Single(Vector256.Load(c)), t1 = Avx.ConvertToVector256Single(Vector256.Load(c + Lanes));
                if (!TSum.On || TIntermediate.On)
                {
                    t0 *= m0;
                    t1 *= m1;
                }
                if (TIntermediate.On)
                {
                    t0 = Avx.RoundToNearestInteger(Avx.Min(Avx.Max(t0, firstLow), firstHigh)) + firstZeroPoint;
                    t1 = Avx.RoundToNearestInteger(Avx.Min(Avx.Max(t1, firstLow), firstHigh)) + firstZeroPoint;
                }
                if (TSum.On)
                {
                    Vector128<byte> s = QEpilogueTable.Load(block->Sum + r * block->SumStride + n, columns - n);
                    Vector256<int> s0 = Avx2.ConvertToVector256Int32(s) + sumShift;
                    Vector256<int> s1 = Avx2.ConvertToVector256Int32(Sse2.ShiftRightLogical128BitLane(s, 8)) + sumShift;
                    t0 = Sum<TSecond>(t0, TIntermediate.On ? firstScale : m0, Avx.ConvertToVector256Single(s0), sumScale, constant);
                    t1 = Sum<TSecond>(t1, TIntermediate.On ? firstScale : m1, Avx.ConvertToVector256Single(s1), sumScale, constant);
                }
                Vector256<int> q0 = TPlain.On ? Avx.ConvertToVector256Int32(t0) : Round(t0, low, high), q1 = TPlain.On ? Avx.ConvertToVector256Int32(t1) : Round(t1, low, high);
                Vector128<short> w0 = Sse2.AddSaturate(Sse2.PackSignedSaturate(q0.GetLower(), q0.GetUpper()), origin);
                Vector128<short> w1 = Sse2.AddSaturate(Sse2.PackSignedSaturate(q1.GetLower(), q1.GetUpper()), origin);
                Vector128<byte> bytes = Sse2.PackUnsignedSaturate(w0, w1);
                byte* y = block->Y + r * block->YStride + n;
                if (columns - n >= 2 * Lanes) bytes.Store(y);
                else QEpilogueTable.StorePart(bytes, y, columns - n);
            }
        }
    }

    [MethodImpl(HotLoop.Optimized)]
    private static void ToFloat32<TSum>(QEpilogue epilogue, QEpilogueBlock* block) where TSum : struct, ISwitch
    {
        Vector256<float> low = Vector256.Create(epilogue.LowFloat), high = Vector256.Create(epilogue.HighFloat);
        float* multipliers = epilogue.MultiplierPointer + block->Channel;
        nint columns = block->Columns;
        for (nint n = 0; n < columns; n += Lanes)
        {
            Vector256<float> m = Vector256.Load(multipliers + n);
            for (nint r = 0; r < block->Rows; r++)
            {
                Vector256<float> t = Avx.ConvertToVector256Single(Vector256.Load(block->C + r * block->CStride + n)) * m;
                if (TSum.On)
                {
                    float* from = (float*)(block->Sum + r * block->SumStride) + n;
                    t += columns - n >= Lanes ? Vector256.Load(from) : Avx.MaskLoad(from, Mask(columns - n));
                }
                t = Avx.Min(high, Avx.Max(low, t));   // the second operand wins when it is NaN
                Store(t, (float*)(block->Y + r * block->YStride) + n, columns - n);
            }
        }
    }

    private static void CopyInt32(QEpilogueBlock* block)
    {
        for (nint r = 0; r < block->Rows; r++)
        {
            int* c = block->C + r * block->CStride, y = (int*)(block->Y + r * block->YStride);
            for (nint n = 0; n < block->Columns; n += Lanes) Store(Vector256.Load(c + n).AsSingle(), (float*)y + n, block->Columns - n);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector256<float> t, float* to, nint room)
    {
        if (room >= Lanes) t.Store(to);
        else Avx.MaskStore(to, Mask(room), t);
    }

    /// <summary>All ones in the first <paramref name="count"/> lanes.</summary>
    private static Vector256<float> Mask(nint count) => Vector256.LessThan(Vector256<int>.Indices, Vector256.Create((int)count)).AsSingle();
}
