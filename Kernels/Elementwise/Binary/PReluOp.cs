using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Binary;

/// <summary><c>a</c> for a ≥ 0, else <c>a · b</c>.</summary>
internal readonly struct PReluOp : IBinaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V a, V b) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Select(TLanes.LessThan(a, TLanes.Create(0f)), TLanes.Multiply(a, b), a);
}
