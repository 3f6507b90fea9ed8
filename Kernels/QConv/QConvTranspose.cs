using Octet.Kernels.Geometry;
using Octet.Kernels.Memory;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Kernels.SConv;
using Octet.Kernels.Threading;

namespace Octet.Kernels.QConv;

/// <summary>The weights of one quantized transposed convolution, packed once per output phase and group; immutable.</summary>
internal sealed unsafe class QConvTransposeWeights
{
    private QConvTransposeWeights(QGemmKernel kernel, ConvShape shape, QGemmWeights[][] phases)
    {
        (Kernel, InChannels, OutChannels, Groups, Phases) = (kernel, shape.InChannels, shape.OutChannels, shape.Groups, phases);
    }

    /// <summary>The tile that the layout is for.</summary>
    public QGemmKernel Kernel { get; }

    /// <summary>C, all groups.</summary>
    public int InChannels { get; }

    /// <summary>O, all groups.</summary>
    public int OutChannels { get; }

    /// <summary>G.</summary>
    public int Groups { get; }

    /// <summary>One matrix per group for every phase, in the order of <see cref="PhasesOf"/>.</summary>
    internal QGemmWeights[][] Phases { get; }

    /// <summary>The phases of a shape: outputs that agree modulo the stride read the same taps.</summary>
    internal static (SWindow D, SWindow H, SWindow W)[] PhasesOf(ConvShape shape) =>
    [
        .. from d in Enumerable.Range(0, Math.Min(shape.D.Stride, shape.D.Output))
           from h in Enumerable.Range(0, Math.Min(shape.H.Stride, shape.H.Output))
           from w in Enumerable.Range(0, Math.Min(shape.W.Stride, shape.W.Output))
           select (SWindow.Transposed(shape.D, d), SWindow.Transposed(shape.H, h), SWindow.Transposed(shape.W, w)),
    ];

    /// <summary>Packs signed weights.</summary>
    /// <param name="shape">Extents; in the shape's axes, Input and Output keep their names.</param>
    /// <param name="weights"><c>[O, C/G, KD, KH, KW]</c>, taps as in the float operator (not flipped).</param>
    /// <param name="zeroPoints">Empty (all 0), 1 or O.</param>
    /// <param name="kernel">The tile that will read it.</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public static QConvTransposeWeights Pack(ConvShape shape, ReadOnlySpan<sbyte> weights, ReadOnlySpan<int> zeroPoints, QGemmKernel kernel)
    {
        fixed (sbyte* source = weights)
            return Pack(shape, (byte*)source, weights.Length, 0, zeroPoints, kernel);
    }

    /// <summary>Packs unsigned weights.</summary>
    /// <inheritdoc cref="Pack(ConvShape, ReadOnlySpan{sbyte}, ReadOnlySpan{int}, QGemmKernel)"/>
    public static QConvTransposeWeights Pack(ConvShape shape, ReadOnlySpan<byte> weights, ReadOnlySpan<int> zeroPoints, QGemmKernel kernel)
    {
        fixed (byte* source = weights)
            return Pack(shape, source, weights.Length, 0x80, zeroPoints, kernel);
    }

    private static QConvTransposeWeights Pack(ConvShape shape, byte* source, int length, byte flip, ReadOnlySpan<int> zeroPoints, QGemmKernel kernel)
    {
        int groupIn = shape.GroupInChannels, groupOut = shape.GroupOutChannels, taps = shape.Taps, filter = groupIn * taps;
        if (length != (long)shape.OutChannels * filter) throw new ArgumentException($"{length} weights for {shape.OutChannels} filters of {filter}", nameof(source));
        if (zeroPoints.Length > 1 && zeroPoints.Length != shape.OutChannels)
            throw new ArgumentException($"{zeroPoints.Length} weight zero points for {shape.OutChannels} output channels; there are none, 1 or one per channel", nameof(zeroPoints));

        (SWindow D, SWindow H, SWindow W)[] phases = PhasesOf(shape);
        var packed = new QGemmWeights[phases.Length][];
        for (int p = 0; p < phases.Length; p++)
        {
            (SWindow d, SWindow h, SWindow w) = phases[p];
            int[] used = [.. d.Taps.SelectMany(kd => h.Taps.SelectMany(kh => w.Taps.Select(kw => (kd * shape.H.Kernel + kh) * shape.W.Kernel + kw)))];
            packed[p] = new QGemmWeights[shape.Groups];
            for (int g = 0; g < shape.Groups; g++)
            {
                if (used.Length == 0)
                {
                    // No tap reaches these outputs: one tap of weights 0 without zero points adds nothing to the bias.
                    packed[p][g] = QGemmWeights.Pack(new sbyte[groupIn * groupOut], groupIn, groupOut, false, [], kernel);
                    continue;
                }
                var offsets = new int[used.Length * groupIn];
                for (int t = 0; t < used.Length; t++)
                    for (int c = 0; c < groupIn; c++) offsets[t * groupIn + c] = c * taps + used[t];
                ReadOnlySpan<int> groupZeroPoints = zeroPoints.Length <= 1 ? zeroPoints : zeroPoints.Slice(g * groupOut, groupOut);
                packed[p][g] = QGemmWeights.Pack(source + (long)g * groupOut * filter, flip, groupOut, filter, used.Length, groupIn, offsets, groupZeroPoints, kernel);
            }
        }
        return new QConvTransposeWeights(kernel, shape, packed);
    }
}

/// <summary>
/// Quantized transposed convolution, gathered: outputs whose positions agree modulo the stride read the same taps, so each of these phases is an
/// ordinary convolution, and every output is summed, requantized and written once.
/// </summary>
/// <remarks>
/// <code>acc[n, o·, c′] = bias[c′] + Σ (x[n, i·, c] − zx) · (w[c′, c, k·] − zw[c′])   over  i · stride − padBegin + k · dilation = o</code>
/// Outside the input x reads zx. One line of a phase is one matrix product whose rows are given by addresses, one per tap.
/// </remarks>
internal sealed unsafe class QConvTranspose
{
    private const int Alignment = 64;

    /// <summary>Bytes behind the last pixel that the last group of a tap may touch.</summary>
    private const int Slack = 64;

    private readonly ConvShape _shape;
    private readonly QConvTransposeWeights _weights;
    private readonly (SWindow D, SWindow H, SWindow W)[] _phases;
    private readonly int _zeroPoint;
    private readonly AlignedBuffer _padRow;
    private readonly long _workerBytes;

    private QConvTranspose(ConvShape shape, QConvTransposeWeights weights, int zeroPoint, QEpilogue epilogue)
    {
        (_shape, _weights, _zeroPoint, Epilogue) = (shape, weights, zeroPoint, epilogue);
        _phases = QConvTransposeWeights.PhasesOf(shape);
        for (int p = 0; p < _phases.Length; p++)
        {
            foreach (QGemmWeights w in weights.Phases[p])
                _workerBytes = Math.Max(_workerBytes, QGemmScratch.Carve(null, w, QGemmBlocking.LargestRowsPerPiece(_phases[p].W.Outputs, w), 0, 0, out _));
        }
        int bytes = shape.GroupInChannels * weights.Kernel.ElementBytes;
        _padRow = new AlignedBuffer(bytes + Slack);
        if (weights.Kernel.Packing != QGemmPacking.Words) _padRow.Span<byte>(0, shape.GroupInChannels).Fill((byte)zeroPoint);
        else _padRow.Span<short>(0, shape.GroupInChannels).Fill((short)zeroPoint);
    }

    /// <summary>Prepares a transposed convolution.</summary>
    /// <param name="shape">Extents; Output is given and includes any output padding.</param>
    /// <param name="weights">Packed weights of this shape.</param>
    /// <param name="xZeroPoint">Zero point of x, in [0, 255].</param>
    /// <param name="epilogue">For O channels. Rows of a sum operand are those of one phase: its row stride is the stride of the last axis times O.</param>
    /// <exception cref="ArgumentException">Something does not have the shape's extents.</exception>
    public static QConvTranspose Create(ConvShape shape, QConvTransposeWeights weights, int xZeroPoint, QEpilogue epilogue)
    {
        if (xZeroPoint is < 0 or > 255) throw new ArgumentOutOfRangeException(nameof(xZeroPoint), $"zero point {xZeroPoint} is outside [0, 255]");
        if (weights.InChannels != shape.InChannels || weights.OutChannels != shape.OutChannels || weights.Groups != shape.Groups || weights.Phases.Length != QConvTransposeWeights.PhasesOf(shape).Length)
            throw new ArgumentException("the packed weights are for another transposed convolution", nameof(weights));
        if (epilogue.Channels != shape.OutChannels) throw new ArgumentException($"the epilogue has {epilogue.Channels} channels, the convolution {shape.OutChannels}", nameof(epilogue));
        if (epilogue.Sum is not null && epilogue.SumRowStride != shape.W.Stride * shape.OutChannels)
            throw new ArgumentException($"rows of the sum operand are {epilogue.SumRowStride} elements apart; those of a phase are {shape.W.Stride * shape.OutChannels}", nameof(epilogue));
        return new QConvTranspose(shape, weights, xZeroPoint, epilogue);
    }

    /// <summary>What happens to the sums.</summary>
    public QEpilogue Epilogue { get; }

    /// <summary>The tile.</summary>
    public string Method => "transposed " + _weights.Kernel.Name;

    /// <summary>Multiply-accumulates of one run, taps outside the input included.</summary>
    public long MultiplyAccumulates => (long)_shape.Batch * _shape.InputPixels * _shape.InChannels * _shape.GroupOutChannels * _shape.Taps;

    /// <summary>x is read where it lies: its bytes are what the tile wants, and a tap's last group ends inside the next pixel or channel.</summary>
    private bool ReadsInPlace => _weights.Kernel.Packing != QGemmPacking.Words && _shape.GroupInChannels % _weights.Kernel.Kr == 0;

    private long CopyBytes => ReadsInPlace ? 0 : Align((long)_shape.Batch * _shape.InputPixels * _shape.InChannels * _weights.Kernel.ElementBytes + Slack);

    /// <summary>Scratch bytes that <see cref="Run"/> needs with so many workers (<see cref="Parallelism.MaxWorkers"/>).</summary>
    public int ScratchBytes(int workers) => checked((int)(Alignment + CopyBytes + Math.Max(1, workers) * _workerBytes));

    /// <summary>Computes the transposed convolution.</summary>
    /// <param name="x"><c>[N, D, H, W, C]</c>.</param>
    /// <param name="sum">The sum operand, shaped like y, if the epilogue has one, else ignored; may be the same memory as <paramref name="y"/>.</param>
    /// <param name="y">Receives <c>[N, OD, OH, OW, O]</c> in the epilogue's element type.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/>.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public void Run(ReadOnlySpan<byte> x, ReadOnlySpan<byte> sum, Span<byte> y, Span<byte> scratch, Parallelism p)
    {
        long outputs = (long)_shape.Batch * _shape.OutputPixels * _shape.OutChannels, inputs = (long)_shape.Batch * _shape.InputPixels * _shape.InChannels;
        if (outputs == 0) return;
        if (x.Length < inputs) throw new ArgumentException($"x has {x.Length} bytes, needs {inputs}", nameof(x));
        if (y.Length < outputs * Epilogue.ElementBytes) throw new ArgumentException($"y has {y.Length} bytes, needs {outputs * Epilogue.ElementBytes}", nameof(y));
        if (Epilogue.Sum is not null && sum.Length < outputs * Epilogue.SumElementBytes) throw new ArgumentException($"the sum operand has {sum.Length} bytes, needs {outputs * Epilogue.SumElementBytes}", nameof(sum));
        if (scratch.Length < ScratchBytes(p.MaxWorkers)) throw new ArgumentException($"{scratch.Length} scratch bytes, needs {ScratchBytes(p.MaxWorkers)}", nameof(scratch));

        fixed (byte* xPointer = x, sumPointer = sum, yPointer = y, scratchPointer = scratch)
        {
            byte* work = (byte*)(((nint)scratchPointer + Alignment - 1) & -Alignment), source = xPointer;
            if (!ReadsInPlace)
            {
                source = work;
                QGemmCopy.Row(xPointer, source, (int)inputs, (int)inputs, 0, _weights.Kernel.Packing);
                work += CopyBytes;
            }
            for (int phase = 0; phase < _phases.Length; phase++)
            {
                (SWindow d, SWindow h, SWindow w) = _phases[phase];
                var lines = new Lines { Owner = this, Phase = phase, X = source, Sum = sumPointer, Y = yPointer, Scratch = work, WorkerBytes = _workerBytes };
                p.For(ref lines, checked(_shape.Batch * d.Outputs * h.Outputs * _shape.Groups));
            }
        }
    }

    private static long Align(long bytes) => (bytes + 63) & ~63L;

    /// <summary>Output lines of one phase and group.</summary>
    private struct Lines : IPieces
    {
        public QConvTranspose Owner;
        public int Phase;
        public byte* X;
        public byte* Sum;
        public byte* Y;
        public byte* Scratch;
        public long WorkerBytes;

        public readonly void Run(int piece, int worker)
        {
            ConvShape shape = Owner._shape;
            (SWindow d, SWindow h, SWindow w) = Owner._phases[Phase];
            int group = piece % shape.Groups;
            piece /= shape.Groups;
            int line = piece % h.Outputs;
            piece /= h.Outputs;
            int plane = piece % d.Outputs, n = piece / d.Outputs;
            QGemmWeights weights = Owner._weights.Phases[Phase][group];
            QEpilogue epilogue = Owner.Epilogue;
            int most = QGemmBlocking.LargestRowsPerPiece(w.Outputs, weights);
            QGemmScratch.Carve(Scratch + worker * WorkerBytes, weights, most, 0, 0, out QGemmScratch scratch);

            int channel = group * shape.GroupOutChannels;
            nint pixel = (((nint)n * shape.D.Output + d.OutStart + plane * d.OutStep) * shape.H.Output + h.OutStart + line * h.OutStep) * shape.W.Output + w.OutStart;
            nint element = pixel * shape.OutChannels + channel;
            var panels = new QGemmPanels
            {
                Weights = weights,
                Epilogue = epilogue,
                ZeroPoint = Owner._zeroPoint,
                Channel = channel,
                Y = Y + element * epilogue.ElementBytes,
                YStride = (nint)w.OutStep * shape.OutChannels * epilogue.ElementBytes,
                Sum = Sum + element * epilogue.SumElementBytes,
            };
            for (int first = 0; first < w.Outputs; first += most)
            {
                int rows = Math.Min(most, w.Outputs - first);
                FindTaps(n, plane, line, first, rows, group, weights, scratch.Rows);
                panels.Run(first, rows, 0, weights.Panels, scratch);
            }
        }

        private readonly void FindTaps(int n, int plane, int line, int firstColumn, int rows, int group, QGemmWeights weights, byte** table)
        {
            ConvShape shape = Owner._shape;
            (SWindow d, SWindow h, SWindow w) = Owner._phases[Phase];
            int mr = weights.Kernel.Mr, tiles = (rows + mr - 1) / mr, elementBytes = weights.Kernel.ElementBytes, sections = weights.Sections;
            bool none = d.Taps.Length * h.Taps.Length * w.Taps.Length == 0;
            byte* pad = Owner._padRow.Pointer;
            int[] offsetsD = d.Offsets, offsetsH = h.Offsets, offsetsW = w.Offsets;
            int column = firstColumn;
            for (int t = 0; t < tiles; t++, table += (nint)sections * mr)
            {
                QGemmPanels.Tile(rows, mr, t, out _, out int count);
                for (int r = 0; r < count; r++, column++)
                {
                    byte** to = table + r;
                    if (none)
                    {
                        *to = pad;
                        continue;
                    }
                    foreach (int od in offsetsD)
                    {
                        int id = plane * d.InStep + od;
                        foreach (int oh in offsetsH)
                        {
                            int ih = line * h.InStep + oh;
                            bool inside = (uint)id < (uint)shape.D.Input && (uint)ih < (uint)shape.H.Input;
                            byte* from = X + ((((nint)n * shape.D.Input + id) * shape.H.Input + ih) * shape.W.Input * shape.InChannels + group * shape.GroupInChannels) * elementBytes;
                            foreach (int ow in offsetsW)
                            {
                                int iw = column * w.InStep + ow;
                                *to = inside && (uint)iw < (uint)shape.W.Input ? from + (nint)iw * shape.InChannels * elementBytes : pad;
                                to += mr;
                            }
                        }
                    }
                }
            }
        }
    }
}
