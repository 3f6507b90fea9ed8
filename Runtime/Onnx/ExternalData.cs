using System.Globalization;
using Google.Protobuf.Collections;
using Octet.Runtime.Onnx.Proto;

namespace Octet.Runtime.Onnx;

/// <summary>Tensor data in files beside the model, confined to the model's own folder.</summary>
/// <remarks>
/// A location is a relative path without <c>..</c>; after following every symbolic link it must still lie inside the folder. Offset and length are
/// checked against the file's length before memory is taken, and one file's distinct ranges may not add up to more than the file.
/// </remarks>
internal sealed class ExternalData(string folder) : IDisposable
{
    private string? _canonicalFolder;
    private readonly Dictionary<string, DataFile> _files = new(StringComparer.Ordinal);

    /// <summary>Reads <paramref name="bytes"/> bytes from where <paramref name="entries"/> point.</summary>
    /// <exception cref="ModelException">The place is outside the folder or the file, or cannot be read.</exception>
    public Memory<byte> Read(RepeatedField<StringStringEntryProto> entries, long bytes, string what)
    {
        string? location = null;
        long offset = 0;
        long? length = null;
        foreach (StringStringEntryProto entry in entries)
        {
            switch (entry.Key)
            {
                case "location": location = entry.Value; break;
                case "offset": offset = Number(entry); break;
                case "length": length = Number(entry); break;
            }
        }
        if (string.IsNullOrEmpty(location)) throw new ModelException($"{what} has external data without a location; rule: 'location' names a file in the model's folder");
        if (length is { } given && given != bytes)
            throw new ModelException($"{what} needs {bytes} bytes and its external data has length {given}; rule: the data are exactly the elements of the shape");

        DataFile file = Open(location, what);
        if (offset > file.Length - bytes)
            throw new ModelException($"{what} needs {bytes} bytes at {offset} of '{location}', which has {file.Length} bytes; rule: external data lie inside their file");
        if (bytes == 0) return Memory<byte>.Empty;
        if (file.Ranges.TryGetValue((offset, bytes), out byte[]? known)) return known;
        file.Taken += bytes;
        if (file.Taken > file.Length)
            throw new ModelException($"{what} overlaps other tensors in '{location}'; rule: different tensors use different bytes");
        try
        {
            var data = new byte[bytes];
            for (int done = 0; done < data.Length;)
            {
                int read = RandomAccess.Read(file.Handle, data.AsSpan(done), offset + done);
                if (read == 0) throw new EndOfStreamException("the file ended early");
                done += read;
            }
            file.Ranges.Add((offset, bytes), data);
            return data;
        }
        catch (IOException e)
        {
            throw new ModelException($"{what}: '{location}' cannot be read: {e.Message}", e);
        }

        long Number(StringStringEntryProto entry) =>
            long.TryParse(entry.Value, NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number
            : throw new ModelException($"{what} has external data with {entry.Key} '{entry.Value}'; rule: {entry.Key} is a number of bytes, 0 to {long.MaxValue}");
    }

    /// <summary>Closes the files.</summary>
    public void Dispose()
    {
        foreach (DataFile file in _files.Values) file.Handle.Dispose();
    }

    private DataFile Open(string location, string what)
    {
        if (_files.TryGetValue(location, out DataFile? open)) return open;
        string[] parts = location.Split('/', '\\');
        bool rooted = Path.IsPathRooted(location) || parts[0].Length == 0 || parts[0].Contains(':');
        if (rooted || parts.Contains("..") || location.Contains('\0'))
            throw new ModelException($"{what} has external data at '{location}'; rule: the location is a relative path inside the model's folder, without '..'");
        try
        {
            _canonicalFolder ??= Canonical(Path.GetFullPath(folder));
            string path = Canonical(Path.Combine(_canonicalFolder, location));
            string inside = _canonicalFolder.EndsWith(Path.DirectorySeparatorChar) ? _canonicalFolder : _canonicalFolder + Path.DirectorySeparatorChar;
            if (!path.StartsWith(inside, StringComparison.Ordinal))
                throw new ModelException($"{what} has external data at '{location}', which leads out of the model's folder; rule: external data lie inside it");
            if (!File.Exists(path)) throw new ModelException($"{what} has its data in '{location}', which does not exist; rule: external data lie beside the model");
            // Devices and pipes have no length; opening one could wait for ever.
            long length = new FileInfo(path).Length;
            if (length == 0) throw new ModelException($"{what} has its data in '{location}', which is empty or no ordinary file; rule: external data lie in an ordinary file");
            var file = new DataFile(File.OpenHandle(path), length);
            _files.Add(location, file);
            return file;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelException($"{what}: '{location}' cannot be opened: {e.Message}", e);
        }
    }

    /// <summary>The path with every symbolic link in it followed.</summary>
    /// <exception cref="IOException">Links lead in a circle.</exception>
    internal static string Canonical(string path)
    {
        const int mostLinks = 40;
        int links = 0;
        string root = Path.GetPathRoot(path) ?? "";
        var pending = new Stack<string>(Parts(path[root.Length..]).Reverse());
        string done = root;
        while (pending.Count > 0)
        {
            string part = pending.Pop();
            if (part == ".") continue;
            if (part == "..")
            {
                done = Path.GetDirectoryName(done) ?? root;
                continue;
            }
            string next = Path.Combine(done, part);
            if (new FileInfo(next).LinkTarget is not { } target)
            {
                done = next;
                continue;
            }
            if (++links > mostLinks) throw new IOException($"more than {mostLinks} symbolic links in '{path}'");
            if (Path.IsPathRooted(target))
            {
                done = Path.GetPathRoot(target)!;
                target = target[done.Length..];
            }
            foreach (string step in Parts(target).Reverse()) pending.Push(step);
        }
        return done;

        static string[] Parts(string text) =>
            text.Split([Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar], StringSplitOptions.RemoveEmptyEntries);
    }

    private sealed class DataFile(Microsoft.Win32.SafeHandles.SafeFileHandle handle, long length)
    {
        public Microsoft.Win32.SafeHandles.SafeFileHandle Handle { get; } = handle;

        public long Length { get; } = length;

        public long Taken { get; set; }

        public Dictionary<(long Offset, long Bytes), byte[]> Ranges { get; } = [];
    }
}
