using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>Conv</c>: <c>y[n,o,p] = bias[o] + Σ x[n,c,p·stride − pad + k·dilation] · w[o,c,k]</c> over the taps inside the input and the channels of o's group.</summary>
/// <remarks>One to three spatial axes. Spec: https://onnx.ai/onnx/operators/onnx__Conv.html</remarks>
internal sealed class Conv : Operator
{
    public override OperatorId Id => new("Conv");

    public override string Types => "float32, float64";

    public override string IntegerForm => "octet.QConv";

    public override string Limits => "1 to 3 spatial axes; computed weights run slowly";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32, DataType.Float64, DataType.Float16, DataType.BFloat16);
        ConvolutionGeometry.InferConv(c, channelsLast: false);
    }

    public override Step Plan(PlanContext c) => ConvolutionPlan.Conv(c, channelsLast: false, Activation.None, activationFirst: false);
}

/// <summary>Contributed <c>FusedConv</c>: <c>y = activation(Conv(x, w, bias) + z)</c>.</summary>
internal sealed class FusedConv : Operator
{
    public override OperatorId Id => new("FusedConv", MicrosoftDomain);

    public override string Limits => "constant weights; activation Relu, Tanh, Sigmoid, LeakyRelu, Clip, HardSigmoid, Elu, HardSwish or Gelu";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32, DataType.Float16);
        ConvolutionGeometry.InferConv(c, channelsLast: false);
    }

    public override Step Plan(PlanContext c) => ConvolutionPlan.Conv(c, channelsLast: false, Activation.ReadContributed(c), activationFirst: false);
}

/// <summary><c>octet.Conv</c>: <c>y = act(conv(x, w) + bias + sum)</c>, or <c>act(conv(x, w) + bias) + sum</c> with <c>activation_first</c>; channels-last or -first.</summary>
/// <remarks>Made by fusion and layout. Attributes as of Conv, complete; <c>activation</c>, <c>alpha</c>, <c>beta</c> name a unary operation of the kernels.</remarks>
internal sealed class OctetConv : Operator
{
    public override OperatorId Id => new("Conv", OctetDomain);

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32);
        ConvolutionGeometry.InferConv(c, c.Attributes.Int("channels_last") != 0);
    }

    public override Step Plan(PlanContext c) =>
        ConvolutionPlan.Conv(c, c.Attributes.Int("channels_last") != 0, Activation.Read(c), c.Attributes.Int("activation_first") != 0);
}
