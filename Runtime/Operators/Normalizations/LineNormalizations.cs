using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>LpNormalization</c>: <c>y = x / (Σ |x|ᵖ)^(1/p)</c> along attribute <c>axis</c> (default −1), p = 1 or 2 (default); 0 where the sum is 0.</summary>
internal sealed class LpNormalization() : UnaryOperator("LpNormalization")
{
    public override string Types => "float32, float64, float16";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Reals;

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        (int outer, int count, int inner) = Axes.Around(x, c.Axis(c.Attributes.Int("axis", -1), x.Length));
        long p = c.Attributes.Int("p", 2);
        if (p is not (1 or 2)) throw c.Error($"p is {p}", "p is 1 or 2");
        return ElementTypes.Real(c, c.Element(0), new Visitor(outer * inner, count, inner, p == 1));
    }

    private sealed class Visitor(int lines, int count, int inner, bool absolute) : IRealVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> => Step.From("LpNormalization", c =>
        {
            ReadOnlySpan<T> x = c.Input<T>(0);
            Span<T> y = c.Output<T>(0);
            for (int line = 0; line < lines; line++)
            {
                int start = line / inner * count * inner + line % inner;
                double sum = 0;
                for (int i = 0; i < count; i++)
                {
                    double element = double.CreateTruncating(x[start + i * inner]);
                    sum += absolute ? Math.Abs(element) : element * element;
                }
                T norm = T.CreateTruncating(absolute ? sum : Math.Sqrt(sum));
                for (int i = 0; i < count; i++) y[start + i * inner] = norm == T.Zero ? T.Zero : x[start + i * inner] / norm;
            }
        }, inPlaceInput: 0);
    }
}

/// <summary>
/// <c>LRN</c>: <c>y[n,c,…] = x[n,c,…] / (bias + alpha/size · Σ x[n,k,…]²)^beta</c>, k from <c>c − ⌊(size−1)/2⌋</c> to <c>c + ⌈(size−1)/2⌉</c> inside the channels.
/// </summary>
internal sealed class LocalResponseNormalization() : UnaryOperator("LRN")
{
    public override string Types => "float32, float64, float16";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Reals;

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        if (x.Length < 2) throw c.Error($"x has rank {x.Length}", "x is [N, C, …]");
        long size = c.Attributes.Int("size");
        if (size < 1) throw c.Error($"size is {size}", "size is 1 or more");
        (int batch, int channels, int inner) = Axes.Around(x, 1);
        float alpha = c.Attributes.Float("alpha", 1e-4f), beta = c.Attributes.Float("beta", 0.75f), bias = c.Attributes.Float("bias", 1);
        if (c.Element(0) == DataType.Float32) return new VectorStep(c, batch, channels, inner, (int)Math.Min(size, int.MaxValue), alpha, beta, bias);
        return ElementTypes.Real(c, c.Element(0), new Visitor(batch, channels, inner, (int)Math.Min(size, int.MaxValue), alpha, beta, bias));
    }

    /// <summary>float32 by vector kernels: squares of the whole tensor into scratch, then per channel their sum, and the power as <c>e^(−β·ln)</c>.</summary>
    private sealed class VectorStep(PlanContext c, int batch, int channels, int inner, int size, float alpha, float beta, float bias) : Step
    {
        private readonly UnaryKernel _square = UnaryKernel.Select(UnaryOperation.Square, c.Cpu), _affine = UnaryKernel.Select(UnaryOperation.Affine, c.Cpu),
            _log = UnaryKernel.Select(UnaryOperation.Log, c.Cpu), _exp = UnaryKernel.Select(UnaryOperation.Exp, c.Cpu);
        private readonly BinaryKernel _add = BinaryKernel.Select(BinaryOperation.Add, c.Cpu), _multiply = BinaryKernel.Select(BinaryOperation.Multiply, c.Cpu);

        public override string Kernel => "LRN";

        public override int ScratchBytes { get; } = checked(batch * channels * inner * sizeof(float));

        public override void Run(StepContext c)
        {
            if (inner == 0) return;
            _square.Run(c.Input<float>(0), MemoryMarshal.Cast<byte, float>(c.Scratch), 0, 0, c.Parallel);
            var work = new Pieces(this, c);
            c.Parallel.For(ref work, batch * channels);
        }

        private void Run(StepContext c, int piece)
        {
            int channel = piece % channels, first = Math.Max(0, channel - (size - 1) / 2), last = Math.Min(channels - 1, channel + size / 2);
            ReadOnlySpan<float> squares = MemoryMarshal.Cast<byte, float>(c.Scratch).Slice((piece - channel) * inner, channels * inner);
            Span<float> y = c.Output<float>(0).Slice(piece * inner, inner);
            squares.Slice(first * inner, inner).CopyTo(y);
            for (int k = first + 1; k <= last; k++) _add.Run(y, squares.Slice(k * inner, inner), y);
            _affine.Run(y, y, alpha / size, bias);
            _log.Run(y, y);
            _affine.Run(y, y, -beta, 0);
            _exp.Run(y, y);
            _multiply.Run(c.Input<float>(0).Slice(piece * inner, inner), y, y);
        }

        private readonly struct Pieces(VectorStep step, StepContext c) : IPieces
        {
            public void Run(int piece, int worker) => step.Run(c, piece);
        }
    }

    private sealed class Visitor(int batch, int channels, int inner, int size, float alpha, float beta, float bias) : IRealVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> => new WindowStep<T>(batch, channels, inner, size, alpha, beta, bias);
    }

    private sealed class WindowStep<T>(int batch, int channels, int inner, int size, float alpha, float beta, float bias) : Step where T : unmanaged, IFloatingPointIeee754<T>
    {
        public override string Kernel => "LRN";

        public override void Run(StepContext c)
        {
            var work = new Pieces(c.Input(0), c.Output(0), channels, inner, size, alpha, beta, bias);
            c.Parallel.For(ref work, batch * channels);
        }

        private readonly struct Pieces(Tensor x, Tensor y, int channels, int inner, int size, float alpha, float beta, float bias) : IPieces
        {
            public void Run(int piece, int worker)
            {
                int channel = piece % channels, first = Math.Max(0, channel - (size - 1) / 2), last = Math.Min(channels - 1, channel + size / 2);
                ReadOnlySpan<T> from = x.Span<T>().Slice((piece - channel) * inner, channels * inner);
                Span<T> to = y.Span<T>().Slice(piece * inner, inner);
                to.Clear();
                for (int k = first; k <= last; k++)
                {
                    ReadOnlySpan<T> neighbour = from.Slice(k * inner, inner);
                    for (int i = 0; i < to.Length; i++) to[i] += neighbour[i] * neighbour[i];
                }
                ReadOnlySpan<T> own = from.Slice(channel * inner, inner);
                T factor = T.CreateTruncating(alpha / size), offset = T.CreateTruncating(bias), power = T.CreateTruncating(-beta);
                for (int i = 0; i < to.Length; i++) to[i] = own[i] * T.Pow(offset + factor * to[i], power);
            }
        }
    }
}

/// <summary>
/// <c>MeanVarianceNormalization</c>: <c>y = (x − E[x]) / (√(E[x²] − E[x]²) + 1e-9)</c>, means over attribute <c>axes</c> (default 0, 2, 3).
/// </summary>
internal sealed class MeanVarianceNormalization() : UnaryOperator("MeanVarianceNormalization")
{
    /// <summary>Keeps a constant line from being divided by 0; the value of ONNX's function body.</summary>
    private const double Epsilon = 1e-9;

    public override string Types => "float32, float64, float16";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Reals;

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        int[] axes = Axes.Normalize(c, c.Attributes.Ints("axes") ?? [0, 2, 3], x.Length);
        return ElementTypes.Real(c, c.Element(0), new Visitor(new ReductionLayout(x, axes)));
    }

    private sealed class Visitor(ReductionLayout layout) : IRealVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> => Step.From("MeanVarianceNormalization", c =>
        {
            ReadOnlySpan<T> x = c.Input<T>(0);
            Span<T> y = c.Output<T>(0);
            for (int result = 0; result < layout.Results; result++)
            {
                int start = ReductionLayout.Offset(layout.Kept, result);
                double mean = 0, variance = 0;
                for (int i = 0; i < layout.Count; i++) mean += double.CreateTruncating(x[start + ReductionLayout.Offset(layout.Summed, i)]);
                mean /= layout.Count;
                for (int i = 0; i < layout.Count; i++)
                {
                    double difference = double.CreateTruncating(x[start + ReductionLayout.Offset(layout.Summed, i)]) - mean;
                    variance += difference * difference;
                }
                double factor = 1 / (Math.Sqrt(variance / layout.Count) + Epsilon);
                for (int i = 0; i < layout.Count; i++)
                {
                    int at = start + ReductionLayout.Offset(layout.Summed, i);
                    y[at] = T.CreateTruncating((double.CreateTruncating(x[at]) - mean) * factor);
                }
            }
        }, inPlaceInput: 0);
    }
}
