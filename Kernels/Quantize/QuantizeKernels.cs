using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Lanes;
using Octet.Kernels.Threading;

namespace Octet.Kernels.Quantize;

/// <summary>QuantizeLinear and DequantizeLinear on whole spans, per tensor and per axis.</summary>
/// <remarks>
/// <code>
///   q = saturate(round(x / scale) + zeroPoint)      half to even, by division; NaN gives zeroPoint
///   x = (q − zeroPoint) · scale
/// </code>
/// Every width gives the same bits: division, rounding and comparison are exact operations, and tails run the scalar form of the same code.
/// Source: ONNX QuantizeLinear and DequantizeLinear.
/// </remarks>
internal static unsafe class QuantizeKernels
{
    private const int PieceLength = 16384;

    /// <summary>Quantizes with one scale.</summary>
    /// <param name="x">Real values, any length.</param>
    /// <param name="scale">Real units per step; finite and above zero.</param>
    /// <param name="zeroPoint">What real 0 becomes; in the range of <typeparamref name="T"/>.</param>
    /// <param name="q">Receives <c>x.Length</c> values; may be longer. Must not overlap x.</param>
    /// <param name="cpu">The CPU.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException"><paramref name="q"/> is shorter than <paramref name="x"/>.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="scale"/> or <paramref name="zeroPoint"/> is outside its range.</exception>
    public static void Quantize<TType, T>(ReadOnlySpan<float> x, float scale, int zeroPoint, Span<T> q, CpuFeatures cpu, Parallelism p)
        where TType : struct, IQuantizedType<T> where T : unmanaged
    {
        Require<TType, T>(scale, zeroPoint);
        if (q.Length < x.Length) throw new ArgumentException($"q has {q.Length} elements but x has {x.Length}", nameof(q));
        fixed (float* xp = x)
        fixed (T* qp = q)
        {
            var work = new QuantizePieces<T> { X = xp, Q = qp, Length = x.Length, Scale = scale, ZeroPoint = zeroPoint, Kernel = QuantizeKernel<TType, T>(VectorWidths.Select(cpu)) };
            p.For(ref work, (x.Length + PieceLength - 1) / PieceLength);
        }
    }

    /// <summary>Quantizes with one scale per index of an axis: x is <c>[outer, scales, inner]</c>.</summary>
    /// <param name="x">Real values, <c>outer · scales.Length · inner</c> of them.</param>
    /// <param name="scales">One per index of the axis.</param>
    /// <param name="zeroPoints">One per index of the axis; empty for all 0.</param>
    /// <param name="inner">Elements behind each index.</param>
    /// <param name="q">Receives as many values as x has.</param>
    /// <param name="cpu">The CPU.</param>
    /// <exception cref="ArgumentException">Lengths do not agree.</exception>
    public static void QuantizePerAxis<TType, T>(ReadOnlySpan<float> x, ReadOnlySpan<float> scales, ReadOnlySpan<int> zeroPoints, int inner, Span<T> q, CpuFeatures cpu)
        where TType : struct, IQuantizedType<T> where T : unmanaged
    {
        RequirePerAxis(x.Length, scales.Length, zeroPoints.Length, inner, q.Length);
        delegate*<float*, T*, nint, float, int, void> kernel = QuantizeKernel<TType, T>(VectorWidths.Select(cpu));
        fixed (float* xp = x)
        fixed (T* qp = q)
        {
            for (nint at = 0, index = 0; at < x.Length; at += inner, index = index + 1 == scales.Length ? 0 : index + 1)
            {
                int zeroPoint = zeroPoints.IsEmpty ? 0 : zeroPoints[(int)index];
                Require<TType, T>(scales[(int)index], zeroPoint);
                kernel(xp + at, qp + at, inner, scales[(int)index], zeroPoint);
            }
        }
    }

    /// <summary>Dequantizes with one scale.</summary>
    /// <param name="q">Quantized values.</param>
    /// <param name="scale">Real units per step.</param>
    /// <param name="zeroPoint">The value that means 0.</param>
    /// <param name="x">Receives <c>q.Length</c> values; must not overlap q.</param>
    /// <param name="cpu">The CPU.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException"><paramref name="x"/> is shorter than <paramref name="q"/>.</exception>
    public static void Dequantize<TType, T>(ReadOnlySpan<T> q, float scale, int zeroPoint, Span<float> x, CpuFeatures cpu, Parallelism p)
        where TType : struct, IQuantizedType<T> where T : unmanaged
    {
        if (x.Length < q.Length) throw new ArgumentException($"x has {x.Length} elements but q has {q.Length}", nameof(x));
        fixed (T* qp = q)
        fixed (float* xp = x)
        {
            var work = new DequantizePieces<T> { X = xp, Q = qp, Length = q.Length, Scale = scale, ZeroPoint = zeroPoint, Kernel = DequantizeKernel<TType, T>(VectorWidths.Select(cpu)) };
            p.For(ref work, (q.Length + PieceLength - 1) / PieceLength);
        }
    }

    /// <summary>Dequantizes with one scale per index of an axis: q is <c>[outer, scales, inner]</c>.</summary>
    /// <exception cref="ArgumentException">Lengths do not agree.</exception>
    public static void DequantizePerAxis<TType, T>(ReadOnlySpan<T> q, ReadOnlySpan<float> scales, ReadOnlySpan<int> zeroPoints, int inner, Span<float> x, CpuFeatures cpu)
        where TType : struct, IQuantizedType<T> where T : unmanaged
    {
        RequirePerAxis(q.Length, scales.Length, zeroPoints.Length, inner, x.Length);
        delegate*<T*, float*, nint, float, int, void> kernel = DequantizeKernel<TType, T>(VectorWidths.Select(cpu));
        fixed (T* qp = q)
        fixed (float* xp = x)
        {
            for (nint at = 0, index = 0; at < q.Length; at += inner, index = index + 1 == scales.Length ? 0 : index + 1)
                kernel(qp + at, xp + at, inner, scales[(int)index], zeroPoints.IsEmpty ? 0 : zeroPoints[(int)index]);
        }
    }

    /// <summary>int8 to uint8 and back: <c>y = x ⊕ 0x80</c>, which adds 128 modulo 256. In place is allowed.</summary>
    /// <exception cref="ArgumentException"><paramref name="y"/> is shorter than <paramref name="x"/>.</exception>
    public static void FlipSign(ReadOnlySpan<byte> x, Span<byte> y)
    {
        if (y.Length < x.Length) throw new ArgumentException($"y has {y.Length} elements but x has {x.Length}", nameof(y));
        int i = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            fixed (byte* xp = x, yp = y)
                for (; i <= x.Length - Vector128<byte>.Count; i += Vector128<byte>.Count) (Vector128.Load(xp + i) ^ Vector128.Create((byte)0x80)).Store(yp + i);
        }
        for (; i < x.Length; i++) y[i] = (byte)(x[i] ^ 0x80);
    }

    private static void Require<TType, T>(float scale, int zeroPoint) where TType : struct, IQuantizedType<T> where T : unmanaged
    {
        if (!(scale > 0 && float.IsFinite(scale))) throw new ArgumentOutOfRangeException(nameof(scale), scale, "rule: finite and above zero");
        if (zeroPoint < TType.Min || zeroPoint > TType.Max) throw new ArgumentOutOfRangeException(nameof(zeroPoint), zeroPoint, $"rule: in [{TType.Min}, {TType.Max}]");
    }

    private static void RequirePerAxis(int length, int scales, int zeroPoints, int inner, int output)
    {
        if (scales == 0 || inner <= 0 ? length != 0 : length % ((long)scales * inner) != 0)
            throw new ArgumentException($"{length} elements are no multiple of {scales} scales × {inner}");
        if (zeroPoints != 0 && zeroPoints != scales) throw new ArgumentException($"{zeroPoints} zero points for {scales} scales");
        if (output < length) throw new ArgumentException($"the output has {output} elements, the input {length}");
    }

    private static delegate*<float*, T*, nint, float, int, void> QuantizeKernel<TType, T>(VectorWidth width)
        where TType : struct, IQuantizedType<T> where T : unmanaged => width switch
        {
            VectorWidth.V512 => &QuantizeLoop<TType, T, Lanes512, Vector512<float>>.Run,
            VectorWidth.V256 when typeof(TType) == typeof(UInt8Type) => (delegate*<float*, T*, nint, float, int, void>)(delegate*<float*, byte*, nint, float, int, void>)&QuantizeBytes256.Unsigned,
            VectorWidth.V256 when typeof(TType) == typeof(Int8Type) => (delegate*<float*, T*, nint, float, int, void>)(delegate*<float*, sbyte*, nint, float, int, void>)&QuantizeBytes256.Signed,
            VectorWidth.V256 => &QuantizeLoop<TType, T, Lanes256, Vector256<float>>.Run,
            VectorWidth.V128 => &QuantizeLoop<TType, T, Lanes128, Vector128<float>>.Run,
            _ => &QuantizeLoop<TType, T, ScalarLanes, float>.Run,
        };

    private static delegate*<T*, float*, nint, float, int, void> DequantizeKernel<TType, T>(VectorWidth width)
        where TType : struct, IQuantizedType<T> where T : unmanaged => width switch
        {
            VectorWidth.V512 => &DequantizeLoop<TType, T, Lanes512, Vector512<float>>.Run,
            VectorWidth.V256 => &DequantizeLoop<TType, T, Lanes256, Vector256<float>>.Run,
            VectorWidth.V128 => &DequantizeLoop<TType, T, Lanes128, Vector128<float>>.Run,
            _ => &DequantizeLoop<TType, T, ScalarLanes, float>.Run,
        };

    private struct QuantizePieces<T> : IPieces where T : unmanaged
    {
        public float* X;
        public T* Q;
        public int Length, ZeroPoint;
        public float Scale;
        public delegate*<float*, T*, nint, float, int, void> Kernel;

        public readonly void Run(int piece, int worker)
        {
            nint start = (nint)piece * PieceLength;
            Kernel(X + start, Q + start, Math.Min(PieceLength, Length - start), Scale, ZeroPoint);
        }
    }

    private struct DequantizePieces<T> : IPieces where T : unmanaged
    {
        public float* X;
        public T* Q;
        public int Length, ZeroPoint;
        public float Scale;
        public delegate*<T*, float*, nint, float, int, void> Kernel;

        public readonly void Run(int piece, int worker)
        {
            nint start = (nint)piece * PieceLength;
            Kernel(Q + start, X + start, Math.Min(PieceLength, Length - start), Scale, ZeroPoint);
        }
    }
}

/// <summary>The quantizing loop. Rounding happens before the zero point is added, as a float: |round(x/scale)| is clamped to the range first, so the sum is exact.</summary>
internal static unsafe class QuantizeLoop<TType, T, TLanes, V>
    where TType : struct, IQuantizedType<T> where T : unmanaged where TLanes : struct, ILanes<V> where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(float* x, T* q, nint length, float scale, int zeroPoint)
    {
        nint i = 0;
        for (; i <= length - TLanes.Count; i += TLanes.Count) TType.Store<TLanes, V>(Value<TLanes, V>(TLanes.Load(x + i), scale, zeroPoint), q + i);
        for (; i < length; i++) TType.Store<ScalarLanes, float>(Value<ScalarLanes, float>(x[i], scale, zeroPoint), q + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static W Value<L, W>(W x, float scale, int zeroPoint) where L : struct, ILanes<W> where W : unmanaged
    {
        W r = L.Round(L.Divide(x, L.Create(scale)));
        r = L.And(r, L.Equals(r, r));   // NaN becomes 0
        r = L.Min(L.Create(TType.Max - zeroPoint), L.Max(L.Create(TType.Min - zeroPoint), r));
        return L.Add(r, L.Create(zeroPoint));
    }
}

/// <summary>The dequantizing loop; <c>q − zeroPoint</c> is exact in float for 8 and 16 bits.</summary>
internal static unsafe class DequantizeLoop<TType, T, TLanes, V>
    where TType : struct, IQuantizedType<T> where T : unmanaged where TLanes : struct, ILanes<V> where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(T* q, float* x, nint length, float scale, int zeroPoint)
    {
        nint i = 0;
        for (; i <= length - TLanes.Count; i += TLanes.Count)
            TLanes.Store(TLanes.Multiply(TLanes.Subtract(TType.Load<TLanes, V>(q + i), TLanes.Create(zeroPoint)), TLanes.Create(scale)), x + i);
        for (; i < length; i++) x[i] = (TType.Load<ScalarLanes, float>(q + i) - zeroPoint) * scale;
    }
}
