using System.Runtime.InteropServices;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>octet.QGemm</c>: <c>y[…,n] = epilogue(Σₖ (x[…,k] − x_zero_point)·(w[k,n] − w_zero_points[n]) + bias[n])</c>.</summary>
/// <remarks>
/// Inputs x uint8 <c>[…, K]</c>, w int8 or uint8 constant <c>[K, N]</c> (<c>[N, K]</c> with transB), bias? int32 <c>[N]</c>, sum? shaped like y.
/// Attribute <c>x_high</c> (largest byte of x, default 255). The epilogue is that of <see cref="LayerEpilogue"/>.
/// </remarks>
internal sealed class QGemm : Operator
{
    public override OperatorId Id => new("QGemm", OctetDomain);

    public override string Types => "uint8 × int8, uint8 → uint8, float32, int32";

    public override string IntegerForm => "itself";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8);
        DataType output = LayerEpilogue.Output(c);
        if (c.Shape(0) is not { } x || c.Shape(1) is not { } w)
        {
            c.SetUnknownShape(0, output);
            return;
        }
        bool transposed = c.Attributes.Int("transB") != 0;
        if (x.Length < 1 || w.Length != 2) throw c.Error($"the data has {x.Length} axes, the weights {w.Length}", "the data has at least one, the weights two");
        if (x[^1].DiffersFrom(w[transposed ? 1 : 0])) throw c.Error($"the data has depth {x[^1]}, the weights {w[transposed ? 1 : 0]}", "both have the same depth");
        c.Set(0, output, [.. x.AsSpan()[..^1], w[transposed ? 0 : 1]]);
    }

    public override Step Plan(PlanContext c)
    {
        bool transposed = c.Attributes.Int("transB") != 0;
        int[] x = c.InputShape(0), shape = c.InputShape(1);
        int k = x[^1], n = shape[transposed ? 0 : 1], m = Tensor.CountElements(x[..^1]);
        if (c.Has(LayerEpilogue.Sum) && !c.InputShape(LayerEpilogue.Sum).AsSpan().SequenceEqual(c.OutputShape(0)))
            throw c.Error($"the sum operand has shape {Tensor.Format(c.InputShape(LayerEpilogue.Sum))}", $"the sum operand has y's shape {Tensor.Format(c.OutputShape(0))}");
        QEpilogue epilogue = LayerEpilogue.Read(c, n);
        int[] zeroPoints = LayerEpilogue.WeightZeroPoints(c);
        Tensor w = c.Required(1);
        string key = $"QGemm {QGemmKernels.Candidates(m, n, k, c.IntegerCpu)} {(transposed ? "NK" : "KN")} zero points {string.Join(",", zeroPoints)} activations to {LayerEpilogue.LargestData(c)}";
        QGemmWeights weights = c.Share(w, key, () =>
        {
            using BorrowedBytes bytes = w.Borrow();
            return w.Type is DataType.Int8 or DataType.Int4 or DataType.Int2
                ? QGemmWeights.PackFastest(MemoryMarshal.Cast<byte, sbyte>(bytes.Span), m, k, n, transposed, zeroPoints, c.IntegerCpu, LayerEpilogue.LargestData(c))
                : QGemmWeights.PackFastest(bytes.Span, m, k, n, transposed, zeroPoints, c.IntegerCpu, LayerEpilogue.LargestData(c));
        });
        return new ProductStep(weights, epilogue, m, LayerEpilogue.DataZeroPoint(c), c.Workers);
    }

    private sealed class ProductStep(QGemmWeights weights, QEpilogue epilogue, int m, int zeroPoint, int workers) : Step
    {
        public override string Kernel => weights.Kernel.Name;

        public override string Reason => weights.Reason;

        public override long MultiplyAccumulates => (long)m * weights.Columns * weights.Depth;

        public override int ScratchBytes { get; } = QGemmDriver.ScratchBytes(m, weights, workers);

        /// <summary>The sum operand is read element by element right before the output is written there.</summary>
        public override int InPlaceInput(int output) => epilogue.Sum is null ? -1 : LayerEpilogue.Sum;

        public override void Run(StepContext c) =>
            QGemmDriver.Run(c.Input<byte>(0), weights.Depth, m, weights, zeroPoint, epilogue,
                c.Has(LayerEpilogue.Sum) ? c.Input(LayerEpilogue.Sum).Bytes.Span : default, c.Output(0).Bytes.Span, weights.Columns, c.Scratch, c.Parallel);
    }
}
