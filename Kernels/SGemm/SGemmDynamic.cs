using Octet.Kernels.Threading;

namespace Octet.Kernels.SGemm;

/// <summary>Float32 products whose B is computed at run time: B is packed into scratch space, then it goes as with constant weights.</summary>
internal static unsafe class SGemmDynamic
{
    /// <summary>Scratch bytes of <see cref="Run"/>.</summary>
    public static long ScratchBytes(int k, int n, SGemmKernel kernel) => (SGemmPacking.Floats(k, n, kernel) * sizeof(float) + 63) & ~63L;

    /// <summary><c>Y[m, n] = epilogue(alpha · A[m, K] · B[K, n])</c>.</summary>
    /// <param name="a">A, rows of <paramref name="k"/> floats.</param>
    /// <param name="m">Rows of A.</param>
    /// <param name="b">B: <c>[K, n]</c> in memory, or <c>[n, K]</c> where <paramref name="transposedB"/>.</param>
    /// <param name="k">Depth.</param>
    /// <param name="n">Columns of B.</param>
    /// <param name="transposedB">Whether memory holds B's columns instead of its rows.</param>
    /// <param name="alpha">Factor of the product, multiplied into B.</param>
    /// <param name="kernel">The tile.</param>
    /// <param name="e">Bias and activation.</param>
    /// <param name="sum">Operand that is added, <c>[m, n]</c>; empty for none. May be <paramref name="y"/> itself.</param>
    /// <param name="y">Output; must not overlap A or B.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/> bytes, 64-byte aligned.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">A span is too short for its extents.</exception>
    public static void Run(ReadOnlySpan<float> a, int m, ReadOnlySpan<float> b, int k, int n, bool transposedB, float alpha, SGemmKernel kernel,
        SEpilogue e, ReadOnlySpan<float> sum, Span<float> y, Span<byte> scratch, Parallelism p)
    {
        if (m == 0 || n == 0) return;
        SGemmDriver.Require(a.Length, m, k, k, "A");
        SGemmDriver.Require(b.Length, transposedB ? n : k, transposedB ? k : n, transposedB ? k : n, "B");
        SGemmDriver.Require(y.Length, m, n, n, "Y");
        if (!sum.IsEmpty) SGemmDriver.Require(sum.Length, m, n, n, "sum");
        if (e.Channels != n) throw new ArgumentException($"the epilogue has {e.Channels} channels for {n} columns", nameof(e));
        if (scratch.Length < ScratchBytes(k, n, kernel)) throw new ArgumentException($"scratch has {scratch.Length} bytes, {ScratchBytes(k, n, kernel)} are needed", nameof(scratch));
        fixed (float* ap = a, bp = b, sp = sum, yp = y)
        fixed (byte* panels = scratch)
        {
            var pack = new PackPieces { B = bp, Source = SGemmSource.Matrix(k, n, transposedB ? k : n, transposedB), Alpha = alpha, Kernel = kernel, Panels = (float*)panels };
            p.For(ref pack, SGemmPacking.Panels(n, kernel));
            var work = new SGemmDriver.MatrixPieces(kernel, (float*)panels, k, n, e) { A = ap, Lda = k, M = m, Sum = sum.IsEmpty ? null : sp, SumStride = n, Y = yp, YStride = n };
            work.Cut(p.MaxWorkers);
            p.For(ref work, work.Count);
        }
    }

    private struct PackPieces : IPieces
    {
        public float* B, Panels;
        public SGemmSource Source;
        public float Alpha;
        public SGemmKernel Kernel;

        public readonly void Run(int piece, int worker) => SGemmPacking.PackPanel(B, Source, piece, Alpha, Kernel, Panels);
    }
}
