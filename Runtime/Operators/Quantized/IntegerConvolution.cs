using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Kernels.Geometry;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Integer convolution in ONNX's own layout with zero points that may be computed at run time: <c>acc = Σ (x − zx)·(w − zw[o])</c>; padding adds nothing.</summary>
/// <remarks>Constant weights run on the packed kernels, see <see cref="PackedIntegerConvolution"/>.</remarks>
internal sealed class IntegerConvolution
{
    private readonly int _x, _w, _xZero, _wZero, _wZeroCount;
    private readonly bool _xSigned, _wSigned;
    private PackedIntegerConvolution? _packed;

    private IntegerConvolution(ConvShape shape, int x, int w, int xZero, int wZero, int wZeroCount, bool xSigned, bool wSigned)
    {
        Shape = shape;
        (_x, _w, _xZero, _wZero, _wZeroCount) = (x, w, xZero, wZero, wZeroCount);
        (_xSigned, _wSigned) = (xSigned, wSigned);
    }

    /// <summary>Extents.</summary>
    public ConvShape Shape { get; }

    /// <summary>Accumulators of one run.</summary>
    public int Length => checked(Shape.Batch * Shape.OutChannels * Shape.OutputPixels);

    /// <summary>Scratch bytes of one run.</summary>
    public int ScratchBytes => _packed?.ScratchBytes ?? (1 + Math.Max(1, _wZeroCount)) * sizeof(int);

    /// <summary>The kernel that runs it.</summary>
    public string Kernel => _packed?.Convolution.Method ?? "integer convolution, scalar";

    /// <summary>The output type as far as the inputs' types are known.</summary>
    public static TensorType Infer(NodeContext c, int x, int w, DataType element)
    {
        if (c.Shape(x) is not { } data || c.Shape(w) is not { } weights) return new TensorType(element);
        if (data.Length < 3 || data.Length != weights.Length) throw c.Error($"the data has {data.Length} axes, the weights {weights.Length}", "both have the same number, at least 3");
        return new TensorType(element, [data[0], weights[0], .. WindowReader.Infer(c, data.AsSpan()[2..], weights.AsSpan()[2..])]);
    }

    /// <summary>The extents of the convolution node <paramref name="c"/>.</summary>
    /// <exception cref="ModelException">Channels and groups do not fit.</exception>
    /// <exception cref="UnsupportedModelException">More than three spatial axes.</exception>
    public static ConvShape ReadShape(NodeContext c, int[] x, int[] w)
    {
        if (x.Length > 5) throw c.Unsupported($"{x.Length - 2} spatial axes", "at most three");
        int groups = checked((int)c.Attributes.Int("group", 1));
        if (groups < 1 || x[1] % groups != 0 || w[0] % groups != 0 || x[1] / groups != w[1])
            throw c.Error($"{x[1]} input channels and {w[0]} output channels in {groups} groups with weights for {w[1]}", "group divides both; w.shape[1] = x.shape[1] / group");
        WindowAxis[] axes = WindowReader.Read(c, x.AsSpan(2), w.AsSpan(2));
        return new ConvShape(x[0], x[1], w[0], groups,
            axes.Length > 2 ? axes[^3] : WindowAxis.Unit, axes.Length > 1 ? axes[^2] : WindowAxis.Unit, axes[^1]);
    }

    /// <summary>Plans the convolution of two 8-bit inputs.</summary>
    public static IntegerConvolution Create(PlanContext c, int x, int w, int xZero, int wZero)
    {
        ConvShape shape = ReadShape(c, c.InputShape(x), c.InputShape(w));
        if (OperandParameters.Count(c, xZero, 1, "a zero point of x") > 1) throw c.Unsupported("several zero points of x", "one");
        var convolution = new IntegerConvolution(shape, x, w, xZero, wZero, OperandParameters.Count(c, wZero, shape.OutChannels, "a zero point of w"),
            c.Element(x) == DataType.Int8, c.Element(w) == DataType.Int8);
        bool wZeroKnown = wZero < 0 || !c.Has(wZero) || c.Constant(wZero) is not null;
        if (c.Constant(w) is { } weights && wZeroKnown && convolution.Length > 0) convolution._packed = new PackedIntegerConvolution(c, shape, weights, wZero < 0 || c.Constant(wZero) is not { } zeros ? [] : Array.ConvertAll(zeros.ToInt64Array(), zero => (int)zero));
        return convolution;
    }

    /// <summary>Computes the accumulators.</summary>
    /// <param name="c">The run.</param>
    /// <param name="acc">Receives <c>[N, O, pixels]</c>.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/>.</param>
    public void Run(StepContext c, Span<int> acc, Span<byte> scratch)
    {
        Span<int> work = MemoryMarshal.Cast<byte, int>(scratch);
        if (_packed is not null)
        {
            Span<int> one = stackalloc int[1];
            int zero = OperandParameters.Read(c, _xZero, one)[0];
            ChannelsFirst(_packed.Sums(c, c.Input<byte>(_x), channelsLast: false, _xSigned, zero, scratch), _packed.ZeroTerms, _packed.ZeroPoint(_xSigned, zero), acc);
            return;
        }
        int xZero = OperandParameters.Read(c, _xZero, work[..1])[0];
        ReadOnlySpan<int> wZero = OperandParameters.Read(c, _wZero, work.Slice(1, Math.Max(1, _wZeroCount)));
        if (_xSigned && _wSigned) Convolve(c.Input<sbyte>(_x), c.Input<sbyte>(_w), xZero, wZero, acc);
        else if (_xSigned) Convolve(c.Input<sbyte>(_x), c.Input<byte>(_w), xZero, wZero, acc);
        else if (_wSigned) Convolve(c.Input<byte>(_x), c.Input<sbyte>(_w), xZero, wZero, acc);
        else Convolve(c.Input<byte>(_x), c.Input<byte>(_w), xZero, wZero, acc);
    }

    /// <summary>Takes the term of the data's zero point away and brings <c>[N, pixels, O]</c> to <c>[N, O, pixels]</c>.</summary>
    private void ChannelsFirst(ReadOnlySpan<int> sums, ReadOnlySpan<int> weightSums, int zero, Span<int> acc)
    {
        int pixels = Shape.OutputPixels, channels = Shape.OutChannels;
        for (int n = 0; n < Shape.Batch; n++)
        {
            for (int o = 0; o < channels; o++)
            {
                Span<int> to = acc.Slice((n * channels + o) * pixels, pixels);
                int correction = unchecked(zero * weightSums[o]), from = n * pixels * channels + o;
                for (int i = 0; i < to.Length; i++, from += channels) to[i] = unchecked(sums[from] - correction);
            }
        }
    }

    private void Convolve<TX, TW>(ReadOnlySpan<TX> x, ReadOnlySpan<TW> w, int xZero, ReadOnlySpan<int> wZero, Span<int> acc)
        where TX : unmanaged, IBinaryInteger<TX>
        where TW : unmanaged, IBinaryInteger<TW>
    {
        ConvShape s = Shape;
        int at = 0, channels = s.GroupInChannels;
        for (int n = 0; n < s.Batch; n++)
        {
            for (int o = 0; o < s.OutChannels; o++)
            {
                int firstChannel = o / s.GroupOutChannels * channels, zero = wZero[wZero.Length == 1 ? 0 : o];
                for (int d = 0; d < s.D.Output; d++)
                    for (int h = 0; h < s.H.Output; h++)
                        for (int v = 0; v < s.W.Output; v++, at++)
                        {
                            int sum = 0;
                            for (int c = 0; c < channels; c++)
                            {
                                ReadOnlySpan<TX> plane = x.Slice((n * s.InChannels + firstChannel + c) * s.InputPixels, s.InputPixels);
                                ReadOnlySpan<TW> taps = w.Slice((o * channels + c) * s.Taps, s.Taps);
                                sum = unchecked(sum + Window(plane, taps, d, h, v, xZero, zero));
                            }
                            acc[at] = sum;
                        }
            }
        }
    }

    private int Window<TX, TW>(ReadOnlySpan<TX> plane, ReadOnlySpan<TW> taps, int d, int h, int v, int xZero, int wZero)
        where TX : unmanaged, IBinaryInteger<TX>
        where TW : unmanaged, IBinaryInteger<TW>
    {
        ConvShape s = Shape;
        int sum = 0, tap = 0;
        for (int kd = 0; kd < s.D.Kernel; kd++)
        {
            int z = d * s.D.Stride - s.D.PadBegin + kd * s.D.Dilation;
            for (int kh = 0; kh < s.H.Kernel; kh++)
            {
                int y = h * s.H.Stride - s.H.PadBegin + kh * s.H.Dilation;
                for (int kw = 0; kw < s.W.Kernel; kw++, tap++)
                {
                    int q = v * s.W.Stride - s.W.PadBegin + kw * s.W.Dilation;
                    if ((uint)z >= s.D.Input || (uint)y >= s.H.Input || (uint)q >= s.W.Input) continue;
                    int data = int.CreateTruncating(plane[(z * s.H.Input + y) * s.W.Input + q]) - xZero;
                    sum = unchecked(sum + data * (int.CreateTruncating(taps[tap]) - wZero));
                }
            }
        }
        return sum;
    }
}
