using System.Numerics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Geometry;
using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>octet.ConvInteger</c>: an integer convolution of data quantized at run time, brought back to real values, made by fusion.</summary>
/// <remarks>
/// <code>
///   acc = Σ (x − zx)·(w − w_zero_points[o])        y = act(float(acc) · scale[o] + bias[o] + sum)        every operation rounded to float32
/// </code>
/// Inputs x int8 or uint8 (<c>[N, …, C]</c> with <c>channels_last</c>), w constant <c>[O, C/G, k…]</c>, bias? float32 constant <c>[O]</c>, sum? shaped like y, zx? one number, scale float32:
/// one number or O. With <c>activation_first</c> the sum comes after the activation. Attributes as of Conv, complete.
/// </remarks>
internal sealed class OctetConvInteger : Operator
{
    private const int Bias = 2, Sum = 3, Zero = 4, Scale = 5;

    public override OperatorId Id => new("ConvInteger", OctetDomain);

    public override string Types => "int8, uint8 → float32";

    public override string IntegerForm => "itself";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8, DataType.Int8);
        c.Expect(1, DataType.UInt8, DataType.Int8);
        if (c.Shape(0) is not { } x || c.Shape(1) is not { } w || x.Length < 3 || x.Length != w.Length)
        {
            c.SetUnknownShape(0, DataType.Float32);
            return;
        }
        bool last = c.Attributes.Int("channels_last") != 0;
        Dim[] spatial = WindowReader.Infer(c, last ? x.AsSpan()[1..^1] : x.AsSpan()[2..], w.AsSpan()[2..]);
        c.Set(0, DataType.Float32, last ? [x[0], .. spatial, w[0]] : [x[0], w[0], .. spatial]);
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        bool last = c.Attributes.Int("channels_last") != 0;
        ConvShape shape = IntegerConvolution.ReadShape(c, last ? [x[0], x[^1], .. x[1..^1]] : x, c.InputShape(1));
        long[] zeros = c.Attributes.Ints("w_zero_points") ?? [];
        if (OperandParameters.Count(c, Scale, shape.OutChannels, "a scale") == 0) throw c.Error("there is no scale", "the scale is required");
        OperandParameters.Count(c, Zero, 1, "a zero point of x");
        if (OperandParameters.Count(c, Bias, shape.OutChannels, "a bias") == 1 && shape.OutChannels != 1) throw c.Error($"the bias is {c.Type(Bias)}", "one per output channel");
        if (c.Has(Sum) && !c.InputShape(Sum).AsSpan().SequenceEqual(c.OutputShape(0))) throw c.Error($"the sum operand is {c.Type(Sum)}", "the sum operand has y's shape");
        Activation activation = Activation.Read(c);
        return new ConvStep(new PackedIntegerConvolution(c, shape, c.Required(1), Array.ConvertAll(zeros, zero => (int)zero)), shape, last, c.Element(0) == DataType.Int8,
            activation, activation == Activation.None ? null : UnaryKernel.Select(activation.Function, c.Cpu), c.Attributes.Int("activation_first") != 0, c.Has(Sum));
    }

    private sealed class ConvStep(PackedIntegerConvolution convolution, ConvShape shape, bool channelsLast, bool signed, Activation activation, UnaryKernel? kernel, bool activationFirst, bool hasSum) : Step
    {
        /// <summary>Floats that one piece turns at a time, so that they stay in the first-level cache through the passes.</summary>
        private const int BlockFloats = 2048;

        private int BlockPixels => Math.Max(1, BlockFloats / shape.OutChannels);

        public override string Kernel => convolution.Convolution.Method;

        public override string Reason => convolution.Convolution.Reason;

        public override long MultiplyAccumulates => shape.MultiplyAccumulates;

        public override int ScratchBytes => convolution.ScratchBytes;

        /// <summary>The sum operand is read right before the output is written there, unless an activation comes between.</summary>
        public override int InPlaceInput(int output) => hasSum && channelsLast && !activationFirst ? Sum : -1;

        public override void Run(StepContext c)
        {
            Span<int> one = stackalloc int[1];
            int zero = OperandParameters.Read(c, Zero, one)[0];
            convolution.Sums(c, c.Input<byte>(0), channelsLast, signed, zero, c.Scratch);
            var work = new Pieces { Step = this, Context = c, Zero = convolution.ZeroPoint(signed, zero) };
            int pixels = shape.Batch * shape.OutputPixels;
            c.Parallel.For(ref work, channelsLast ? (pixels + BlockPixels - 1) / BlockPixels : shape.Batch * shape.OutChannels);
        }

        private struct Pieces : IPieces
        {
            public ConvStep Step;
            public StepContext Context;
            public int Zero;

            public readonly void Run(int piece, int worker)
            {
                if (Step.ChannelsLast) Step.Pixels(Context, piece, Zero);
                else Step.Plane(Context, piece, Zero);
            }
        }

        private bool ChannelsLast => channelsLast;

        /// <summary>A block of pixels, all channels.</summary>
        private void Pixels(StepContext c, int block, int zero)
        {
            int channels = shape.OutChannels, first = block * BlockPixels, count = Math.Min(BlockPixels, shape.Batch * shape.OutputPixels - first);
            ReadOnlySpan<int> sums = convolution.LastSums(c.Scratch).Slice(first * channels, count * channels), terms = convolution.ZeroTerms;
            ReadOnlySpan<float> scale = c.Input<float>(Scale), bias = c.Has(Bias) ? c.Input<float>(Bias) : default;
            Span<float> y = c.Output<float>(0).Slice(first * channels, count * channels);
            ReadOnlySpan<float> sum = c.Has(Sum) ? c.Input<float>(Sum).Slice(first * channels, count * channels) : default;
            bool addFirst = !sum.IsEmpty && !activationFirst, relu = kernel is not null && activation.Function == UnaryOperation.Relu && (sum.IsEmpty || addFirst);
            for (int pixel = 0; pixel < count; pixel++)
            {
                int at = pixel * channels;
                ReadOnlySpan<int> from = sums.Slice(at, channels);
                Span<float> to = y.Slice(at, channels);
                ReadOnlySpan<float> added = addFirst ? sum.Slice(at, channels) : default;
                int o = 0;
                for (; o <= channels - Vector<float>.Count; o += Vector<float>.Count)
                {
                    Vector<int> acc = new Vector<int>(from[o..]) - new Vector<int>(zero) * new Vector<int>(terms[o..]);
                    Vector<float> value = Vector.ConvertToSingle(acc) * (scale.Length == 1 ? new Vector<float>(scale[0]) : new Vector<float>(scale[o..]));
                    if (!bias.IsEmpty) value += new Vector<float>(bias[o..]);
                    if (addFirst) value += new Vector<float>(added[o..]);
                    if (relu) value = Vector.Max(value, Vector<float>.Zero);
                    value.CopyTo(to[o..]);
                }
                for (; o < channels; o++)
                {
                    float value = unchecked(from[o] - zero * terms[o]) * scale[scale.Length == 1 ? 0 : o];
                    if (!bias.IsEmpty) value += bias[o];
                    if (addFirst) value += added[o];
                    to[o] = relu ? Math.Max(value, 0) : value;
                }
            }
            Finish(relu, y, activationFirst ? sum : default);
        }

        /// <summary>One channel of one image, channels-first.</summary>
        private void Plane(StepContext c, int piece, int zero)
        {
            int channels = shape.OutChannels, pixels = shape.OutputPixels, o = piece % channels, n = piece / channels;
            ReadOnlySpan<int> sums = convolution.LastSums(c.Scratch).Slice(n * pixels * channels, pixels * channels);
            ReadOnlySpan<float> scale = c.Input<float>(Scale), bias = c.Has(Bias) ? c.Input<float>(Bias) : default;
            Span<float> y = c.Output<float>(0).Slice(piece * pixels, pixels);
            ReadOnlySpan<float> sum = c.Has(Sum) ? c.Input<float>(Sum).Slice(piece * pixels, pixels) : default;
            float factor = scale[scale.Length == 1 ? 0 : o];
            int term = unchecked(zero * convolution.ZeroTerms[o]);
            for (int i = 0; i < pixels; i++)
            {
                float value = unchecked(sums[i * channels + o] - term) * factor;
                if (!bias.IsEmpty) value += bias[o];
                if (!sum.IsEmpty && !activationFirst) value += sum[i];
                y[i] = value;
            }
            Finish(false, y, activationFirst ? sum : default);
        }

        private void Finish(bool activated, Span<float> y, ReadOnlySpan<float> sum)
        {
            if (kernel is not null && !activated) kernel.Run(y, y, activation.Alpha, activation.Beta);
            for (int i = 0; i < sum.Length; i++) y[i] += sum[i];
        }
    }
}
