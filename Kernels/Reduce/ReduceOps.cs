using System.Runtime.CompilerServices;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Reduce;

/// <summary>An associative reduction: <c>combine(… combine(map(x₀), map(x₁)) …)</c>.</summary>
internal interface IReduceOp
{
    /// <summary>The value of an empty reduction.</summary>
    static abstract float Identity { get; }

    /// <summary>What is done to each element first.</summary>
    static abstract V Map<TLanes, V>(V x) where TLanes : struct, ILanes<V> where V : unmanaged;

    /// <summary>How two partial results join.</summary>
    static abstract V Combine<TLanes, V>(V a, V b) where TLanes : struct, ILanes<V> where V : unmanaged;
}

/// <summary><c>Σ x</c>; 0 when empty.</summary>
internal readonly struct SumReduce : IReduceOp
{
    public static float Identity => 0f;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Map<TLanes, V>(V x) where TLanes : struct, ILanes<V> where V : unmanaged => x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Combine<TLanes, V>(V a, V b) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.Add(a, b);
}

/// <summary><c>Σ |x|</c>; 0 when empty.</summary>
internal readonly struct AbsSumReduce : IReduceOp
{
    public static float Identity => 0f;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Map<TLanes, V>(V x) where TLanes : struct, ILanes<V> where V : unmanaged => Functions<TLanes, V>.Abs(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Combine<TLanes, V>(V a, V b) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.Add(a, b);
}

/// <summary><c>Σ x²</c>; 0 when empty.</summary>
internal readonly struct SquareSumReduce : IReduceOp
{
    public static float Identity => 0f;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Map<TLanes, V>(V x) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.Multiply(x, x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Combine<TLanes, V>(V a, V b) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.Add(a, b);
}

/// <summary><c>Π x</c>; 1 when empty.</summary>
internal readonly struct ProductReduce : IReduceOp
{
    public static float Identity => 1f;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Map<TLanes, V>(V x) where TLanes : struct, ILanes<V> where V : unmanaged => x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Combine<TLanes, V>(V a, V b) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.Multiply(a, b);
}

/// <summary>Largest element; NaN if any is; −∞ when empty.</summary>
internal readonly struct MaxReduce : IReduceOp
{
    public static float Identity => float.NegativeInfinity;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Map<TLanes, V>(V x) where TLanes : struct, ILanes<V> where V : unmanaged => x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Combine<TLanes, V>(V a, V b) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Select(TLanes.Equals(a, a), TLanes.Max(a, b), a);
}

/// <summary>Smallest element; NaN if any is; ∞ when empty.</summary>
internal readonly struct MinReduce : IReduceOp
{
    public static float Identity => float.PositiveInfinity;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Map<TLanes, V>(V x) where TLanes : struct, ILanes<V> where V : unmanaged => x;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Combine<TLanes, V>(V a, V b) where TLanes : struct, ILanes<V> where V : unmanaged =>
        TLanes.Select(TLanes.Equals(a, a), TLanes.Min(a, b), a);
}
