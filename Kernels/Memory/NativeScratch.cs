using System.Runtime.InteropServices;

namespace Octet.Kernels.Memory;

/// <summary>Bytes for the length of a scope, 64-byte aligned and outside of the collected heap: megabytes that come and go there make it collect everything.</summary>
internal readonly unsafe ref struct NativeScratch : IDisposable
{
    /// <summary>Allocates <paramref name="length"/> bytes of any content.</summary>
    public NativeScratch(long length) => Pointer = (byte*)NativeMemory.AlignedAlloc(checked((nuint)length) + AlignedBuffer.Slack, AlignedBuffer.Alignment);

    /// <summary>Address of the first byte; null for the default value.</summary>
    public byte* Pointer { get; }

    /// <summary>The first <paramref name="length"/> bytes.</summary>
    public Span<byte> Span(int length) => new(Pointer, length);

    /// <inheritdoc/>
    public void Dispose() => NativeMemory.AlignedFree(Pointer);
}
