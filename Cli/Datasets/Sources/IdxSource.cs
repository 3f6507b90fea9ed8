using System.Buffers.Binary;
using Octet.Runtime;

namespace Octet.Cli.Datasets.Sources;

/// <summary>MNIST's IDX format: a file of gray images (magic 0x803: count, rows, columns) and a file of labels (magic 0x801: count), big-endian.</summary>
internal sealed class IdxSource : SampleSource
{
    private const uint ImageMagic = 0x803, LabelMagic = 0x801;
    private const int ImageHeader = 16, LabelHeader = 8;
    private const long MaxPixels = 1 << 26;

    private readonly string _images;
    private readonly string? _labels;
    private readonly int _rows, _columns;

    /// <summary>Opens the files.</summary>
    /// <exception cref="DataException">One is missing or broken, or the counts differ.</exception>
    public IdxSource(string images, string? labels)
    {
        (_images, _labels) = (images, labels);
        uint[] header = Header(images, ImageMagic, ImageHeader);
        if ((long)header[2] * header[3] is var pixels && (pixels < 1 || pixels > MaxPixels))
            throw new DataException($"data file '{images}': images of {header[2]} × {header[3]} pixels; rule: 1 to {MaxPixels}");
        (Count, _rows, _columns) = (header[1], (int)header[2], (int)header[3]);
        CheckLength(images, ImageHeader + Count * pixels, $"{Count} images of {_rows} × {_columns}");
        if (labels is null) return;
        uint count = Header(labels, LabelMagic, LabelHeader)[1];
        if (count != Count) throw new DataException($"'{labels}' has {count} labels but '{images}' has {Count} images; rule: one label per image");
        CheckLength(labels, LabelHeader + Count, $"{Count} labels");
    }

    /// <inheritdoc/>
    public override long Count { get; }

    /// <inheritdoc/>
    public override bool HasLabels => _labels is not null;

    /// <inheritdoc/>
    public override bool HasImages => true;

    /// <inheritdoc/>
    public override IEnumerable<Sample> Read(DatasetBinding binding, long skip)
    {
        int size = _rows * _columns;
        using Stream images = DataFile.Open(_images);
        using Stream? labels = _labels is null ? null : DataFile.Open(_labels);
        DataFile.Skip(images, ImageHeader + skip * size, _images);
        if (labels is not null) DataFile.Skip(labels, LabelHeader + skip, _labels!);
        var label = new byte[1];
        for (long i = skip; i < Count; i++)
        {
            var pixels = new byte[size];
            if (DataFile.Fill(images, pixels, _images) != size || (labels is not null && DataFile.Fill(labels, label, _labels!) != 1))
                throw new DataException($"data file '{_images}' or its labels end before sample {i}; rule: they do not change while they are read");
            string source = $"'{_images}' image {i}";
            yield return new Sample(source, binding.Feed(new PixelImage(_rows, _columns, 1, pixels), source), labels is null ? null : label[0], Sample.NothingExpected);
        }
    }

    private static uint[] Header(string path, uint magic, int bytes)
    {
        using Stream stream = DataFile.Open(path);
        var header = new byte[bytes];
        int read = DataFile.Fill(stream, header, path);
        if (read < bytes) throw new DataException($"data file '{path}' has {read} bytes; rule: an IDX header has {bytes}");
        var numbers = new uint[bytes / 4];
        for (int i = 0; i < numbers.Length; i++) numbers[i] = BinaryPrimitives.ReadUInt32BigEndian(header.AsSpan(4 * i));
        if (numbers[0] != magic) throw new DataException($"data file '{path}' begins with 0x{numbers[0]:X8}; rule: 0x{magic:X8} in IDX format");
        return numbers;
    }

    private static void CheckLength(string path, long expected, string what)
    {
        long bytes = DataFile.Length(path);
        if (bytes != expected) throw new DataException($"data file '{path}' has {bytes} bytes but its header says {what}; rule: {expected} bytes");
    }
}
