using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>octet.QMatMul</c>: <c>y[…,m,n] = epilogue(Σₖ (a[…,m,k] − x_zero_point)·(b[…,k,n] − b_zero_point) + bias[n])</c>, both operands computed at run time.</summary>
/// <remarks>
/// Inputs a uint8 <c>[…, M, K]</c>, b uint8 <c>[…, K, N]</c> (<c>[…, N, K]</c> with transB), both of rank 2 or more, leading axes broadcast; bias? int32 <c>[N]</c>, sum? shaped like y.
/// The epilogue is that of <see cref="LayerEpilogue"/>; its multiplier is <c>s_a·s_b</c>, over s_y for bytes.
/// </remarks>
internal sealed class QMatMul : Operator
{
    /// <summary>The type's name.</summary>
    public const string Type = "QMatMul";

    public override OperatorId Id => new(Type, OctetDomain);

    public override string Types => "uint8 × uint8 → uint8, float32, int32";

    public override string IntegerForm => "itself";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8);
        c.Expect(1, DataType.UInt8);
        c.Set(0, BatchedProduct.Infer(c, c.Type(0), Turned(c), LayerEpilogue.Output(c)));
    }

    public override Step Plan(PlanContext c)
    {
        bool transposed = c.Attributes.Int("transB") != 0;
        int[] b = [.. c.InputShape(1)];
        if (transposed) (b[^1], b[^2]) = (b[^2], b[^1]);
        BatchedProduct shape = BatchedProduct.Create(c.InputShape(0), b);
        if (c.Has(LayerEpilogue.Sum) && !c.InputShape(LayerEpilogue.Sum).AsSpan().SequenceEqual(c.OutputShape(0)))
            throw c.Error($"the sum operand has shape {Tensor.Format(c.InputShape(LayerEpilogue.Sum))}", $"the sum operand has y's shape {Tensor.Format(c.OutputShape(0))}");
        QEpilogue epilogue = LayerEpilogue.Read(c, shape.N);
        QGemmBatch batch = QGemmBatch.Create(shape.M, shape.N, shape.K, shape.A, shape.B, transposed, epilogue, c.Cpu);
        return new ProductStep(batch, (long)shape.Count * shape.M * shape.N * shape.K, LayerEpilogue.DataZeroPoint(c), checked((int)c.Attributes.Int("b_zero_point")), c.Workers);
    }

    /// <summary>B's type as a matrix <c>[…, K, N]</c>.</summary>
    private static TensorType Turned(NodeContext c)
    {
        TensorType type = c.Type(1);
        if (c.Attributes.Int("transB") == 0 || type.Shape is not { } shape || shape.Length < 2) return type;
        Dim[] turned = [.. shape];
        (turned[^1], turned[^2]) = (turned[^2], turned[^1]);
        return new TensorType(type.Element, turned);
    }

    private sealed class ProductStep(QGemmBatch batch, long macs, int aZero, int bZero, int workers) : Step
    {
        private readonly int[] _bZeros = bZero == 0 ? [] : [bZero];

        public override string Kernel => batch.Kernel.Name;

        public override string Reason => "both operands are computed at run time: B is packed in every run";

        public override long MultiplyAccumulates => macs;

        public override int ScratchBytes { get; } = batch.ScratchBytes(workers);

        /// <summary>The sum operand is read element by element right before the output is written there.</summary>
        public override int InPlaceInput(int output) => batch.Epilogue.Sum is null ? -1 : LayerEpilogue.Sum;

        public override void Run(StepContext c) =>
            batch.Run(c.Input<byte>(0), false, aZero, c.Input<byte>(1), false, _bZeros, c.Has(LayerEpilogue.Sum) ? c.Input(LayerEpilogue.Sum).Bytes.Span : default,
                c.Output(0).Bytes.Span, c.Scratch, c.Parallel);
    }
}
