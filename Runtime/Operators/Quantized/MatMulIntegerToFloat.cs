using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>com.microsoft.MatMulIntegerToFloat</c>: <c>Y = (A − za)·(B − zb) · sa·sb + bias</c>, real values.</summary>
/// <remarks>Inputs A, B, a_scale, b_scale, a_zero_point?, b_zero_point?, bias?. A's parameters are one number or one per row, B's one or one per column.</remarks>
internal sealed class MatMulIntegerToFloat : Operator
{
    public override OperatorId Id => new("MatMulIntegerToFloat", MicrosoftDomain);

    public override string Types => "int8, uint8 → float32";

    public override string IntegerForm => "itself";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8, DataType.Int8);
        c.Expect(1, DataType.UInt8, DataType.Int8);
        c.Set(0, BatchedProduct.Infer(c, c.Type(0), c.Type(1), DataType.Float32));
    }

    public override Step Plan(PlanContext c)
    {
        var product = IntegerProduct.Create(c, BatchedProduct.Create(c.InputShape(0), c.InputShape(1)), 0, 1, 4, 5);
        return new ScaledProduct(c, product, new(AScale: 2, BScale: 3, Bias: c.Has(6) ? 6 : -1), DataType.Float32);
    }
}
