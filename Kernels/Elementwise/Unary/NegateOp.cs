using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Unary;

/// <summary><c>−x</c>.</summary>
internal readonly struct NegateOp : IUnaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged =>
        Functions<TLanes, V>.Negate(x);
}
