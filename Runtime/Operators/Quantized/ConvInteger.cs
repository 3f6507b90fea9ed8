using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>ConvInteger</c>: <c>y = Σ (x − zx)·(w − zw[o])</c>, 8 bits in, int32 out; 1-D, 2-D, 3-D, groups, dilations.</summary>
/// <remarks>
/// Padding adds nothing. Sums wrap modulo 2³².
/// Spec: https://onnx.ai/onnx/operators/onnx__ConvInteger.html
/// </remarks>
internal sealed class ConvInteger : Operator
{
    public override OperatorId Id => new("ConvInteger", Since: 10);

    public override string Types => "int8, uint8 → int32";

    public override string IntegerForm => "itself";

    public override string Limits => "at most three spatial axes";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8, DataType.Int8);
        c.Expect(1, DataType.UInt8, DataType.Int8);
        c.Set(0, IntegerConvolution.Infer(c, 0, 1, DataType.Int32));
    }

    public override Step Plan(PlanContext c) => new ConvStep(IntegerConvolution.Create(c, 0, 1, 2, 3));

    private sealed class ConvStep(IntegerConvolution convolution) : Step
    {
        public override string Kernel => convolution.Kernel;

        public override long MultiplyAccumulates => convolution.Shape.MultiplyAccumulates;

        public override int ScratchBytes => convolution.ScratchBytes;

        public override void Run(StepContext c) => convolution.Run(c, c.Output<int>(0), c.Scratch);
    }
}
