using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise.Binary;
using Octet.Kernels.Lanes;
using Octet.Kernels.Threading;

namespace Octet.Kernels.Elementwise;

/// <summary>One <see cref="BinaryOperation"/> on one vector width: <c>y = f(a, b)</c> with broadcasting.</summary>
internal sealed unsafe class BinaryKernel
{
    private readonly delegate*<float*, nint, float*, nint, float*, nint, void> _run;

    private BinaryKernel(BinaryOperation operation, VectorWidth width, delegate*<float*, nint, float*, nint, float*, nint, void> run)
    {
        Operation = operation;
        Width = width;
        _run = run;
    }

    /// <summary>What is computed.</summary>
    public BinaryOperation Operation { get; }

    /// <summary>Register width.</summary>
    public VectorWidth Width { get; }

    /// <summary>The kernel for a CPU.</summary>
    public static BinaryKernel Select(BinaryOperation operation, CpuFeatures cpu) => Create(operation, VectorWidths.Select(cpu));

    /// <summary>The kernel of a given width.</summary>
    public static BinaryKernel Create(BinaryOperation operation, VectorWidth width) => new(operation, width, operation switch
    {
        BinaryOperation.Add => ForWidth<AddOp>(width),
        BinaryOperation.Subtract => ForWidth<SubtractOp>(width),
        BinaryOperation.Multiply => ForWidth<MultiplyOp>(width),
        BinaryOperation.Divide => ForWidth<DivideOp>(width),
        BinaryOperation.Max => ForWidth<MaxOp>(width),
        BinaryOperation.Min => ForWidth<MinOp>(width),
        BinaryOperation.PRelu => ForWidth<PReluOp>(width),
        BinaryOperation.SquaredDifference => ForWidth<SquaredDifferenceOp>(width),
        _ => throw new ArgumentOutOfRangeException(nameof(operation), operation, "not a binary operation"),
    });

    /// <summary><c>y = f(a, b)</c>.</summary>
    /// <param name="plan">How a and b broadcast to y; operands 0 and 1.</param>
    /// <param name="a">First operand, dense.</param>
    /// <param name="b">Second operand, dense.</param>
    /// <param name="y">Output, dense; may be an operand of the same shape, must not overlap one otherwise.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">A span is shorter than the plan says.</exception>
    public void Run(BroadcastPlan plan, ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y, Parallelism p)
    {
        plan.Require(a.Length, b.Length, y.Length);
        fixed (float* ap = a, bp = b, yp = y)
        {
            var body = new Body { A = ap, B = bp, Y = yp, StepA = plan.InnerStep(0), StepB = plan.InnerStep(1), Kernel = _run };
            plan.Run(ref body, p);
        }
    }

    /// <summary><c>y[i] = f(a[i], b[i])</c> for spans of one length, on the caller's thread.</summary>
    public void Run(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y)
    {
        if (a.Length != b.Length || y.Length < a.Length) throw new ArgumentException($"lengths {a.Length}, {b.Length} and {y.Length} do not agree");
        fixed (float* ap = a, bp = b, yp = y) _run(ap, 1, bp, 1, yp, a.Length);
    }

    private static delegate*<float*, nint, float*, nint, float*, nint, void> ForWidth<TOp>(VectorWidth width) where TOp : struct, IBinaryOp => width switch
    {
        VectorWidth.V512 => &BinaryLoop<TOp, Lanes512, Vector512<float>>.Run,
        VectorWidth.V256 => &BinaryLoop<TOp, Lanes256, Vector256<float>>.Run,
        VectorWidth.V128 => &BinaryLoop<TOp, Lanes128, Vector128<float>>.Run,
        _ => &BinaryLoop<TOp, ScalarLanes, float>.Run,
    };

    private struct Body : IBroadcastBody
    {
        public float* A, B, Y;
        public nint StepA, StepB;
        public delegate*<float*, nint, float*, nint, float*, nint, void> Kernel;

        public readonly void Run(nint a, nint b, nint c, nint y, nint length) => Kernel(A + a, StepA, B + b, StepB, Y + y, length);
    }
}

/// <summary>The traversal of every binary operation: an operand of step 0 is one value for the whole run.</summary>
internal static unsafe class BinaryLoop<TOp, TLanes, V>
    where TOp : struct, IBinaryOp where TLanes : struct, ILanes<V> where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(float* a, nint stepA, float* b, nint stepB, float* y, nint length)
    {
        nint i = 0;
        int rest = (int)(length % TLanes.Count);
        nint whole = length - rest;
        if (stepA != 0 && stepB != 0)
        {
            for (; i < whole; i += TLanes.Count) TLanes.Store(TOp.Invoke<TLanes, V>(TLanes.Load(a + i), TLanes.Load(b + i)), y + i);
            if (rest > 0) TLanes.StorePartial(TOp.Invoke<TLanes, V>(TLanes.LoadPartial(a + i, rest), TLanes.LoadPartial(b + i, rest)), y + i, rest);
        }
        else if (stepA != 0)
        {
            V vb = TLanes.Create(*b);
            for (; i < whole; i += TLanes.Count) TLanes.Store(TOp.Invoke<TLanes, V>(TLanes.Load(a + i), vb), y + i);
            if (rest > 0) TLanes.StorePartial(TOp.Invoke<TLanes, V>(TLanes.LoadPartial(a + i, rest), vb), y + i, rest);
        }
        else
        {
            V va = TLanes.Create(*a);
            if (stepB != 0)
            {
                for (; i < whole; i += TLanes.Count) TLanes.Store(TOp.Invoke<TLanes, V>(va, TLanes.Load(b + i)), y + i);
                if (rest > 0) TLanes.StorePartial(TOp.Invoke<TLanes, V>(va, TLanes.LoadPartial(b + i, rest)), y + i, rest);
            }
            else
            {
                V value = TOp.Invoke<TLanes, V>(va, TLanes.Create(*b));
                for (; i < whole; i += TLanes.Count) TLanes.Store(value, y + i);
                if (rest > 0) TLanes.StorePartial(value, y + i, rest);
            }
        }
    }
}
