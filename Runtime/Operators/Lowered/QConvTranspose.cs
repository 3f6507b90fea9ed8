using Octet.Kernels.Geometry;
using Octet.Kernels.QConv;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using KernelConvTranspose = Octet.Kernels.QConv.QConvTranspose;

namespace Octet.Runtime.Operators;

/// <summary><c>octet.QConvTranspose</c>: quantized transposed convolution, channels-last.</summary>
/// <remarks>
/// Inputs x uint8 <c>[N, spatial…, C]</c>, w int8 or uint8 constant <c>[O, C/G, k…]</c> (ONNX has <c>[C, O/G, k…]</c>; the lowering turns it), bias? int32 <c>[O]</c>, sum? shaped like y.
/// Attributes group, kernel_shape, strides, dilations, pads and output_padding are complete; output_padding may exceed the stride. The epilogue is that of <see cref="LayerEpilogue"/>.
/// </remarks>
internal sealed class QConvTranspose : Operator
{
    /// <summary>The type's name.</summary>
    public const string Type = "QConvTranspose";

    public override OperatorId Id => new(Type, OctetDomain);

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
        var shape = new Dim[x.Length];
        (shape[0], shape[^1]) = (x[0], w[0]);
        for (int i = 1; i < x.Length - 1; i++) shape[i] = x[i].IsKnown ? Axis(c, i - 1, checked((int)x[i].Value)).Output : Dim.Unknown;
        c.Set(0, output, shape);
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0), w = c.InputShape(1);
        int spatial = x.Length - 2, groups = checked((int)c.Attributes.Int("group", 1));
        if (spatial > 3) throw c.Unsupported($"{spatial} spatial axes", "at most three");
        if (groups < 1 || w[0] % groups != 0 || x[^1] != w[1] * groups) throw c.Error($"x has {x[^1]} channels, w is {Tensor.Format(w)}, group is {groups}", "channels of x = w.shape[1] · group; group divides w.shape[0]");
        WindowAxis At(int fromEnd) => spatial >= fromEnd ? Axis(c, spatial - fromEnd, x[1 + spatial - fromEnd]) : WindowAxis.Unit;
        var shape = new ConvShape(x[0], x[^1], w[0], groups, At(3), At(2), At(1));
        if (c.Has(LayerEpilogue.Sum) && !c.InputShape(LayerEpilogue.Sum).AsSpan().SequenceEqual(c.OutputShape(0)))
            throw c.Error($"the sum operand has shape {Tensor.Format(c.InputShape(LayerEpilogue.Sum))}", $"the sum operand has y's shape {Tensor.Format(c.OutputShape(0))}");
        QEpilogue epilogue = LayerEpilogue.Read(c, shape.OutChannels, shape.W.Stride * shape.OutChannels);
        int[] zeroPoints = LayerEpilogue.WeightZeroPoints(c);
        Tensor weights = c.Required(1);
        QGemmKernel kernel = QGemmKernels.Select(shape.InputPixels, shape.GroupOutChannels, shape.GroupInChannels, c.IntegerCpu);
        string key = $"QConvTranspose {kernel.Name} {shape.Groups} {shape.D} {shape.H} {shape.W} zero points {string.Join(",", zeroPoints)}";
        QConvTransposeWeights packed = c.Share(weights, key, () => weights.Type is DataType.Int8 or DataType.Int4 or DataType.Int2
            ? QConvTransposeWeights.Pack(shape, weights.Span<sbyte>(), zeroPoints, kernel)
            : QConvTransposeWeights.Pack(shape, weights.Span<byte>(), zeroPoints, kernel));
        return new TransposeStep(KernelConvTranspose.Create(shape, packed, LayerEpilogue.DataZeroPoint(c), epilogue), c.Workers);
    }

    private static WindowAxis Axis(NodeContext c, int axis, int input)
    {
        int At(string name, int index) => c.Attributes.Ints(name) is { } values && index < values.Length ? checked((int)values[index]) : throw c.Error($"{name} has no value for spatial axis {axis}", "the lowering writes complete attributes");
        int rank = c.Attributes.Ints("kernel_shape")?.Length ?? 0;
        int stride = At("strides", axis), dilation = At("dilations", axis), kernel = At("kernel_shape", axis), begin = At("pads", axis), end = At("pads", axis + rank);
        long output = input == 0 ? At("output_padding", axis) - begin - end : (long)stride * (input - 1) + (kernel - 1L) * dilation + 1 + At("output_padding", axis) - begin - end;
        if (output is < 0 or > int.MaxValue / 4) throw c.Error($"the output has extent {output} on spatial axis {axis}", "output extents are not negative");
        return new WindowAxis(input, kernel, stride, dilation, begin, end, (int)output);
    }

    private sealed class TransposeStep(KernelConvTranspose convolution, int workers) : Step
    {
        public override string Kernel => convolution.Method;

        public override string Reason => "one convolution per output phase";

        public override long MultiplyAccumulates => convolution.MultiplyAccumulates;

        public override int ScratchBytes { get; } = convolution.ScratchBytes(workers);

        /// <summary>The sum operand is read element by element right before the output is written there.</summary>
        public override int InPlaceInput(int output) => convolution.Epilogue.Sum is null ? -1 : LayerEpilogue.Sum;

        public override void Run(StepContext c) =>
            convolution.Run(c.Input<byte>(0), c.Has(LayerEpilogue.Sum) ? c.Input(LayerEpilogue.Sum).Bytes.Span : default, c.Output(0).Bytes.Span, c.Scratch, c.Parallel);
    }
}
