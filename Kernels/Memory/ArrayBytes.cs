using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Octet.Kernels.Memory;

/// <summary>The bytes of an array of numbers, as memory that shares them.</summary>
internal sealed unsafe class ArrayBytes : MemoryManager<byte>
{
    private readonly Array _array;
    private readonly int _length;

    private ArrayBytes(Array array, int length) => (_array, _length) = (array, length);

    /// <summary>The bytes of <paramref name="array"/>.</summary>
    public static Memory<byte> Of<T>(T[] array) where T : unmanaged => array is byte[] bytes ? bytes : new ArrayBytes(array, checked(array.Length * sizeof(T))).Memory;

    /// <inheritdoc/>
    public override Span<byte> GetSpan() => MemoryMarshal.CreateSpan(ref MemoryMarshal.GetArrayDataReference(_array), _length);

    /// <inheritdoc/>
    public override MemoryHandle Pin(int elementIndex = 0)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)elementIndex, (uint)_length, nameof(elementIndex));
        var handle = GCHandle.Alloc(_array, GCHandleType.Pinned);
        return new MemoryHandle((byte*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_array)) + elementIndex, handle);
    }

    /// <inheritdoc/>
    public override void Unpin()
    {
        // The handle that Pin returned owns the pin.
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
    }
}
