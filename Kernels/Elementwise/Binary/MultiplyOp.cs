using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Binary;

/// <summary><c>a · b</c>.</summary>
internal readonly struct MultiplyOp : IBinaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V a, V b) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Multiply(a, b);
}
