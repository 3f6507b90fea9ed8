using System.Runtime.InteropServices;
using Octet.Kernels.Geometry;
using Octet.Kernels.QConv;
using Octet.Kernels.Requantize;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>octet.QConv</c>: <c>y = epilogue(Σ (x − x_zero_point)·(w − w_zero_points[o]) + bias[o])</c>, bytes in, channels-last.</summary>
/// <remarks>
/// Inputs x uint8 <c>[N, spatial…, C]</c>, w int8 or uint8 constant <c>[O, C/G, k…]</c>, bias? int32 <c>[O]</c>, sum? shaped like y. Attributes are those of
/// convolution without auto_pad, <c>x_high</c> (largest byte of x, default 255), and the epilogue of <see cref="LayerEpilogue"/>. One to three spatial axes.
/// </remarks>
internal sealed class QConv : Operator
{
    public override OperatorId Id => new("QConv", OctetDomain);

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
        if (x.Length < 3 || x.Length != w.Length) throw c.Error($"the data has {x.Length} axes, the weights {w.Length}", "both have the same number, at least 3");
        c.Set(0, output, [x[0], .. WindowReader.Infer(c, x.AsSpan()[1..^1], w.AsSpan()[2..]), w[0]]);
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        ConvShape shape = IntegerConvolution.ReadShape(c, [x[0], x[^1], .. x[1..^1]], c.InputShape(1));
        if (c.Has(LayerEpilogue.Sum) && !c.InputShape(LayerEpilogue.Sum).AsSpan().SequenceEqual(c.OutputShape(0)))
            throw c.Error($"the sum operand has shape {Tensor.Format(c.InputShape(LayerEpilogue.Sum))}", $"the sum operand has y's shape {Tensor.Format(c.OutputShape(0))}");
        QEpilogue epilogue = LayerEpilogue.Read(c, shape.OutChannels);
        int[] zeroPoints = LayerEpilogue.WeightZeroPoints(c);
        Tensor w = c.Required(1);
        QConvChoice choice = QConvChoice.For(shape, c.IntegerCpu, c.IntegerWinograd, LayerEpilogue.LargestData(c));
        string key = $"QConv {choice.Key} groups {shape.Groups} zero points {string.Join(",", zeroPoints)}";
        QConvWeights weights = c.Share(w, key, () =>
        {
            using BorrowedBytes bytes = w.Borrow();
            return w.Type is DataType.Int8 or DataType.Int4 or DataType.Int2
                ? QConvWeights.Pack(shape, MemoryMarshal.Cast<byte, sbyte>(bytes.Span), zeroPoints, choice)
                : QConvWeights.Pack(shape, bytes.Span, zeroPoints, choice);
        });
        int zeroPoint = LayerEpilogue.DataZeroPoint(c);
        return new ConvStep(stride => QConvolution.Create(shape, weights, zeroPoint, epilogue, stride), 0, 0, c.Workers);
    }

    private sealed class ConvStep(Func<int, QConvolution> create, int firstColumn, int outputStride, int workers) : Step
    {
        private readonly QConvolution convolution = create(outputStride);

        public override string Kernel => convolution.Method;

        public override string Reason => convolution.Reason;

        public override long MultiplyAccumulates => convolution.Shape.MultiplyAccumulates;

        public override int ScratchBytes => convolution.ScratchBytes(workers);

        public override Step? IntoRows(int width, int first, int stride) =>
            width == convolution.Shape.OutChannels && convolution.Epilogue.Sum is null ? new ConvStep(create, first, stride, workers) : null;

        /// <summary>The sum operand is read element by element right before the output is written there.</summary>
        public override int InPlaceInput(int output) => convolution.Epilogue.Sum is null ? -1 : LayerEpilogue.Sum;

        public override void Run(StepContext c) =>
            convolution.Run(c.Input<byte>(0), c.Has(LayerEpilogue.Sum) ? c.Input(LayerEpilogue.Sum).Bytes.Span : default, c.Output(0).Bytes.Span[(firstColumn * convolution.Epilogue.ElementBytes)..], c.Scratch, c.Parallel);
    }
}
