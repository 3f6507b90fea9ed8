using Iced.Intel;
using Octet.Kernels.Emit;
using static Iced.Intel.AssemblerRegisters;

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

    private static readonly AssemblerRegisterZMM Ceiling = zmm28, Offset = zmm29, Floor = zmm30;

    /// <summary>Loads the functions: any window, 3×3 sliding by one column, 3×3 sliding by two.</summary>
    public static nint[] Load() => EmittedCode.Load([EmitAny(), EmitSliding(1), EmitSliding(2)]);

    /// <summary>Sums and, if the run has multipliers, requantizes windows of any form.</summary>
    public static byte[] EmitAny(bool? windows = null)
    {
        var kernel = new KernelAssembler(15, windows);
        Assembler code = kernel.Code;
        AssemblerRegister64 run = rax, y = rcx, offset = rdx, taps = rsi, weights = rdi, groups = rbx, pixels = rbp, init = r12, multipliers = r13;
        AssemblerRegister64[] address = [r8, r9, r10, r11];
        AssemblerRegisterZMM Sum(int v) => KernelAssembler.Zmm(v);
        Label pixel = code.CreateLabel(), group = code.CreateLabel(), requantize = code.CreateLabel(), next = code.CreateLabel(), done = code.CreateLabel();

        Prepare(code, run);
        code.mov(pixels, __qword_ptr[run + Pixels]);
        code.test(pixels, pixels);
        code.jle(done);
        code.mov(init, __qword_ptr[run + Init]);
        code.mov(multipliers, __qword_ptr[run + Multipliers]);
        code.mov(y, __qword_ptr[run + Y]);
        code.xor(edx, edx);

        code.Label(ref pixel);
        code.mov(taps, __qword_ptr[run + Taps]);
        code.mov(weights, __qword_ptr[run + Weights]);
        code.mov(groups, __qword_ptr[run + Groups]);
        for (int v = 0; v < Vectors; v++) code.vmovdqu32(Sum(v), __zmmword_ptr[init + v * VectorBytes]);

        code.Label(ref group);
        for (int t = 0; t < 4; t++) code.mov(address[t], __qword_ptr[taps + t * 8]);
        code.vmovdqu8(zmm4, __zmmword_ptr[address[0] + offset]);
        code.vmovdqu8(zmm5, __zmmword_ptr[address[1] + offset]);
        code.vmovdqu8(zmm6, __zmmword_ptr[address[2] + offset]);
        code.vmovdqu8(zmm7, __zmmword_ptr[address[3] + offset]);
        code.vpunpcklbw(zmm8, zmm4, zmm5);
        code.vpunpckhbw(zmm9, zmm4, zmm5);
        code.vpunpcklbw(zmm10, zmm6, zmm7);
        code.vpunpckhbw(zmm11, zmm6, zmm7);
        code.vpunpcklwd(zmm12, zmm8, zmm10);
        code.vpunpckhwd(zmm13, zmm8, zmm10);
        code.vpunpcklwd(zmm14, zmm9, zmm11);
        code.vpunpckhwd(zmm15, zmm9, zmm11);
        for (int v = 0; v < Vectors; v++) code.vpdpbusd(Sum(v), KernelAssembler.Zmm(12 + v), __zmmword_ptr[weights + v * VectorBytes]);
        code.add(taps, 4 * 8);
        code.add(weights, Vectors * VectorBytes);
        code.dec(groups);
        code.jnz(group);

        code.test(multipliers, multipliers);
        code.jnz(requantize);
        // A 4 × 4 transpose of 128-bit lanes restores the order of memory.
        code.vshufi32x4(zmm4, zmm0, zmm1, 0x44);
        code.vshufi32x4(zmm5, zmm2, zmm3, 0x44);
        code.vshufi32x4(zmm6, zmm0, zmm1, 0xEE);
        code.vshufi32x4(zmm7, zmm2, zmm3, 0xEE);
        code.vshufi32x4(zmm8, zmm4, zmm5, 0x88);
        code.vshufi32x4(zmm9, zmm4, zmm5, 0xDD);
        code.vshufi32x4(zmm10, zmm6, zmm7, 0x88);
        code.vshufi32x4(zmm11, zmm6, zmm7, 0xDD);
        for (int v = 0; v < Vectors; v++)
        {
            code.kshiftrq(k2, k1, (byte)(16 * v));
            code.vmovdqu32(__zmmword_ptr[y + v * VectorBytes].k2, KernelAssembler.Zmm(8 + v));
        }
        code.jmp(next);

        code.Label(ref requantize);
        Requantize(code, Sum(0), Sum(1), Sum(2), Sum(3), multipliers, y);

        code.Label(ref next);
        code.add(y, __qword_ptr[run + YStride]);
        code.add(offset, __qword_ptr[run + Step]);
        code.dec(pixels);
        code.jnz(pixel);
        code.Label(ref done);
        return kernel.Finish();
    }

    /// <summary>Requantizes a run of 3×3 windows that are <paramref name="stride"/> columns apart, taps ordered by column.</summary>
    public static byte[] EmitSliding(int stride, bool? windows = null)
    {
        const int columns = 3;
        var kernel = new KernelAssembler(12, windows);
        Assembler code = kernel.Code;
        AssemblerRegister64 run = rax, y = rcx, row0 = rdx, row1 = rsi, row2 = rdi, pixel = r8, init = r9, multipliers = r10, pixels = r11, yStride = rbx;
        AssemblerRegisterZMM Sum(int v) => KernelAssembler.Zmm(v);
        AssemblerRegisterZMM Column(int c, int v) => KernelAssembler.Zmm(4 + c % columns * Vectors + v);
        AssemblerRegisterZMM Weight(int c, int v) => KernelAssembler.Zmm(16 + c * Vectors + v);
        Label loop = code.CreateLabel(), done = code.CreateLabel();

        Prepare(code, run);
        code.mov(pixels, __qword_ptr[run + Pixels]);
        code.test(pixels, pixels);
        code.jle(done);
        code.mov(r8, __qword_ptr[run + Weights]);
        for (int c = 0; c < columns; c++)
            for (int v = 0; v < Vectors; v++) code.vmovdqu32(Weight(c, v), __zmmword_ptr[r8 + (c * Vectors + v) * VectorBytes]);
        code.mov(r8, __qword_ptr[run + Taps]);
        code.mov(row0, __qword_ptr[r8]);
        code.mov(row1, __qword_ptr[r8 + 8]);
        code.mov(row2, __qword_ptr[r8 + 16]);
        code.mov(pixel, __qword_ptr[r8 + 4 * 8]);
        code.sub(pixel, row0);   // bytes from one column to the next
        code.mov(init, __qword_ptr[run + Init]);
        code.mov(multipliers, __qword_ptr[run + Multipliers]);
        code.mov(y, __qword_ptr[run + Y]);
        code.mov(yStride, __qword_ptr[run + YStride]);

        // The sums are free while a column is unpacked, so they hold the halves. Row 2 is paired with itself: its second weight is 0.
        void LoadColumn(int c)
        {
            code.vmovdqu8(Sum(0), __zmmword_ptr[row0]);
            code.vmovdqu8(Sum(3), __zmmword_ptr[row2]);
            code.vpunpckhbw(Sum(1), Sum(0), __zmmword_ptr[row1]);
            code.vpunpcklbw(Sum(0), Sum(0), __zmmword_ptr[row1]);
            code.vpunpckhbw(Sum(2), Sum(3), Sum(3));
            code.vpunpcklbw(Sum(3), Sum(3), Sum(3));
            code.vpunpcklwd(Column(c, 0), Sum(0), Sum(3));
            code.vpunpckhwd(Column(c, 1), Sum(0), Sum(3));
            code.vpunpcklwd(Column(c, 2), Sum(1), Sum(2));
            code.vpunpckhwd(Column(c, 3), Sum(1), Sum(2));
            code.add(row0, pixel);
            code.add(row1, pixel);
            code.add(row2, pixel);
        }

        for (int c = 0; c < columns - stride; c++) LoadColumn(c);
        code.Label(ref loop);
        // After `columns` pixels every column is back in the registers it started in.
        for (int step = 0; step < columns; step++)
        {
            int first = step * stride;
            for (int c = columns - stride; c < columns; c++) LoadColumn(first + c);
            for (int v = 0; v < Vectors; v++) code.vmovdqu32(Sum(v), __zmmword_ptr[init + v * VectorBytes]);
            for (int c = 0; c < columns; c++)
                for (int v = 0; v < Vectors; v++) code.vpdpbusd(Sum(v), Column(first + c, v), Weight(c, v));
            Requantize(code, Sum(0), Sum(1), Sum(2), Sum(3), multipliers, y);
            code.add(y, yStride);
            code.dec(pixels);
            if (step + 1 < columns) code.jz(done);
        }
        code.jnz(loop);
        code.Label(ref done);
        return kernel.Finish();
    }

    /// <summary>Constants of the epilogue and, in k1, the channels that are stored. Overwrites rcx and rdx.</summary>
    private static void Prepare(Assembler code, AssemblerRegister64 run)
    {
        code.vbroadcastss(Ceiling, __dword_ptr[run + High]);
        code.vpbroadcastw(Offset, __word_ptr[run + ZeroPoint]);
        code.vcvttss2si(ecx, __dword_ptr[run + Low]);   // low − zeroPoint, an integer
        code.add(ecx, __dword_ptr[run + ZeroPoint]);
        code.vpbroadcastb(Floor, ecx);
        code.mov(ecx, VectorBytes);
        code.sub(ecx, __dword_ptr[run + Channels]);
        code.mov(rdx, -1);
        code.shr(rdx, cl);
        code.kmovq(k1, rdx);
    }

    private static void Requantize(Assembler code, AssemblerRegisterZMM s0, AssemblerRegisterZMM s1, AssemblerRegisterZMM s2, AssemblerRegisterZMM s3,
        AssemblerRegister64 multipliers, AssemblerRegister64 y)
    {
        AssemblerRegisterZMM[] sums = [s0, s1, s2, s3];
        foreach (AssemblerRegisterZMM s in sums) code.vcvtdq2ps(s, s);
        for (int v = 0; v < Vectors; v++) code.vmulps(sums[v], sums[v], __zmmword_ptr[multipliers + v * VectorBytes]);
        foreach (AssemblerRegisterZMM s in sums) code.vminps(s, s, Ceiling);
        foreach (AssemblerRegisterZMM s in sums) code.vcvtps2dq(s, s);
        code.vpackssdw(s0, s0, s1);
        code.vpackssdw(s2, s2, s3);
        code.vpaddw(s0, s0, Offset);
        code.vpaddw(s2, s2, Offset);
        code.vpackuswb(s0, s0, s2);
        code.vpmaxub(s0, s0, Floor);
        code.vmovdqu8(__zmmword_ptr[y].k1, s0);
    }
}
