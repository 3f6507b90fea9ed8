using System.Numerics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Softmax;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>What is done with the elements along one axis.</summary>
internal interface ILineFunction
{
    /// <summary>Computes a line of <paramref name="count"/> elements, <paramref name="stride"/> apart, starting at <paramref name="start"/>; x and y may be the same memory.</summary>
    static abstract void Run<T>(ReadOnlySpan<T> x, Span<T> y, int start, int count, int stride) where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T>;
}

/// <summary>
/// <c>Softmax</c>, <c>LogSoftmax</c>, <c>Hardmax</c> along attribute <c>axis</c> (default −1); before version 13 over everything from <c>axis</c>
/// (default 1) on, taken as one line.
/// </summary>
internal sealed class LineOperator<TFunction>(string type) : UnaryOperator(type) where TFunction : struct, ILineFunction
{
    public override string Types => "float32, float64, float16";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Reals;

    public override void Infer(InferContext c)
    {
        base.Infer(c);
        if (c.Rank(0) >= 0) LineAxis(c, c.Rank(0));
    }

    public override Step Plan(PlanContext c)
    {
        int[] shape = c.InputShape(0);
        int axis = LineAxis(c, shape.Length);
        bool flat = c.Opset < 13;
        int outer = Axes.Product(shape, 0, axis);
        int count = flat ? Axes.Product(shape, axis, shape.Length) : shape.Length == 0 ? 1 : shape[axis];
        int inner = flat || shape.Length == 0 ? 1 : Axes.Product(shape, axis + 1, shape.Length);
        if (c.Element(0) == DataType.Float32 && typeof(TFunction) != typeof(HardmaxLine))
            return new VectorStep(c.Node.OperatorType, count, inner, typeof(TFunction) == typeof(LogSoftmaxLine), c.Cpu);
        return ElementTypes.Real(c, c.Element(0), new Visitor(c.Node.OperatorType, outer, count, inner));
    }

    private sealed class VectorStep(string kernel, int count, int inner, bool logarithm, CpuFeatures cpu) : Step
    {
        public override string Kernel => kernel;

        public override int InPlaceInput(int output) => output == 0 ? 0 : -1;

        public override void Run(StepContext c) => SoftmaxKernel.Run(c.Input<float>(0), count, inner, logarithm, c.Output<float>(0), cpu, c.Parallel);
    }

    /// <summary>The axis; version 12 and before also allow the rank itself, a line of one element.</summary>
    private static int LineAxis(NodeContext c, int rank)
    {
        long axis = c.Attributes.Int("axis", c.Opset < 13 ? 1 : -1);
        if ((c.Opset < 13 && axis == rank) || (rank == 0 && axis is 0 or -1)) return rank;
        return c.Axis(axis, rank);
    }

    private sealed class Visitor(string kernel, int outer, int count, int inner) : IRealVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> => new LineStep<T>(kernel, outer, count, inner);
    }

    private sealed class LineStep<T>(string kernel, int outer, int count, int inner) : Step where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T>
    {
        public override string Kernel => kernel;

        public override int InPlaceInput(int output) => output == 0 ? 0 : -1;

        public override void Run(StepContext c)
        {
            if (count == 0 || inner == 0) return;
            var work = new Pieces(c.Input(0), c.Output(0), count, inner);
            c.Parallel.For(ref work, outer);
        }

        private readonly struct Pieces(Tensor x, Tensor y, int count, int inner) : IPieces
        {
            public void Run(int piece, int worker)
            {
                ReadOnlySpan<T> from = x.Span<T>();
                Span<T> to = y.Span<T>();
                for (int i = 0; i < inner; i++) TFunction.Run(from, to, piece * count * inner + i, count, inner);
            }
        }
    }
}

/// <summary><c>y[i] = e^(x[i] − m) / Σⱼ e^(x[j] − m)</c>, m the maximum.</summary>
internal readonly struct SoftmaxLine : ILineFunction
{
    public static void Run<T>(ReadOnlySpan<T> x, Span<T> y, int start, int count, int stride) where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T>
    {
        T max = Lines.Max(x, start, count, stride), sum = T.Zero;
        for (int i = 0, at = start; i < count; i++, at += stride) sum += y[at] = T.Exp(x[at] - max);
        for (int i = 0, at = start; i < count; i++, at += stride) y[at] /= sum;
    }
}

/// <summary><c>y[i] = x[i] − m − ln Σⱼ e^(x[j] − m)</c>, m the maximum.</summary>
internal readonly struct LogSoftmaxLine : ILineFunction
{
    public static void Run<T>(ReadOnlySpan<T> x, Span<T> y, int start, int count, int stride) where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T>
    {
        T max = Lines.Max(x, start, count, stride), sum = T.Zero;
        for (int i = 0, at = start; i < count; i++, at += stride) sum += T.Exp(x[at] - max);
        T log = T.Log(sum);
        for (int i = 0, at = start; i < count; i++, at += stride) y[at] = x[at] - max - log;
    }
}

/// <summary>1 at the first maximum, 0 elsewhere.</summary>
internal readonly struct HardmaxLine : ILineFunction
{
    public static void Run<T>(ReadOnlySpan<T> x, Span<T> y, int start, int count, int stride) where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T>
    {
        int best = 0;
        for (int i = 1; i < count; i++)
        {
            if (x[start + i * stride] > x[start + best * stride]) best = i;
        }
        for (int i = 0; i < count; i++) y[start + i * stride] = i == best ? T.One : T.Zero;
    }
}

/// <summary>Functions of the elements along one axis.</summary>
internal static class Lines
{
    /// <summary>The maximum; NaN where one element is.</summary>
    public static T Max<T>(ReadOnlySpan<T> x, int start, int count, int stride) where T : unmanaged, IFloatingPointIeee754<T>
    {
        T max = T.NegativeInfinity;
        for (int i = 0, at = start; i < count; i++, at += stride) max = T.Max(max, x[at]);
        return max;
    }
}
