namespace Octet.Kernels.Geometry;

/// <summary>Extents of one spatial axis of a sliding window (convolution or pooling).</summary>
/// <param name="Input">Input extent.</param>
/// <param name="Kernel">Window taps along this axis.</param>
/// <param name="Stride">Step between windows, at least 1.</param>
/// <param name="Dilation">Step between taps, at least 1.</param>
/// <param name="PadBegin">Padding before the first element; may not be negative.</param>
/// <param name="PadEnd">Padding after the last element; may not be negative.</param>
/// <param name="Output">Output extent; given, because pooling has two conventions for it.</param>
internal readonly record struct WindowAxis(int Input, int Kernel, int Stride, int Dilation, int PadBegin, int PadEnd, int Output)
{
    /// <summary>An axis that a 1-D or 2-D operation does not have.</summary>
    public static WindowAxis Unit { get; } = new(1, 1, 1, 1, 0, 0, 1);

    /// <summary>Elements that one window spans: <c>(Kernel − 1) · Dilation + 1</c>.</summary>
    public int Span => (Kernel - 1) * Dilation + 1;
}

/// <summary>A convolution's extents. Data is channels-last: x <c>[N, D, H, W, C]</c>, y <c>[N, OD, OH, OW, O]</c>.</summary>
/// <remarks>
/// One and two spatial axes are the same with <see cref="WindowAxis.Unit"/> in front. Weights arrive as in ONNX:
/// <c>[O, C / Groups, KD, KH, KW]</c>; group g owns the input channels <c>[g·C/G, (g+1)·C/G)</c> and the output channels alike.
/// <code>y[n,od,oh,ow,o] = Σ x[n, od·sd − pd + kd·dd, …, c] · w[o, c, kd, kh, kw]   over taps inside the input</code>
/// </remarks>
/// <param name="Batch">N.</param>
/// <param name="InChannels">C, all groups.</param>
/// <param name="OutChannels">O, all groups.</param>
/// <param name="Groups">G; divides C and O.</param>
/// <param name="D">Depth axis.</param>
/// <param name="H">Height axis.</param>
/// <param name="W">Width axis.</param>
internal sealed record ConvShape(int Batch, int InChannels, int OutChannels, int Groups, WindowAxis D, WindowAxis H, WindowAxis W)
{
    /// <summary>Taps of one window.</summary>
    public int Taps => D.Kernel * H.Kernel * W.Kernel;

    /// <summary>Input channels of one group.</summary>
    public int GroupInChannels => InChannels / Groups;

    /// <summary>Output channels of one group.</summary>
    public int GroupOutChannels => OutChannels / Groups;

    /// <summary>Output positions of one image.</summary>
    public int OutputPixels => D.Output * H.Output * W.Output;

    /// <summary>Input positions of one image.</summary>
    public int InputPixels => D.Input * H.Input * W.Input;

    /// <summary>One input channel and one output channel per group (or a multiple of output channels).</summary>
    public bool IsDepthwise => Groups == InChannels && Groups > 1;

    /// <summary>Every window is one unpadded, unstrided pixel, so the convolution is a matrix product of pixels and weights.</summary>
    public bool IsPointwise => Taps == 1 && D.Stride == 1 && H.Stride == 1 && W.Stride == 1
        && D.PadBegin + D.PadEnd + H.PadBegin + H.PadEnd + W.PadBegin + W.PadEnd == 0;

    /// <summary>Every window is one unpadded pixel of an image; pixels may be strided.</summary>
    public bool IsStridedPointwise => Taps == 1 && D.Input == 1 && D.Output == 1 && D.PadBegin + D.PadEnd + H.PadBegin + H.PadEnd + W.PadBegin + W.PadEnd == 0;

    /// <summary>Multiply-accumulates of the unpadded definition: <c>N · OD·OH·OW · O · (C/G) · taps</c>.</summary>
    public long MultiplyAccumulates => (long)Batch * OutputPixels * OutChannels * GroupInChannels * Taps;
}
