using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Octet.Kernels.Emit;

/// <summary>What every emitted kernel needs: entry, exit, register names, bytes.</summary>
/// <remarks>
/// A kernel is <c>void f(T* arguments)</c> in the platform's C convention: the argument arrives in rdi (System V) or rcx (Windows)
/// and is moved to rax. Callee-saved registers in use are pushed; on Windows xmm6–15 too belong to the caller and are saved.
/// </remarks>
internal sealed class KernelAssembler
{
    /// <summary>Every general register but rsp, argument first; rax holds the argument on entry.</summary>
    public static readonly AssemblerRegister64[] General = [rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11, rbx, rbp, r12, r13, r14, r15];

    private static readonly AssemblerRegister64[] SavedEverywhere = [rbx, rbp, r12, r13, r14, r15];
    private static readonly AssemblerRegister64[] SavedOnWindows = [rsi, rdi];

    private static readonly AssemblerRegisterXMM[] SavedVectors = [xmm6, xmm7, xmm8, xmm9, xmm10, xmm11, xmm12, xmm13, xmm14, xmm15];

    private static readonly AssemblerRegisterZMM[] Vectors =
    [
        zmm0, zmm1, zmm2, zmm3, zmm4, zmm5, zmm6, zmm7, zmm8, zmm9, zmm10, zmm11, zmm12, zmm13, zmm14, zmm15,
        zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23, zmm24, zmm25, zmm26, zmm27, zmm28, zmm29, zmm30, zmm31,
    ];

    private readonly bool _windows;
    private readonly AssemblerRegister64[] _saved;

    /// <summary>Starts a function.</summary>
    /// <param name="generals">How many of <see cref="General"/> it uses.</param>
    /// <param name="windows">The convention; null means this system's.</param>
    public KernelAssembler(int generals, bool? windows = null)
    {
        _windows = windows ?? OperatingSystem.IsWindows();
        var used = General.Take(generals).ToHashSet();
        _saved = SavedEverywhere.Concat(_windows ? SavedOnWindows : []).Where(used.Contains).ToArray();
        foreach (AssemblerRegister64 register in _saved) Code.push(register);
        if (_windows)
        {
            Code.sub(rsp, SavedVectors.Length * 16);
            for (int i = 0; i < SavedVectors.Length; i++) Code.vmovups(__xmmword_ptr[rsp + i * 16], SavedVectors[i]);
        }
        Code.mov(rax, _windows ? rcx : rdi);
    }

    /// <summary>The instructions.</summary>
    public Assembler Code { get; } = new(64);

    /// <summary>zmm register <paramref name="index"/>.</summary>
    public static AssemblerRegisterZMM Zmm(int index) => Vectors[index];

    /// <summary>Restores what the caller owns, clears the upper vector halves and returns; gives the finished bytes.</summary>
    public byte[] Finish()
    {
        if (_windows)
        {
            for (int i = 0; i < SavedVectors.Length; i++) Code.vmovups(SavedVectors[i], __xmmword_ptr[rsp + i * 16]);
            Code.add(rsp, SavedVectors.Length * 16);
        }
        foreach (AssemblerRegister64 register in _saved.Reverse()) Code.pop(register);
        Code.vzeroupper();
        Code.ret();
        using var stream = new MemoryStream();
        Code.Assemble(new StreamCodeWriter(stream), 0);
        return stream.ToArray();
    }
}
