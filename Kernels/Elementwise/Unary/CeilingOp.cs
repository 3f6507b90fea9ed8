using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Unary;

/// <summary>Smallest integer not below x.</summary>
internal readonly struct CeilingOp : IUnaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Ceiling(x);
}
