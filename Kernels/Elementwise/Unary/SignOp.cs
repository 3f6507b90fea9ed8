using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Unary;

/// <summary>−1, 0 or 1; NaN stays NaN.</summary>
internal readonly struct SignOp : IUnaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged
    {
        V zero = TLanes.Create(0f), one = TLanes.Create(1f);
        V positive = TLanes.And(TLanes.LessThan(zero, x), one);
        V negative = TLanes.And(TLanes.LessThan(x, zero), one);
        return TLanes.Select(TLanes.Equals(x, x), TLanes.Subtract(positive, negative), x);
    }
}
