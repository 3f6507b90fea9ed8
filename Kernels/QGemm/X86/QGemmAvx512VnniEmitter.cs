using Octet.Kernels.Emit;
using static Octet.Kernels.Emit.Gpr;
using static Octet.Kernels.Emit.KernelAssembler;

namespace Octet.Kernels.QGemm.X86;

/// <summary>Up to Mr × (16·vectors) outputs with VPDPBUSD on zmm, which .NET 10 has no intrinsic for.</summary>
/// <remarks>
/// <code>
///                            b0: n 0..15   b1: n 16..31    each 32-bit lane holds 4 consecutive k of one column
///                          ┌─────────────┬─────────────┐
///   a: row 0, 4 k        ─▶ │     c00     │     c01     │   rows·vectors accumulators + vectors b + 1 a ≤ 32 zmm
///      …  VPBROADCASTD     │             │             │
///      row Mr−1            │             │             │
///                          └─────────────┴─────────────┘
///   rax table   rcx b   rdx k   then one register per row, pointing behind the row's section;   [rsp] sections left
/// </code>
/// k runs from −bytes to 0, so that one register is offset and counter of all rows. The depth loop is unrolled
/// <see cref="Unroll"/> times with a tail of single groups. Few rows have few accumulators, fewer than the latency of VPDPBUSD times
/// its throughput of two per cycle; then each unrolled group has accumulators of its own, added up at the end.
/// </remarks>
internal static class QGemmAvx512VnniEmitter
{
    private const int Unroll = 4;

    /// <summary>Bytes of one zmm register: 16 columns of one group.</summary>
    private const int VectorBytes = 64;

    /// <summary>table, b, k; the other twelve general registers hold row addresses.</summary>
    private const int FixedRegisters = 3;

    // Offsets in QGemmTile.
    private const int RowsField = 0, TapsField = 8, GroupsField = 16, BField = 24, InitField = 32, CField = 40;

    /// <summary>Most rows: one general register each.</summary>
    public const int MaxRows = 12;

    /// <summary>The functions for 1 … <paramref name="mr"/> rows.</summary>
    public static EmittedFunction[] EmitAll(int mr, int vectors, bool? windows)
    {
        var functions = new EmittedFunction[mr];
        for (int rows = 1; rows <= mr; rows++) functions[rows - 1] = Emit(mr, rows, vectors, windows);
        return functions;
    }

    /// <summary>Machine code of one tile function.</summary>
    /// <param name="mr">Addresses per section in the table.</param>
    /// <param name="rows">Rows computed, 1 … <paramref name="mr"/>.</param>
    /// <param name="vectors">Vectors of 16 columns.</param>
    /// <param name="windows">Calling convention; null means this system's.</param>
    public static EmittedFunction Emit(int mr, int rows, int vectors, bool? windows = null)
    {
        int accumulators = rows * vectors;
        int copies = Math.Clamp((32 - vectors - 1) / accumulators, 1, Unroll);
        if (copies == 3) copies = 2;   // must divide Unroll
        if (accumulators >= 10) copies = 1;
        Vec Acc(int copy, int row, int vector) => Zmm(copy * accumulators + row * vectors + vector);
        Vec B(int vector) => Zmm(31 - vector);
        Vec a = Zmm(31 - vectors);
        Gpr table = Rax, b = Rcx, k = Rdx;
        Gpr Row(int row) => General[FixedRegisters + row];

        var code = new KernelAssembler(FixedRegisters + rows, windows);
        CodeLabel section = Label(), unrolled = Label(), single = Label(), singles = Label();
        CodeLabel sectionEnd = Label(), done = Label();

        // Frame: [rsp] sections left, [rsp+8] argument, [rsp+16] bytes of a section, [rsp+24] bytes of its unrolled part.
        const int left = 0, argument = 8, bytes = 16, unrolledBytes = 24, frame = 32;
        code.Sub(Rsp, frame);
        code.Mov(Rsp + argument, Rax);
        code.Mov(Rcx, Rax + TapsField);
        code.Mov(Rsp + left, Rcx);
        code.Mov(Rdx, Rax + GroupsField);
        code.Shl(Rdx, 2);
        code.Mov(Rsp + bytes, Rdx);
        code.And(Rdx, -4 * Unroll);
        code.Mov(Rsp + unrolledBytes, Rdx);
        code.Mov(Rdx, Rax + InitField);
        for (int vector = 0; vector < vectors; vector++) code.Vmovdqu32(Acc(0, 0, vector), Rdx + vector * VectorBytes);
        for (int row = 1; row < rows; row++)
            for (int vector = 0; vector < vectors; vector++) code.Vmovdqa32(Acc(0, row, vector), Acc(0, 0, vector));
        for (int copy = 1; copy < copies; copy++)
            for (int row = 0; row < rows; row++)
                for (int vector = 0; vector < vectors; vector++) code.Vpxord(Acc(copy, row, vector), Acc(copy, row, vector), Acc(copy, row, vector));
        code.Mov(b, Rax + BField);
        code.Mov(table, Rax + RowsField);

        void Group(int group)
        {
            int copy = group % copies;
            if (rows > 1)
                for (int vector = 0; vector < vectors; vector++) code.Vmovdqu32(B(vector), b + (group * vectors + vector) * VectorBytes);
            for (int row = 0; row < rows; row++)
            {
                code.Vpbroadcastd(a, Row(row) + k + group * 4);
                for (int vector = 0; vector < vectors; vector++)
                {
                    if (rows > 1) code.Vpdpbusd(Acc(copy, row, vector), a, B(vector));
                    else code.Vpdpbusd(Acc(copy, row, vector), a, b + (group * vectors + vector) * VectorBytes);
                }
            }
        }

        code.Cmp(Rsp + left, 0);
        code.Je(done);

        code.Place(section);
        code.Mov(k, Rsp + unrolledBytes);
        for (int row = 0; row < rows; row++)
        {
            code.Mov(Row(row), table + row * 8);
            code.Add(Row(row), k);
        }
        code.Add(table, mr * 8);
        code.Neg(k);
        code.Je(singles);

        code.Place(unrolled);
        for (int group = 0; group < Unroll; group++) Group(group);
        code.Add(b, Unroll * vectors * VectorBytes);
        code.Add(k, 4 * Unroll);
        code.Jne(unrolled);

        // The rest: rows point behind the unrolled part and k is 0.
        code.Place(singles);
        code.Mov(k, Rsp + bytes);
        code.Sub(k, Rsp + unrolledBytes);
        code.Je(sectionEnd);
        for (int row = 0; row < rows; row++) code.Add(Row(row), k);
        code.Neg(k);
        code.Place(single);
        Group(0);
        code.Add(b, vectors * VectorBytes);
        code.Add(k, 4);
        code.Jne(single);

        code.Place(sectionEnd);
        code.Dec(Rsp + left);
        code.Jne(section);

        code.Place(done);
        for (int copy = 1; copy < copies; copy++)
            for (int row = 0; row < rows; row++)
                for (int vector = 0; vector < vectors; vector++) code.Vpaddd(Acc(0, row, vector), Acc(0, row, vector), Acc(copy, row, vector));
        code.Mov(Rax, Rsp + argument);
        code.Mov(Rcx, Rax + CField);
        for (int row = 0; row < rows; row++)
            for (int vector = 0; vector < vectors; vector++)
                code.Vmovdqu32(Rcx + (row * vectors + vector) * VectorBytes, Acc(0, row, vector));
        code.Add(Rsp, frame);
        return code.Finish($"rows{rows}");
    }
}
