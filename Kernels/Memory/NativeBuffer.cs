using System.Runtime.InteropServices;

namespace Octet.Kernels.Memory;

/// <summary>Zeroed bytes outside of the collected heap, 64-byte aligned, freed when the buffer is collected or disposed of: packed weights live here.</summary>
/// <remarks>
/// As with <see cref="AlignedBuffer"/>, whoever uses the address keeps the buffer referenced, and <see cref="AlignedBuffer.Slack"/> readable bytes follow the last one. On the collected heap every few
/// megabytes of weights would make it collect everything while a model loads. The collector does not know of these bytes, so that it is told here when many may have become free.
/// </remarks>
internal sealed unsafe class NativeBuffer : IDisposable
{
    private const long FirstLimit = 256L << 20;

    private static long _total, _limit = FirstLimit;

    private byte* _room;

    /// <summary>Allocates <paramref name="length"/> zeroed bytes.</summary>
    /// <exception cref="OutOfMemoryException">There is not as much.</exception>
    public NativeBuffer(long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        Length = length;
        long total = Interlocked.Add(ref _total, length), limit = Volatile.Read(ref _limit);
        if (total > limit && Interlocked.CompareExchange(ref _limit, 2 * total, limit) == limit) GC.Collect(GC.MaxGeneration, GCCollectionMode.Optimized, blocking: false);
        _room = (byte*)NativeMemory.AllocZeroed((nuint)length + AlignedBuffer.Slack + AlignedBuffer.Alignment);
        Pointer = (byte*)(((nuint)_room + AlignedBuffer.Alignment - 1) & ~(nuint)(AlignedBuffer.Alignment - 1));
    }

    /// <summary>Frees the bytes.</summary>
    ~NativeBuffer() => Free();

    /// <summary>Frees the bytes now, for an owner that has handed their address to nobody.</summary>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        NativeMemory.Free(_room);
        _room = null;
        Interlocked.Add(ref _total, -Length);
        Volatile.Write(ref _limit, Math.Max(FirstLimit, 2 * Volatile.Read(ref _total)));
    }

    /// <summary>Bytes that may be used.</summary>
    public long Length { get; }

    /// <summary>Address of the first byte; valid while the buffer is referenced.</summary>
    public byte* Pointer { get; }
}
