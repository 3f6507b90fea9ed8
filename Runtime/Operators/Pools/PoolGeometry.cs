using Octet.Kernels.Geometry;
using Octet.Kernels.Pool;
using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary>What the pooling operators have in common: types and extents.</summary>
internal static class PoolGeometry
{
    /// <summary>Sets the type of every output of a sliding pooling; output 1, where there is one, holds int64 indices.</summary>
    public static void Infer(InferContext c, bool channelsLast)
    {
        if (c.Shape(0) is not { } x)
        {
            c.SetUnknownShape(0, c.Element(0));
            c.SetUnknownShape(1, Tensors.DataType.Int64);
            return;
        }
        WindowGeometry geometry = Read(c, x.Length);
        var shape = new Dim[x.Length];
        shape[0] = x[0];
        shape[channelsLast ? x.Length - 1 : 1] = x[channelsLast ? x.Length - 1 : 1];
        for (int i = 0; i < geometry.Rank; i++)
        {
            int axis = (channelsLast ? 1 : 2) + i;
            shape[axis] = geometry.Output(i, x[axis]);
        }
        c.Set(0, c.Element(0), shape);
        c.Set(1, Tensors.DataType.Int64, shape);
    }

    /// <summary>The extents of a sliding pooling of concrete types.</summary>
    public static PoolShape Window(PlanContext c, bool channelsLast)
    {
        int[] x = c.InputShape(0);
        (WindowAxis d, WindowAxis h, WindowAxis w) = Read(c, x.Length).Axes(x, channelsLast ? 1 : 2);
        return new PoolShape(x[0], channelsLast ? x[^1] : x[1], d, h, w);
    }

    /// <summary>Sets the type of a pooling over all spatial axes.</summary>
    public static void InferGlobal(InferContext c, bool channelsLast)
    {
        if (c.Shape(0) is not { } x)
        {
            c.SetUnknownShape(0, c.Element(0));
            return;
        }
        if (x.Length < 2) throw c.Error($"x has rank {x.Length}", "x is [N, C, spatial axes…]");
        var shape = new Dim[x.Length];
        for (int i = 0; i < shape.Length; i++) shape[i] = i == 0 || i == (channelsLast ? x.Length - 1 : 1) ? x[i] : 1;
        c.Set(0, c.Element(0), shape);
    }

    /// <summary>The extents of a pooling over all spatial axes: one window, any number of axes as one.</summary>
    public static PoolShape Global(PlanContext c, bool channelsLast)
    {
        int[] x = c.InputShape(0);
        int pixels = 1;
        for (int i = 1; i < x.Length; i++)
        {
            if (i != (channelsLast ? x.Length - 1 : 1)) pixels *= x[i];
        }
        var all = new WindowAxis(pixels, Math.Max(1, pixels), 1, 1, 0, 0, 1);
        return new PoolShape(x[0], channelsLast ? x[^1] : x[1], WindowAxis.Unit, WindowAxis.Unit, all);
    }

    private static WindowGeometry Read(NodeContext c, int rank)
    {
        if (rank < 3) throw c.Error($"x has rank {rank}", "x is [N, C, spatial axes…]");
        long[] kernel = c.Attributes.Ints("kernel_shape") ?? throw c.Error("kernel_shape is missing", "kernel_shape has one value per spatial axis");
        if (kernel.Length != rank - 2) throw c.Error($"kernel_shape has {kernel.Length} values for {rank - 2} spatial axes", "kernel_shape has one value per spatial axis");
        return WindowGeometry.Read(c, kernel);
    }
}
