using Octet.Kernels.Geometry;
using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary>The attributes that convolution and pooling share: window, strides, dilations, padding, one number per spatial axis.</summary>
/// <remarks>
/// <code>
///   span = (kernel − 1) · dilation + 1
///   NOTSET       output = ⌊(input + padBegin + padEnd − span) / stride⌋ + 1
///   ceil_mode    ⌈…⌉ instead, less one where the last window would begin behind input + padBegin
///   VALID        the same without padding
///   SAME_*       output = ⌈input / stride⌉; the padding that this needs, split in half, the odd one at the end (UPPER) or the beginning (LOWER)
/// </code>
/// </remarks>
internal sealed class WindowGeometry
{
    private readonly NodeContext _context;
    private readonly long[] _pads;
    private readonly string _autoPad;
    private readonly bool _ceil;

    private WindowGeometry(NodeContext context, int[] kernel, int[] strides, int[] dilations, long[] pads, string autoPad, bool ceil)
    {
        _context = context;
        Kernel = kernel;
        Strides = strides;
        Dilations = dilations;
        _pads = pads;
        _autoPad = autoPad;
        _ceil = ceil;
    }

    /// <summary>Window extents.</summary>
    public int[] Kernel { get; }

    /// <summary>Steps between windows.</summary>
    public int[] Strides { get; }

    /// <summary>Steps between taps.</summary>
    public int[] Dilations { get; }

    /// <summary>Spatial axes.</summary>
    public int Rank => Kernel.Length;

    /// <summary>Whether the attributes fix the padding whatever the input's extents.</summary>
    public bool HasFixedPads => _autoPad is "NOTSET" or "VALID";

    /// <summary>Padding before (index 0 … rank − 1) and after the input, where <see cref="HasFixedPads"/>.</summary>
    public ReadOnlySpan<long> FixedPads => _pads;

    /// <summary>Reads and checks the attributes.</summary>
    /// <param name="c">The node.</param>
    /// <param name="kernel">Window extents, one per spatial axis.</param>
    /// <exception cref="ModelException">An attribute has the wrong number of values or one that is out of range.</exception>
    public static WindowGeometry Read(NodeContext c, ReadOnlySpan<long> kernel)
    {
        int rank = kernel.Length;
        int[] window = Positive(c, "kernel_shape", kernel.ToArray(), rank);
        int[] strides = Positive(c, "strides", c.Attributes.Ints("strides"), rank);
        int[] dilations = Positive(c, "dilations", c.Attributes.Ints("dilations"), rank);
        string autoPad = c.Attributes.String("auto_pad", "NOTSET");
        if (autoPad.Length == 0) autoPad = "NOTSET";
        if (autoPad is not ("NOTSET" or "VALID" or "SAME_UPPER" or "SAME_LOWER"))
            throw c.Error($"auto_pad is '{autoPad}'", "auto_pad is NOTSET, VALID, SAME_UPPER or SAME_LOWER");
        long[] pads = autoPad == "NOTSET" ? c.Attributes.Ints("pads") ?? new long[2 * rank] : new long[2 * rank];
        if (pads.Length != 2 * rank) throw c.Error($"{pads.Length} pads are given for {rank} spatial axes", "two pads per spatial axis");
        foreach (long pad in pads)
        {
            if (pad is < 0 or > int.MaxValue / 4) throw c.Error($"a pad is {pad}", $"0 ≤ pad ≤ {int.MaxValue / 4}");
        }
        for (int i = 0; i < rank; i++)
        {
            long span = (window[i] - 1L) * dilations[i] + 1;
            if (span > int.MaxValue / 4) throw c.Error($"a window spans {span} elements on spatial axis {i}", $"(kernel − 1) · dilation + 1 ≤ {int.MaxValue / 4}");
        }
        return new WindowGeometry(c, window, strides, dilations, pads, autoPad, c.Attributes.Int("ceil_mode") != 0);
    }

    /// <summary>Output extent of a spatial axis; unknown where the input's is.</summary>
    public Dim Output(int axis, Dim input)
    {
        if (input.IsKnown) return Axis(axis, Extent(input)).Output;
        bool keeps = Strides[axis] == 1 && (_autoPad is "SAME_UPPER" or "SAME_LOWER" || _pads[axis] + _pads[axis + Rank] == Span(axis) - 1);
        return keeps ? input : Dim.Unknown;
    }

    /// <summary>A spatial axis with its output extent and padding.</summary>
    public WindowAxis Axis(int axis, int input)
    {
        int kernel = Kernel[axis], stride = Strides[axis], dilation = Dilations[axis];
        long span = Span(axis), begin = _pads[axis], end = _pads[axis + Rank], output;
        if (_autoPad is "SAME_UPPER" or "SAME_LOWER")
        {
            output = (input + (long)stride - 1) / stride;
            long total = Math.Max(0, (output - 1) * stride + span - input);
            begin = _autoPad == "SAME_UPPER" ? total / 2 : total - total / 2;
            end = total - begin;
        }
        else
        {
            long room = input + begin + end - span;
            if (room < 0 && input > 0)
                throw _context.Error($"the window spans {span} elements of spatial axis {axis}, which has {input} and {begin + end} of padding", "a window fits into the padded input");
            output = room < 0 ? 0 : (_ceil ? room + stride - 1 : room) / stride + 1;
            if (_ceil && output > 0 && (output - 1) * stride >= input + begin) output--;
        }
        return new WindowAxis(input, kernel, stride, dilation, (int)begin, (int)end, (int)output);
    }

    /// <summary>The geometry as a kernel takes it: three axes, the missing ones in front.</summary>
    /// <param name="shape">The input's shape.</param>
    /// <param name="first">Index of its first spatial extent: 2 channels-first, 1 channels-last.</param>
    public (WindowAxis D, WindowAxis H, WindowAxis W) Axes(ReadOnlySpan<int> shape, int first)
    {
        if (Rank is < 1 or > 3) throw _context.Unsupported($"{Rank} spatial axes", "one, two or three spatial axes");
        WindowAxis d = Rank > 2 ? Axis(0, shape[first]) : WindowAxis.Unit;
        WindowAxis h = Rank > 1 ? Axis(Rank - 2, shape[first + Rank - 2]) : WindowAxis.Unit;
        return (d, h, Axis(Rank - 1, shape[first + Rank - 1]));
    }

    private long Span(int axis) => (Kernel[axis] - 1L) * Dilations[axis] + 1;

    private int Extent(Dim input) => input.Value <= int.MaxValue / 4 ? (int)input.Value
        : throw _context.Error($"a spatial extent is {input}", $"a spatial extent is at most {int.MaxValue / 4}");

    private static int[] Positive(NodeContext c, string name, long[]? values, int rank)
    {
        if (values is null)
        {
            int[] ones = new int[rank];
            Array.Fill(ones, 1);
            return ones;
        }
        if (values.Length != rank) throw c.Error($"{name} has {values.Length} values for {rank} spatial axes", $"{name} has one value per spatial axis");
        return Array.ConvertAll(values, value => value is >= 1 and <= int.MaxValue / 4 ? (int)value
            : throw c.Error($"{name} holds {value}", $"1 ≤ {name} ≤ {int.MaxValue / 4}"));
    }
}
