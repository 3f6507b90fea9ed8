using Octet.Kernels.Cpu;
using Octet.Kernels.Quantize;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>octet.DequantizeAdd</c>: <c>y = (a − za)·sa + (b − zb)·sb</c> of two uint8 tensors of one shape in float32, rounded as DequantizeLinear and Add round.</summary>
/// <remarks>Attributes a_scale, a_zero_point, b_scale, b_zero_point.</remarks>
internal sealed class DequantizeAdd : Operator
{
    /// <summary>The type's name.</summary>
    public const string Type = "DequantizeAdd";

    public override OperatorId Id => new(Type, OctetDomain);

    public override string Types => "uint8 → float32";

    public override string IntegerForm => "boundary";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8);
        c.Expect(1, DataType.UInt8);
        c.Set(0, c.Type(0) with { Element = DataType.Float32 });
    }

    public override Step Plan(PlanContext c)
    {
        if (!c.InputShape(0).AsSpan().SequenceEqual(c.InputShape(1))) throw c.Error("its operands have different shapes", "both have one shape");
        (float, int) a = (c.Attributes.Float("a_scale"), checked((int)c.Attributes.Int("a_zero_point"))), b = (c.Attributes.Float("b_scale"), checked((int)c.Attributes.Int("b_zero_point")));
        CpuFeatures cpu = c.Cpu;
        return Step.From("dequantized sum", run => DequantizedSum.Run(run.Input<byte>(0), a, run.Input<byte>(1), b, run.Output<float>(0), cpu, run.Parallel));
    }
}
