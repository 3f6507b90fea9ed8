using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Unary;

/// <summary><c>x</c> for x ≥ 0, else <c>α·(e^(x/α) − 1)</c>.</summary>
internal readonly struct CeluOp : IUnaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Select(TLanes.LessThan(x, TLanes.Create(0f)), TLanes.Multiply(alpha, Functions<TLanes, V>.ExpMinusOne(TLanes.Divide(x, alpha))), x);
}
