using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Geometry;
using Octet.Kernels.Memory;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;

namespace Octet.Kernels.QConv;

/// <summary>Depthwise convolution of fixed extents: output channel o reads input channel <c>o / (O/C)</c>.</summary>
/// <remarks>
/// A piece is a stretch of output columns in some consecutive output rows. The input rows that its windows need are copied, with
/// their padding at the left and right, into a ring of lines, each once; rows above and below the image are one constant line of
/// zero points. So no window has an edge, whole vectors may be read at the last channel, and one call covers a whole stretch.
/// Where several filters read one channel, the copy repeats it that often: then output channel o reads the line's channel o.
/// </remarks>
internal sealed unsafe class QDepthwisePlan
{
    /// <summary>Pixels whose sums wait for the epilogue together, so that they are still in L1.</summary>
    private const int PixelsPerEpilogue = 8;

    /// <summary>Bytes of the ring: half of a small L2 cache.</summary>
    private const int RingBudget = 128 << 10;

    /// <summary>Fewest output columns of a stretch, however wide a pixel is.</summary>
    private const int SmallestStretch = 16;

    private readonly QConvolution _owner;
    private readonly QDepthwiseWeights _weights;
    private readonly AlignedBuffer _padLine;       // zero points, as long as a line of the ring
    private readonly AlignedBuffer _init;          // [block][position]
    private readonly AlignedBuffer _multipliers;   // [block][position]
    private readonly bool _requantizes;
    private readonly int _slide;                   // columns between windows if the kernel's 3×3 functions apply, else 0
    private readonly int _stretch;                 // output columns of one piece
    private readonly int _stretches;
    private readonly int _lineBytes;
    private readonly int _lines;                   // [kernel depth][rows spanned by a window]
    private readonly int _repeat;                  // output channels of one input channel
    private readonly AlignedBuffer _repeatMasks;   // [vector out of 16 bytes in][byte]: the byte in that it repeats

    public QDepthwisePlan(QConvolution owner, int outputStride)
    {
        _owner = owner;
        _weights = owner.Weights.Depthwise!;
        ConvShape shape = owner.Shape;
        QEpilogue epilogue = owner.Epilogue;
        WindowAxis w = shape.W;
        int block = _weights.Kernel.Block, blocks = _weights.Starts.Length, fold = _weights.Fold;

        _lines = checked(shape.D.Kernel * shape.H.Span);
        long columns = RingBudget / ((long)_lines * Math.Max(1, shape.OutChannels));
        _stretch = (int)Math.Min(Math.Max(1, w.Output), Math.Max(SmallestStretch, (columns - w.Span) / w.Stride + 1));
        _stretches = (w.Output + _stretch - 1) / _stretch;
        _lineBytes = Align(checked(((_stretch - 1) * w.Stride + w.Span) * shape.OutChannels + fold * block));
        _repeat = shape.GroupOutChannels;
        _repeatMasks = new AlignedBuffer(_repeat * 16);
        for (int i = 0; i < _repeat * 16; i++) _repeatMasks.Pointer[i] = (byte)(i / _repeat);
        _padLine = new AlignedBuffer(_lineBytes);
        _padLine.Span<byte>(0, _lineBytes).Fill((byte)owner.ZeroPoint);

        _requantizes = _weights.Kernel.Requantizes && epilogue is { Output: QOutput.UInt8, Sum: null } && (fold == 1 || outputStride == shape.OutChannels);
        int step = w.Stride * fold;
        _slide = _requantizes && _weights.SlidingColumns && w.Dilation == 1 && step <= 2 ? step : 0;

        _init = new AlignedBuffer((long)blocks * block * sizeof(int));
        _multipliers = new AlignedBuffer((long)blocks * block * sizeof(float));
        for (int i = 0; i < blocks; i++)
        {
            for (int c = 0; c < Math.Min(block, (shape.OutChannels - _weights.Starts[i]) * fold); c++)
            {
                int channel = _weights.Starts[i] + c % shape.OutChannels, at = i * block + _weights.Kernel.Position(c);
                ((int*)_init.Pointer)[at] = unchecked(epilogue.Bias[channel] - owner.ZeroPoint * _weights.Sums[channel]);
                ((float*)_multipliers.Pointer)[at] = epilogue.Multipliers[channel];
            }
        }
    }

    /// <summary>Scratch bytes of one worker: lines and which row each holds, tap addresses, sums of some pixels.</summary>
    public int WorkerBytes => checked(_lines * _lineBytes + Align(_lines * sizeof(long)) + 2 * Align(_weights.SlotTaps.Length * sizeof(byte*))
        + Align((PixelsPerEpilogue * _weights.Fold * _owner.Shape.OutChannels + 64) * sizeof(int)));

    private static int Align(int bytes) => checked(bytes + 63) & ~63;

    /// <summary>Runs the convolution; arguments are checked by the caller.</summary>
    public void Run(byte* x, byte* sum, byte* y, nint yStride, byte* scratch, Parallelism p)
    {
        ConvShape shape = _owner.Shape;
        int planes = shape.Batch * shape.D.Output, rows = shape.H.Output;
        if (p.MaxWorkers > 1)
        {
            // A few pieces per thread; each repeats the copies of the rows that its neighbour above has read.
            int wanted = Math.Max(1, 4 * p.MaxWorkers / Math.Max(1, planes * _stretches));
            rows = Math.Max(Math.Min(rows, 4), (rows + wanted - 1) / wanted);
        }
        var work = new Pieces
        {
            Plan = this,
            X = x,
            Sum = sum,
            Y = y,
            YStride = yStride,
            Scratch = scratch,
            RowsPerPiece = rows,
            RowPieces = (shape.H.Output + rows - 1) / rows,
        };
        p.For(ref work, planes * work.RowPieces * _stretches);
    }

    private struct Pieces : IPieces
    {
        public QDepthwisePlan Plan;
        public byte* X;
        public byte* Sum;
        public byte* Y;
        public nint YStride;
        public byte* Scratch;
        public int RowsPerPiece;
        public int RowPieces;

        [MethodImpl(HotLoop.Optimized)]
        public readonly void Run(int piece, int worker)
        {
            QDepthwiseWeights weights = Plan._weights;
            ConvShape shape = Plan._owner.Shape;
            WindowAxis da = shape.D, ha = shape.H, wa = shape.W;
            int channels = shape.InChannels;

            int stretch = piece % Plan._stretches, rowPiece = piece / Plan._stretches % RowPieces, plane = piece / Plan._stretches / RowPieces;
            int n = plane / da.Output, od = plane % da.Output;
            int firstColumn = stretch * Plan._stretch, columns = Math.Min(Plan._stretch, wa.Output - firstColumn);
            int firstRow = rowPiece * RowsPerPiece, lastRow = Math.Min(firstRow + RowsPerPiece, ha.Output);

            byte* lines = Scratch + (nint)worker * Plan.WorkerBytes;
            long* held = (long*)(lines + (nint)Plan._lines * Plan._lineBytes);
            byte** taps = (byte**)((byte*)held + Align(Plan._lines * sizeof(long)));
            byte** blockTaps = (byte**)((byte*)taps + Align(weights.SlotTaps.Length * sizeof(byte*)));
            int* sums = (int*)((byte*)blockTaps + Align(weights.SlotTaps.Length * sizeof(byte*)));
            for (int line = 0; line < Plan._lines; line++) held[line] = -1;

            for (int oh = firstRow; oh < lastRow; oh++)
            {
                for (int kd = 0; kd < da.Kernel; kd++)
                {
                    int d = od * da.Stride - da.PadBegin + kd * da.Dilation;
                    for (int kh = 0; kh < ha.Kernel; kh++)
                    {
                        int h = oh * ha.Stride - ha.PadBegin + kh * ha.Dilation;
                        byte* line = Plan._padLine.Pointer;
                        if ((uint)d < da.Input && (uint)h < ha.Input)
                        {
                            int slot = kd * ha.Span + h % ha.Span;
                            line = lines + (nint)slot * Plan._lineBytes;
                            if (held[slot] != h)
                            {
                                held[slot] = h;
                                CopyLine(X + (((nint)n * da.Input + d) * ha.Input + h) * wa.Input * channels, line, firstColumn, columns);
                            }
                        }
                        byte** to = taps + (kd * ha.Kernel + kh) * wa.Kernel;
                        for (int kw = 0; kw < wa.Kernel; kw++) to[kw] = line + (nint)kw * wa.Dilation * shape.OutChannels;
                    }
                }
                nint firstPixel = ((nint)plane * ha.Output + oh) * wa.Output + firstColumn;
                RunPixels(taps, blockTaps, sums, firstPixel, columns);
            }
        }

        /// <summary>One input row of a stretch with zero points where its windows stick out.</summary>
        [MethodImpl(HotLoop.Optimized)]
        private readonly void CopyLine(byte* from, byte* to, int firstColumn, int columns)
        {
            ConvShape shape = Plan._owner.Shape;
            WindowAxis wa = shape.W;
            int channels = shape.InChannels, width = (columns - 1) * wa.Stride + wa.Span;
            int begin = firstColumn * wa.Stride - wa.PadBegin;   // input column of the line's first pixel
            int left = Math.Clamp(-begin, 0, width), inside = Math.Clamp(wa.Input - (begin + left), 0, width - left), right = width - left - inside;
            byte zeroPoint = (byte)Plan._owner.ZeroPoint;
            int wide = shape.OutChannels;
            Unsafe.InitBlockUnaligned(to, zeroPoint, (uint)(left * wide));
            if (inside > 0) Repeat(from + (nint)(begin + left) * channels, to + (nint)left * wide, inside * channels);
            Unsafe.InitBlockUnaligned(to + (nint)(left + inside) * wide, zeroPoint, (uint)(right * wide));
        }

        /// <summary>Copies bytes, each as often as its channel has filters.</summary>
        [MethodImpl(HotLoop.Optimized)]
        private readonly void Repeat(byte* from, byte* to, int count)
        {
            int repeat = Plan._repeat;
            if (repeat == 1)
            {
                Buffer.MemoryCopy(from, to, count, count);
                return;
            }
            int i = 0;
            byte* masks = Plan._repeatMasks.Pointer;
            for (; i <= count - 16; i += 16)
            {
                Vector128<byte> bytes = Vector128.Load(from + i);
                for (int part = 0; part < repeat; part++, to += 16) Vector128.ShuffleNative(bytes, Vector128.Load(masks + part * 16)).Store(to);
            }
            for (; i < count; i++)
                for (int part = 0; part < repeat; part++) *to++ = from[i];
        }

        [MethodImpl(HotLoop.Optimized)]
        private readonly void RunPixels(byte** taps, byte** blockTaps, int* sums, nint firstPixel, int pixels)
        {
            QDepthwiseWeights weights = Plan._weights;
            QDepthwiseKernel kernel = weights.Kernel;
            ConvShape shape = Plan._owner.Shape;
            QEpilogue epilogue = Plan._owner.Epilogue;
            int block = kernel.Block, channels = shape.OutChannels, fold = weights.Fold;
            int[] slotTaps = weights.SlotTaps;
            nint step = (nint)shape.W.Stride * channels, sumStride = (nint)epilogue.SumRowStride * epilogue.SumElementBytes;
            bool requantizes = Plan._requantizes;

            QDepthwiseRun run;
            run.Taps = blockTaps;
            run.Groups = weights.Groups;
            run.Step = step * fold;
            run.Low = epilogue.Low - epilogue.ZeroPoint;
            run.High = epilogue.High - epilogue.ZeroPoint;
            run.ZeroPoint = epilogue.ZeroPoint;
            run.Offset = 0;
            run.IsPlain = epilogue.ClampsByType;
            for (int slot = 0; kernel.TakesOffset && slot < slotTaps.Length; slot++) blockTaps[slot] = taps[slotTaps[slot] == QDepthwiseWeights.Unused ? 0 : slotTaps[slot]];
            int chunk = requantizes ? pixels : PixelsPerEpilogue * fold;
            for (int first = 0; first < pixels; first += chunk)
            {
                int count = Math.Min(chunk, pixels - first);
                byte* y = Y + (firstPixel + first) * YStride;
                for (int i = 0; i < weights.Starts.Length; i++)
                {
                    int start = weights.Starts[i];
                    nint at = first * step + start;
                    if (kernel.TakesOffset) run.Offset = at;
                    for (int slot = 0; !kernel.TakesOffset && slot < slotTaps.Length; slot++)
                    {
                        int tap = slotTaps[slot];
                        blockTaps[slot] = taps[tap == QDepthwiseWeights.Unused ? 0 : tap] + at;
                    }
                    run.Weights = weights.Pointer + (nint)i * weights.BlockBytes;
                    run.Init = (int*)Plan._init.Pointer + (nint)i * block;
                    run.Multipliers = requantizes ? (float*)Plan._multipliers.Pointer + (nint)i * block : null;
                    run.Y = requantizes ? y + start : (byte*)(sums + start);
                    run.YStride = requantizes ? YStride * fold : (nint)channels * fold * sizeof(int);
                    run.Channels = fold > 1 ? block : Math.Min(block, channels - start);
                    run.Pixels = count / fold;
                    if (run.Pixels > 0) kernel.Run(&run, Plan._slide);
                    if (count % fold != 0)
                    {
                        nint behind = run.Pixels * run.Step;
                        if (kernel.TakesOffset) run.Offset += behind;
                        for (int slot = 0; !kernel.TakesOffset && slot < slotTaps.Length; slot++) blockTaps[slot] += behind;
                        run.Y += run.Pixels * run.YStride;
                        run.Channels = count % fold * channels;
                        run.Pixels = 1;
                        kernel.Run(&run, 0);
                    }
                }

                QEpilogueBlock done;
                done.Rows = count;
                done.Columns = channels;
                done.Y = y;
                done.YStride = YStride;
                if (requantizes)
                {
                    if (epilogue.TablePointer != null) QEpilogueTable.Apply(epilogue.TablePointer, &done);
                    continue;
                }
                done.C = sums;
                done.CStride = channels;
                done.Channel = 0;
                done.Sum = epilogue.Sum is null ? null : Sum + (firstPixel + first) * sumStride;
                done.SumStride = sumStride;
                kernel.Epilogue.Apply(epilogue, &done);
            }
        }
    }
}
