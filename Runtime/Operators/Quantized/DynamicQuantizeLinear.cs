using Octet.Kernels.Cpu;
using Octet.Kernels.Reduce;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>DynamicQuantizeLinear</c>: uint8 quantization by the range of the data itself, widened to contain 0.</summary>
/// <remarks>
/// <code>
///   scale = (max(x, 0) − min(x, 0)) / 255      zeroPoint = saturate(roundHalfEven(−min / scale))      y = saturate(roundHalfEven(x / scale) + zeroPoint)
/// </code>
/// All-zero or empty data has scale 1, zero point 0. NaN takes no part in the range and quantizes to the zero point.
/// Spec: https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html
/// </remarks>
internal sealed class DynamicQuantizeLinear : Operator
{
    public override OperatorId Id => new("DynamicQuantizeLinear", Since: 11);

    public override string Types => "float32 → uint8";

    public override string IntegerForm => "boundary";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32);
        c.Set(0, c.Type(0) with { Element = DataType.UInt8 });
        c.Set(1, DataType.Float32, []);
        c.Set(2, DataType.UInt8, []);
    }

    public override Step Plan(PlanContext c) => new QuantizeStep(c.Cpu);

    /// <summary>Scale and zero point for values between <paramref name="min"/> and <paramref name="max"/>.</summary>
    public static (float Scale, byte ZeroPoint) Parameters(float min, float max)
    {
        min = MathF.Min(min, 0);
        max = MathF.Max(max, 0);
        if (min == max) return (1, 0);
        float scale = (max - min) / 255;
        if (scale == 0) return (float.Epsilon, 0);   // the range is below 255 of the smallest numbers
        return (scale, (byte)MathF.Round(Math.Clamp(-min / scale, 0, 255), MidpointRounding.ToEven));
    }

    /// <summary>Smallest and largest value, widened to contain 0.</summary>
    public static (float Min, float Max) Range(ReadOnlySpan<float> x, CpuFeatures cpu)
    {
        if (x.Length == 0) return (0, 0);
        (float min, float max) = RangeKernels.MinMax(x, cpu);
        return (Math.Min(min, 0), Math.Max(max, 0));
    }

    private sealed class QuantizeStep(CpuFeatures cpu) : Step
    {
        public override string Kernel => "quantize by range";

        public override void Run(StepContext c)
        {
            ReadOnlySpan<float> x = c.Input<float>(0);
            (float min, float max) = Range(x, cpu);
            (float scale, byte zeroPoint) = Parameters(min, max);
            if (c.Wants(0)) LinearQuantization.Quantize(x, [scale], [zeroPoint], new QuantizationGrid(1, x.Length, 1, 0, true), DataType.UInt8, c.Output<byte>(0), cpu, c.Parallel);
            if (c.Wants(1)) c.Output<float>(1)[0] = scale;
            if (c.Wants(2)) c.Output<byte>(2)[0] = zeroPoint;
        }
    }
}
