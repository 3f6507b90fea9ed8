using Octet.Kernels.Lanes;

namespace Octet.Kernels.Elementwise;

/// <summary>A float function of two values, written once for every width.</summary>
internal interface IBinaryOp
{
    /// <summary>The value of the function in each lane.</summary>
    static abstract V Invoke<TLanes, V>(V a, V b) where TLanes : struct, ILanes<V> where V : unmanaged;
}
