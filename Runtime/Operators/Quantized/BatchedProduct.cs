using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Extents of a matrix product as <c>numpy.matmul</c> counts them: leading axes broadcast, rank 1 stands for one row or one column.</summary>
/// <param name="M">Rows of A.</param>
/// <param name="K">Columns of A, rows of B.</param>
/// <param name="N">Columns of B.</param>
/// <param name="A">Element at which A's matrix of each product starts.</param>
/// <param name="B">Element at which B's matrix of each product starts.</param>
internal sealed record BatchedProduct(int M, int K, int N, int[] A, int[] B)
{
    /// <summary>Products in the batch.</summary>
    public int Count => A.Length;

    /// <summary>Type of the result as far as the operands' types are known.</summary>
    /// <exception cref="ModelException">The operands do not fit.</exception>
    public static TensorType Infer(NodeContext c, TensorType a, TensorType b, DataType element)
    {
        if (a.Shape is not { } x || b.Shape is not { } w) return new TensorType(element);
        if (x.Length == 0 || w.Length == 0) throw c.Error("an operand is a scalar", "both operands have at least one axis");
        Dim depth = x[^1], rows = w.Length == 1 ? w[0] : w[^2];
        if (depth.DiffersFrom(rows)) throw c.Error($"A has {depth} columns but B has {rows} rows", "A.shape[-1] = B.shape[-2]");
        int batchRank = Math.Max(0, Math.Max(x.Length, w.Length) - 2);
        var shape = new List<Dim>(batchRank + 2);
        for (int i = 0; i < batchRank; i++)
        {
            Dim left = Leading(x.AsSpan(), i, batchRank), right = Leading(w.AsSpan(), i, batchRank);
            if (left.Is(1)) shape.Add(right);
            else if (right.Is(1) || left.SameAs(right)) shape.Add(left);
            else if (left.DiffersFrom(right)) throw c.Error($"batch extents {left} and {right} differ", "leading axes broadcast");
            else shape.Add(left.IsKnown ? left : right.IsKnown ? right : Dim.Unknown);
        }
        if (x.Length > 1) shape.Add(x[^2]);
        if (w.Length > 1) shape.Add(w[^1]);
        return new TensorType(element, [.. shape]);
    }

    /// <summary>The product of operands of these extents, which <see cref="Infer"/> found to fit.</summary>
    public static BatchedProduct Create(int[] a, int[] b)
    {
        int m = a.Length == 1 ? 1 : a[^2], k = a[^1], n = b.Length == 1 ? 1 : b[^1];
        int batchRank = Math.Max(0, Math.Max(a.Length, b.Length) - 2);
        var extents = new int[batchRank];
        int count = 1;
        for (int i = 0; i < batchRank; i++)
        {
            int left = Extent(a, i, batchRank), right = Extent(b, i, batchRank);
            extents[i] = left == 1 ? right : left;
            count *= extents[i];
        }
        int[] starts(int[] shape, int matrix)
        {
            var result = new int[count];
            for (int index = 0; index < count; index++)
            {
                int rest = index, stride = matrix, at = 0;
                for (int i = batchRank - 1; i >= 0; i--)
                {
                    int extent = Extent(shape, i, batchRank), position = rest % extents[i];
                    rest /= extents[i];
                    if (extent != 1) at += position * stride;
                    stride *= extent;
                }
                result[index] = at;
            }
            return result;
        }
        return new BatchedProduct(m, k, n, starts(a, m * k), starts(b, k * n));
    }

    private static Dim Leading(ReadOnlySpan<Dim> shape, int index, int batchRank)
    {
        int at = index - (batchRank - (shape.Length - 2));
        return at < 0 || shape.Length < 2 ? 1 : shape[at];
    }

    private static int Extent(int[] shape, int index, int batchRank)
    {
        int at = index - (batchRank - (shape.Length - 2));
        return at < 0 || shape.Length < 2 ? 1 : shape[at];
    }
}
