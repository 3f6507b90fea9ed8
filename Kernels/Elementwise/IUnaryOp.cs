using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise;

/// <summary>A float function of one value and two constants, written once for every width.</summary>
internal interface IUnaryOp
{
    /// <summary>The value of the function in each lane.</summary>
    /// <param name="x">Arguments.</param>
    /// <param name="alpha">First constant, the same in all lanes; the operation's documentation says what it is.</param>
    /// <param name="beta">Second constant.</param>
    static abstract V Invoke<TLanes, V>(V x, V alpha, V beta) where TLanes : struct, ILanes<V> where V : unmanaged;
}
