using System.Globalization;
using Octet.Runtime;

namespace Octet.Cli.Datasets.Sources;

/// <summary>A folder of JPEG and PNG files, with a text file of labels: lines <c>&lt;class index&gt; &lt;file name&gt;</c>.</summary>
/// <remarks>With labels, the samples are the lines, in order. Without, they are the folder's image files, in ordinal order of their names.</remarks>
internal sealed class ImageFolderSource : SampleSource
{
    private readonly List<(string Path, int? Label)> _images = [];

    /// <summary>Reads the labels and checks that every image exists.</summary>
    /// <exception cref="DataException">The folder, the labels or an image is missing, or a line is broken.</exception>
    public ImageFolderSource(string folder, string? labels)
    {
        if (!Directory.Exists(folder)) throw new DataException($"image folder '{folder}' does not exist; rule: 'path' names a folder");
        if (labels is null)
        {
            foreach (string image in Directory.EnumerateFiles(folder).Where(ImageFile.HasImageName).Order(StringComparer.Ordinal)) _images.Add((image, null));
            return;
        }
        HasLabels = true;
        string inside = Path.GetFullPath(folder) + Path.DirectorySeparatorChar;
        int number = 0;
        foreach (string line in Lines(labels))
        {
            number++;
            string text = line.Trim();
            if (text.Length == 0) continue;
            int space = text.IndexOfAny([' ', '\t']);
            if (space < 0 || !int.TryParse(text.AsSpan(0, space), NumberStyles.None, CultureInfo.InvariantCulture, out int label))
                throw new DataException($"labels '{labels}' line {number} is '{text}'; rule: <class index> <file name>");
            string image = Path.GetFullPath(Path.Combine(folder, text[(space + 1)..].Trim()));
            if (!image.StartsWith(inside, StringComparison.Ordinal)) throw new DataException($"labels '{labels}' line {number} names '{image}', outside '{folder}'; rule: images lie in the folder");
            if (!File.Exists(image)) throw new DataException($"labels '{labels}' line {number} names the image '{image}', which does not exist; rule: every image is there");
            _images.Add((image, label));
        }
    }

    /// <inheritdoc/>
    public override long Count => _images.Count;

    /// <inheritdoc/>
    public override bool HasLabels { get; }

    /// <inheritdoc/>
    public override bool HasImages => true;

    /// <inheritdoc/>
    public override IEnumerable<Sample> Read(DatasetBinding binding, long skip)
    {
        for (int i = (int)Math.Min(skip, _images.Count); i < _images.Count; i++)
        {
            (string path, int? label) = _images[i];
            string source = $"image '{path}'";
            yield return new Sample(source, binding.Feed(ImageFile.Load(path), source), label, Sample.NothingExpected);
        }
    }

    private static string[] Lines(string path)
    {
        try
        {
            return File.ReadAllLines(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"labels '{path}' cannot be read: {e.Message}; rule: the path names a readable text file", e);
        }
    }
}
