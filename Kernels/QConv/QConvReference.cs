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

    /// <summary>
    /// <c>acc[n,q,o] = Σ (x[n,p,c] − zx)·(w[o,c,k] − zw[o])</c> over all p, k with <c>p·stride − padBegin + k·dilation = q</c>, modulo 2³²; channels-last.
    /// </summary>
    public static int[] Transpose(ConvShape shape, ReadOnlySpan<byte> x, int zx, ReadOnlySpan<sbyte> w, ReadOnlySpan<int> zw)
    {
        var (d, h, wd) = (shape.D, shape.H, shape.W);
        int channels = shape.InChannels, groupIn = shape.GroupInChannels, groupOut = shape.GroupOutChannels;
        var acc = new int[shape.Batch * shape.OutputPixels * shape.OutChannels];
        for (int n = 0; n < shape.Batch; n++)
            for (int p = 0; p < shape.InputPixels; p++)
                for (int tap = 0; tap < shape.Taps; tap++)
                {
                    int iw = p % wd.Input, ih = p / wd.Input % h.Input, id = p / (wd.Input * h.Input);
                    int ow = iw * wd.Stride - wd.PadBegin + tap % wd.Kernel * wd.Dilation;
                    int oh = ih * h.Stride - h.PadBegin + tap / wd.Kernel % h.Kernel * h.Dilation;
                    int od = id * d.Stride - d.PadBegin + tap / (wd.Kernel * h.Kernel) * d.Dilation;
                    if ((uint)od >= d.Output || (uint)oh >= h.Output || (uint)ow >= wd.Output) continue;
                    int q = ((n * d.Output + od) * h.Output + oh) * wd.Output + ow;
                    for (int o = 0; o < shape.OutChannels; o++)
                    {
                        int zeroPoint = zw.Length == 0 ? 0 : zw[zw.Length == 1 ? 0 : o];
                        int pixel = (n * shape.InputPixels + p) * channels + o / groupOut * groupIn;
                        ref int sum = ref acc[q * shape.OutChannels + o];
                        for (int c = 0; c < groupIn; c++) sum = unchecked(sum + (x[pixel + c] - zx) * (w[(o * groupIn + c) * shape.Taps + tap] - zeroPoint));
                    }
                }
        return acc;
    }
}
