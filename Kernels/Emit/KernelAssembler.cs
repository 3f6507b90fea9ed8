using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Iced.Intel;

namespace Octet.Kernels.Emit;

/// <summary>Entry, exit, jumps and bytes of an emitted kernel; its instructions are the other part of this class.</summary>
/// <remarks>
/// A kernel is <c>void f(T* arguments)</c> in the platform's C convention: the argument arrives in rdi (System V) or rcx (Windows)
/// and is moved to rax. Callee-saved registers in use are pushed; on Windows xmm6–15 too belong to the caller and are saved.
/// <para>
/// Only Iced's instruction encoder is used: its assembler class and block encoder would take twice as long to compile on first use
/// (35–44 against 18–20 ms of processor time). Jumps are always 32 bits wide, so an instruction's bytes are final when it is written
/// and a label only fills in displacements.
/// </para>
/// </remarks>
internal sealed partial class KernelAssembler
{
    /// <summary>Every general register but rsp, argument first; rax holds the argument on entry.</summary>
    public static readonly Gpr[] General =
    [
        Gpr.Rax, Gpr.Rcx, Gpr.Rdx, Gpr.Rsi, Gpr.Rdi, Gpr.R8, Gpr.R9, Gpr.R10, Gpr.R11, Gpr.Rbx, Gpr.Rbp, Gpr.R12, Gpr.R13, Gpr.R14, Gpr.R15,
    ];

    private static readonly Gpr[] SavedEverywhere = [Gpr.Rbx, Gpr.Rbp, Gpr.R12, Gpr.R13, Gpr.R14, Gpr.R15];
    private static readonly Gpr[] SavedOnWindows = [Gpr.Rsi, Gpr.Rdi];

    /// <summary>xmm registers that a function on Windows must give back as it got them.</summary>
    private const int FirstSavedVector = 6, SavedVectors = 10;

    private readonly bool _windows;
    private readonly List<Gpr> _saved = [];
    private readonly CodeBytes _bytes = new();
    private readonly Encoder _encoder;
    private readonly List<EmittedInstruction> _instructions = [];
    private readonly List<(int DisplacementAt, CodeLabel Label)> _jumps = [];

    /// <summary>Starts a function.</summary>
    /// <param name="generals">How many of <see cref="General"/> it uses.</param>
    /// <param name="windows">The convention; null means this system's.</param>
    public KernelAssembler(int generals, bool? windows = null)
    {
        _windows = windows ?? OperatingSystem.IsWindows();
        _encoder = Encoder.Create(64, _bytes);
        ReadOnlySpan<Gpr> used = General.AsSpan(0, generals);
        foreach (Gpr register in SavedEverywhere)
            if (used.Contains(register)) _saved.Add(register);
        if (_windows)
            foreach (Gpr register in SavedOnWindows)
                if (used.Contains(register)) _saved.Add(register);

        foreach (Gpr register in _saved) Push(register);
        if (_windows)
        {
            Sub(Gpr.Rsp, SavedVectors * 16);
            for (int i = 0; i < SavedVectors; i++) Vmovups(Gpr.Rsp + i * 16, new Vec(FirstSavedVector + i, 128));
        }
        Mov(Gpr.Rax, _windows ? Gpr.Rcx : Gpr.Rdi);
    }

    /// <summary>A place for <see cref="Place"/> and jumps.</summary>
    public static CodeLabel Label() => new();

    /// <summary>zmm register <paramref name="number"/>.</summary>
    public static Vec Zmm(int number) => new(number);

    /// <summary>Makes the next instruction the target of jumps to <paramref name="label"/>.</summary>
    public void Place(CodeLabel label) => label.Offset = _bytes.Length;

    /// <summary>Restores what the caller owns, clears the upper vector halves and returns; gives the finished function.</summary>
    /// <param name="name">See <see cref="EmittedFunction.Name"/>.</param>
    public EmittedFunction Finish(string name)
    {
        if (_windows)
        {
            for (int i = 0; i < SavedVectors; i++) Vmovups(new Vec(FirstSavedVector + i, 128), Gpr.Rsp + i * 16);
            Add(Gpr.Rsp, SavedVectors * 16);
        }
        for (int i = _saved.Count - 1; i >= 0; i--) Pop(_saved[i]);
        Vzeroupper();
        Ret();
        byte[] code = _bytes.ToArray();
        foreach ((int at, CodeLabel label) in _jumps)
        {
            if (label.Offset < 0) throw new InvalidOperationException($"{name} jumps to a label that is placed nowhere");
            BinaryPrimitives.WriteInt32LittleEndian(code.AsSpan(at), label.Offset - (at + sizeof(int)));
        }
        return new EmittedFunction(name, code, _instructions);
    }

    /// <summary>Encodes one instruction and notes what it was meant to be.</summary>
    private void Write(in Instruction instruction, object? first, object? second, object? third, Opmask? mask, string method)
    {
        _instructions.Add(new EmittedInstruction(_bytes.Length, method.ToLowerInvariant(), first, second, third, mask));
        _encoder.Encode(instruction, (ulong)_bytes.Length);
    }

    /// <summary>A jump whose displacement, its last four bytes, is filled in at the end.</summary>
    private void Jump(Code code, CodeLabel label, [CallerMemberName] string method = "")
    {
        Write(Instruction.CreateBranch(code, (ulong)_bytes.Length), label, null, null, null, method);
        _jumps.Add((_bytes.Length - sizeof(int), label));
    }

    private static Register Register(Gpr register) => (register.Bits == 64 ? Iced.Intel.Register.RAX : Iced.Intel.Register.EAX) + register.Number;

    private static Register Register(Vec register) =>
        (register.Bits switch { 128 => Iced.Intel.Register.XMM0, 256 => Iced.Intel.Register.YMM0, _ => Iced.Intel.Register.ZMM0 }) + register.Number;

    private static Register Register(Opmask mask) => Iced.Intel.Register.K0 + mask.Number;

    private static MemoryOperand Memory(Address address)
    {
        const int shortest = 1;   // the encoder takes 8 bits where they suffice
        return address.Index is { } index
            ? new MemoryOperand(Register(address.Base), Register(index), 1, address.Displacement, shortest)
            : new MemoryOperand(Register(address.Base), address.Displacement, shortest);
    }

    private sealed class CodeBytes : CodeWriter
    {
        private byte[] _bytes = new byte[2048];

        public int Length { get; private set; }

        public override void WriteByte(byte value)
        {
            if (Length == _bytes.Length) Array.Resize(ref _bytes, 2 * Length);
            _bytes[Length++] = value;
        }

        public byte[] ToArray() => _bytes.AsSpan(0, Length).ToArray();
    }
}
