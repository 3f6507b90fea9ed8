using Octet.Kernels.Emit;
using static Octet.Kernels.Emit.Gpr;
using static Octet.Kernels.Emit.KernelAssembler;

namespace Octet.Kernels.QConv.X86;

/// <summary>64 channels of one output pixel at a time, four taps per VPDPBUSD on zmm, which .NET 10 has no intrinsic for.</summary>
/// <remarks>
/// Order of channels as in <see cref="QDepthwise256{TStep}"/>. Two kinds of function:
/// <code>
///   any window    per group of four taps: 4 loads, 8 unpacks, 4 VPDPBUSD
///   3×3 sliding   a group is one window column (3 taps and a zero weight); a column unpacked once serves every window that has it:
///                 per pixel `stride` new columns of 8 unpacks, 12 VPDPBUSD; weights stay in registers
/// </code>
/// The epilogue clamps from above in float, so that VCVTPS2DQ cannot overflow; from below its result and both packs saturate
/// towards −∞, so one byte maximum at the end is the lower clamp.
/// </remarks>
internal static class QDepthwiseAvx512VnniEmitter
{
    private const int VectorBytes = 64, Vectors = 4;

    // Offsets in QDepthwiseRun.
    private const int Taps = 0x00, Groups = 0x08, Step = 0x10, Pixels = 0x18, Weights = 0x20, Init = 0x28, Multipliers = 0x30;
    private const int Low = 0x38, High = 0x3C, ZeroPoint = 0x40, Channels = 0x44, Y = 0x48, YStride = 0x50;

    private static readonly Vec Ceiling = Zmm(28), Offset = Zmm(29), Floor = Zmm(30);
    private static readonly Opmask Stored = new(1), Quarter = new(2);

    /// <summary>The functions: any window, 3×3 sliding by one column, 3×3 sliding by two.</summary>
    /// <param name="windows">Calling convention; null means this system's.</param>
    public static EmittedFunction[] EmitAll(bool? windows) => [EmitAny(windows), EmitSliding(1, windows), EmitSliding(2, windows)];

    /// <summary>Sums and, if the run has multipliers, requantizes windows of any form.</summary>
    public static EmittedFunction EmitAny(bool? windows = null)
    {
        var code = new KernelAssembler(15, windows);
        Gpr run = Rax, y = Rcx, offset = Rdx, taps = Rsi, weights = Rdi, groups = Rbx, pixels = Rbp, init = R12, multipliers = R13;
        Gpr[] address = [R8, R9, R10, R11];
        Vec Sum(int v) => Zmm(v);
        CodeLabel pixel = Label(), group = Label(), requantize = Label(), next = Label(), done = Label();

        Prepare(code, run);
        code.Mov(pixels, run + Pixels);
        code.Test(pixels, pixels);
        code.Jle(done);
        code.Mov(init, run + Init);
        code.Mov(multipliers, run + Multipliers);
        code.Mov(y, run + Y);
        code.Xor(Rdx.Low, Rdx.Low);

        code.Place(pixel);
        code.Mov(taps, run + Taps);
        code.Mov(weights, run + Weights);
        code.Mov(groups, run + Groups);
        for (int v = 0; v < Vectors; v++) code.Vmovdqu32(Sum(v), init + v * VectorBytes);

        code.Place(group);
        for (int t = 0; t < 4; t++) code.Mov(address[t], taps + t * 8);
        code.Vmovdqu8(Zmm(4), address[0] + offset);
        code.Vmovdqu8(Zmm(5), address[1] + offset);
        code.Vmovdqu8(Zmm(6), address[2] + offset);
        code.Vmovdqu8(Zmm(7), address[3] + offset);
        code.Vpunpcklbw(Zmm(8), Zmm(4), Zmm(5));
        code.Vpunpckhbw(Zmm(9), Zmm(4), Zmm(5));
        code.Vpunpcklbw(Zmm(10), Zmm(6), Zmm(7));
        code.Vpunpckhbw(Zmm(11), Zmm(6), Zmm(7));
        code.Vpunpcklwd(Zmm(12), Zmm(8), Zmm(10));
        code.Vpunpckhwd(Zmm(13), Zmm(8), Zmm(10));
        code.Vpunpcklwd(Zmm(14), Zmm(9), Zmm(11));
        code.Vpunpckhwd(Zmm(15), Zmm(9), Zmm(11));
        for (int v = 0; v < Vectors; v++) code.Vpdpbusd(Sum(v), Zmm(12 + v), weights + v * VectorBytes);
        code.Add(taps, 4 * 8);
        code.Add(weights, Vectors * VectorBytes);
        code.Dec(groups);
        code.Jne(group);

        code.Test(multipliers, multipliers);
        code.Jne(requantize);
        // A 4 × 4 transpose of 128-bit lanes restores the order of memory.
        code.Vshufi32x4(Zmm(4), Zmm(0), Zmm(1), 0x44);
        code.Vshufi32x4(Zmm(5), Zmm(2), Zmm(3), 0x44);
        code.Vshufi32x4(Zmm(6), Zmm(0), Zmm(1), 0xEE);
        code.Vshufi32x4(Zmm(7), Zmm(2), Zmm(3), 0xEE);
        code.Vshufi32x4(Zmm(8), Zmm(4), Zmm(5), 0x88);
        code.Vshufi32x4(Zmm(9), Zmm(4), Zmm(5), 0xDD);
        code.Vshufi32x4(Zmm(10), Zmm(6), Zmm(7), 0x88);
        code.Vshufi32x4(Zmm(11), Zmm(6), Zmm(7), 0xDD);
        for (int v = 0; v < Vectors; v++)
        {
            code.Kshiftrq(Quarter, Stored, (byte)(16 * v));
            code.Vmovdqu32(y + v * VectorBytes, Quarter, Zmm(8 + v));
        }
        code.Jmp(next);

        code.Place(requantize);
        Requantize(code, Sum(0), Sum(1), Sum(2), Sum(3), multipliers, y);

        code.Place(next);
        code.Add(y, run + YStride);
        code.Add(offset, run + Step);
        code.Dec(pixels);
        code.Jne(pixel);
        code.Place(done);
        return code.Finish("any-window");
    }

    /// <summary>Requantizes a run of 3×3 windows that are <paramref name="stride"/> columns apart, taps ordered by column.</summary>
    public static EmittedFunction EmitSliding(int stride, bool? windows = null)
    {
        const int columns = 3;
        var code = new KernelAssembler(12, windows);
        Gpr run = Rax, y = Rcx, row0 = Rdx, row1 = Rsi, row2 = Rdi, pixel = R8, init = R9, multipliers = R10, pixels = R11, yStride = Rbx;
        Vec Sum(int v) => Zmm(v);
        Vec Column(int c, int v) => Zmm(4 + c % columns * Vectors + v);
        Vec Weight(int c, int v) => Zmm(16 + c * Vectors + v);
        CodeLabel loop = Label(), done = Label();

        Prepare(code, run);
        code.Mov(pixels, run + Pixels);
        code.Test(pixels, pixels);
        code.Jle(done);
        code.Mov(R8, run + Weights);
        for (int c = 0; c < columns; c++)
            for (int v = 0; v < Vectors; v++) code.Vmovdqu32(Weight(c, v), R8 + (c * Vectors + v) * VectorBytes);
        code.Mov(R8, run + Taps);
        code.Mov(row0, R8 + 0);
        code.Mov(row1, R8 + 8);
        code.Mov(row2, R8 + 16);
        code.Mov(pixel, R8 + 4 * 8);
        code.Sub(pixel, row0);   // bytes from one column to the next
        code.Mov(init, run + Init);
        code.Mov(multipliers, run + Multipliers);
        code.Mov(y, run + Y);
        code.Mov(yStride, run + YStride);

        // The sums are free while a column is unpacked, so they hold the halves. Row 2 is paired with itself: its second weight is 0.
        void LoadColumn(int c)
        {
            code.Vmovdqu8(Sum(0), row0 + 0);
            code.Vmovdqu8(Sum(3), row2 + 0);
            code.Vpunpckhbw(Sum(1), Sum(0), row1 + 0);
            code.Vpunpcklbw(Sum(0), Sum(0), row1 + 0);
            code.Vpunpckhbw(Sum(2), Sum(3), Sum(3));
            code.Vpunpcklbw(Sum(3), Sum(3), Sum(3));
            code.Vpunpcklwd(Column(c, 0), Sum(0), Sum(3));
            code.Vpunpckhwd(Column(c, 1), Sum(0), Sum(3));
            code.Vpunpcklwd(Column(c, 2), Sum(1), Sum(2));
            code.Vpunpckhwd(Column(c, 3), Sum(1), Sum(2));
            code.Add(row0, pixel);
            code.Add(row1, pixel);
            code.Add(row2, pixel);
        }

        for (int c = 0; c < columns - stride; c++) LoadColumn(c);
        code.Place(loop);
        // After `columns` pixels every column is back in the registers it started in.
        for (int step = 0; step < columns; step++)
        {
            int first = step * stride;
            for (int c = columns - stride; c < columns; c++) LoadColumn(first + c);
            for (int v = 0; v < Vectors; v++) code.Vmovdqu32(Sum(v), init + v * VectorBytes);
            for (int c = 0; c < columns; c++)
                for (int v = 0; v < Vectors; v++) code.Vpdpbusd(Sum(v), Column(first + c, v), Weight(c, v));
            Requantize(code, Sum(0), Sum(1), Sum(2), Sum(3), multipliers, y);
            code.Add(y, yStride);
            code.Dec(pixels);
            if (step + 1 < columns) code.Je(done);
        }
        code.Jne(loop);
        code.Place(done);
        return code.Finish($"3x3-stride{stride}");
    }

    /// <summary>Constants of the epilogue and, in k1, the channels that are stored. Overwrites rcx and rdx.</summary>
    private static void Prepare(KernelAssembler code, Gpr run)
    {
        code.Vbroadcastss(Ceiling, run + High);
        code.Vpbroadcastw(Offset, run + ZeroPoint);
        code.Vcvttss2si(Rcx.Low, run + Low);   // low − zeroPoint, an integer
        code.Add(Rcx.Low, run + ZeroPoint);
        code.Vpbroadcastb(Floor, Rcx.Low);
        code.Mov(Rcx.Low, VectorBytes);
        code.Sub(Rcx.Low, run + Channels);
        code.Mov(Rdx, -1);
        code.ShrCl(Rdx);
        code.Kmovq(Stored, Rdx);
    }

    private static void Requantize(KernelAssembler code, Vec s0, Vec s1, Vec s2, Vec s3,
        Gpr multipliers, Gpr y)
    {
        Vec[] sums = [s0, s1, s2, s3];
        foreach (Vec s in sums) code.Vcvtdq2ps(s, s);
        for (int v = 0; v < Vectors; v++) code.Vmulps(sums[v], sums[v], multipliers + v * VectorBytes);
        foreach (Vec s in sums) code.Vminps(s, s, Ceiling);
        foreach (Vec s in sums) code.Vcvtps2dq(s, s);
        code.Vpackssdw(s0, s0, s1);
        code.Vpackssdw(s2, s2, s3);
        code.Vpaddw(s0, s0, Offset);
        code.Vpaddw(s2, s2, Offset);
        code.Vpackuswb(s0, s0, s2);
        code.Vpmaxub(s0, s0, Floor);
        code.Vmovdqu8(y + 0, Stored, s0);
    }
}
