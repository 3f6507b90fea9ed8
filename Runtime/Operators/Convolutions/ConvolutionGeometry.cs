using Octet.Kernels.Geometry;
using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary>What Conv and ConvTranspose in all their forms have in common: extents checked and put into the kernels' terms.</summary>
internal static class ConvolutionGeometry
{
    /// <summary>Checks x and w as far as they are known and sets the output type of a convolution.</summary>
    /// <param name="c">The node; input 0 is x, input 1 is w <c>[O, C/G, k…]</c>.</param>
    /// <param name="channelsLast">Whether x and y are <c>[N, …, C]</c>.</param>
    public static void InferConv(InferContext c, bool channelsLast)
    {
        if (c.Shape(0) is not { } x || c.Shape(1) is not { } w)
        {
            c.SetUnknownShape(0, c.Element(0));
            return;
        }
        int spatial = CheckRanks(c, x.Length, w.Length);
        long groups = Groups(c);
        int channelAxis = channelsLast ? x.Length - 1 : 1;
        Dim channels = x[channelAxis];
        if (channels.IsKnown && w[1].IsKnown && channels.Value != w[1].Value * groups)
            throw c.Error($"x has {channels} channels but w takes {w[1]} in each of {groups} groups", "channels of x = w.shape[1] · group");
        if (w[0].IsKnown && w[0].Value % groups != 0) throw c.Error($"{w[0]} output channels do not divide into {groups} groups", "group divides w.shape[0]");

        var shape = new Dim[x.Length];
        shape[0] = x[0];
        shape[channelAxis] = w[0];
        if (Window(c, w.AsSpan()) is { } geometry)
        {
            for (int i = 0; i < spatial; i++)
            {
                int axis = (channelsLast ? 1 : 2) + i;
                shape[axis] = geometry.Output(i, x[axis]);
            }
        }
        c.Set(0, c.Element(0), shape);
    }

    /// <summary>The extents of a convolution whose types are concrete.</summary>
    public static ConvShape Conv(PlanContext c, bool channelsLast)
    {
        int[] x = c.InputShape(0), w = c.InputShape(1);
        WindowGeometry geometry = WindowGeometry.Read(c, Array.ConvertAll(w[2..], extent => (long)extent));
        (WindowAxis d, WindowAxis h, WindowAxis wide) = geometry.Axes(x, channelsLast ? 1 : 2);
        return new ConvShape(x[0], channelsLast ? x[^1] : x[1], w[0], (int)Groups(c), d, h, wide);
    }

    /// <summary>Checks x and w as far as they are known and sets the output type of a transposed convolution.</summary>
    /// <param name="c">The node; input 0 is x, input 1 is w <c>[C, O/G, k…]</c>.</param>
    /// <param name="channelsLast">Whether x and y are <c>[N, …, C]</c>.</param>
    public static void InferTranspose(InferContext c, bool channelsLast)
    {
        if (c.Shape(0) is not { } x || c.Shape(1) is not { } w)
        {
            c.SetUnknownShape(0, c.Element(0));
            return;
        }
        int spatial = CheckRanks(c, x.Length, w.Length);
        long groups = Groups(c);
        int channelAxis = channelsLast ? x.Length - 1 : 1;
        if (x[channelAxis].DiffersFrom(w[0])) throw c.Error($"x has {x[channelAxis]} channels but w has {w[0]}", "channels of x = w.shape[0]");
        if (w[0].IsKnown && w[0].Value % groups != 0) throw c.Error($"{w[0]} channels do not divide into {groups} groups", "group divides w.shape[0]");

        var shape = new Dim[x.Length];
        shape[0] = x[0];
        shape[channelAxis] = w[1] * groups;
        if (Window(c, w.AsSpan()) is { } geometry)
        {
            for (int i = 0; i < spatial; i++)
            {
                int axis = (channelsLast ? 1 : 2) + i;
                shape[axis] = x[axis].IsKnown ? TransposeAxis(c, geometry, i, Extent(c, x[axis])).Output : Dim.Unknown;
            }
        }
        c.Set(0, c.Element(0), shape);
    }

    /// <summary>The extents of a transposed convolution whose types are concrete; Input and Output are those of x and y.</summary>
    public static ConvShape Transpose(PlanContext c, bool channelsLast)
    {
        int[] x = c.InputShape(0), w = c.InputShape(1);
        int spatial = w.Length - 2, first = channelsLast ? 1 : 2, groups = (int)Groups(c);
        if (spatial is < 1 or > 3) throw c.Unsupported($"{spatial} spatial axes", "one, two or three spatial axes");
        WindowGeometry geometry = WindowGeometry.Read(c, Array.ConvertAll(w[2..], extent => (long)extent));
        WindowAxis At(int fromEnd) => spatial >= fromEnd ? TransposeAxis(c, geometry, spatial - fromEnd, x[first + spatial - fromEnd]) : WindowAxis.Unit;
        return new ConvShape(x[0], channelsLast ? x[^1] : x[1], w[1] * groups, groups, At(3), At(2), At(1));
    }

    /// <summary>The spatial axes of a transposed convolution of known extents, padding and output extents resolved.</summary>
    /// <param name="c">The node.</param>
    /// <param name="input">Spatial extents of x.</param>
    /// <param name="kernel">Spatial extents of w.</param>
    public static WindowAxis[] TransposeAxes(NodeContext c, ReadOnlySpan<int> input, ReadOnlySpan<int> kernel)
    {
        WindowGeometry geometry = WindowGeometry.Read(c, Array.ConvertAll(kernel.ToArray(), extent => (long)extent));
        var axes = new WindowAxis[input.Length];
        for (int i = 0; i < axes.Length; i++) axes[i] = TransposeAxis(c, geometry, i, input[i]);
        return axes;
    }

    /// <summary>
    /// One axis of a transposed convolution. The full extent is <c>stride·(input − 1) + span + output_padding</c>; padding cuts it. A given output_shape,
    /// or <c>input·stride</c> for SAME_*, says how much is cut, split in half with the odd one at the end (UPPER) or the beginning (otherwise).
    /// </summary>
    private static WindowAxis TransposeAxis(NodeContext c, WindowGeometry geometry, int axis, int input)
    {
        int stride = geometry.Strides[axis];
        long span = (geometry.Kernel[axis] - 1L) * geometry.Dilations[axis] + 1;
        long extra = Value(c, "output_padding", axis, geometry.Rank) ?? 0;
        if (extra < 0 || extra >= Math.Max(stride, geometry.Dilations[axis]))
            throw c.Error($"output_padding is {extra} on spatial axis {axis}, whose stride is {stride}", "0 ≤ output_padding < max(stride, dilation)");
        long full = input == 0 ? 0 : (long)stride * (input - 1) + span + extra, begin, end, output;
        string autoPad = c.Attributes.String("auto_pad", "NOTSET");
        long? wanted = Value(c, "output_shape", axis, geometry.Rank);
        if (wanted is null && autoPad is "SAME_UPPER" or "SAME_LOWER") wanted = (long)input * stride;
        if (wanted is { } extent)
        {
            long total = Math.Max(0, full - extent);
            begin = autoPad == "SAME_UPPER" ? total / 2 : total - total / 2;
            end = total - begin;
            output = extent;
        }
        else
        {
            begin = geometry.FixedPads[axis];
            end = geometry.FixedPads[axis + geometry.Rank];
            output = full - begin - end;
        }
        if (output is < 0 or > int.MaxValue / 4)
            throw c.Error($"the output has extent {output} on spatial axis {axis}: stride {stride} · (input {input} − 1) + span {span} + output_padding {extra} − pads {begin + end}", "output extents are not negative");
        return new WindowAxis(input, geometry.Kernel[axis], stride, geometry.Dilations[axis], (int)begin, (int)end, (int)output);
    }

    /// <summary>One value of a list attribute that has one per spatial axis (or, for output_shape, also one for N and C).</summary>
    private static long? Value(NodeContext c, string name, int axis, int rank)
    {
        if (c.Attributes.Ints(name) is not { } values || values.Length == 0) return null;
        if (name == "output_shape" && values.Length == rank + 2) return values[axis + 2];
        return values.Length == rank ? values[axis] : throw c.Error($"{name} has {values.Length} values for {rank} spatial axes", $"{name} has one value per spatial axis");
    }

    private static int CheckRanks(NodeContext c, int x, int w)
    {
        if (x < 3) throw c.Error($"x has rank {x}", "x is [N, C, spatial axes…]");
        if (w != x) throw c.Error($"x has rank {x} but w has rank {w}", "x and w have the same rank");
        return x - 2;
    }

    private static long Groups(NodeContext c)
    {
        long groups = c.Attributes.Int("group", 1);
        return groups is >= 1 and <= int.MaxValue ? groups : throw c.Error($"group is {groups}", "group is at least 1");
    }

    /// <summary>The window of w's shape, checked against kernel_shape; null while w's extents are unknown and no attribute says them.</summary>
    private static WindowGeometry? Window(NodeContext c, ReadOnlySpan<Dim> w)
    {
        long[]? declared = c.Attributes.Ints("kernel_shape");
        var kernel = new long[w.Length - 2];
        if (declared is not null && declared.Length != kernel.Length)
            throw c.Error($"kernel_shape has {declared.Length} values for {kernel.Length} spatial axes", "kernel_shape has one value per spatial axis");
        for (int i = 0; i < kernel.Length; i++)
        {
            if (!w[i + 2].IsKnown && declared is null) return null;
            kernel[i] = w[i + 2].IsKnown ? w[i + 2].Value : declared![i];
            if (declared is not null && declared[i] != kernel[i])
                throw c.Error($"kernel_shape is [{string.Join(",", declared)}] but w is [{string.Join(",", w.ToArray())}]", "kernel_shape = the spatial extents of w");
        }
        return WindowGeometry.Read(c, kernel);
    }

    private static int Extent(NodeContext c, Dim dim) => dim.Value <= int.MaxValue / 4 ? (int)dim.Value
        : throw c.Error($"a spatial extent is {dim}", $"a spatial extent is at most {int.MaxValue / 4}");
}
