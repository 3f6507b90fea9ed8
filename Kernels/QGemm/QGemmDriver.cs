using System.Runtime.InteropServices;
using Octet.Kernels.QGemm.X86;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;

namespace Octet.Kernels.QGemm;

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
        return checked((int)(Alignment + workers * QGemmScratch.Carve(null, w, rows, CopiedRows(w, rows, signed), out _)));
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
            Run(panels, aPointer, a.Length, signed, lda, m, scratchPointer, p);
        }
    }

    /// <summary>The product without checks; a 1×1 convolution calls it once per group.</summary>
    internal static void Run(in QGemmPanels panels, byte* a, int length, bool signed, int lda, int m, byte* scratch, Parallelism p)
    {
        QGemmWeights w = panels.Weights;
        int rows = QGemmBlocking.LargestRowsPerPiece(m, w);
        var work = new Pieces
        {
            Panels = panels,
            Blocking = QGemmBlocking.Choose(m, w, p.MaxWorkers),
            A = a,
            Lda = lda,
            M = m,
            InPlaceRows = w.Kernel.Packing == QGemmPacking.Words || signed || w.TakesApart ? 0 : InPlaceRows(length, lda, m, w.RowBytes),
            Signed = signed,
            Scratch = (byte*)(((nint)scratch + Alignment - 1) & -Alignment),
            ScratchRows = rows,
            ScratchCopies = CopiedRows(w, rows, signed),
        };
        work.WorkerBytes = QGemmScratch.Carve(null, w, rows, work.ScratchCopies, out _);
        p.For(ref work, work.Blocking.Pieces);
    }

    /// <summary>Leading rows whose last whole group ends inside A.</summary>
    private static int InPlaceRows(int length, int lda, int m, int rowBytes)
    {
        if (rowBytes == 0) return m;
        if (length < rowBytes) return 0;
        return (int)Math.Min(m, lda == 0 ? m : (long)(length - rowBytes) / lda + 1);
    }

    /// <summary>Rows of a piece that may have to be copied.</summary>
    private static int CopiedRows(QGemmWeights w, int rows, bool signed) =>
        w.Kernel.Packing == QGemmPacking.Words || signed || w.TakesApart ? rows : Math.Min(rows, w.Kernel.Kr);

    private struct Pieces : IPieces
    {
        public QGemmPanels Panels;
        public QGemmBlocking Blocking;
        public byte* A;
        public nint Lda;
        public int M;
        public int InPlaceRows;
        public bool Signed;
        public byte* Scratch;
        public long WorkerBytes;
        public int ScratchRows;
        public int ScratchCopies;

        public void Run(int piece, int worker)
        {
            QGemmWeights w = Panels.Weights;
            QGemmScratch.Carve(Scratch + worker * WorkerBytes, w, ScratchRows, ScratchCopies, out QGemmScratch scratch);
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
            scratch.Outside = null;
            byte* copy = scratch.Copies;
            for (int t = 0; t < tiles; t++)
            {
                QGemmPanels.Tile(rows, mr, t, out int first, out int count);
                for (int r = 0; r < count; r++)
                {
                    int row = firstRow + first + r;
                    byte* source = A + row * Lda;
                    if (row >= InPlaceRows)
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
        private readonly void TakeApart(int firstRow, int rows, QGemmWeights w, ref QGemmScratch scratch)
        {
            int mr = w.Kernel.Mr, tiles = (rows + mr - 1) / mr;
            byte flip = Signed ? (byte)0x80 : (byte)0;
            scratch.Base = QGemmWindow256.Base(Panels.ZeroPoint, w.Width);
            bool fits = true;
            QGemmWindow256.Lists lists = default;
            for (int t = 0; t < tiles && fits; t++)
            {
                QGemmPanels.Tile(rows, mr, t, out int first, out int count);
                for (int r = 0; r < count && fits; r++)
                {
                    byte* copy = scratch.Copies + (nint)(first + r) * w.RowBytes;
                    fits = QGemmWindow256.Row(A + (firstRow + first + r) * Lda, w.Depth, flip, scratch.Base, w.Width, copy, scratch, scratch.Outside + (first + r) * 4, ref lists);
                    scratch.Rows[t * mr + r] = copy;
                }
            }
            if (fits) return;

            scratch.Base = 0;
            scratch.Parts = 2;
            scratch.Outside = null;
            for (int t = 0; t < tiles; t++)
            {
                QGemmPanels.Tile(rows, mr, t, out int first, out int count);
                for (int r = 0; r < count; r++)
                {
                    byte* lower = scratch.Copies + (nint)(first + r) * 2 * w.RowBytes, upper = lower + w.RowBytes;
                    QGemmWindow256.Halves(A + (firstRow + first + r) * Lda, w.Depth, w.RowBytes, flip, lower, upper);
                    scratch.Rows[2 * t * mr + r] = lower;
                    scratch.Rows[(2 * t + 1) * mr + r] = upper;
                }
            }
        }
    }
}
