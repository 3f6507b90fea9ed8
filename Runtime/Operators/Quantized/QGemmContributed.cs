using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>com.microsoft.QGemm</c>: <c>y = quantize(α · sa · sb · (A·B + C))</c>, or real values where y has no scale.</summary>
/// <remarks>
/// Inputs A, a_scale, a_zero_point, B, b_scale, b_zero_point, C?, y_scale?, y_zero_point?. C is int32 in units of α·sa·sb. B's parameters are one number or one per column.
/// Attributes alpha, transA (must be 0), transB.
/// </remarks>
internal sealed class QGemmContributed : Operator
{
    public override OperatorId Id => new("QGemm", MicrosoftDomain);

    public override string Types => "int8, uint8 → int8, uint8, float32";

    public override string IntegerForm => "octet.QGemm";

    public override string Limits => "transA = 0; C has one element or N";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8, DataType.Int8);
        c.Expect(3, DataType.UInt8, DataType.Int8);
        if (c.Shape(0) is { Length: not 2 } || c.Shape(3) is { Length: not 2 }) throw c.Error("an operand is no matrix", "A and B have two axes");
        Dim rows = c.Shape(0) is { } a ? a[c.Attributes.Int("transA") != 0 ? 1 : 0] : Dim.Unknown;
        Dim columns = c.Shape(3) is { } b ? b[c.Attributes.Int("transB") != 0 ? 0 : 1] : Dim.Unknown;
        c.Set(0, c.Has(8) ? c.Element(8) : c.Has(7) ? DataType.UInt8 : DataType.Float32, rows, columns);
    }

    public override Step Plan(PlanContext c)
    {
        if (c.Attributes.Int("transA") != 0) throw c.Unsupported("transA = 1", "A is [M, K]");
        bool transposed = c.Attributes.Int("transB") != 0;
        int[] a = c.InputShape(0), b = c.InputShape(3);
        int k = transposed ? b[1] : b[0], n = transposed ? b[0] : b[1];
        if (a[1] != k) throw c.Error($"A has {a[1]} columns but B has depth {k}", "A.shape[1] is the depth of B");
        var product = IntegerProduct.Create(c, new BatchedProduct(a[0], k, n, [0], [0]), 0, 3, 2, 5, transposed);
        float alpha = c.Attributes.Float("alpha", 1);
        int bias = c.Has(6) ? 6 : -1;
        if (bias >= 0) c.Expect(bias, DataType.Int32);
        return c.Has(7)
            ? new ScaledProduct(c, product, new(AScale: 1, BScale: 4, YScale: 7, YZero: 8, Bias: bias), c.OutputElement(0), alpha)
            : new ScaledProduct(c, product, new(AScale: 1, BScale: 4, Bias: bias), DataType.Float32, alpha);
    }
}
