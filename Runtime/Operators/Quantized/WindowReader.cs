using Octet.Kernels.Geometry;
using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary>Strides, pads and dilations of a sliding-window node, resolved for concrete extents.</summary>
internal static class WindowReader
{
    /// <summary>Reads one <see cref="WindowAxis"/> per spatial axis.</summary>
    /// <param name="c">The node; attributes auto_pad, strides, dilations, pads, ceil_mode.</param>
    /// <param name="spatial">Input extents, without batch and channels.</param>
    /// <param name="kernel">Window extents.</param>
    /// <exception cref="ModelException">The attributes do not fit.</exception>
    public static WindowAxis[] Read(NodeContext c, ReadOnlySpan<int> spatial, ReadOnlySpan<int> kernel)
    {
        int rank = spatial.Length;
        if (kernel.Length != rank) throw c.Error($"the window has {kernel.Length} axes, the data {rank}", "one window extent per spatial axis");
        long[] strides = List(c, "strides", rank, 1), dilations = List(c, "dilations", rank, 1), pads = List(c, "pads", 2 * rank, 0);
        string autoPad = c.Attributes.String("auto_pad", "NOTSET");
        bool ceil = c.Attributes.Int("ceil_mode") != 0;
        var axes = new WindowAxis[rank];
        for (int i = 0; i < rank; i++)
        {
            long input = spatial[i], taps = kernel[i], stride = strides[i], dilation = dilations[i];
            if (taps < 1 || stride < 1 || dilation < 1) throw c.Error($"window {taps}, stride {stride}, dilation {dilation} on axis {i}", "all are at least 1");
            long span = (taps - 1) * dilation + 1, begin = pads[i], end = pads[rank + i], output;
            if (begin < 0 || end < 0) throw c.Error($"pads {begin} and {end} on axis {i}", "pads are not negative");
            if (autoPad is "SAME_UPPER" or "SAME_LOWER")
            {
                output = (input + stride - 1) / stride;
                long total = Math.Max(0, (output - 1) * stride + span - input);
                begin = autoPad == "SAME_UPPER" ? total / 2 : total - total / 2;
                end = total - begin;
            }
            else
            {
                if (autoPad == "VALID") begin = end = 0;
                else if (autoPad is not ("NOTSET" or "")) throw c.Error($"auto_pad is '{autoPad}'", "NOTSET, SAME_UPPER, SAME_LOWER or VALID");
                long room = input + begin + end - span;
                if (room < 0) throw c.Error($"a window of {span} does not fit extent {input} with pads {begin} and {end}", "the window fits the padded input");
                output = room / stride + 1;
                if (ceil && room % stride != 0 && output * stride < input + begin) output++;   // a window may not start behind the input
            }
            axes[i] = new WindowAxis(Int(c, input), Int(c, taps), Int(c, stride), Int(c, dilation), Int(c, begin), Int(c, end), Int(c, output));
        }
        return axes;
    }

    /// <summary>The output extents of a window node whose spatial extents may be unknown; they stay unknown then.</summary>
    public static Dim[] Infer(NodeContext c, ReadOnlySpan<Dim> spatial, ReadOnlySpan<Dim> kernel)
    {
        var result = new Dim[spatial.Length];
        foreach (Dim dim in spatial) if (!dim.IsKnown) return result;
        foreach (Dim dim in kernel) if (!dim.IsKnown) return result;
        WindowAxis[] axes = Read(c, Numbers(c, spatial), Numbers(c, kernel));
        for (int i = 0; i < result.Length; i++) result[i] = axes[i].Output;
        return result;
    }

    private static int[] Numbers(NodeContext c, ReadOnlySpan<Dim> dims)
    {
        var result = new int[dims.Length];
        for (int i = 0; i < result.Length; i++) result[i] = Int(c, dims[i].Value);
        return result;
    }

    private static int Int(NodeContext c, long value) =>
        value <= int.MaxValue ? (int)value : throw c.Error($"extent {value} is too large", $"extents are at most {int.MaxValue}");

    private static long[] List(NodeContext c, string name, int length, long otherwise)
    {
        if (c.Attributes.Ints(name) is not { Length: > 0 } values)
        {
            values = new long[length];
            Array.Fill(values, otherwise);
        }
        if (values.Length != length) throw c.Error($"{name} has {values.Length} numbers", $"{name} has {length}");
        return values;
    }
}
