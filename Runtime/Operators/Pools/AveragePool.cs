using Octet.Kernels.Pool;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>AveragePool</c>: the sum of each window divided by its number of elements inside the input, or with <c>count_include_pad</c> inside the padded input.</summary>
/// <remarks>Spec: https://onnx.ai/onnx/operators/onnx__AveragePool.html</remarks>
internal sealed class AveragePool : Operator
{
    public override OperatorId Id => new("AveragePool");

    public override string Types => "float32, float64";

    public override string IntegerForm => "octet.QAveragePool";

    public override string Limits => "1 to 3 spatial axes";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32, DataType.Float64, DataType.Float16, DataType.BFloat16);
        PoolGeometry.Infer(c, channelsLast: false);
    }

    public override Step Plan(PlanContext c) => Plan(c, PoolGeometry.Window(c, channelsLast: false), channelsLast: false);

    internal static Step Plan(PlanContext c, PoolShape shape, bool channelsLast)
    {
        bool countPadding = c.Attributes.Int("count_include_pad") != 0;
        if (channelsLast && KernelPoolStep.Create(c, shape, PoolOperation.Average, countPadding) is { } step) return step;
        return c.Element(0) switch
        {
            DataType.Float32 => new WindowPoolStep<float, MeanFunction<float>>(shape, channelsLast, countPadding),
            DataType.Float64 => new WindowPoolStep<double, MeanFunction<double>>(shape, channelsLast, countPadding),
            DataType other => throw c.Unsupported($"average pooling of {other.Name()}", "float32, float64"),
        };
    }
}

/// <summary><c>octet.AveragePool</c>: average pooling of channels-last data.</summary>
internal sealed class OctetAveragePool : Operator
{
    public override OperatorId Id => new("AveragePool", OctetDomain);

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32);
        PoolGeometry.Infer(c, channelsLast: true);
    }

    public override Step Plan(PlanContext c) => AveragePool.Plan(c, PoolGeometry.Window(c, channelsLast: true), channelsLast: true);
}

/// <summary>ONNX <c>GlobalAveragePool</c>: the mean of each channel.</summary>
internal sealed class GlobalAveragePool : Operator
{
    public override OperatorId Id => new("GlobalAveragePool");

    public override string Types => "float32, float64";

    public override string IntegerForm => "octet.QGlobalAveragePool";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32, DataType.Float64, DataType.Float16, DataType.BFloat16);
        PoolGeometry.InferGlobal(c, channelsLast: false);
    }

    public override Step Plan(PlanContext c) => AveragePool.Plan(c, PoolGeometry.Global(c, channelsLast: false), channelsLast: false);
}

/// <summary><c>octet.GlobalAveragePool</c>: the mean of each channel of channels-last data.</summary>
internal sealed class OctetGlobalAveragePool : Operator
{
    public override OperatorId Id => new("GlobalAveragePool", OctetDomain);

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32);
        PoolGeometry.InferGlobal(c, channelsLast: true);
    }

    public override Step Plan(PlanContext c) => AveragePool.Plan(c, PoolGeometry.Global(c, channelsLast: true), channelsLast: true);
}
