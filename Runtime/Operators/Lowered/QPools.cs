using Octet.Kernels.Geometry;
using Octet.Kernels.Pool;
using Octet.Kernels.Quantize;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using KernelPoolShape = Octet.Kernels.Pool.PoolShape;

namespace Octet.Runtime.Operators;

/// <summary><c>octet.QAveragePool</c> and <c>octet.QGlobalAveragePool</c> on bytes, channels-last.</summary>
/// <remarks>
/// x is <c>[N, spatial…, C]</c>; attributes are those of average pooling (kernel_shape, strides, pads, dilations, ceil_mode, count_include_pad) without
/// auto_pad, and x_scale, x_zero_point, y_scale, y_zero_point. n counts the elements of a window:
/// <code>y = clamp(round(Σ (x − zx) · ((sx/sy) / n)) + zy, 0, 255)</code>
/// </remarks>
internal sealed class QAveragePool(string type, bool global) : Operator
{
    public override OperatorId Id => new(type, OctetDomain);

    public override string Types => "uint8";

    public override string IntegerForm => "itself";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8);
        if (c.Shape(0) is not { } x)
        {
            c.SetUnknownShape(0, DataType.UInt8);
            return;
        }
        if (x.Length < 3) throw c.Error($"the data has {x.Length} axes", "batch, at least one spatial axis, channels");
        Dim[] spatial = new Dim[x.Length - 2];
        if (global) for (int i = 0; i < spatial.Length; i++) spatial[i] = 1;
        else spatial = WindowReader.Infer(c, x.AsSpan()[1..^1], Array.ConvertAll(Window(c), extent => (Dim)extent));
        c.Set(0, DataType.UInt8, [x[0], .. spatial, x[^1]]);
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0), spatial = x[1..^1];
        if (spatial.Length > 3) throw c.Unsupported($"{spatial.Length} spatial axes", "at most three");
        WindowAxis[] axes = global
            ? Array.ConvertAll(spatial, extent => new WindowAxis(extent, Math.Max(1, extent), 1, 1, 0, 0, 1))
            : WindowReader.Read(c, spatial, Array.ConvertAll(Window(c), extent => checked((int)extent)));
        bool countPads = c.Attributes.Int("count_include_pad") != 0;
        int xZero = checked((int)c.Attributes.Int("x_zero_point")), yZero = checked((int)c.Attributes.Int("y_zero_point"));
        float xScale = c.Attributes.Float("x_scale"), yScale = c.Attributes.Float("y_scale");
        var shape = new KernelPoolShape(x[0], x[^1], axes.Length > 2 ? axes[^3] : WindowAxis.Unit, axes.Length > 1 ? axes[^2] : WindowAxis.Unit, axes[^1]);
        if (shape.Taps > MostTapsOfKernel) return new ReferenceStep(new AverageWindows(x[0], x[^1], axes, countPads, channelsLast: true), xScale, yScale, xZero, yZero);
        return new PoolStep(PoolKernel.Create(shape, PoolOperation.Average, countPads, 1, c.Cpu), new QuantizedAverage(xScale / yScale, xZero, yZero), c.Workers);
    }

    /// <summary>The kernel sums in float32, exact up to 2²⁴.</summary>
    private const int MostTapsOfKernel = (1 << 24) / 255;

    private static long[] Window(NodeContext c) => c.Attributes.Ints("kernel_shape") ?? throw c.Error("kernel_shape is missing", "a pool names its window");

    private sealed class PoolStep(PoolKernel pool, QuantizedAverage average, int workers) : Step
    {
        public override string Kernel => "quantized average";

        public override int ScratchBytes { get; } = checked((int)pool.ScratchBytes(workers));

        public override void Run(StepContext c) => pool.Run<UInt8Type, byte>(c.Input<byte>(0), c.Output<byte>(0), average, c.Scratch, c.Parallel);
    }

    private sealed class ReferenceStep(AverageWindows windows, float xScale, float yScale, int xZero, int yZero) : Step
    {
        public override string Kernel => "quantized average, 32-bit sums";

        public override void Run(StepContext c) => windows.Run(c.Input<byte>(0), c.Output<byte>(0), 0, xZero, yZero, xScale, yScale);
    }
}
