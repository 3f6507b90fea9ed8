using Octet.Kernels.Geometry;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>com.microsoft.QLinearAveragePool</c> and <c>QLinearGlobalAveragePool</c>.</summary>
/// <remarks>
/// Inputs X, x_scale, x_zero_point?, y_scale, y_zero_point?; n counts the elements of a window (all taps with count_include_pad):
/// <code>y = saturate(roundHalfEven(Σ (x − zx) · ((sx/sy) / n)) + zy)</code>
/// Attribute channels_last: data is <c>[N, …, C]</c>, else <c>[N, C, …]</c>.
/// </remarks>
internal sealed class QLinearAveragePool(string type, bool global) : Operator
{
    public override OperatorId Id => new(type, MicrosoftDomain);

    public override string Types => "int8, uint8";

    public override string IntegerForm => global ? "octet.QGlobalAveragePool" : "octet.QAveragePool";

    public override string Limits => "at most three spatial axes";

    public override void Infer(InferContext c)
    {
        DataType element = c.Expect(0, DataType.UInt8, DataType.Int8);
        if (c.Shape(0) is not { } x)
        {
            c.SetUnknownShape(0, element);
            return;
        }
        if (x.Length < 3) throw c.Error($"the data has {x.Length} axes", "batch, channels and at least one spatial axis");
        bool last = c.Attributes.Int("channels_last") != 0;
        Dim channels = last ? x[^1] : x[1];
        ReadOnlySpan<Dim> spatial = last ? x.AsSpan()[1..^1] : x.AsSpan()[2..];
        Dim[] output = new Dim[spatial.Length];
        if (global) Array.Fill(output, 1);
        else output = WindowReader.Infer(c, spatial, Window(c));
        c.Set(0, element, last ? [x[0], .. output, channels] : [x[0], channels, .. output]);
    }

    public override Step Plan(PlanContext c)
    {
        foreach (int scale in (ReadOnlySpan<int>)[1, 3])
        {
            if (OperandParameters.Count(c, scale, 1, "a scale") == 0) throw c.Error($"scale {scale} is missing", "X and Y have one scale each");
        }
        foreach (int zero in (ReadOnlySpan<int>)[2, 4]) OperandParameters.Count(c, zero, 1, "a zero point");
        int[] x = c.InputShape(0);
        if (x.Length > 5) throw c.Unsupported($"{x.Length - 2} spatial axes", "at most three");
        bool last = c.Attributes.Int("channels_last") != 0;
        int[] spatial = last ? x[1..^1] : x[2..];
        var axes = new WindowAxis[spatial.Length];
        if (global)
        {
            for (int i = 0; i < axes.Length; i++) axes[i] = new WindowAxis(spatial[i], Math.Max(1, spatial[i]), 1, 1, 0, 0, 1);
        }
        else
        {
            axes = WindowReader.Read(c, spatial, Array.ConvertAll(Window(c), dim => (int)dim.Value));
        }
        bool countPads = c.Attributes.Int("count_include_pad") != 0;
        int channels = last ? x[^1] : x[1];
        return new PoolStep(new AverageWindows(x[0], channels, axes, countPads, last), c.Element(0) == DataType.Int8);
    }

    private static Dim[] Window(NodeContext c) =>
        Array.ConvertAll(c.Attributes.Ints("kernel_shape") ?? throw c.Error("kernel_shape is missing", "a pool names its window"), extent => (Dim)extent);

    private sealed class PoolStep(AverageWindows windows, bool signed) : Step
    {
        public override string Kernel => "quantized average";

        public override void Run(StepContext c)
        {
            int flip = signed ? 0x80 : 0;
            int xZero = c.Has(2) ? c.Input<byte>(2)[0] ^ flip : flip, yZero = c.Has(4) ? c.Input<byte>(4)[0] ^ flip : flip;
            windows.Run(c.Input<byte>(0), c.Output<byte>(0), (byte)flip, xZero, yZero, c.Input<float>(1)[0], c.Input<float>(3)[0]);
        }
    }
}

/// <summary>The definition of quantized average pooling, either layout: exact integer sums, one multiplication.</summary>
/// <param name="batch">Images.</param>
/// <param name="channels">Channels.</param>
/// <param name="axes">One to three spatial axes.</param>
/// <param name="countPads">Whether n counts padding inside the padded extent.</param>
/// <param name="channelsLast">Data is <c>[N, …, C]</c>.</param>
internal sealed class AverageWindows(int batch, int channels, WindowAxis[] axes, bool countPads, bool channelsLast)
{
    private readonly WindowAxis _d = axes.Length > 2 ? axes[^3] : WindowAxis.Unit, _h = axes.Length > 1 ? axes[^2] : WindowAxis.Unit, _w = axes[^1];

    /// <summary>Computes <c>y = clamp(roundHalfEven(Σ (x − zx) · ((sx/sy) / n)) + zy, 0, 255)</c>; every byte is read and written XOR <paramref name="flip"/>.</summary>
    public void Run(ReadOnlySpan<byte> x, Span<byte> y, byte flip, int xZero, int yZero, float xScale, float yScale)
    {
        int inPixels = _d.Input * _h.Input * _w.Input, outPixels = _d.Output * _h.Output * _w.Output;
        int pixelStep = channelsLast ? channels : 1, channelStep = channelsLast ? 1 : inPixels, outStep = channelsLast ? 1 : outPixels;
        for (int n = 0; n < batch; n++)
        {
            int pixel = 0;
            for (int od = 0; od < _d.Output; od++)
                for (int oh = 0; oh < _h.Output; oh++)
                    for (int ow = 0; ow < _w.Output; ow++, pixel++)
                    {
                        int count = Math.Max(1, Counted(_d, od) * Counted(_h, oh) * Counted(_w, ow));
                        float multiplier = xScale / yScale / count;
                        for (int c = 0; c < channels; c++)
                        {
                            int first = n * channels * inPixels + c * channelStep, sum = 0;
                            for (int kd = 0; kd < _d.Kernel; kd++)
                            {
                                int z = od * _d.Stride - _d.PadBegin + kd * _d.Dilation;
                                if ((uint)z >= _d.Input) continue;
                                for (int kh = 0; kh < _h.Kernel; kh++)
                                {
                                    int v = oh * _h.Stride - _h.PadBegin + kh * _h.Dilation;
                                    if ((uint)v >= _h.Input) continue;
                                    for (int kw = 0; kw < _w.Kernel; kw++)
                                    {
                                        int u = ow * _w.Stride - _w.PadBegin + kw * _w.Dilation;
                                        if ((uint)u >= _w.Input) continue;
                                        sum += (x[first + ((z * _h.Input + v) * _w.Input + u) * pixelStep] ^ flip) - xZero;
                                    }
                                }
                            }
                            int at = n * channels * outPixels + pixel * pixelStep + c * outStep;
                            y[at] = (byte)(LinearQuantization.Requantize(sum, multiplier, yZero, 0, 255) ^ flip);
                        }
                    }
        }
    }

    /// <summary>Taps of window <paramref name="output"/> along one axis that n counts.</summary>
    private int Counted(WindowAxis axis, int output)
    {
        int count = 0, low = countPads ? -axis.PadBegin : 0, high = axis.Input + (countPads ? axis.PadEnd : 0);
        for (int k = 0; k < axis.Kernel; k++)
        {
            int at = output * axis.Stride - axis.PadBegin + k * axis.Dilation;
            if (at >= low && at < high) count++;
        }
        return count;
    }
}
