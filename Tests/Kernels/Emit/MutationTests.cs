using Iced.Intel;

namespace Octet.Tests.Kernels.Emit;

/// <summary>A test of the tests: kernels with one instruction made wrong, each of which layer 2 must catch.</summary>
internal sealed class MutationTests
{
    private const string Tile = "u8s8s32-12x32x4-avx512vnni", Depthwise = "u8s8s32-dw64x4-avx512vnni";

    private delegate void Change(ref Instruction instruction);

    private static TestCaseData Mutation(string what, string kernel, string function, Func<Instruction, bool> which, Change change) =>
        new TestCaseData(kernel, function, which, change).SetArgDisplayNames(what);

    private static IEnumerable<TestCaseData> Mutations()
    {
        yield return Mutation("signed and unsigned operand exchanged", Tile, "rows5", Having(Mnemonic.Vpdpbusd), (ref Instruction i) => (i.Op1Register, i.Op2Register) = (i.Op2Register, i.Op1Register));
        yield return Mutation("sums of two rows swapped", Tile, "rows5", Having(Mnemonic.Vpdpbusd), (ref Instruction i) => i.Op0Register += 2);
        yield return Mutation("saturating sum", Tile, "rows5", Having(Mnemonic.Vpdpbusd), (ref Instruction i) => i.Code = Code.EVEX_Vpdpbusds_zmm_k1z_zmm_zmmm512b32);
        yield return Mutation("row of another register", Tile, "rows5", Having(Mnemonic.Vpbroadcastd), (ref Instruction i) => i.MemoryBase += 1);
        yield return Mutation("row one group on", Tile, "rows5", Having(Mnemonic.Vpbroadcastd), Displace(4));
        yield return Mutation("weights one group on", Tile, "rows5", i => i.Mnemonic == Mnemonic.Vmovdqu32 && i.MemoryBase == Register.RCX, Displace(128));
        yield return Mutation("sums stored one vector off", Tile, "rows12", i => i.Mnemonic == Mnemonic.Vmovdqu32 && i.Op0Kind == OpKind.Memory, Displace(64));
        yield return Mutation("depth steps too far", Tile, "rows5", i => i.Mnemonic == Mnemonic.Add && i.Op0Register == Register.RDX && i.GetImmediate(1) == 4, (ref Instruction i) => i.Immediate8 = 8);
        yield return Mutation("table of addresses not moved on", Tile, "rows5", i => i.Mnemonic == Mnemonic.Add && i.Op0Register == Register.RAX, Drop);
        yield return Mutation("copies of the sums not added", Tile, "rows1", Having(Mnemonic.Vpaddd), Drop);
        yield return Mutation("copies of the sums not cleared", Tile, "rows1", Having(Mnemonic.Vpxord), Drop);
        yield return Mutation("saved register not restored", Tile, "rows12", Having(Mnemonic.Pop), (ref Instruction i) => i.Op0Register = Register.R11);
        yield return Mutation("upper halves not cleared", Tile, "rows5", Having(Mnemonic.Vzeroupper), Drop);
        yield return Mutation("tail mask dropped", Depthwise, "any-window", i => i.Mnemonic == Mnemonic.Vmovdqu8 && i.Op0Kind == OpKind.Memory, (ref Instruction i) => i.OpMask = Register.None);
        yield return Mutation("mask of another quarter", Depthwise, "any-window", i => i.Mnemonic == Mnemonic.Kshiftrq && i.Immediate8 == 32, (ref Instruction i) => i.Immediate8 = 31);
        yield return Mutation("lower and upper half exchanged", Depthwise, "any-window", Having(Mnemonic.Vpunpcklbw), (ref Instruction i) => i.Code = Code.EVEX_Vpunpckhbw_zmm_k1z_zmm_zmmm512);
        yield return Mutation("lanes in another order", Depthwise, "any-window", Having(Mnemonic.Vshufi32x4), (ref Instruction i) => i.Immediate8 ^= 0x10);
        yield return Mutation("weights of another column", Depthwise, "3x3-stride1", Having(Mnemonic.Vpdpbusd), (ref Instruction i) => i.Op2Register = i.Op2Register == Register.ZMM27 ? Register.ZMM26 : i.Op2Register + 1);
        yield return Mutation("multipliers one vector on", Depthwise, "3x3-stride2", Having(Mnemonic.Vmulps), Displace(64));
        yield return Mutation("rounded towards zero", Depthwise, "3x3-stride1", Having(Mnemonic.Vcvtps2dq), (ref Instruction i) => i.Code = Code.EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae);
        yield return Mutation("not clamped from above", Depthwise, "3x3-stride1", Having(Mnemonic.Vminps), Drop);
        yield return Mutation("not clamped from below", Depthwise, "3x3-stride1", Having(Mnemonic.Vpmaxub), Drop);
        yield return Mutation("zero point not added", Depthwise, "3x3-stride2", Having(Mnemonic.Vpaddw), Drop);
        yield return Mutation("a pixel too many", Depthwise, "3x3-stride2", Having(Mnemonic.Je), Drop);
    }

    [TestCaseSource(nameof(Mutations))]
    public void IsCaught(string kernel, string function, Func<Instruction, bool> which, object change)
    {
        EmittedFunctions.Case one = EmittedFunctions.Find(kernel, function);
        byte[] wrong = Mutate(one.Function.Bytes, which, (Change)change);
        Assert.That(wrong, Is.Not.EqualTo(one.Function.Bytes), "nothing was changed");
        Assert.That(one.Check(wrong), Is.Not.Null);
    }

    [Test]
    public void WithoutAChangeTheKernelIsRight([Values("rows1", "rows5", "rows12")] string function)
    {
        EmittedFunctions.Case one = EmittedFunctions.Find(Tile, function);
        Assert.That(one.Check(Mutate(one.Function.Bytes, _ => true, (ref Instruction _) => { })), Is.Null);
    }

    private static Func<Instruction, bool> Having(Mnemonic mnemonic) => i => i.Mnemonic == mnemonic;

    private static Change Displace(int bytes) => (ref Instruction i) =>
    {
        i.MemoryDisplacement64 += (ulong)bytes;
        i.MemoryDisplSize = 8;
    };

    private static void Drop(ref Instruction instruction)
    {
        ulong ip = instruction.IP;
        instruction = Instruction.Create(Code.Nopd);
        instruction.IP = ip;
    }

    /// <summary>Changes the first instruction that fits, and encodes all again with jumps to the same instructions.</summary>
    private static byte[] Mutate(byte[] code, Func<Instruction, bool> which, Change change)
    {
        var decoder = Decoder.Create(64, code);
        var all = new List<Instruction>();
        bool done = false;
        while (decoder.IP < (ulong)code.Length)
        {
            decoder.Decode(out Instruction instruction);
            if (!done && which(instruction))
            {
                change(ref instruction);
                done = true;
            }
            all.Add(instruction);
        }
        Assert.That(done, "no instruction to change");
        using var stream = new MemoryStream();
        Assert.That(BlockEncoder.TryEncode(64, new InstructionBlock(new StreamCodeWriter(stream), all, 0), out string? error, out _, BlockEncoderOptions.DontFixBranches), error);
        return stream.ToArray();
    }
}
