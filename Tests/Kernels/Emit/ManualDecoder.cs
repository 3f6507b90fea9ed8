using System.Buffers.Binary;
using System.Globalization;

namespace Octet.Tests.Kernels.Emit;

/// <summary>Machine code as text, read by the tables of the instruction manual: a path from bytes to meaning that shares nothing with the encoder.</summary>
/// <remarks>
/// Knows the instructions that kernels use and refuses all others. The text is that of <see cref="Octet.Kernels.Emit.EmittedInstruction"/>:
/// destination first, numbers decimal, targets of jumps as offsets from the start of the code.
/// </remarks>
internal static class ManualDecoder
{
    private enum Form
    {
        /// <summary>register, register or memory</summary>
        Rm,

        /// <summary>register or memory, register</summary>
        Mr,

        /// <summary>register, second register (vvvv), register or memory</summary>
        Rvm,

        /// <summary>the same, and a byte</summary>
        RvmByte,

        /// <summary>register, register, byte</summary>
        RmByte,

        None,
    }

    /// <summary>Kinds of register that an operand may be.</summary>
    private enum Kind
    {
        Vector,
        Mask,
        General32,
        General64,
    }

    /// <summary>A line of the manual's opcode tables.</summary>
    /// <param name="Mnemonic">In lower case.</param>
    /// <param name="Form">Operands.</param>
    /// <param name="W">The W bit, or null where the manual says WIG.</param>
    /// <param name="Scale">EVEX: bytes that one unit of an 8-bit displacement stands for (the tuple type); 0 for VEX.</param>
    /// <param name="Broadcast">EVEX: whether a memory operand may be one 32-bit value for all lanes.</param>
    /// <param name="Register">Kind of the register operand.</param>
    /// <param name="Other">Kind of the register-or-memory operand where it is a register.</param>
    private sealed record Line(string Mnemonic, Form Form, bool? W, int Scale = 0, bool Broadcast = false, Kind Register = Kind.Vector, Kind Other = Kind.Vector);

    private const int Map0F = 1, Map0F38 = 2, Map0F3A = 3;
    private const int NoPrefix = 0, Prefix66 = 1, PrefixF3 = 2, PrefixF2 = 3;

    private static readonly Dictionary<(int Map, int Prefix, int Opcode), Line> Vex = new()
    {
        [(Map0F, NoPrefix, 0x77)] = new("vzeroupper", Form.None, null),
        [(Map0F, NoPrefix, 0x10)] = new("vmovups", Form.Rm, null),
        [(Map0F, NoPrefix, 0x11)] = new("vmovups", Form.Mr, null),
        [(Map0F, PrefixF3, 0x2C)] = new("vcvttss2si", Form.Rm, false, Register: Kind.General32),
        [(Map0F, PrefixF2, 0x92)] = new("kmovq", Form.Rm, true, Register: Kind.Mask, Other: Kind.General64),
        [(Map0F3A, Prefix66, 0x31)] = new("kshiftrq", Form.RmByte, true, Register: Kind.Mask, Other: Kind.Mask),
        [(Map0F38, Prefix66, 0x50)] = new("vpdpbusd", Form.Rvm, false),
        [(Map0F, Prefix66, 0xF5)] = new("vpmaddwd", Form.Rvm, null),
        [(Map0F, Prefix66, 0xFE)] = new("vpaddd", Form.Rvm, null),
    };

    private static readonly Dictionary<(int Map, int Prefix, int Opcode), Line> Evex = new()
    {
        [(Map0F, PrefixF2, 0x6F)] = new("vmovdqu8", Form.Rm, false, 64),
        [(Map0F, PrefixF2, 0x7F)] = new("vmovdqu8", Form.Mr, false, 64),
        [(Map0F, PrefixF3, 0x6F)] = new("vmovdqu32", Form.Rm, false, 64),
        [(Map0F, PrefixF3, 0x7F)] = new("vmovdqu32", Form.Mr, false, 64),
        [(Map0F, Prefix66, 0x6F)] = new("vmovdqa32", Form.Rm, false, 64),
        [(Map0F, Prefix66, 0xEF)] = new("vpxord", Form.Rvm, false, 64, true),
        [(Map0F, Prefix66, 0xFE)] = new("vpaddd", Form.Rvm, false, 64, true),
        [(Map0F, Prefix66, 0xFD)] = new("vpaddw", Form.Rvm, null, 64),
        [(Map0F, Prefix66, 0xF5)] = new("vpmaddwd", Form.Rvm, null, 64),
        [(Map0F, Prefix66, 0xDE)] = new("vpmaxub", Form.Rvm, null, 64),
        [(Map0F, Prefix66, 0x60)] = new("vpunpcklbw", Form.Rvm, null, 64),
        [(Map0F, Prefix66, 0x61)] = new("vpunpcklwd", Form.Rvm, null, 64),
        [(Map0F, Prefix66, 0x67)] = new("vpackuswb", Form.Rvm, null, 64),
        [(Map0F, Prefix66, 0x68)] = new("vpunpckhbw", Form.Rvm, null, 64),
        [(Map0F, Prefix66, 0x69)] = new("vpunpckhwd", Form.Rvm, null, 64),
        [(Map0F, Prefix66, 0x6B)] = new("vpackssdw", Form.Rvm, false, 64, true),
        [(Map0F, NoPrefix, 0x5B)] = new("vcvtdq2ps", Form.Rm, false, 64, true),
        [(Map0F, Prefix66, 0x5B)] = new("vcvtps2dq", Form.Rm, false, 64, true),
        [(Map0F, NoPrefix, 0x59)] = new("vmulps", Form.Rvm, false, 64, true),
        [(Map0F, NoPrefix, 0x5D)] = new("vminps", Form.Rvm, false, 64, true),
        [(Map0F38, Prefix66, 0x18)] = new("vbroadcastss", Form.Rm, false, 4),
        [(Map0F38, Prefix66, 0x50)] = new("vpdpbusd", Form.Rvm, false, 64, true),
        [(Map0F38, Prefix66, 0x58)] = new("vpbroadcastd", Form.Rm, false, 4),
        [(Map0F38, Prefix66, 0x79)] = new("vpbroadcastw", Form.Rm, false, 2),
        [(Map0F38, Prefix66, 0x7A)] = new("vpbroadcastb", Form.Rm, false, 1, Other: Kind.General32),
        [(Map0F3A, Prefix66, 0x43)] = new("vshufi32x4", Form.RvmByte, false, 64, true),
    };

    private static readonly string[] Names64 = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
    private static readonly string[] Names32 = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d"];

    /// <summary>Offset and text of every instruction.</summary>
    /// <exception cref="FormatException">Something is not in the tables.</exception>
    public static List<(int Offset, string Text)> Decode(byte[] code)
    {
        var reader = new Reader(code);
        var all = new List<(int, string)>();
        while (reader.At < code.Length)
        {
            int offset = reader.At;
            all.Add((offset, code[offset] switch
            {
                0x62 => reader.EvexInstruction(),
                0xC4 or 0xC5 => reader.VexInstruction(),
                _ => reader.LegacyInstruction(),
            }));
        }
        return all;
    }

    private sealed class Reader(byte[] code)
    {
        public int At { get; private set; }

        private byte Byte() => code[At++];

        private int Int32()
        {
            int value = BinaryPrimitives.ReadInt32LittleEndian(code.AsSpan(At));
            At += sizeof(int);
            return value;
        }

        public string LegacyInstruction()
        {
            int rex = 0;
            int opcode = Byte();
            if ((opcode & 0xF0) == 0x40)
            {
                rex = opcode;
                opcode = Byte();
            }
            bool wide = (rex & 8) != 0;
            int r = (rex & 4) << 1, x = (rex & 2) << 2, b = (rex & 1) << 3;
            string[] names = wide ? Names64 : Names32;
            switch (opcode)
            {
                case >= 0x50 and <= 0x57:
                    return $"push {Names64[opcode - 0x50 + b]}";
                case >= 0x58 and <= 0x5F:
                    return $"pop {Names64[opcode - 0x58 + b]}";
                case >= 0xB8 and <= 0xBF when !wide:
                    return $"mov {names[opcode - 0xB8 + b]}, {Number(Int32())}";
                case 0x8B or 0x03 or 0x2B or 0x33:
                    {
                        string mnemonic = opcode switch { 0x8B => "mov", 0x03 => "add", 0x2B => "sub", _ => "xor" };
                        (int register, string other) = ModRm(r, x, b, names, 1);
                        return $"{mnemonic} {names[register]}, {other}";
                    }
                case 0x89 or 0x85:
                    {
                        (int register, string other) = ModRm(r, x, b, names, 1);
                        return $"{(opcode == 0x89 ? "mov" : "test")} {other}, {names[register]}";
                    }
                case 0x83 or 0x81 or 0xC7 or 0xC1 or 0xD3 or 0xF7 or 0xFF:
                    {
                        (int extension, string other) = ModRm(0, x, b, names, 1);
                        string mnemonic = (opcode, extension) switch
                        {
                            (0x83 or 0x81, 0) => "add",
                            (0x83 or 0x81, 4) => "and",
                            (0x83 or 0x81, 5) => "sub",
                            (0x83 or 0x81, 7) => "cmp",
                            (0xC7, 0) => "mov",
                            (0xC1, 4) => "shl",
                            (0xD3, 5) => "shr",
                            (0xF7, 3) => "neg",
                            (0xFF, 1) => "dec",
                            _ => throw Unknown($"{opcode:X2} /{extension}"),
                        };
                        if (!wide) throw Unknown($"{mnemonic} without REX.W");
                        return opcode switch
                        {
                            0x83 or 0xC1 => $"{mnemonic} {other}, {Number((sbyte)Byte())}",
                            0x81 or 0xC7 => $"{mnemonic} {other}, {Number(Int32())}",
                            0xD3 => $"{mnemonic} {other}, cl",
                            _ => $"{mnemonic} {other}",
                        };
                    }
                case 0x0F:
                    {
                        int second = Byte();
                        string mnemonic = second switch { 0x84 => "je", 0x85 => "jne", 0x8E => "jle", _ => throw Unknown($"0F {second:X2}") };
                        return Jump(mnemonic);
                    }
                case 0xE9:
                    return Jump("jmp");
                case 0xC3:
                    return "ret";
                default:
                    throw Unknown($"{opcode:X2}");
            }
        }

        private string Jump(string mnemonic)
        {
            int displacement = Int32();
            return $"{mnemonic} {Number(At + displacement)}";
        }

        public string VexInstruction()
        {
            // C5: R vvvv L pp. C4: R X B mmmmm, W vvvv L pp. R, X, B and vvvv are inverted.
            int map = Map0F, r, x = 0, b = 0, last;
            bool w = false;
            if (Byte() == 0xC5)
            {
                last = Byte();
                r = ~last >> 4 & 8;
            }
            else
            {
                int first = Byte();
                (r, x, b, map) = (~first >> 4 & 8, ~first >> 3 & 8, ~first >> 2 & 8, first & 0x1F);
                last = Byte();
                w = (last & 0x80) != 0;
            }
            int second = ~last >> 3 & 15, prefix = last & 3, opcode = Byte();
            Line line = Find(Vex, map, prefix, opcode, w, "VEX");
            bool long256 = (last & 4) != 0;
            if (line.Register == Kind.Mask && long256) throw Unknown($"{line.Mnemonic} with L = 1");
            return Instruction(line, r, x, b, second, mask: 0, bits: long256 ? 256 : 128, scale: 1, broadcast: false, vectorHigh: 0);
        }

        public string EvexInstruction()
        {
            // 62, R X B R' 0 m m m, W vvvv 1 pp, z L'L b V' aaa. R, X, B, R', vvvv and V' are inverted.
            Byte();
            int p0 = Byte(), p1 = Byte(), p2 = Byte(), opcode = Byte();
            if ((p0 & 0x08) != 0 || (p1 & 0x04) == 0) throw Unknown($"62 {p0:X2} {p1:X2}");
            int r = (~p0 >> 4 & 8) | (~p0 & 0x10), x = ~p0 >> 3 & 8, b = ~p0 >> 2 & 8;
            int second = (~p1 >> 3 & 15) | (~p2 << 1 & 0x10), length = p2 >> 5 & 3, mask = p2 & 7;
            bool broadcast = (p2 & 0x10) != 0, zeroing = (p2 & 0x80) != 0;
            Line line = Find(Evex, p0 & 7, p1 & 3, opcode, (p1 & 0x80) != 0, "EVEX");
            if (length != 2) throw Unknown($"{line.Mnemonic} with L'L = {length}");
            if (zeroing) throw Unknown($"{line.Mnemonic} with zeroing");
            if (broadcast && !line.Broadcast) throw Unknown($"{line.Mnemonic} with the broadcast bit");
            return Instruction(line, r, x, b, second, mask, 512, broadcast ? 4 : line.Scale, broadcast, vectorHigh: x << 1);
        }

        private string Instruction(Line line, int r, int x, int b, int second, int mask, int bits, int scale, bool broadcast, int vectorHigh)
        {
            if (line.Form == Form.None) return line.Mnemonic;
            bool usesSecond = line.Form is Form.Rvm or Form.RvmByte;
            if (!usesSecond && second != 0) throw Unknown($"{line.Mnemonic} with vvvv = {second}");
            // Where the register-or-memory operand is a vector register, X is the fifth bit of its number.
            string[] others = Enumerable.Range(0, 32).Select(number => Name(line.Other, number, bits)).ToArray();
            (int register, string other) = ModRm(r, x, b, others, scale, vectorHigh);
            if (broadcast && !other.StartsWith('[')) throw Unknown($"{line.Mnemonic} with embedded rounding");
            if (broadcast) other += "{1to16}";
            string reg = Name(line.Register, register, bits), guard = mask == 0 ? "" : $"{{k{mask}}}";
            string text = line.Form switch
            {
                Form.Rm or Form.RmByte => $"{line.Mnemonic} {reg}{guard}, {other}",
                Form.Mr => $"{line.Mnemonic} {other}{guard}, {reg}",
                _ => $"{line.Mnemonic} {reg}{guard}, {Name(Kind.Vector, second, bits)}, {other}",
            };
            return line.Form is Form.RvmByte or Form.RmByte ? $"{text}, {Number(Byte())}" : text;
        }

        private static string Name(Kind kind, int number, int bits) => kind switch
        {
            Kind.Mask => $"k{number}",
            Kind.General32 => Names32[number & 15],
            Kind.General64 => Names64[number & 15],
            _ => (bits switch { 128 => "xmm", 256 => "ymm", _ => "zmm" }) + Number(number),
        };

        /// <summary>ModRM, SIB and displacement: the register field and the other operand in words.</summary>
        private (int Register, string Other) ModRm(int r, int x, int b, string[] registers, int scale, int registerHigh = 0)
        {
            int modRm = Byte(), mode = modRm >> 6, register = (modRm >> 3 & 7) + r, low = modRm & 7;
            if (mode == 3) return (register, registers[low + b + registerHigh]);
            string inner;
            if (low == 4)
            {
                int sib = Byte(), index = (sib >> 3 & 7) + x, start = (sib & 7) + b;
                if (mode == 0 && (sib & 7) == 5) throw Unknown("an address without base");
                inner = Names64[start];
                if (index != 4)
                {
                    if (sib >> 6 != 0) throw Unknown($"an index times {1 << (sib >> 6)}");
                    inner += "+" + Names64[index];
                }
            }
            else
            {
                if (mode == 0 && low == 5) throw Unknown("an address relative to rip");
                inner = Names64[low + b];
            }
            int displacement = mode switch { 1 => (sbyte)Byte() * scale, 2 => Int32(), _ => 0 };
            if (displacement > 0) inner += "+" + Number(displacement);
            else if (displacement < 0) inner += Number(displacement);
            return (register, $"[{inner}]");
        }

        private static Line Find(Dictionary<(int Map, int Prefix, int Opcode), Line> table, int map, int prefix, int opcode, bool w, string encoding)
        {
            if (!table.TryGetValue((map, prefix, opcode), out Line? line)) throw Unknown($"{encoding} map {map} prefix {prefix} opcode {opcode:X2}");
            return line.W is null || line.W == w ? line : throw Unknown($"{encoding} {line.Mnemonic} with W = {w}");
        }

        private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);

        private static FormatException Unknown(string what) => new($"not in the tables: {what}");
    }
}
