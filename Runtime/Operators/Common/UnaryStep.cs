using System.Runtime.CompilerServices;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>A function of one element and two constants.</summary>
internal interface IUnaryFunction<T, out TResult>
{
    /// <summary>Its value.</summary>
    static abstract TResult Invoke(T x, T alpha, T beta);
}

/// <summary><c>y = f(x; α, β)</c> for any element type; the function is inlined.</summary>
internal sealed class UnaryStep<T, TResult, TFunction>(T alpha, T beta, string kernel) : Step
    where T : unmanaged where TResult : unmanaged where TFunction : struct, IUnaryFunction<T, TResult>
{
    private const int PieceLength = 16384;

    public override string Kernel => kernel;

    public override int InPlaceInput(int output) => output == 0 && typeof(T) == typeof(TResult) ? 0 : -1;

    public override void Run(StepContext c)
    {
        var work = new Pieces(c.Input(0), c.Output(0), alpha, beta);
        c.Parallel.For(ref work, (c.Output(0).Length + PieceLength - 1) / PieceLength);
    }

    private readonly struct Pieces(Tensor x, Tensor y, T alpha, T beta) : IPieces
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(int piece, int worker)
        {
            int start = piece * PieceLength, length = Math.Min(PieceLength, y.Length - start);
            ReadOnlySpan<T> from = x.Span<T>().Slice(start, length);
            Span<TResult> to = y.Span<TResult>().Slice(start, length);
            for (int i = 0; i < from.Length; i++) to[i] = TFunction.Invoke(from[i], alpha, beta);
        }
    }
}
