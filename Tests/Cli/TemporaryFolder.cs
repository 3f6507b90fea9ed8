using System.Buffers.Binary;
using System.IO.Compression;
using Octet.Cli.Demo;

namespace Octet.Tests.Cli;

/// <summary>A folder that is gone when the test is over, with ways to fill it.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("octet-test-").FullName;

    public string this[string name] => System.IO.Path.Combine(Path, name);

    /// <summary>Names of everything in it, hidden files included.</summary>
    public string[] Names => [.. Directory.GetFileSystemEntries(Path).Select(entry => System.IO.Path.GetFileName(entry)).Order(StringComparer.Ordinal)];

    public string Write(string name, byte[] content)
    {
        File.WriteAllBytes(this[name], content);
        return this[name];
    }

    public string Write(string name, string content)
    {
        File.WriteAllText(this[name], content);
        return this[name];
    }

    public string WriteGzip(string name, byte[] content)
    {
        using var buffer = new MemoryStream();
        using (var gzip = new GZipStream(buffer, CompressionLevel.Fastest)) gzip.Write(content);
        return Write(name, buffer.ToArray());
    }

    /// <summary>The demo's model.</summary>
    public string DemoModel(string name = "model.onnx")
    {
        using Stream resource = typeof(ShapeImages).Assembly.GetManifestResourceStream("shapes.onnx")!;
        using var copy = new MemoryStream();
        resource.CopyTo(copy);
        return Write(name, copy.ToArray());
    }

    /// <summary>The demo's images as CIFAR records (which have the same extents) and a dataset file for them.</summary>
    public string DemoDataset(int count, string name = "dataset.json")
    {
        Write("shapes.bin", CifarRecords(count));
        return Write(name, """
            { "format": "octet-dataset/1", "task": "classification", "source": { "kind": "cifar", "path": "shapes.bin" },
              "preprocess": { "colors": "RGB", "scale": 0.00392156862745098, "layout": "NCHW" } }
            """);
    }

    public static byte[] CifarRecords(int count)
    {
        var records = new byte[count * (1 + ShapeImages.Length)];
        for (int i = 0; i < count; i++)
        {
            Span<byte> record = records.AsSpan(i * (1 + ShapeImages.Length), 1 + ShapeImages.Length);
            record[0] = (byte)ShapeImages.Generate(i, ShapeImages.EvaluationSeed, record[1..]);
        }
        return records;
    }

    /// <summary>An IDX file: magic, big-endian extents, bytes.</summary>
    public static byte[] Idx(uint magic, int[] extents, byte[] content)
    {
        var file = new byte[4 + 4 * extents.Length + content.Length];
        BinaryPrimitives.WriteUInt32BigEndian(file, magic);
        for (int i = 0; i < extents.Length; i++) BinaryPrimitives.WriteInt32BigEndian(file.AsSpan(4 + 4 * i), extents[i]);
        content.CopyTo(file.AsSpan(4 + 4 * extents.Length));
        return file;
    }

    /// <summary>A PNG of 8-bit pixels: stored deflate blocks, no filter.</summary>
    public static byte[] Png(int width, int height, byte[] rgb)
    {
        using var file = new MemoryStream();
        file.Write([0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A]);
        var header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        (header[8], header[9]) = (8, 2);   // 8 bits, true colour
        Chunk("IHDR", header);
        using var data = new MemoryStream();
        using (var zlib = new ZLibStream(data, CompressionLevel.Fastest, leaveOpen: true))
        {
            for (int y = 0; y < height; y++)
            {
                zlib.WriteByte(0);
                zlib.Write(rgb, y * width * 3, width * 3);
            }
        }
        Chunk("IDAT", data.ToArray());
        Chunk("IEND", []);
        return file.ToArray();

        void Chunk(string type, byte[] content)
        {
            byte[] body = [.. System.Text.Encoding.ASCII.GetBytes(type), .. content];
            var number = new byte[4];
            BinaryPrimitives.WriteInt32BigEndian(number, content.Length);
            file.Write(number);
            file.Write(body);
            uint crc = uint.MaxValue;
            foreach (byte b in body)
            {
                crc ^= b;
                for (int bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
            }
            BinaryPrimitives.WriteUInt32BigEndian(number, ~crc);
            file.Write(number);
        }
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
