using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Binary;

/// <summary><c>(a − b)²</c>.</summary>
internal readonly struct SquaredDifferenceOp : IBinaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V a, V b) where TLanes : struct, ILanes<V> where V : unmanaged
    {
        V d = TLanes.Subtract(a, b);
        return TLanes.Multiply(d, d);
    }
}
