using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.SConv;

/// <summary>
/// One size of Winograd's minimal filtering for 3 taps: <c>y = Aᵀ[(G·g) ⊙ (Bᵀ·d)]</c> gives <see cref="Outputs"/> outputs from
/// <see cref="Inputs"/> inputs with as many products; applied to rows and then to columns it gives a square of outputs.
/// </summary>
internal unsafe interface IWinogradTile
{
    /// <summary>Outputs per axis, m.</summary>
    static abstract int Outputs { get; }

    /// <summary>Inputs and products per axis, m + 2.</summary>
    static abstract int Inputs { get; }

    /// <summary>G, <c>[Inputs][3]</c>.</summary>
    static abstract ReadOnlySpan<double> WeightTransform { get; }

    /// <summary>Bᵀ, <c>[Inputs][Inputs]</c>; every entry is a float.</summary>
    static abstract ReadOnlySpan<double> InputTransform { get; }

    /// <summary>Aᵀ, <c>[Outputs][Inputs]</c>; every entry is a float.</summary>
    static abstract ReadOnlySpan<double> OutputTransform { get; }

    /// <summary><c>to = Bᵀ·from</c> for one vector of channels; elements lie <paramref name="fromStride"/> and <paramref name="toStride"/> floats apart.</summary>
    static abstract void Input<TLanes, V>(float* from, nint fromStride, float* to, nint toStride) where TLanes : struct, ILanes<V> where V : unmanaged;

    /// <summary><c>to = Aᵀ·from</c> for one vector of channels; elements lie <paramref name="fromStride"/> and <paramref name="toStride"/> floats apart.</summary>
    static abstract void Output<TLanes, V>(float* from, nint fromStride, float* to, nint toStride) where TLanes : struct, ILanes<V> where V : unmanaged;
}

/// <summary>F(2, 3): points 0, 1, −1, ∞.</summary>
internal readonly unsafe struct WinogradTwo : IWinogradTile
{
    public static int Outputs => 2;

    public static int Inputs => 4;

    public static ReadOnlySpan<double> WeightTransform =>
    [
        1, 0, 0,
        0.5, 0.5, 0.5,
        0.5, -0.5, 0.5,
        0, 0, 1,
    ];

    public static ReadOnlySpan<double> InputTransform =>
    [
        1, 0, -1, 0,
        0, 1, 1, 0,
        0, -1, 1, 0,
        0, -1, 0, 1,
    ];

    public static ReadOnlySpan<double> OutputTransform =>
    [
        1, 1, 1, 0,
        0, 1, -1, 1,
    ];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Input<TLanes, V>(float* from, nint fromStride, float* to, nint toStride) where TLanes : struct, ILanes<V> where V : unmanaged
    {
        V d0 = TLanes.Load(from), d1 = TLanes.Load(from + fromStride), d2 = TLanes.Load(from + 2 * fromStride), d3 = TLanes.Load(from + 3 * fromStride);
        TLanes.Store(TLanes.Subtract(d0, d2), to);
        TLanes.Store(TLanes.Add(d2, d1), to + toStride);
        TLanes.Store(TLanes.Subtract(d2, d1), to + 2 * toStride);
        TLanes.Store(TLanes.Subtract(d3, d1), to + 3 * toStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Output<TLanes, V>(float* from, nint fromStride, float* to, nint toStride) where TLanes : struct, ILanes<V> where V : unmanaged
    {
        V m0 = TLanes.Load(from), m1 = TLanes.Load(from + fromStride), m2 = TLanes.Load(from + 2 * fromStride), m3 = TLanes.Load(from + 3 * fromStride);
        TLanes.Store(TLanes.Add(m0, TLanes.Add(m1, m2)), to);
        TLanes.Store(TLanes.Add(TLanes.Subtract(m1, m2), m3), to + toStride);
    }
}

/// <summary>F(4, 3): points 0, ±a, ±b, ∞ with a = 5/8, b = 13/8.</summary>
/// <remarks>
/// With <c>M(x) = x(x² − a²)(x² − b²)</c> row p of Bᵀ holds the coefficients of <c>M(x)/(x − p)</c>, row p of G is <c>[1, p, p²] / M′(p)</c>, column p of Aᵀ
/// is <c>pⁱ</c>. Every constant of Bᵀ and Aᵀ is exact in float32. These points make the sums of magnitudes that the error bound consists of 4.7 times smaller than the
/// usual ±1, ±2 do: 22.3² instead of 48².
/// </remarks>
internal readonly unsafe struct WinogradFour : IWinogradTile
{
    private const double A = 0.625, B = 1.625;
    private const double A2 = A * A, B2 = B * B;
    private const double NormA = 2 * A2 * (A2 - B2), NormB = 2 * B2 * (B2 - A2);

    public static int Outputs => 4;

    public static int Inputs => 6;

    public static ReadOnlySpan<double> WeightTransform =>
    [
        1 / (A2 * B2), 0, 0,
        1 / NormA, A / NormA, A2 / NormA,
        1 / NormA, -A / NormA, A2 / NormA,
        1 / NormB, B / NormB, B2 / NormB,
        1 / NormB, -B / NormB, B2 / NormB,
        0, 0, 1,
    ];

    public static ReadOnlySpan<double> InputTransform =>
    [
        A2 * B2, 0, -(A2 + B2), 0, 1, 0,
        0, -A * B2, -B2, A, 1, 0,
        0, A * B2, -B2, -A, 1, 0,
        0, -B * A2, -A2, B, 1, 0,
        0, B * A2, -A2, -B, 1, 0,
        0, A2 * B2, 0, -(A2 + B2), 0, 1,
    ];

    public static ReadOnlySpan<double> OutputTransform =>
    [
        1, 1, 1, 1, 1, 0,
        0, A, -A, B, -B, 0,
        0, A2, A2, B2, B2, 0,
        0, A2 * A, -A2 * A, B2 * B, -B2 * B, 1,
    ];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Input<TLanes, V>(float* from, nint fromStride, float* to, nint toStride) where TLanes : struct, ILanes<V> where V : unmanaged
    {
        V d1 = TLanes.Load(from + fromStride), d2 = TLanes.Load(from + 2 * fromStride), d3 = TLanes.Load(from + 3 * fromStride), d4 = TLanes.Load(from + 4 * fromStride);
        V minusB2 = TLanes.Create((float)-B2), minusA2 = TLanes.Create((float)-A2);
        V evenA = TLanes.MultiplyAdd(minusB2, d2, d4), oddA = TLanes.Multiply(TLanes.Create((float)A), TLanes.MultiplyAdd(minusB2, d1, d3));
        V evenB = TLanes.MultiplyAdd(minusA2, d2, d4), oddB = TLanes.Multiply(TLanes.Create((float)B), TLanes.MultiplyAdd(minusA2, d1, d3));
        TLanes.Store(TLanes.Add(evenA, oddA), to + toStride);
        TLanes.Store(TLanes.Subtract(evenA, oddA), to + 2 * toStride);
        TLanes.Store(TLanes.Add(evenB, oddB), to + 3 * toStride);
        TLanes.Store(TLanes.Subtract(evenB, oddB), to + 4 * toStride);
        V product = TLanes.Create((float)(A2 * B2)), minusSum = TLanes.Create((float)-(A2 + B2));
        TLanes.Store(TLanes.MultiplyAdd(product, TLanes.Load(from), TLanes.MultiplyAdd(minusSum, d2, d4)), to);
        TLanes.Store(TLanes.MultiplyAdd(product, d1, TLanes.MultiplyAdd(minusSum, d3, TLanes.Load(from + 5 * fromStride))), to + 5 * toStride);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Output<TLanes, V>(float* from, nint fromStride, float* to, nint toStride) where TLanes : struct, ILanes<V> where V : unmanaged
    {
        V p = TLanes.Load(from + fromStride), n = TLanes.Load(from + 2 * fromStride);
        V evenA = TLanes.Add(p, n), oddA = TLanes.Subtract(p, n);
        p = TLanes.Load(from + 3 * fromStride);
        n = TLanes.Load(from + 4 * fromStride);
        V evenB = TLanes.Add(p, n), oddB = TLanes.Subtract(p, n);
        TLanes.Store(TLanes.Add(TLanes.Load(from), TLanes.Add(evenA, evenB)), to);
        TLanes.Store(TLanes.MultiplyAdd(TLanes.Create((float)B), oddB, TLanes.Multiply(TLanes.Create((float)A), oddA)), to + toStride);
        TLanes.Store(TLanes.MultiplyAdd(TLanes.Create((float)B2), evenB, TLanes.Multiply(TLanes.Create((float)A2), evenA)), to + 2 * toStride);
        V last = TLanes.MultiplyAdd(TLanes.Create((float)(A2 * A)), oddA, TLanes.Load(from + 5 * fromStride));
        TLanes.Store(TLanes.MultiplyAdd(TLanes.Create((float)(B2 * B)), oddB, last), to + 3 * toStride);
    }
}
