using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Threading;

namespace Octet.Kernels.Layout;

/// <summary>A permutation of the axes of a dense tensor, worked out once; NCHW↔NHWC is one of them.</summary>
/// <remarks>
/// Axes of extent 1 vanish and axes that stay neighbours merge. If the last axis stays last, rows are copied; otherwise the last axes of input
/// and output form matrices that are transposed in blocks, with the axes left over as an outer loop.
/// </remarks>
internal sealed unsafe class TransposePlan
{
    /// <summary>Side of a block in elements: 32 rows of 32 floats are 4 KiB on either side.</summary>
    private const int Block = 32;

    private readonly int[] _extents;    // outer loop, outermost first
    private readonly nint[] _xSteps, _ySteps;
    private readonly int _rows, _columns;      // the matrix: rows advance along the output's last axis, columns along the input's last
    private readonly nint _xRow, _yColumn;
    private readonly int _outer;
    private readonly bool _copies;

    private TransposePlan(int elementSize, nint length, int[] extents, nint[] xSteps, nint[] ySteps, int rows, int columns, nint xRow, nint yColumn, bool copies)
    {
        (ElementSize, Length, _extents, _xSteps, _ySteps) = (elementSize, length, extents, xSteps, ySteps);
        (_rows, _columns, _xRow, _yColumn, _copies) = (rows, columns, xRow, yColumn, copies);
        _outer = 1;
        foreach (int extent in extents) _outer = checked(_outer * extent);
    }

    /// <summary>Bytes of an element.</summary>
    public int ElementSize { get; }

    /// <summary>Elements.</summary>
    public nint Length { get; }

    /// <summary>Plans <c>y[i[perm[0]], i[perm[1]], …] = x[i[0], i[1], …]</c>.</summary>
    /// <param name="shape">Input extents.</param>
    /// <param name="permutation">Which input axis each output axis is.</param>
    /// <param name="elementSize">1, 2, 4, 8 or 16 bytes.</param>
    /// <exception cref="ArgumentException">The permutation is none of the shape's axes, or the size is another.</exception>
    public static TransposePlan Create(ReadOnlySpan<int> shape, ReadOnlySpan<int> permutation, int elementSize)
    {
        if (elementSize is not (1 or 2 or 4 or 8 or 16)) throw new ArgumentException($"elements of {elementSize} bytes; rule: 1, 2, 4, 8 or 16", nameof(elementSize));
        int rank = shape.Length;
        var seen = new bool[rank];
        bool valid = permutation.Length == rank;
        for (int i = 0; i < rank && valid; i++)
        {
            valid = (uint)permutation[i] < (uint)rank && !seen[permutation[i]];
            if (valid) seen[permutation[i]] = true;
        }
        if (!valid) throw new ArgumentException($"[{string.Join(", ", permutation.ToArray())}] is no permutation of {rank} axes", nameof(permutation));

        nint length = 1;
        var xStride = new nint[rank];
        for (int i = rank - 1; i >= 0; i--)
        {
            xStride[i] = length;
            length = checked(length * shape[i]);
        }
        // Output axes: extent and input stride, merged where the input is dense across them.
        var extents = new List<int>();
        var strides = new List<nint>();
        foreach (int axis in permutation)
        {
            if (shape[axis] == 1) continue;
            if (extents.Count > 0 && strides[^1] == xStride[axis] * shape[axis])
            {
                extents[^1] = checked(extents[^1] * shape[axis]);
                strides[^1] = xStride[axis];
            }
            else
            {
                extents.Add(shape[axis]);
                strides.Add(xStride[axis]);
            }
        }
        if (extents.Count == 0 || length == 0) return new(elementSize, length, [], [], [], (int)Math.Min(length, 1), 1, 1, 1, true);

        int n = extents.Count;
        var yStride = new nint[n];
        nint step = 1;
        for (int i = n - 1; i >= 0; i--)
        {
            yStride[i] = step;
            step *= extents[i];
        }
        int unit = strides.IndexOf(1);   // the output axis along which the input is consecutive
        bool copies = unit == n - 1;
        int loops = copies ? n - 1 : n - 2, at = 0;
        var loopExtents = new int[loops];
        nint[] loopStrides = new nint[loops], loopYStrides = new nint[loops];
        for (int i = 0; i < n - 1; i++)
        {
            if (i == unit) continue;
            loopExtents[at] = extents[i];
            loopStrides[at] = strides[i];
            loopYStrides[at++] = yStride[i];
        }
        return new(elementSize, length, loopExtents, loopStrides, loopYStrides,
            copies ? 1 : extents[^1], extents[unit], strides[^1], yStride[unit], copies);
    }

    /// <summary>Transposes.</summary>
    /// <param name="x">Input bytes.</param>
    /// <param name="y">Output bytes; must not overlap x.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">A span is shorter than the plan's elements.</exception>
    public void Run(ReadOnlySpan<byte> x, Span<byte> y, Parallelism p)
    {
        nint bytes = Length * ElementSize;
        if (x.Length < bytes || y.Length < bytes) throw new ArgumentException($"x has {x.Length} and y {y.Length} bytes, {bytes} are needed");
        if (Length == 0) return;
        fixed (byte* xp = x, yp = y)
        {
            if (_copies)
            {
                var work = new CopyPieces { Plan = this, X = xp, Y = yp, Block = (int)Math.Clamp(32768 / Math.Max(1, (long)_columns * ElementSize), 1, _outer) };
                p.For(ref work, (_outer + work.Block - 1) / work.Block);
            }
            else
            {
                var work = new MatrixPieces { Plan = this, X = xp, Y = yp, Bands = (_rows + 4 * Block - 1) / (4 * Block) };
                p.For(ref work, checked(_outer * work.Bands));
            }
        }
    }

    private (nint X, nint Y) Offsets(int outer)
    {
        nint x = 0, y = 0;
        for (int axis = _extents.Length - 1; axis >= 0; axis--)
        {
            int at = outer % _extents[axis];
            outer /= _extents[axis];
            x += at * _xSteps[axis];
            y += at * _ySteps[axis];
        }
        return (x, y);
    }

    private struct CopyPieces : IPieces
    {
        public TransposePlan Plan;
        public byte* X, Y;
        public int Block;

        public readonly void Run(int piece, int worker)
        {
            int end = Math.Min(Plan._outer, (piece + 1) * Block), size = Plan.ElementSize;
            nint bytes = (nint)Plan._columns * size;
            for (int outer = piece * Block; outer < end; outer++)
            {
                (nint x, nint y) = Plan.Offsets(outer);
                Unsafe.CopyBlockUnaligned(Y + y * size, X + x * size, (uint)bytes);
            }
        }
    }

    private struct MatrixPieces : IPieces
    {
        public TransposePlan Plan;
        public byte* X, Y;
        public int Bands;

        public readonly void Run(int piece, int worker)
        {
            int outer = piece / Bands, firstRow = (piece - outer * Bands) * 4 * Block;
            (nint x, nint y) = Plan.Offsets(outer);
            int rows = Math.Min(4 * Block, Plan._rows - firstRow), size = Plan.ElementSize;
            byte* from = X + (x + firstRow * Plan._xRow) * size;
            byte* to = Y + (y + firstRow) * size;
            switch (size)
            {
                case 1: Matrix((byte*)from, (byte*)to, rows); break;
                case 2: Matrix((ushort*)from, (ushort*)to, rows); break;
                case 4: Matrix((uint*)from, (uint*)to, rows); break;
                case 8: Matrix((ulong*)from, (ulong*)to, rows); break;
                default: Matrix((UInt128*)from, (UInt128*)to, rows); break;
            }
        }

        /// <summary><c>y[c · yColumn + r] = x[r · xRow + c]</c> in blocks.</summary>
        [MethodImpl(HotLoop.Optimized)]
        private readonly void Matrix<T>(T* x, T* y, int rows) where T : unmanaged
        {
            nint xRow = Plan._xRow, yColumn = Plan._yColumn;
            int columns = Plan._columns;
            if (sizeof(T) == 4 && rows == 3 && yColumn == 3 && Sse.IsSupported)
            {
                TransposeBlocks.Interleave((float*)x, (float*)x + xRow, (float*)x + 2 * xRow, columns, (float*)y);
                return;
            }
            if (sizeof(T) == 1 && Sse2.IsSupported)
            {
                if (rows == 3 && yColumn == 3 && Sse41.IsSupported)
                {
                    TransposeBlocks.Interleave((byte*)x, (byte*)x + xRow, (byte*)x + 2 * xRow, columns, (byte*)y);
                    return;
                }
                if (rows <= 8 && yColumn == rows)
                {
                    TransposeBlocks.Few((byte*)x, xRow, rows, columns, (byte*)y);
                    return;
                }
                if (rows >= 8 && columns >= 8)
                {
                    Bytes((byte*)x, (byte*)y, rows);
                    return;
                }
            }
            for (int c0 = 0; c0 < columns; c0 += Block)
            {
                int c1 = Math.Min(columns, c0 + Block);
                for (int r0 = 0; r0 < rows; r0 += Block)
                {
                    int r1 = Math.Min(rows, r0 + Block);
                    int c = c0;
                    if (sizeof(T) == 4 && Vector128.IsHardwareAccelerated)
                    {
                        for (; c <= c1 - 4; c += 4)
                        {
                            int r = r0;
                            for (; r <= r1 - 4; r += 4) TransposeBlocks.Four((float*)x + r * xRow + c, xRow, (float*)y + c * yColumn + r, yColumn);
                            for (; r < r1; r++)
                                for (int i = c; i < c + 4; i++) y[i * yColumn + r] = x[r * xRow + i];
                        }
                    }
                    for (; c < c1; c++)
                        for (int r = r0; r < r1; r++) y[c * yColumn + r] = x[r * xRow + c];
                }
            }
        }

        /// <summary>At least eight rows and columns of bytes, eight by eight; the last eight of either overlap those before.</summary>
        [MethodImpl(HotLoop.Optimized)]
        private readonly void Bytes(byte* x, byte* y, int rows)
        {
            nint xRow = Plan._xRow, yColumn = Plan._yColumn;
            int columns = Plan._columns;
            for (int c0 = 0; c0 < columns; c0 += Block)
            {
                for (int r0 = 0; r0 < rows; r0 += Block)
                {
                    for (int c = c0; c < Math.Min(columns, c0 + Block); c += 8)
                    {
                        int column = Math.Min(c, columns - 8);
                        for (int r = r0; r < Math.Min(rows, r0 + Block); r += 8)
                        {
                            int row = Math.Min(r, rows - 8);
                            TransposeBlocks.Eight(x + row * xRow + column, xRow, y + column * yColumn + row, yColumn);
                        }
                    }
                }
            }
        }
    }
}
