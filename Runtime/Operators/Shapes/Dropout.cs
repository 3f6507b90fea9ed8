using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Dropout</c> as it is at inference: <c>y = x</c>; the mask, where wanted, is all true.</summary>
/// <remarks>
/// In training mode (input 2 true since version 12, <c>is_test</c> = 0 before version 7) with a ratio of 0 it is the same; any other ratio draws random
/// numbers, which no fixed result can follow, and is refused.
/// </remarks>
internal sealed class Dropout : Operator
{
    public override OperatorId Id { get; } = new("Dropout");

    public override string Types => "float32, float64, float16";

    public override string Limits => "inference, or training with ratio 0";

    public override void Infer(InferContext c)
    {
        c.Set(0, c.Type(0));
        c.Set(1, c.Type(0) with { Element = c.Opset < 10 ? c.Element(0) : DataType.Bool });
    }

    public override Step Plan(PlanContext c)
    {
        bool training = c.Opset >= 12 && c.Has(2) && c.Required(2).Span<bool>()[0];
        float ratio = c.Has(1) ? c.Required(1).ToFloat32Array()[0] : 0.5f;
        if (training && ratio != 0) throw c.Unsupported($"it is in training mode with ratio {ratio}", "training_mode false, or ratio 0");
        return c.Wants(1) ? new MaskedStep(c.OutputElement(1)) : new ViewStep();
    }

    private sealed class MaskedStep(DataType mask) : Step
    {
        public override string Kernel => "copy";

        public override int InPlaceInput(int output) => output == 0 ? 0 : -1;

        public override void Run(StepContext c)
        {
            if (c.Wants(0) && !c.Input(0).Bytes.Equals(c.Output(0).Bytes)) c.Input(0).Bytes.Span.CopyTo(c.Output(0).Bytes.Span);
            switch (mask)
            {
                case DataType.Bool: c.Output<byte>(1).Fill(1); break;
                case DataType.Float32: c.Output<float>(1).Fill(1); break;
                case DataType.Float64: c.Output<double>(1).Fill(1); break;
                default: c.Output<Half>(1).Fill((Half)1); break;
            }
        }
    }
}
