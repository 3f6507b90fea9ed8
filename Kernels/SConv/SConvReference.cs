using Octet.Kernels.Geometry;

namespace Octet.Kernels.SConv;

/// <summary>The definitions of convolution and transposed convolution, in double.</summary>
internal static class SConvReference
{
    /// <summary><see cref="ConvShape"/>'s formula; x and y channels-last, weights <c>[O, C/G, KD, KH, KW]</c>; no bias.</summary>
    public static double[] Convolve(ConvShape s, ReadOnlySpan<float> x, ReadOnlySpan<float> w)
    {
        var y = new double[s.Batch * s.OutputPixels * s.OutChannels];
        for (int n = 0; n < s.Batch; n++)
            for (int od = 0; od < s.D.Output; od++)
                for (int oh = 0; oh < s.H.Output; oh++)
                    for (int ow = 0; ow < s.W.Output; ow++)
                        for (int kd = 0; kd < s.D.Kernel; kd++)
                            for (int kh = 0; kh < s.H.Kernel; kh++)
                                for (int kw = 0; kw < s.W.Kernel; kw++)
                                {
                                    int id = od * s.D.Stride - s.D.PadBegin + kd * s.D.Dilation;
                                    int ih = oh * s.H.Stride - s.H.PadBegin + kh * s.H.Dilation;
                                    int iw = ow * s.W.Stride - s.W.PadBegin + kw * s.W.Dilation;
                                    if (id < 0 || ih < 0 || iw < 0 || id >= s.D.Input || ih >= s.H.Input || iw >= s.W.Input) continue;
                                    int tap = (kd * s.H.Kernel + kh) * s.W.Kernel + kw;
                                    int xAt = (((n * s.D.Input + id) * s.H.Input + ih) * s.W.Input + iw) * s.InChannels;
                                    int yAt = (((n * s.D.Output + od) * s.H.Output + oh) * s.W.Output + ow) * s.OutChannels;
                                    for (int o = 0; o < s.OutChannels; o++)
                                    {
                                        int first = o / s.GroupOutChannels * s.GroupInChannels;
                                        for (int c = 0; c < s.GroupInChannels; c++)
                                            y[yAt + o] += (double)x[xAt + first + c] * w[(o * s.GroupInChannels + c) * s.Taps + tap];
                                    }
                                }
        return y;
    }

    /// <summary>The adjoint: every input scatters to <c>i · stride − padBegin + k · dilation</c>; weights <c>[C, O/G, KD, KH, KW]</c>; no bias.</summary>
    public static double[] Transpose(ConvShape s, ReadOnlySpan<float> x, ReadOnlySpan<float> w)
    {
        var y = new double[s.Batch * s.OutputPixels * s.OutChannels];
        for (int n = 0; n < s.Batch; n++)
            for (int id = 0; id < s.D.Input; id++)
                for (int ih = 0; ih < s.H.Input; ih++)
                    for (int iw = 0; iw < s.W.Input; iw++)
                        for (int kd = 0; kd < s.D.Kernel; kd++)
                            for (int kh = 0; kh < s.H.Kernel; kh++)
                                for (int kw = 0; kw < s.W.Kernel; kw++)
                                {
                                    int od = id * s.D.Stride - s.D.PadBegin + kd * s.D.Dilation;
                                    int oh = ih * s.H.Stride - s.H.PadBegin + kh * s.H.Dilation;
                                    int ow = iw * s.W.Stride - s.W.PadBegin + kw * s.W.Dilation;
                                    if (od < 0 || oh < 0 || ow < 0 || od >= s.D.Output || oh >= s.H.Output || ow >= s.W.Output) continue;
                                    int tap = (kd * s.H.Kernel + kh) * s.W.Kernel + kw;
                                    int xAt = (((n * s.D.Input + id) * s.H.Input + ih) * s.W.Input + iw) * s.InChannels;
                                    int yAt = (((n * s.D.Output + od) * s.H.Output + oh) * s.W.Output + ow) * s.OutChannels;
                                    for (int c = 0; c < s.InChannels; c++)
                                    {
                                        int first = c / s.GroupInChannels * s.GroupOutChannels;
                                        for (int o = 0; o < s.GroupOutChannels; o++)
                                            y[yAt + first + o] += (double)x[xAt + c] * w[(c * s.GroupOutChannels + o) * s.Taps + tap];
                                    }
                                }
        return y;
    }
}
