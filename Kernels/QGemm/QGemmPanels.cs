using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.QGemm.X86;
using Octet.Kernels.Requantize;

namespace Octet.Kernels.QGemm;

/// <summary>How the rows of a product are cut into pieces, and the scratch space that one piece needs.</summary>
internal readonly struct QGemmBlocking
{
    /// <summary>Half of a common L2 cache, shared by the piece's rows of A and the panel in use.</summary>
    private const int RowBudgetBytes = 192 << 10;

    /// <summary>More rows would not make a panel's way into L1 cheaper.</summary>
    private const int MostRows = 96;

    /// <summary>Addresses of one piece stay within a part of L1.</summary>
    private const int TableBudgetBytes = 16 << 10;

    /// <summary>Below this a piece costs less than handing it to another thread; nanoseconds times GMAC/s are multiply-accumulates.</summary>
    private const float SmallestPieceNanoseconds = 4000;

    private QGemmBlocking(int rows, int rowsPerPiece, int panels, int panelsPerPiece)
    {
        RowsPerPiece = rowsPerPiece;
        PanelsPerPiece = panelsPerPiece;
        RowPieces = rows <= 0 ? 0 : (rows + rowsPerPiece - 1) / rowsPerPiece;
        PanelPieces = panels <= 0 ? 0 : (panels + panelsPerPiece - 1) / panelsPerPiece;
    }

    public int RowsPerPiece { get; }

    public int PanelsPerPiece { get; }

    public int RowPieces { get; }

    public int PanelPieces { get; }

    public int Pieces => RowPieces * PanelPieces;

    /// <summary>Most rows of a piece, whatever the number of threads.</summary>
    public static int LargestRowsPerPiece(int rows, QGemmWeights w)
    {
        int mr = w.Kernel.Mr;
        long rowBytes = Math.Max(1, (long)w.Sections * w.RowBytes);
        long byCache = RowBudgetBytes / rowBytes, byTable = TableBudgetBytes / (w.Sections * sizeof(long));
        long tiles = Math.Clamp(Math.Min(byCache, byTable) / mr, 1, MostRows / mr), most = tiles * mr;
        if (rows <= most) return Math.Max(1, rows);
        long pieces = (rows + most - 1) / most;   // as few as before, of equal size
        return (int)(((rows + pieces - 1) / pieces + mr - 1) / mr * mr);
    }

    /// <summary>The cut for <paramref name="workers"/> threads; only the sizes of pieces depend on it, never a result.</summary>
    public static QGemmBlocking Choose(int rows, QGemmWeights w, int workers)
    {
        int mr = w.Kernel.Mr, rowsPerPiece = LargestRowsPerPiece(rows, w), panelsPerPiece = Math.Max(1, w.Panels);
        if (workers > 1 && rows > 0)
        {
            long macs = (long)rows * w.Depth * w.Columns;
            long wanted = Math.Clamp((long)(macs / (SmallestPieceNanoseconds * w.Kernel.Throughput)), 1, 4L * workers);
            int fewest = (int)((rows + wanted - 1) / wanted);
            rowsPerPiece = Math.Min(rowsPerPiece, (fewest + mr - 1) / mr * mr);
            long rowPieces = (rows + rowsPerPiece - 1) / rowsPerPiece;
            long panelPieces = Math.Clamp(wanted / rowPieces, 1, Math.Max(1, w.Panels));
            panelsPerPiece = (int)((panelsPerPiece + panelPieces - 1) / panelPieces);
        }
        return new QGemmBlocking(rows, rowsPerPiece, w.Panels, panelsPerPiece);
    }
}

/// <summary>Where one worker's scratch space lies.</summary>
internal unsafe struct QGemmScratch
{
    public int* C;
    public int* Init;
    public int* RowSums;
    public byte** Rows;
    public byte* Copies;

    /// <summary>Of rows taken apart: groups outside of the window; see <see cref="QGemmWindow256"/>.</summary>
    public QGemmWindow256.Lists Outside;

    /// <summary>With such groups, room for what the sums of each row start with; else null.</summary>
    public int* Starts;

    /// <summary>Number that was taken from every element of the rows ahead of their product.</summary>
    public int Base;

    /// <summary>Dense parts of each row that are multiplied by the same panel, and added.</summary>
    public int Parts = 1;

    public QGemmScratch() { }

    /// <summary>Rows, about, whose sums wait for the epilogue together: they stay in L1, and its constants are set up once.</summary>
    private const int RowsPerEpilogue = 32;

    /// <summary>Tiles whose sums wait for the epilogue together.</summary>
    public static int TilesPerEpilogue(int mr) => Math.Max(1, RowsPerEpilogue / mr);

    /// <summary>Carves <paramref name="scratch"/>, or only measures if it is null; returns the bytes used, a multiple of 64.</summary>
    /// <param name="scratch">Memory, aligned.</param>
    /// <param name="w">Packed B.</param>
    /// <param name="rows">Rows of a piece.</param>
    /// <param name="copiedRows">Rows that may be copied.</param>
    /// <param name="listed">With rows taken apart, most groups that are listed; else 0.</param>
    /// <param name="result">Where everything lies.</param>
    public static long Carve(byte* scratch, QGemmWeights w, int rows, int copiedRows, int listed, out QGemmScratch result)
    {
        QGemmKernel kernel = w.Kernel;
        byte* at = scratch;
        byte* Take(long bytes)
        {
            byte* taken = at;
            at += (bytes + 63) & ~63L;
            return taken;
        }
        int tiles = (rows + kernel.Mr - 1) / kernel.Mr;
        result = new QGemmScratch();
        result.C = (int*)Take((long)Math.Min(tiles, TilesPerEpilogue(kernel.Mr)) * kernel.Mr * kernel.Nr * sizeof(int));
        result.Init = (int*)Take(kernel.Nr * sizeof(int));
        result.RowSums = (int*)Take(w.HasZeroPoints ? (long)rows * sizeof(int) : 0);
        result.Rows = (byte**)Take((long)tiles * w.Sections * kernel.Mr * sizeof(byte*) * (listed > 0 ? 2 : 1));
        if (listed > 0)
        {
            byte* lists = Take(QGemmWindow256.Lists.Bytes(rows, listed));
            if (scratch != null) result.Outside = QGemmWindow256.Lists.Carve(lists, listed);
            result.Starts = (int*)Take((long)rows * kernel.Nr * sizeof(int));
        }
        result.Copies = Take(listed > 0 ? 2L * copiedRows * w.RowBytes + QGemmWindow256.Slack : (long)copiedRows * w.RowBytes);
        return at - scratch;
    }
}

/// <summary>A product whose rows of A are given by addresses: what matrix products and convolutions share.</summary>
internal unsafe struct QGemmPanels
{
    public QGemmWeights Weights;
    public QEpilogue Epilogue;

    /// <summary>Zero point of A.</summary>
    public int ZeroPoint;

    /// <summary>Output channel of the first column.</summary>
    public int Channel;

    /// <summary>Output of row 0, first column of this product.</summary>
    public byte* Y;

    /// <summary>Bytes between output rows.</summary>
    public nint YStride;

    /// <summary>Sum operand of row 0, first column of this product; not read without a sum.</summary>
    public byte* Sum;

    /// <summary>Rows of one tile when <paramref name="rows"/> are shared evenly between the fewest tiles.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Tile(int rows, int mr, int tile, out int first, out int count)
    {
        int tiles = (rows + mr - 1) / mr, share = rows / tiles, longer = rows - share * tiles;
        first = tile * share + Math.Min(tile, longer);
        count = share + (tile < longer ? 1 : 0);
    }

    /// <summary>Computes rows <paramref name="firstRow"/> … of panels <paramref name="firstPanel"/> …, whose addresses are in <c>scratch.Rows</c>, tile after tile.</summary>
    [MethodImpl(HotLoop.Optimized)]
    public readonly void Run(int firstRow, int rows, int firstPanel, int lastPanel, in QGemmScratch scratch)
    {
        QGemmWeights w = Weights;
        QGemmKernel kernel = w.Kernel;
        QEpilogue epilogue = Epilogue;
        int mr = kernel.Mr, nr = kernel.Nr, tiles = (rows + mr - 1) / mr, tilesPerEpilogue = QGemmScratch.TilesPerEpilogue(mr);
        int columnBytes = epilogue.ElementBytes, sumColumnBytes = epilogue.SumElementBytes;
        nint sumStride = (nint)epilogue.SumRowStride * sumColumnBytes;
        int share = rows / tiles, longer = rows - share * tiles;   // as in Tile
        nint tableStride = (nint)w.Sections * scratch.Parts * mr;
        if (w.HasZeroPoints) SumRows(rows, scratch);

        QGemmTile tile;
        tile.Taps = w.Sections;
        tile.Passes = scratch.Parts;
        nint sections = (nint)tiles * w.Sections * scratch.Parts;
        bool asks = tiles > 1 && (firstRow == 0 || w.Bytes > KeptBytes);
        tile.Groups = w.Groups;
        bool outside = scratch.Starts != null, ahead = outside && scratch.Outside.AreFew(rows);
        tile.InitStride = ahead ? nr : 0;
        tile.Values = scratch.Outside.Values;
        tile.Listed = scratch.Outside.Groups;
        tile.YStride = YStride;
        tile.Tiles = 1;
        // In registers where the kernel can: without a sum, without the row term of weight zero points.
        bool finishes = kernel.Finishes && epilogue.Sum is null && !w.HasZeroPoints && epilogue.Output != QOutput.Int32;
        tile.Output = finishes ? epilogue.Output : QOutput.Int32;
        bool bytes = epilogue.Output == QOutput.UInt8;
        tile.Low = bytes ? epilogue.Low - epilogue.Origin : epilogue.LowFloat;
        tile.High = bytes ? epilogue.High - epilogue.Origin : epilogue.HighFloat;
        tile.ZeroPoint = epilogue.Origin;
        tile.Floor = bytes ? (byte)epilogue.Low : (byte)0;
        QEpilogueBlock block;
        block.C = scratch.C;
        block.CStride = nr;
        for (int panel = firstPanel; panel < lastPanel; panel++)
        {
            int column = panel * nr;
            Start(column, ZeroPoint - scratch.Base, scratch.Init);
            tile.B = w.Panel(panel);
            tile.Plan = w.Plan(panel);
            tile.Columns = block.Columns = Math.Min(nr, w.Columns - column);
            nint nextBytes = asks && panel + 1 < w.Panels ? w.PanelLength(panel + 1) : 0;
            byte* next = nextBytes == 0 ? null : w.Panel(panel + 1);
            tile.AheadStep = Math.Min(MostAhead, (nextBytes + sections - 1) / sections);
            tile.AheadEnd = next + nextBytes;
            tile.Ahead = next;
            tile.IsPlain = epilogue.ClampsByType && (tile.Columns == nr || kernel.HasNarrow && tile.Columns == nr / 2);
            tile.Multipliers = epilogue.MultiplierPointer + Channel + column;
            block.Channel = Channel + column;
            block.SumStride = sumStride;
            block.YStride = YStride;
            tile.Rows = scratch.Rows;
            tile.Init = scratch.Init;
            tile.Outside = null;
            if (outside)
            {
                tile.Places = w.Places(panel);
                if (ahead) QGemmWindow256.Start(scratch.Outside, scratch.Init, tile.B, tile.Places, rows, tile.Init = scratch.Starts);
                else tile.Outside = scratch.Outside.Bounds;
            }
            if (finishes)
            {
                tile.Y = Y + firstRow * YStride + (nint)column * columnBytes;
                block.Rows = rows;
                block.Y = tile.Y;
                tile.C = null;
                if (longer > 0)
                {
                    (tile.Tiles, tile.RowCount) = (longer, share + 1);
                    kernel.Run(&tile);
                    tile.Rows += longer * tableStride;
                    tile.Y += longer * (share + 1) * YStride;
                    tile.Init += longer * (share + 1) * tile.InitStride;
                    if (tile.Outside != null) tile.Outside += longer * (share + 1) * 4;
                    tile.Ahead += longer * tile.Taps * tile.Passes * tile.AheadStep;
                }
                (tile.Tiles, tile.RowCount) = (tiles - longer, share);
                kernel.Run(&tile);
                if (epilogue.TablePointer != null) QEpilogueTable.Apply(epilogue.TablePointer, &block);
                continue;
            }
            int row = 0;
            for (int t = 0; t < tiles;)
            {
                int firstOfBatch = row;
                tile.C = scratch.C;
                for (int end = Math.Min(t + tilesPerEpilogue, tiles); t < end;)
                {
                    int count = t < longer ? share + 1 : share, alike = !kernel.Finishes ? 1 : (t < longer ? Math.Min(longer, end) : end) - t;
                    (tile.RowCount, tile.Tiles) = (count, alike);
                    if (kernel.Finishes) tile.Ahead = next + t * tile.Taps * tile.Passes * tile.AheadStep;
                    else if (nextBytes <= (nint)tiles * MostAhead) Prefetch(next, nextBytes, t, alike, tiles);
                    kernel.Run(&tile);
                    t += alike;
                    count *= alike;
                    tile.Rows += alike * tableStride;
                    tile.C += count * nr;
                    tile.Init += count * tile.InitStride;
                    if (tile.Outside != null) tile.Outside += count * 4;
                    row += count;
                }
                int batch = row - firstOfBatch;
                if (w.HasZeroPoints) SubtractRowTerm(scratch.C, scratch.RowSums + firstOfBatch, batch, column);
                block.Rows = batch;
                block.Y = Y + (firstRow + firstOfBatch) * YStride + (nint)column * columnBytes;
                block.Sum = epilogue.Sum is null ? null : Sum + (firstRow + firstOfBatch) * sumStride + (nint)column * sumColumnBytes;
                kernel.Epilogue.Apply(epilogue, &block);
            }
        }
    }

    /// <summary>Weights that L2 keeps from one piece of rows to the next.</summary>
    internal const int KeptBytes = 192 << 10;

    /// <summary>Bytes of the next panel that are asked for at once, at most: more than the CPU can have under way would hold the tile up.</summary>
    private const int MostAhead = 40 * CacheLine, CacheLine = 64;

    /// <summary>Asks for the part of the next panel that is the share of these tiles: weights mostly come from memory, and the first tile of a panel would wait for all of it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(byte* panel, long bytes, int tile, int count, int tiles)
    {
        if (!Sse.IsSupported) return;
        byte* end = panel + bytes * (tile + count) / tiles;
        for (byte* at = panel + bytes * tile / tiles / CacheLine * CacheLine; at < end; at += CacheLine) Sse.Prefetch1(at);
    }

    /// <summary><c>init[n] = bias[n] − za·Σₖ(b[k,n] − zb[n])</c>, modulo 2³².</summary>
    [MethodImpl(HotLoop.Optimized)]
    private readonly void Start(int column, int za, int* init)
    {
        int* bias = Epilogue.BiasPointer + Channel + column, sums = Weights.ColumnSums + column;
        int nr = Weights.Kernel.Nr;
        int exist = Math.Min(nr, Weights.Columns - column);
        for (int n = 0; n < exist; n++) init[n] = unchecked(bias[n] - za * sums[n]);
        for (int n = exist; n < nr; n++) init[n] = 0;
    }

    /// <summary>Σ a over the depth of every row.</summary>
    private readonly void SumRows(int rows, in QGemmScratch scratch)
    {
        QGemmWeights w = Weights;
        int mr = w.Kernel.Mr, tiles = (rows + mr - 1) / mr;
        bool words = w.Kernel.Packing == QGemmPacking.Words;
        for (int t = 0; t < tiles; t++)
        {
            Tile(rows, mr, t, out int first, out int count);
            for (int r = 0; r < count; r++)
            {
                int sum = 0;
                for (int section = 0; section < w.Sections; section++)
                {
                    byte* a = scratch.Rows[((nint)t * w.Sections + section) * mr + r];
                    sum += words ? Total((short*)a, w.SectionLength) : Total(a, w.SectionLength);
                }
                scratch.RowSums[first + r] = sum;
            }
        }
    }

    [MethodImpl(HotLoop.Optimized)]
    private static int Total(byte* a, int length)
    {
        const int most = 128;   // 128 · 2 · 255 fits 16 bits
        int at = 0, sum = 0;
        while (at <= length - Vector128<byte>.Count)
        {
            Vector128<ushort> part = default;
            for (int i = 0; i < most && at <= length - Vector128<byte>.Count; i++, at += Vector128<byte>.Count)
            {
                (Vector128<ushort> lower, Vector128<ushort> upper) = Vector128.Widen(Vector128.Load(a + at));
                part += lower + upper;
            }
            sum += (int)Vector128.Sum(Vector128.WidenLower(part) + Vector128.WidenUpper(part));
        }
        for (; at < length; at++) sum += a[at];
        return sum;
    }

    [MethodImpl(HotLoop.Optimized)]
    private static int Total(short* a, int length)
    {
        int at = 0;
        Vector128<int> total = default;
        for (; at <= length - Vector128<short>.Count; at += Vector128<short>.Count)
        {
            Vector128<short> values = Vector128.Load(a + at);
            total += Vector128.WidenLower(values) + Vector128.WidenUpper(values);
        }
        int sum = Vector128.Sum(total);
        for (; at < length; at++) sum += a[at];
        return sum;
    }

    /// <summary><c>c[r,n] −= zb[n]·Σₖ a[r,k]</c>, modulo 2³².</summary>
    [MethodImpl(HotLoop.Optimized)]
    private readonly void SubtractRowTerm(int* c, int* rowSums, int rows, int column)
    {
        int* zeroPoints = Weights.ZeroPoints + column;
        int nr = Weights.Kernel.Nr;
        for (int r = 0; r < rows; r++, c += nr)
        {
            Vector256<int> sum = Vector256.Create(rowSums[r]);
            for (int n = 0; n < nr; n += Vector256<int>.Count) (Vector256.Load(c + n) - Vector256.Load(zeroPoints + n) * sum).Store(c + n);
        }
    }
}
