using System.Runtime.InteropServices;

namespace Octet.Kernels.Emit;

/// <summary>Machine code in memory that is readable and executable but never writable at the same time.</summary>
/// <remarks>
/// Linux and FreeBSD-like systems: mmap read-write, copy, mprotect read-execute. Windows: VirtualAlloc, VirtualProtect,
/// FlushInstructionCache. Elsewhere (macOS wants MAP_JIT and an entitlement) nothing is allocated and callers use other kernels.
/// Code lives as long as the process: kernels are a fixed, small set.
/// </remarks>
internal static unsafe partial class ExecutableMemory
{
    private const int ProtectReadWrite = 3, ProtectReadExecute = 5, MapPrivateAnonymous = 0x22;
    private const uint CommitReserve = 0x3000, PageReadWrite = 0x04, PageExecuteRead = 0x20, Release = 0x8000;
    private const int BlockBytes = 64 << 10;   // Windows hands out addresses in such steps

    /// <summary>Copies code into executable memory; returns null where the system refuses.</summary>
    /// <param name="code">Position-independent machine code.</param>
    public static void* TryLoad(ReadOnlySpan<byte> code)
    {
        nint size = (code.Length + BlockBytes - 1) / BlockBytes * BlockBytes;
        try
        {
            if (OperatingSystem.IsLinux()) return LoadLinux(code, size);
            if (OperatingSystem.IsWindows()) return LoadWindows(code, size);
        }
        catch (Exception failure) when (failure is DllNotFoundException or EntryPointNotFoundException)
        {
        }
        return null;
    }

    private static void* LoadLinux(ReadOnlySpan<byte> code, nint size)
    {
        nint memory = MemoryMap(0, size, ProtectReadWrite, MapPrivateAnonymous, -1, 0);
        if (memory == -1) return null;
        code.CopyTo(new Span<byte>((void*)memory, code.Length));
        if (MemoryProtect(memory, size, ProtectReadExecute) == 0) return (void*)memory;
        MemoryUnmap(memory, size);
        return null;
    }

    private static void* LoadWindows(ReadOnlySpan<byte> code, nint size)
    {
        nint memory = VirtualAlloc(0, size, CommitReserve, PageReadWrite);
        if (memory == 0) return null;
        code.CopyTo(new Span<byte>((void*)memory, code.Length));
        if (VirtualProtect(memory, size, PageExecuteRead, out _) != 0)
        {
            FlushInstructionCache(GetCurrentProcess(), memory, size);
            return (void*)memory;
        }
        VirtualFree(memory, 0, Release);
        return null;
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial nint MemoryMap(nint address, nint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int MemoryProtect(nint address, nint length, int protection);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int MemoryUnmap(nint address, nint length);

    [LibraryImport("kernel32")]
    private static partial nint VirtualAlloc(nint address, nint size, uint type, uint protection);

    [LibraryImport("kernel32")]
    private static partial int VirtualProtect(nint address, nint size, uint protection, out uint old);

    [LibraryImport("kernel32")]
    private static partial int VirtualFree(nint address, nint size, uint type);

    [LibraryImport("kernel32")]
    private static partial nint GetCurrentProcess();

    [LibraryImport("kernel32")]
    private static partial int FlushInstructionCache(nint process, nint address, nint size);
}
