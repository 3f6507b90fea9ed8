namespace Octet.Kernels.Emit;

/// <summary>A general register.</summary>
/// <param name="Number">Its number in the encoding, 0 … 15.</param>
/// <param name="Bits">32 or 64: how much of it an instruction uses.</param>
internal readonly record struct Gpr(int Number, int Bits = 64)
{
    public static readonly Gpr Rax = new(0), Rcx = new(1), Rdx = new(2), Rbx = new(3), Rsp = new(4), Rbp = new(5), Rsi = new(6), Rdi = new(7);
    public static readonly Gpr R8 = new(8), R9 = new(9), R10 = new(10), R11 = new(11), R12 = new(12), R13 = new(13), R14 = new(14), R15 = new(15);

    private static readonly string[] Names64 = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"];
    private static readonly string[] Names32 = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"];

    /// <summary>The lower half; writing it clears the upper half.</summary>
    public Gpr Low => new(Number, 32);

    public static Address operator +(Gpr start, int displacement) => new(start, null, displacement);

    public static Address operator +(Gpr start, Gpr index) => new(start, index, 0);

    /// <inheritdoc/>
    public override string ToString() => Number < 8 ? (Bits == 64 ? Names64 : Names32)[Number] : Bits == 64 ? $"r{Number}" : $"r{Number}d";
}

/// <summary>A vector register, and how many of its bits an instruction uses.</summary>
/// <param name="Number">0 … 31; registers from 16 on exist with AVX-512 only.</param>
/// <param name="Bits">128 and 256: the VEX form of an instruction; 512: its EVEX form.</param>
internal readonly record struct Vec(int Number, int Bits = 512)
{
    /// <inheritdoc/>
    public override string ToString() => (Bits switch { 128 => "xmm", 256 => "ymm", _ => "zmm" }) + Number;
}

/// <summary>A mask register; bit i guards byte or lane i.</summary>
/// <param name="Number">1 … 7; 0 means "no mask" in the encoding.</param>
internal readonly record struct Opmask(int Number)
{
    /// <inheritdoc/>
    public override string ToString() => $"k{Number}";
}

/// <summary>Memory at <c>base + index + displacement</c>.</summary>
internal readonly record struct Address(Gpr Base, Gpr? Index, int Displacement)
{
    public static Address operator +(Address address, int displacement) => address with { Displacement = address.Displacement + displacement };

    /// <inheritdoc/>
    public override string ToString()
    {
        string index = Index is { } register ? $"+{register}" : "";
        string displacement = Displacement == 0 ? "" : Displacement < 0 ? $"-{-Displacement}" : $"+{Displacement}";
        return $"[{Base}{index}{displacement}]";
    }
}

/// <summary>A place in the code that jumps name; placed once, before or after its jumps.</summary>
internal sealed class CodeLabel
{
    /// <summary>Offset in the function, or −1 until it is placed.</summary>
    public int Offset { get; set; } = -1;
}
