using System.Globalization;
using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.SGemm;

namespace Octet.Kernels.SConv;

/// <summary>Cycles of the ways to compute a 3×3 convolution, from a model of the matrix tile: what decides between them, so that a plan is the same on every run.</summary>
internal static class WinogradCost
{
    /// <summary>Cycles that a matrix tile needs besides its products.</summary>
    private const double TileOverhead = 40;

    /// <summary>Cycles of transforming one vector of channels of one tile, there and back: F(2×2) and F(4×4).</summary>
    private const double InputTwo = 70, OutputTwo = 70, InputFour = 160, OutputFour = 170;

    /// <summary>Bytes of weights per cycle that come from beyond L2 while others are multiplied: one inference of a model passes through all its weights.</summary>
    private const double WeightBytesPerCycle = 4.5;

    /// <summary>How much cheaper Winograd has to look, so that larger rounding errors and weights buy something.</summary>
    private const double Gain = 1.1;

    /// <summary>The cheaper of F(2×2) and F(4×4), or null where direct convolution is cheaper.</summary>
    public static (SConvMethod Method, string Reason)? Choose(ConvShape shape, CpuFeatures cpu)
    {
        int images = shape.Batch * shape.D.Output, c = shape.InChannels, o = shape.OutChannels;
        SGemmKernel kernel = SGemmKernels.Select((int)Math.Min(int.MaxValue, (long)images * shape.H.Output * shape.W.Output), o, 9 * c, cpu);
        double direct = Math.Max(Product(kernel, (long)images * shape.H.Output * shape.W.Output, 9 * c, o), Weights(9, c, o));
        double two = Winograd(shape, kernel, images, 2, InputTwo, OutputTwo), four = Winograd(shape, kernel, images, 4, InputFour, OutputFour);
        double best = Math.Min(two, four);
        if (best * Gain >= direct) return null;
        int size = two <= four ? 2 : 4;
        return (size == 2 ? SConvMethod.WinogradTwo : SConvMethod.WinogradFour,
            string.Create(CultureInfo.InvariantCulture, $"F({size}×{size}, 3×3): {direct / best:F1} times cheaper than direct by the model of cycles"));
    }

    private static double Winograd(ConvShape shape, SGemmKernel kernel, int images, int m, double input, double output)
    {
        int positions = (m + 2) * (m + 2), c = shape.InChannels, o = shape.OutChannels;
        long tiles = (long)images * ((shape.H.Output + m - 1) / m) * ((shape.W.Output + m - 1) / m);
        double vectors = (c + kernel.Lanes - 1) / kernel.Lanes * input + (o + kernel.Lanes - 1) / kernel.Lanes * output;
        return Math.Max(positions * Product(kernel, tiles, c, o), Weights(positions, c, o)) + tiles * vectors;
    }

    /// <summary>Two products of vectors per cycle; a tile of one vector of columns waits for its loads and reaches about half of that.</summary>
    private static double Product(SGemmKernel kernel, long rows, long depth, int columns)
    {
        int panels = columns / kernel.Nr, rest = columns - panels * kernel.Nr;
        double tiles = Math.Ceiling((double)rows / kernel.Mr), perPanel = rows * depth + tiles * TileOverhead;
        double last = rest == 0 ? 0 : rest > kernel.Lanes ? perPanel : rows * depth * 0.9 + tiles * TileOverhead;
        return panels * perPanel + last;
    }

    private static double Weights(int positions, int c, int o) => (double)positions * c * o * sizeof(float) / WeightBytesPerCycle;
}
