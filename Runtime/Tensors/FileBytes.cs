using Microsoft.Win32.SafeHandles;
using Octet.Kernels.Memory;

namespace Octet.Runtime.Tensors;

/// <summary>An ordinary file that bytes are read from later. It is closed when the last tensor that needs it is gone.</summary>
/// <param name="handle">The open file.</param>
/// <param name="name">How messages call it.</param>
internal sealed class DataFile(SafeFileHandle handle, string name)
{
    private readonly DateTime _written = File.GetLastWriteTimeUtc(handle);

    /// <summary>Length when it was opened.</summary>
    public long Length { get; } = RandomAccess.GetLength(handle);

    /// <summary>Reads exactly <paramref name="to"/> from <paramref name="offset"/> on.</summary>
    /// <exception cref="ModelException">The file is not what it was, or cannot be read.</exception>
    public void Read(Span<byte> to, long offset)
    {
        try
        {
            for (int done = 0; done < to.Length;)
            {
                int read = RandomAccess.Read(handle, to[done..], offset + done);
                if (read == 0) throw Changed();
                done += read;
            }
            if (RandomAccess.GetLength(handle) != Length || File.GetLastWriteTimeUtc(handle) != _written) throw Changed();
        }
        catch (IOException e)
        {
            throw new ModelException($"{name} cannot be read: {e.Message}; rule: a model's file stays readable until its weights were used", e);
        }
    }

    private ModelException Changed() => new($"{name} has changed since it was loaded; rule: a model's file is replaced by another file, not written over, while the model is in use");
}

/// <summary>The bytes of a tensor that lie in a file until somebody wants to have them.</summary>
/// <param name="file">The file.</param>
/// <param name="offset">Where they start.</param>
/// <param name="length">How many they are.</param>
internal sealed class FileBytes(DataFile file, long offset, int length)
{
    private readonly Lock _gate = new();

    private byte[]? _bytes;

    /// <summary>How many they are.</summary>
    public int Length => length;

    /// <summary>The bytes, in memory from now on.</summary>
    /// <exception cref="ModelException">The file is not what it was, or cannot be read.</exception>
    public byte[] Load()
    {
        if (Volatile.Read(ref _bytes) is { } known) return known;
        lock (_gate)
        {
            if (_bytes is { } made) return made;
            var bytes = GC.AllocateUninitializedArray<byte>(length);
            file.Read(bytes, offset);
            Volatile.Write(ref _bytes, bytes);
            return bytes;
        }
    }

    /// <summary>The bytes for a moment, in memory only as long as the reading is open.</summary>
    /// <exception cref="ModelException">The file is not what it was, or cannot be read.</exception>
    public BorrowedBytes Borrow()
    {
        if (Volatile.Read(ref _bytes) is { } known) return new(known, default);
        var room = new NativeScratch(length);
        try
        {
            file.Read(room.Span(length), offset);
            return new(room.Span(length), room);
        }
        catch
        {
            room.Dispose();
            throw;
        }
    }
}

/// <summary>Bytes for a moment; to be disposed of.</summary>
internal readonly ref struct BorrowedBytes(Span<byte> bytes, NativeScratch room)
{
    /// <summary>The bytes.</summary>
    public Span<byte> Span { get; } = bytes;

    private readonly NativeScratch _room = room;

    /// <summary>Frees the room.</summary>
    public void Dispose() => _room.Dispose();
}
