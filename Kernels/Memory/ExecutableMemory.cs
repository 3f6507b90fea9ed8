using System.Runtime.InteropServices;

namespace Octet.Kernels.Memory;

/// <summary>Machine code in memory that is readable and executable but never writable at the same time; its owner frees it.</summary>
/// <remarks>
/// Linux: mmap read-write, copy, mprotect read-execute. Windows: VirtualAlloc, VirtualProtect, FlushInstructionCache. Elsewhere
/// nothing is allocated and callers use other kernels: macOS wants MAP_JIT, a write switch per thread and, in hardened programs, an
/// entitlement that a library cannot give its host.
/// </remarks>
internal sealed unsafe partial class ExecutableMemory : IDisposable
{
    private const int ProtectReadWrite = 3, ProtectReadExecute = 5, MapPrivateAnonymous = 0x22;
    private const uint CommitReserve = 0x3000, PageReadWrite = 0x04, PageExecuteRead = 0x20, Release = 0x8000;

    private readonly nint _size;
    private nint _address;

    private ExecutableMemory(nint address, nint size) => (_address, _size) = (address, size);

    ~ExecutableMemory() => Free();

    /// <summary>Address of the first byte.</summary>
    /// <exception cref="ObjectDisposedException">The memory is freed.</exception>
    public nint Address
    {
        get
        {
            ObjectDisposedException.ThrowIf(_address == 0, this);
            return _address;
        }
    }

    /// <summary>Copies code into executable memory; returns null where the system refuses.</summary>
    /// <param name="code">Position-independent machine code, at least one byte.</param>
    public static ExecutableMemory? TryLoad(ReadOnlySpan<byte> code)
    {
        ArgumentOutOfRangeException.ThrowIfZero(code.Length);
        nint page = Environment.SystemPageSize, size = (code.Length + page - 1) / page * page;
        try
        {
            nint address = OperatingSystem.IsLinux() ? LoadLinux(code, size) : OperatingSystem.IsWindows() ? LoadWindows(code, size) : 0;
            return address == 0 ? null : new ExecutableMemory(address, size);
        }
        catch (Exception failure) when (failure is DllNotFoundException or EntryPointNotFoundException)
        {
            return null;
        }
    }

    /// <summary>Gives the memory back; the code must not be called any more.</summary>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        nint address = Interlocked.Exchange(ref _address, 0);
        if (address == 0) return;
        if (OperatingSystem.IsWindows()) VirtualFree(address, 0, Release);
        else MemoryUnmap(address, _size);
    }

    private static nint LoadLinux(ReadOnlySpan<byte> code, nint size)
    {
        nint memory = MemoryMap(0, size, ProtectReadWrite, MapPrivateAnonymous, -1, 0);
        if (memory == -1) return 0;
        code.CopyTo(new Span<byte>((void*)memory, code.Length));
        if (MemoryProtect(memory, size, ProtectReadExecute) == 0) return memory;
        MemoryUnmap(memory, size);
        return 0;
    }

    private static nint LoadWindows(ReadOnlySpan<byte> code, nint size)
    {
        nint memory = VirtualAlloc(0, size, CommitReserve, PageReadWrite);
        if (memory == 0) return 0;
        code.CopyTo(new Span<byte>((void*)memory, code.Length));
        if (VirtualProtect(memory, size, PageExecuteRead, out _) != 0)
        {
            FlushInstructionCache(GetCurrentProcess(), memory, size);
            return memory;
        }
        VirtualFree(memory, 0, Release);
        return 0;
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
