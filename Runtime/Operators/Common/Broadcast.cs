using System.Collections.Immutable;
using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary>NumPy's broadcasting: shapes are aligned at their last axes, and an extent of 1 repeats.</summary>
/// <remarks>Source: https://onnx.ai/onnx/repo-docs/Broadcasting.html.</remarks>
internal static class Broadcast
{
    /// <summary>The shape that two operands have together, or null while a rank is unknown.</summary>
    /// <exception cref="ModelException">Two extents differ and neither is 1.</exception>
    public static ImmutableArray<Dim>? Shapes(NodeContext c, ImmutableArray<Dim>? a, ImmutableArray<Dim>? b)
    {
        if (a is not { } left || b is not { } right) return null;
        int rank = Math.Max(left.Length, right.Length);
        var result = ImmutableArray.CreateBuilder<Dim>(rank);
        for (int i = 0; i < rank; i++)
        {
            Dim x = i < rank - left.Length ? 1 : left[i - (rank - left.Length)], y = i < rank - right.Length ? 1 : right[i - (rank - right.Length)];
            result.Add(Extents(c, x, y));
        }
        return result.MoveToImmutable();
    }

    /// <summary>The shape that all inputs from <paramref name="first"/> to <paramref name="last"/> have together.</summary>
    public static ImmutableArray<Dim>? Inputs(NodeContext c, int first, int last)
    {
        ImmutableArray<Dim>? shape = c.Shape(first);
        for (int i = first + 1; i <= last; i++) shape = Shapes(c, shape, c.Shape(i));
        return shape;
    }

    /// <summary>Sets an output to <paramref name="element"/> with <paramref name="shape"/>, known or not.</summary>
    public static void Set(InferContext c, int output, Tensors.DataType element, ImmutableArray<Dim>? shape)
    {
        if (shape is { } known) c.Set(output, element, known.AsSpan());
        else c.SetUnknownShape(output, element);
    }

    private static Dim Extents(NodeContext c, Dim a, Dim b)
    {
        if (a.Is(1)) return b;
        if (b.Is(1) || a.SameAs(b)) return a;
        if (a.DiffersFrom(b)) throw c.Error($"extents {a} and {b} do not broadcast", "aligned at the last axis, extents are equal or one of them is 1");
        return a.IsKnown ? a : b.IsKnown ? b : Dim.Unknown;
    }
}
