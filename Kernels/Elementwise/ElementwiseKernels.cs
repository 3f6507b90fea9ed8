using System.Runtime.CompilerServices;
using Octet.Kernels.Threading;

namespace Octet.Kernels.Elementwise;

/// <summary>Element by element on any element type: the scalar definition, run over broadcast operands. Float arithmetic has vector kernels instead.</summary>
internal static unsafe class ElementwiseKernels
{
    private const int PieceLength = 16384;

    /// <summary><c>y[i] = op(x[i])</c>.</summary>
    /// <exception cref="ArgumentException"><paramref name="y"/> is shorter than <paramref name="x"/>.</exception>
    public static void Unary<TOp, T, TResult>(ReadOnlySpan<T> x, Span<TResult> y, Parallelism p)
        where TOp : struct, IGenericUnary<T, TResult> where T : unmanaged where TResult : unmanaged
    {
        if (y.Length < x.Length) throw new ArgumentException($"y has {y.Length} elements but x has {x.Length}", nameof(y));
        fixed (T* xp = x)
        fixed (TResult* yp = y)
        {
            var work = new UnaryPieces<TOp, T, TResult> { X = xp, Y = yp, Length = x.Length };
            p.For(ref work, (x.Length + PieceLength - 1) / PieceLength);
        }
    }

    /// <summary><c>y = op(a, b)</c> with broadcasting; y may be an operand of the same shape and type.</summary>
    /// <exception cref="ArgumentException">A span is shorter than the plan says.</exception>
    public static void Binary<TOp, T, TResult>(BroadcastPlan plan, ReadOnlySpan<T> a, ReadOnlySpan<T> b, Span<TResult> y, Parallelism p)
        where TOp : struct, IGenericBinary<T, TResult> where T : unmanaged where TResult : unmanaged
    {
        plan.Require(a.Length, b.Length, y.Length);
        fixed (T* ap = a, bp = b)
        fixed (TResult* yp = y)
        {
            var body = new BinaryBody<TOp, T, TResult> { A = ap, B = bp, Y = yp, StepA = plan.InnerStep(0), StepB = plan.InnerStep(1) };
            plan.Run(ref body, p);
        }
    }

    /// <summary><c>y = condition ? a : b</c> with broadcasting; operand 0 of the plan is the condition.</summary>
    /// <exception cref="ArgumentException">A span is shorter than the plan says.</exception>
    public static void Where<T>(BroadcastPlan plan, ReadOnlySpan<bool> condition, ReadOnlySpan<T> a, ReadOnlySpan<T> b, Span<T> y, Parallelism p)
        where T : unmanaged
    {
        plan.Require(condition.Length, a.Length, b.Length, y.Length);
        fixed (bool* cp = condition)
        fixed (T* ap = a, bp = b, yp = y)
        {
            var body = new WhereBody<T>
            {
                Condition = cp,
                A = ap,
                B = bp,
                Y = yp,
                StepC = plan.InnerStep(0),
                StepA = plan.InnerStep(1),
                StepB = plan.InnerStep(2),
            };
            plan.Run(ref body, p);
        }
    }

    private struct UnaryPieces<TOp, T, TResult> : IPieces
        where TOp : struct, IGenericUnary<T, TResult> where T : unmanaged where TResult : unmanaged
    {
        public T* X;
        public TResult* Y;
        public int Length;

        public readonly void Run(int piece, int worker)
        {
            int end = Math.Min(Length, (piece + 1) * PieceLength);
            for (int i = piece * PieceLength; i < end; i++) Y[i] = TOp.Invoke(X[i]);
        }
    }

    private struct BinaryBody<TOp, T, TResult> : IBroadcastBody
        where TOp : struct, IGenericBinary<T, TResult> where T : unmanaged where TResult : unmanaged
    {
        public T* A, B;
        public TResult* Y;
        public nint StepA, StepB;

        public readonly void Run(nint a, nint b, nint c, nint y, nint length)
        {
            T* ap = A + a, bp = B + b;
            TResult* yp = Y + y;
            nint stepA = StepA, stepB = StepB;
            for (nint i = 0; i < length; i++, ap += stepA, bp += stepB) yp[i] = TOp.Invoke(*ap, *bp);
        }
    }

    private struct WhereBody<T> : IBroadcastBody where T : unmanaged
    {
        public bool* Condition;
        public T* A, B, Y;
        public nint StepC, StepA, StepB;

        public readonly void Run(nint c, nint a, nint b, nint y, nint length)
        {
            bool* cp = Condition + c;
            T* ap = A + a, bp = B + b, yp = Y + y;
            for (nint i = 0; i < length; i++, cp += StepC, ap += StepA, bp += StepB) yp[i] = *cp ? *ap : *bp;
        }
    }
}
