using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Unary;

/// <summary><c>x / (1 + e⁻ᵅˣ)</c>; α = 1 is SiLU.</summary>
internal readonly struct SwishOp : IUnaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Multiply(x, Functions<TLanes, V>.Sigmoid(TLanes.Multiply(alpha, x)));
}
