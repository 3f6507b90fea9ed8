using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Lanes;
using Octet.Kernels.Requantize;
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
/// <param name="ShiftA">By how much a is stored smaller than the integers of the model, in whose terms a sum rounds. <paramref name="ZeroA"/> is that of what is stored.</param>
/// <param name="ShiftB">The same of b.</param>
/// <param name="ShiftY">The same of y.</param>
internal readonly record struct QuantizedBinaryConstants(int ZeroA, int ZeroB, int ZeroY, float MultiplierA, float MultiplierB, int Low, int High, int ShiftA = 0, int ShiftB = 0, int ShiftY = 0);

/// <summary>What the loop needs of <see cref="QuantizedBinaryConstants"/>.</summary>
/// <param name="OffsetA">Added to a stored a first.</param>
/// <param name="OffsetB">Added to a stored b first.</param>
/// <param name="MultiplierA">A.</param>
/// <param name="MultiplierB">B.</param>
/// <param name="Constant">C of a sum.</param>
/// <param name="Low">Smallest rounded value.</param>
/// <param name="High">Largest rounded value.</param>
/// <param name="Origin">Added to a rounded value last.</param>
internal readonly record struct QuantizedBinaryForm(float OffsetA, float OffsetB, float MultiplierA, float MultiplierB, float Constant, float Low, float High, float Origin)
{
    /// <summary>Operands are centred around their zero points, and the output's is added to the rounded result.</summary>
    public static QuantizedBinaryForm Centred(in QuantizedBinaryConstants k) => new(-k.ZeroA, -k.ZeroB, k.MultiplierA, k.MultiplierB, 0, k.Low - k.ZeroY, k.High - k.ZeroY, k.ZeroY);
}

/// <summary>A function of two quantized values before rounding.</summary>
internal interface IQuantizedBinary
{
    /// <summary>The constants in the form of this function.</summary>
    static abstract QuantizedBinaryForm Prepare(in QuantizedBinaryConstants k);

    /// <summary>The result in steps of the output, before rounding and <see cref="QuantizedBinaryForm.Origin"/>; a and b have their offsets.</summary>
    static abstract V Invoke<TLanes, V>(V a, V b, V multiplierA, V multiplierB, V constant) where TLanes : struct, ILanes<V> where V : unmanaged;
}

/// <summary><see cref="RequantizeReference.Sum"/> of the model's integers.</summary>
internal readonly struct QuantizedAdd : IQuantizedBinary
{
    public static QuantizedBinaryForm Prepare(in QuantizedBinaryConstants k) => new(k.ShiftA, k.ShiftB, k.MultiplierA, k.MultiplierB,
        RequantizeReference.SumConstant(k.MultiplierA, k.ZeroA + k.ShiftA, k.MultiplierB, k.ZeroB + k.ShiftB, k.ZeroY + k.ShiftY), k.Low + k.ShiftY, k.High + k.ShiftY, -k.ShiftY);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V a, V b, V multiplierA, V multiplierB, V constant) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.FusedMultiplyAdd(a, multiplierA, TLanes.FusedMultiplyAdd(b, multiplierB, constant));
}

/// <summary><c>(a·b)·M</c>; the integer product is below 2²⁴ and therefore exact in float32.</summary>
internal readonly struct QuantizedMultiply : IQuantizedBinary
{
    public static QuantizedBinaryForm Prepare(in QuantizedBinaryConstants k) => QuantizedBinaryForm.Centred(k);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V a, V b, V multiplierA, V multiplierB, V constant) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Multiply(TLanes.Multiply(a, b), multiplierA);
}

/// <summary><c>(a/b)·M</c>, a quotient and a product, each rounded to float32.</summary>
internal readonly struct QuantizedDivide : IQuantizedBinary
{
    public static QuantizedBinaryForm Prepare(in QuantizedBinaryConstants k) => QuantizedBinaryForm.Centred(k);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V a, V b, V multiplierA, V multiplierB, V constant) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Multiply(TLanes.Divide(a, b), multiplierA);
}

/// <summary>Sums, products and quotients of 8-bit tensors, each tensor with its own scale and zero point.</summary>
/// <remarks>
/// <code>
///   QAdd   y = clamp(round(fma(qa, A, fma(qb, B, C))), low, high)            C = zy − fma(A, za, B·zb)
///   QMul   y = clamp(round((qa − za)·(qb − zb)·M) + zy, low, high)
///   QDiv   y = clamp(round((qa − za)/(qb − zb)·M) + zy, low, high)
/// </code>
/// Half to even; a NaN, of infinite multipliers or 0/0, counts as 0; x/0 saturates. The multipliers of a sum are at most 2⁹⁰ in size, and its q and z are the model's integers, which
/// are the stored ones plus their shifts. Every width gives the same bytes.
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
                Form = TOp.Prepare(constants),
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
        public QuantizedBinaryForm Form;
        public delegate*<A*, nint, B*, nint, Y*, nint, QuantizedBinaryForm*, void> Kernel;

        public void Run(nint a, nint b, nint c, nint y, nint length)
        {
            fixed (QuantizedBinaryForm* form = &Form) Kernel(PA + a, StepA, PB + b, StepB, PY + y, length, form);
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
    public static void Run(A* a, nint stepA, B* b, nint stepB, Y* y, nint length, QuantizedBinaryForm* form)
    {
        QuantizedBinaryForm k = *form;
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
    private static W Value<L, W>(W a, W b, in QuantizedBinaryForm k) where L : struct, ILanes<W> where W : unmanaged
    {
        W r = TOp.Invoke<L, W>(L.Add(a, L.Create(k.OffsetA)), L.Add(b, L.Create(k.OffsetB)), L.Create(k.MultiplierA), L.Create(k.MultiplierB), L.Create(k.Constant));
        r = L.Round(r);
        r = L.And(r, L.Equals(r, r));
        // Clamped first, so the sum cannot round: all values are integers below 2²⁴.
        r = L.Min(L.Create(k.High), L.Max(L.Create(k.Low), r));
        return L.Add(r, L.Create(k.Origin));
    }
}
