using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>QLinearMatMul</c>: <c>y = saturate(roundHalfEven(Σₖ (a − za)·(b − zb) · (sa·sb/sy)) + zy)</c>, batches broadcast.</summary>
/// <remarks>
/// Inputs a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point. A's and y's parameters are one number or one per row, B's one or one per column.
/// Spec: https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html
/// </remarks>
internal sealed class QLinearMatMul : Operator
{
    public override OperatorId Id => new("QLinearMatMul", Since: 10);

    public override string Types => "int8, uint8";

    public override string IntegerForm => "octet.QGemm";

    public override string Limits => "parameters that differ between batches";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8, DataType.Int8);
        c.Expect(3, DataType.UInt8, DataType.Int8);
        c.Set(0, BatchedProduct.Infer(c, c.Type(0), c.Type(3), c.Expect(7, DataType.UInt8, DataType.Int8)));
    }

    public override Step Plan(PlanContext c)
    {
        var product = IntegerProduct.Create(c, BatchedProduct.Create(c.InputShape(0), c.InputShape(3)), 0, 3, 2, 5);
        return new ScaledProduct(c, product, new(AScale: 1, BScale: 4, YScale: 6, YZero: 7), c.OutputElement(0));
    }
}
