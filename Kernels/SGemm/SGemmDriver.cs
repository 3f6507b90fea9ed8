using Octet.Kernels.Threading;

namespace Octet.Kernels.SGemm;

/// <summary>Float32 matrix products: cuts the rows and columns into blocks, pieces and tiles. Start reading at <see cref="Run"/>.</summary>
/// <remarks>
/// Rows of A are read in place. A deep product of many rows is cut along K as well, and the output holds the running sums meanwhile; storing
/// and loading a float changes nothing, so each output is one chain of additions in ascending k whatever the cuts, tiles and threads.
/// </remarks>
internal static unsafe class SGemmDriver
{
    /// <summary>Bytes of A that a block of rows may span in one block of the depth, so that it stays in a 512 KiB L2 while panels of B pass.</summary>
    private const int BlockBytes = 384 * 1024;

    /// <summary>Depth of a block: a panel of B of that depth is at most 96 KiB.</summary>
    private const int BlockDepth = 768;

    /// <summary>Bytes of a B that stays in L1 beside some rows: rows then meet all of it at once, and their outputs are written in order.</summary>
    private const int NearBytes = 16 * 1024;

    /// <summary>Panels that such a B must have at least: a call per panel and tile would cost more than order gains.</summary>
    private const int NearPanels = 4;

    /// <summary>Multiply-accumulates below which a piece is not worth handing to another thread: about 10 µs.</summary>
    private const long PieceWork = 1 << 19;

    /// <summary><c>Y[m, n] = epilogue(A[m, K] · B[K, n])</c> with a packed B.</summary>
    /// <param name="a">A, rows of <paramref name="lda"/> floats.</param>
    /// <param name="lda">Row stride of A, at least K.</param>
    /// <param name="m">Rows.</param>
    /// <param name="w">Packed B.</param>
    /// <param name="e">Bias and activation.</param>
    /// <param name="sum">Operand that is added, rows of <paramref name="ldSum"/>; empty for none. May be <paramref name="y"/> itself.</param>
    /// <param name="y">Output, rows of <paramref name="ldy"/>; must not overlap A.</param>
    /// <param name="ldy">Row stride of Y, at least n.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/> bytes.</param>
    /// <param name="p">Threads.</param>
    /// <param name="ldSum">Row stride of the sum operand; 0 means n.</param>
    /// <exception cref="ArgumentException">A span is too short for its extents.</exception>
    public static void Run(ReadOnlySpan<float> a, int lda, int m, SGemmWeights w, SEpilogue e, ReadOnlySpan<float> sum,
        Span<float> y, int ldy, Span<byte> scratch, Parallelism p, int ldSum = 0)
    {
        int n = w.N, k = w.K;
        if (ldSum == 0) ldSum = n;
        if (m == 0 || n == 0) return;
        Require(a.Length, m, k, lda, "A");
        Require(y.Length, m, n, ldy, "Y");
        if (!sum.IsEmpty) Require(sum.Length, m, n, ldSum, "sum");
        if (e.Channels != n) throw new ArgumentException($"the epilogue has {e.Channels} channels for {n} columns", nameof(e));
        fixed (float* ap = a, sp = sum, yp = y)
        {
            var work = new MatrixPieces(w.Kernel, w.Panels, k, n, e)
            {
                A = ap,
                Lda = lda,
                M = m,
                Sum = sum.IsEmpty ? null : sp,
                SumStride = ldSum,
                Y = yp,
                YStride = ldy,
            };
            work.Cut(p.MaxWorkers);
            p.For(ref work, work.Count);
        }
    }

    /// <summary>Scratch bytes of <see cref="Run"/>: none, because rows are read in place.</summary>
    public static long ScratchBytes(int m, SGemmWeights w, int workers) => 0;

    internal static void Require(int length, int rows, int columns, int stride, string name)
    {
        if (stride < columns) throw new ArgumentException($"{name} has row stride {stride} for {columns} columns");
        if (rows > 0 && columns > 0 && length < (long)(rows - 1) * stride + columns)
            throw new ArgumentException($"{name} has {length} elements; {rows} rows of {columns} with stride {stride} need {(long)(rows - 1) * stride + columns}");
    }

    /// <summary>A block of rows times a group of panels per piece; pieces of one block of rows follow each other.</summary>
    internal struct MatrixPieces(SGemmKernel kernel, float* panels, int k, int n, SEpilogue epilogue) : IPieces
    {
        public float* A;
        public nint Lda;
        public int M;
        public float* Sum;
        public nint SumStride;
        public float* Y;
        public nint YStride;

        private int _blockRows;
        private int _blockDepth;
        private int _blocks;
        private int _groupPanels;
        private int _groups;

        public readonly int Count => _blocks * _groups;

        public void Cut(int workers)
        {
            int panelCount = SGemmPacking.Panels(n, kernel), mr = kernel.Mr;
            // Few rows read B once anyway; a sum operand may lie in the output, which then cannot hold running sums.
            int cuts = M <= 4 * mr || Sum != null ? 1 : (k + BlockDepth - 1) / BlockDepth;
            _blockDepth = Math.Max(1, (k + cuts - 1) / Math.Max(1, cuts));
            int most = (int)Math.Clamp(BlockBytes / (_blockDepth * (long)sizeof(float)) / mr * mr, 4 * mr, 64 * mr);
            // Blocks are about equal: a block of two rows would read all of B for them.
            int blocks = Math.Max(1, (int)Math.Round((double)M / most, MidpointRounding.AwayFromZero));
            int rows = ((M + blocks - 1) / blocks + mr - 1) / mr * mr;
            _groupPanels = panelCount;
            if (workers > 1)
            {
                // Cut rows first, then columns, until each worker has several pieces or pieces get too small.
                long total = (long)M * n * k;
                long wanted = Math.Min(4L * workers, Math.Max(1, total / PieceWork));
                int byRows = (int)Math.Min(wanted, (M + mr - 1) / mr);
                rows = Math.Min(rows, (M + byRows - 1) / byRows);
                rows = (rows + mr - 1) / mr * mr;
                int byColumns = (int)Math.Min(panelCount, (wanted + byRows - 1) / byRows);
                _groupPanels = (panelCount + byColumns - 1) / byColumns;
            }
            _blockRows = rows;
            _blocks = (M + rows - 1) / rows;
            _groups = (panelCount + _groupPanels - 1) / _groupPanels;
        }

        public readonly void Run(int piece, int worker)
        {
            int block = piece / _groups, group = piece - block * _groups;
            int firstRow = block * _blockRows, rows = Math.Min(_blockRows, M - firstRow);
            int firstPanel = group * _groupPanels, endPanel = Math.Min(firstPanel + _groupPanels, SGemmPacking.Panels(n, kernel));
            int tiles = (rows + kernel.Mr - 1) / kernel.Mr;

            // Rows are spread evenly over the tiles: 13 rows are 6 + 7, not 12 + 1.
            int low = rows / tiles, lowTiles = tiles - rows % tiles;
            int TileRow(int tile) => tile * low + Math.Max(0, tile - lowTiles);
            bool near = rows > 2 && _blockDepth >= k && n >= NearPanels * kernel.Nr && (long)k * n * sizeof(float) <= NearBytes;
            float** pointers = stackalloc float*[rows];
            float* spare = stackalloc float[SGemmTiler.SpareFloats];
            for (int from = 0; ; from += _blockDepth)
            {
                int depth = Math.Min(_blockDepth, k - from);
                var tiler = new SGemmTiler(kernel, epilogue, 1, depth, spare) { First = from == 0, Last = from + depth >= k };
                for (int r = 0; r < rows; r++) pointers[r] = A + (firstRow + r) * Lda + from;
                for (int tile = 0; near && tile < tiles; tile++)
                {
                    int height = tile < lowTiles ? low : low + 1, row = TileRow(tile), column = firstPanel * kernel.Nr;
                    tiler.RunAcross(pointers + row, height, Math.Min(endPanel * kernel.Nr, n) - column, panels + (nint)column * k, column,
                        Sum == null ? null : Sum + (firstRow + row) * SumStride + column, SumStride, Y + (firstRow + row) * YStride + column, YStride);
                }
                for (int panel = firstPanel; !near && panel < endPanel; panel++)
                {
                    int column = panel * kernel.Nr, columns = Math.Min(kernel.Nr, n - column), width = kernel.PanelWidth(columns);
                    float* b = panels + (nint)column * k + (nint)from * width;
                    if (rows == 1 && tiler is { First: true, Last: true } && panel + SGemmKernel.RowPanels <= endPanel && column + SGemmKernel.RowPanels * kernel.Nr <= n)
                    {
                        tiler.RunRow(pointers, b, (nint)kernel.Nr * k, column, Sum == null ? null : Sum + firstRow * SumStride + column, Y + firstRow * YStride + column);
                        panel += SGemmKernel.RowPanels - 1;
                        continue;
                    }
                    if (rows == 2 && tiler.TakesTwoRows && panel + SGemmKernel.TwoRowPanels <= endPanel && column + SGemmKernel.TwoRowPanels * kernel.Nr <= n)
                    {
                        tiler.RunTwoRows(pointers, b, (nint)kernel.Nr * k, column, Sum == null ? null : Sum + firstRow * SumStride + column, SumStride, Y + firstRow * YStride + column, YStride);
                        panel += SGemmKernel.TwoRowPanels - 1;
                        continue;
                    }
                    // After the last panel the first of the next part of the depth follows, or nothing.
                    float* next = panel + 1 < endPanel ? b + (nint)kernel.Nr * k : from + depth < k ? panels + (nint)firstPanel * kernel.Nr * k + (nint)(from + depth) * width : b;
                    tiler.Prefetch(b, next, (nint)depth * width, tiles);
                    for (int tile = 0; tile < tiles;)
                    {
                        int height = tile < lowTiles ? low : low + 1, count = (tile < lowTiles ? lowTiles : tiles) - tile, row = TileRow(tile);
                        tiler.Run(pointers + row, height, count, b, column, columns, Sum == null ? null : Sum + (firstRow + row) * SumStride + column, SumStride,
                            Y + (firstRow + row) * YStride + column, YStride);
                        tile += count;
                    }
                }
                if (from + depth >= k) break;
            }
        }
    }
}

/// <summary>Runs one tile and what follows it: the activation that a tile cannot apply, and a sum that comes after it.</summary>
internal unsafe struct SGemmTiler
{
    /// <summary>Floats of the spare tile: the largest <c>Mr · Nr</c>.</summary>
    public const int SpareTile = 12 * 32;

    /// <summary>Floats that the caller provides: the tile's own spare, and one for an activation that a sum follows.</summary>
    public const int SpareFloats = 2 * SpareTile;

    private readonly SGemmKernel _kernel;
    private readonly SEpilogue _epilogue;
    private readonly float* _spare;
    private SGemmTileArguments _arguments;

    /// <summary>Whether tiles begin at the bias; otherwise they go on from the output.</summary>
    public bool First = true;

    /// <summary>Whether tiles end with sum and activation; otherwise the output keeps running sums.</summary>
    public bool Last = true;

    public SGemmTiler(SGemmKernel kernel, SEpilogue epilogue, int taps, int depth, float* spare)
    {
        _kernel = kernel;
        _epilogue = epilogue;
        _spare = spare;
        _arguments.Taps = taps;
        _arguments.Spare = spare + SpareTile;
        _arguments.Depth = depth;
        _arguments.ClampFirst = epilogue.ActivationFirst;
        _arguments.Low = epilogue.Low;
        _arguments.High = epilogue.High;
    }

    /// <summary>
    /// Spreads the fetching of the next panel of B over the tiles of this one, so that the first tile of a panel does not wait for memory alone. A
    /// panel of one tile is fetched ahead in its own stream, unless it is short: asking for addresses that no memory lies behind takes longer than all of its products.
    /// </summary>
    /// <param name="b">The panel in use.</param>
    /// <param name="next">The panel that follows; <paramref name="b"/> if there is none.</param>
    /// <param name="floats">Floats of either.</param>
    /// <param name="tiles">Tiles of the panel.</param>
    public void Prefetch(float* b, float* next, nint floats, int tiles)
    {
        const int streamAheadBytes = 4096;
        nint steps = Math.Max(1, tiles * _arguments.Taps * _arguments.Depth);
        _arguments.Prefetch = tiles > 1 ? (byte*)next : floats * sizeof(float) >= 4 * streamAheadBytes ? (byte*)b + streamAheadBytes : (byte*)b;
        _arguments.PrefetchStep = (floats * sizeof(float) + steps - 1) / steps;
    }

    /// <summary>
    /// <paramref name="tiles"/> tiles of <paramref name="rows"/> × <paramref name="columns"/> that follow each other in pointers, sum and output;
    /// <paramref name="channel"/> is the bias of their first column. Without pointers the rows are those of <see cref="SGemmTileArguments.Line"/>.
    /// </summary>
    public void Run(float** pointers, int rows, int tiles, float* b, int channel, int columns, float* sum, nint sumStride, float* y, nint yStride)
    {
        Start(pointers, tiles, b, channel, columns, sum, sumStride, y, yStride);
        delegate*<SGemmTileArguments*, void> run = _kernel.Tile(rows, columns <= _kernel.Lanes ? 1 : 2);
        if (Last && _epilogue.AfterStore is not null)
        {
            for (int tile = 0; tile < tiles; tile++)
            {
                RunActivated(run, pointers == null ? null : pointers + tile * rows * _arguments.Taps, rows, columns, sum == null ? null : sum + tile * rows * sumStride, y + tile * rows * yStride, yStride);
                _arguments.Line += rows * _arguments.LineStep;
            }
            return;
        }
        fixed (SGemmTileArguments* arguments = &_arguments) run(arguments);
    }

    /// <summary>
    /// Columns <paramref name="channel"/> to <paramref name="channel"/> + <paramref name="columns"/> for <paramref name="count"/> rows that lie <paramref name="step"/> floats apart, with taps
    /// <paramref name="tapStep"/> floats apart, in tiles of nearly equal heights.
    /// </summary>
    public void RunLine(float* line, nint step, nint tapStep, int count, float* b, int channel, int columns, float* sum, nint sumStride, float* y, nint yStride)
    {
        nint depth = _arguments.Depth;
        if (_arguments.Taps * depth <= SGemmKernel.ShortDepth && sum == null && First && Last && _epilogue.AfterStore is null)
        {
            nint* offsets = stackalloc nint[SGemmKernel.ShortDepth];
            nint* to = offsets;
            for (nint tap = 0; tap < _arguments.Taps; tap++) for (nint k = 0; k < depth; k++) *to++ = tap * tapStep + k;
            var arguments = new SGemmShortArguments
            {
                A = line,
                Step = step,
                Rows = count,
                Offsets = offsets,
                Depth = _arguments.Taps * depth,
                B = b,
                Bias = _epilogue.Bias + channel,
                Y = y,
                YStride = yStride,
                Columns = columns,
                Low = _epilogue.Clamps ? _epilogue.Low : float.NegativeInfinity,
                High = _epilogue.Clamps ? _epilogue.High : float.PositiveInfinity,
            };
            _kernel.Short(columns <= _kernel.Lanes ? 1 : 2)(&arguments);
            return;
        }
        (_arguments.LineStep, _arguments.TapStep) = (step, tapStep);
        int tiles = (count + _kernel.Mr - 1) / _kernel.Mr, rows = count / tiles, higher = count - tiles * rows;
        for (int part = 0; part < 2; part++)
        {
            int height = rows + part, run = part == 0 ? tiles - higher : higher;
            if (run == 0) continue;
            _arguments.Line = line;
            Run(null, height, run, b, channel, columns, sum, sumStride, y, yStride);
            nint done = (nint)run * height;
            line += done * step;
            y += done * yStride;
            if (sum != null) sum += done * sumStride;
        }
    }

    /// <summary>
    /// All panels of <paramref name="columns"/> columns for the same <paramref name="rows"/>: the output is written line by line, and its next rows are asked for
    /// meanwhile. <paramref name="b"/> is the first panel, of all the depth.
    /// </summary>
    public void RunAcross(float** pointers, int rows, int columns, float* b, int channel, float* sum, nint sumStride, float* y, nint yStride)
    {
        nint depth = _arguments.Taps * _arguments.Depth;
        int whole = columns / _kernel.Nr;
        _arguments.Prefetch = (byte*)(y + rows * yStride);
        _arguments.PrefetchStep = yStride <= 2 * columns ? rows * yStride * sizeof(float) / Math.Max(1, whole * depth) : 0;
        if (_epilogue.AfterStore is null && whole > 0)
        {
            _arguments.Across = true;
            Start(pointers, whole, b, channel, _kernel.Nr, sum, sumStride, y, yStride);
            fixed (SGemmTileArguments* arguments = &_arguments) _kernel.Tile(rows, 2)(arguments);
            _arguments.Across = false;
        }
        else whole = 0;
        for (int column = whole * _kernel.Nr; column < columns; column += _kernel.Nr)
        {
            Run(pointers, rows, 1, b + column * depth, channel + column, Math.Min(_kernel.Nr, columns - column), sum == null ? null : sum + column, sumStride, y + column, yStride);
        }
    }

    private void Start(float** pointers, int tiles, float* b, int channel, int columns, float* sum, nint sumStride, float* y, nint yStride)
    {
        _arguments.Rows = pointers;
        _arguments.Tiles = tiles;
        _arguments.B = b;
        _arguments.Bias = First ? _epilogue.Bias + channel : null;
        _arguments.Columns = columns;
        _arguments.Clamps = Last && _epilogue.Clamps;
        _arguments.Sum = sum;
        _arguments.SumStride = sumStride;
        _arguments.Y = y;
        _arguments.YStride = yStride;
    }

    private void RunActivated(delegate*<SGemmTileArguments*, void> run, float** pointers, int rows, int columns, float* sum, float* y, nint yStride)
    {
        // The sum may lie in the output, so a tile that must not see it yet is computed beside it.
        bool separate = sum != null && _epilogue.ActivationFirst;
        _arguments.Tiles = 1;
        _arguments.Rows = pointers;
        _arguments.Sum = separate ? null : sum;
        _arguments.Y = separate ? _spare : y;
        _arguments.YStride = separate ? _kernel.Nr : yStride;
        nint sumStride = _arguments.SumStride;
        fixed (SGemmTileArguments* arguments = &_arguments) run(arguments);
        Activate(rows, columns, separate, sum, sumStride, y, yStride);
    }

    /// <summary>One row by <see cref="SGemmKernel.RowPanels"/> whole panels.</summary>
    public void RunRow(float** pointers, float* b, nint panelStride, int channel, float* sum, float* y)
    {
        bool separate = sum != null && _epilogue.ActivationFirst && _epilogue.AfterStore is not null;
        int columns = SGemmKernel.RowPanels * _kernel.Nr;
        _arguments.Rows = pointers;
        _arguments.B = b;
        _arguments.PanelStride = panelStride;
        _arguments.Bias = _epilogue.Bias + channel;
        _arguments.Columns = columns;
        _arguments.Clamps = _epilogue.Clamps;
        _arguments.Sum = separate ? null : sum;
        _arguments.Y = separate ? _spare : y;
        fixed (SGemmTileArguments* arguments = &_arguments) _kernel.Row(arguments);
        Activate(1, columns, separate, sum, 0, y, 0);
    }

    /// <summary>Whether <see cref="RunTwoRows"/> can be used.</summary>
    public readonly bool TakesTwoRows => First && Last && _epilogue.AfterStore is null;

    /// <summary>Two rows by <see cref="SGemmKernel.TwoRowPanels"/> whole panels.</summary>
    public void RunTwoRows(float** pointers, float* b, nint panelStride, int channel, float* sum, nint sumStride, float* y, nint yStride)
    {
        Start(pointers, 1, b, channel, SGemmKernel.TwoRowPanels * _kernel.Nr, sum, sumStride, y, yStride);
        _arguments.PanelStride = panelStride;
        fixed (SGemmTileArguments* arguments = &_arguments) _kernel.TwoRows(arguments);
    }

    private readonly void Activate(int rows, int columns, bool separate, float* sum, nint sumStride, float* y, nint yStride)
    {
        if (_epilogue.AfterStore is not { } activation) return;
        for (int r = 0; r < rows; r++)
        {
            float* target = y + r * yStride;
            float* source = separate ? _spare + r * _kernel.Nr : target;
            activation.Run(source, source, columns, _epilogue.Alpha, _epilogue.Beta);
            if (separate) for (int j = 0; j < columns; j++) target[j] = source[j] + sum[r * sumStride + j];
        }
    }
}
