using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>A float32 product of two operands of an Einsum as a batch of matrix products.</summary>
/// <remarks>
/// <code>
///   labels in A, B and the result: batch     in A and the result: M     in B and the result: N     in A and B: K
///   A as [batch, M, K] or [batch, K, M]      B as [batch, N, K] or [batch, K, N]      result as [batch, M, N]
/// </code>
/// An operand that lies otherwise is rearranged in scratch first. Diagonals, broadcast extents and labels of one operand alone that are summed have no such form.
/// </remarks>
internal sealed class EinsumContraction
{
    private readonly Rearrangement? _a, _b, _y;
    private readonly SGemmBatch _batch;

    private EinsumContraction(Rearrangement? a, Rearrangement? b, Rearrangement? y, SGemmBatch batch) => (_a, _b, _y, _batch) = (a, b, y, batch);

    /// <summary>The contraction, or null where the product has no such form.</summary>
    /// <param name="a">Labels of A.</param>
    /// <param name="aShape">Extents of A.</param>
    /// <param name="b">Labels of B.</param>
    /// <param name="bShape">Extents of B.</param>
    /// <param name="result">Labels of the result.</param>
    /// <param name="cpu">The CPU.</param>
    public static EinsumContraction? Create(int[] a, int[] aShape, int[] b, int[] bShape, int[] result, CpuFeatures cpu)
    {
        if (a.Distinct().Count() != a.Length || b.Distinct().Count() != b.Length) return null;
        var extents = new Dictionary<int, int>();
        for (int i = 0; i < a.Length; i++) extents[a[i]] = aShape[i];
        for (int i = 0; i < b.Length; i++)
        {
            if (extents.TryGetValue(b[i], out int other) && other != bShape[i]) return null;
            extents[b[i]] = bShape[i];
        }
        int[] batch = [.. result.Where(label => a.Contains(label) && b.Contains(label))];
        int[] rows = [.. result.Where(label => a.Contains(label) && !b.Contains(label))], columns = [.. result.Where(label => b.Contains(label) && !a.Contains(label))];
        int[] depth = [.. a.Where(label => b.Contains(label) && !result.Contains(label))];
        if (batch.Length + rows.Length + depth.Length != a.Length || batch.Length + columns.Length + depth.Length != b.Length) return null;
        long Count(int[] labels) => labels.Aggregate(1L, (product, label) => product * extents[label]);
        (long count, long m, long n, long k) = (Count(batch), Count(rows), Count(columns), Count(depth));
        if (count * m * n * k == 0 || Math.Max(count * m * k, Math.Max(count * k * n, count * m * n)) > int.MaxValue) return null;

        bool transposeA = !a.AsSpan().SequenceEqual((ReadOnlySpan<int>)[.. batch, .. rows, .. depth]) && a.AsSpan().SequenceEqual((ReadOnlySpan<int>)[.. batch, .. depth, .. rows]);
        bool transposeB = b.AsSpan().SequenceEqual((ReadOnlySpan<int>)[.. batch, .. columns, .. depth]);
        Rearrangement? ra = transposeA ? null : Rearrangement.Create(a, aShape, [.. batch, .. rows, .. depth], extents);
        Rearrangement? rb = transposeB ? null : Rearrangement.Create(b, bShape, [.. batch, .. depth, .. columns], extents);
        int[] made = [.. batch, .. rows, .. columns];
        Rearrangement? ry = Rearrangement.Create(made, [.. made.Select(label => extents[label])], result, extents);
        int[] Offsets(long size) => [.. Enumerable.Range(0, (int)count).Select(i => (int)(i * size))];
        SGemmBatch product = SGemmBatch.Create(SGemmBatchShape.Dense((int)m, (int)n, (int)k, transposeA, transposeB, 1), Offsets(m * k), Offsets(k * n), Offsets(m * n), SEpilogue.None((int)n), cpu);
        return new EinsumContraction(ra, rb, ry, product);
    }

    /// <summary>The kernel.</summary>
    public string Kernel => _batch.Kernel.Name;

    /// <summary>Bytes of scratch for so many workers.</summary>
    public long ScratchBytes(int workers) => Bytes(_a) + Bytes(_b) + Bytes(_y) + _batch.ScratchBytes(workers);

    /// <summary>Computes it.</summary>
    public void Run(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y, Span<byte> scratch, Parallelism parallel)
    {
        a = Rearranged(_a, a, ref scratch);
        b = Rearranged(_b, b, ref scratch);
        if (_y is null)
        {
            _batch.Run(a, b, y, scratch, parallel);
            return;
        }
        Span<float> made = MemoryMarshal.Cast<byte, float>(scratch[..(int)Bytes(_y)])[.._y.Length];
        _batch.Run(a, b, made, scratch[(int)Bytes(_y)..], parallel);
        _y.Run(made, y);
    }

    private static ReadOnlySpan<float> Rearranged(Rearrangement? how, ReadOnlySpan<float> x, scoped ref Span<byte> scratch)
    {
        if (how is null) return x;
        Span<float> to = MemoryMarshal.Cast<byte, float>(scratch[..(int)Bytes(how)])[..how.Length];
        scratch = scratch[(int)Bytes(how)..];
        how.Run(x, to);
        return to;
    }

    private static long Bytes(Rearrangement? how) => how is null ? 0 : ((long)how.Length * sizeof(float) + 63) & ~63L;

    /// <summary>A copy with the axes in another order.</summary>
    private sealed class Rearrangement(int[] extents, int[] steps)
    {
        public int Length { get; } = Tensor.CountElements(extents);

        /// <summary>From labels in one order to another; null where the order is the same.</summary>
        public static Rearrangement? Create(int[] from, int[] shape, int[] to, Dictionary<int, int> extents)
        {
            if (from.AsSpan().SequenceEqual(to)) return null;
            var strides = new Dictionary<int, int>();
            int stride = 1;
            for (int i = from.Length - 1; i >= 0; i--)
            {
                strides[from[i]] = stride;
                stride *= shape[i];
            }
            return new Rearrangement([.. to.Select(label => extents[label])], [.. to.Select(label => strides[label])]);
        }

        public void Run(ReadOnlySpan<float> x, Span<float> y)
        {
            int last = extents.Length - 1, inner = extents[last], step = steps[last], at = 0;
            Span<int> index = stackalloc int[extents.Length];
            index.Clear();
            for (int o = 0; o < y.Length; o += inner)
            {
                for (int i = 0; i < inner; i++) y[o + i] = x[at + i * step];
                for (int axis = last - 1; axis >= 0; axis--)
                {
                    at += steps[axis];
                    if (++index[axis] < extents[axis]) break;
                    at -= steps[axis] * extents[axis];
                    index[axis] = 0;
                }
            }
        }
    }
}
