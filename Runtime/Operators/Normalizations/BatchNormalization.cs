using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>
/// <c>BatchNormalization</c>: <c>y[n,c,…] = (x[n,c,…] − μ[c]) · γ[c] / √(σ²[c] + ε) + β[c]</c> with the stored mean and variance. In training mode with
/// those of the batch (variance over n elements, divided by n), and the running values are <c>r·momentum + batch·(1 − momentum)</c>.
/// </summary>
internal sealed class BatchNormalization : Operator
{
    public override OperatorId Id { get; } = new("BatchNormalization");

    public override string Types => "float32, float64, float16";

    public override string Limits => "training mode since version 14";

    public override void Infer(InferContext c)
    {
        c.Expect(0, ElementTypes.Reals);
        if (c.Shape(0) is { } shape && shape.Length < 2) throw c.Error($"x has rank {shape.Length}", "x is [N, C, …]");
        for (int i = 1; i < 5; i++)
        {
            if (PerElement(c)) break;
            if (c.Shape(0) is { } x && c.Shape(i) is { } parameter && (parameter.Length != 1 || parameter[0].DiffersFrom(x[1])))
                throw c.Error($"input {i} is {c.Type(i)}", "scale, bias, mean and variance have one element per channel");
        }
        c.Set(0, c.Type(0));
        for (int i = 1; i < c.OutputCount; i++) c.Set(i, c.Type(3));
    }

    public override Step Plan(PlanContext c)
    {
        bool training = c.Opset >= 14 ? c.Attributes.Int("training_mode") != 0 : c.Opset < 7 && c.Attributes.Int("is_test", 1) == 0;
        if (training && c.Opset < 14) throw c.Unsupported("it is in training mode", "is_test = 1, or version 14 and later");
        if (!training && c.OutputCount > 1 && Enumerable.Range(1, c.OutputCount - 1).Any(c.Wants)) throw c.Unsupported("statistics of a normalization that only applies them are wanted", "output 0 alone");
        (int batch, int channels, int inner) = Axes.Around(c.InputShape(0), 1);
        if (PerElement(c)) (channels, inner) = (checked(channels * inner), 1);
        for (int i = 1; i < 5; i++)
        {
            if (Tensor.CountElements(c.InputShape(i)) != channels) throw c.Error($"input {i} is {c.Type(i)}", $"scale, bias, mean and variance have {channels} elements");
        }
        return ElementTypes.Real(c, c.Element(0), new Visitor(UnaryKernel.Select(UnaryOperation.Affine, c.Cpu), batch, channels, inner, c.Attributes.Float("epsilon", 1e-5f), training ? c.Attributes.Float("momentum", 0.9f) : null));
    }

    /// <summary>Before version 9 <c>spatial = 0</c> asked for statistics per element of an image rather than per channel.</summary>
    private static bool PerElement(NodeContext c) => c.Opset < 9 && c.Attributes.Int("spatial", 1) == 0;

    private sealed class Visitor(UnaryKernel affine, int batch, int channels, int inner, float epsilon, float? momentum) : IRealVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> => new NormalizeStep<T>(affine, batch, channels, inner, epsilon, momentum);
    }

    private sealed class NormalizeStep<T>(UnaryKernel affine, int batch, int channels, int inner, float epsilon, float? momentum) : Step where T : unmanaged, IFloatingPointIeee754<T>
    {
        public override string Kernel => "BatchNormalization";

        public override int InPlaceInput(int output) => output == 0 ? 0 : -1;

        public override void Run(StepContext c)
        {
            var work = new Pieces(c, affine, batch, channels, inner, epsilon, momentum);
            c.Parallel.For(ref work, channels);
        }

        private readonly struct Pieces(StepContext c, UnaryKernel affine, int batch, int channels, int inner, float epsilon, float? momentum) : IPieces
        {
            public void Run(int channel, int worker)
            {
                ReadOnlySpan<T> x = c.Input<T>(0);
                Span<T> y = c.Output<T>(0);
                double mean = double.CreateTruncating(Parameter(3, channel)), variance = double.CreateTruncating(Parameter(4, channel));
                if (momentum is { } keep)
                {
                    (double oldMean, double oldVariance) = (mean, variance);
                    mean = variance = 0;
                    for (int n = 0; n < batch; n++) foreach (T element in x.Slice((n * channels + channel) * inner, inner)) mean += double.CreateTruncating(element);
                    mean /= (double)batch * inner;
                    for (int n = 0; n < batch; n++)
                    {
                        foreach (T element in x.Slice((n * channels + channel) * inner, inner))
                        {
                            double difference = double.CreateTruncating(element) - mean;
                            variance += difference * difference;
                        }
                    }
                    variance /= (double)batch * inner;
                    if (c.Wants(1)) Write(1, channel, oldMean * keep + mean * (1 - keep));
                    if (c.Wants(2)) Write(2, channel, oldVariance * keep + variance * (1 - keep));
                    if (!c.Wants(0)) return;
                }
                double factor = double.CreateTruncating(Parameter(1, channel)) / Math.Sqrt(variance + epsilon);
                T scale = T.CreateTruncating(factor), shift = T.CreateTruncating(double.CreateTruncating(Parameter(2, channel)) - mean * factor);
                for (int n = 0; n < batch; n++)
                {
                    ReadOnlySpan<T> from = x.Slice((n * channels + channel) * inner, inner);
                    Span<T> to = y.Slice((n * channels + channel) * inner, inner);
                    if (typeof(T) == typeof(float)) affine.Run(MemoryMarshal.Cast<T, float>(from), MemoryMarshal.Cast<T, float>(to), float.CreateTruncating(scale), float.CreateTruncating(shift));
                    else for (int i = 0; i < from.Length; i++) to[i] = from[i] * scale + shift;
                }
            }

            /// <summary>A parameter, which since version 15 may be wider or narrower than the data.</summary>
            private double Parameter(int index, int channel) => c.Input(index).Type switch
            {
                DataType.Float32 => c.Input<float>(index)[channel],
                DataType.Float64 => c.Input<double>(index)[channel],
                _ => (double)c.Input<Half>(index)[channel],
            };

            private void Write(int output, int channel, double value)
            {
                if (c.Output(output).Type == DataType.Float32) c.Output<float>(output)[channel] = (float)value;
                else if (c.Output(output).Type == DataType.Float64) c.Output<double>(output)[channel] = value;
                else c.Output<Half>(output)[channel] = (Half)value;
            }
        }
    }
}
