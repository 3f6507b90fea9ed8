using Octet.Kernels.Cpu;
using Octet.Kernels.Layout;
using Octet.Kernels.Threading;

namespace Octet.Kernels.SGemm;

/// <summary>Extents of matrix products between two run-time tensors: <c>Y = α · op(A) · op(B)</c>, op being identity or transposition.</summary>
/// <param name="M">Rows of Y.</param>
/// <param name="N">Columns of Y.</param>
/// <param name="K">Depth.</param>
/// <param name="TransposeA">Whether memory holds A as <c>[K, M]</c> instead of <c>[M, K]</c>.</param>
/// <param name="TransposeB">Whether memory holds B as <c>[N, K]</c> instead of <c>[K, N]</c>.</param>
/// <param name="Alpha">α.</param>
/// <param name="Lda">Row stride of A in memory.</param>
/// <param name="Ldb">Row stride of B in memory.</param>
/// <param name="Ldy">Row stride of Y.</param>
internal sealed record SGemmBatchShape(int M, int N, int K, bool TransposeA, bool TransposeB, float Alpha, int Lda, int Ldb, int Ldy)
{
    /// <summary>Dense matrices.</summary>
    public static SGemmBatchShape Dense(int m, int n, int k, bool transposeA, bool transposeB, float alpha) =>
        new(m, n, k, transposeA, transposeB, alpha, transposeA ? m : k, transposeB ? k : n, n);
}

/// <summary>
/// A batch of float products whose B is known only at run time: B is packed into scratch, a transposed A is turned there, and the tiles of
/// <see cref="SGemmDriver"/> follow. Strides and offsets are free, so attention heads are read and written in place.
/// </summary>
internal sealed unsafe class SGemmBatch
{
    private readonly SGemmBatchShape _shape;
    private readonly int[] _a, _b, _y;
    private readonly SEpilogue _epilogue;
    private readonly SGemmKernel _kernel;
    private readonly SGemmSource _source;

    private SGemmBatch(SGemmBatchShape shape, int[] a, int[] b, int[] y, SEpilogue epilogue, SGemmKernel kernel)
    {
        (_shape, _a, _b, _y, _epilogue, _kernel) = (shape, a, b, y, epilogue, kernel);
        _source = SGemmSource.Matrix(shape.K, shape.N, shape.Ldb, shape.TransposeB);
    }

    /// <summary>The tile in use.</summary>
    public SGemmKernel Kernel => _kernel;

    /// <summary>Products of one run.</summary>
    public int Count => _a.Length;

    /// <summary>Prepares a batch.</summary>
    /// <param name="shape">Extents of every product.</param>
    /// <param name="aOffsets">First element of A of each product.</param>
    /// <param name="bOffsets">First element of B of each product; equal ones are allowed.</param>
    /// <param name="yOffsets">First element of Y of each product.</param>
    /// <param name="e">Bias per column and activation.</param>
    /// <param name="cpu">The CPU.</param>
    /// <exception cref="ArgumentException">The arrays differ in length, an offset is negative, a stride is too small, or the epilogue has other channels.</exception>
    public static SGemmBatch Create(SGemmBatchShape shape, int[] aOffsets, int[] bOffsets, int[] yOffsets, SEpilogue e, CpuFeatures cpu)
    {
        if (aOffsets.Length != bOffsets.Length || aOffsets.Length != yOffsets.Length)
            throw new ArgumentException($"{aOffsets.Length}, {bOffsets.Length} and {yOffsets.Length} offsets; rule: one of each per product");
        if (e.Channels != shape.N) throw new ArgumentException($"the epilogue has {e.Channels} channels for {shape.N} columns", nameof(e));
        if (shape.Lda < (shape.TransposeA ? shape.M : shape.K) || shape.Ldb < (shape.TransposeB ? shape.K : shape.N) || shape.Ldy < shape.N)
            throw new ArgumentException($"a row stride is shorter than its row: {shape}", nameof(shape));
        foreach (int[] offsets in (int[][])[aOffsets, bOffsets, yOffsets])
        {
            if (offsets.Any(o => o < 0)) throw new ArgumentException("an offset is negative");
        }
        return new(shape, [.. aOffsets], [.. bOffsets], [.. yOffsets], e, SGemmKernels.Select(shape.M, shape.N, shape.K, cpu));
    }

    /// <summary>Bytes of one packed B, for <see cref="Pack"/>.</summary>
    public long PackedBytes => (SGemmPacking.Floats(_shape.K, _shape.N, _kernel) * sizeof(float) + 63) & ~63L;

    private long TurnedBytes => _shape.TransposeA ? ((long)_shape.M * _shape.K * sizeof(float) + 63) & ~63L : 0;

    /// <summary>Scratch bytes for <paramref name="workers"/> threads.</summary>
    public long ScratchBytes(int workers) => (PackedBytes + TurnedBytes) * Math.Max(1, workers);

    /// <summary>Packs one B on the calling thread, for <see cref="Multiply"/>.</summary>
    /// <param name="b">That B, from its first element.</param>
    /// <param name="packed">At least <see cref="PackedBytes"/> bytes, 64-byte aligned.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public void Pack(ReadOnlySpan<float> b, Span<byte> packed)
    {
        SGemmBatchShape s = _shape;
        if (packed.Length < PackedBytes) throw new ArgumentException($"{packed.Length} bytes for a packed B, {PackedBytes} are needed", nameof(packed));
        if (s.K > 0 && s.N > 0) SGemmDriver.Require(b.Length, s.TransposeB ? s.N : s.K, s.TransposeB ? s.K : s.N, s.Ldb, "B");
        fixed (float* bp = b)
        fixed (byte* to = packed)
        {
            int panels = SGemmPacking.Panels(s.N, _kernel);
            for (int panel = 0; panel < panels; panel++) SGemmPacking.PackPanel(bp, _source, panel, s.Alpha, _kernel, (float*)to);
        }
    }

    /// <summary>Some rows of one product on the calling thread: <c>Y[rows, N] = A[rows, K] · packed</c>; A is not transposed.</summary>
    /// <param name="rows">How many rows, of any number.</param>
    /// <param name="a">Their A, from its first element.</param>
    /// <param name="packed">What <see cref="Pack"/> made.</param>
    /// <param name="y">Receives them, <c>Ldy</c> apart; must not overlap A.</param>
    /// <exception cref="ArgumentException">A span is too short, or the batch transposes A.</exception>
    public void Multiply(int rows, ReadOnlySpan<float> a, ReadOnlySpan<byte> packed, Span<float> y)
    {
        SGemmBatchShape s = _shape;
        if (rows == 0 || s.N == 0) return;
        if (s.TransposeA) throw new ArgumentException("the batch transposes A");
        if (packed.Length < PackedBytes) throw new ArgumentException($"{packed.Length} bytes of a packed B, {PackedBytes} are needed", nameof(packed));
        if (s.K > 0) SGemmDriver.Require(a.Length, rows, s.K, s.Lda, "A");
        SGemmDriver.Require(y.Length, rows, s.N, s.Ldy, "Y");
        fixed (float* ap = a, yp = y)
        fixed (byte* panels = packed)
        {
            var product = new SGemmDriver.MatrixPieces(_kernel, (float*)panels, s.K, s.N, _epilogue) { A = ap, Lda = s.Lda, M = rows, Y = yp, YStride = s.Ldy };
            product.Cut(1);
            for (int i = 0; i < product.Count; i++) product.Run(i, 0);
        }
    }

    /// <summary>Computes every product.</summary>
    /// <param name="a">A of all products.</param>
    /// <param name="b">B of all products.</param>
    /// <param name="y">Y of all products; must not overlap A or B.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/> bytes.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public void Run(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y, Span<byte> scratch, Parallelism p)
    {
        SGemmBatchShape s = _shape;
        if (_a.Length == 0 || s.M == 0 || s.N == 0) return;
        int workers = p.MaxWorkers;
        if (scratch.Length < ScratchBytes(workers)) throw new ArgumentException($"scratch has {scratch.Length} bytes, {ScratchBytes(workers)} are needed");
        for (int i = 0; i < _a.Length; i++)
        {
            if (s.K > 0)
            {
                SGemmDriver.Require(Math.Max(0, a.Length - _a[i]), s.TransposeA ? s.K : s.M, s.TransposeA ? s.M : s.K, s.Lda, "A");
                SGemmDriver.Require(Math.Max(0, b.Length - _b[i]), s.TransposeB ? s.N : s.K, s.TransposeB ? s.K : s.N, s.Ldb, "B");
            }
            SGemmDriver.Require(Math.Max(0, y.Length - _y[i]), s.M, s.N, s.Ldy, "Y");
        }
        fixed (float* ap = a, bp = b, yp = y)
        fixed (byte* sp = scratch)
        {
            if (_a.Length >= workers)
            {
                var items = new ItemPieces { This = this, A = ap, B = bp, Y = yp, Scratch = sp };
                p.For(ref items, _a.Length);
                return;
            }
            for (int i = 0; i < _a.Length; i++)
            {
                // Fewer products than threads: each is shared by all.
                var pack = new PackPieces { This = this, B = bp + _b[i], Panels = (float*)sp };
                p.For(ref pack, SGemmPacking.Panels(s.N, _kernel));
                SGemmDriver.MatrixPieces product = Product(ap + _a[i], yp + _y[i], (float*)sp, (float*)(sp + PackedBytes));
                product.Cut(workers);
                p.For(ref product, product.Count);
            }
        }
    }

    /// <summary>The tiles of one product; turns A if needed.</summary>
    private SGemmDriver.MatrixPieces Product(float* a, float* y, float* panels, float* turned)
    {
        SGemmBatchShape s = _shape;
        if (s.TransposeA) Turn(a, turned);
        return new(_kernel, panels, s.K, s.N, _epilogue)
        {
            A = s.TransposeA ? turned : a,
            Lda = s.TransposeA ? s.K : s.Lda,
            M = s.M,
            Y = y,
            YStride = s.Ldy,
        };
    }

    private void Turn(float* a, float* turned)
    {
        int m = _shape.M, k = _shape.K, lda = _shape.Lda;
        int wholeM = System.Runtime.Intrinsics.Vector128.IsHardwareAccelerated ? m & ~3 : 0, wholeK = k & ~3;
        for (int i = 0; i < wholeM; i += 4)
            for (int d = 0; d < wholeK; d += 4) TransposeBlocks.Four(a + (nint)d * lda + i, lda, turned + (nint)i * k + d, k);
        for (int i = 0; i < m; i++)
            for (int d = i < wholeM ? wholeK : 0; d < k; d++) turned[(nint)i * k + d] = a[(nint)d * lda + i];
    }

    private struct ItemPieces : IPieces
    {
        public SGemmBatch This;
        public float* A, B, Y;
        public byte* Scratch;

        public readonly void Run(int piece, int worker)
        {
            byte* scratch = Scratch + worker * (This.PackedBytes + This.TurnedBytes);
            int panels = SGemmPacking.Panels(This._shape.N, This._kernel);
            for (int panel = 0; panel < panels; panel++)
                SGemmPacking.PackPanel(B + This._b[piece], This._source, panel, This._shape.Alpha, This._kernel, (float*)scratch);
            SGemmDriver.MatrixPieces product = This.Product(A + This._a[piece], Y + This._y[piece], (float*)scratch, (float*)(scratch + This.PackedBytes));
            product.Cut(1);
            for (int i = 0; i < product.Count; i++) product.Run(i, 0);
        }
    }

    private struct PackPieces : IPieces
    {
        public SGemmBatch This;
        public float* B, Panels;

        public readonly void Run(int piece, int worker) => SGemmPacking.PackPanel(B, This._source, piece, This._shape.Alpha, This._kernel, Panels);
    }
}
