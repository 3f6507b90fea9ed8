namespace Octet.Cli.Datasets;

/// <summary>Pixels of one image: <c>[Height, Width, Channels]</c>, 1 (gray) or 3 (red, green, blue) channels.</summary>
internal sealed class PixelImage
{
    /// <summary>Wraps pixels without copying them.</summary>
    /// <exception cref="ArgumentException">The number of bytes is not height × width × channels.</exception>
    public PixelImage(int height, int width, int channels, byte[] pixels)
    {
        if ((long)height * width * channels != pixels.Length) throw new ArgumentException($"{pixels.Length} bytes for {height} × {width} × {channels}");
        (Height, Width, Channels, Pixels) = (height, width, channels, pixels);
    }

    /// <summary>Rows.</summary>
    public int Height { get; }

    /// <summary>Columns.</summary>
    public int Width { get; }

    /// <summary>1 or 3.</summary>
    public int Channels { get; }

    /// <summary>The values.</summary>
    public byte[] Pixels { get; }

    /// <summary>As red, green, blue; gray is repeated.</summary>
    public PixelImage ToRgb()
    {
        if (Channels == 3) return this;
        var rgb = new byte[Pixels.Length * 3];
        for (int i = 0; i < Pixels.Length; i++) rgb.AsSpan(i * 3, 3).Fill(Pixels[i]);
        return new PixelImage(Height, Width, 3, rgb);
    }

    /// <summary>As gray: <c>(299·R + 587·G + 114·B + 500) / 1000</c> in integers, the luma of ITU-R BT.601.</summary>
    public PixelImage ToGray()
    {
        if (Channels == 1) return this;
        var gray = new byte[Height * Width];
        for (int i = 0; i < gray.Length; i++) gray[i] = (byte)((299 * Pixels[3 * i] + 587 * Pixels[3 * i + 1] + 114 * Pixels[3 * i + 2] + 500) / 1000);
        return new PixelImage(Height, Width, 1, gray);
    }

    /// <summary>The middle <paramref name="size"/> × <paramref name="size"/> pixels; an odd margin is smaller at the top and left.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The image is smaller.</exception>
    public PixelImage CenterCrop(int size)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(size, Math.Min(Height, Width));
        int top = (Height - size) / 2, left = (Width - size) / 2;
        var cropped = new byte[size * size * Channels];
        for (int y = 0; y < size; y++)
            Pixels.AsSpan(((top + y) * Width + left) * Channels, size * Channels).CopyTo(cropped.AsSpan(y * size * Channels));
        return new PixelImage(size, size, Channels, cropped);
    }

    /// <summary>Scaled so that the shorter side has <paramref name="size"/> pixels; the longer one gets <c>longer · size / shorter</c>, rounded down.</summary>
    /// <remarks>
    /// Bilinear with half-pixel centres. When it shrinks, the filter (a triangle) is as wide as the scale, so every pixel counts. Rows then columns, in float32, rounded once
    /// at the end, half to even.
    /// </remarks>
    public PixelImage ResizeShorter(int size)
    {
        int shorter = Math.Min(Height, Width);
        if (shorter == size) return this;
        int height = Height == shorter ? size : (int)((long)Height * size / shorter);
        int width = Width == shorter ? size : (int)((long)Width * size / shorter);
        Tap[] rows = Taps(Height, height), columns = Taps(Width, width);
        int line = width * Channels;
        var narrow = new float[Height * line];
        for (int y = 0; y < Height; y++)
        {
            for (int x = 0; x < width; x++)
            {
                Tap tap = columns[x];
                for (int c = 0; c < Channels; c++)
                {
                    float sum = 0;
                    for (int i = 0; i < tap.Weights.Length; i++) sum += tap.Weights[i] * Pixels[(y * Width + tap.First + i) * Channels + c];
                    narrow[y * line + x * Channels + c] = sum;
                }
            }
        }
        var resized = new byte[height * line];
        for (int y = 0; y < height; y++)
        {
            Tap tap = rows[y];
            for (int x = 0; x < line; x++)
            {
                float sum = 0;
                for (int i = 0; i < tap.Weights.Length; i++) sum += tap.Weights[i] * narrow[(tap.First + i) * line + x];
                resized[y * line + x] = (byte)Math.Clamp(MathF.Round(sum, MidpointRounding.ToEven), 0, 255);
            }
        }
        return new PixelImage(height, width, Channels, resized);
    }

    private static Tap[] Taps(int from, int to)
    {
        double scale = (double)from / to, support = Math.Max(1, scale);
        var taps = new Tap[to];
        for (int i = 0; i < to; i++)
        {
            double centre = (i + 0.5) * scale;
            int first = Math.Max(0, (int)(centre - support + 0.5)), end = Math.Min(from, (int)(centre + support + 0.5));
            var weights = new double[Math.Max(1, end - first)];
            for (int j = 0; j < weights.Length; j++) weights[j] = Math.Max(0, 1 - Math.Abs(first + j + 0.5 - centre) / support);
            double sum = weights.Sum();
            taps[i] = new Tap(first, [.. weights.Select(weight => (float)(weight / sum))]);
        }
        return taps;
    }

    /// <summary>The pixels that one output pixel reads, and how much of each.</summary>
    private readonly record struct Tap(int First, float[] Weights);
}
