using Octet.Runtime;

namespace Octet.Cli.Datasets.Sources;

/// <summary>CIFAR-10's binary records: one label byte, then 32 × 32 pixels as planes red, green, blue.</summary>
internal sealed class CifarSource : SampleSource
{
    private const int Side = 32, Plane = Side * Side, Channels = 3, Record = 1 + Channels * Plane;

    private readonly string _path;

    /// <summary>Opens a file of records.</summary>
    /// <exception cref="DataException">It is missing, broken, or ends inside a record.</exception>
    public CifarSource(string path)
    {
        _path = path;
        long bytes = DataFile.Length(path);
        if (bytes % Record != 0) throw new DataException($"data file '{path}' has {bytes} bytes, {bytes % Record} more than {bytes / Record} records; rule: a record has {Record} bytes");
        Count = bytes / Record;
    }

    /// <inheritdoc/>
    public override long Count { get; }

    /// <inheritdoc/>
    public override bool HasLabels => true;

    /// <inheritdoc/>
    public override bool HasImages => true;

    /// <inheritdoc/>
    public override IEnumerable<Sample> Read(DatasetBinding binding, long skip)
    {
        using Stream stream = DataFile.Open(_path);
        DataFile.Skip(stream, skip * Record, _path);
        var record = new byte[Record];
        for (long i = skip; i < Count; i++)
        {
            if (DataFile.Fill(stream, record, _path) != Record) throw new DataException($"data file '{_path}' ends inside record {i}; rule: it does not change while it is read");
            var pixels = new byte[Channels * Plane];
            for (int p = 0; p < Plane; p++)
            {
                for (int c = 0; c < Channels; c++) pixels[p * Channels + c] = record[1 + c * Plane + p];
            }
            string source = $"'{_path}' record {i}";
            yield return new Sample(source, binding.Feed(new PixelImage(Side, Side, Channels, pixels), source), record[0], Sample.NothingExpected);
        }
    }
}
