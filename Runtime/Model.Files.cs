using System.Runtime.InteropServices;
using Octet.Runtime.MxNet;
using Octet.Runtime.Onnx;

namespace Octet.Runtime;

public sealed partial class Model
{
    /// <summary>Largest file that the format can hold: 2 GiB − 1 byte, protobuf's limit, further bounded by the largest array.</summary>
    internal static long MaxFileBytes => Array.MaxLength;

    /// <summary>
    /// Loads an ONNX file, or, where the name ends in <c>-symbol.json</c>, an MXNet symbol with the parameters beside it (<c>x-NNNN.params</c>, the highest number).
    /// Tensor data in other files are read from the model's own folder and from nowhere else.
    /// </summary>
    /// <remarks>
    /// Large weights are read when they are first asked for, so that a session which only packs them never holds them twice. Until then the model keeps its file open: the file may be
    /// deleted or replaced by another one, as <see cref="Save(string)"/> does, but not written over.
    /// </remarks>
    /// <exception cref="ModelException">The file is missing, cannot be read, or is no legal model.</exception>
    public static Model Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string source = $"model '{path}'";
        try
        {
            string folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? Path.GetFullPath(path);
            if (path.EndsWith(MxNetImporter.Suffix, StringComparison.Ordinal)) return MxNetImporter.Import(path, ReadAll(path, source));
            // What has no length (a pipe) is read whole first.
            if (new FileInfo(path) is not { Exists: true, Length: var length and > 0 }) return OnnxImporter.Import(ReadAll(path, source), source, folder);
            if (length > MaxFileBytes) throw TooLarge(source, length);
            return OnnxImporter.Import(File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete), source, folder);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new ModelException($"{source} cannot be read: {e.Message}; rule: the path names a readable file", e);
        }
    }

    /// <summary>Loads an ONNX file from a stream, read to its end.</summary>
    /// <exception cref="ModelException">The content is no legal model, or it refers to data in other files, which a stream does not have.</exception>
    /// <exception cref="IOException">The stream fails.</exception>
    public static Model Load(Stream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        const string source = "model from a stream";
        return OnnxImporter.Import(ReadAll(stream, source), source, null);
    }

    /// <summary>Loads an ONNX file from memory; nothing of the memory is kept.</summary>
    /// <exception cref="ModelException">The content is no legal model, or it refers to data in other files, which memory does not have.</exception>
    public static Model Load(ReadOnlyMemory<byte> file)
    {
        bool whole = MemoryMarshal.TryGetArray(file, out ArraySegment<byte> segment) && segment.Offset == 0 && segment.Count == segment.Array!.Length;
        return OnnxImporter.Import(whole ? segment.Array! : file.ToArray(), "model from memory", null);
    }

    /// <summary>Saves as an ONNX file, under a temporary name that is moved into place when it is complete.</summary>
    /// <exception cref="ModelException">The graph cannot be written: it is too large for the format, or holds operators of Octet's own domain.</exception>
    /// <exception cref="IOException">The file cannot be written; what was there stays.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be written; what was there stays.</exception>
    public void Save(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        Onnx.Proto.ModelProto proto = OnnxExporter.Export(this);
        AtomicFile.Write(path, stream => OnnxExporter.Write(proto, stream));
    }

    /// <summary>Writes an ONNX file to a stream.</summary>
    /// <exception cref="ModelException">As <see cref="Save(string)"/>.</exception>
    /// <exception cref="IOException">The stream fails.</exception>
    public void Save(Stream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        OnnxExporter.Write(OnnxExporter.Export(this), stream);
    }

    private static byte[] ReadAll(string path, string source)
    {
        using FileStream stream = File.OpenRead(path);
        return ReadAll(stream, source);
    }

    private static byte[] ReadAll(Stream stream, string source)
    {
        if (stream.CanSeek && stream.Length - stream.Position is var rest and > 0)
        {
            if (rest > MaxFileBytes) throw TooLarge(source, rest);
            var file = new byte[rest];
            stream.ReadExactly(file);
            return file;
        }
        using var copy = new MemoryStream();
        var buffer = new byte[1 << 16];
        for (int read; (read = stream.Read(buffer)) > 0; copy.Write(buffer, 0, read))
        {
            if (copy.Length + read > MaxFileBytes) throw TooLarge(source, copy.Length + read);
        }
        return copy.ToArray();
    }

    private static ModelException TooLarge(string source, long bytes) =>
        new($"{source} has {bytes} bytes or more; rule: an ONNX file has at most {MaxFileBytes}, larger weights lie in files beside it");
}
