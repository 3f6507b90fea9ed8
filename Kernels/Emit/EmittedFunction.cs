using System.Globalization;

namespace Octet.Kernels.Emit;

/// <summary>One instruction as its emitter meant it: what the bytes are compared with.</summary>
/// <param name="Offset">First byte in the function.</param>
/// <param name="Mnemonic">In lower case, as in the instruction manual.</param>
/// <param name="First">The destination, or null.</param>
/// <param name="Second">The next operand, or null.</param>
/// <param name="Third">The next operand, or null.</param>
/// <param name="Mask">Guards the destination, or null.</param>
internal readonly record struct EmittedInstruction(int Offset, string Mnemonic, object? First, object? Second, object? Third, Opmask? Mask)
{
    /// <summary><c>mnemonic destination{mask}, source, source</c>; numbers are decimal, a jump's target is an offset in the function.</summary>
    public override string ToString()
    {
        string text = Mnemonic;
        if (First is not null) text += $" {Text(First)}";
        if (Mask is { } mask) text += $"{{{mask}}}";
        if (Second is not null) text += $", {Text(Second)}";
        if (Third is not null) text += $", {Text(Third)}";
        return text;
    }

    private static string Text(object operand) => operand switch
    {
        CodeLabel label => label.Offset.ToString(CultureInfo.InvariantCulture),
        IFormattable number and int => number.ToString(null, CultureInfo.InvariantCulture),
        _ => operand.ToString()!,
    };
}

/// <summary>The machine code of one function and what it was meant to be.</summary>
/// <param name="Name">What it computes, unique within its kernel.</param>
/// <param name="Bytes">Position-independent code.</param>
/// <param name="Instructions">In order of their offsets.</param>
internal sealed record EmittedFunction(string Name, byte[] Bytes, IReadOnlyList<EmittedInstruction> Instructions);
