using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Binary;

/// <summary><c>max(a, b)</c>; NaN if either is.</summary>
internal readonly struct MaxOp : IBinaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V a, V b) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Select(TLanes.Equals(a, a), TLanes.Max(a, b), a);
}
