using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Cpu;
using Octet.Kernels.Lanes;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;

namespace Octet.Kernels.Quantize;

/// <summary>A function of one byte as 256 values: any activation or requantization of an 8-bit tensor, exact by construction.</summary>
internal static unsafe class ByteTable
{
    /// <summary>Entries of a table.</summary>
    public const int Length = 256;

    private const int PieceLength = 65536;

    /// <summary><c>y[i] = table[x[i]]</c>.</summary>
    /// <param name="x">Arguments; signed bytes index by their bits.</param>
    /// <param name="table">256 values.</param>
    /// <param name="y">Receives as many values; may be x itself.</param>
    /// <param name="cpu">The CPU.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">The table has not 256 entries, or y is shorter than x.</exception>
    public static void Run(ReadOnlySpan<byte> x, ReadOnlySpan<byte> table, Span<byte> y, CpuFeatures cpu, Parallelism p)
    {
        if (table.Length != Length) throw new ArgumentException($"the table has {table.Length} entries; rule: 256", nameof(table));
        if (y.Length < x.Length) throw new ArgumentException($"y has {y.Length} elements but x has {x.Length}", nameof(y));
        fixed (byte* xp = x, tp = table, yp = y)
        {
            byte* steps = stackalloc byte[ByteLookup.Length];
            ByteLookup.Prepare(tp, steps);
            var work = new Pieces { X = xp, Table = tp, Steps = steps, Y = yp, Total = x.Length, Width = VectorWidths.Select(cpu) };
            p.For(ref work, (x.Length + PieceLength - 1) / PieceLength);
        }
    }

    /// <summary><c>y[o,c,i] = tables[c][x[o,c,i]]</c>: a table for every position of one axis.</summary>
    /// <param name="x"><c>[outer, channels, inner]</c>.</param>
    /// <param name="tables"><c>[channels, 256]</c>.</param>
    /// <param name="y">Receives as many values; may be x itself.</param>
    /// <param name="outer">Product of the extents in front of the axis.</param>
    /// <param name="channels">Extent of the axis.</param>
    /// <param name="inner">Product of the extents behind it; 1 for channels-last data.</param>
    /// <param name="cpu">The CPU.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public static void RunChannels(ReadOnlySpan<byte> x, ReadOnlySpan<byte> tables, Span<byte> y, int outer, int channels, int inner, CpuFeatures cpu, Parallelism p)
    {
        long total = (long)outer * channels * inner;
        if (tables.Length != (long)channels * Length) throw new ArgumentException($"the tables have {tables.Length} entries; rule: 256 for each of {channels} channels", nameof(tables));
        if (x.Length < total || y.Length < total) throw new ArgumentException($"x has {x.Length} and y {y.Length} elements for {outer} · {channels} · {inner}");
        if (total == 0) return;
        fixed (byte* xp = x, tp = tables, yp = y)
        {
            var work = new ChannelPieces { X = xp, Tables = tp, Y = yp, Channels = channels, Inner = inner, Outer = outer, Width = VectorWidths.Select(cpu) };
            work.LinesPerPiece = Math.Max(1, PieceLength / Math.Max(1, inner == 1 ? channels : inner));
            long lines = inner == 1 ? outer : (long)outer * channels;
            p.For(ref work, checked((int)((lines + work.LinesPerPiece - 1) / work.LinesPerPiece)));
        }
    }

    private struct ChannelPieces : IPieces
    {
        public byte* X, Tables, Y;
        public int Outer, Channels, Inner, LinesPerPiece;
        public VectorWidth Width;

        public readonly void Run(int piece, int worker)
        {
            long lines = Inner == 1 ? Outer : (long)Outer * Channels, first = (long)piece * LinesPerPiece, last = Math.Min(lines, first + LinesPerPiece);
            if (Inner == 1)
            {
                for (long line = first; line < last; line++)
                {
                    byte* x = X + line * Channels, y = Y + line * Channels, table = Tables;
                    for (nint c = 0; c < Channels; c++, table += Length) y[c] = table[x[c]];
                }
                return;
            }
            byte* steps = stackalloc byte[ByteLookup.Length];
            for (long line = first; line < last; line++)
            {
                byte* table = Tables + line % Channels * Length;
                ByteLookup.Prepare(table, steps);
                var whole = new Pieces { X = X + line * Inner, Table = table, Steps = steps, Y = Y + line * Inner, Total = Inner, Width = Width };
                for (int at = 0; at < (Inner + PieceLength - 1) / PieceLength; at++) whole.Run(at, worker);
            }
        }
    }

    private struct Pieces : IPieces
    {
        public byte* X, Table, Steps, Y;
        public int Total;
        public VectorWidth Width;

        public readonly void Run(int piece, int worker)
        {
            nint i = (nint)piece * PieceLength, end = Math.Min(Total, i + PieceLength);
            byte* x = X, table = Table, y = Y;
            if (Width == VectorWidth.V512) i = Wide512(x, table, y, i, end);
            else if (Width == VectorWidth.V256) i += ByteLookup.Wide256(Steps, x + i, y + i, end - i);
            else if (Width == VectorWidth.V128 && Ssse3.IsSupported) i += ByteLookup.Wide128(Steps, x + i, y + i, end - i);
            ByteLookup.Scalar(table, x + i, y + i, end - i);
        }
    }

    /// <summary>
    /// The table as 16 rows of 16, each looked up by VPSHUFB: <c>x − 16·row</c>, raised by 112 with saturation, keeps its low four bits and stays
    /// below 128 only within the row, and an index of 128 or more gives 0.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static nint Wide512(byte* x, byte* table, byte* y, nint i, nint end)
    {
        Vector512<byte> raise = Vector512.Create((byte)112), sixteen = Vector512.Create((byte)16);
        for (; i <= end - 64; i += 64)
        {
            Vector512<byte> index = Vector512.Load(x + i), result = default;
            for (int row = 0; row < Length; row += 16)
            {
                Vector512<byte> entries = Avx512F.BroadcastVector128ToVector512((int*)(table + row)).AsByte();
                result |= Avx512BW.Shuffle(entries, Avx512BW.AddSaturate(index, raise));
                index -= sixteen;
            }
            result.Store(y + i);
        }
        return i;
    }
}
