using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Unary;

/// <summary><c>min(max(α·x + β, 0), 1)</c>, the product and the sum rounded separately.</summary>
internal readonly struct HardSigmoidOp : IUnaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Min(TLanes.Create(1f), TLanes.Max(TLanes.Create(0f), TLanes.Add(TLanes.Multiply(alpha, x), beta)));
}
