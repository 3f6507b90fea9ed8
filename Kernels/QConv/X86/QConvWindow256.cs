using System.Runtime.CompilerServices;
using Octet.Kernels.Geometry;
using Octet.Kernels.Memory;
using Octet.Kernels.QGemm;
using Octet.Kernels.QGemm.X86;
using Octet.Kernels.Threading;

namespace Octet.Kernels.QConv.X86;

/// <summary>The input of a convolution taken apart once, for all windows that read it: <see cref="QGemmWindow256"/> says into what, and why. Requires AVX2.</summary>
/// <remarks>
/// Shared by the threads of one run:
/// <code>
///   dense   [pixels][C]   d, or (a and 127) where some pixel has too many groups outside of the window
///   upper   [pixels][C]   (a and 128), written only then
///   lines   per line of the input, the groups outside of the window and their bounds per pixel
/// </code>
/// A piece of output rows gathers the groups of all taps of its rows, numbered through the sections of the depth. Taps in the padding read rows of their own, which list nothing.
/// </remarks>
internal sealed unsafe class QConvWindow256
{
    private readonly int _channels, _groups, _pixels, _lineWidth, _lines, _width, _mostPerPixel;
    private readonly long _lineBytes, _imageBytes;
    private readonly AlignedBuffer _pads;   // of dense parts: d, lower, upper

    /// <summary>Largest input: what is made of it takes four times as much scratch memory.</summary>
    private const long LargestInput = 4 << 20;

    /// <summary>Whether the input of <paramref name="shape"/> is worth taking apart: one group, pixels of whole vectors, so that threads do not write into each other's, and not too large.</summary>
    public static bool Suits(ConvShape shape) => shape.Groups == 1 && shape.InChannels % 32 == 0 && (long)shape.Batch * shape.InputPixels * shape.InChannels <= LargestInput;

    /// <summary>Plans for one input.</summary>
    /// <param name="shape">Extents; one group, pixels of whole vectors.</param>
    /// <param name="zeroPoint">Zero point of x, in [0, 255].</param>
    /// <param name="width">W.</param>
    public QConvWindow256(ConvShape shape, int zeroPoint, int width)
    {
        _channels = shape.InChannels;
        _groups = _channels / 4;
        _lineWidth = shape.W.Input;
        _pixels = checked(shape.Batch * shape.InputPixels);
        _lines = _lineWidth == 0 ? 0 : _pixels / _lineWidth;
        _width = width;
        _mostPerPixel = (int)Math.Ceiling(_groups * QGemmWindow256.LargestShare);
        _lineBytes = Align(QGemmWindow256.Lists.Bytes(_lineWidth, _lineWidth * _mostPerPixel));
        _imageBytes = Align((long)_pixels * _channels + QGemmWindow256.Slack);
        Base = QGemmWindow256.Base(zeroPoint, width);
        _pads = new AlignedBuffer(3L * _channels);
        _pads.Span<byte>(0, _channels).Fill((byte)Math.Clamp(zeroPoint - Base, 0, width));
        _pads.Span<byte>(_channels, _channels).Fill((byte)(zeroPoint & 127));
        _pads.Span<byte>(2 * _channels, _channels).Fill((byte)(zeroPoint & 128));
    }

    /// <summary>c.</summary>
    public int Base { get; }

    /// <summary>Bytes that the threads of a run share, a multiple of 64.</summary>
    public long SharedBytes => 2 * _imageBytes + _lines * _lineBytes + 64;

    /// <summary>Most groups that a piece of <paramref name="rows"/> rows gathers.</summary>
    public int Listed(int rows, int sections) => checked(rows * sections * _mostPerPixel);

    /// <summary>What taps in the padding read: of d, or of the lower and the upper part.</summary>
    public byte* Pad(int part) => _pads.Pointer + (nint)part * _channels;

    /// <summary>The dense image, or the lower part of the input.</summary>
    public byte* Dense(byte* shared) => shared;

    /// <summary>The upper part.</summary>
    public byte* Upper(byte* shared) => shared + _imageBytes;

    private static long Align(long bytes) => (bytes + 63) & ~63L;

    private QGemmWindow256.Lists Lists(byte* shared, int line) => QGemmWindow256.Lists.Carve(shared + 2 * _imageBytes + 64 + line * _lineBytes, _lineWidth * _mostPerPixel);

    private int* Failed(byte* shared) => (int*)(shared + 2 * _imageBytes);

    /// <summary>Takes the input apart; returns whether groups outside are listed, rather than both parts dense.</summary>
    /// <param name="x">The input.</param>
    /// <param name="shared"><see cref="SharedBytes"/>, aligned.</param>
    /// <param name="p">Threads.</param>
    public bool TakeApart(byte* x, byte* shared, Parallelism p)
    {
        *Failed(shared) = 0;
        int linesPerPiece = Math.Max(1, SmallestPieceBytes / Math.Max(1, _lineWidth * _channels)), pieces = (_lines + linesPerPiece - 1) / linesPerPiece;
        var work = new Pieces { Owner = this, X = x, Shared = shared, LinesPerPiece = linesPerPiece };
        p.For(ref work, pieces);
        if (*Failed(shared) == 0) return true;
        work.Halves = true;
        p.For(ref work, pieces);
        return false;
    }

    /// <summary>A smaller part of the input costs less than handing it to another thread.</summary>
    private const int SmallestPieceBytes = 32 << 10;

    private struct Pieces : IPieces
    {
        public QConvWindow256 Owner;
        public byte* X;
        public byte* Shared;
        public int LinesPerPiece;
        public bool Halves;

        [MethodImpl(HotLoop.Optimized)]
        public readonly void Run(int piece, int worker)
        {
            QConvWindow256 o = Owner;
            int first = piece * LinesPerPiece, last = Math.Min(first + LinesPerPiece, o._lines);
            nint at = (nint)first * o._lineWidth * o._channels;
            byte* dense = o.Dense(Shared), upper = o.Upper(Shared);
            int* failed = o.Failed(Shared);
            if (Halves)
            {
                int bytes = (last - first) * o._lineWidth * o._channels;
                QGemmWindow256.Halves(X + at, bytes, bytes, 0, dense + at, upper + at);
                return;
            }
            for (int line = first; line < last && Volatile.Read(ref *failed) == 0; line++)
            {
                QGemmWindow256.Lists lists = o.Lists(Shared, line);
                for (int pixel = 0; pixel < o._lineWidth; pixel++, at += o._channels)
                {
                    int above = lists.Above, below = lists.Below;
                    QGemmWindow256.Row(X + at, o._channels, 0, o.Base, o._width, dense + at, pixel, ref lists);
                    if (lists.Above - above <= o._mostPerPixel && lists.Below - below <= o._mostPerPixel) continue;
                    Volatile.Write(ref *failed, 1);
                    return;
                }
            }
        }
    }

    /// <summary>Gathers the listed groups of the taps of some output rows.</summary>
    /// <param name="shared">The input taken apart.</param>
    /// <param name="table"><c>[tiles][sections][mr]</c>: addresses of taps in <see cref="Dense"/>, or of <see cref="Pad"/>.</param>
    /// <param name="rows">Rows of the piece.</param>
    /// <param name="mr">Rows of a tile.</param>
    /// <param name="sections">Taps of a window.</param>
    /// <param name="lists">Receives them, row after row.</param>
    [MethodImpl(HotLoop.Optimized)]
    public void Gather(byte* shared, byte** table, int rows, int mr, int sections, ref QGemmWindow256.Lists lists)
    {
        int tiles = (rows + mr - 1) / mr;
        byte* dense = Dense(shared), pad = Pad(0);
        int above = 0, below = lists.FirstBelow;
        for (int t = 0; t < tiles; t++, table += (nint)sections * mr)
        {
            QGemmPanels.Tile(rows, mr, t, out int first, out int count);
            for (int r = 0; r < count; r++)
            {
                int row = first + r;
                int* bounds = lists.Bounds + 4 * row;
                bounds[0] = above;
                bounds[2] = below;
                for (int section = 0; section < sections; section++)
                {
                    byte* address = table[(nint)section * mr + r];
                    if (address == pad) continue;
                    int pixel = (int)((address - dense) / _channels), line = pixel / _lineWidth;
                    QGemmWindow256.Lists from = Lists(shared, line);
                    int* of = from.Bounds + 4 * (pixel - line * _lineWidth);
                    above = Append(from, of[0], of[1], section * _groups, row, lists, above);
                    below = Append(from, of[2], of[3], section * _groups, row, lists, below);
                }
                bounds[1] = above;
                bounds[3] = below;
            }
        }
        lists.Above = above;
        lists.Below = below - lists.FirstBelow;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Append(in QGemmWindow256.Lists from, int first, int end, int firstGroup, int row, in QGemmWindow256.Lists to, int at)
    {
        for (int i = first; i < end; i++, at++)
        {
            to.Values[at] = from.Values[i];
            to.Groups[at] = from.Groups[i] + firstGroup;
            to.Places[at] = row * QGemmWindow256.PanelColumns;
        }
        return at;
    }
}
