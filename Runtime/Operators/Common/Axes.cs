using System.Collections.Immutable;
using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary>Axes in attributes and inputs, and the extents around them.</summary>
internal static class Axes
{
    /// <summary>Negative axes counted from the end, checked, in ascending order.</summary>
    /// <exception cref="ModelException">An axis does not exist or is named twice.</exception>
    public static int[] Normalize(NodeContext c, ReadOnlySpan<long> axes, int rank)
    {
        var result = new int[axes.Length];
        for (int i = 0; i < result.Length; i++) result[i] = c.Axis(axes[i], rank);
        Array.Sort(result);
        for (int i = 1; i < result.Length; i++)
        {
            if (result[i] == result[i - 1]) throw c.Error($"axis {result[i]} is named twice", "axes are different");
        }
        return result;
    }

    /// <summary>Product of the extents from <paramref name="first"/> up to, not including, <paramref name="end"/>.</summary>
    public static int Product(ReadOnlySpan<int> shape, int first, int end)
    {
        int product = 1;
        for (int i = first; i < end; i++) product = checked(product * shape[i]);
        return product;
    }

    /// <summary>Product of extents, unknown where one is (and none is 0).</summary>
    public static Dim Product(ImmutableArray<Dim> shape, int first, int end)
    {
        Dim product = 1;
        for (int i = first; i < end; i++) product *= shape[i];
        return product;
    }

    /// <summary>Extents before, at and behind an axis: a tensor seen as <c>[outer, extent, inner]</c>.</summary>
    public static (int Outer, int Extent, int Inner) Around(ReadOnlySpan<int> shape, int axis) =>
        (Product(shape, 0, axis), shape[axis], Product(shape, axis + 1, shape.Length));

    /// <summary>Strides of a dense row-major tensor, in elements.</summary>
    public static int[] Strides(ReadOnlySpan<int> shape)
    {
        var strides = new int[shape.Length];
        int stride = 1;
        for (int i = shape.Length - 1; i >= 0; i--)
        {
            strides[i] = stride;
            stride *= shape[i];
        }
        return strides;
    }
}
