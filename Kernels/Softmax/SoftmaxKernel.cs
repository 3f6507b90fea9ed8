using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Lanes;
using Octet.Kernels.Threading;

namespace Octet.Kernels.Softmax;

/// <summary>Softmax and its logarithm along one axis of <c>[outer, axis, inner]</c>.</summary>
/// <remarks>
/// <code>
///   m = max x      y = e^(x − m) / Σ e^(x − m)      ln y = (x − m) − ln Σ e^(x − m)
/// </code>
/// Relative error of y at most <c>ε · (6 + n + (m − x))</c>: the functions, the sum, and the rounding of x − m. A row that holds NaN or ∞, or only −∞, gives NaN.
/// </remarks>
internal static unsafe class SoftmaxKernel
{
    private const int PieceWork = 8192;

    /// <summary><c>y = softmax(x)</c>, or its logarithm.</summary>
    /// <param name="x"><c>[outer, axis, inner]</c>.</param>
    /// <param name="axis">Extent of the axis.</param>
    /// <param name="inner">Elements behind each index; 1 for the last axis.</param>
    /// <param name="logarithm">Whether the logarithm is wanted.</param>
    /// <param name="y">As many elements as x; may be x itself.</param>
    /// <param name="cpu">The CPU.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">x is no multiple of <c>axis · inner</c>, or y is shorter than x.</exception>
    public static void Run(ReadOnlySpan<float> x, int axis, int inner, bool logarithm, Span<float> y, CpuFeatures cpu, Parallelism p)
    {
        if (x.Length == 0) return;
        if (axis <= 0 || inner <= 0 || x.Length % ((long)axis * inner) != 0 || y.Length < x.Length)
            throw new ArgumentException($"x has {x.Length} elements and y {y.Length} for axis {axis} × inner {inner}");
        fixed (float* xp = x, yp = y)
        {
            int outer = x.Length / axis / inner;
            var work = new Pieces
            {
                X = xp,
                Y = yp,
                Axis = axis,
                Inner = inner,
                Outer = outer,
                Logarithm = logarithm,
                Block = (int)Math.Clamp(PieceWork / ((long)axis * inner), 1, outer),
                Kernel = VectorWidths.Select(cpu) switch
                {
                    VectorWidth.V512 => &SoftmaxLoop<Lanes512, Vector512<float>>.Run,
                    VectorWidth.V256 => &SoftmaxLoop<Lanes256, Vector256<float>>.Run,
                    VectorWidth.V128 => &SoftmaxLoop<Lanes128, Vector128<float>>.Run,
                    _ => &SoftmaxLoop<ScalarLanes, float>.Run,
                },
            };
            p.For(ref work, (outer + work.Block - 1) / work.Block);
        }
    }

    private struct Pieces : IPieces
    {
        public float* X, Y;
        public int Axis, Inner, Outer, Block;
        public bool Logarithm;
        public delegate*<float*, float*, nint, nint, bool, void> Kernel;

        public readonly void Run(int piece, int worker)
        {
            int end = Math.Min(Outer, (piece + 1) * Block);
            for (nint o = (nint)piece * Block; o < end; o++) Kernel(X + o * Axis * Inner, Y + o * Axis * Inner, Axis, Inner, Logarithm);
        }
    }
}

/// <summary>One <c>[axis, inner]</c> block.</summary>
internal static unsafe class SoftmaxLoop<TLanes, V> where TLanes : struct, ILanes<V> where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(float* x, float* y, nint axis, nint inner, bool logarithm)
    {
        if (inner == 1) Row(x, y, axis, logarithm);
        else for (nint j = 0; j < inner; j += TLanes.Count) Columns(x + j, y + j, axis, inner, (int)Math.Min(TLanes.Count, inner - j), logarithm);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Row(float* x, float* y, nint n, bool logarithm)
    {
        // Lanes that do not exist count as −∞ in the maximum and are not added to the sum.
        int rest = (int)(n % TLanes.Count);
        nint whole = n - rest, i;
        V max = TLanes.Create(float.NegativeInfinity), max1 = max;
        for (i = 0; i <= whole - 2 * TLanes.Count; i += 2 * TLanes.Count)
        {
            max = TLanes.Max(max, TLanes.Load(x + i));
            max1 = TLanes.Max(max1, TLanes.Load(x + i + TLanes.Count));
        }
        if (i < whole) max = TLanes.Max(max, TLanes.Load(x + i));
        float m = TLanes.MaxLane(TLanes.Max(max, max1));
        for (i = whole; i < n; i++) m = ScalarLanes.Max(m, x[i]);

        V shift = TLanes.Create(m), sum = TLanes.Create(0f);
        if (logarithm)
        {
            for (i = 0; i < whole; i += TLanes.Count) sum = TLanes.Add(sum, Functions<TLanes, V>.ExpOfNegative(TLanes.Subtract(TLanes.Load(x + i), shift)));
            float total = TLanes.Sum(sum);
            for (; i < n; i++) total += Functions<ScalarLanes, float>.ExpOfNegative(x[i] - m);
            float log = Functions<ScalarLanes, float>.Log(total);
            V logs = TLanes.Create(log);
            for (i = 0; i < whole; i += TLanes.Count) TLanes.Store(TLanes.Subtract(TLanes.Subtract(TLanes.Load(x + i), shift), logs), y + i);
            for (; i < n; i++) y[i] = x[i] - m - log;
        }
        else
        {
            for (i = 0; i < whole; i += TLanes.Count)
            {
                V e = Functions<TLanes, V>.ExpOfNegative(TLanes.Subtract(TLanes.Load(x + i), shift));
                TLanes.Store(e, y + i);
                sum = TLanes.Add(sum, e);
            }
            float total = TLanes.Sum(sum);
            for (; i < n; i++) total += y[i] = Functions<ScalarLanes, float>.ExpOfNegative(x[i] - m);
            float factor = 1f / total;
            V factors = TLanes.Create(factor);
            for (i = 0; i < whole; i += TLanes.Count) TLanes.Store(TLanes.Multiply(TLanes.Load(y + i), factors), y + i);
            for (; i < n; i++) y[i] *= factor;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Columns(float* x, float* y, nint n, nint inner, int count, bool logarithm)
    {
        V max = TLanes.Create(float.NegativeInfinity);
        for (nint i = 0; i < n; i++) max = TLanes.Max(max, TLanes.LoadPartial(x + i * inner, count));
        V sum = TLanes.Create(0f);
        for (nint i = 0; i < n; i++)
        {
            V shifted = TLanes.Subtract(TLanes.LoadPartial(x + i * inner, count), max);
            V e = Functions<TLanes, V>.ExpOfNegative(shifted);
            sum = TLanes.Add(sum, e);
            TLanes.StorePartial(logarithm ? shifted : e, y + i * inner, count);
        }
        V logs = Functions<TLanes, V>.Log(sum), factors = TLanes.Divide(TLanes.Create(1f), sum);
        for (nint i = 0; i < n; i++)
        {
            V value = TLanes.LoadPartial(y + i * inner, count);
            TLanes.StorePartial(logarithm ? TLanes.Subtract(value, logs) : TLanes.Multiply(value, factors), y + i * inner, count);
        }
    }
}
