using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>MatMul</c>: <c>Y[…,m,n] = Σₖ A[…,m,k] · B[…,k,n]</c>; the axes before the last two broadcast, a vector counts as a row (A) or column (B) that the result drops.</summary>
/// <remarks>Spec: https://onnx.ai/onnx/operators/onnx__MatMul.html</remarks>
internal sealed class MatMul : Operator
{
    public override OperatorId Id => new("MatMul");

    public override string Types => "float32, float64, int32, uint32, int64, uint64";

    public override string IntegerForm => "octet.QGemm, octet.QMatMul";

    public override void Infer(InferContext c) => MatrixProduct.Infer(c, transA: false, transB: false);

    public override Step Plan(PlanContext c) => ProductPlan.Create(c, MatrixProduct.Shape(c, transA: false, transB: false), ProductEpilogue.None);
}

/// <summary>Contributed <c>FusedMatMul</c>: <c>alpha · op(A)·op(B)</c>, op transposing the last two axes where <c>transA</c>, <c>transB</c> say so.</summary>
internal sealed class FusedMatMul : Operator
{
    public override OperatorId Id => new("FusedMatMul", MicrosoftDomain);

    public override string Limits => "no transBatchA, transBatchB";

    public override void Infer(InferContext c)
    {
        if (c.Attributes.Int("transBatchA") != 0 || c.Attributes.Int("transBatchB") != 0)
            throw c.Unsupported("transBatchA or transBatchB", "a Transpose before the product");
        MatrixProduct.Infer(c, c.Attributes.Int("transA") != 0, c.Attributes.Int("transB") != 0);
    }

    public override Step Plan(PlanContext c) => ProductPlan.Create(c, MatrixProduct.Shape(c, c.Attributes.Int("transA") != 0, c.Attributes.Int("transB") != 0),
        ProductEpilogue.None with { Alpha = c.Attributes.Float("alpha", 1f) });
}

/// <summary>Shapes of a product of any rank.</summary>
internal static class MatrixProduct
{
    /// <summary>Sets the output type.</summary>
    public static void Infer(InferContext c, bool transA, bool transB)
    {
        DataType element = c.Expect(0, DataType.Float32, DataType.Float64, DataType.Float16, DataType.BFloat16, DataType.Int32, DataType.UInt32, DataType.Int64, DataType.UInt64);
        if (c.Shape(0) is not { } a || c.Shape(1) is not { } b)
        {
            c.SetUnknownShape(0, element);
            return;
        }
        if (a.Length == 0 || b.Length == 0) throw c.Error("a scalar has no product", "A and B have at least one axis");
        transA &= a.Length > 1;
        transB &= b.Length > 1;
        Dim depthA = transA ? a[^2] : a[^1], depthB = b.Length == 1 ? b[0] : transB ? b[^1] : b[^2];
        if (depthA.DiffersFrom(depthB)) throw c.Error($"A has depth {depthA} but B has depth {depthB}", "columns of A = rows of B");

        int batchA = Math.Max(0, a.Length - 2), batchB = Math.Max(0, b.Length - 2), batch = Math.Max(batchA, batchB);
        var shape = new List<Dim>(batch + 2);
        for (int i = 0; i < batch; i++)
        {
            int atA = i - (batch - batchA), atB = i - (batch - batchB);
            shape.Add(Broadcast(c, atA < 0 ? 1 : a[atA], atB < 0 ? 1 : b[atB]));
        }
        if (a.Length > 1) shape.Add(transA ? a[^1] : a[^2]);
        if (b.Length > 1) shape.Add(transB ? b[^2] : b[^1]);
        c.Set(0, element, shape.ToArray());
    }

    /// <summary>The products of concrete types.</summary>
    public static ProductShape Shape(PlanContext c, bool transA, bool transB)
    {
        int[] a = c.InputShape(0), b = c.InputShape(1);
        transA &= a.Length > 1;
        transB &= b.Length > 1;
        int m = a.Length == 1 ? 1 : transA ? a[^1] : a[^2], k = transA ? a[^2] : a[^1], n = b.Length == 1 ? 1 : transB ? b[^2] : b[^1];
        ReadOnlySpan<int> batchA = a.AsSpan(0, Math.Max(0, a.Length - 2)), batchB = b.AsSpan(0, Math.Max(0, b.Length - 2));
        int rank = Math.Max(batchA.Length, batchB.Length);
        int[] extents = new int[rank];
        for (int i = 0; i < rank; i++)
        {
            int fromA = At(batchA, i - (rank - batchA.Length)), fromB = At(batchB, i - (rank - batchB.Length));
            extents[i] = fromA == 1 ? fromB : fromA;
        }
        int count = Tensor.CountElements(extents);
        return new ProductShape(m, n, k, transA, transB, Offsets(extents, batchA, count), Offsets(extents, batchB, count));
    }

    private static int At(ReadOnlySpan<int> shape, int axis) => axis < 0 ? 1 : shape[axis];

    /// <summary>Which matrix of an operand each product reads, the operand's batch axes broadcast to <paramref name="extents"/>.</summary>
    private static int[] Offsets(int[] extents, ReadOnlySpan<int> operand, int count)
    {
        int[] offsets = new int[count];
        for (int product = 0; product < count; product++)
        {
            int rest = product, stride = 1, offset = 0;
            for (int i = 1; i <= extents.Length; i++)
            {
                int index = rest % extents[^i];
                rest /= extents[^i];
                if (i > operand.Length) continue;
                if (operand[^i] != 1) offset += index * stride;
                stride *= operand[^i];
            }
            offsets[product] = offset;
        }
        return offsets;
    }

    private static Dim Broadcast(InferContext c, Dim a, Dim b)
    {
        if (a.Is(1)) return b;
        if (b.Is(1) || a.SameAs(b)) return a;
        if (a.DiffersFrom(b)) throw c.Error($"batch extents {a} and {b} do not fit", "batch extents are equal or 1");
        return a.IsKnown ? a : b.IsKnown ? b : Dim.Unknown;
    }
}
