using System.Globalization;
using Octet.Runtime;
using Octet.Runtime.Tensors;

namespace Octet.Cli.Datasets;

/// <summary>Order of an image's channels in the tensor.</summary>
internal enum Colors
{
    /// <summary>As the source has them: red, green, blue, or gray.</summary>
    Source,
    /// <summary>Red, green, blue.</summary>
    Rgb,
    /// <summary>Blue, green, red.</summary>
    Bgr,
    /// <summary>One channel.</summary>
    Gray,
}

/// <summary>From an image to a tensor: resize, crop, colours, then per channel <c>y = (x · scale − mean[c]) / std[c]</c> in float32.</summary>
internal sealed record Preprocess
{
    /// <summary>No change: values 0 … 255, channels first.</summary>
    public static Preprocess None { get; } = new();

    /// <summary>Pixels of the shorter side after resizing; null to leave the size.</summary>
    public int? ResizeShorter { get; init; }

    /// <summary>Pixels of the square cut from the middle; null to leave the size.</summary>
    public int? CenterCrop { get; init; }

    /// <summary>Order of channels.</summary>
    public Colors Colors { get; init; }

    /// <summary>First factor.</summary>
    public float Scale { get; init; } = 1;

    /// <summary>Subtracted, per channel of the tensor; one number serves all channels.</summary>
    public float[] Mean { get; init; } = [0];

    /// <summary>Divisor, per channel of the tensor; one number serves all channels.</summary>
    public float[] Std { get; init; } = [1];

    /// <summary>Whether the tensor is <c>[1,H,W,C]</c> instead of <c>[1,C,H,W]</c>.</summary>
    public bool ChannelsLast { get; init; }

    /// <summary>The tensor of one image, batch 1.</summary>
    /// <exception cref="DataException">The image is smaller than the crop, or <see cref="Mean"/> or <see cref="Std"/> has another number of channels.</exception>
    public Tensor Apply(PixelImage image, string source)
    {
        if (ResizeShorter is { } shorter) image = image.ResizeShorter(shorter);
        if (CenterCrop is { } crop)
        {
            if (crop > Math.Min(image.Height, image.Width))
                throw new DataException($"{source}: the image has {image.Width} × {image.Height} pixels but centerCrop is {crop}; rule: centerCrop is at most the shorter side, after resizeShorter");
            image = image.CenterCrop(crop);
        }
        image = Colors switch
        {
            Colors.Rgb or Colors.Bgr => image.ToRgb(),
            Colors.Gray => image.ToGray(),
            _ => image,
        };
        int channels = image.Channels, pixels = image.Height * image.Width;
        Check(source, "mean", Mean, channels);
        Check(source, "std", Std, channels);
        var values = new float[channels * pixels];
        for (int c = 0; c < channels; c++)
        {
            float mean = Mean[Mean.Length == 1 ? 0 : c], std = Std[Std.Length == 1 ? 0 : c];
            int from = Colors == Colors.Bgr ? channels - 1 - c : c;
            for (int i = 0; i < pixels; i++)
                values[ChannelsLast ? i * channels + c : c * pixels + i] = (image.Pixels[i * channels + from] * Scale - mean) / std;
        }
        return ChannelsLast
            ? Tensor.Create(values, 1, image.Height, image.Width, channels)
            : Tensor.Create(values, 1, channels, image.Height, image.Width);
    }

    private static void Check(string source, string key, float[] values, int channels)
    {
        if (values.Length != 1 && values.Length != channels)
            throw new DataException(string.Create(CultureInfo.InvariantCulture, $"{source}: preprocess.{key} has {values.Length} numbers but the image has {channels} channels; rule: one number, or one per channel"));
    }
}
