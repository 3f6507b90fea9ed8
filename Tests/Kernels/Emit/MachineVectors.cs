using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Iced.Intel;

namespace Octet.Tests.Kernels.Emit;

/// <summary>Vector and mask instructions of the interpreter.</summary>
internal sealed partial class Machine
{
    private bool ExecuteVector(in Instruction i)
    {
        switch (i.Mnemonic)
        {
            case Mnemonic.Vzeroupper:
                for (int number = 0; number < 16; number++) Vector(number)[16..].Clear();
                return true;
            case Mnemonic.Kmovq:
                WriteMask(i, ReadGeneralOrMask(i, 1));
                return true;
            case Mnemonic.Kshiftrq:
                int shift = i.Immediate8;
                WriteMask(i, shift > 63 ? 0 : ReadGeneralOrMask(i, 1) >> shift);
                return true;
            case Mnemonic.Vmovd:
                var low = new byte[16];
                BinaryPrimitives.WriteUInt32LittleEndian(low, (uint)ReadGeneral(i, 1));
                Store(i, low, 4);
                return true;
            case Mnemonic.Vcvttss2si:
                WriteGeneral(i, 0, (uint)ToInt32(MathF.Truncate(BinaryPrimitives.ReadSingleLittleEndian(Memory.Read(AddressOf(i), 4)))));
                return true;
            case Mnemonic.Vmovups or Mnemonic.Vmovdqu or Mnemonic.Vmovdqu32 or Mnemonic.Vmovdqa32:
                Move(i, 4);
                return true;
            case Mnemonic.Vmovdqu8:
                Move(i, 1);
                return true;
            case Mnemonic.Vpbroadcastd or Mnemonic.Vbroadcastss:
                Repeat(i, 4);
                return true;
            case Mnemonic.Vpbroadcastw:
                Repeat(i, 2);
                return true;
            case Mnemonic.Vpbroadcastb:
                Repeat(i, 1);
                return true;
            case Mnemonic.Vpxor or Mnemonic.Vpxord:
                return Lanes32(i, (_, a, b) => a ^ b);
            case Mnemonic.Vpaddd:
                return Lanes32(i, (_, a, b) => unchecked(a + b));
            case Mnemonic.Vpdpbusd:
                return Lanes32(i, (sum, a, b) => unchecked(sum + Dot(a, b)));
            case Mnemonic.Vpdpbusds:
                return Lanes32(i, (sum, a, b) => (int)Math.Clamp((long)sum + Dot(a, b), int.MinValue, int.MaxValue));
            case Mnemonic.Vpmaddwd:
                return Lanes32(i, (_, a, b) => unchecked((short)a * (short)b + (a >> 16) * (b >> 16)));
            case Mnemonic.Vmulps:
                return Lanes32(i, (_, a, b) => IsNaN(a) ? a | QuietBit : IsNaN(b) ? b | QuietBit : Bits(Float(a) * Float(b)));
            case Mnemonic.Vminps:
                return Lanes32(i, (_, a, b) => Float(a) < Float(b) ? a : b);   // b where one is NaN or both are zero
            case Mnemonic.Vcvtdq2ps:
                return Lanes32(i, (_, a, _) => Bits((float)a));
            case Mnemonic.Vcvtps2dq:
                return Lanes32(i, (_, a, _) => ToInt32(MathF.Round(Float(a), MidpointRounding.ToEven)));
            case Mnemonic.Vcvttps2dq:
                return Lanes32(i, (_, a, _) => ToInt32(MathF.Truncate(Float(a))));
            case Mnemonic.Vpaddw:
                return Words(i, (a, b) => unchecked((short)(a + b)));
            case Mnemonic.Vpmaxub:
                return Bytes(i, Math.Max);
            case Mnemonic.Vpminub:
                return Bytes(i, Math.Min);
            case Mnemonic.Vpunpcklbw:
                return Unpack(i, 1, upper: false);
            case Mnemonic.Vpunpckhbw:
                return Unpack(i, 1, upper: true);
            case Mnemonic.Vpunpcklwd:
                return Unpack(i, 2, upper: false);
            case Mnemonic.Vpunpckhwd:
                return Unpack(i, 2, upper: true);
            case Mnemonic.Vpackssdw:
                PackDoublewords(i);
                return true;
            case Mnemonic.Vpackuswb:
                PackWords(i);
                return true;
            case Mnemonic.Vshufi32x4:
                ShuffleLanes(i);
                return true;
            default:
                return false;
        }
    }

    /// <summary><c>Σ u8·s8</c> over four bytes; each product fits 16 bits, their sum 18.</summary>
    private static int Dot(int unsigned, int signed)
    {
        int sum = 0;
        for (int t = 0; t < 4; t++) sum += (byte)(unsigned >> (8 * t)) * (sbyte)(signed >> (8 * t));
        return sum;
    }

    /// <summary>A rounded float as an integer; −2³¹, the integer indefinite, where it does not fit.</summary>
    private static int ToInt32(float rounded) => rounded is >= -2147483648f and < 2147483648f ? (int)rounded : int.MinValue;

    /// <summary>What makes a NaN quiet. The CPU returns the first operand that is a NaN; a C# product may have its operands exchanged by the compiler.</summary>
    private const int QuietBit = 0x00400000;

    private static bool IsNaN(int bits) => float.IsNaN(Float(bits));

    private static float Float(int bits) => BitConverter.Int32BitsToSingle(bits);

    private static int Bits(float value) => BitConverter.SingleToInt32Bits(value);

    /// <summary>Bytes of the operation: its widest vector register.</summary>
    private static int Width(in Instruction i)
    {
        int width = 0;
        for (int operand = 0; operand < i.OpCount; operand++)
            if (i.GetOpKind(operand) == OpKind.Register && i.GetOpRegister(operand).IsVectorRegister()) width = Math.Max(width, i.GetOpRegister(operand).GetSize());
        return width;
    }

    private static int Number(Register register) =>
        register.IsZMM() ? register - Register.ZMM0 : register.IsYMM() ? register - Register.YMM0 : register - Register.XMM0;

    private ulong ReadGeneralOrMask(in Instruction i, int operand) =>
        i.GetOpRegister(operand).IsK() ? _masks[i.GetOpRegister(operand) - Register.K0] : ReadGeneral(i, operand);

    private void WriteMask(in Instruction i, ulong value) => _masks[i.Op0Register - Register.K0] = value;

    /// <summary>A source operand of <paramref name="width"/> bytes: a register, memory, or one value of memory for all lanes.</summary>
    private byte[] Source(in Instruction i, int operand, int width)
    {
        if (i.GetOpKind(operand) == OpKind.Register) return Vector(Number(i.GetOpRegister(operand)))[..width].ToArray();
        if (!i.IsBroadcast) return Memory.Read(AddressOf(i), width).ToArray();
        var all = new byte[width];
        ReadOnlySpan<byte> one = Memory.Read(AddressOf(i), 4);
        for (int at = 0; at < width; at += 4) one.CopyTo(all.AsSpan(at));
        return all;
    }

    /// <summary>Whether the mask lets element <paramref name="index"/> pass.</summary>
    private bool Passes(in Instruction i, int index) => i.OpMask == Register.None || (_masks[i.OpMask - Register.K0] >> index & 1) != 0;

    /// <summary>Writes a result: elements that the mask holds back stay or become zero, bits above the operation's width become zero.</summary>
    private void Store(in Instruction i, ReadOnlySpan<byte> result, int elementBytes)
    {
        Span<byte> to = Vector(Number(i.Op0Register));
        for (int element = 0; element < result.Length / elementBytes; element++)
        {
            Span<byte> place = to.Slice(element * elementBytes, elementBytes);
            if (Passes(i, element)) result.Slice(element * elementBytes, elementBytes).CopyTo(place);
            else if (i.ZeroingMasking) place.Clear();
        }
        to[result.Length..].Clear();
    }

    /// <summary>Loads, stores and copies. Elements that the mask holds back are neither read nor written.</summary>
    private void Move(in Instruction i, int elementBytes)
    {
        int width = Width(i);
        if (i.Op0Kind == OpKind.Register && i.Op1Kind == OpKind.Register)
        {
            Store(i, Source(i, 1, width), elementBytes);
            return;
        }
        ulong address = AddressOf(i);
        if (i.Op0Kind == OpKind.Register)
        {
            var loaded = new byte[width];
            for (int element = 0; element < width / elementBytes; element++)
                if (Passes(i, element)) Memory.Read(address + (ulong)(element * elementBytes), elementBytes).CopyTo(loaded.AsSpan(element * elementBytes));
            Store(i, loaded, elementBytes);
            return;
        }
        ReadOnlySpan<byte> from = Vector(Number(i.Op1Register))[..width];
        if (i.OpMask == Register.None)
        {
            from.CopyTo(Memory.Write(address, width));
            return;
        }
        for (int element = 0; element < width / elementBytes; element++)
            if (Passes(i, element)) from.Slice(element * elementBytes, elementBytes).CopyTo(Memory.Write(address + (ulong)(element * elementBytes), elementBytes));
    }

    /// <summary>One element of memory, a vector or a general register for all elements.</summary>
    private void Repeat(in Instruction i, int elementBytes)
    {
        var one = new byte[8];
        if (i.Op1Kind == OpKind.Memory) Memory.Read(AddressOf(i), elementBytes).CopyTo(one);
        else if (i.Op1Register.IsVectorRegister()) Vector(Number(i.Op1Register))[..elementBytes].CopyTo(one);
        else BinaryPrimitives.WriteUInt64LittleEndian(one, ReadGeneral(i, 1));
        var result = new byte[Width(i)];
        for (int at = 0; at < result.Length; at += elementBytes) one.AsSpan(0, elementBytes).CopyTo(result.AsSpan(at));
        Store(i, result, elementBytes);
    }

    /// <summary>Lane by lane over 32 bits: destination, first and second source (the only one twice where there is one).</summary>
    private bool Lanes32(in Instruction i, Func<int, int, int, int> lane)
    {
        int width = Width(i);
        byte[] a = Source(i, 1, width), b = i.OpCount > 2 ? Source(i, 2, width) : a, result = Vector(Number(i.Op0Register))[..width].ToArray();
        Span<int> to = MemoryMarshal.Cast<byte, int>(result.AsSpan()), x = MemoryMarshal.Cast<byte, int>(a.AsSpan()), y = MemoryMarshal.Cast<byte, int>(b.AsSpan());
        for (int n = 0; n < to.Length; n++) to[n] = lane(to[n], x[n], y[n]);
        Store(i, result, 4);
        return true;
    }

    private bool Words(in Instruction i, Func<short, short, short> word)
    {
        int width = Width(i);
        byte[] a = Source(i, 1, width), b = Source(i, 2, width), result = new byte[width];
        Span<short> to = MemoryMarshal.Cast<byte, short>(result.AsSpan()), x = MemoryMarshal.Cast<byte, short>(a.AsSpan()), y = MemoryMarshal.Cast<byte, short>(b.AsSpan());
        for (int n = 0; n < to.Length; n++) to[n] = word(x[n], y[n]);
        Store(i, result, 2);
        return true;
    }

    private bool Bytes(in Instruction i, Func<byte, byte, byte> one)
    {
        int width = Width(i);
        byte[] a = Source(i, 1, width), b = Source(i, 2, width), result = new byte[width];
        for (int n = 0; n < width; n++) result[n] = one(a[n], b[n]);
        Store(i, result, 1);
        return true;
    }

    /// <summary>In every 128-bit lane: elements of the lower or upper half of both sources by turns.</summary>
    private bool Unpack(in Instruction i, int elementBytes, bool upper)
    {
        int width = Width(i);
        byte[] a = Source(i, 1, width), b = Source(i, 2, width), result = new byte[width];
        for (int lane = 0; lane < width; lane += 16)
        {
            for (int element = 0; element < 8 / elementBytes; element++)
            {
                int from = lane + (upper ? 8 : 0) + element * elementBytes, to = lane + 2 * element * elementBytes;
                a.AsSpan(from, elementBytes).CopyTo(result.AsSpan(to));
                b.AsSpan(from, elementBytes).CopyTo(result.AsSpan(to + elementBytes));
            }
        }
        Store(i, result, elementBytes);
        return true;
    }

    /// <summary>In every 128-bit lane: four saturated doublewords of the first source, then four of the second.</summary>
    private void PackDoublewords(in Instruction i)
    {
        int width = Width(i);
        byte[] a = Source(i, 1, width), b = Source(i, 2, width), result = new byte[width];
        for (int lane = 0; lane < width; lane += 16)
        {
            for (int n = 0; n < 8; n++)
            {
                int value = BinaryPrimitives.ReadInt32LittleEndian((n < 4 ? a : b).AsSpan(lane + n % 4 * 4));
                BinaryPrimitives.WriteInt16LittleEndian(result.AsSpan(lane + 2 * n), (short)Math.Clamp(value, short.MinValue, short.MaxValue));
            }
        }
        Store(i, result, 2);
    }

    /// <summary>In every 128-bit lane: eight words of the first source saturated to unsigned bytes, then eight of the second.</summary>
    private void PackWords(in Instruction i)
    {
        int width = Width(i);
        byte[] a = Source(i, 1, width), b = Source(i, 2, width), result = new byte[width];
        for (int lane = 0; lane < width; lane += 16)
        {
            for (int n = 0; n < 16; n++)
                result[lane + n] = (byte)Math.Clamp(BinaryPrimitives.ReadInt16LittleEndian((n < 8 ? a : b).AsSpan(lane + n % 8 * 2)), byte.MinValue, byte.MaxValue);
        }
        Store(i, result, 1);
    }

    /// <summary>Two 128-bit lanes of the first source, two of the second (512 bits).</summary>
    private void ShuffleLanes(in Instruction i)
    {
        byte[] a = Source(i, 1, 64), b = Source(i, 2, 64), result = new byte[64];
        for (int lane = 0; lane < 4; lane++)
            (lane < 2 ? a : b).AsSpan((i.Immediate8 >> (2 * lane) & 3) * 16, 16).CopyTo(result.AsSpan(lane * 16));
        Store(i, result, 4);
    }
}
