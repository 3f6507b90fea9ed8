using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Unary;

/// <summary><c>x / (1 + |x|)</c>.</summary>
internal readonly struct SoftsignOp : IUnaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Divide(x, TLanes.Add(TLanes.Create(1f), Functions<TLanes, V>.Abs(x)));
}
