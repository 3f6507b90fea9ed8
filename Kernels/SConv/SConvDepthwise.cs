using Octet.Kernels.Geometry;
using Octet.Kernels.Lanes;
using Octet.Kernels.Memory;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;

namespace Octet.Kernels.SConv;

/// <summary>
/// Depthwise convolution, one line of outputs at a time. With a multiplier M above 1, output channel o reads input channel o / M: the input
/// is first written to scratch with every channel repeated M times, after which the multiplier is 1.
/// </summary>
internal sealed unsafe class SConvDepthwise
{
    /// <summary>Widest vector: weights and bias are padded to it.</summary>
    private const int MaxLanes = 16;

    private const long PieceWork = 1 << 16;

    private readonly ConvShape _shape;
    private readonly AlignedBuffer _weights;
    private readonly delegate*<SDepthwiseArguments*, void> _tile;
    private readonly int _padded;
    private readonly int _multiplier;

    public SConvDepthwise(ConvShape shape, AlignedBuffer weights, VectorWidth width)
    {
        _shape = shape;
        _weights = weights;
        _tile = SDepthwiseKernels.ForWidth(width);
        _padded = PaddedChannels(shape.OutChannels);
        _multiplier = shape.OutChannels / shape.InChannels;
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

    // Two pointers per tap, and one line of outputs for an activation that a sum follows.
    private long PointerBytes => Align(2L * _shape.Taps * sizeof(float*));

    private long WorkerBytes => PointerBytes + Align((long)_shape.W.Output * _shape.OutChannels * sizeof(float));

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
        int lines = _shape.Batch * _shape.D.Output * _shape.H.Output;
        long lineWork = Math.Max(1, (long)_shape.W.Output * _shape.OutChannels * _shape.Taps);
        int block = (int)Math.Clamp(PieceWork / lineWork, 1, Math.Max(1, lines));
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
            Lines = lines,
        };
        p.For(ref work, (lines + block - 1) / block);
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
        public int SumStride, YStride, Block, Lines;
        public SEpilogue Epilogue;
        public byte* Scratch;

        public readonly void Run(int piece, int worker)
        {
            int end = Math.Min(Lines, (piece + 1) * Block);
            for (int line = piece * Block; line < end; line++) This.RunLine(this, line, Scratch + worker * This.WorkerBytes);
        }
    }

    private void RunLine(in Pieces work, int line, byte* scratch)
    {
        WindowAxis d = _shape.D, h = _shape.H, w = _shape.W;
        int channels = _shape.OutChannels;
        SEpilogue e = work.Epilogue;
        float** xs = (float**)scratch;
        float** ws = xs + _shape.Taps;
        bool separate = work.Sum != null && e.ActivationFirst && e.AfterStore is not null;
        float* spare = (float*)(scratch + PointerBytes);

        int oh = line % h.Output, planes = line / h.Output, od = planes % d.Output, image = planes / d.Output;
        int id = od * d.Stride - d.PadBegin, ih = oh * h.Stride - h.PadBegin;
        nint pixel = (nint)line * w.Output;
        float* y = separate ? spare : work.Y + pixel * work.YStride;
        nint yStep = separate ? channels : work.YStride;
        float* sum = work.Sum == null ? null : work.Sum + pixel * work.SumStride;

        SDepthwiseArguments t = default;
        t.X = xs;
        t.W = ws;
        t.Bias = e.Bias;
        (t.Channels, t.XStep, t.SumStep, t.YStep) = (channels, (nint)w.Stride * channels, work.SumStride, yStep);
        (t.Clamps, t.ClampFirst, t.Low, t.High) = (e.Clamps, e.ActivationFirst, e.Low, e.High);

        // Outputs whose whole window lies inside the line: −pad + o·stride ≥ 0 and −pad + o·stride + span ≤ input.
        int insideBegin = Math.Min(w.Output, (w.PadBegin + w.Stride - 1) / w.Stride);
        int last = w.Input + w.PadBegin - w.Span;
        int insideEnd = last < 0 ? insideBegin : Math.Clamp(last / w.Stride + 1, insideBegin, w.Output);
        float* weights = (float*)_weights.Pointer;
        for (int ow = 0; ow < w.Output;)
        {
            bool inside = ow >= insideBegin && ow < insideEnd;
            int pixels = inside ? insideEnd - ow : 1;
            int iw = ow * w.Stride - w.PadBegin;
            int count = 0;
            for (int kd = 0; kd < d.Kernel; kd++)
            {
                int zd = id + kd * d.Dilation;
                if ((uint)zd >= (uint)d.Input) continue;
                for (int kh = 0; kh < h.Kernel; kh++)
                {
                    int zh = ih + kh * h.Dilation;
                    if ((uint)zh >= (uint)h.Input) continue;
                    float* row = work.X + (((nint)image * d.Input + zd) * h.Input + zh) * w.Input * channels;
                    float* rowWeights = weights + ((nint)kd * h.Kernel + kh) * w.Kernel * _padded;
                    for (int kw = 0; kw < w.Kernel; kw++)
                    {
                        int zw = iw + kw * w.Dilation;
                        if ((uint)zw >= (uint)w.Input) continue;
                        xs[count] = row + (nint)zw * channels;
                        ws[count++] = rowWeights + kw * _padded;
                    }
                }
            }
            t.Taps = count;
            t.Pixels = pixels;
            t.Y = y + ow * yStep;
            t.Sum = separate || sum == null ? null : sum + (nint)ow * work.SumStride;
            _tile(&t);
            ow += pixels;
        }

        if (e.AfterStore is not { } activation) return;
        for (int ow = 0; ow < w.Output; ow++)
        {
            float* value = y + ow * yStep;
            activation.Run(value, value, channels, e.Alpha, e.Beta);
            if (!separate) continue;
            float* target = work.Y + (pixel + ow) * work.YStride;
            for (int c = 0; c < channels; c++) target[c] = value[c] + sum[(nint)ow * work.SumStride + c];
        }
    }
}
