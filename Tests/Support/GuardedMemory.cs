using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Octet.Tests.Support;

/// <summary>Bytes between two pages that must not be touched: reading or writing one byte too far ends the process.</summary>
internal sealed class GuardedMemory : IDisposable
{
    private const int NoAccess = 0, ReadWrite = 3, PrivateAnonymous = 0x22;                          // mmap, mprotect (Linux)
    private const uint Commit = 0x3000, PageNoAccess = 1, PageReadWrite = 4, Release = 0x8000;       // VirtualAlloc

    private readonly nint _memory;
    private readonly nint _total;
    private readonly nint _start;
    private readonly int _length;

    /// <summary>Reserves <paramref name="length"/> bytes; the running test is ignored on a system without the calls.</summary>
    /// <param name="length">Bytes.</param>
    /// <param name="atEnd">The last byte touches the guard page behind it; otherwise the first byte touches the one before it.</param>
    public GuardedMemory(int length, bool atEnd = true)
    {
        nint page = Environment.SystemPageSize, inner = (length + page - 1) / page * page;
        _length = length;
        _total = inner + 2 * page;
        if (OperatingSystem.IsLinux())
        {
            _memory = mmap(0, _total, NoAccess, PrivateAnonymous, -1, 0);
            Assert.That(_memory, Is.Not.EqualTo((nint)(-1)), "mmap");
            if (inner > 0) Assert.That(mprotect(_memory + page, inner, ReadWrite), Is.Zero, "mprotect");
        }
        else if (OperatingSystem.IsWindows())
        {
            _memory = VirtualAlloc(0, _total, Commit, PageNoAccess);
            Assert.That(_memory, Is.Not.Zero, "VirtualAlloc");
            if (inner > 0) Assert.That(VirtualProtect(_memory + page, inner, PageReadWrite, out _), Is.True, "VirtualProtect");
        }
        else
        {
            Assert.Ignore("guard pages need Linux or Windows");
        }
        _start = _memory + page + (atEnd ? inner - length : 0);
    }

    /// <summary>The bytes.</summary>
    public Span<byte> Span => MemoryMarshal.CreateSpan(ref Unsafe.AddByteOffset(ref Unsafe.NullRef<byte>(), _start), _length);

    /// <summary>A guarded copy of <paramref name="data"/>.</summary>
    public static GuardedMemory Of(ReadOnlySpan<byte> data, bool atEnd = true)
    {
        var memory = new GuardedMemory(data.Length, atEnd);
        data.CopyTo(memory.Span);
        return memory;
    }

    public void Dispose()
    {
        if (OperatingSystem.IsLinux()) munmap(_memory, _total);
        else if (OperatingSystem.IsWindows()) VirtualFree(_memory, 0, Release);
    }

    [DllImport("libc", SetLastError = true)]
    private static extern nint mmap(nint address, nint length, int protection, int flags, int file, nint offset);

    [DllImport("libc", SetLastError = true)]
    private static extern int mprotect(nint address, nint length, int protection);

    [DllImport("libc", SetLastError = true)]
    private static extern int munmap(nint address, nint length);

    [DllImport("kernel32", SetLastError = true)]
    private static extern nint VirtualAlloc(nint address, nint size, uint type, uint protection);

    [DllImport("kernel32", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static extern bool VirtualProtect(nint address, nint size, uint protection, out uint old);

    [DllImport("kernel32", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static extern bool VirtualFree(nint address, nint size, uint type);
}
