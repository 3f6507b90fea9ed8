using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>Gemm</c>: <c>Y = alpha · op(A)·op(B) + beta · C</c>, C broadcast to <c>[M, N]</c>, op transposing where <c>transA</c>, <c>transB</c> say so.</summary>
/// <remarks>Spec: https://onnx.ai/onnx/operators/onnx__Gemm.html</remarks>
internal class Gemm : Operator
{
    public override OperatorId Id => new("Gemm");

    public override string Types => "float32, float64, int32, uint32, int64, uint64";

    public override string IntegerForm => "octet.QGemm, octet.QMatMul";

    public override void Infer(InferContext c)
    {
        DataType element = c.Expect(0, DataType.Float32, DataType.Float64, DataType.Float16, DataType.BFloat16, DataType.Int32, DataType.UInt32, DataType.Int64, DataType.UInt64);
        if (c.Rank(0) is not (-1 or 2) || c.Rank(1) is not (-1 or 2)) throw c.Error($"A has rank {c.Rank(0)} and B has rank {c.Rank(1)}", "A and B are matrices");
        bool transA = c.Attributes.Int("transA") != 0, transB = c.Attributes.Int("transB") != 0;
        Dim rows = Extent(c, 0, transA ? 1 : 0), depthA = Extent(c, 0, transA ? 0 : 1), depthB = Extent(c, 1, transB ? 1 : 0), columns = Extent(c, 1, transB ? 0 : 1);
        if (depthA.DiffersFrom(depthB)) throw c.Error($"A has depth {depthA} but B has depth {depthB}", "columns of A = rows of B");
        c.Set(0, element, rows, columns);
    }

    public override Step Plan(PlanContext c) => Plan(c, Activation.None);

    protected static Step Plan(PlanContext c, Activation activation)
    {
        bool transA = c.Attributes.Int("transA") != 0, transB = c.Attributes.Int("transB") != 0;
        int[] a = c.InputShape(0), b = c.InputShape(1);
        var shape = new ProductShape(a[transA ? 1 : 0], b[transB ? 0 : 1], a[transA ? 0 : 1], transA, transB, [0], [0]);
        return ProductPlan.Create(c, shape, new ProductEpilogue(c.Attributes.Float("alpha", 1f), c.Attributes.Float("beta", 1f), AddendInput: 2, SumInput: -1, activation, ActivationFirst: false));
    }

    private static Dim Extent(InferContext c, int input, int axis) => c.Shape(input) is { } shape ? shape[axis] : Dim.Unknown;
}

/// <summary>Contributed <c>FusedGemm</c>: Gemm followed by an activation.</summary>
internal sealed class FusedGemm : Gemm
{
    public override OperatorId Id => new("FusedGemm", MicrosoftDomain);

    public override string Types => "float32";

    public override string IntegerForm => "";

    public override string Limits => "constant B where there is an activation";

    public override Step Plan(PlanContext c) => Plan(c, Activation.ReadContributed(c));
}

/// <summary><c>octet.Gemm</c>: <c>y[…,n] = act(Σₖ x[…,k] · w[k,n] + bias[n] + sum[…,n])</c>; w lies as <c>[N, K]</c> where <c>transB</c>.</summary>
/// <remarks>Made by fusion. w and bias are constants. With <c>activation_first</c> the sum comes after the activation.</remarks>
internal sealed class OctetGemm : Operator
{
    public override OperatorId Id => new("Gemm", OctetDomain);

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32);
        if (c.Rank(1) is not (-1 or 2)) throw c.Error($"w has rank {c.Rank(1)}", "w is a matrix");
        if (c.Shape(0) is not { } x || c.Shape(1) is not { } w)
        {
            c.SetUnknownShape(0, DataType.Float32);
            return;
        }
        bool transposed = c.Attributes.Int("transB") != 0;
        Dim depth = w[transposed ? 1 : 0];
        if (x.Length == 0 || x[^1].DiffersFrom(depth)) throw c.Error($"x has shape {c.Type(0)} but w has depth {depth}", "x.shape[−1] = depth of w");
        c.Set(0, DataType.Float32, [.. x[..^1], w[transposed ? 0 : 1]]);
    }

    public override Step Plan(PlanContext c)
    {
        c.Required(1);
        if (c.Has(2)) c.Required(2);
        bool transposed = c.Attributes.Int("transB") != 0;
        int[] x = c.InputShape(0), w = c.InputShape(1);
        var shape = new ProductShape(Tensor.CountElements(x.AsSpan(0, x.Length - 1)), w[transposed ? 0 : 1], w[transposed ? 1 : 0], false, transposed, [0], [0]);
        return ProductPlan.Create(c, shape, new ProductEpilogue(1f, 1f, AddendInput: 2, SumInput: 3, Activation.Read(c), c.Attributes.Int("activation_first") != 0));
    }
}
