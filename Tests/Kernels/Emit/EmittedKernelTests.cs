using System.Globalization;
using Iced.Intel;
using Octet.Kernels.Emit;
using Octet.Kernels.QConv.X86;
using Octet.Kernels.QGemm.X86;

namespace Octet.Tests.Kernels.Emit;

/// <summary>Emitted code read back by a decoder, on every machine; what it computes is the table tests' business where the CPU can run it.</summary>
internal sealed class EmittedKernelTests
{
    private static readonly HashSet<Mnemonic> Allowed =
    [
        Mnemonic.Push, Mnemonic.Pop, Mnemonic.Mov, Mnemonic.Add, Mnemonic.Sub, Mnemonic.And, Mnemonic.Shl, Mnemonic.Shr, Mnemonic.Neg, Mnemonic.Dec,
        Mnemonic.Cmp, Mnemonic.Test, Mnemonic.Xor, Mnemonic.Je, Mnemonic.Jne, Mnemonic.Jle, Mnemonic.Jmp, Mnemonic.Ret, Mnemonic.Vzeroupper,
        Mnemonic.Vmovups, Mnemonic.Vmovdqu8, Mnemonic.Vmovdqu32, Mnemonic.Vmovdqa32, Mnemonic.Vpxord, Mnemonic.Vpbroadcastd, Mnemonic.Vpbroadcastw,
        Mnemonic.Vpbroadcastb, Mnemonic.Vbroadcastss, Mnemonic.Vpdpbusd, Mnemonic.Vpaddd, Mnemonic.Vpaddw, Mnemonic.Vpmaxub, Mnemonic.Vcvttss2si,
        Mnemonic.Vcvtdq2ps, Mnemonic.Vcvtps2dq, Mnemonic.Vmulps, Mnemonic.Vminps, Mnemonic.Vpackssdw, Mnemonic.Vpackuswb, Mnemonic.Vpunpcklbw,
        Mnemonic.Vpunpckhbw, Mnemonic.Vpunpcklwd, Mnemonic.Vpunpckhwd, Mnemonic.Vshufi32x4, Mnemonic.Kmovq, Mnemonic.Kshiftrq,
    ];

    private static IEnumerable<TestCaseData> Functions()
    {
        foreach (bool windows in new[] { false, true })
        {
            foreach ((int mr, int vectors) in new[] { (12, 2), (6, 4), (12, 1) })
                for (int rows = 1; rows <= mr; rows++)
                    yield return new TestCaseData(QGemmAvx512VnniEmitter.Emit(mr, rows, vectors, windows), windows).SetArgDisplayNames($"{rows} of {mr} x {16 * vectors}", windows ? "Windows" : "System V");
            yield return new TestCaseData(QDepthwiseAvx512VnniEmitter.EmitAny(windows), windows).SetArgDisplayNames("depthwise", windows ? "Windows" : "System V");
            for (int stride = 1; stride <= 2; stride++)
                yield return new TestCaseData(QDepthwiseAvx512VnniEmitter.EmitSliding(stride, windows), windows).SetArgDisplayNames($"depthwise 3x3 stride {stride}", windows ? "Windows" : "System V");
        }
    }

    [TestCaseSource(nameof(Functions))]
    public void KeepsTheCallingConvention(byte[] code, bool windows)
    {
        List<Instruction> all = Decode(code);
        Assert.That(all.Select(i => i.Mnemonic).Except(Allowed), Is.Empty, "instructions");
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
        List<Instruction> products = Decode(QGemmAvx512VnniEmitter.Emit(12, rows, vectors)).Where(i => i.Mnemonic == Mnemonic.Vpdpbusd).ToList();
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

    [Test]
    public void CodeIsNeverWritableAndExecutable()
    {
        if (!OperatingSystem.IsLinux()) Assert.Ignore("reads /proc/self/maps");
        if (!EmittedCode.Allowed) Assert.Ignore("the system refuses executable memory");
        nint address = EmittedCode.Load([[0xC3]])[0];
        string[] region = File.ReadLines("/proc/self/maps").Select(line => line.Split(' ')).First(parts =>
        {
            string[] range = parts[0].Split('-');
            return nint.Parse(range[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture) <= address
                && address < nint.Parse(range[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        });
        Assert.That(region[1], Does.StartWith("r-x"));
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
