using Octet.Kernels.Geometry;

namespace Octet.Kernels.Pool;

/// <summary>A pooling's extents; x is <c>[N, D, H, W, C]</c>, y <c>[N, OD, OH, OW, C]</c>.</summary>
/// <param name="Batch">N.</param>
/// <param name="Channels">C.</param>
/// <param name="D">Depth axis.</param>
/// <param name="H">Height axis.</param>
/// <param name="W">Width axis.</param>
internal sealed record PoolShape(int Batch, int Channels, WindowAxis D, WindowAxis H, WindowAxis W)
{
    /// <summary>Taps of one window.</summary>
    public int Taps => checked(D.Kernel * H.Kernel * W.Kernel);

    /// <summary>Input positions of one image.</summary>
    public int InputPixels => D.Input * H.Input * W.Input;

    /// <summary>Output positions of one image.</summary>
    public int OutputPixels => D.Output * H.Output * W.Output;
}
