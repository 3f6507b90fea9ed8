using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Octet.Kernels.Requantize;

/// <summary>A choice that the JIT knows, so that the other branch leaves no instruction behind.</summary>
internal interface ISwitch
{
    static abstract bool On { get; }
}

internal readonly struct Yes : ISwitch { public static bool On => true; }

internal readonly struct No : ISwitch { public static bool On => false; }

/// <summary>Steps that the vector epilogues share.</summary>
internal static unsafe class QEpilogueTable
{
    /// <summary>Replaces the bytes of the block, just stored and still in L1, by their table entries.</summary>
    /// <param name="table"><see cref="QEpilogue.TablePointer"/>.</param>
    /// <param name="block">The block.</param>
    [MethodImpl(HotLoop.Optimized)]
    public static void Apply(byte* table, QEpilogueBlock* block)
    {
        if (Avx2.IsSupported)
        {
            ByteLookup.Rows256(table, table + ByteLookup.Length, block->Y, block->YStride, block->Rows, block->Columns);
            return;
        }
        for (nint r = 0; r < block->Rows; r++)
        {
            byte* y = block->Y + r * block->YStride;
            nint done = Ssse3.IsSupported ? ByteLookup.Wide128(table + ByteLookup.Length, y, y, block->Columns) : 0;
            ByteLookup.Scalar(table, y + done, y + done, block->Columns - done);
        }
    }

    /// <summary>16 bytes, or the <paramref name="room"/> that exist with zeros behind them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<byte> Load(byte* from, nint room) => room >= 16 ? Vector128.Load(from) : LoadPart(from, room);

    private static Vector128<byte> LoadPart(byte* from, nint room)
    {
        Vector128<byte> result = default;
        for (nint i = 0; i < room; i++) ((byte*)&result)[i] = from[i];
        return result;
    }

    /// <summary>Stores the first <paramref name="room"/> bytes.</summary>
    public static void StorePart(Vector128<byte> bytes, byte* to, nint room)
    {
        for (nint i = 0; i < room; i++) to[i] = ((byte*)&bytes)[i];
    }
}
