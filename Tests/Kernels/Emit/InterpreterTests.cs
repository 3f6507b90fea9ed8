using System.Runtime.InteropServices;
using Iced.Intel;
using Octet.Kernels.Cpu;
using Octet.Kernels.Memory;
using static Iced.Intel.AssemblerRegisters;

namespace Octet.Tests.Kernels.Emit;

/// <summary>The interpreter against the real CPU, instruction by instruction: the AVX2 forms of what kernels use, and the AVX-512 forms where there are any.</summary>
internal sealed class InterpreterTests
{
    private const int Registers = 3, RegisterBytes = 64;

    private sealed record Form(string Name, CpuFeatures Needs, Action<Assembler> Emit)
    {
        public override string ToString() => Name;
    }

    private static IEnumerable<Form> Forms()
    {
        static Form Ymm(string name, Action<Assembler> emit) => new($"{name} ymm", CpuFeatures.Avx2, emit);
        yield return Ymm("vpaddd", c => c.vpaddd(ymm0, ymm1, ymm2));
        yield return Ymm("vpaddw", c => c.vpaddw(ymm0, ymm1, ymm2));
        yield return Ymm("vpxor", c => c.vpxor(ymm0, ymm1, ymm2));
        yield return Ymm("vpmaddwd", c => c.vpmaddwd(ymm0, ymm1, ymm2));
        yield return Ymm("vpmaxub", c => c.vpmaxub(ymm0, ymm1, ymm2));
        yield return Ymm("vpminub", c => c.vpminub(ymm0, ymm1, ymm2));
        yield return Ymm("vpunpcklbw", c => c.vpunpcklbw(ymm0, ymm1, ymm2));
        yield return Ymm("vpunpckhbw", c => c.vpunpckhbw(ymm0, ymm1, ymm2));
        yield return Ymm("vpunpcklwd", c => c.vpunpcklwd(ymm0, ymm1, ymm2));
        yield return Ymm("vpunpckhwd", c => c.vpunpckhwd(ymm0, ymm1, ymm2));
        yield return Ymm("vpackssdw", c => c.vpackssdw(ymm0, ymm1, ymm2));
        yield return Ymm("vpackuswb", c => c.vpackuswb(ymm0, ymm1, ymm2));
        yield return Ymm("vmulps", c => c.vmulps(ymm0, ymm1, ymm2));
        yield return Ymm("vminps", c => c.vminps(ymm0, ymm1, ymm2));
        yield return Ymm("vcvtdq2ps", c => c.vcvtdq2ps(ymm0, ymm1));
        yield return Ymm("vcvtps2dq", c => c.vcvtps2dq(ymm0, ymm1));
        yield return Ymm("vcvttps2dq", c => c.vcvttps2dq(ymm0, ymm1));
        yield return Ymm("vpbroadcastd", c => c.vpbroadcastd(ymm0, xmm1));
        yield return Ymm("vpbroadcastw", c => c.vpbroadcastw(ymm0, xmm1));
        yield return Ymm("vpbroadcastb", c => c.vpbroadcastb(ymm0, xmm1));
        yield return Ymm("vbroadcastss from memory", c => c.vbroadcastss(ymm0, __dword_ptr[rdi + RegisterBytes]));
        yield return Ymm("vmovups from memory", c => c.vmovups(ymm0, __ymmword_ptr[rdi + RegisterBytes]));
        yield return Ymm("vpackssdw xmm", c => c.vpackssdw(xmm0, xmm1, xmm2));
        yield return Ymm("vcvttss2si", c =>
        {
            c.vcvttss2si(eax, __dword_ptr[rdi + RegisterBytes]);
            c.vmovd(xmm0, eax);
        });
        yield return new Form("vpdpbusd ymm", CpuFeatures.AvxVnni, c =>
        {
            c.PreferVex = true;
            c.vpdpbusd(ymm0, ymm1, ymm2);
        });
        yield return new Form("vpdpbusds ymm", CpuFeatures.AvxVnni, c =>
        {
            c.PreferVex = true;
            c.vpdpbusds(ymm0, ymm1, ymm2);
        });

        static Form Zmm(string name, Action<Assembler> emit) => new($"{name} zmm", CpuFeatures.Avx512Vnni, emit);
        yield return Zmm("vpdpbusd", c => c.vpdpbusd(zmm0, zmm1, zmm2));
        yield return Zmm("vpdpbusd masked", c => c.vpdpbusd(zmm0.k1, zmm1, zmm2));
        yield return Zmm("vpdpbusd zeroing", c => c.vpdpbusd(zmm0.k1.z, zmm1, zmm2));
        yield return Zmm("vpdpbusd {1to16}", c => c.vpdpbusd(zmm0, zmm1, __dword_bcst[rdi + 2 * RegisterBytes + 4]));
        yield return Zmm("vpdpbusds", c => c.vpdpbusds(zmm0, zmm1, zmm2));
        yield return Zmm("vpmaddwd", c => c.vpmaddwd(zmm0, zmm1, zmm2));
        yield return Zmm("vpaddd", c => c.vpaddd(zmm0, zmm1, zmm2));
        yield return Zmm("vpaddw masked", c => c.vpaddw(zmm0.k1, zmm1, zmm2));
        yield return Zmm("vpxord", c => c.vpxord(zmm0, zmm1, zmm2));
        yield return Zmm("vpmaxub", c => c.vpmaxub(zmm0, zmm1, zmm2));
        yield return Zmm("vpunpcklbw", c => c.vpunpcklbw(zmm0, zmm1, zmm2));
        yield return Zmm("vpunpckhwd", c => c.vpunpckhwd(zmm0, zmm1, zmm2));
        yield return Zmm("vpackssdw", c => c.vpackssdw(zmm0, zmm1, zmm2));
        yield return Zmm("vpackuswb", c => c.vpackuswb(zmm0, zmm1, zmm2));
        yield return Zmm("vminps", c => c.vminps(zmm0, zmm1, zmm2));
        yield return Zmm("vmulps", c => c.vmulps(zmm0, zmm1, __zmmword_ptr[rdi + 2 * RegisterBytes]));
        yield return Zmm("vcvtps2dq", c => c.vcvtps2dq(zmm0, zmm1));
        yield return Zmm("vcvtdq2ps", c => c.vcvtdq2ps(zmm0, zmm1));
        yield return Zmm("vshufi32x4", c => c.vshufi32x4(zmm0, zmm1, zmm2, 0x1B));
        yield return Zmm("vpbroadcastb", c => c.vpbroadcastb(zmm0.k1, eax));
        yield return Zmm("vmovdqu8 masked from memory", c => c.vmovdqu8(zmm0.k1, __zmmword_ptr[rdi + RegisterBytes]));
        yield return Zmm("vmovdqu32 masked to memory", c =>
        {
            c.kshiftrq(k2, k1, 17);
            c.vmovdqu32(__zmmword_ptr[rdi + 2 * RegisterBytes].k2, zmm1);
            c.vmovdqu8(zmm0, __zmmword_ptr[rdi + 2 * RegisterBytes]);
        });
    }

    [TestCaseSource(nameof(Forms))]
    public void AgreesWithTheCpu(object form)
    {
        var one = (Form)form;
        if ((one.Needs & ~CpuInfo.Detected) != 0) Assert.Ignore($"this CPU has no {one.Needs}");
        bool wide = one.Needs == CpuFeatures.Avx512Vnni;

        // Loads three registers and a mask from the argument, executes the instruction, stores the first register.
        var assembler = new Assembler(64);
        if (OperatingSystem.IsWindows())
        {
            assembler.push(rdi);
            assembler.mov(rdi, rcx);
        }
        if (wide)
        {
            assembler.vmovdqu32(zmm0, __zmmword_ptr[rdi]);
            assembler.vmovdqu32(zmm1, __zmmword_ptr[rdi + RegisterBytes]);
            assembler.vmovdqu32(zmm2, __zmmword_ptr[rdi + 2 * RegisterBytes]);
            assembler.mov(rax, __qword_ptr[rdi + Registers * RegisterBytes]);
            assembler.kmovq(k1, rax);
        }
        else
        {
            assembler.vmovdqu(ymm0, __ymmword_ptr[rdi]);
            assembler.vmovdqu(ymm1, __ymmword_ptr[rdi + RegisterBytes]);
            assembler.vmovdqu(ymm2, __ymmword_ptr[rdi + 2 * RegisterBytes]);
        }
        one.Emit(assembler);
        if (wide) assembler.vmovdqu32(__zmmword_ptr[rdi], zmm0);
        else assembler.vmovdqu(__ymmword_ptr[rdi], ymm0);
        if (OperatingSystem.IsWindows()) assembler.pop(rdi);
        assembler.vzeroupper();
        assembler.ret();
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), 0);
        byte[] code = stream.ToArray();

        using ExecutableMemory? memory = ExecutableMemory.TryLoad(code);
        if (memory is null) Assert.Ignore("the system refuses executable memory");
        var native = Marshal.GetDelegateForFunctionPointer<Function>(memory!.Address);
        var random = new Random(one.Name.Length);
        for (int round = 0; round < 200; round++)
        {
            byte[] data = Operands(random, round);
            byte[] expected = [.. data];
            GCHandle pin = GCHandle.Alloc(expected, GCHandleType.Pinned);
            try
            {
                native(pin.AddrOfPinnedObject());
            }
            finally
            {
                pin.Free();
            }

            var machine = new Machine(round);
            byte[] actual = [.. data];
            machine.Call(code, machine.Memory.Map("operands", actual, writable: true), OperatingSystem.IsWindows());
            Assert.That(actual, Is.EqualTo(expected), $"round {round}");
        }
    }

    /// <summary>Random bits, extremes of every element type, and floats around the edges of int32 and halves.</summary>
    private static byte[] Operands(Random random, int round)
    {
        byte[] data = random.Bytes(Registers * RegisterBytes + sizeof(ulong));
        Span<int> lanes = MemoryMarshal.Cast<byte, int>(data.AsSpan(0, Registers * RegisterBytes));
        Span<float> floats = MemoryMarshal.Cast<int, float>(lanes);
        float[] special = [0f, -0f, 0.5f, -0.5f, 1.5f, 2.5f, -2.5f, 2147483520f, 2147483648f, -2147483648f, -2147483904f, 1e20f, float.PositiveInfinity, float.NegativeInfinity, float.NaN, 1e-40f];
        for (int i = 0; i < lanes.Length; i++)
        {
            switch (round % 4)
            {
                case 1:
                    lanes[i] = random.Next(5) switch { 0 => -1, 1 => unchecked((int)0x80808080), 2 => 0x7F7F7F7F, 3 => int.MinValue, _ => 0 };
                    break;
                case 2:
                    floats[i] = special[random.Next(special.Length)];
                    break;
                case 3:
                    lanes[i] = random.Next(-70_000, 70_000);
                    break;
            }
        }
        return data;
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate void Function(nint operands);

    [Test]
    public void FaultsOnWhatACpuWouldFaultOn()
    {
        static void Run(Action<Assembler> emit, int bytes, bool writable)
        {
            var assembler = new Assembler(64);
            emit(assembler);
            assembler.vzeroupper();
            assembler.ret();
            using var stream = new MemoryStream();
            assembler.Assemble(new StreamCodeWriter(stream), 0);
            var machine = new Machine(1);
            machine.Call(stream.ToArray(), machine.Memory.Map("operands", new byte[bytes], writable), windows: false);
        }

        Assert.DoesNotThrow(() => Run(c => c.vmovdqu(ymm0, __ymmword_ptr[rdi]), 32, false));
        Assert.Throws<MachineFaultException>(() => Run(c => c.vmovdqu(ymm0, __ymmword_ptr[rdi]), 31, false), "over-read");
        Assert.Throws<MachineFaultException>(() => Run(c => c.vmovdqu(ymm0, __ymmword_ptr[rdi - 1]), 64, false), "read ahead of the array");
        Assert.Throws<MachineFaultException>(() => Run(c => c.vmovdqu(__ymmword_ptr[rdi], ymm0), 32, false), "write to read-only memory");
        Assert.DoesNotThrow(() => Run(c => c.vmovdqu(__ymmword_ptr[rdi], ymm0), 32, true));
        Assert.Throws<MachineFaultException>(() => Run(c => c.mov(rbx, rdi), 8, false), "callee-saved register");
        Assert.Throws<MachineFaultException>(() => Run(c => c.push(rdi), 8, false), "stack");
        Assert.Throws<MachineFaultException>(() => Run(c => c.vpabsb(ymm0, ymm1), 8, false), "an instruction it does not know");
        Assert.DoesNotThrow(() => Run(c =>
        {
            c.mov(eax, 0x0F);
            c.kmovq(k1, rax);
            c.vmovdqu8(zmm0.k1.z, __zmmword_ptr[rdi]);
        }, 4, false), "bytes that the mask holds back are not read");
    }
}
