using System.Numerics;

namespace Octet.Kernels.Reduce;

/// <summary>Index of the largest or smallest element along one axis.</summary>
internal static class ArgKernels
{
    /// <summary>
    /// <c>y[o, i] = argmax over r of x[o, r, i]</c>, or argmin; the first of equals, or the last where <paramref name="last"/>. A NaN counts as
    /// above (below) everything, the first NaN wins.
    /// </summary>
    /// <param name="x"><c>[outer, axis, inner]</c>.</param>
    /// <param name="axis">Extent of the axis, at least 1.</param>
    /// <param name="inner">Elements behind each index.</param>
    /// <param name="min">Whether the smallest is wanted.</param>
    /// <param name="last">Whether the last of equals is wanted.</param>
    /// <param name="y"><c>[outer, inner]</c>.</param>
    /// <exception cref="ArgumentException">Lengths do not agree.</exception>
    public static void Run<T>(ReadOnlySpan<T> x, int axis, int inner, bool min, bool last, Span<long> y) where T : unmanaged, INumber<T>
    {
        if (axis < 1 || inner < 0) throw new ArgumentException($"axis extent {axis} with {inner} elements behind; rule: at least 1 and 0");
        int outer = inner == 0 ? 0 : x.Length / axis / inner;
        if ((long)outer * axis * inner != x.Length || y.Length < (long)outer * inner)
            throw new ArgumentException($"x has {x.Length} elements and y {y.Length} for axis {axis} and inner {inner}");
        for (int o = 0; o < outer; o++)
        {
            for (int i = 0; i < inner; i++)
            {
                int at = o * axis * inner + i;
                T best = x[at];
                int index = 0;
                for (int r = 1; r < axis && !T.IsNaN(best); r++)
                {
                    T value = x[at + r * inner];
                    bool better = T.IsNaN(value) || (min ? value < best : value > best) || (last && value == best);
                    if (better) (best, index) = (value, r);
                }
                y[o * inner + i] = index;
            }
        }
    }
}
