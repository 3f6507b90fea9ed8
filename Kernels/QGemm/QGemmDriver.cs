using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Octet.Kernels.QGemm.X86;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;

namespace Octet.Kernels.QGemm;

/// <summary>Where the rows of A lie: evenly apart, or in lines as the pixels of strided images do.</summary>
internal readonly struct QGemmRows
{
    private readonly nint _stride, _lineStride, _imageStride;
    private readonly int _lineRows, _imageLines;

    private QGemmRows(nint stride, int lineRows, nint lineStride, int imageLines, nint imageStride) =>
        (_stride, _lineRows, _lineStride, _imageLines, _imageStride) = (stride, lineRows, lineStride, imageLines, imageStride);

    /// <summary>Rows <paramref name="stride"/> bytes apart.</summary>
    public static QGemmRows Evenly(nint stride) => new(stride, 0, 0, 0, 0);

    /// <summary>Images of <paramref name="imageLines"/> lines of <paramref name="lineRows"/> rows each.</summary>
    public static QGemmRows Lines(nint stride, int lineRows, nint lineStride, int imageLines, nint imageStride) => new(stride, lineRows, lineStride, imageLines, imageStride);

    /// <summary>Whether rows of <paramref name="length"/> bytes follow each other without a gap.</summary>
    public bool IsDense(int length) => _lineRows == 0 && _stride == length;

    /// <summary>Bytes from the first row to <paramref name="row"/>.</summary>
    public nint Offset(int row)
    {
        if (_lineRows == 0) return row * _stride;
        int line = row / _lineRows, image = line / _imageLines;
        return image * _imageStride + (line - image * _imageLines) * _lineStride + (row - line * _lineRows) * _stride;
    }
}

/// <summary><c>y = epilogue(Σₖ (a[m,k] − za)·(b[k,n] − zb[n]))</c> with a packed constant B. Start reading here.</summary>
/// <remarks>
/// The driver cuts the output into pieces of rows and panels, hands the tile the addresses of its rows and lets the epilogue store
/// the sums. Rows of unsigned A are read in place; only rows at whose end a whole group would reach past the last byte of A are
/// copied first, as are rows that the kernel wants as words and rows of signed A (read as a + 128 with the zero point shifted alike).
/// </remarks>
internal static unsafe class QGemmDriver
{
    /// <summary>Scratch bytes that <see cref="Run(ReadOnlySpan{byte}, int, int, QGemmWeights, int, QEpilogue, ReadOnlySpan{byte}, Span{byte}, int, Span{byte}, Parallelism)"/> needs.</summary>
    /// <param name="m">Rows of A.</param>
    /// <param name="w">Packed B.</param>
    /// <param name="workers">Threads that may take part: <see cref="Parallelism.MaxWorkers"/>.</param>
    /// <param name="signed">A is signed.</param>
    public static int ScratchBytes(int m, QGemmWeights w, int workers, bool signed = false)
    {
        int rows = QGemmBlocking.LargestRowsPerPiece(m, w);
        return checked((int)(Alignment + workers * QGemmScratch.Carve(null, w, rows, CopiedRows(w, rows, signed), ListedGroups(w, rows), out _)));
    }

    /// <summary>Multiplies unsigned A.</summary>
    /// <param name="a"><c>[m, K]</c>, rows <paramref name="lda"/> apart.</param>
    /// <param name="lda">Bytes between rows of A, at least K.</param>
    /// <param name="m">Rows of A and y.</param>
    /// <param name="w">Packed B.</param>
    /// <param name="aZeroPoint">za; any int32, arithmetic is modulo 2³².</param>
    /// <param name="e">Epilogue for N channels.</param>
    /// <param name="sum">The sum operand if the epilogue has one, else ignored; may be the same memory as <paramref name="y"/>.</param>
    /// <param name="y">Receives <c>[m, N]</c>; bytes between columns N and <paramref name="ldy"/> are left alone.</param>
    /// <param name="ldy">Elements between rows of y, at least N.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/>.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">A length or stride does not fit.</exception>
    public static void Run(ReadOnlySpan<byte> a, int lda, int m, QGemmWeights w, int aZeroPoint, QEpilogue e,
        ReadOnlySpan<byte> sum, Span<byte> y, int ldy, Span<byte> scratch, Parallelism p) =>
        Run(a, false, lda, m, w, aZeroPoint, e, sum, y, ldy, scratch, p);

    /// <summary>Multiplies signed A.</summary>
    /// <inheritdoc cref="Run(ReadOnlySpan{byte}, int, int, QGemmWeights, int, QEpilogue, ReadOnlySpan{byte}, Span{byte}, int, Span{byte}, Parallelism)"/>
    public static void Run(ReadOnlySpan<sbyte> a, int lda, int m, QGemmWeights w, int aZeroPoint, QEpilogue e,
        ReadOnlySpan<byte> sum, Span<byte> y, int ldy, Span<byte> scratch, Parallelism p) =>
        Run(MemoryMarshal.Cast<sbyte, byte>(a), true, lda, m, w, unchecked(aZeroPoint + 128), e, sum, y, ldy, scratch, p);

    private const int Alignment = 64;

    private static void Run(ReadOnlySpan<byte> a, bool signed, int lda, int m, QGemmWeights w, int aZeroPoint, QEpilogue e,
        ReadOnlySpan<byte> sum, Span<byte> y, int ldy, Span<byte> scratch, Parallelism p)
    {
        int n = w.Columns, k = w.Depth;
        ArgumentOutOfRangeException.ThrowIfNegative(m);
        if (w.Sections != 1) throw new ArgumentException("these weights are packed for a convolution", nameof(w));
        if (e.Channels != n) throw new ArgumentException($"the epilogue has {e.Channels} channels, B has {n} columns", nameof(e));
        if (m == 0 || n == 0) return;
        if (lda < k || a.Length < (long)(m - 1) * lda + k) throw new ArgumentException($"A has {a.Length} bytes and stride {lda} for {m} rows of {k}", nameof(a));
        if (ldy < n || y.Length < ((long)(m - 1) * ldy + n) * e.ElementBytes) throw new ArgumentException($"y has {y.Length} bytes and stride {ldy} for {m} rows of {n}", nameof(y));
        if (sum.Length < e.SumBytes(m)) throw new ArgumentException($"the sum operand has {sum.Length} bytes, needs {e.SumBytes(m)}", nameof(sum));
        if (scratch.Length < ScratchBytes(m, w, p.MaxWorkers, signed))
            throw new ArgumentException($"{scratch.Length} scratch bytes, needs {ScratchBytes(m, w, p.MaxWorkers, signed)}", nameof(scratch));

        fixed (byte* aPointer = a, sumPointer = sum, yPointer = y, scratchPointer = scratch)
        {
            var panels = new QGemmPanels
            {
                Weights = w,
                Epilogue = e,
                ZeroPoint = aZeroPoint,
                Channel = 0,
                Y = yPointer,
                YStride = (nint)ldy * e.ElementBytes,
                Sum = sumPointer,
            };
            Run(panels, aPointer, a.Length, signed, QGemmRows.Evenly(lda), m, scratchPointer, p);
        }
    }

    /// <summary>The product without checks; a 1×1 convolution calls it once per group.</summary>
    internal static void Run(in QGemmPanels panels, byte* a, int length, bool signed, QGemmRows layout, int m, byte* scratch, Parallelism p)
    {
        QGemmWeights w = panels.Weights;
        int rows = QGemmBlocking.LargestRowsPerPiece(m, w);
        var work = new Pieces
        {
            Panels = panels,
            Blocking = QGemmBlocking.Choose(m, w, p.MaxWorkers),
            A = a,
            Layout = layout,
            M = m,
            LastInPlace = w.Kernel.Packing == QGemmPacking.Words || signed || w.TakesApart ? null : a + length - w.RowBytes,
            Signed = signed,
            Scratch = (byte*)(((nint)scratch + Alignment - 1) & -Alignment),
            ScratchRows = rows,
            ScratchCopies = CopiedRows(w, rows, signed),
        };
        work.WorkerBytes = QGemmScratch.Carve(null, w, rows, work.ScratchCopies, ListedGroups(w, rows), out _);
        p.For(ref work, work.Blocking.Pieces);
    }

    /// <summary>Rows of a piece that may have to be copied.</summary>
    private static int CopiedRows(QGemmWeights w, int rows, bool signed) =>
        w.Kernel.Packing == QGemmPacking.Words || signed || w.TakesApart ? rows : Math.Min(rows, w.Kernel.Kr);

    /// <summary>Groups of a piece that may be listed before two dense passes are faster.</summary>
    private static int ListedGroups(QGemmWeights w, int rows) => w.TakesApart ? (int)(rows * w.Groups * QGemmWindow256.LargestShare) + 1 : 0;

    private struct Pieces : IPieces
    {
        public QGemmPanels Panels;
        public QGemmBlocking Blocking;
        public byte* A;
        public QGemmRows Layout;
        public int M;

        /// <summary>Last address at which a whole row can be read; null if rows are read in no place.</summary>
        public byte* LastInPlace;
        public bool Signed;
        public byte* Scratch;
        public long WorkerBytes;
        public int ScratchRows;
        public int ScratchCopies;

        [MethodImpl(HotLoop.Optimized)]
        public void Run(int piece, int worker)
        {
            QGemmWeights w = Panels.Weights;
            QGemmScratch.Carve(Scratch + worker * WorkerBytes, w, ScratchRows, ScratchCopies, ListedGroups(w, ScratchRows), out QGemmScratch scratch);
            // Panels outside, rows inside: neighbouring pieces share their panels of B.
            int rowPiece = piece % Blocking.RowPieces, panelPiece = piece / Blocking.RowPieces;
            int firstRow = rowPiece * Blocking.RowsPerPiece, rows = Math.Min(Blocking.RowsPerPiece, M - firstRow);
            int firstPanel = panelPiece * Blocking.PanelsPerPiece, lastPanel = Math.Min(firstPanel + Blocking.PanelsPerPiece, w.Panels);

            int mr = w.Kernel.Mr, tiles = (rows + mr - 1) / mr;
            if (w.TakesApart)
            {
                TakeApart(firstRow, rows, w, ref scratch);
                Panels.Run(firstRow, rows, firstPanel, lastPanel, scratch);
                return;
            }
            byte* copy = scratch.Copies;
            bool atOnce = LastInPlace == null && Layout.IsDense(w.Depth) && w.Groups * w.Kernel.Kr == w.Depth;
            if (atOnce) QGemmCopy.Row(A + Layout.Offset(firstRow), copy, rows * w.Depth, rows * w.Depth, Signed ? (byte)0x80 : (byte)0, w.Kernel.Packing);
            for (int t = 0; t < tiles; t++)
            {
                QGemmPanels.Tile(rows, mr, t, out int first, out int count);
                for (int r = 0; r < count; r++)
                {
                    if (atOnce)
                    {
                        scratch.Rows[t * mr + r] = copy;
                        copy += w.RowBytes;
                        continue;
                    }
                    byte* source = A + Layout.Offset(firstRow + first + r);
                    if (source > LastInPlace)
                    {
                        QGemmCopy.Row(source, copy, w.Depth, w.Groups * w.Kernel.Kr, Signed ? (byte)0x80 : (byte)0, w.Kernel.Packing);
                        source = copy;
                        copy += w.RowBytes;
                    }
                    scratch.Rows[t * mr + r] = source;
                }
            }
            Panels.Run(firstRow, rows, firstPanel, lastPanel, scratch);
        }

        /// <summary>Rows as a dense part and listed groups, or as two dense parts where these would be too many.</summary>
        [MethodImpl(HotLoop.Optimized)]
        private readonly void TakeApart(int firstRow, int rows, QGemmWeights w, ref QGemmScratch scratch)
        {
            int mr = w.Kernel.Mr, tiles = (rows + mr - 1) / mr;
            byte flip = Signed ? (byte)0x80 : (byte)0;
            scratch.Base = QGemmWindow256.Base(Panels.ZeroPoint, w.Width);
            for (int t = 0; t < tiles && scratch.Outside.Fit; t++)
            {
                QGemmPanels.Tile(rows, mr, t, out int first, out int count);
                for (int r = 0; r < count && scratch.Outside.Fit; r++)
                {
                    byte* copy = scratch.Copies + (nint)(first + r) * w.RowBytes;
                    QGemmWindow256.Row(A + Layout.Offset(firstRow + first + r), w.Depth, flip, scratch.Base, w.Width, copy, first + r, ref scratch.Outside);
                    scratch.Rows[t * mr + r] = copy;
                }
            }
            if (scratch.Outside.Fit) return;

            scratch.Base = 0;
            scratch.Parts = 2;
            scratch.Starts = null;
            for (int t = 0; t < tiles; t++)
            {
                QGemmPanels.Tile(rows, mr, t, out int first, out int count);
                for (int r = 0; r < count; r++)
                {
                    byte* lower = scratch.Copies + (nint)(first + r) * 2 * w.RowBytes, upper = lower + w.RowBytes;
                    QGemmWindow256.Halves(A + Layout.Offset(firstRow + first + r), w.Depth, w.RowBytes, flip, lower, upper);
                    scratch.Rows[2 * t * mr + r] = lower;
                    scratch.Rows[(2 * t + 1) * mr + r] = upper;
                }
            }
        }
    }
}
