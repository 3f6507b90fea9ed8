using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.Memory;
using Octet.Kernels.QConv.Winograd;
using Octet.Kernels.QConv.X86;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;

namespace Octet.Kernels.QConv;

/// <summary>One quantized convolution of fixed extents: <c>y = epilogue(Σ (x − zx)·(w − zw))</c>, channels-last bytes in.</summary>
/// <remarks>
/// Immutable; any number of threads may run it at once, each with its own scratch space. Output pixels are the rows of a matrix
/// product whose A is given by addresses, so every form below runs the same tiles:
/// <code>
///   Pointwise   row address = x + pixel·C (of every stride-th pixel)
///   Indirect    row address per tap = the tap's pixel in x, or a row of zero points outside the image
///   Padded      row address per tap = fixed offset from the window's corner in a padded copy (bytes, or words for word kernels)
///   Winograd    row address = transformed tile, one product per position
/// </code>
/// Padding reads the zero point, so that the column term covers all taps.
/// </remarks>
internal sealed unsafe class QConvolution
{
    private const int Alignment = 64;

    /// <summary>Bytes behind the padded copy that the last group may touch.</summary>
    private const int CopySlack = 64;

    private readonly int _outputStride;
    private readonly int[] _sectionOffsets;   // elements from a window's corner to each section, in x or its padded copy
    private readonly AlignedBuffer? _padRow;
    private readonly QDepthwisePlan? _depthwise;
    private readonly QWinogradPlan? _winograd;
    private readonly QConvWindow256? _window;

    private QConvolution(ConvShape shape, QConvWeights weights, int xZeroPoint, QEpilogue epilogue, int outputStride)
    {
        if (xZeroPoint is < 0 or > 255) throw new ArgumentOutOfRangeException(nameof(xZeroPoint), $"zero point {xZeroPoint} is outside [0, 255]");
        if (xZeroPoint > weights.LargestActivation)
            throw new ArgumentException($"zero point {xZeroPoint} is above the largest activation {weights.LargestActivation} that the weights are packed for", nameof(xZeroPoint));
        if (!weights.Fits(shape)) throw new ArgumentException("the packed weights are for another convolution", nameof(weights));
        if (epilogue.Channels != shape.OutChannels)
            throw new ArgumentException($"the epilogue has {epilogue.Channels} channels, the convolution {shape.OutChannels}", nameof(epilogue));
        if (outputStride != 0 && outputStride < shape.OutChannels)
            throw new ArgumentException($"output pixels are {outputStride} elements apart but have {shape.OutChannels} channels", nameof(outputStride));
        Shape = shape;
        Weights = weights;
        ZeroPoint = xZeroPoint;
        Epilogue = epilogue;
        _outputStride = outputStride == 0 ? shape.OutChannels : outputStride;
        Rows = checked(shape.Batch * shape.OutputPixels);

        bool inPlace = Form == QConvForm.Indirect;
        PaddedD = (shape.D.Output - 1) * shape.D.Stride + shape.D.Span;
        PaddedH = (shape.H.Output - 1) * shape.H.Stride + shape.H.Span;
        PaddedW = (shape.W.Output - 1) * shape.W.Stride + shape.W.Span;
        _sectionOffsets = [];
        if (Form is QConvForm.Padded or QConvForm.PaddedRuns or QConvForm.Indirect)
        {
            int lineWidth = inPlace ? shape.W.Input : PaddedW, planeHeight = inPlace ? shape.H.Input : PaddedH;
            int columns = Form == QConvForm.PaddedRuns ? 1 : shape.W.Kernel;
            _sectionOffsets = new int[shape.D.Kernel * shape.H.Kernel * columns];
            int at = 0;
            for (int kd = 0; kd < shape.D.Kernel; kd++)
                for (int kh = 0; kh < shape.H.Kernel; kh++)
                    for (int kw = 0; kw < columns; kw++)
                        _sectionOffsets[at++] = ((kd * shape.D.Dilation * planeHeight + kh * shape.H.Dilation) * lineWidth + kw * shape.W.Dilation) * shape.InChannels;
        }
        if (Form == QConvForm.Depthwise) _depthwise = new QDepthwisePlan(this, _outputStride);
        if (Weights.Winograd is { } winograd) _winograd = QWinogradPlan.Create(Form, this, winograd);
        if (Form == QConvForm.Indirect)
        {
            _padRow = new AlignedBuffer(shape.InChannels);
            _padRow.Span<byte>(0, shape.InChannels).Fill((byte)xZeroPoint);
            if (Weights.Groups[0].TakesApart) _window = new QConvWindow256(shape, xZeroPoint, Weights.Groups[0].Width);
        }
    }

    /// <summary>Chooses a method for this CPU, packs the weights and builds the convolution.</summary>
    /// <param name="shape">Extents.</param>
    /// <param name="weightsOihw"><c>[O, C/G, KD, KH, KW]</c>.</param>
    /// <param name="weightZeroPoints">Empty (all 0), 1 or O.</param>
    /// <param name="xZeroPoint">Zero point of x, in [0, 255].</param>
    /// <param name="epilogue">For O channels.</param>
    /// <param name="cpu">Features to choose by.</param>
    /// <param name="outputStride">Elements between output pixels; 0 means O. Larger writes into a part of a wider tensor.</param>
    public static QConvolution Create(ConvShape shape, ReadOnlySpan<sbyte> weightsOihw, ReadOnlySpan<int> weightZeroPoints,
        int xZeroPoint, QEpilogue epilogue, CpuFeatures cpu, int outputStride = 0) =>
        new(shape, QConvWeights.Pack(shape, weightsOihw, weightZeroPoints, cpu), xZeroPoint, epilogue, outputStride);

    /// <summary>Builds a convolution on weights that are packed already.</summary>
    /// <inheritdoc cref="Create(ConvShape, ReadOnlySpan{sbyte}, ReadOnlySpan{int}, int, QEpilogue, CpuFeatures, int)"/>
    public static QConvolution Create(ConvShape shape, QConvWeights weights, int xZeroPoint, QEpilogue epilogue, int outputStride = 0) =>
        new(shape, weights, xZeroPoint, epilogue, outputStride);

    /// <summary>Extents.</summary>
    public ConvShape Shape { get; }

    /// <summary>The packed weights; another convolution of the same weights may share them.</summary>
    public QConvWeights Weights { get; }

    /// <summary>Zero point of x.</summary>
    public int ZeroPoint { get; }

    /// <summary>What happens to the sums.</summary>
    public QEpilogue Epilogue { get; }

    /// <summary>Form and kernel.</summary>
    public string Method => Weights.Method.Name;

    /// <summary>Why this method, in one sentence.</summary>
    public string Reason => Weights.Method.Reason;

    private QConvForm Form => Weights.Method.Form;

    /// <summary>Output pixels of all images: rows of the product.</summary>
    private int Rows { get; }

    private int PaddedD { get; }

    private int PaddedH { get; }

    private int PaddedW { get; }

    /// <summary>Scratch bytes that <see cref="Run"/> needs with so many workers (<see cref="Parallelism.MaxWorkers"/>).</summary>
    public int ScratchBytes(int workers)
    {
        if (Rows == 0 || Shape.OutChannels == 0) return 0;
        if (_depthwise is not null) return checked(Alignment + workers * _depthwise.WorkerBytes);
        if (_winograd is not null) return checked((int)(Alignment + workers * _winograd.WorkerBytes));
        QGemmWeights w = Weights.Groups[0];
        if (Form == QConvForm.Pointwise) return QGemmDriver.ScratchBytes(Rows, w, workers);
        return checked((int)(Alignment + workers * WindowWorkerBytes(w) + PaddedBytes + (_window?.SharedBytes ?? 0)));
    }

    private long WindowWorkerBytes(QGemmWeights w)
    {
        int rows = QGemmBlocking.LargestRowsPerPiece(Rows, w);
        return QGemmScratch.Carve(null, w, rows, 0, _window?.Listed(rows, w.Sections) ?? 0, out _);
    }

    private long PaddedBytes => Form is QConvForm.Padded or QConvForm.PaddedRuns
        ? (((long)Shape.Batch * PaddedD * PaddedH * PaddedW * Shape.InChannels * Weights.Groups[0].Kernel.ElementBytes + CopySlack) + 63) & ~63L
        : 0;

    /// <summary>Computes the convolution.</summary>
    /// <param name="x"><c>[N, D, H, W, C]</c>.</param>
    /// <param name="sum">The sum operand if the epilogue has one, else ignored; may be the same memory as <paramref name="y"/>.</param>
    /// <param name="y">Receives <c>[N, OD, OH, OW, O]</c> in the epilogue's element type, pixels a stride apart.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/>.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public void Run(ReadOnlySpan<byte> x, ReadOnlySpan<byte> sum, Span<byte> y, Span<byte> scratch, Parallelism p)
    {
        if (Rows == 0 || Shape.OutChannels == 0) return;
        long xBytes = (long)Shape.Batch * Shape.InputPixels * Shape.InChannels;
        long yBytes = ((Rows - 1L) * _outputStride + Shape.OutChannels) * Epilogue.ElementBytes;
        if (x.Length < xBytes) throw new ArgumentException($"x has {x.Length} bytes, needs {xBytes}", nameof(x));
        if (y.Length < yBytes) throw new ArgumentException($"y has {y.Length} bytes, needs {yBytes}", nameof(y));
        if (sum.Length < Epilogue.SumBytes(Rows)) throw new ArgumentException($"the sum operand has {sum.Length} bytes, needs {Epilogue.SumBytes(Rows)}", nameof(sum));
        if (scratch.Length < ScratchBytes(p.MaxWorkers)) throw new ArgumentException($"{scratch.Length} scratch bytes, needs {ScratchBytes(p.MaxWorkers)}", nameof(scratch));

        fixed (byte* xPointer = x, sumPointer = sum, yPointer = y, scratchPointer = scratch)
        {
            byte* work = (byte*)(((nint)scratchPointer + Alignment - 1) & -Alignment);
            switch (Form)
            {
                case QConvForm.Depthwise:
                    _depthwise!.Run(xPointer, sumPointer, yPointer, (nint)_outputStride * Epilogue.ElementBytes, work, p);
                    break;
                case QConvForm.Winograd2 or QConvForm.Winograd4:
                    _winograd!.Run(xPointer, sumPointer, yPointer, (nint)_outputStride * Epilogue.ElementBytes, work, p);
                    break;
                case QConvForm.Pointwise:
                    QGemmRows layout = Shape.IsPointwise
                        ? QGemmRows.Evenly(Shape.InChannels)
                        : QGemmRows.Lines((nint)Shape.W.Stride * Shape.InChannels, Shape.W.Output, (nint)Shape.H.Stride * Shape.W.Input * Shape.InChannels, Shape.H.Output, (nint)Shape.InputPixels * Shape.InChannels);
                    for (int g = 0; g < Shape.Groups; g++)
                    {
                        int offset = g * Shape.GroupInChannels;
                        QGemmDriver.Run(Panels(g, sumPointer, yPointer), xPointer + offset, (int)xBytes - offset, false, layout, Rows, scratchPointer, p);
                    }
                    break;
                default:
                    RunWindows(xPointer, sumPointer, yPointer, work, p);
                    break;
            }
        }
    }

    private QGemmPanels Panels(int group, byte* sum, byte* y)
    {
        int channel = group * Shape.GroupOutChannels;
        return new QGemmPanels
        {
            Weights = Weights.Groups[group],
            Epilogue = Epilogue,
            ZeroPoint = ZeroPoint,
            Channel = channel,
            Y = y + (nint)channel * Epilogue.ElementBytes,
            YStride = (nint)_outputStride * Epilogue.ElementBytes,
            Sum = sum + (nint)channel * Epilogue.SumElementBytes,
        };
    }

    private void RunWindows(byte* x, byte* sum, byte* y, byte* scratch, Parallelism p)
    {
        QGemmWeights w = Weights.Groups[0];
        byte* source = x, shared = scratch;
        bool lists = false;
        if (_window is not null)
        {
            lists = _window.TakeApart(x, shared, p);
            scratch += _window.SharedBytes;
        }
        if (Form != QConvForm.Indirect)
        {
            source = scratch;
            scratch += PaddedBytes;
            var copy = new PaddingPieces { Owner = this, X = x, Padded = source, RowsPerPiece = PaddingPieces.Rows(PaddedW * Shape.InChannels) };
            p.For(ref copy, Shape.Batch * PaddedD * ((PaddedH + copy.RowsPerPiece - 1) / copy.RowsPerPiece));
        }
        int rows = QGemmBlocking.LargestRowsPerPiece(Rows, w);
        var work = new WindowPieces
        {
            Owner = this,
            X = source,
            Sum = sum,
            Y = y,
            Blocking = QGemmBlocking.Choose(Rows, w, p.MaxWorkers),
            Shared = shared,
            Lists = lists,
            Scratch = scratch,
            ScratchRows = rows,
            WorkerBytes = WindowWorkerBytes(w),
        };
        p.For(ref work, checked(work.Blocking.Pieces * Shape.Groups));
    }

    /// <summary>Copies some rows of the input into the padded form; padding holds the zero point.</summary>
    private struct PaddingPieces : IPieces
    {
        /// <summary>A smaller copy costs less than handing it to another thread.</summary>
        private const int SmallestPieceBytes = 64 << 10;

        public QConvolution Owner;
        public byte* X;
        public byte* Padded;
        public int RowsPerPiece;

        public static int Rows(int lineBytes) => Math.Max(1, SmallestPieceBytes / Math.Max(1, lineBytes));

        [MethodImpl(HotLoop.Optimized)]
        public readonly void Run(int piece, int worker)
        {
            ConvShape shape = Owner.Shape;
            QGemmKernel kernel = Owner.Weights.Groups[0].Kernel;
            int pieces = (Owner.PaddedH + RowsPerPiece - 1) / RowsPerPiece;
            int first = piece % pieces * RowsPerPiece, last = Math.Min(first + RowsPerPiece, Owner.PaddedH);
            int plane = piece / pieces, n = plane / Owner.PaddedD, d = plane % Owner.PaddedD - shape.D.PadBegin;
            int channels = shape.InChannels, width = Owner.PaddedW;
            int left = Math.Min(shape.W.PadBegin, width), inside = Math.Clamp(width - left, 0, shape.W.Input), right = width - left - inside;
            int element = kernel.ElementBytes;
            byte* to = Padded + ((nint)plane * Owner.PaddedH + first) * width * channels * element;
            for (int row = first; row < last; row++, to += (nint)width * channels * element)
            {
                int h = row - shape.H.PadBegin;
                if ((uint)d >= shape.D.Input || (uint)h >= shape.H.Input)
                {
                    Fill(to, width * channels, kernel.Packing);
                    continue;
                }
                byte* from = X + (((nint)n * shape.D.Input + d) * shape.H.Input + h) * shape.W.Input * channels;
                Fill(to, left * channels, kernel.Packing);
                QGemmCopy.Row(from, to + (nint)left * channels * element, inside * channels, inside * channels, 0, kernel.Packing);
                Fill(to + (nint)(left + inside) * channels * element, right * channels, kernel.Packing);
            }
        }

        private readonly void Fill(byte* to, int count, QGemmPacking packing)
        {
            if (packing != QGemmPacking.Words) new Span<byte>(to, count).Fill((byte)Owner.ZeroPoint);
            else new Span<short>(to, count).Fill((short)Owner.ZeroPoint);
        }
    }

    /// <summary>Output pixels of one group: finds the addresses of their taps and runs the panels.</summary>
    private struct WindowPieces : IPieces
    {
        public QConvolution Owner;
        public byte* X;
        public byte* Sum;
        public byte* Y;
        public QGemmBlocking Blocking;

        /// <summary>The input taken apart, and whether with listed groups.</summary>
        public byte* Shared;
        public bool Lists;
        public byte* Scratch;
        public int ScratchRows;
        public long WorkerBytes;

        [MethodImpl(HotLoop.Optimized)]
        public readonly void Run(int piece, int worker)
        {
            int group = piece / Blocking.Pieces;
            piece -= group * Blocking.Pieces;
            QGemmWeights w = Owner.Weights.Groups[group];
            QConvWindow256? window = Owner._window;
            QGemmScratch.Carve(Scratch + worker * WorkerBytes, w, ScratchRows, 0, window?.Listed(ScratchRows, w.Sections) ?? 0, out QGemmScratch scratch);
            int rowPiece = piece % Blocking.RowPieces, panelPiece = piece / Blocking.RowPieces;
            int firstRow = rowPiece * Blocking.RowsPerPiece, rows = Math.Min(Blocking.RowsPerPiece, Owner.Rows - firstRow);
            int firstPanel = panelPiece * Blocking.PanelsPerPiece, lastPanel = Math.Min(firstPanel + Blocking.PanelsPerPiece, w.Panels);
            nint sections = (nint)w.Sections * w.Kernel.Mr;
            if (window is null)
            {
                if (Owner.Form == QConvForm.Indirect) FindTaps(X, Owner._padRow!.Pointer, group, firstRow, rows, w, scratch.Rows, sections);
                else FindCorners(group, firstRow, rows, w, scratch.Rows);
            }
            else if (Lists)
            {
                FindTaps(window.Dense(Shared), window.Pad(0), group, firstRow, rows, w, scratch.Rows, sections);
                window.Gather(Shared, scratch.Rows, rows, w.Kernel.Mr, w.Sections, ref scratch.Outside);
                scratch.Base = window.Base;
            }
            else
            {
                FindTaps(window.Dense(Shared), window.Pad(1), group, firstRow, rows, w, scratch.Rows, 2 * sections);
                FindTaps(window.Upper(Shared), window.Pad(2), group, firstRow, rows, w, scratch.Rows + sections, 2 * sections);
                scratch.Starts = null;
                scratch.Parts = 2;
            }
            Owner.Panels(group, Sum, Y).Run(firstRow, rows, firstPanel, lastPanel, scratch);
        }

        [MethodImpl(HotLoop.Optimized)]
        private readonly void FindCorners(int group, int firstRow, int rows, QGemmWeights w, byte** table)
        {
            ConvShape shape = Owner.Shape;
            int mr = w.Kernel.Mr, tiles = (rows + mr - 1) / mr, sections = w.Sections, element = w.Kernel.ElementBytes;
            nint pixel = (nint)shape.W.Stride * shape.InChannels * element;
            Position at = Position.Of(shape, firstRow);
            byte* address = null;
            int columnsLeft = 0;
            ref int offsets = ref MemoryMarshal.GetArrayDataReference(Owner._sectionOffsets);
            for (int t = 0; t < tiles; t++, table += (nint)sections * mr)
            {
                QGemmPanels.Tile(rows, mr, t, out _, out int count);
                for (int r = 0; r < count; r++, columnsLeft--, address += pixel)
                {
                    if (columnsLeft == 0)
                    {
                        nint corner = (((nint)at.N * Owner.PaddedD + at.D * shape.D.Stride) * Owner.PaddedH + at.H * shape.H.Stride) * Owner.PaddedW + at.W * shape.W.Stride;
                        address = X + (corner * shape.InChannels + group * shape.GroupInChannels) * element;
                        columnsLeft = shape.W.Output - at.W;
                        at.NextLine(shape);
                    }
                    byte** to = table + r;
                    for (int s = 0; s < sections; s++, to += mr) *to = address + (nint)Unsafe.Add(ref offsets, s) * element;
                }
            }
        }

        [MethodImpl(HotLoop.Optimized)]
        private readonly void FindTaps(byte* source, byte* pad, int group, int firstRow, int rows, QGemmWeights w, byte** table, nint tableStride)
        {
            ConvShape shape = Owner.Shape;
            WindowAxis da = shape.D, ha = shape.H, wa = shape.W;
            int mr = w.Kernel.Mr, tiles = (rows + mr - 1) / mr, sections = w.Sections;
            ref int offsets = ref MemoryMarshal.GetArrayDataReference(Owner._sectionOffsets);
            Position at = Position.Of(shape, firstRow);
            for (int t = 0; t < tiles; t++, table += tableStride)
            {
                QGemmPanels.Tile(rows, mr, t, out _, out int count);
                for (int r = 0; r < count; r++, at.Next(shape))
                {
                    byte** to = table + r;
                    byte* image = source + (nint)at.N * shape.InputPixels * shape.InChannels + group * shape.GroupInChannels;
                    int firstD = at.D * da.Stride - da.PadBegin, firstH = at.H * ha.Stride - ha.PadBegin, firstW = at.W * wa.Stride - wa.PadBegin;
                    if (firstD >= 0 && firstD <= da.Input - da.Span && firstH >= 0 && firstH <= ha.Input - ha.Span && firstW >= 0 && firstW <= wa.Input - wa.Span)
                    {
                        byte* corner = image + (((nint)firstD * ha.Input + firstH) * wa.Input + firstW) * shape.InChannels;
                        for (int s = 0; s < sections; s++, to += mr) *to = corner + Unsafe.Add(ref offsets, s);
                        continue;
                    }
                    for (int kd = 0; kd < da.Kernel; kd++)
                    {
                        int d = at.D * da.Stride - da.PadBegin + kd * da.Dilation;
                        for (int kh = 0; kh < ha.Kernel; kh++)
                        {
                            int h = at.H * ha.Stride - ha.PadBegin + kh * ha.Dilation;
                            bool inside = (uint)d < da.Input && (uint)h < ha.Input;
                            byte* line = image + ((nint)d * ha.Input + h) * wa.Input * shape.InChannels;
                            int column = at.W * wa.Stride - wa.PadBegin;
                            for (int kw = 0; kw < wa.Kernel; kw++, column += wa.Dilation, to += mr)
                                *to = inside && (uint)column < wa.Input ? line + (nint)column * shape.InChannels : pad;
                        }
                    }
                }
            }
        }
    }

    /// <summary>An output pixel, counted through in memory order.</summary>
    private struct Position
    {
        public int N, D, H, W;

        public static Position Of(ConvShape shape, int row)
        {
            Position at;
            at.W = row % shape.W.Output;
            row /= shape.W.Output;
            at.H = row % shape.H.Output;
            row /= shape.H.Output;
            at.D = row % shape.D.Output;
            at.N = row / shape.D.Output;
            return at;
        }

        public void Next(ConvShape shape)
        {
            if (++W == shape.W.Output) NextLine(shape);
        }

        /// <summary>To the first pixel of the next line.</summary>
        public void NextLine(ConvShape shape)
        {
            W = 0;
            if (++H < shape.H.Output) return;
            H = 0;
            if (++D < shape.D.Output) return;
            D = 0;
            N++;
        }
    }
}
