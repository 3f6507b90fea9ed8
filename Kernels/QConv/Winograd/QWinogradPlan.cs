using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.Memory;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;

namespace Octet.Kernels.QConv.Winograd;

/// <summary>A 3×3 convolution of stride 1 by <c>F(m×m, 3×3)</c> in integers; its bits are those of the direct sum.</summary>
internal abstract unsafe class QWinogradPlan
{
    /// <summary>CPU features of the transforms.</summary>
    public const CpuFeatures Requires = CpuFeatures.Avx2;

    /// <summary>Fewest input channels: one vector of the transforms.</summary>
    public const int FewestChannels = 16;

    /// <summary>Why <paramref name="shape"/> has no such form; empty if it has.</summary>
    public static string Refuse(ConvShape shape)
    {
        WindowAxis h = shape.H, w = shape.W;
        if (shape.D.Kernel != 1 || shape.D.Stride != 1 || shape.D.PadBegin + shape.D.PadEnd != 0) return "only two spatial axes are transformed";
        if (shape.Groups != 1) return "only one group is transformed";
        if (h.Kernel != 3 || w.Kernel != 3 || h.Stride != 1 || w.Stride != 1 || h.Dilation != 1 || w.Dilation != 1) return "only 3x3 windows of stride 1 are transformed";
        return shape.InChannels < FewestChannels ? $"fewer than {FewestChannels} input channels" : "";
    }

    /// <summary>Scratch bytes of one worker, a multiple of 64.</summary>
    public abstract long WorkerBytes { get; }

    /// <summary>Computes the convolution.</summary>
    /// <param name="x">Input.</param>
    /// <param name="sum">Sum operand, if the epilogue has one.</param>
    /// <param name="y">Output.</param>
    /// <param name="yStride">Bytes between output pixels.</param>
    /// <param name="scratch"><see cref="WorkerBytes"/> per worker, aligned.</param>
    /// <param name="p">Threads.</param>
    public abstract void Run(byte* x, byte* sum, byte* y, nint yStride, byte* scratch, Parallelism p);

    /// <summary>A plan for the tile that <paramref name="form"/> names.</summary>
    public static QWinogradPlan Create(QConvForm form, QConvolution owner, QWinogradWeights weights) =>
        form == QConvForm.Winograd4 ? new QWinogradPlan<QWinograd4>(owner, weights) : new QWinogradPlan<QWinograd2>(owner, weights);
}

/// <summary><see cref="QWinogradPlan"/> for one size of tile.</summary>
/// <remarks>
/// A piece is a block of output tiles. Its input tiles are transformed once, and for every panel of output channels and every few tiles
/// <code>
///   V[few tiles][position][tile][c]  =  Bᵀ d B                       int16, all channels; d = x − zx, 0 in the padding
///   U[position][c][n]  =  G g Gᵀ                                     int16, two rows of positions at a time
///   M[position][tile][n]  =  V[position] · U[position]               one small product per position, int32; stays in L1
///   D[row][tile][column][n] = Aᵀ M A · inverse &gt;&gt; shift + bias      the direct sums of m × m output pixels
/// </code>
/// and the epilogue takes rows of D, which are runs of neighbouring output pixels.
/// </remarks>
internal sealed unsafe class QWinogradPlan<TTile> : QWinogradPlan where TTile : struct, IQWinogradTile
{
    /// <summary>Transformed input of a block: most of a small L2 cache.</summary>
    private const int BlockBudgetBytes = 480 << 10;

    /// <summary>Products that wait for their transform: most of L1.</summary>
    private const int ProductBudgetBytes = 30 << 10;

    /// <summary>Somewhat more, where all tiles of a block then wait together, so that each pair of rows of filters is multiplied as soon as it is transformed.</summary>
    private const int WholeProductBudgetBytes = 48 << 10;

    private const int Lanes = 16;

    private static int Positions => TTile.Input * TTile.Input;

    private readonly QConvolution _owner;
    private readonly QWinogradWeights _weights;
    private readonly AlignedBuffer _padRow;     // zero points: padding is 0 after the zero point is subtracted
    private readonly AlignedBuffer _zeros;      // starting values of the products
    private readonly int _tilesHigh, _tilesWide, _tiles;
    private readonly int _blockTiles, _blocks;
    private readonly int _subTiles;             // tiles whose products are in L1 together
    private readonly int _rowBytes;             // one tile's channels at one position
    private readonly nint _positionBytes;       // V; an odd number of cache lines, so that positions do not share cache sets
    private readonly nint _productBytes;        // M, likewise
    private readonly nint _filterBytes;         // U, likewise
    private readonly nint _dataBytes;           // V of a block

    public QWinogradPlan(QConvolution owner, QWinogradWeights weights)
    {
        _owner = owner;
        _weights = weights;
        ConvShape shape = owner.Shape;
        QGemmKernel kernel = weights.Kernel;
        _padRow = new AlignedBuffer(shape.InChannels);
        _padRow.Span<byte>(0, shape.InChannels).Fill((byte)owner.ZeroPoint);
        _zeros = new AlignedBuffer(kernel.Nr * sizeof(int));
        int m = TTile.Output;
        _tilesHigh = (shape.H.Output + m - 1) / m;
        _tilesWide = (shape.W.Output + m - 1) / m;
        _tiles = checked(shape.Batch * _tilesHigh * _tilesWide);
        _rowBytes = weights.Groups * 4;
        int byProducts = Math.Max(1, ProductBudgetBytes / (Positions * kernel.Nr * sizeof(int)) / kernel.Mr) * kernel.Mr;
        int byBlock = (int)Math.Max(byProducts, BlockBudgetBytes / ((long)Positions * _rowBytes));
        _blocks = Math.Max(1, (_tiles + byBlock - 1) / byBlock);
        _blockTiles = Math.Max(1, (_tiles + _blocks - 1) / _blocks);
        _subTiles = _blockTiles * Positions * kernel.Nr * sizeof(int) <= WholeProductBudgetBytes ? _blockTiles : Math.Min(byProducts, _blockTiles);
        _positionBytes = OddLines((long)_subTiles * _rowBytes);
        _dataBytes = checked((_blockTiles + _subTiles - 1) / _subTiles * Positions * _positionBytes);
        _filterBytes = OddLines(weights.PositionBytes);
        _productBytes = OddLines((long)_subTiles * kernel.Nr * sizeof(int));
        WorkerBytes = checked(_dataBytes + FilterBytes + Positions * _productBytes + ResultBytes + Align((long)(_subTiles + kernel.Mr - 1) / kernel.Mr * kernel.Mr * sizeof(byte*)));
    }

    public override long WorkerBytes { get; }

    /// <summary>Transformed filters of a panel: two rows of positions, or where several groups of tiles use them, all.</summary>
    private long FilterBytes => Align((long)_filterBytes * (_blockTiles <= _subTiles ? 2 * TTile.Input : Positions));

    private long ResultBytes => Align((long)TTile.Output * TTile.Output * _subTiles * _weights.Kernel.Nr * sizeof(int));

    private static long Align(long bytes) => (bytes + 63) & ~63L;

    private static nint OddLines(long bytes) => (nint)((Align(bytes) / 64 | 1) * 64);

    public override void Run(byte* x, byte* sum, byte* y, nint yStride, byte* scratch, Parallelism p)
    {
        // Blocks first; where they are too few for the threads, panels are shared out too and each piece transforms its input itself.
        int wanted = p.MaxWorkers > 1 ? 3 * p.MaxWorkers : 1;
        int panelPieces = Math.Clamp(wanted / _blocks, 1, Math.Min(_weights.Panels, p.MaxWorkers));
        var work = new Pieces { Owner = this, X = x, Sum = sum, Y = y, YStride = yStride, Scratch = scratch, PanelPieces = panelPieces };
        p.For(ref work, _blocks * panelPieces);
    }

    private struct Pieces : IPieces
    {
        public QWinogradPlan<TTile> Owner;
        public byte* X;
        public byte* Sum;
        public byte* Y;
        public nint YStride;
        public byte* Scratch;
        public int PanelPieces;

        [MethodImpl(HotLoop.Optimized)]
        public readonly void Run(int piece, int worker)
        {
            QWinogradPlan<TTile> o = Owner;
            QWinogradWeights w = o._weights;
            int block = piece / PanelPieces, part = piece % PanelPieces;
            int firstTile = block * o._blockTiles, tiles = Math.Min(o._blockTiles, o._tiles - firstTile);
            int firstPanel = (int)((long)w.Panels * part / PanelPieces), lastPanel = (int)((long)w.Panels * (part + 1) / PanelPieces);
            byte* data = Scratch + worker * o.WorkerBytes;
            byte* filters = data + o._dataBytes, products = filters + o.FilterBytes;
            byte* results = products + Positions * o._productBytes;
            byte** rows = (byte**)(results + o.ResultBytes);
            int subs = (tiles + o._subTiles - 1) / o._subTiles;
            nint subBytes = Positions * o._positionBytes;
            for (int sub = 0; sub < subs; sub++)
            {
                QGemmPanels.Tile(tiles, o._subTiles, sub, out int first, out int count);
                for (int t = 0; t < count; t++) o.TransformInput(X, firstTile + first + t, data + sub * subBytes + (nint)t * o._rowBytes);
            }
            int pairs = TTile.Input / 2;
            nint pairBytes = 2 * TTile.Input * o._filterBytes;
            for (int panel = firstPanel; panel < lastPanel; panel++)
            {
                for (int pair = 0; subs > 1 && pair < pairs; pair++) w.Transform<TTile>(panel, pair, filters + pair * pairBytes, o._filterBytes);
                for (int sub = 0; sub < subs; sub++)
                {
                    QGemmPanels.Tile(tiles, o._subTiles, sub, out int first, out int count);
                    for (int pair = 0; pair < pairs; pair++)
                    {
                        if (subs == 1) w.Transform<TTile>(panel, pair, filters, o._filterBytes);
                        o.Multiply(data + sub * subBytes, filters + (subs == 1 ? 0 : pair * pairBytes), pair, sub == 0 && panel + 1 < lastPanel ? panel + 1 : -1, products, count, rows);
                    }
                    for (int t = 0; t < count; t++) o.TransformResult(products, t, panel, (int*)results);
                    o.Store((int*)results, firstTile + first, count, panel, Sum, Y, YStride);
                }
            }
        }
    }

    /// <summary><c>V = Bᵀ (x − zx) B</c> of one tile, all channels.</summary>
    [MethodImpl(HotLoop.Optimized)]
    private void TransformInput(byte* x, int tile, byte* to)
    {
        ConvShape shape = _owner.Shape;
        int side = TTile.Input, channels = shape.InChannels, height = shape.H.Input, width = shape.W.Input;
        int column = tile % _tilesWide * TTile.Output - shape.W.PadBegin, line = tile / _tilesWide % _tilesHigh * TTile.Output - shape.H.PadBegin;
        byte* image = x + (nint)(tile / (_tilesWide * _tilesHigh)) * height * width * channels;
        byte** taps = stackalloc byte*[Positions];
        for (int i = 0; i < side; i++)
        {
            byte* row = image + ((nint)(line + i) * width + column) * channels;
            bool inside = (uint)(line + i) < height;
            for (int j = 0; j < side; j++)
                taps[i * side + j] = inside && (uint)(column + j) < width ? row + (nint)j * channels : _padRow.Pointer;
        }
        Vector256<short>* half = stackalloc Vector256<short>[Positions];
        nint positionVectors = _positionBytes / sizeof(Vector256<short>);
        Vector256<short> zeroPoint = Vector256.Create((short)_owner.ZeroPoint);
        for (int c = 0; c < channels; c += Lanes)
        {
            if (c > channels - Lanes) c = channels - Lanes;   // the last vector overlaps the one before and stores the same
            for (int j = 0; j < side; j++) TTile.Data(new WinogradPixels(taps + j, TTile.Input, c, zeroPoint), half + j, TTile.Input);
            byte* at = to + c * sizeof(short);
            for (int i = 0; i < side; i++, at += side * _positionBytes) TTile.Data(new WinogradWords(half + i * side), (Vector256<short>*)at, positionVectors);
        }
    }

    /// <summary><c>M[position] = V[position]·U[position]</c> for some tiles, one panel and two rows of positions; also asks for the filters of panel <paramref name="next"/>, if it is not negative.</summary>
    [MethodImpl(HotLoop.Optimized)]
    private void Multiply(byte* data, byte* filters, int pair, int next, byte* products, int tiles, byte** rows)
    {
        QGemmKernel kernel = _weights.Kernel;
        int mr = kernel.Mr, nr = kernel.Nr, calls = (tiles + mr - 1) / mr, share = tiles / calls, longer = tiles - share * calls, side = TTile.Input;
        (int firstRow, int secondRow) = TTile.Pair(pair);
        QGemmTile tile;
        tile.Tiles = tile.Taps = tile.Passes = 1;
        tile.Groups = _weights.Groups;
        tile.Init = (int*)_zeros.Pointer;
        tile.Plan = null;
        tile.Output = QOutput.Int32;
        tile.Columns = nr;
        tile.Ahead = next < 0 ? null : _weights.Panel(next) + (nint)_weights.PanelBytes * 2 * pair / side;
        tile.AheadEnd = next < 0 ? null : _weights.Panel(next) + (nint)_weights.PanelBytes * 2 * (pair + 1) / side;
        tile.AheadStep = next < 0 ? 0 : (_weights.PanelBytes + Positions * calls - 1) / (Positions * calls);
        for (int i = 0; i < 2 * side; i++, filters += _filterBytes)
        {
            nint position = (i < side ? firstRow : secondRow - 1) * side + i;
            tile.B = filters;
            tile.C = (int*)(products + position * _productBytes);
            byte* row = data + position * _positionBytes;
            byte** to = rows;
            for (int call = 0; call < calls; call++, to += mr)
            {
                int count = call < longer ? share + 1 : share;
                for (int r = 0; r < count; r++, row += _rowBytes) to[r] = row;
            }
            tile.Rows = rows;
            if (!kernel.Finishes)
            {
                for (int call = 0; call < calls; call++, tile.Rows += mr)
                {
                    tile.RowCount = call < longer ? share + 1 : share;
                    kernel.Run(&tile);
                    tile.C += tile.RowCount * nr;
                }
                continue;
            }
            if (longer > 0)
            {
                (tile.Tiles, tile.RowCount) = (longer, share + 1);
                kernel.Run(&tile);
                tile.Rows += longer * mr;
                tile.C += longer * (share + 1) * nr;
                tile.Ahead += longer * tile.AheadStep;
            }
            (tile.Tiles, tile.RowCount) = (calls - longer, share);
            kernel.Run(&tile);
            tile.Ahead += (calls - longer) * tile.AheadStep;
        }
    }

    /// <summary><c>D = Aᵀ M A · inverse &gt;&gt; shift + bias</c> of one tile and one panel.</summary>
    [MethodImpl(HotLoop.Optimized)]
    private void TransformResult(byte* products, int tile, int panel, int* results)
    {
        int side = TTile.Input, m = TTile.Output, nr = _weights.Kernel.Nr;
        int* bias = _owner.Epilogue.BiasPointer + panel * nr;
        Vector256<int>* half = stackalloc Vector256<int>[TTile.Output * TTile.Input], whole = stackalloc Vector256<int>[TTile.Output];
        nint lineVectors = side * _productBytes / sizeof(Vector256<int>);
        Vector256<int> inverse = Vector256.Create(TTile.Inverse);
        for (int n = 0; n < nr; n += 8)
        {
            byte* from = products + ((nint)tile * nr + n) * sizeof(int);
            for (int j = 0; j < side; j++, from += _productBytes) TTile.Result((Vector256<int>*)from, lineVectors, half + j, TTile.Input);
            Vector256<int> start = Vector256.Load(bias + n);
            for (int i = 0; i < m; i++)
            {
                TTile.Result(half + i * side, 1, whole, 1);
                int* to = results + ((nint)(i * _subTiles + tile) * m) * nr + n;
                for (int j = 0; j < m; j++, to += nr)
                {
                    Vector256<int> scaled = TTile.Inverse == 1 ? whole[j] : whole[j] * inverse;
                    (Vector256.ShiftRightArithmetic(scaled, TTile.Shift) + start).Store(to);
                }
            }
        }
    }

    /// <summary>Hands runs of neighbouring output pixels to the epilogue.</summary>
    [MethodImpl(HotLoop.Optimized)]
    private void Store(int* results, int firstTile, int tiles, int panel, byte* sum, byte* y, nint yStride)
    {
        ConvShape shape = _owner.Shape;
        QEpilogue epilogue = _owner.Epilogue;
        QGemmKernel kernel = _weights.Kernel;
        int m = TTile.Output, nr = kernel.Nr, channel = panel * nr, outHeight = shape.H.Output, outWidth = shape.W.Output;
        QEpilogueBlock block;
        block.CStride = nr;
        block.Columns = Math.Min(nr, shape.OutChannels - channel);
        block.Channel = channel;
        block.SumStride = (nint)epilogue.SumRowStride * epilogue.SumElementBytes;
        block.YStride = yStride;
        for (int t = 0; t < tiles;)
        {
            int tile = firstTile + t, column = tile % _tilesWide, line = tile / _tilesWide % _tilesHigh, image = tile / (_tilesWide * _tilesHigh);
            int run = Math.Min(_tilesWide - column, tiles - t);
            block.Rows = Math.Min(run * m, outWidth - column * m);
            for (int i = 0; i < Math.Min(m, outHeight - line * m); i++)
            {
                nint pixel = ((nint)image * outHeight + line * m + i) * outWidth + column * m;
                block.C = results + (nint)(i * _subTiles + t) * m * nr;
                block.Y = y + pixel * yStride + (nint)channel * epilogue.ElementBytes;
                block.Sum = epilogue.Sum is null ? null : sum + pixel * block.SumStride + (nint)channel * epilogue.SumElementBytes;
                kernel.Epilogue.Apply(epilogue, &block);
            }
            t += run;
        }
    }
}
