using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Unary;

/// <summary><c>x/2 · (1 + tanh u) = x · sigmoid(2u)</c>, <c>u = √(2/π)·(x + 0.044715·x³)</c>.</summary>
internal readonly struct GeluTanhOp : IUnaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Multiply(x, Functions<TLanes, V>.Sigmoid(TLanes.Multiply(TLanes.Multiply(TLanes.Create(1.59576912f), x), TLanes.MultiplyAdd(TLanes.Multiply(TLanes.Create(0.044715f), x), x, TLanes.Create(1f)))));
}
