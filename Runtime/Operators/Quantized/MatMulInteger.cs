using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>MatMulInteger</c>: <c>Y[m,n] = Σₖ (A[m,k] − za[m]) · (B[k,n] − zb[n])</c>, 8 bits in, int32 out, batches broadcast.</summary>
/// <remarks>
/// A zero point is one number, or one per row of A, or one per column of B. Sums wrap modulo 2³².
/// Spec: https://onnx.ai/onnx/operators/onnx__MatMulInteger.html
/// </remarks>
internal sealed class MatMulInteger : Operator
{
    public override OperatorId Id => new("MatMulInteger", Since: 10);

    public override string Types => "int8, uint8 → int32";

    public override string IntegerForm => "itself";

    public override string Limits => "zero points that differ between batches";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8, DataType.Int8);
        c.Expect(1, DataType.UInt8, DataType.Int8);
        c.Set(0, BatchedProduct.Infer(c, c.Type(0), c.Type(1), DataType.Int32));
    }

    public override Step Plan(PlanContext c) =>
        new ProductStep(IntegerProduct.Create(c, BatchedProduct.Create(c.InputShape(0), c.InputShape(1)), 0, 1, 2, 3));

    private sealed class ProductStep(IntegerProduct product) : Step
    {
        public override string Kernel => product.Kernel;

        public override long MultiplyAccumulates => (long)product.Length * product.Shape.K;

        public override int ScratchBytes => product.ScratchBytes;

        public override void Run(StepContext c) => product.Run(c, c.Output<int>(0), c.Scratch);
    }
}
