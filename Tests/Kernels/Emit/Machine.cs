using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Iced.Intel;

namespace Octet.Tests.Kernels.Emit;

/// <summary>An interpreter of the x86-64 instructions that emitted kernels use, written from the instruction manual; runs on any CPU.</summary>
/// <remarks>
/// Registers and flags start with arbitrary contents, so that code which relies on them differs from run to run. Reading a flag that
/// the last instruction left undefined is a fault, as is every access outside <see cref="Memory"/>. Floats round to nearest even and
/// denormals count, which is how .NET runs.
/// </remarks>
internal sealed partial class Machine
{
    /// <summary>Where a function returns to; nothing is there.</summary>
    private const ulong ReturnAddress = 0x0DDBA11;

    /// <summary>Where code lies.</summary>
    private const ulong CodeAddress = 0x40_0000;

    /// <summary>Longer runs count as endless loops.</summary>
    private const int MostSteps = 2_000_000;

    private readonly ulong[] _general = new ulong[16];
    private readonly byte[] _vectors = new byte[32 * 64];
    private readonly ulong[] _masks = new ulong[8];
    private bool? _zero, _sign, _carry, _overflow;

    /// <summary>Arbitrary registers.</summary>
    public Machine(int seed)
    {
        var random = new Random(seed);
        random.NextBytes(MemoryMarshal.AsBytes(_general.AsSpan()));
        random.NextBytes(_vectors);
        random.NextBytes(MemoryMarshal.AsBytes(_masks.AsSpan()));
        _general[Rsp] = Memory.Map("the stack", new byte[StackBytes], writable: true) + StackBytes - 32 - 8;   // Windows' 32 bytes above the return address
    }

    private const int Rsp = 4, StackBytes = 1024;

    /// <summary>What the code may touch.</summary>
    public MachineMemory Memory { get; } = new();

    /// <summary>Instructions that the last run executed.</summary>
    public int Steps { get; private set; }

    /// <summary>A vector register, all 64 bytes.</summary>
    public Span<byte> Vector(int number) => _vectors.AsSpan(number * 64, 64);

    /// <summary>A general register.</summary>
    public ref ulong General(int number) => ref _general[number];

    /// <summary>A mask register.</summary>
    public ref ulong Mask(int number) => ref _masks[number];

    /// <summary>Calls <c>void f(argument)</c> and checks that the caller gets back what is its own.</summary>
    /// <param name="code">The function.</param>
    /// <param name="argument">Its argument.</param>
    /// <param name="windows">The calling convention.</param>
    /// <exception cref="MachineFaultException">The code does what a CPU would fault on or a function must not do.</exception>
    public void Call(byte[] code, ulong argument, bool windows)
    {
        General(windows ? 1 : 7) = argument;
        BinaryPrimitives.WriteUInt64LittleEndian(Memory.Write(_general[Rsp], 8), ReturnAddress);
        ulong[] before = [.. _general];
        byte[] vectorsBefore = [.. _vectors];

        Run(code);

        int[] owned = windows ? [3, 5, 6, 7, 12, 13, 14, 15] : [3, 5, 12, 13, 14, 15];
        foreach (int register in owned)
            if (_general[register] != before[register]) throw new MachineFaultException($"general register {register} is not what it was");
        if (_general[Rsp] != before[Rsp] + 8) throw new MachineFaultException("the stack pointer is not what it was");
        for (int number = 0; number < 16; number++)
        {
            if (windows && number is >= 6 and <= 15 && !Vector(number)[..16].SequenceEqual(vectorsBefore.AsSpan(number * 64, 16)))
                throw new MachineFaultException($"xmm{number} is not what it was");
            if (Vector(number)[16..].ContainsAnyExcept((byte)0)) throw new MachineFaultException($"the upper part of vector register {number} is not cleared");
        }
    }

    /// <summary>Executes until the return, or to the end of the code.</summary>
    public void Run(byte[] code)
    {
        var instructions = new Dictionary<ulong, Instruction>();
        var decoder = Decoder.Create(64, code);
        decoder.IP = CodeAddress;
        while (decoder.IP < CodeAddress + (ulong)code.Length)
        {
            decoder.Decode(out Instruction instruction);
            if (instruction.IsInvalid) throw new MachineFaultException($"no instruction at byte {instruction.IP - CodeAddress}");
            instructions.Add(instruction.IP, instruction);
        }

        ulong ip = CodeAddress;
        for (Steps = 0; ip != ReturnAddress && ip != CodeAddress + (ulong)code.Length; Steps++)
        {
            if (Steps == MostSteps) throw new MachineFaultException($"still runs after {MostSteps} instructions");
            if (!instructions.TryGetValue(ip, out Instruction instruction)) throw new MachineFaultException($"jumps to byte {unchecked((long)(ip - CodeAddress))}, where no instruction starts");
            ip = Execute(instruction);
        }
    }

    /// <summary>Executes one instruction and returns the address of the next.</summary>
    private ulong Execute(in Instruction i)
    {
        switch (i.Mnemonic)
        {
            case Mnemonic.Nop: break;
            case Mnemonic.Jmp: return i.NearBranchTarget;
            case Mnemonic.Je: return Flag(_zero) ? i.NearBranchTarget : i.NextIP;
            case Mnemonic.Jne: return Flag(_zero) ? i.NextIP : i.NearBranchTarget;
            case Mnemonic.Jle: return Flag(_zero) || Flag(_sign) != Flag(_overflow) ? i.NearBranchTarget : i.NextIP;
            case Mnemonic.Ret:
                ulong target = BinaryPrimitives.ReadUInt64LittleEndian(Memory.Read(_general[Rsp], 8));
                _general[Rsp] += 8;
                return target;
            case Mnemonic.Push:
                _general[Rsp] -= 8;
                BinaryPrimitives.WriteUInt64LittleEndian(Memory.Write(_general[Rsp], 8), ReadGeneral(i, 0));
                break;
            case Mnemonic.Pop:
                ulong popped = BinaryPrimitives.ReadUInt64LittleEndian(Memory.Read(_general[Rsp], 8));
                _general[Rsp] += 8;
                WriteGeneral(i, 0, popped);
                break;
            default:
                if (!ExecuteGeneral(i) && !ExecuteVector(i)) throw new MachineFaultException($"'{i}' is not interpreted");
                break;
        }
        return i.NextIP;
    }

    private bool ExecuteGeneral(in Instruction i)
    {
        switch (i.Mnemonic)
        {
            case Mnemonic.Mov:
                WriteGeneral(i, 0, ReadGeneral(i, 1));
                return true;
            case Mnemonic.Add:
                Sum(i, ReadGeneral(i, 0), ReadGeneral(i, 1), subtract: false, store: true);
                return true;
            case Mnemonic.Sub:
                Sum(i, ReadGeneral(i, 0), ReadGeneral(i, 1), subtract: true, store: true);
                return true;
            case Mnemonic.Cmp:
                Sum(i, ReadGeneral(i, 0), ReadGeneral(i, 1), subtract: true, store: false);
                return true;
            case Mnemonic.Neg:
                Sum(i, 0, ReadGeneral(i, 0), subtract: true, store: true);
                return true;
            case Mnemonic.Inc or Mnemonic.Dec:
                bool? carry = _carry;
                Sum(i, ReadGeneral(i, 0), 1, subtract: i.Mnemonic == Mnemonic.Dec, store: true);
                _carry = carry;
                return true;
            case Mnemonic.And:
                Logic(i, ReadGeneral(i, 0) & ReadGeneral(i, 1), store: true);
                return true;
            case Mnemonic.Xor:
                Logic(i, ReadGeneral(i, 0) ^ ReadGeneral(i, 1), store: true);
                return true;
            case Mnemonic.Test:
                Logic(i, ReadGeneral(i, 0) & ReadGeneral(i, 1), store: false);
                return true;
            case Mnemonic.Shl or Mnemonic.Shr:
                Shift(i);
                return true;
            default:
                return false;
        }
    }

    private void Sum(in Instruction i, ulong left, ulong right, bool subtract, bool store)
    {
        int bits = Bits(i, 0);
        ulong all = bits == 64 ? ulong.MaxValue : (1UL << bits) - 1, signBit = 1UL << (bits - 1);
        (left, right) = (left & all, right & all);
        ulong result = unchecked(subtract ? left - right : left + right) & all;
        _zero = result == 0;
        _sign = (result & signBit) != 0;
        _carry = subtract ? left < right : result < left;
        _overflow = ((subtract ? left ^ right : ~(left ^ right)) & (left ^ result) & signBit) != 0;
        if (store) WriteGeneral(i, 0, result);
    }

    private void Logic(in Instruction i, ulong result, bool store)
    {
        int bits = Bits(i, 0);
        if (bits < 64) result &= (1UL << bits) - 1;
        _zero = result == 0;
        _sign = (result >> (bits - 1) & 1) != 0;
        _carry = _overflow = false;
        if (store) WriteGeneral(i, 0, result);
    }

    private void Shift(in Instruction i)
    {
        int bits = Bits(i, 0), count = (int)ReadGeneral(i, 1) & (bits - 1);
        ulong value = ReadGeneral(i, 0);
        if (bits < 64) value &= (1UL << bits) - 1;
        if (count == 0) return;   // flags stay
        bool left = i.Mnemonic == Mnemonic.Shl;
        ulong result = left ? value << count : value >> count;
        if (bits < 64) result &= (1UL << bits) - 1;
        _zero = result == 0;
        _sign = (result >> (bits - 1) & 1) != 0;
        _carry = ((left ? value >> (bits - count) : value >> (count - 1)) & 1) != 0;
        _overflow = null;   // defined for a count of 1 only; no kernel needs it
        WriteGeneral(i, 0, result);
    }

    private static bool Flag(bool? flag) => flag ?? throw new MachineFaultException("a jump depends on a flag that is undefined");

    /// <summary>Width of a general or memory operand.</summary>
    private static int Bits(in Instruction i, int operand) =>
        i.GetOpKind(operand) == OpKind.Memory ? i.MemorySize.GetSize() * 8 : i.GetOpRegister(operand).GetSize() * 8;

    private ulong ReadGeneral(in Instruction i, int operand)
    {
        switch (i.GetOpKind(operand))
        {
            case OpKind.Register:
                Register register = i.GetOpRegister(operand);
                ulong value = _general[register.GetFullRegister() - Register.RAX];
                return register.GetSize() switch { 8 => value, 4 => (uint)value, 1 => (byte)value, _ => throw new MachineFaultException($"'{i}' is not interpreted") };
            case OpKind.Memory:
                ReadOnlySpan<byte> bytes = Memory.Read(AddressOf(i), i.MemorySize.GetSize());
                return bytes.Length == 8 ? BinaryPrimitives.ReadUInt64LittleEndian(bytes) : BinaryPrimitives.ReadUInt32LittleEndian(bytes);
            default:
                return i.GetImmediate(operand);
        }
    }

    private void WriteGeneral(in Instruction i, int operand, ulong value)
    {
        if (i.GetOpKind(operand) == OpKind.Register)
        {
            Register register = i.GetOpRegister(operand);
            _general[register.GetFullRegister() - Register.RAX] = register.GetSize() == 8 ? value : (uint)value;   // 32-bit results clear the upper half
            return;
        }
        Span<byte> bytes = Memory.Write(AddressOf(i), i.MemorySize.GetSize());
        if (bytes.Length == 8) BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        else BinaryPrimitives.WriteUInt32LittleEndian(bytes, (uint)value);
    }

    private ulong AddressOf(in Instruction i)
    {
        ulong address = i.MemoryDisplacement64;
        if (i.MemoryBase != Register.None) address += _general[i.MemoryBase - Register.RAX];
        if (i.MemoryIndex != Register.None) address += _general[i.MemoryIndex - Register.RAX] * (ulong)i.MemoryIndexScale;
        return address;
    }
}
