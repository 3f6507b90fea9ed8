using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Geometry;
using Octet.Kernels.Lanes;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;

namespace Octet.Kernels.SConv;

/// <summary>3×3 convolution of stride 1 through Winograd's minimal filtering: input tiles are transformed, one matrix product per position follows, products are transformed back.</summary>
/// <remarks>
/// <code>
///   x  ──Bᵀ·d·B──▶  V[position][tile][C]  ──· U[position][C][O]──▶  P[position][tile][columns]  ──Aᵀ·p·A + bias, sum, activation──▶  y
/// </code>
/// A block of tiles is done at a time, and of it a group of columns, so that V and P stay in L2. Tiles that cross the input's edge are copied with zeros around
/// them first. Where there are too few blocks for all threads, the input of all tiles is transformed first, and pieces are blocks times groups.
/// Each output is computed the same way whatever the blocks and threads.
/// </remarks>
internal sealed unsafe class SConvWinograd
{
    /// <summary>Bytes of V and P that a block should not exceed: they share a 1 MiB L2 with U.</summary>
    private const int BlockBytes = 512 * 1024;

    /// <summary>Columns of P at a time.</summary>
    private const int GroupColumns = 64;

    private const int LanesMost = 16, InputsMost = 6;

    private readonly ConvShape _shape;
    private readonly SGemmWeights[] _weights;
    private readonly SGemmKernel _kernel;
    private readonly SEpilogue _plain = SEpilogue.None(1);
    private readonly delegate*<float*, nint, nint, int, float*, nint, float*, void> _transformInput;
    private readonly delegate*<OutputTile*, void> _transformOutput;
    private readonly int _outputs, _inputs, _positions, _lanes;
    private readonly int _tilesH, _tilesW, _tiles, _images;
    private readonly int _paddedIn, _rowIn, _groups;
    private readonly int _block;

    /// <summary>Prepares a convolution.</summary>
    /// <param name="shape">A shape that <see cref="Takes"/>.</param>
    /// <param name="weights">From <see cref="Pack"/>.</param>
    /// <param name="outputs">2 or 4.</param>
    /// <param name="width">Register width of the transforms.</param>
    public SConvWinograd(ConvShape shape, SGemmWeights[] weights, int outputs, VectorWidth width)
    {
        (_shape, _weights, _kernel, _outputs, _inputs) = (shape, weights, weights[0].Kernel, outputs, outputs + 2);
        _positions = _inputs * _inputs;
        Functions functions = (outputs, width) switch
        {
            (2, VectorWidth.V512) => Functions.Of<WinogradTwo, Lanes512, Vector512<float>>(),
            (2, VectorWidth.V256) => Functions.Of<WinogradTwo, Lanes256, Vector256<float>>(),
            (2, VectorWidth.V128) => Functions.Of<WinogradTwo, Lanes128, Vector128<float>>(),
            (2, _) => Functions.Of<WinogradTwo, ScalarLanes, float>(),
            (_, VectorWidth.V512) => Functions.Of<WinogradFour, Lanes512, Vector512<float>>(),
            (_, VectorWidth.V256) => Functions.Of<WinogradFour, Lanes256, Vector256<float>>(),
            (_, VectorWidth.V128) => Functions.Of<WinogradFour, Lanes128, Vector128<float>>(),
            _ => Functions.Of<WinogradFour, ScalarLanes, float>(),
        };
        _lanes = functions.Lanes;
        _transformInput = functions.Input;
        _transformOutput = functions.Output;
        _images = shape.Batch * shape.D.Output;
        _tilesH = (shape.H.Output + outputs - 1) / outputs;
        _tilesW = (shape.W.Output + outputs - 1) / outputs;
        _tiles = checked(_images * _tilesH * _tilesW);
        _paddedIn = (shape.InChannels + _lanes - 1) / _lanes * _lanes;
        _rowIn = _paddedIn + LanesMost;   // no power of two, so that the rows of a tile do not meet in one cache set
        _groups = (shape.OutChannels + GroupColumns - 1) / GroupColumns;
        long tileBytes = (long)_positions * (_rowIn + Math.Min(GroupColumns, shape.OutChannels)) * sizeof(float);
        int most = (int)Math.Clamp(BlockBytes / tileBytes / _kernel.Mr * _kernel.Mr, 2 * _kernel.Mr, 8 * _kernel.Mr);
        int blocks = Math.Max(1, (_tiles + most - 1) / most);
        _block = Math.Max(1, (_tiles + blocks - 1) / blocks);
    }

    private struct Functions
    {
        public int Lanes;
        public delegate*<float*, nint, nint, int, float*, nint, float*, void> Input;
        public delegate*<OutputTile*, void> Output;

        public static Functions Of<TTile, TLanes, V>() where TTile : struct, IWinogradTile where TLanes : struct, ILanes<V> where V : unmanaged => new()
        {
            Lanes = TLanes.Count,
            Input = &Transforms<TTile, TLanes, V>.Input,
            Output = &Transforms<TTile, TLanes, V>.Output,
        };
    }

    /// <summary>Whether the shape is a 3×3 convolution of stride 1 without groups and dilation.</summary>
    public static bool Takes(ConvShape shape) =>
        shape.Groups == 1 && (shape.H.Kernel, shape.H.Stride, shape.H.Dilation) == (3, 1, 1) && (shape.W.Kernel, shape.W.Stride, shape.W.Dilation) == (3, 1, 1)
        && (shape.D.Kernel, shape.D.Stride, shape.D.PadBegin, shape.D.PadEnd) == (1, 1, 0, 0);

    /// <summary>Packs <c>U[position][C][O] = G·g·Gᵀ</c>, computed in double and rounded once.</summary>
    /// <param name="weights"><c>[O, C, 3, 3]</c>.</param>
    /// <param name="inChannels">C.</param>
    /// <param name="outChannels">O.</param>
    /// <param name="kernel">Who will read them.</param>
    public static SGemmWeights[] Pack<TTile>(ReadOnlySpan<float> weights, int inChannels, int outChannels, SGemmKernel kernel) where TTile : struct, IWinogradTile
    {
        int inputs = TTile.Inputs;
        ReadOnlySpan<double> g = TTile.WeightTransform;
        var packed = new SGemmWeights[inputs * inputs];
        for (int position = 0; position < packed.Length; position++) packed[position] = SGemmWeights.Zero(inChannels, outChannels, kernel);
        Span<double> half = stackalloc double[3 * InputsMost];
        for (int first = 0; first < outChannels; first += kernel.Nr)
        {
            int columns = Math.Min(kernel.Nr, outChannels - first), width = kernel.PanelWidth(columns);
            for (int c = 0; c < inChannels; c++)
            {
                nint at = (nint)first * inChannels + (nint)c * width;
                for (int j = 0; j < columns; j++, at++)
                {
                    ReadOnlySpan<float> filter = weights.Slice(((first + j) * inChannels + c) * 9, 9);
                    for (int p = 0; p < inputs; p++)
                    {
                        for (int k = 0; k < 3; k++) half[3 * p + k] = g[3 * p] * filter[k] + g[3 * p + 1] * filter[3 + k] + g[3 * p + 2] * filter[6 + k];
                    }
                    for (int p = 0; p < inputs; p++)
                    {
                        for (int q = 0; q < inputs; q++)
                            packed[p * inputs + q].Panels[at] = (float)(half[3 * p] * g[3 * q] + half[3 * p + 1] * g[3 * q + 1] + half[3 * p + 2] * g[3 * q + 2]);
                    }
                }
            }
        }
        return packed;
    }

    private int Blocks => (_tiles + _block - 1) / _block;

    private bool Shares(int workers) => workers > 1 && Blocks < 3 * workers;

    private long InputBytes(int tiles) => _positions * Spread((long)tiles * _rowIn) * sizeof(float);

    private long ProductBytes => _positions * Spread((long)_block * GroupColumns) * sizeof(float);

    /// <summary>Floats between positions: an odd number of cache lines, so that all positions of a tile lie in different cache sets.</summary>
    private static long Spread(long floats) => ((floats + LanesMost - 1) / LanesMost | 1) * LanesMost;

    private long EdgeBytes => Align((long)_positions * _paddedIn * sizeof(float));

    // One transform's intermediate values, then the rows of an output tile, then outputs that wait for their sum.
    private static long TemporaryBytes => Align(2L * InputsMost * InputsMost * LanesMost * sizeof(float) + 16L * GroupColumns * sizeof(float));

    private long WorkerBytes(bool shares) => ProductBytes + EdgeBytes + TemporaryBytes + (shares ? 0 : InputBytes(_block));

    private static long Align(long bytes) => (bytes + 63) & ~63L;

    /// <summary>Scratch bytes for <paramref name="workers"/> threads.</summary>
    public long ScratchBytes(int workers)
    {
        bool shares = Shares(workers);
        return (shares ? InputBytes(_tiles) : 0) + WorkerBytes(shares) * Math.Max(1, workers);
    }

    /// <summary>Runs it. Pixel strides are in floats; <paramref name="sum"/> may be null.</summary>
    public void Run(float* x, float* sum, int sumStride, float* y, int yStride, SEpilogue e, byte* scratch, Parallelism p)
    {
        int workers = p.MaxWorkers;
        var work = new Pieces { This = this, X = x, Sum = sum, SumStride = sumStride, Y = y, YStride = yStride, Epilogue = e, Shared = Shares(workers) };
        work.V = (float*)scratch;
        work.Workers = scratch + (work.Shared ? InputBytes(_tiles) : 0);
        work.Block = _block;
        if (!work.Shared)
        {
            p.For(ref work, Blocks);
            return;
        }
        int chunks = Math.Min(_tiles, 4 * workers);
        work.Block = (_tiles + chunks - 1) / chunks;
        work.TransformsOnly = true;
        p.For(ref work, (_tiles + work.Block - 1) / work.Block);
        work.TransformsOnly = false;
        // Pieces of one group each, and of half as many tiles while that leaves full matrix tiles.
        work.Block = _block;
        while (work.Block > 2 * _kernel.Mr && (_tiles + work.Block - 1) / work.Block * _groups < 3 * workers) work.Block = (work.Block + 1) / 2;
        p.For(ref work, (_tiles + work.Block - 1) / work.Block * _groups);
    }

    private struct Pieces : IPieces
    {
        public SConvWinograd This;
        public float* X, Sum, Y, V;
        public int SumStride, YStride, Block;
        public SEpilogue Epilogue;
        public byte* Workers;
        public bool Shared, TransformsOnly;

        public readonly void Run(int piece, int worker) => This.RunPiece(this, piece, worker);
    }

    private void RunPiece(in Pieces work, int piece, int worker)
    {
        byte* scratch = work.Workers + worker * WorkerBytes(work.Shared);
        float* products = (float*)scratch, edge = (float*)(scratch + ProductBytes), temporary = (float*)(scratch + ProductBytes + EdgeBytes);
        if (work.Shared)
        {
            nint stride = (nint)Spread((long)_tiles * _rowIn);
            if (work.TransformsOnly)
            {
                int start = piece * work.Block;
                TransformInputs(work.X, start, Math.Min(start + work.Block, _tiles), work.V + (nint)start * _rowIn, stride, edge, temporary);
                return;
            }
            int block = piece / _groups, begin = block * work.Block, last = Math.Min(begin + work.Block, _tiles);
            RunGroup(work, piece - block * _groups, begin, last, work.V + (nint)begin * _rowIn, stride, products, temporary);
            return;
        }
        int first = piece * _block, end = Math.Min(first + _block, _tiles);
        float* v = (float*)(scratch + WorkerBytes(shares: true));
        nint spread = (nint)Spread((long)_block * _rowIn);
        TransformInputs(work.X, first, end, v, spread, edge, temporary);
        for (int group = 0; group < _groups; group++) RunGroup(work, group, first, end, v, spread, products, temporary);
    }

    private void TransformInputs(float* x, int first, int end, float* v, nint positionStride, float* edge, float* temporary)
    {
        WindowAxis h = _shape.H, w = _shape.W;
        int channels = _shape.InChannels, whole = channels / _lanes * _lanes;
        nint lineStride = (nint)w.Input * channels;
        for (int tile = first; tile < end; tile++, v += _rowIn)
        {
            int line = tile / _tilesW, image = line / _tilesH;
            int ih = (line - image * _tilesH) * _outputs - h.PadBegin, iw = (tile - line * _tilesW) * _outputs - w.PadBegin;
            float* plane = x + image * h.Input * lineStride;
            if (ih >= 0 && iw >= 0 && ih + _inputs <= h.Input && iw + _inputs <= w.Input)
            {
                float* origin = plane + ih * lineStride + (nint)iw * channels;
                _transformInput(origin, lineStride, channels, whole, v, positionStride, temporary);
                if (whole == channels) continue;
                for (int r = 0; r < _inputs; r++)
                {
                    for (int c = 0; c < _inputs; c++) Copy(origin + r * lineStride + (nint)c * channels + whole, channels - whole, edge + (r * _inputs + c) * _lanes, _lanes);
                }
                _transformInput(edge, _inputs * _lanes, _lanes, _lanes, v + whole, positionStride, temporary);
                continue;
            }
            for (int r = 0; r < _inputs; r++)
            {
                bool inside = (uint)(ih + r) < (uint)h.Input;
                if (channels == _paddedIn)
                {
                    var to = new Span<float>(edge + (nint)r * _inputs * channels, _inputs * channels);
                    if (!inside)
                    {
                        to.Clear();
                        continue;
                    }
                    int left = Math.Clamp(-iw, 0, _inputs), right = Math.Clamp(w.Input - iw, left, _inputs);
                    to[..(left * channels)].Clear();
                    if (right > left) new ReadOnlySpan<float>(plane + (ih + r) * lineStride + (nint)(iw + left) * channels, (right - left) * channels).CopyTo(to[(left * channels)..]);
                    to[(right * channels)..].Clear();
                    continue;
                }
                for (int c = 0; c < _inputs; c++)
                {
                    float* to = edge + (nint)(r * _inputs + c) * _paddedIn;
                    if (inside && (uint)(iw + c) < (uint)w.Input) Copy(plane + (ih + r) * lineStride + (nint)(iw + c) * channels, channels, to, _paddedIn);
                    else new Span<float>(to, _paddedIn).Clear();
                }
            }
            _transformInput(edge, (nint)_inputs * _paddedIn, _paddedIn, _paddedIn, v, positionStride, temporary);
        }
    }

    private static void Copy(float* from, int count, float* to, int padded)
    {
        new ReadOnlySpan<float>(from, count).CopyTo(new Span<float>(to, padded));
        new Span<float>(to + count, padded - count).Clear();
    }

    private void RunGroup(in Pieces work, int group, int first, int end, float* v, nint positionStride, float* products, float* temporary)
    {
        int tiles = end - first, firstColumn = group * GroupColumns, endColumn = Math.Min(firstColumn + GroupColumns, _shape.OutChannels);
        nint productStride = (nint)Spread((long)tiles * GroupColumns);
        Multiply(firstColumn, endColumn, tiles, v, positionStride, products, productStride);

        WindowAxis h = _shape.H, w = _shape.W;
        SEpilogue e = work.Epilogue;
        var output = new OutputTile
        {
            PositionStride = productStride,
            Columns = endColumn - firstColumn,
            Bias = e.Bias + firstColumn,
            Clamps = e.Clamps,
            ClampFirst = e.ActivationFirst,
            Low = e.Low,
            High = e.High,
            Temporary = temporary,
            YColumn = work.YStride,
            YRow = (nint)w.Output * work.YStride,
            SumColumn = work.SumStride,
            SumRow = (nint)w.Output * work.SumStride,
        };
        // The sum may lie in the output, so outputs whose activation comes before it, and not in registers, are made beside it.
        bool separate = work.Sum != null && e.ActivationFirst && e.AfterStore is not null;
        float* spare = temporary + 2 * InputsMost * InputsMost * LanesMost;
        for (int tile = first; tile < end; tile++)
        {
            int line = tile / _tilesW, image = line / _tilesH;
            int oh = (line - image * _tilesH) * _outputs, ow = (tile - line * _tilesW) * _outputs;
            nint pixel = ((nint)image * h.Output + oh) * w.Output + ow;
            output.Products = products + (nint)(tile - first) * GroupColumns;
            output.Rows = Math.Min(_outputs, h.Output - oh);
            output.RowPixels = Math.Min(_outputs, w.Output - ow);
            float* y = work.Y + pixel * work.YStride + firstColumn, sum = work.Sum == null ? null : work.Sum + pixel * work.SumStride + firstColumn;
            output.Y = y;
            output.Sum = sum;
            if (separate)
            {
                output.Y = spare;
                output.Sum = null;
                output.YColumn = GroupColumns;
                output.YRow = _outputs * GroupColumns;
            }
            _transformOutput(&output);
            if (e.AfterStore is not { } activation) continue;
            for (int r = 0; r < output.Rows; r++)
            {
                for (int c = 0; c < output.RowPixels; c++)
                {
                    float* made = output.Y + r * output.YRow + c * output.YColumn;
                    activation.Run(made, made, output.Columns, e.Alpha, e.Beta);
                    if (!separate) continue;
                    float* target = y + (r * (nint)w.Output + c) * work.YStride, addend = sum + (r * (nint)w.Output + c) * work.SumStride;
                    for (int j = 0; j < output.Columns; j++) target[j] = made[j] + addend[j];
                }
            }
        }
    }

    /// <summary><c>P[position] = V[position] · U[position]</c> for a block of tiles and a group of columns.</summary>
    private void Multiply(int firstColumn, int endColumn, int rows, float* v, nint positionStride, float* products, nint productStride)
    {
        int depth = _shape.InChannels, matrixTiles = (rows + _kernel.Mr - 1) / _kernel.Mr;
        int low = rows / matrixTiles, lowTiles = matrixTiles - rows % matrixTiles;
        float** pointers = stackalloc float*[rows];
        float* spare = stackalloc float[SGemmTiler.SpareFloats];
        var tiler = new SGemmTiler(_kernel, _plain, 1, depth, spare);
        for (int position = 0; position < _positions; position++, v += positionStride, products += productStride)
        {
            for (int r = 0; r < rows; r++) pointers[r] = v + (nint)r * _rowIn;
            float* panels = _weights[position].Panels, following = _weights[position + 1 < _positions ? position + 1 : 0].Panels;
            for (int column = firstColumn; column < endColumn; column += _kernel.Nr)
            {
                int width = _kernel.PanelWidth(Math.Min(_kernel.Nr, endColumn - column));
                float* b = panels + (nint)column * depth, next = column + _kernel.Nr < endColumn ? b + (nint)_kernel.Nr * depth : following + (nint)firstColumn * depth;
                float* to = products + (column - firstColumn);
                tiler.Prefetch(b, next, (nint)depth * width, matrixTiles);
                tiler.Run(pointers, low, lowTiles, b, 0, width, null, 0, to, GroupColumns);
                int done = low * lowTiles;
                if (done < rows) tiler.Run(pointers + done, low + 1, matrixTiles - lowTiles, b, 0, width, null, 0, to + (nint)done * GroupColumns, GroupColumns);
            }
        }
    }

    /// <summary>What the output transform of one tile needs.</summary>
    private struct OutputTile
    {
        public float* Products, Bias, Sum, Y, Temporary;
        public nint PositionStride, YRow, YColumn, SumRow, SumColumn;
        public int Columns, Rows, RowPixels;
        public bool Clamps, ClampFirst;
        public float Low, High;
    }

    private static class Transforms<TTile, TLanes, V> where TTile : struct, IWinogradTile where TLanes : struct, ILanes<V> where V : unmanaged
    {
        /// <summary><c>V = Bᵀ·d·B</c> of one tile; <paramref name="channels"/> is a multiple of the lanes.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static void Input(float* x, nint rowStride, nint columnStride, int channels, float* v, nint positionStride, float* temporary)
        {
            nint inner = TTile.Inputs * TLanes.Count;
            for (int c = 0; c < channels; c += TLanes.Count)
            {
                for (int column = 0; column < TTile.Inputs; column++)
                    TTile.Input<TLanes, V>(x + c + column * columnStride, rowStride, temporary + column * TLanes.Count, inner);
                for (int row = 0; row < TTile.Inputs; row++)
                    TTile.Input<TLanes, V>(temporary + row * inner, TLanes.Count, v + c + row * TTile.Inputs * positionStride, positionStride);
            }
        }

        /// <summary><c>y = act(Aᵀ·p·A + bias + sum)</c> of one tile, for the rows and columns that exist.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static void Output(OutputTile* t)
        {
            nint inner = TTile.Inputs * TLanes.Count, position = t->PositionStride;
            float* half = t->Temporary, made = half + TTile.Inputs * inner;
            V low = TLanes.Create(t->Clamps ? t->Low : float.NegativeInfinity), high = TLanes.Create(t->Clamps ? t->High : float.PositiveInfinity);
            bool clampFirst = t->Clamps && t->ClampFirst;
            for (int first = 0; first < t->Columns; first += TLanes.Count)
            {
                int count = Math.Min(TLanes.Count, t->Columns - first);
                for (int column = 0; column < TTile.Inputs; column++)
                    TTile.Output<TLanes, V>(t->Products + first + column * position, TTile.Inputs * position, half + column * TLanes.Count, inner);
                V bias = TLanes.Load(t->Bias + first);
                for (int row = 0; row < t->Rows; row++)
                {
                    TTile.Output<TLanes, V>(half + row * inner, TLanes.Count, made, TLanes.Count);
                    float* y = t->Y + first + row * t->YRow, sum = t->Sum == null ? null : t->Sum + first + row * t->SumRow;
                    for (int pixel = 0; pixel < t->RowPixels; pixel++, y += t->YColumn)
                    {
                        V value = TLanes.Add(TLanes.Load(made + pixel * TLanes.Count), bias);
                        if (sum != null)
                        {
                            if (clampFirst) value = TLanes.Min(high, TLanes.Max(low, value));
                            value = TLanes.Add(value, count == TLanes.Count ? TLanes.Load(sum) : TLanes.LoadPartial(sum, count));
                            sum += t->SumColumn;
                            if (!clampFirst) value = TLanes.Min(high, TLanes.Max(low, value));
                        }
                        else
                        {
                            value = TLanes.Min(high, TLanes.Max(low, value));
                        }
                        if (count == TLanes.Count) TLanes.Store(value, y);
                        else TLanes.StorePartial(value, y, count);
                    }
                }
            }
        }
    }
}
