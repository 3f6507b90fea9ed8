using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Cpu;

namespace Octet.Kernels.Requantize.X86;

/// <summary>The epilogue in 512-bit vectors: 16 columns at a time, multipliers loaded once for all rows of the block.</summary>
/// <remarks>
/// Same bits as the definition because every step is the same IEEE operation: VCVTDQ2PS rounds to nearest even like C#'s
/// conversion, multiply and add stay apart, the clamp bounds are integers (so clamping ahead of rounding changes nothing and keeps
/// VCVTPS2DQ in range), and VCVTPS2DQ rounds half to even.
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
                if (epilogue.Sum is null) ToUInt8(epilogue, block);
                else if (epilogue.Sum.Intermediate is null) ToUInt8Sum<No>(epilogue, block);
                else ToUInt8Sum<Yes>(epilogue, block);
                if (epilogue.TablePointer != null) QEpilogueTable.Apply(epilogue.TablePointer, block);
                break;
        }
    }

    /// <summary><c>round(clamp(t, low, high))</c> for clamp bounds from which the zero point is subtracted.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Round(Vector512<float> t, Vector512<float> low, Vector512<float> high) =>
        Avx512F.ConvertToVector512Int32(Avx512F.Min(Avx512F.Max(t, low), high));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ToUInt8(QEpilogue epilogue, QEpilogueBlock* block)
    {
        Vector512<float> low = Vector512.Create((float)(epilogue.Low - epilogue.ZeroPoint)), high = Vector512.Create((float)(epilogue.High - epilogue.ZeroPoint));
        Vector512<short> zeroPoint = Vector512.Create((short)epilogue.ZeroPoint);
        // VPACKSSDW and VPACKUSWB work within 128-bit lanes: lane i holds bytes of columns 4i … 4i+3 of all four inputs.
        Vector512<int> order = Vector512.Create(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        float* multipliers = epilogue.MultiplierPointer + block->Channel;
        nint columns = block->Columns, rows = block->Rows, n = 0;

        // 2 rows × 32 columns → 64 bytes.
        for (; n <= columns - 2 * Lanes; n += 2 * Lanes)
        {
            Vector512<float> m0 = Vector512.Load(multipliers + n), m1 = Vector512.Load(multipliers + n + Lanes);
            int* c = block->C + n;
            byte* y = block->Y + n;
            nint r = 0;
            for (; r <= rows - 2; r += 2, c += 2 * block->CStride, y += 2 * block->YStride)
            {
                int* d = c + block->CStride;
                Vector512<int> q00 = Round(Vector512.ConvertToSingle(Vector512.Load(c)) * m0, low, high);
                Vector512<int> q01 = Round(Vector512.ConvertToSingle(Vector512.Load(c + Lanes)) * m1, low, high);
                Vector512<int> q10 = Round(Vector512.ConvertToSingle(Vector512.Load(d)) * m0, low, high);
                Vector512<int> q11 = Round(Vector512.ConvertToSingle(Vector512.Load(d + Lanes)) * m1, low, high);
                Vector512<short> w0 = Avx512BW.PackSignedSaturate(q00, q01) + zeroPoint;
                Vector512<short> w1 = Avx512BW.PackSignedSaturate(q10, q11) + zeroPoint;
                Vector512<byte> bytes = Avx512F.PermuteVar16x32(Avx512BW.PackUnsignedSaturate(w0, w1).AsInt32(), order).AsByte();
                bytes.GetLower().Store(y);
                bytes.GetUpper().Store(y + block->YStride);
            }
            if (r < rows)
            {
                Bytes(Round(Vector512.ConvertToSingle(Vector512.Load(c)) * m0, low, high), epilogue.ZeroPoint).Store(y);
                Bytes(Round(Vector512.ConvertToSingle(Vector512.Load(c + Lanes)) * m1, low, high), epilogue.ZeroPoint).Store(y + Lanes);
            }
        }
        for (; n < columns; n += Lanes)
        {
            Vector512<float> m = Vector512.Load(multipliers + n);
            for (nint r = 0; r < rows; r++)
            {
                Vector512<int> q = Round(Vector512.ConvertToSingle(Vector512.Load(block->C + r * block->CStride + n)) * m, low, high);
                Store(Bytes(q, epilogue.ZeroPoint), block->Y + r * block->YStride + n, columns - n);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void ToUInt8Sum<TIntermediate>(QEpilogue epilogue, QEpilogueBlock* block) where TIntermediate : struct, ISwitch
    {
        QSum sum = epilogue.Sum!;
        Vector512<float> low = Vector512.Create((float)(epilogue.Low - epilogue.ZeroPoint)), high = Vector512.Create((float)(epilogue.High - epilogue.ZeroPoint));
        Vector512<float> sumScale = Vector512.Create(sum.Scale), firstScale = default, firstLow = default, firstHigh = default;
        if (TIntermediate.On)
        {
            QIntermediate first = sum.Intermediate!;
            firstScale = Vector512.Create(first.Scale);
            firstLow = Vector512.Create((float)(first.Low - first.ZeroPoint));
            firstHigh = Vector512.Create((float)(first.High - first.ZeroPoint));
        }
        Vector512<int> sumZeroPoint = Vector512.Create(sum.ZeroPoint);
        float* multipliers = epilogue.MultiplierPointer + block->Channel;
        nint columns = block->Columns;
        for (nint n = 0; n < columns; n += Lanes)
        {
            Vector512<float> m = Vector512.Load(multipliers + n);
            for (nint r = 0; r < block->Rows; r++)
            {
                Vector512<float> t = Vector512.ConvertToSingle(Vector512.Load(block->C + r * block->CStride + n)) * m;
                if (TIntermediate.On)
                {
                    const byte nearestEven = 8;   // no scaling, no exception
                    t = Avx512F.RoundScale(Avx512F.Min(Avx512F.Max(t, firstLow), firstHigh), nearestEven) * firstScale;
                }
                Vector512<int> s = Avx512F.ConvertToVector512Int32(QEpilogueTable.Load(block->Sum + r * block->SumStride + n, columns - n)) - sumZeroPoint;
                t = Avx512F.Add(t, Avx512F.Multiply(Vector512.ConvertToSingle(s), sumScale));
                Store(Bytes(Round(t, low, high), epilogue.ZeroPoint), block->Y + r * block->YStride + n, columns - n);
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

    /// <summary>Low bytes of <c>q + zeroPoint</c>, which is in [0, 255].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Bytes(Vector512<int> q, int zeroPoint) =>
        Avx512F.ConvertToVector128Byte(q) + Vector128.Create((byte)zeroPoint);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector128<byte> bytes, byte* to, nint room)
    {
        if (room >= Lanes) bytes.Store(to);
        else QEpilogueTable.StorePart(bytes, to, room);
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
