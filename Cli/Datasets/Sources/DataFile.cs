using System.IO.Compression;
using Octet.Runtime;

namespace Octet.Cli.Datasets.Sources;

/// <summary>Files of records, plain or gzip-compressed (<c>.gz</c>), read front to back.</summary>
internal static class DataFile
{
    /// <summary>Opens a file.</summary>
    /// <exception cref="DataException">It is missing or cannot be read.</exception>
    public static Stream Open(string path)
    {
        try
        {
            var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1 << 16, FileOptions.SequentialScan);
            return path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? new BufferedStream(new GZipStream(file, CompressionMode.Decompress), 1 << 16) : file;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"data file '{path}' cannot be read: {e.Message}; rule: the path names a readable file", e);
        }
    }

    /// <summary>Fills <paramref name="buffer"/>, or as much of it as the file still has.</summary>
    /// <returns>Bytes read.</returns>
    /// <exception cref="DataException">The compressed data are broken.</exception>
    public static int Fill(Stream stream, Span<byte> buffer, string path)
    {
        try
        {
            return stream.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);
        }
        catch (Exception e) when (e is IOException or InvalidDataException)
        {
            throw new DataException($"data file '{path}' is broken: {e.Message}; rule: a .gz file is whole", e);
        }
    }

    /// <summary>Skips <paramref name="bytes"/> bytes.</summary>
    /// <returns>Bytes skipped; fewer at the end of the file.</returns>
    /// <exception cref="DataException">The compressed data are broken.</exception>
    public static long Skip(Stream stream, long bytes, string path)
    {
        var buffer = new byte[1 << 16];
        long left = bytes;
        while (left > 0)
        {
            int read = Fill(stream, buffer.AsSpan(0, (int)Math.Min(left, buffer.Length)), path);
            if (read == 0) break;
            left -= read;
        }
        return bytes - left;
    }

    /// <summary>Length of the content, decompressed.</summary>
    /// <exception cref="DataException">The file is missing or broken.</exception>
    public static long Length(string path)
    {
        using Stream stream = Open(path);
        return stream is FileStream plain ? plain.Length : Skip(stream, long.MaxValue, path);
    }
}
