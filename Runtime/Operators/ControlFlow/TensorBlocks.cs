using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Slices of tensors along one axis and their reverse, for any element type, text included.</summary>
internal static class TensorBlocks
{
    /// <summary>Elements <c>[start, start + count)</c> along <paramref name="axis"/>, as a copy.</summary>
    /// <param name="tensor">The whole.</param>
    /// <param name="axis">In [0, rank).</param>
    /// <param name="start">First index.</param>
    /// <param name="count">How many.</param>
    /// <param name="keepAxis">Whether the axis stays when <paramref name="count"/> is 1.</param>
    public static Tensor Slice(Tensor tensor, int axis, int start, int count, bool keepAxis = true)
    {
        ReadOnlySpan<int> shape = tensor.Shape;
        int[] result = keepAxis ? shape.ToArray() : [.. shape[..axis], .. shape[(axis + 1)..]];
        if (keepAxis) result[axis] = count;
        var slice = new Tensor(tensor.Type, result);
        (int outer, int extent, int inner) = Split(shape, axis);
        for (int o = 0; o < outer; o++) Copy(tensor, (o * extent + start) * inner, slice, o * count * inner, count * inner);
        return slice;
    }

    /// <summary>Joins tensors of equal type and extents along an existing axis.</summary>
    public static Tensor Concat(IReadOnlyList<Tensor> parts, int axis)
    {
        int[] shape = parts[0].Shape.ToArray();
        shape[axis] = parts.Sum(part => part.Shape[axis]);
        var whole = new Tensor(parts[0].Type, shape);
        (int outer, int extent, int inner) = Split(shape, axis);
        int at = 0;
        foreach (Tensor part in parts)
        {
            int rows = part.Shape[axis];
            for (int o = 0; o < outer; o++) Copy(part, o * rows * inner, whole, (o * extent + at) * inner, rows * inner);
            at += rows;
        }
        return whole;
    }

    /// <summary>Joins tensors of equal type and shape along a new axis.</summary>
    public static Tensor Stack(IReadOnlyList<Tensor> parts, int axis)
    {
        int[] one = [.. parts[0].Shape[..axis], 1, .. parts[0].Shape[axis..]];
        return Concat([.. parts.Select(part => part.Reshape(one))], axis);
    }

    /// <summary>Whether all have the element type and the shape of the first, <paramref name="exceptAxis"/> aside.</summary>
    public static bool Agree(IReadOnlyList<Tensor> parts, int exceptAxis = -1)
    {
        Tensor first = parts[0];
        foreach (Tensor part in parts)
        {
            if (part.Type != first.Type || part.Rank != first.Rank) return false;
            for (int i = 0; i < first.Rank; i++)
            {
                if (i != exceptAxis && part.Shape[i] != first.Shape[i]) return false;
            }
        }
        return true;
    }

    /// <summary>A shape as extents around one axis: product before, extent, product after.</summary>
    public static (int Outer, int Extent, int Inner) Split(ReadOnlySpan<int> shape, int axis) =>
        (Tensor.CountElements(shape[..axis]), shape[axis], Tensor.CountElements(shape[(axis + 1)..]));

    private static void Copy(Tensor from, int fromIndex, Tensor to, int toIndex, int count)
    {
        if (from.Type == DataType.String)
        {
            from.Strings.Slice(fromIndex, count).CopyTo(to.Strings[toIndex..]);
            return;
        }
        int size = from.Type.Size();
        from.Bytes.Span.Slice(fromIndex * size, count * size).CopyTo(to.Bytes.Span[(toIndex * size)..]);
    }
}
