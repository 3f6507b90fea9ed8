using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Unary;

/// <summary><c>x · min(max(x/6 + ½, 0), 1)</c>.</summary>
internal readonly struct HardSwishOp : IUnaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Multiply(x, TLanes.Min(TLanes.Create(1f), TLanes.Max(TLanes.Create(0f), TLanes.Add(TLanes.Multiply(TLanes.Create(1f / 6f), x), TLanes.Create(0.5f)))));
}
