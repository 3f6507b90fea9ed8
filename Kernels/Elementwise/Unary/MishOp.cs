using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise.Unary;

/// <summary><c>x · tanh(ln(1 + eˣ)) = x · n(n + 2) / (n(n + 2) + 2)</c>, <c>n = eˣ</c>.</summary>
internal readonly struct MishOp : IUnaryOp
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged
    {
        // Above 20 the quotient rounds to 1; the limit keeps n² finite.
        V n = Functions<TLanes, V>.Exp(TLanes.Min(TLanes.Create(20f), x));
        V two = TLanes.Create(2f);
        V product = TLanes.Multiply(n, TLanes.Add(n, two));
        return TLanes.Multiply(x, TLanes.Divide(product, TLanes.Add(product, two)));
    }
}
