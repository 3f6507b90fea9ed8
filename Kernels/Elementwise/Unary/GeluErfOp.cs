using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Unary;

/// <summary><c>x/2 · (1 + erf(x/√2))</c>.</summary>
internal readonly struct GeluErfOp : IUnaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Multiply(TLanes.Multiply(TLanes.Create(0.5f), x), TLanes.Add(TLanes.Create(1f), Functions<TLanes, V>.Erf(TLanes.Multiply(x, TLanes.Create(0.707106781f)))));
}
