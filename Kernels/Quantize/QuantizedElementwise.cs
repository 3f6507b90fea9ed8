using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Lanes;
using Octet.Kernels.Threading;

namespace Octet.Kernels.Quantize;

/// <summary>
/// Constants of a quantized sum or product: zero points of both operands and the output, two multipliers, and the range of the output, which
/// a fused clamp may narrow.
/// </summary>
/// <param name="ZeroA">Zero point of a.</param>
/// <param name="ZeroB">Zero point of b.</param>
/// <param name="ZeroY">Zero point of y.</param>
/// <param name="MultiplierA">Sum: scale of a over scale of y. Product: product of the operands' scales over scale of y. Quotient: scale of a over those of b and y.</param>
/// <param name="MultiplierB">Sum: scale of b over scale of y. Else unused.</param>
/// <param name="Low">Smallest output.</param>
/// <param name="High">Largest output.</param>
internal readonly record struct QuantizedBinaryConstants(int ZeroA, int ZeroB, int ZeroY, float MultiplierA, float MultiplierB, int Low, int High);

/// <summary>A function of two quantized values before rounding.</summary>
internal interface IQuantizedBinary
{
    /// <summary>The real result in steps of the output, before rounding and zero point; a and b are centred.</summary>
    static abstract V Invoke<TLanes, V>(V a, V b, V multiplierA, V multiplierB) where TLanes : struct, ILanes<V> where V : unmanaged;
}

/// <summary><c>a·A + b·B</c>, two products and one sum, each rounded to float32.</summary>
internal readonly struct QuantizedAdd : IQuantizedBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V a, V b, V multiplierA, V multiplierB) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Add(TLanes.Multiply(a, multiplierA), TLanes.Multiply(b, multiplierB));
}

/// <summary><c>(a·b)·M</c>; the integer product is below 2²⁴ and therefore exact in float32.</summary>
internal readonly struct QuantizedMultiply : IQuantizedBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V a, V b, V multiplierA, V multiplierB) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Multiply(TLanes.Multiply(a, b), multiplierA);
}

/// <summary><c>(a/b)·M</c>, a quotient and a product, each rounded to float32.</summary>
internal readonly struct QuantizedDivide : IQuantizedBinary
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V a, V b, V multiplierA, V multiplierB) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Multiply(TLanes.Divide(a, b), multiplierA);
}

/// <summary>Sums, products and quotients of 8-bit tensors, each tensor with its own scale and zero point.</summary>
/// <remarks>
/// <code>
///   QAdd   y = clamp(round((qa − za)·A + (qb − zb)·B) + zy, low, high)
///   QMul   y = clamp(round((qa − za)·(qb − zb)·M) + zy, low, high)
///   QDiv   y = clamp(round((qa − za)/(qb − zb)·M) + zy, low, high)
/// </code>
/// Half to even; a NaN, of infinite multipliers or 0/0, counts as 0; x/0 saturates. Every width gives the same bytes.
/// </remarks>
internal static unsafe class QuantizedElementwise
{
    /// <summary><c>y = op(a, b)</c> with broadcasting; y may be an operand of the same shape and type.</summary>
    /// <exception cref="ArgumentException">A span is shorter than the plan says.</exception>
    public static void Binary<TOp, TA, TB, TY, A, B, Y>(BroadcastPlan plan, ReadOnlySpan<A> a, ReadOnlySpan<B> b, Span<Y> y,
        in QuantizedBinaryConstants constants, CpuFeatures cpu, Parallelism p)
        where TOp : struct, IQuantizedBinary
        where TA : struct, IQuantizedType<A> where TB : struct, IQuantizedType<B> where TY : struct, IQuantizedType<Y>
        where A : unmanaged where B : unmanaged where Y : unmanaged
    {
        plan.Require(a.Length, b.Length, y.Length);
        fixed (A* ap = a)
        fixed (B* bp = b)
        fixed (Y* yp = y)
        {
            var body = new Body<A, B, Y>
            {
                PA = ap,
                PB = bp,
                PY = yp,
                StepA = plan.InnerStep(0),
                StepB = plan.InnerStep(1),
                Constants = constants,
                Kernel = VectorWidths.Select(cpu) switch
                {
                    VectorWidth.V512 => &QuantizedBinaryLoop<TOp, TA, TB, TY, A, B, Y, Lanes512, Vector512<float>>.Run,
                    VectorWidth.V256 => &QuantizedBinaryLoop<TOp, TA, TB, TY, A, B, Y, Lanes256, Vector256<float>>.Run,
                    VectorWidth.V128 => &QuantizedBinaryLoop<TOp, TA, TB, TY, A, B, Y, Lanes128, Vector128<float>>.Run,
                    _ => &QuantizedBinaryLoop<TOp, TA, TB, TY, A, B, Y, ScalarLanes, float>.Run,
                },
            };
            plan.Run(ref body, p);
        }
    }

    /// <summary>QAdd of uint8 tensors.</summary>
    public static void AddUInt8(BroadcastPlan plan, ReadOnlySpan<byte> a, ReadOnlySpan<byte> b, Span<byte> y, in QuantizedBinaryConstants constants, CpuFeatures cpu, Parallelism p) =>
        Binary<QuantizedAdd, UInt8Type, UInt8Type, UInt8Type, byte, byte, byte>(plan, a, b, y, constants, cpu, p);

    /// <summary>QMul of uint8 tensors.</summary>
    public static void MultiplyUInt8(BroadcastPlan plan, ReadOnlySpan<byte> a, ReadOnlySpan<byte> b, Span<byte> y, in QuantizedBinaryConstants constants, CpuFeatures cpu, Parallelism p) =>
        Binary<QuantizedMultiply, UInt8Type, UInt8Type, UInt8Type, byte, byte, byte>(plan, a, b, y, constants, cpu, p);

    /// <summary>QDiv of uint8 tensors.</summary>
    public static void DivideUInt8(BroadcastPlan plan, ReadOnlySpan<byte> a, ReadOnlySpan<byte> b, Span<byte> y, in QuantizedBinaryConstants constants, CpuFeatures cpu, Parallelism p) =>
        Binary<QuantizedDivide, UInt8Type, UInt8Type, UInt8Type, byte, byte, byte>(plan, a, b, y, constants, cpu, p);

    private struct Body<A, B, Y> : IBroadcastBody where A : unmanaged where B : unmanaged where Y : unmanaged
    {
        public A* PA;
        public B* PB;
        public Y* PY;
        public nint StepA, StepB;
        public QuantizedBinaryConstants Constants;
        public delegate*<A*, nint, B*, nint, Y*, nint, QuantizedBinaryConstants*, void> Kernel;

        public void Run(nint a, nint b, nint c, nint y, nint length)
        {
            fixed (QuantizedBinaryConstants* constants = &Constants) Kernel(PA + a, StepA, PB + b, StepB, PY + y, length, constants);
        }
    }
}

/// <summary>The loop of quantized sums and products.</summary>
internal static unsafe class QuantizedBinaryLoop<TOp, TA, TB, TY, A, B, Y, TLanes, V>
    where TOp : struct, IQuantizedBinary
    where TA : struct, IQuantizedType<A> where TB : struct, IQuantizedType<B> where TY : struct, IQuantizedType<Y>
    where A : unmanaged where B : unmanaged where Y : unmanaged
    where TLanes : struct, ILanes<V> where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(A* a, nint stepA, B* b, nint stepB, Y* y, nint length, QuantizedBinaryConstants* constants)
    {
        QuantizedBinaryConstants k = *constants;
        V fixedA = TLanes.Create(TA.Load<ScalarLanes, float>(a)), fixedB = TLanes.Create(TB.Load<ScalarLanes, float>(b));
        nint i = 0;
        for (; i <= length - TLanes.Count; i += TLanes.Count)
        {
            V va = stepA == 0 ? fixedA : TA.Load<TLanes, V>(a + i);
            V vb = stepB == 0 ? fixedB : TB.Load<TLanes, V>(b + i);
            TY.Store<TLanes, V>(Value<TLanes, V>(va, vb, k), y + i);
        }
        for (; i < length; i++)
            TY.Store<ScalarLanes, float>(Value<ScalarLanes, float>(TA.Load<ScalarLanes, float>(a + i * stepA), TB.Load<ScalarLanes, float>(b + i * stepB), k), y + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static W Value<L, W>(W a, W b, in QuantizedBinaryConstants k) where L : struct, ILanes<W> where W : unmanaged
    {
        W r = TOp.Invoke<L, W>(L.Subtract(a, L.Create(k.ZeroA)), L.Subtract(b, L.Create(k.ZeroB)), L.Create(k.MultiplierA), L.Create(k.MultiplierB));
        r = L.Round(r);
        r = L.And(r, L.Equals(r, r));
        // Clamped around the zero point first, so the sum cannot round: all values are integers below 2²⁴.
        r = L.Min(L.Create(k.High - k.ZeroY), L.Max(L.Create(k.Low - k.ZeroY), r));
        return L.Add(r, L.Create(k.ZeroY));
    }
}
