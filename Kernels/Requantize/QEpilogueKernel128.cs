using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;

namespace Octet.Kernels.Requantize;

/// <summary>The epilogue in 128-bit vectors of any architecture: 16 columns at a time as four vectors, whole ones only; the definition does the rest.</summary>
/// <remarks>
/// Each step is the IEEE operation of <see cref="RequantizeReference"/>: int32 to float32 rounds to nearest even, products are rounded once, a sum's two multiply-adds are fused, and
/// <see cref="Vector128.Round(Vector128{float})"/> rounds half to even. Floats are clamped to integers that fit before they are converted, so narrowing cannot overflow.
/// </remarks>
internal sealed unsafe class QEpilogueKernel128 : QEpilogueKernel
{
    private const int Lanes = 4, Step = 4 * Lanes;

    public override string Name => "requantize-vector128";

    public override CpuFeatures Requires => CpuFeatures.Vector128;

    public override void Apply(QEpilogue epilogue, QEpilogueBlock* block)
    {
        nint whole = block->Columns / Step * Step;
        if (whole > 0)
        {
            QEpilogueBlock part = *block;
            part.Columns = whole;
            switch (epilogue.Output)
            {
                case QOutput.Int32:
                    for (nint r = 0; r < part.Rows; r++)
                        for (nint n = 0; n < whole; n += Lanes) Vector128.Load(part.C + r * part.CStride + n).Store((int*)(part.Y + r * part.YStride) + n);
                    break;
                case QOutput.Float32:
                    if (epilogue.Sum is null) ToFloat32<No>(epilogue, &part);
                    else ToFloat32<Yes>(epilogue, &part);
                    break;
                default:
                    if (epilogue.Sum is null) ToUInt8<No, No, No>(epilogue, &part);
                    else if (epilogue.Sum.Intermediate is null) ToUInt8<Yes, No, No>(epilogue, &part);
                    else if (epilogue.Sum.Intermediate.IsSecond) ToUInt8<Yes, Yes, Yes>(epilogue, &part);
                    else ToUInt8<Yes, Yes, No>(epilogue, &part);
                    if (epilogue.TablePointer != null) QEpilogueTable.Apply(epilogue.TablePointer, &part);
                    break;
            }
        }
        if (whole == block->Columns) return;
        QEpilogueBlock rest = *block;
        rest.C += whole;
        rest.Columns -= whole;
        rest.Channel += whole;
        rest.Sum += whole * epilogue.SumElementBytes;
        rest.Y += whole * epilogue.ElementBytes;
        Scalar.Apply(epilogue, &rest);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Clamp(Vector128<float> t, Vector128<float> low, Vector128<float> high) => Vector128.MinNative(Vector128.MaxNative(t, low), high);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> First(Vector128<float> t, Vector128<float> low, Vector128<float> high, Vector128<float> zeroPoint) => Vector128.Round(Clamp(t, low, high)) + zeroPoint;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Addend(Vector128<uint> sum, Vector128<int> shift) => Vector128.ConvertToSingle(sum.AsInt32() + shift);

    /// <summary>As <see cref="RequantizeReference.Sum"/>: a comes first, or where it is the second operand, b.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Sum<TSecond>(Vector128<float> a, Vector128<float> scaleA, Vector128<float> b, Vector128<float> scaleB, Vector128<float> constant) where TSecond : struct, ISwitch =>
        TSecond.On
            ? Vector128.FusedMultiplyAdd(b, scaleB, Vector128.FusedMultiplyAdd(a, scaleA, constant))
            : Vector128.FusedMultiplyAdd(a, scaleA, Vector128.FusedMultiplyAdd(b, scaleB, constant));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> Round(Vector128<float> t, Vector128<float> low, Vector128<float> high) => Vector128.ConvertToInt32Native(Vector128.Round(Clamp(t, low, high)));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ToUInt8<TSum, TIntermediate, TSecond>(QEpilogue epilogue, QEpilogueBlock* block)
        where TSum : struct, ISwitch where TIntermediate : struct, ISwitch where TSecond : struct, ISwitch
    {
        Vector128<float> low = Vector128.Create((float)(epilogue.Low - epilogue.Origin)), high = Vector128.Create((float)(epilogue.High - epilogue.Origin));
        Vector128<float> sumScale = default, constant = default, firstScale = default, firstZeroPoint = default, firstLow = default, firstHigh = default;
        Vector128<int> sumShift = default;
        if (TSum.On)
        {
            sumScale = Vector128.Create(epilogue.Sum!.Scale);
            sumShift = Vector128.Create(epilogue.Sum.Shift);
            constant = Vector128.Create(epilogue.SumConstant);
        }
        if (TIntermediate.On)
        {
            QIntermediate first = epilogue.Sum!.Intermediate!;
            firstScale = Vector128.Create(first.Scale);
            firstZeroPoint = Vector128.Create((float)first.ZeroPoint);
            firstLow = Vector128.Create((float)(first.Low - first.ZeroPoint));
            firstHigh = Vector128.Create((float)(first.High - first.ZeroPoint));
        }
        Vector128<short> origin = Vector128.Create((short)epilogue.Origin);
        float* multipliers = epilogue.MultiplierPointer + block->Channel;
        for (nint n = 0; n < block->Columns; n += Step)
        {
            Vector128<float> m0 = Vector128.Load(multipliers + n), m1 = Vector128.Load(multipliers + n + Lanes);
            Vector128<float> m2 = Vector128.Load(multipliers + n + 2 * Lanes), m3 = Vector128.Load(multipliers + n + 3 * Lanes);
            for (nint r = 0; r < block->Rows; r++)
            {
                int* c = block->C + r * block->CStride + n;
                Vector128<float> t0 = Vector128.ConvertToSingle(Vector128.Load(c)), t1 = Vector128.ConvertToSingle(Vector128.Load(c + Lanes));
                Vector128<float> t2 = Vector128.ConvertToSingle(Vector128.Load(c + 2 * Lanes)), t3 = Vector128.ConvertToSingle(Vector128.Load(c + 3 * Lanes));
                if (!TSum.On || TIntermediate.On)
                {
                    t0 *= m0;
                    t1 *= m1;
                    t2 *= m2;
                    t3 *= m3;
                }
                if (TIntermediate.On)
                {
                    t0 = First(t0, firstLow, firstHigh, firstZeroPoint);
                    t1 = First(t1, firstLow, firstHigh, firstZeroPoint);
                    t2 = First(t2, firstLow, firstHigh, firstZeroPoint);
                    t3 = First(t3, firstLow, firstHigh, firstZeroPoint);
                }
                if (TSum.On)
                {
                    (Vector128<ushort> lower, Vector128<ushort> upper) = Vector128.Widen(Vector128.Load(block->Sum + r * block->SumStride + n));
                    t0 = Sum<TSecond>(t0, TIntermediate.On ? firstScale : m0, Addend(Vector128.WidenLower(lower), sumShift), sumScale, constant);
                    t1 = Sum<TSecond>(t1, TIntermediate.On ? firstScale : m1, Addend(Vector128.WidenUpper(lower), sumShift), sumScale, constant);
                    t2 = Sum<TSecond>(t2, TIntermediate.On ? firstScale : m2, Addend(Vector128.WidenLower(upper), sumShift), sumScale, constant);
                    t3 = Sum<TSecond>(t3, TIntermediate.On ? firstScale : m3, Addend(Vector128.WidenUpper(upper), sumShift), sumScale, constant);
                }
                Vector128<short> w0 = Vector128.Narrow(Round(t0, low, high), Round(t1, low, high)) + origin;
                Vector128<short> w1 = Vector128.Narrow(Round(t2, low, high), Round(t3, low, high)) + origin;
                Vector128.Narrow(w0.AsUInt16(), w1.AsUInt16()).Store(block->Y + r * block->YStride + n);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ToFloat32<TSum>(QEpilogue epilogue, QEpilogueBlock* block) where TSum : struct, ISwitch
    {
        Vector128<float> low = Vector128.Create(epilogue.LowFloat), high = Vector128.Create(epilogue.HighFloat);
        float* multipliers = epilogue.MultiplierPointer + block->Channel;
        for (nint n = 0; n < block->Columns; n += Lanes)
        {
            Vector128<float> m = Vector128.Load(multipliers + n);
            for (nint r = 0; r < block->Rows; r++)
            {
                Vector128<float> t = Vector128.ConvertToSingle(Vector128.Load(block->C + r * block->CStride + n)) * m;
                if (TSum.On) t += Vector128.Load((float*)(block->Sum + r * block->SumStride) + n);
                t = Vector128.ConditionalSelect(Vector128.GreaterThan(low, t), low, t);   // a NaN operand stays NaN
                t = Vector128.ConditionalSelect(Vector128.LessThan(high, t), high, t);
                t.Store((float*)(block->Y + r * block->YStride) + n);
            }
        }
    }
}
