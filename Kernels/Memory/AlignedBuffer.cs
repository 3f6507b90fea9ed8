using System.Runtime.InteropServices;

namespace Octet.Kernels.Memory;

/// <summary>Zeroed bytes, 64-byte aligned, that never move: arenas, packed weights and scratch space live here.</summary>
/// <remarks>
/// At least <see cref="Slack"/> readable bytes follow the last byte, so that a kernel may load one whole vector at the last
/// element. The bytes are a pinned array of the garbage collector, which frees them when the last span is gone.
/// </remarks>
public sealed unsafe class AlignedBuffer
{
    /// <summary>Alignment of the first byte: one cache line, one zmm register.</summary>
    public const int Alignment = 64;

    /// <summary>Readable bytes after the end.</summary>
    public const int Slack = 64;

    private readonly byte[] _array;
    private readonly int _start;
    private readonly int _length;

    /// <summary>Allocates <paramref name="length"/> zeroed bytes.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="length"/> is negative or above what one array holds (2 GiB).</exception>
    public AlignedBuffer(long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Array.MaxLength - Slack - Alignment);
        _length = (int)length;
        _array = GC.AllocateArray<byte>(_length + Slack + Alignment, pinned: true);
        nint address = (nint)Marshal.UnsafeAddrOfPinnedArrayElement(_array, 0);
        _start = (int)((-address) & (Alignment - 1));
    }

    /// <summary>Bytes that may be used.</summary>
    public int Length => _length;

    /// <summary>The bytes.</summary>
    public Memory<byte> Memory => _array.AsMemory(_start, _length);

    /// <summary>Address of the first byte; valid while the buffer is referenced.</summary>
    internal byte* Pointer => (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(_array, _start);

    /// <summary>The elements of type <typeparamref name="T"/> from byte <paramref name="offset"/> on.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The range is not inside the buffer.</exception>
    public Span<T> Span<T>(int offset, int count) where T : unmanaged
    {
        if (offset < 0 || count < 0 || offset + (long)count * sizeof(T) > _length)
            throw new ArgumentOutOfRangeException(nameof(offset), $"{count} elements at byte {offset} do not fit {_length} bytes");
        return MemoryMarshal.Cast<byte, T>(_array.AsSpan(_start + offset, count * sizeof(T)));
    }
}
