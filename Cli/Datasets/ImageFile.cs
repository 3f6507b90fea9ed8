using Octet.Runtime;
using StbImageSharp;

namespace Octet.Cli.Datasets;

/// <summary>Reads JPEG and PNG files.</summary>
internal static class ImageFile
{
    /// <summary>Most pixels of one image: 2^28 decoded bytes fit one array with room to spare.</summary>
    private const long MaxPixels = 1 << 26;

    /// <summary>File name endings that are taken for images.</summary>
    public static bool HasImageName(string path) =>
        Path.GetExtension(path).ToLowerInvariant() is ".jpg" or ".jpeg" or ".png";

    /// <summary>Reads an image as red, green, blue.</summary>
    /// <exception cref="DataException">The file is missing, is no JPEG or PNG, is too large, or is broken.</exception>
    public static PixelImage Load(string path)
    {
        byte[] file;
        try
        {
            file = File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"image '{path}' cannot be read: {e.Message}; rule: the path names a readable file", e);
        }
        ReadOnlySpan<byte> jpeg = [0xFF, 0xD8, 0xFF], png = [0x89, (byte)'P', (byte)'N', (byte)'G'];
        if (!file.AsSpan().StartsWith(jpeg) && !file.AsSpan().StartsWith(png))
            throw new DataException($"image '{path}' ({file.Length} bytes) begins with {Convert.ToHexString(file.AsSpan(0, Math.Min(4, file.Length)))}; rule: images are JPEG (FFD8FF…) or PNG (89504E47…)");
        if (file[0] == jpeg[0] && JpegStructure.Defect(file) is { } defect)
            throw new DataException($"image '{path}' ({file.Length} bytes) is a broken JPEG: {defect}; rule: images are whole");
        try
        {
            if (ImageInfo.FromStream(new MemoryStream(file)) is not { } info)
                throw new DataException($"image '{path}' ({file.Length} bytes) has no readable header; rule: images are JPEG or PNG");
            if ((long)info.Width * info.Height is var pixels && (pixels > MaxPixels || pixels < 1))
                throw new DataException($"image '{path}' has {info.Width} × {info.Height} pixels; rule: 1 to {MaxPixels}");
            ImageResult image = ImageResult.FromMemory(file, ColorComponents.RedGreenBlue);
            return new PixelImage(image.Height, image.Width, 3, image.Data);
        }
        catch (Exception e) when (e is not (OctetException or OutOfMemoryException))
        {
            // The decoder reports broken files by exceptions of any type.
            throw new DataException($"image '{path}' ({file.Length} bytes) cannot be decoded: {e.Message}; rule: images are whole JPEG or PNG files", e);
        }
    }
}
