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
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">The table has not 256 entries, or y is shorter than x.</exception>
    public static void Run(ReadOnlySpan<byte> x, ReadOnlySpan<byte> table, Span<byte> y, Parallelism p)
    {
        if (table.Length != Length) throw new ArgumentException($"the table has {table.Length} entries; rule: 256", nameof(table));
        if (y.Length < x.Length) throw new ArgumentException($"y has {y.Length} elements but x has {x.Length}", nameof(y));
        fixed (byte* xp = x, tp = table, yp = y)
        {
            var work = new Pieces { X = xp, Table = tp, Y = yp, Total = x.Length };
            p.For(ref work, (x.Length + PieceLength - 1) / PieceLength);
        }
    }

    private struct Pieces : IPieces
    {
        public byte* X, Table, Y;
        public int Total;

        public readonly void Run(int piece, int worker)
        {
            nint i = (nint)piece * PieceLength, end = Math.Min(Total, i + PieceLength);
            byte* x = X, table = Table, y = Y;
            for (; i <= end - 8; i += 8)
            {
                ulong source = *(ulong*)(x + i);
                ulong low = (uint)(table[(byte)source] | table[(byte)(source >> 8)] << 8 | table[(byte)(source >> 16)] << 16 | table[(byte)(source >> 24)] << 24);
                ulong high = (uint)(table[(byte)(source >> 32)] | table[(byte)(source >> 40)] << 8 | table[(byte)(source >> 48)] << 16 | table[(byte)(source >> 56)] << 24);
                *(ulong*)(y + i) = BitConverter.IsLittleEndian ? low | high << 32 : high | low << 32;
            }
            for (; i < end; i++) y[i] = table[x[i]];
        }
    }
}
