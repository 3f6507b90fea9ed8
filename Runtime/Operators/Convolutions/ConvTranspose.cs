using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>ConvTranspose</c>: <c>y[n,o,q] = bias[o] + Σ x[n,c,p] · w[c,o,k]</c> over all p, k with <c>p·stride − pad + k·dilation = q</c>.</summary>
/// <remarks>One to three spatial axes. Spec: https://onnx.ai/onnx/operators/onnx__ConvTranspose.html</remarks>
internal sealed class ConvTranspose : Operator
{
    public override OperatorId Id => new("ConvTranspose");

    public override string Types => "float32, float64";

    public override string IntegerForm => "octet.QConvTranspose";

    public override string Limits => "1 to 3 spatial axes; computed weights run slowly";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32, DataType.Float64, DataType.Float16, DataType.BFloat16);
        ConvolutionGeometry.InferTranspose(c, channelsLast: false);
    }

    public override Step Plan(PlanContext c) => ConvolutionPlan.Transpose(c, channelsLast: false, Activation.None, activationFirst: false);
}

/// <summary><c>octet.ConvTranspose</c>: transposed convolution with the epilogue of <see cref="OctetConv"/>.</summary>
internal sealed class OctetConvTranspose : Operator
{
    public override OperatorId Id => new("ConvTranspose", OctetDomain);

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32);
        ConvolutionGeometry.InferTranspose(c, c.Attributes.Int("channels_last") != 0);
    }

    public override Step Plan(PlanContext c) =>
        ConvolutionPlan.Transpose(c, c.Attributes.Int("channels_last") != 0, Activation.Read(c), c.Attributes.Int("activation_first") != 0);
}
