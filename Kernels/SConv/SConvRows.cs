using Octet.Kernels.Geometry;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;

namespace Octet.Kernels.SConv;

/// <summary>
/// Convolution of few input channels (a first layer): the taps of one window row are <c>KW · C</c> consecutive floats, so they count as
/// one tap of that depth. Padded input rows are copied to scratch once per block of output rows; unpadded ones are read in place.
/// </summary>
internal sealed unsafe class SConvRows
{
    /// <summary>Output rows of one piece; more would only enlarge scratch.</summary>
    private const int BlockLines = 8;

    private readonly ConvShape _shape;
    private readonly SGemmWeights _weights;
    private readonly bool _copies;
    private readonly int _rowFloats;

    public SConvRows(ConvShape shape, SGemmWeights weights)
    {
        _shape = shape;
        _weights = weights;
        WindowAxis w = shape.W, h = shape.H;
        int needed = (w.Output - 1) * w.Stride + w.Kernel;
        _copies = w.PadBegin > 0 || needed > w.Input || h.PadBegin > 0 || (h.Output - 1) * h.Stride + h.Span > h.Input;
        _rowFloats = checked(needed * shape.InChannels);
    }

    /// <summary>Whether this method takes the shape: dense taps along W, one tap along D, one group.</summary>
    public static bool Takes(ConvShape shape) =>
        shape.Groups == 1 && shape.W.Dilation == 1 && shape.D.Kernel == 1 && shape.D.PadBegin == 0 && shape.D.PadEnd == 0
        && (shape.D.Output - 1) * shape.D.Stride < shape.D.Input && shape.W.Output > 0;

    private int BlockInputRows => (BlockLines - 1) * _shape.H.Stride + _shape.H.Span;

    private long WorkerBytes => _copies ? ((long)BlockInputRows * _rowFloats * sizeof(float) + 63) & ~63L : 0;

    public long ScratchBytes(int workers) => WorkerBytes * Math.Max(1, workers);

    public void Run(float* x, float* sum, int sumStride, float* y, int yStride, SEpilogue e, byte* scratch, Parallelism p)
    {
        var work = new Pieces { This = this, X = x, Sum = sum, SumStride = sumStride, Y = y, YStride = yStride, Epilogue = e, Scratch = scratch };
        work.Blocks = (_shape.H.Output + BlockLines - 1) / BlockLines;
        p.For(ref work, _shape.Batch * _shape.D.Output * work.Blocks);
    }

    private struct Pieces : IPieces
    {
        public SConvRows This;
        public float* X, Sum, Y;
        public int SumStride, YStride;
        public SEpilogue Epilogue;
        public byte* Scratch;
        public int Blocks;

        public readonly void Run(int piece, int worker)
        {
            int plane = piece / Blocks;
            This.RunBlock(this, plane, (piece - plane * Blocks) * BlockLines, worker);
        }
    }

    private void RunBlock(in Pieces work, int plane, int firstLine, int worker)
    {
        ConvShape shape = _shape;
        WindowAxis h = shape.H, w = shape.W;
        int channels = shape.InChannels, n = shape.OutChannels, depth = w.Kernel * channels;
        int image = plane / shape.D.Output, od = plane - image * shape.D.Output;
        float* x = work.X + ((nint)image * shape.D.Input + od * shape.D.Stride) * h.Input * w.Input * channels;
        int lines = Math.Min(BlockLines, h.Output - firstLine);
        int firstInput = firstLine * h.Stride - h.PadBegin;

        float* rows;
        nint rowStride;
        if (_copies)
        {
            rows = (float*)(work.Scratch + worker * WorkerBytes);
            rowStride = _rowFloats;
            int inputRows = (lines - 1) * h.Stride + h.Span;
            int left = Math.Min(w.PadBegin * channels, _rowFloats), middle = Math.Min(w.Input * channels, _rowFloats - left);
            for (int r = 0; r < inputRows; r++)
            {
                var row = new Span<float>(rows + r * rowStride, _rowFloats);
                int ih = firstInput + r;
                if ((uint)ih >= (uint)h.Input)
                {
                    row.Clear();
                    continue;
                }
                row[..left].Clear();
                new ReadOnlySpan<float>(x + (nint)ih * w.Input * channels, middle).CopyTo(row[left..]);
                row[(left + middle)..].Clear();
            }
        }
        else
        {
            rowStride = (nint)w.Input * channels;
            rows = x + firstInput * rowStride;
        }

        SGemmKernel kernel = _weights.Kernel;
        float* spare = stackalloc float[SGemmTiler.SpareFloats];
        var tiler = new SGemmTiler(kernel, work.Epilogue, h.Kernel, depth, spare);
        nint tapStep = h.Dilation * rowStride, panelDepth = (nint)h.Kernel * depth;
        for (int line = 0; line < lines; line++)
        {
            nint pixel = ((nint)plane * h.Output + firstLine + line) * w.Output;
            float* y = work.Y + pixel * work.YStride, sum = work.Sum == null ? null : work.Sum + pixel * work.SumStride;
            for (int column = 0; column < n; column += kernel.Nr)
            {
                tiler.RunLine(rows + (nint)line * h.Stride * rowStride, w.Stride * channels, tapStep, w.Output, _weights.Panels + column * panelDepth, column, Math.Min(kernel.Nr, n - column),
                    sum == null ? null : sum + column, work.SumStride, y + column, work.YStride);
            }
        }
    }
}
