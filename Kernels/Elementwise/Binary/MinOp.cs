using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Binary;

/// <summary><c>min(a, b)</c>; NaN if either is.</summary>
internal readonly struct MinOp : IBinaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V a, V b) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Select(TLanes.Equals(a, a), TLanes.Min(a, b), a);
}
