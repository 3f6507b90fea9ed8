using Octet.Kernels.Geometry;
using Octet.Kernels.Lanes;
using Octet.Kernels.Memory;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;

namespace Octet.Kernels.SConv;

/// <summary>
/// Depthwise convolution. With a multiplier M above 1, output channel o reads input channel o / M: the input
/// is first written to scratch with every channel repeated M times, after which the multiplier is 1.
/// </summary>
internal sealed unsafe class SConvDepthwise
{
    /// <summary>Widest vector: weights and bias are padded to it.</summary>
    private const int MaxLanes = 16;

    /// <summary>Multiply-accumulates of a piece where threads share the work.</summary>
    private const long PieceWork = 1 << 17;

    /// <summary>Bytes of outputs that an activation goes over once more: they stay in L2.</summary>
    private const long BlockBytes = 128 * 1024;

    /// <summary>Bytes of input above which it comes from beyond L2, so that lines are worth asking for ahead.</summary>
    private const long PrefetchBytes = 768 * 1024;

    private readonly ConvShape _shape;
    private readonly AlignedBuffer _weights;
    private readonly VectorWidth _width;
    private readonly int _padded;
    private readonly int _multiplier;
    private readonly int _blockLines;

    public SConvDepthwise(ConvShape shape, AlignedBuffer weights, VectorWidth width)
    {
        _shape = shape;
        _weights = weights;
        _width = width;
        _padded = PaddedChannels(shape.OutChannels);
        _multiplier = shape.OutChannels / shape.InChannels;
        long lineBytes = Math.Max(1, (long)shape.W.Output * shape.OutChannels * sizeof(float));
        _blockLines = (int)Math.Clamp(BlockBytes / lineBytes, 1, Math.Max(1, shape.H.Output));
    }

    private static int PaddedChannels(int channels) => (channels + MaxLanes - 1) / MaxLanes * MaxLanes;

    /// <summary><c>[taps][channels padded to whole vectors]</c> from <c>[O, 1, KD, KH, KW]</c>.</summary>
    public static AlignedBuffer Pack(ConvShape shape, ReadOnlySpan<float> weights)
    {
        int padded = PaddedChannels(shape.OutChannels), taps = shape.Taps;
        var packed = new AlignedBuffer((long)padded * taps * sizeof(float));
        Span<float> to = packed.Span<float>(0, padded * taps);
        for (int o = 0; o < shape.OutChannels; o++)
            for (int t = 0; t < taps; t++) to[t * padded + o] = weights[o * taps + t];
        return packed;
    }

    private long ExpandedBytes => _multiplier == 1 ? 0 : Align((long)_shape.Batch * _shape.InputPixels * _shape.OutChannels * sizeof(float));

    // An offset and a pointer per tap, and a block of outputs for an activation that a sum follows.
    private long TapBytes => Align(2L * _shape.Taps * sizeof(float*));

    private long WorkerBytes => TapBytes + Align((long)_blockLines * _shape.W.Output * _shape.OutChannels * sizeof(float));

    private static long Align(long bytes) => (bytes + 63) & ~63L;

    public long ScratchBytes(int workers) => ExpandedBytes + WorkerBytes * Math.Max(1, workers);

    public void Run(float* x, float* sum, int sumStride, float* y, int yStride, SEpilogue e, byte* scratch, Parallelism p)
    {
        if (_multiplier > 1)
        {
            var expand = new Expansion { X = x, Y = (float*)scratch, Channels = _shape.InChannels, Multiplier = _multiplier, Pixels = _shape.InputPixels };
            p.For(ref expand, _shape.Batch);
            x = (float*)scratch;
            scratch += ExpandedBytes;
        }
        int planes = _shape.Batch * _shape.D.Output, lines = _shape.H.Output;
        long lineWork = Math.Max(1, (long)_shape.W.Output * _shape.OutChannels * _shape.Taps);
        int block = lines;
        if (p.MaxWorkers > 1) block = (int)Math.Clamp(PieceWork / lineWork, 1, lines);
        if (e.AfterStore is not null) block = Math.Min(block, _blockLines);
        var work = new Pieces
        {
            This = this,
            X = x,
            Sum = sum,
            SumStride = sumStride,
            Y = y,
            YStride = yStride,
            Epilogue = e,
            Scratch = scratch,
            Block = block,
            Blocks = (lines + block - 1) / block,
        };
        p.For(ref work, planes * work.Blocks);
    }

    private struct Expansion : IPieces
    {
        public float* X, Y;
        public int Channels, Multiplier, Pixels;

        public readonly void Run(int piece, int worker)
        {
            float* from = X + (nint)piece * Pixels * Channels;
            float* to = Y + (nint)piece * Pixels * Channels * Multiplier;
            for (nint i = 0; i < (nint)Pixels * Channels; i++)
                for (int m = 0; m < Multiplier; m++) *to++ = from[i];
        }
    }

    private struct Pieces : IPieces
    {
        public SConvDepthwise This;
        public float* X, Sum, Y;
        public int SumStride, YStride, Block, Blocks;
        public SEpilogue Epilogue;
        public byte* Scratch;

        public readonly void Run(int piece, int worker)
        {
            int plane = piece / Blocks, first = (piece - plane * Blocks) * Block;
            This.RunLines(this, plane, first, Math.Min(Block, This._shape.H.Output - first), Scratch + worker * This.WorkerBytes);
        }
    }

    private void RunLines(in Pieces work, int plane, int first, int lines, byte* scratch)
    {
        WindowAxis d = _shape.D, h = _shape.H, w = _shape.W;
        int channels = _shape.OutChannels;
        SEpilogue e = work.Epilogue;
        bool separate = work.Sum != null && e.ActivationFirst && e.AfterStore is not null;
        int od = plane % d.Output, image = plane / d.Output;
        nint pixel = ((nint)plane * h.Output + first) * w.Output;
        float* sum = work.Sum == null ? null : work.Sum + pixel * work.SumStride;
        float* y = separate ? (float*)(scratch + TapBytes) : work.Y + pixel * work.YStride;
        nint yStep = separate ? channels : work.YStride;

        SDepthwiseArguments t = default;
        t.Offsets = (nint*)scratch;
        t.W = (float**)(t.Offsets + _shape.Taps);
        t.Bias = e.Bias;
        (t.Channels, t.XStep, t.SumStep, t.YStep) = (channels, (nint)w.Stride * channels, work.SumStride, yStep);
        (t.XLine, t.SumLine, t.YLine) = ((nint)h.Stride * w.Input * channels, (nint)w.Output * work.SumStride, w.Output * yStep);
        (t.Clamps, t.ClampFirst, t.Low, t.High) = (e.Clamps, e.ActivationFirst, e.Low, e.High);

        bool prefetches = (long)h.Input * w.Input * channels * sizeof(float) > PrefetchBytes;
        (int insideTop, int insideBottom) = Inside(h);
        (int insideLeft, int insideRight) = Inside(w);
        for (int oh = first; oh < first + lines;)
        {
            // Lines, then pixels, whose windows have the same taps inside the input: all inner ones, or one of the edge.
            t.Lines = oh >= insideTop && oh < insideBottom ? Math.Min(insideBottom, first + lines) - oh : 1;
            for (int ow = 0; ow < w.Output;)
            {
                int pixels = ow >= insideLeft && ow < insideRight ? insideRight - ow : 1;
                FindTaps(ref t, od, oh, ow);
                t.NextLines = t.Lines > 1 && prefetches ? Math.Min(h.Stride, h.Span) : 0;
                t.NextStep = (nint)w.Input * channels;
                t.Next = t.Offsets[0] + Math.Max(h.Stride, h.Span) * t.NextStep;
                // Pixels are spread evenly over the tiles: 8 are 4 + 4, not 6 + 2.
                for (int tile = (pixels + SDepthwiseKernels.MaxPixels - 1) / SDepthwiseKernels.MaxPixels; tile > 0; tile--)
                {
                    int tilePixels = pixels / tile;
                    t.NextPixels = Math.Min((tilePixels - 1) * w.Stride + w.Span, w.Input - Math.Max(0, ow * w.Stride - w.PadBegin));
                    t.X = work.X + (((nint)image * d.Input * h.Input + (nint)oh * h.Stride) * w.Input + (nint)ow * w.Stride) * channels;
                    t.Y = y + (oh - first) * t.YLine + ow * yStep;
                    t.Sum = separate || sum == null ? null : sum + (oh - first) * t.SumLine + ow * t.SumStep;
                    SDepthwiseKernels.Tile(_width, tilePixels)(&t);
                    pixels -= tilePixels;
                    ow += tilePixels;
                }
            }
            oh += t.Lines;
        }

        if (e.AfterStore is not { } activation) return;
        for (int i = 0; i < lines * w.Output; i++)
        {
            float* value = y + i * yStep;
            activation.Run(value, value, channels, e.Alpha, e.Beta);
            if (!separate) continue;
            float* target = work.Y + (pixel + i) * work.YStride;
            for (int c = 0; c < channels; c++) target[c] = value[c] + sum[(nint)i * work.SumStride + c];
        }
    }

    /// <summary>Outputs whose whole window lies inside the axis: −pad + o·stride ≥ 0 and −pad + o·stride + span ≤ input.</summary>
    private static (int Begin, int End) Inside(WindowAxis axis)
    {
        int begin = Math.Min(axis.Output, (axis.PadBegin + axis.Stride - 1) / axis.Stride), last = axis.Input + axis.PadBegin - axis.Span;
        return (begin, last < 0 ? begin : Math.Clamp(last / axis.Stride + 1, begin, axis.Output));
    }

    /// <summary>The taps of an output that lie inside the input: their weights, and their offsets from where the output's window would begin without padding in its line of plane 0.</summary>
    private void FindTaps(ref SDepthwiseArguments t, int od, int oh, int ow)
    {
        WindowAxis d = _shape.D, h = _shape.H, w = _shape.W;
        float* weights = (float*)_weights.Pointer;
        int count = 0;
        for (int kd = 0; kd < d.Kernel; kd++)
        {
            int zd = od * d.Stride - d.PadBegin + kd * d.Dilation;
            if ((uint)zd >= (uint)d.Input) continue;
            for (int kh = 0; kh < h.Kernel; kh++)
            {
                int dh = kh * h.Dilation - h.PadBegin;
                if ((uint)(oh * h.Stride + dh) >= (uint)h.Input) continue;
                for (int kw = 0; kw < w.Kernel; kw++)
                {
                    int dw = kw * w.Dilation - w.PadBegin;
                    if ((uint)(ow * w.Stride + dw) >= (uint)w.Input) continue;
                    t.Offsets[count] = (((nint)zd * h.Input + dh) * w.Input + dw) * _shape.OutChannels;
                    t.W[count++] = weights + (((nint)kd * h.Kernel + kh) * w.Kernel + kw) * _padded;
                }
            }
        }
        t.Taps = count;
    }
}
