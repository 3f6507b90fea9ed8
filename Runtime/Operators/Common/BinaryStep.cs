using System.Runtime.CompilerServices;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>A function of two elements.</summary>
internal interface IBinaryFunction<in T, out TResult>
{
    /// <summary>Its value.</summary>
    static abstract TResult Invoke(T a, T b);
}

/// <summary><c>y = f(a, b)</c> with broadcasting, for any element type; the function is inlined.</summary>
internal sealed class BinaryStep<T, TResult, TFunction>(RowPlan plan, int inPlaceInput, string kernel) : Step
    where T : unmanaged where TResult : unmanaged where TFunction : struct, IBinaryFunction<T, TResult>
{
    public override string Kernel => kernel;

    public override int InPlaceInput(int output) => output == 0 ? inPlaceInput : -1;

    public override void Run(StepContext c)
    {
        var work = new Pieces(plan, c.Input(0), c.Input(1), c.Output(0));
        c.Parallel.For(ref work, plan.Pieces);
    }

    private readonly struct Pieces(RowPlan plan, Tensor a, Tensor b, Tensor y) : IPieces
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Run(int piece, int worker)
        {
            (int first, int rows, int start, int length) = plan.Piece(piece);
            Span<int> index = stackalloc int[plan.OuterRank], offsets = stackalloc int[2];
            plan.Seek(first, index, offsets);
            int aStride = plan.InnerStrides[0], bStride = plan.InnerStrides[1];
            ReadOnlySpan<T> aAll = a.Span<T>(), bAll = b.Span<T>();
            Span<TResult> yAll = y.Span<TResult>();
            for (int row = first; row < first + rows; row++)
            {
                ReadOnlySpan<T> x = aAll.Slice(offsets[0] + start * aStride, aStride == 0 ? 1 : length);
                ReadOnlySpan<T> z = bAll.Slice(offsets[1] + start * bStride, bStride == 0 ? 1 : length);
                Span<TResult> to = yAll.Slice(row * plan.Inner + start, length);
                if (aStride != 0 && bStride != 0) for (int i = 0; i < to.Length; i++) to[i] = TFunction.Invoke(x[i], z[i]);
                else if (aStride != 0) { T right = z[0]; for (int i = 0; i < to.Length; i++) to[i] = TFunction.Invoke(x[i], right); }
                else if (bStride != 0) { T left = x[0]; for (int i = 0; i < to.Length; i++) to[i] = TFunction.Invoke(left, z[i]); }
                else to.Fill(TFunction.Invoke(x[0], z[0]));
                plan.Next(index, offsets);
            }
        }
    }
}
