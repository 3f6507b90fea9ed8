using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Unary;

/// <summary><c>x</c> for x &gt; α, else 0.</summary>
internal readonly struct ThresholdedReluOp : IUnaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.And(TLanes.LessThan(alpha, x), x);
}
