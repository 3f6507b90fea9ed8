using System.Runtime.CompilerServices;
using Iced.Intel;

namespace Octet.Kernels.Emit;

/// <summary>The instructions that kernels use, named as in the manual, destination first.</summary>
internal sealed partial class KernelAssembler
{
    /// <summary>Immediates outside this range take four bytes.</summary>
    private static bool IsByte(int value) => value == (sbyte)value;

    public void Push(Gpr from) => Write(Code.Push_r64, from);

    public void Pop(Gpr to) => Write(Code.Pop_r64, to);

    public void Mov(Gpr to, Gpr from) => Write(to.Bits == 64 ? Code.Mov_r64_rm64 : Code.Mov_r32_rm32, to, from);

    public void Mov(Gpr to, Address from) => Write(to.Bits == 64 ? Code.Mov_r64_rm64 : Code.Mov_r32_rm32, to, from);

    public void Mov(Address to, Gpr from) => Write(from.Bits == 64 ? Code.Mov_rm64_r64 : Code.Mov_rm32_r32, to, from);

    public void Mov(Gpr to, int value) => Write(to.Bits == 64 ? Code.Mov_rm64_imm32 : Code.Mov_r32_imm32, to, value);

    public void Add(Gpr to, Gpr from) => Write(to.Bits == 64 ? Code.Add_r64_rm64 : Code.Add_r32_rm32, to, from);

    public void Add(Gpr to, Address from) => Write(to.Bits == 64 ? Code.Add_r64_rm64 : Code.Add_r32_rm32, to, from);

    public void Add(Gpr to, int value) => Write(IsByte(value) ? Code.Add_rm64_imm8 : Code.Add_rm64_imm32, to, value);

    public void Sub(Gpr to, Gpr from) => Write(to.Bits == 64 ? Code.Sub_r64_rm64 : Code.Sub_r32_rm32, to, from);

    public void Sub(Gpr to, Address from) => Write(to.Bits == 64 ? Code.Sub_r64_rm64 : Code.Sub_r32_rm32, to, from);

    public void Sub(Gpr to, int value) => Write(IsByte(value) ? Code.Sub_rm64_imm8 : Code.Sub_rm64_imm32, to, value);

    public void And(Gpr to, int value) => Write(IsByte(value) ? Code.And_rm64_imm8 : Code.And_rm64_imm32, to, value);

    /// <summary>Clears a register.</summary>
    public void Xor(Gpr to, Gpr from) => Write(to.Bits == 64 ? Code.Xor_r64_rm64 : Code.Xor_r32_rm32, to, from);

    public void Shl(Gpr to, int bits) => Write(Code.Shl_rm64_imm8, to, bits);

    /// <summary>Shifts right by cl.</summary>
    public void ShrCl(Gpr to) => Write(Instruction.Create(Code.Shr_rm64_CL, Register(to), Iced.Intel.Register.CL), to, "cl", null, null, "shr");

    public void Neg(Gpr to) => Write(Code.Neg_rm64, to);

    public void Dec(Gpr to) => Write(Code.Dec_rm64, to);

    /// <summary>Counts 64 bits of memory down.</summary>
    public void Dec(Address to) => Write(Instruction.Create(Code.Dec_rm64, Memory(to)), to, null, null, null, "dec");

    /// <summary>Compares 64 bits of memory with a small number.</summary>
    public void Cmp(Address left, int right) => Write(Instruction.Create(Code.Cmp_rm64_imm8, Memory(left), right), left, right, null, null, "cmp");

    public void Test(Gpr left, Gpr right) => Write(Instruction.Create(Code.Test_rm64_r64, Register(left), Register(right)), left, right, null, null, "test");

    public void Je(CodeLabel label) => Jump(Code.Je_rel32_64, label);

    public void Jne(CodeLabel label) => Jump(Code.Jne_rel32_64, label);

    public void Jle(CodeLabel label) => Jump(Code.Jle_rel32_64, label);

    public void Jmp(CodeLabel label) => Jump(Code.Jmp_rel32_64, label);

    private void Ret() => Write(Instruction.Create(Code.Retnq), null, null, null, null, "ret");

    private void Vzeroupper() => Write(Instruction.Create(Code.VEX_Vzeroupper), null, null, null, null, "vzeroupper");

    private void Vmovups(Vec to, Address from) => Write(Code.VEX_Vmovups_xmm_xmmm128, to, from);

    private void Vmovups(Address to, Vec from) => Write(Code.VEX_Vmovups_xmmm128_xmm, to, from);

    public void Vmovdqu8(Vec to, Address from) => Write(Code.EVEX_Vmovdqu8_zmm_k1z_zmmm512, to, from);

    /// <summary>Stores the bytes that <paramref name="mask"/> selects.</summary>
    public void Vmovdqu8(Address to, Opmask mask, Vec from) => Write(Code.EVEX_Vmovdqu8_zmmm512_k1z_zmm, to, from, mask);

    public void Vmovdqu32(Vec to, Address from) => Write(Code.EVEX_Vmovdqu32_zmm_k1z_zmmm512, to, from);

    public void Vmovdqu32(Address to, Vec from) => Write(Code.EVEX_Vmovdqu32_zmmm512_k1z_zmm, to, from);

    /// <summary>Stores the lanes that <paramref name="mask"/> selects.</summary>
    public void Vmovdqu32(Address to, Opmask mask, Vec from) => Write(Code.EVEX_Vmovdqu32_zmmm512_k1z_zmm, to, from, mask);

    public void Vmovdqa32(Vec to, Vec from) => Write(Code.EVEX_Vmovdqa32_zmm_k1z_zmmm512, to, from);

    public void Vpxord(Vec to, Vec a, Vec b) => Write(Code.EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32, to, a, b);

    public void Vpbroadcastd(Vec to, Address from) => Write(Code.EVEX_Vpbroadcastd_zmm_k1z_xmmm32, to, from);

    public void Vpbroadcastw(Vec to, Address from) => Write(Code.EVEX_Vpbroadcastw_zmm_k1z_xmmm16, to, from);

    public void Vpbroadcastb(Vec to, Gpr from) => Write(Instruction.Create(Code.EVEX_Vpbroadcastb_zmm_k1z_r32, Register(to), Register(from)), to, from, null, null, "vpbroadcastb");

    public void Vbroadcastss(Vec to, Address from) => Write(Code.EVEX_Vbroadcastss_zmm_k1z_xmmm32, to, from);

    /// <summary><c>sum[i] += Σ u[4i+t]·s[4i+t], t = 0..3</c>: unsigned by signed bytes, modulo 2³².</summary>
    public void Vpdpbusd(Vec sum, Vec unsigned, Vec signed) =>
        Write(sum.Bits == 512 ? Code.EVEX_Vpdpbusd_zmm_k1z_zmm_zmmm512b32 : Code.VEX_Vpdpbusd_ymm_ymm_ymmm256, sum, unsigned, signed);

    /// <inheritdoc cref="Vpdpbusd(Vec, Vec, Vec)"/>
    public void Vpdpbusd(Vec sum, Vec unsigned, Address signed) => Write(Code.EVEX_Vpdpbusd_zmm_k1z_zmm_zmmm512b32, sum, unsigned, signed);

    /// <summary><c>to[i] = a[2i]·b[2i] + a[2i+1]·b[2i+1]</c> over words.</summary>
    public void Vpmaddwd(Vec to, Vec a, Vec b) =>
        Write(to.Bits == 512 ? Code.EVEX_Vpmaddwd_zmm_k1z_zmm_zmmm512 : Code.VEX_Vpmaddwd_ymm_ymm_ymmm256, to, a, b);

    public void Vpaddd(Vec to, Vec a, Vec b) =>
        Write(to.Bits == 512 ? Code.EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32 : Code.VEX_Vpaddd_ymm_ymm_ymmm256, to, a, b);

    public void Vpaddw(Vec to, Vec a, Vec b) => Write(Code.EVEX_Vpaddw_zmm_k1z_zmm_zmmm512, to, a, b);

    public void Vpmaxub(Vec to, Vec a, Vec b) => Write(Code.EVEX_Vpmaxub_zmm_k1z_zmm_zmmm512, to, a, b);

    /// <summary>One float to an integer, towards zero.</summary>
    public void Vcvttss2si(Gpr to, Address from) => Write(Code.VEX_Vcvttss2si_r32_xmmm32, to, from);

    public void Vcvtdq2ps(Vec to, Vec from) => Write(Code.EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er, to, from);

    /// <summary>Floats to integers, half to even; −2³¹ where the result does not fit.</summary>
    public void Vcvtps2dq(Vec to, Vec from) => Write(Code.EVEX_Vcvtps2dq_zmm_k1z_zmmm512b32_er, to, from);

    public void Vmulps(Vec to, Vec a, Address b) => Write(Code.EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er, to, a, b);

    /// <summary>The smaller; <paramref name="b"/> where either is NaN.</summary>
    public void Vminps(Vec to, Vec a, Vec b) => Write(Code.EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae, to, a, b);

    /// <summary>Saturates 2 × 4 integers to 8 words in every 128-bit lane.</summary>
    public void Vpackssdw(Vec to, Vec a, Vec b) => Write(Code.EVEX_Vpackssdw_zmm_k1z_zmm_zmmm512b32, to, a, b);

    /// <summary>Saturates 2 × 8 words to 16 unsigned bytes in every 128-bit lane.</summary>
    public void Vpackuswb(Vec to, Vec a, Vec b) => Write(Code.EVEX_Vpackuswb_zmm_k1z_zmm_zmmm512, to, a, b);

    /// <summary>Interleaves the lower 8 bytes of every 128-bit lane.</summary>
    public void Vpunpcklbw(Vec to, Vec a, Vec b) => Write(Code.EVEX_Vpunpcklbw_zmm_k1z_zmm_zmmm512, to, a, b);

    /// <inheritdoc cref="Vpunpcklbw(Vec, Vec, Vec)"/>
    public void Vpunpcklbw(Vec to, Vec a, Address b) => Write(Code.EVEX_Vpunpcklbw_zmm_k1z_zmm_zmmm512, to, a, b);

    /// <summary>Interleaves the upper 8 bytes of every 128-bit lane.</summary>
    public void Vpunpckhbw(Vec to, Vec a, Vec b) => Write(Code.EVEX_Vpunpckhbw_zmm_k1z_zmm_zmmm512, to, a, b);

    /// <inheritdoc cref="Vpunpckhbw(Vec, Vec, Vec)"/>
    public void Vpunpckhbw(Vec to, Vec a, Address b) => Write(Code.EVEX_Vpunpckhbw_zmm_k1z_zmm_zmmm512, to, a, b);

    /// <summary>Interleaves the lower 4 words of every 128-bit lane.</summary>
    public void Vpunpcklwd(Vec to, Vec a, Vec b) => Write(Code.EVEX_Vpunpcklwd_zmm_k1z_zmm_zmmm512, to, a, b);

    /// <summary>Interleaves the upper 4 words of every 128-bit lane.</summary>
    public void Vpunpckhwd(Vec to, Vec a, Vec b) => Write(Code.EVEX_Vpunpckhwd_zmm_k1z_zmm_zmmm512, to, a, b);

    /// <summary>Two 128-bit lanes of <paramref name="a"/>, then two of <paramref name="b"/>, two bits of <paramref name="lanes"/> each.</summary>
    public void Vshufi32x4(Vec to, Vec a, Vec b, byte lanes) =>
        Write(Instruction.Create(Code.EVEX_Vshufi32x4_zmm_k1z_zmm_zmmm512b32_imm8, Register(to), Register(a), Register(b), (uint)lanes), to, a, $"{b}, {lanes}", null, "vshufi32x4");

    public void Kmovq(Opmask to, Gpr from) => Write(Instruction.Create(Code.VEX_Kmovq_kr_r64, Register(to), Register(from)), to, from, null, null, "kmovq");

    public void Kshiftrq(Opmask to, Opmask from, byte bits) =>
        Write(Instruction.Create(Code.VEX_Kshiftrq_kr_kr_imm8, Register(to), Register(from), (uint)bits), to, from, (int)bits, null, "kshiftrq");

    private void Write(Code code, Gpr to, [CallerMemberName] string method = "") =>
        Write(Instruction.Create(code, Register(to)), to, null, null, null, method);

    private void Write(Code code, Gpr to, Gpr from, [CallerMemberName] string method = "") =>
        Write(Instruction.Create(code, Register(to), Register(from)), to, from, null, null, method);

    private void Write(Code code, Gpr to, Address from, [CallerMemberName] string method = "") =>
        Write(Instruction.Create(code, Register(to), Memory(from)), to, from, null, null, method);

    private void Write(Code code, Address to, Gpr from, [CallerMemberName] string method = "") =>
        Write(Instruction.Create(code, Memory(to), Register(from)), to, from, null, null, method);

    private void Write(Code code, Gpr to, int value, [CallerMemberName] string method = "") =>
        Write(Instruction.Create(code, Register(to), value), to, value, null, null, method);

    private void Write(Code code, Vec to, Address from, [CallerMemberName] string method = "") =>
        Write(Instruction.Create(code, Register(to), Memory(from)), to, from, null, null, method);

    private void Write(Code code, Address to, Vec from, [CallerMemberName] string method = "") =>
        Write(Instruction.Create(code, Memory(to), Register(from)), to, from, null, null, method);

    private void Write(Code code, Address to, Vec from, Opmask mask, [CallerMemberName] string method = "")
    {
        Instruction instruction = Instruction.Create(code, Memory(to), Register(from));
        instruction.OpMask = Register(mask);
        Write(instruction, to, from, null, mask, method);
    }

    private void Write(Code code, Vec to, Vec from, [CallerMemberName] string method = "") =>
        Write(Instruction.Create(code, Register(to), Register(from)), to, from, null, null, method);

    private void Write(Code code, Vec to, Vec a, Vec b, [CallerMemberName] string method = "") =>
        Write(Instruction.Create(code, Register(to), Register(a), Register(b)), to, a, b, null, method);

    private void Write(Code code, Vec to, Vec a, Address b, [CallerMemberName] string method = "") =>
        Write(Instruction.Create(code, Register(to), Register(a), Memory(b)), to, a, b, null, method);
}
