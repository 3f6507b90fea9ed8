using Iced.Intel;
using Octet.Kernels.Emit;
using static Iced.Intel.AssemblerRegisters;

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

    /// <summary>Machine code for 1 … <paramref name="mr"/> rows.</summary>
    public static byte[][] EmitAll(int mr, int vectors) => Enumerable.Range(1, mr).Select(rows => Emit(mr, rows, vectors)).ToArray();

    /// <summary>Loads the functions for 1 … <paramref name="mr"/> rows.</summary>
    public static nint[] Load(int mr, int vectors) => EmittedCode.Load(EmitAll(mr, vectors));

    /// <summary>Machine code of one tile function.</summary>
    /// <param name="mr">Addresses per section in the table.</param>
    /// <param name="rows">Rows computed, 1 … <paramref name="mr"/>.</param>
    /// <param name="vectors">Vectors of 16 columns.</param>
    /// <param name="windows">Calling convention; null means this system's.</param>
    public static byte[] Emit(int mr, int rows, int vectors, bool? windows = null)
    {
        int accumulators = rows * vectors;
        int copies = Math.Clamp((32 - vectors - 1) / accumulators, 1, Unroll);
        if (copies == 3) copies = 2;   // must divide Unroll
        if (accumulators >= 10) copies = 1;
        AssemblerRegisterZMM Acc(int copy, int row, int vector) => KernelAssembler.Zmm(copy * accumulators + row * vectors + vector);
        AssemblerRegisterZMM B(int vector) => KernelAssembler.Zmm(31 - vector);
        AssemblerRegisterZMM a = KernelAssembler.Zmm(31 - vectors);
        AssemblerRegister64 table = rax, b = rcx, k = rdx;
        AssemblerRegister64 Row(int row) => KernelAssembler.General[FixedRegisters + row];

        var kernel = new KernelAssembler(FixedRegisters + rows, windows);
        Assembler code = kernel.Code;
        Label section = code.CreateLabel(), unrolled = code.CreateLabel(), single = code.CreateLabel(), singles = code.CreateLabel();
        Label sectionEnd = code.CreateLabel(), done = code.CreateLabel();

        // Frame: [rsp] sections left, [rsp+8] argument, [rsp+16] bytes of a section, [rsp+24] bytes of its unrolled part.
        const int left = 0, argument = 8, bytes = 16, unrolledBytes = 24, frame = 32;
        code.sub(rsp, frame);
        code.mov(__qword_ptr[rsp + argument], rax);
        code.mov(rcx, __qword_ptr[rax + TapsField]);
        code.mov(__qword_ptr[rsp + left], rcx);
        code.mov(rdx, __qword_ptr[rax + GroupsField]);
        code.shl(rdx, 2);
        code.mov(__qword_ptr[rsp + bytes], rdx);
        code.and(rdx, -4 * Unroll);
        code.mov(__qword_ptr[rsp + unrolledBytes], rdx);
        code.mov(rdx, __qword_ptr[rax + InitField]);
        for (int vector = 0; vector < vectors; vector++) code.vmovdqu32(Acc(0, 0, vector), __zmmword_ptr[rdx + vector * VectorBytes]);
        for (int row = 1; row < rows; row++)
            for (int vector = 0; vector < vectors; vector++) code.vmovdqa32(Acc(0, row, vector), Acc(0, 0, vector));
        for (int copy = 1; copy < copies; copy++)
            for (int row = 0; row < rows; row++)
                for (int vector = 0; vector < vectors; vector++) code.vpxord(Acc(copy, row, vector), Acc(copy, row, vector), Acc(copy, row, vector));
        code.mov(b, __qword_ptr[rax + BField]);
        code.mov(table, __qword_ptr[rax + RowsField]);

        void Group(int group)
        {
            int copy = group % copies;
            if (rows > 1)
                for (int vector = 0; vector < vectors; vector++) code.vmovdqu32(B(vector), __zmmword_ptr[b + (group * vectors + vector) * VectorBytes]);
            for (int row = 0; row < rows; row++)
            {
                code.vpbroadcastd(a, __dword_ptr[Row(row) + k + group * 4]);
                for (int vector = 0; vector < vectors; vector++)
                {
                    if (rows > 1) code.vpdpbusd(Acc(copy, row, vector), a, B(vector));
                    else code.vpdpbusd(Acc(copy, row, vector), a, __zmmword_ptr[b + (group * vectors + vector) * VectorBytes]);
                }
            }
        }

        code.cmp(__qword_ptr[rsp + left], 0);
        code.je(done);

        code.Label(ref section);
        code.mov(k, __qword_ptr[rsp + unrolledBytes]);
        for (int row = 0; row < rows; row++)
        {
            code.mov(Row(row), __qword_ptr[table + row * 8]);
            code.add(Row(row), k);
        }
        code.add(table, mr * 8);
        code.neg(k);
        code.jz(singles);

        code.Label(ref unrolled);
        for (int group = 0; group < Unroll; group++) Group(group);
        code.add(b, Unroll * vectors * VectorBytes);
        code.add(k, 4 * Unroll);
        code.jnz(unrolled);

        // The rest: rows point behind the unrolled part and k is 0.
        code.Label(ref singles);
        code.mov(k, __qword_ptr[rsp + bytes]);
        code.sub(k, __qword_ptr[rsp + unrolledBytes]);
        code.jz(sectionEnd);
        for (int row = 0; row < rows; row++) code.add(Row(row), k);
        code.neg(k);
        code.Label(ref single);
        Group(0);
        code.add(b, vectors * VectorBytes);
        code.add(k, 4);
        code.jnz(single);

        code.Label(ref sectionEnd);
        code.dec(__qword_ptr[rsp + left]);
        code.jnz(section);

        code.Label(ref done);
        for (int copy = 1; copy < copies; copy++)
            for (int row = 0; row < rows; row++)
                for (int vector = 0; vector < vectors; vector++) code.vpaddd(Acc(0, row, vector), Acc(0, row, vector), Acc(copy, row, vector));
        code.mov(rax, __qword_ptr[rsp + argument]);
        code.mov(rcx, __qword_ptr[rax + CField]);
        for (int row = 0; row < rows; row++)
            for (int vector = 0; vector < vectors; vector++)
                code.vmovdqu32(__zmmword_ptr[rcx + (row * vectors + vector) * VectorBytes], Acc(0, row, vector));
        code.add(rsp, frame);
        return kernel.Finish();
    }
}
