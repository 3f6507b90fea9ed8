using System.Numerics;
using Octet.Kernels.Geometry;

namespace Octet.Kernels.Pool;

/// <summary>Max pooling that also returns where each maximum was. Tensors are channels-first, as the indices are defined.</summary>
internal static class MaxPoolIndices
{
    /// <summary>Pools <c>[N·C]</c> planes of <c>[D, H, W]</c>; the first of equal maxima wins, and the first NaN.</summary>
    /// <param name="planes">N · C.</param>
    /// <param name="d">Depth axis.</param>
    /// <param name="h">Height axis.</param>
    /// <param name="w">Width axis.</param>
    /// <param name="columnMajor">Whether indices count W as the slowest axis (ONNX storage_order 1).</param>
    /// <param name="lowest">What a window wholly in the padding gives; its index is −1.</param>
    /// <param name="x">Input.</param>
    /// <param name="y">Output.</param>
    /// <param name="indices">Flat indices into the whole input; as many as outputs.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void Run<T>(int planes, WindowAxis d, WindowAxis h, WindowAxis w, bool columnMajor, T lowest, ReadOnlySpan<T> x, Span<T> y, Span<long> indices)
        where T : unmanaged, INumber<T>
    {
        int inputs = checked(d.Input * h.Input * w.Input), outputs = checked(d.Output * h.Output * w.Output);
        if (x.Length < (long)planes * inputs || y.Length < (long)planes * outputs || indices.Length < (long)planes * outputs)
            throw new ArgumentException($"{planes} planes of {inputs} → {outputs} do not fit x {x.Length}, y {y.Length}, indices {indices.Length}");
        int at = 0;
        for (int plane = 0; plane < planes; plane++)
            for (int od = 0; od < d.Output; od++)
                for (int oh = 0; oh < h.Output; oh++)
                    for (int ow = 0; ow < w.Output; ow++, at++)
                    {
                        T best = lowest;
                        long index = -1;
                        for (int kd = 0; kd < d.Kernel; kd++)
                            for (int kh = 0; kh < h.Kernel; kh++)
                                for (int kw = 0; kw < w.Kernel; kw++)
                                {
                                    int id = od * d.Stride - d.PadBegin + kd * d.Dilation, ih = oh * h.Stride - h.PadBegin + kh * h.Dilation;
                                    int iw = ow * w.Stride - w.PadBegin + kw * w.Dilation;
                                    if ((uint)id >= (uint)d.Input || (uint)ih >= (uint)h.Input || (uint)iw >= (uint)w.Input) continue;
                                    T value = x[plane * inputs + (id * h.Input + ih) * w.Input + iw];
                                    if (index >= 0 && !(value > best) && !(T.IsNaN(value) && !T.IsNaN(best))) continue;
                                    best = value;
                                    index = (long)plane * inputs + (columnMajor ? ((long)iw * h.Input + ih) * d.Input + id : ((long)id * h.Input + ih) * w.Input + iw);
                                }
                        y[at] = best;
                        indices[at] = index;
                    }
    }
}
