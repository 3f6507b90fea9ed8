using Octet.Kernels.Geometry;

namespace Octet.Kernels.QConv;

/// <summary>The definition of the integer convolution.</summary>
internal static class QConvReference
{
    /// <summary><c>acc[n,p,o] = Σ (x[n, tap of p, c] − zx)·(w[o,c,tap] − zw[o])</c> over taps inside the input, modulo 2³²; channels-last.</summary>
    public static int[] Convolve(ConvShape shape, ReadOnlySpan<byte> x, int zx, ReadOnlySpan<sbyte> w, ReadOnlySpan<int> zw)
    {
        var (d, h, wd) = (shape.D, shape.H, shape.W);
        int channels = shape.InChannels, groupIn = shape.GroupInChannels, groupOut = shape.GroupOutChannels;
        var acc = new int[shape.Batch * shape.OutputPixels * shape.OutChannels];
        int at = 0;
        for (int n = 0; n < shape.Batch; n++)
            for (int od = 0; od < d.Output; od++)
                for (int oh = 0; oh < h.Output; oh++)
                    for (int ow = 0; ow < wd.Output; ow++)
                        for (int o = 0; o < shape.OutChannels; o++, at++)
                        {
                            int zeroPoint = zw.Length == 0 ? 0 : zw[zw.Length == 1 ? 0 : o];
                            for (int kd = 0; kd < d.Kernel; kd++)
                                for (int kh = 0; kh < h.Kernel; kh++)
                                    for (int kw = 0; kw < wd.Kernel; kw++)
                                    {
                                        int id = od * d.Stride - d.PadBegin + kd * d.Dilation;
                                        int ih = oh * h.Stride - h.PadBegin + kh * h.Dilation;
                                        int iw = ow * wd.Stride - wd.PadBegin + kw * wd.Dilation;
                                        if ((uint)id >= d.Input || (uint)ih >= h.Input || (uint)iw >= wd.Input) continue;
                                        int pixel = (((n * d.Input + id) * h.Input + ih) * wd.Input + iw) * channels + o / groupOut * groupIn;
                                        int tap = (kd * h.Kernel + kh) * wd.Kernel + kw;
                                        for (int c = 0; c < groupIn; c++)
                                            acc[at] = unchecked(acc[at] + (x[pixel + c] - zx) * (w[(o * groupIn + c) * shape.Taps + tap] - zeroPoint));
                                    }
                        }
        return acc;
    }
}
