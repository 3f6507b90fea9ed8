using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Unary;

/// <summary><c>ln(1 / (1 + e^−x)) = min(x, 0) − ln(1 + e^−|x|)</c>.</summary>
internal readonly struct LogSigmoidOp : IUnaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Subtract(TLanes.Min(TLanes.Create(0f), x), Functions<TLanes, V>.LogOnePlus(Functions<TLanes, V>.Exp(Functions<TLanes, V>.Negate(Functions<TLanes, V>.Abs(x)))));
}
