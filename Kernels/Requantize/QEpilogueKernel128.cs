using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;

namespace Octet.Kernels.Requantize;

/// <summary>The epilogue in 128-bit vectors of any architecture: 16 columns at a time as four vectors, whole ones only; the definition does the rest.</summary>
/// <remarks>
/// Each step is the IEEE operation of <see cref="RequantizeReference"/>: int32 to float32 rounds to nearest even, products and sums are rounded once, and
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
                    if (epilogue.Sum is null) ToUInt8<No, No>(epilogue, &part);
                    else if (epilogue.Sum.Intermediate is null) ToUInt8<Yes, No>(epilogue, &part);
                    else ToUInt8<Yes, Yes>(epilogue, &part);
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
    private static Vector128<float> First(Vector128<float> t, Vector128<float> low, Vector128<float> high, Vector128<float> scale) => Vector128.Round(Clamp(t, low, high)) * scale;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Addend(Vector128<ushort> sum, bool upper, Vector128<int> zeroPoint, Vector128<float> scale) =>
        Vector128.ConvertToSingle((upper ? Vector128.WidenUpper(sum) : Vector128.WidenLower(sum)).AsInt32() - zeroPoint) * scale;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<int> Round(Vector128<float> t, Vector128<float> low, Vector128<float> high) => Vector128.ConvertToInt32Native(Vector128.Round(Clamp(t, low, high)));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ToUInt8<TSum, TIntermediate>(QEpilogue epilogue, QEpilogueBlock* block)
        where TSum : struct, ISwitch where TIntermediate : struct, ISwitch
    {
        Vector128<float> low = Vector128.Create((float)(epilogue.Low - epilogue.ZeroPoint)), high = Vector128.Create((float)(epilogue.High - epilogue.ZeroPoint));
        Vector128<float> sumScale = default, firstScale = default, firstLow = default, firstHigh = default;
        Vector128<int> sumZeroPoint = default;
        if (TSum.On)
        {
            sumScale = Vector128.Create(epilogue.Sum!.Scale);
            sumZeroPoint = Vector128.Create(epilogue.Sum.ZeroPoint);
        }
        if (TIntermediate.On)
        {
            QIntermediate first = epilogue.Sum!.Intermediate!;
            firstScale = Vector128.Create(first.Scale);
            firstLow = Vector128.Create((float)(first.Low - first.ZeroPoint));
            firstHigh = Vector128.Create((float)(first.High - first.ZeroPoint));
        }
        Vector128<short> zeroPoint = Vector128.Create((short)epilogue.ZeroPoint);
        float* multipliers = epilogue.MultiplierPointer + block->Channel;
        for (nint n = 0; n < block->Columns; n += Step)
        {
            Vector128<float> m0 = Vector128.Load(multipliers + n), m1 = Vector128.Load(multipliers + n + Lanes);
            Vector128<float> m2 = Vector128.Load(multipliers + n + 2 * Lanes), m3 = Vector128.Load(multipliers + n + 3 * Lanes);
            for (nint r = 0; r < block->Rows; r++)
            {
                int* c = block->C + r * block->CStride + n;
                Vector128<float> t0 = Vector128.ConvertToSingle(Vector128.Load(c)) * m0, t1 = Vector128.ConvertToSingle(Vector128.Load(c + Lanes)) * m1;
                Vector128<float> t2 = Vector128.ConvertToSingle(Vector128.Load(c + 2 * Lanes)) * m2, t3 = Vector128.ConvertToSingle(Vector128.Load(c + 3 * Lanes)) * m3;
                if (TIntermediate.On)
                {
                    t0 = First(t0, firstLow, firstHigh, firstScale);
                    t1 = First(t1, firstLow, firstHigh, firstScale);
                    t2 = First(t2, firstLow, firstHigh, firstScale);
                    t3 = First(t3, firstLow, firstHigh, firstScale);
                }
                if (TSum.On)
                {
                    (Vector128<ushort> lower, Vector128<ushort> upper) = Vector128.Widen(Vector128.Load(block->Sum + r * block->SumStride + n));
                    t0 += Addend(lower, false, sumZeroPoint, sumScale);
                    t1 += Addend(lower, true, sumZeroPoint, sumScale);
                    t2 += Addend(upper, false, sumZeroPoint, sumScale);
                    t3 += Addend(upper, true, sumZeroPoint, sumScale);
                }
                Vector128<short> w0 = Vector128.Narrow(Round(t0, low, high), Round(t1, low, high)) + zeroPoint;
                Vector128<short> w1 = Vector128.Narrow(Round(t2, low, high), Round(t3, low, high)) + zeroPoint;
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
