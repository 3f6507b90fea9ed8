using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>octet.RoundTo</c>: float32 rounded to the nearest value of the type that attribute <c>to</c> names (float16 or bfloat16), half to even, kept as float32.</summary>
/// <remarks>Values beyond the type's range become infinite; NaN stays NaN.</remarks>
internal sealed class RoundTo : Operator
{
    public override OperatorId Id => new("RoundTo", OctetDomain);

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32);
        c.Set(0, c.Type(0));
    }

    public override Step Plan(PlanContext c) => (DataType)c.Attributes.Int("to") switch
    {
        DataType.Float16 => Step.From("round to float16", static run => ToHalf(run.Input<float>(0), run.Output<float>(0)), inPlaceInput: 0),
        DataType.BFloat16 => Step.From("round to bfloat16", static run => ToBFloat16(run.Input<float>(0), run.Output<float>(0)), inPlaceInput: 0),
        DataType other => throw c.Error($"to is {other.Name()}", "to is float16 or bfloat16"),
    };

    private static void ToHalf(ReadOnlySpan<float> x, Span<float> y)
    {
        for (int i = 0; i < x.Length; i++) y[i] = (float)(Half)x[i];
    }

    private static void ToBFloat16(ReadOnlySpan<float> x, Span<float> y)
    {
        for (int i = 0; i < x.Length; i++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(x[i]);
            // Adding 0x7FFF and the last kept bit carries into it exactly where half to even rounds up.
            if (!float.IsNaN(x[i])) bits += 0x7FFFu + ((bits >> 16) & 1u);
            y[i] = BitConverter.UInt32BitsToSingle(bits & 0xFFFF0000u | (float.IsNaN(x[i]) ? 0x00400000u : 0u));
        }
    }
}
