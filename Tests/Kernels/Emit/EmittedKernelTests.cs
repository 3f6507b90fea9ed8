using Iced.Intel;
using Octet.Kernels.Emit;
using Octet.Kernels.QGemm.X86;

namespace Octet.Tests.Kernels.Emit;

/// <summary>Layer 1: the bytes of emitted code, on every machine. What it computes is checked by <see cref="EmittedBehaviourTests"/> and, where the CPU can run it, by the table tests.</summary>
internal sealed class EmittedKernelTests
{
    [TestCaseSource(typeof(EmittedFunctions), nameof(EmittedFunctions.All))]
    public void BytesAreWhatWasMeant(EmittedFunctions.Case one)
    {
        List<(int Offset, string Text)> decoded = ManualDecoder.Decode(one.Function.Bytes);
        Assert.That(decoded, Is.EqualTo(one.Function.Instructions.Select(meant => (meant.Offset, meant.ToString()))));
    }

    [Test]
    public void BytesOfTheVexFormsAreWhatWasMeant()
    {
        var code = new KernelAssembler(1, windows: false);
        Vec a = new(3, 256), b = new(14, 256), c = new(9, 256);
        code.Vpdpbusd(a, b, c);
        code.Vpmaddwd(c, a, b);
        code.Vpaddd(b, c, a);
        EmittedFunction function = code.Finish("vex");
        Assert.That(ManualDecoder.Decode(function.Bytes).Select(line => line.Text), Is.EqualTo(new[]
        {
            "mov rax, rdi", "vpdpbusd ymm3, ymm14, ymm9", "vpmaddwd ymm9, ymm3, ymm14", "vpaddd ymm14, ymm9, ymm3", "vzeroupper", "ret",
        }));
    }

    [TestCaseSource(typeof(EmittedFunctions), nameof(EmittedFunctions.All))]
    public void KeepsTheCallingConvention(EmittedFunctions.Case one)
    {
        bool windows = one.Windows;
        List<Instruction> all = Decode(one.Function.Bytes);
        Assert.That(all.Count(i => i.Mnemonic == Mnemonic.Ret), Is.EqualTo(1));
        Assert.That(all[^1].Mnemonic, Is.EqualTo(Mnemonic.Ret));
        Assert.That(all[^2].Mnemonic, Is.EqualTo(Mnemonic.Vzeroupper));

        // What is pushed is popped in reverse, and rsp comes back to where it was.
        List<Register> pushed = all.Where(i => i.Mnemonic == Mnemonic.Push).Select(i => i.Op0Register).ToList();
        Assert.That(all.Where(i => i.Mnemonic == Mnemonic.Pop).Select(i => i.Op0Register).Reverse(), Is.EqualTo(pushed));
        long stack = all.Where(i => i.Op0Kind == OpKind.Register && i.Op0Register == Register.RSP && i.Mnemonic is Mnemonic.Add or Mnemonic.Sub)
            .Sum(i => i.Op0Register == Register.RSP ? (i.Mnemonic == Mnemonic.Add ? 1 : -1) * (long)i.GetImmediate(1) : 0);
        Assert.That(stack, Is.Zero);

        // Every register that the caller owns and the code writes is saved.
        Register[] owned = [Register.RBX, Register.RBP, Register.R12, Register.R13, Register.R14, Register.R15, .. windows ? new[] { Register.RSI, Register.RDI } : []];
        var factory = new InstructionInfoFactory();
        var written = new HashSet<Register>();
        foreach (Instruction instruction in all)
        {
            InstructionInfo info = factory.GetInfo(instruction);
            foreach (UsedRegister used in info.GetUsedRegisters())
                if (used.Access is OpAccess.Write or OpAccess.ReadWrite or OpAccess.CondWrite) written.Add(used.Register.GetFullRegister());
        }
        Assert.That(owned.Where(written.Contains).Except(pushed), Is.Empty, "registers of the caller");
        if (windows)
        {
            Assert.That(all.Count(i => i.Mnemonic == Mnemonic.Vmovups && i.Op0Kind == OpKind.Memory && i.MemoryBase == Register.RSP), Is.EqualTo(10), "xmm6–15 saved");
            Assert.That(all.Count(i => i.Mnemonic == Mnemonic.Vmovups && i.Op1Kind == OpKind.Memory && i.MemoryBase == Register.RSP), Is.EqualTo(10), "xmm6–15 restored");
        }

        // Jumps stay inside and land on instructions.
        HashSet<ulong> starts = all.Select(i => i.IP).ToHashSet();
        foreach (Instruction jump in all.Where(i => i.Op0Kind == OpKind.NearBranch64)) Assert.That(starts, Does.Contain(jump.NearBranchTarget));
    }

    [Test]
    public void EveryProductOfTheTileIsThere([Values(1, 2, 5, 12)] int rows, [Values(1, 2)] int vectors)
    {
        // Four unrolled groups and one single group, each rows × vectors products; the byte operand of A comes second, the signed one last.
        List<Instruction> products = Decode(QGemmAvx512VnniEmitter.Emit(12, rows, vectors).Bytes).Where(i => i.Mnemonic == Mnemonic.Vpdpbusd).ToList();
        Assert.That(products, Has.Count.EqualTo(5 * rows * vectors));
        Assert.That(products.All(i => i.Op0Register.IsZMM() && i.Op1Register.IsZMM()));
        Assert.That(products.Select(i => i.Op1Register).Distinct().Count(), Is.EqualTo(1), "A is broadcast into one register");
        Assert.That(products.Select(i => i.Op0Register), Does.Not.Contain(products[0].Op1Register));
    }

    // Encodings worked out by hand from the instruction manual's opcode tables (EVEX.512.66.0F38.W0 50 /r and so on).
    [TestCase("62F2754850C2", "vpdpbusd zmm0,zmm1,zmm2")]
    [TestCase("6202054050FE", "vpdpbusd zmm31,zmm31,zmm30")]
    [TestCase("62F27D485800", "vpbroadcastd zmm0,[rax]")]
    [TestCase("C5F877", "vzeroupper")]
    public void EncoderAgreesWithTheManual(string hex, string text)
    {
        Instruction instruction = Decode(Convert.FromHexString(hex)).Single();
        var formatter = new NasmFormatter();
        formatter.Options.MemorySizeOptions = MemorySizeOptions.Never;
        var output = new StringOutput();
        formatter.Format(instruction, output);
        Assert.That(output.ToString(), Is.EqualTo(text));

        using var stream = new MemoryStream();
        Encoder.Create(64, new StreamCodeWriter(stream)).Encode(instruction, 0);
        Assert.That(Convert.ToHexString(stream.ToArray()), Is.EqualTo(hex));
    }

    private static List<Instruction> Decode(byte[] code)
    {
        var decoder = Decoder.Create(64, code);
        var all = new List<Instruction>();
        while (decoder.IP < (ulong)code.Length)
        {
            decoder.Decode(out Instruction instruction);
            Assert.That(instruction.IsInvalid, Is.False, $"byte {all.Sum(i => i.Length)}");
            all.Add(instruction);
        }
        return all;
    }
}
