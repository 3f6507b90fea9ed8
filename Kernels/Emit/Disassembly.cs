using Iced.Intel;

namespace Octet.Kernels.Emit;

/// <summary>One instruction read back from the bytes of a function.</summary>
/// <param name="Offset">First byte in the function.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Text">In the syntax of NASM; targets of jumps are offsets in the function.</param>
internal readonly record struct DisassembledLine(int Offset, int Length, string Text);

/// <summary>Machine code as text.</summary>
internal static class Disassembly
{
    /// <summary>Every instruction of <paramref name="code"/>.</summary>
    public static IReadOnlyList<DisassembledLine> Of(byte[] code)
    {
        var decoder = Decoder.Create(64, code);
        var formatter = new NasmFormatter();
        formatter.Options.SpaceAfterOperandSeparator = true;
        formatter.Options.MemorySizeOptions = MemorySizeOptions.Never;
        formatter.Options.ShowBranchSize = false;
        formatter.Options.BranchLeadingZeros = false;
        formatter.Options.SignedImmediateOperands = true;
        var text = new StringOutput();
        var lines = new List<DisassembledLine>();
        while (decoder.IP < (ulong)code.Length)
        {
            decoder.Decode(out Instruction instruction);
            formatter.Format(instruction, text);
            lines.Add(new DisassembledLine((int)instruction.IP, instruction.Length, text.ToStringAndReset()));
        }
        return lines;
    }
}
