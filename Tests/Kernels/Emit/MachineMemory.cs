namespace Octet.Tests.Kernels.Emit;

/// <summary>What an instruction did that a CPU would fault on, or that a kernel must not do.</summary>
internal sealed class MachineFaultException(string message) : Exception(message);

/// <summary>Memory of the interpreter: named arrays at made-up addresses, with nothing between them, so that one byte too far is a fault.</summary>
internal sealed class MachineMemory
{
    /// <summary>Unmapped bytes between two regions; larger than any wrong displacement.</summary>
    private const ulong Gap = 1 << 20;

    private readonly List<(string Name, ulong Start, byte[] Data, bool Writable)> _regions = [];
    private ulong _next = 0x7000_0000_0000;

    /// <summary>Gives an array an address.</summary>
    /// <param name="name">For messages.</param>
    /// <param name="data">The bytes; writes of the code change them.</param>
    /// <param name="writable">Whether the code may write them.</param>
    /// <param name="misalignment">Bytes by which the address misses a multiple of 64.</param>
    public ulong Map(string name, byte[] data, bool writable = false, int misalignment = 0)
    {
        ulong start = _next + (ulong)misalignment;
        _regions.Add((name, start, data, writable));
        _next = (start + (ulong)data.Length + Gap) / Gap * Gap + Gap;
        return start;
    }

    /// <summary>The bytes at an address, for reading.</summary>
    public ReadOnlySpan<byte> Read(ulong address, int length) => Find(address, length, write: false);

    /// <summary>The bytes at an address, for writing.</summary>
    public Span<byte> Write(ulong address, int length) => Find(address, length, write: true);

    private Span<byte> Find(ulong address, int length, bool write)
    {
        foreach ((string name, ulong start, byte[] data, bool writable) in _regions)
        {
            if (address + Gap / 2 < start || address > start + (ulong)data.Length + Gap / 2) continue;
            long offset = unchecked((long)(address - start));
            if (offset < 0 || offset + length > data.Length)
                throw new MachineFaultException($"{(write ? "writes" : "reads")} {length} bytes at {name}[{offset}], which has {data.Length}");
            if (write && !writable) throw new MachineFaultException($"writes {name}, which is read-only");
            return data.AsSpan((int)offset, length);
        }
        throw new MachineFaultException($"{(write ? "writes" : "reads")} {length} bytes at 0x{address:X}, where nothing is");
    }
}
