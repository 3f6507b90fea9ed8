using Octet.Kernels.Memory;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;

namespace Octet.Kernels.SConv;

/// <summary>
/// A gather of rows in front of the matrix tiles: for every output position the pointers to its taps' input pixels are written
/// to scratch, and the tile walks tap by tap through them. Nothing is copied. Serves convolution, grouped or not, and each phase of
/// a transposed convolution.
/// </summary>
internal sealed unsafe class SConvIndirect
{
    /// <summary>Bytes of pointers that a block of positions may take: they share L1 with the tile's panel.</summary>
    private const int PointerBytes = 32 * 1024;

    /// <summary>Bytes of input and output that a block of positions may touch: half of a small L2.</summary>
    private const int BlockBytes = 256 * 1024;

    private const long PieceWork = 1 << 19;

    private readonly SWindow _d, _h, _w;
    private readonly int _batch, _channels, _groups;
    private readonly int _outD, _outH, _outW, _outChannels;
    private readonly SGemmWeights[] _weights;
    private readonly SGemmKernel _kernel;
    private readonly AlignedBuffer _zeros;
    private readonly AlignedBuffer _tapOffsets;
    private readonly int _taps, _groupIn, _groupOut, _positions, _line, _blockRows;

    /// <summary>Prepares a gather.</summary>
    /// <param name="batch">Images.</param>
    /// <param name="channels">Input channels of all groups.</param>
    /// <param name="outChannels">Output channels of all groups.</param>
    /// <param name="d">Depth axis.</param>
    /// <param name="h">Height axis.</param>
    /// <param name="w">Width axis.</param>
    /// <param name="outD">Output extent that positions of <paramref name="d"/> lie in.</param>
    /// <param name="outH">Likewise for <paramref name="h"/>.</param>
    /// <param name="outW">Likewise for <paramref name="w"/>.</param>
    /// <param name="weights">One matrix <c>[taps · channels/groups, outChannels/groups]</c> per group.</param>
    public SConvIndirect(int batch, int channels, int outChannels, SWindow d, SWindow h, SWindow w, int outD, int outH, int outW, SGemmWeights[] weights)
    {
        (_batch, _channels, _outChannels, _groups) = (batch, channels, outChannels, weights.Length);
        (_d, _h, _w) = (d, h, w);
        (_outD, _outH, _outW) = (outD, outH, outW);
        _weights = weights;
        _kernel = weights[0].Kernel;
        _taps = d.Offsets.Length * h.Offsets.Length * w.Offsets.Length;
        _groupIn = channels / _groups;
        _groupOut = outChannels / _groups;
        _positions = checked(batch * d.Outputs * h.Outputs * w.Outputs);

        // A tile needs one row stride in the output, so it may cross the end of a line only where lines lie densely behind each other.
        bool dense = d.OutStep == 1 && h.OutStep == 1 && w.OutStep == 1 && d.Outputs == outD && h.Outputs == outH && w.Outputs == outW;
        _line = dense ? _positions : w.Outputs;

        _zeros = new AlignedBuffer((long)_groupIn * sizeof(float));
        _tapOffsets = new AlignedBuffer((long)_taps * sizeof(int));
        Span<int> offsets = _tapOffsets.Span<int>(0, _taps);
        int tap = 0;
        foreach (int od in d.Offsets)
            foreach (int oh in h.Offsets)
                foreach (int ow in w.Offsets) offsets[tap++] = checked(((od * h.Input + oh) * w.Input + ow) * channels);

        int mr = _kernel.Mr;
        long bytesPerRow = (long)sizeof(float) * ((long)_groupIn * h.InStep * w.InStep + _groupOut);
        long rows = Math.Min(PointerBytes / Math.Max(1, _taps * sizeof(float*)), BlockBytes / Math.Max(1, bytesPerRow));
        _blockRows = (int)Math.Clamp(rows / mr * mr, 2 * mr, 64 * mr);
    }

    // Scratch of one worker: pointers, then for every tile its rows and where it is stored. Short lines give at most one more tile per line.
    private int MaxTiles => _blockRows;

    private long WorkerBytes => Align((long)_blockRows * _taps * sizeof(float*)) + Align((long)MaxTiles * sizeof(TileAt));

    private static long Align(long bytes) => (bytes + 63) & ~63L;

    /// <summary>Scratch bytes for <paramref name="workers"/> threads.</summary>
    public long ScratchBytes(int workers) => WorkerBytes * Math.Max(1, workers);

    /// <summary>Runs it. Pixel strides are in floats; <paramref name="sum"/> may be null.</summary>
    public void Run(float* x, float* sum, int sumStride, float* y, int yStride, SEpilogue e, byte* scratch, Parallelism p)
    {
        if (_positions == 0 || _outChannels == 0) return;
        var work = new Pieces { This = this, X = x, Sum = sum, SumStride = sumStride, Y = y, YStride = yStride, Epilogue = e, Scratch = scratch };
        int panels = SGemmPacking.Panels(_groupOut, _kernel);
        int rows = _blockRows, panelGroup = panels;
        int workers = p.MaxWorkers;
        if (workers > 1)
        {
            long total = (long)_positions * _taps * _groupIn * _outChannels;
            long wanted = Math.Min(4L * workers, Math.Max(1, total / PieceWork));
            int byGroups = (int)Math.Min(wanted, _groups);
            int byRows = (int)Math.Min((wanted + byGroups - 1) / byGroups, (_positions + _kernel.Mr - 1) / _kernel.Mr);
            rows = Math.Min(rows, (_positions + byRows - 1) / byRows);
            rows = Math.Min(_blockRows, (rows + _kernel.Mr - 1) / _kernel.Mr * _kernel.Mr);
            long blocks = (_positions + rows - 1) / rows;
            int byPanels = (int)Math.Clamp((wanted + blocks * byGroups - 1) / (blocks * byGroups), 1, panels);
            panelGroup = (panels + byPanels - 1) / byPanels;
        }
        work.Rows = rows;
        work.Blocks = (_positions + rows - 1) / rows;
        work.PanelGroup = panelGroup;
        work.PanelGroups = (panels + panelGroup - 1) / panelGroup;
        p.For(ref work, work.Blocks * _groups * work.PanelGroups);
    }

    private struct TileAt
    {
        public nint Pointers;
        public nint Pixel;
        public nint Rows;
    }

    private struct Pieces : IPieces
    {
        public SConvIndirect This;
        public float* X, Sum, Y;
        public int SumStride, YStride;
        public SEpilogue Epilogue;
        public byte* Scratch;
        public int Rows, Blocks, PanelGroup, PanelGroups;

        public readonly void Run(int piece, int worker)
        {
            int block = piece / (This._groups * PanelGroups);
            int rest = piece - block * This._groups * PanelGroups;
            int group = rest / PanelGroups, panelGroup = rest - group * PanelGroups;
            int first = block * Rows;
            This.RunBlock(this, first, Math.Min(first + Rows, This._positions), group, panelGroup * PanelGroup, PanelGroup, worker);
        }
    }

    private void RunBlock(in Pieces work, int first, int end, int group, int firstPanel, int panelCount, int worker)
    {
        byte* scratch = work.Scratch + worker * WorkerBytes;
        float** pointers = (float**)scratch;
        TileAt* tiles = (TileAt*)(scratch + Align((long)_blockRows * _taps * sizeof(float*)));
        int tileCount = Gather(work.X + group * _groupIn, first, end, pointers, tiles);

        SGemmWeights w = _weights[group];
        float* spare = stackalloc float[SGemmTiler.SpareFloats];
        var tiler = new SGemmTiler(_kernel, work.Epilogue, _taps, _groupIn, spare);
        int endPanel = Math.Min(firstPanel + panelCount, SGemmPacking.Panels(_groupOut, _kernel));
        for (int panel = firstPanel; panel < endPanel; panel++)
        {
            int column = panel * _kernel.Nr, columns = Math.Min(_kernel.Nr, _groupOut - column);
            float* b = w.Panels + (nint)column * w.K;
            int channel = group * _groupOut + column;
            tiler.Prefetch(b, panel + 1 < endPanel ? b + (nint)_kernel.Nr * w.K : b, (nint)w.K * _kernel.PanelWidth(columns), tileCount);
            for (int i = 0; i < tileCount;)
            {
                TileAt* tile = tiles + i;
                int count = 1;
                while (i + count < tileCount && tile[count].Rows == tile->Rows && tile[count].Pixel == tile->Pixel + count * tile->Rows * _w.OutStep) count++;
                float* sum = work.Sum == null ? null : work.Sum + tile->Pixel * work.SumStride + channel;
                tiler.Run(pointers + tile->Pointers, (int)tile->Rows, count, b, channel, columns, sum, (nint)work.SumStride * _w.OutStep,
                    work.Y + tile->Pixel * work.YStride + channel, (nint)work.YStride * _w.OutStep);
                i += count;
            }
        }
    }

    /// <summary>Cuts positions [first, end) into tiles and writes their row pointers, <c>[tap][row]</c> per tile.</summary>
    private int Gather(float* x, int first, int end, float** pointers, TileAt* tiles)
    {
        float* zeros = (float*)_zeros.Pointer;
        int* tapOffsets = (int*)_tapOffsets.Pointer;
        int ow = first % _w.Outputs, lines = first / _w.Outputs;
        int oh = lines % _h.Outputs, planes = lines / _h.Outputs;
        int od = planes % _d.Outputs, image = planes / _d.Outputs;

        int count = 0;
        nint used = 0;
        for (int position = first; position < end;)
        {
            int segment = Math.Min(end - position, _line - position % _line);
            int segmentTiles = (segment + _kernel.Mr - 1) / _kernel.Mr;
            for (int t = 0; t < segmentTiles; t++)
            {
                int rows = segment / (segmentTiles - t);
                TileAt* tile = tiles + count++;
                tile->Pointers = used;
                tile->Rows = rows;
                tile->Pixel = (((nint)image * _outD + _d.OutStart + od * _d.OutStep) * _outH + _h.OutStart + oh * _h.OutStep) * _outW
                    + _w.OutStart + ow * _w.OutStep;
                for (int r = 0; r < rows; r++)
                {
                    int id = od * _d.InStep, ih = oh * _h.InStep, iw = ow * _w.InStep;
                    float* origin = x + ((((nint)image * _d.Input + id) * _h.Input + ih) * _w.Input + iw) * _channels;
                    float** to = pointers + used + r;
                    if (id + _d.MinOffset >= 0 && id + _d.MaxOffset < _d.Input && ih + _h.MinOffset >= 0 && ih + _h.MaxOffset < _h.Input
                        && iw + _w.MinOffset >= 0 && iw + _w.MaxOffset < _w.Input)
                    {
                        for (int tap = 0; tap < _taps; tap++, to += rows) *to = origin + tapOffsets[tap];
                    }
                    else
                    {
                        int tap = 0;
                        foreach (int dd in _d.Offsets)
                        {
                            bool dIn = (uint)(id + dd) < (uint)_d.Input;
                            foreach (int dh in _h.Offsets)
                            {
                                bool hIn = dIn && (uint)(ih + dh) < (uint)_h.Input;
                                foreach (int dw in _w.Offsets)
                                {
                                    *to = hIn && (uint)(iw + dw) < (uint)_w.Input ? origin + tapOffsets[tap] : zeros;
                                    to += rows;
                                    tap++;
                                }
                            }
                        }
                    }
                    if (++ow == _w.Outputs)
                    {
                        ow = 0;
                        if (++oh == _h.Outputs)
                        {
                            oh = 0;
                            if (++od == _d.Outputs) (od, image) = (0, image + 1);
                        }
                    }
                }
                used += (nint)rows * _taps;
                segment -= rows;
                position += rows;
            }
        }
        return count;
    }
}
