using System.Numerics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Normalize;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>The geometry of a normalization over rows.</summary>
/// <param name="Rows">How many groups of elements are normalized, each for itself.</param>
/// <param name="Length">Elements of a group, which lie together.</param>
/// <param name="Groups">Groups after which scales and biases repeat.</param>
/// <param name="Run">Neighbouring elements that share a scale and a bias; element i of row r uses number <c>(r mod Groups)·(Length/Run) + i/Run</c>.</param>
/// <param name="Epsilon">Added to the variance, or to the mean square.</param>
/// <param name="Centred">Whether the mean is taken away; root-mean-square normalization leaves it.</param>
/// <param name="InverseOutput">Output that receives 1/√(variance + ε) where wanted; output 1 receives the mean where this is 2.</param>
internal sealed record GroupLayout(int Rows, int Length, int Groups, int Run, float Epsilon, bool Centred, int InverseOutput = 2);

/// <summary><c>y = (x − mean) / √(variance + ε) · scale + bias</c> over rows; moments in float64. Mean and 1/√(variance + ε) are written where they are wanted.</summary>
/// <param name="layout">Rows and parameters.</param>
/// <param name="scale">Input that holds the scales; −1 for none.</param>
/// <param name="bias">Input that holds the biases; −1 for none.</param>
/// <param name="kernel">What <see cref="Step.Kernel"/> says.</param>
internal sealed class GroupStep<T>(GroupLayout layout, int scale, int bias, string kernel) : Step where T : unmanaged, IFloatingPointIeee754<T>
{
    public override string Kernel => kernel;

    public override int InPlaceInput(int output) => output == 0 ? 0 : -1;

    public override void Run(StepContext c)
    {
        if (layout.Length == 0) return;
        var work = new Pieces(c, layout, scale, bias);
        c.Parallel.For(ref work, layout.Rows);
    }

    private readonly struct Pieces(StepContext c, GroupLayout layout, int scale, int bias) : IPieces
    {
        public void Run(int row, int worker)
        {
            ReadOnlySpan<T> from = c.Input<T>(0).Slice(row * layout.Length, layout.Length);
            Span<T> to = c.Output<T>(0).Slice(row * layout.Length, layout.Length);
            double mean = 0, variance = 0;
            if (layout.Centred)
            {
                foreach (T element in from) mean += double.CreateTruncating(element);
                mean /= from.Length;
            }
            foreach (T element in from)
            {
                double difference = double.CreateTruncating(element) - mean;
                variance += difference * difference;
            }
            double inverse = 1 / Math.Sqrt(variance / from.Length + layout.Epsilon);
            if (layout.InverseOutput == 2 && c.Wants(1)) Write(c.Output(1), row, mean);
            if (c.Wants(layout.InverseOutput)) Write(c.Output(layout.InverseOutput), row, inverse);

            T centre = T.CreateTruncating(mean), factor = T.CreateTruncating(inverse);
            int run = layout.Run, parameters = layout.Length / run, first = row % layout.Groups * parameters;
            ReadOnlySpan<T> scales = scale >= 0 && c.Has(scale) ? c.Input<T>(scale).Slice(first, parameters) : default;
            ReadOnlySpan<T> biases = bias >= 0 && c.Has(bias) ? c.Input<T>(bias).Slice(first, parameters) : default;
            for (int p = 0; p < parameters; p++)
            {
                T gain = scales.IsEmpty ? factor : factor * scales[p], shift = biases.IsEmpty ? T.Zero : biases[p];
                for (int i = p * run; i < (p + 1) * run; i++) to[i] = (from[i] - centre) * gain + shift;
            }
        }

        private static void Write(Tensor output, int row, double value)
        {
            if (output.Type == DataType.Float32) output.Span<float>()[row] = (float)value;
            else output.Span<T>()[row] = T.CreateTruncating(value);
        }
    }
}

/// <summary>The same on float32 by vector kernels: rows are normalized, then runs that share parameters are scaled in place.</summary>
internal sealed class GroupVectorStep(GroupLayout layout, int scale, int bias, string kernel, CpuFeatures cpu) : Step
{
    private readonly UnaryKernel _affine = UnaryKernel.Select(UnaryOperation.Affine, cpu);

    public override string Kernel => kernel;

    public override int InPlaceInput(int output) => output == 0 ? 0 : -1;

    public override void Run(StepContext c) => Run(c, c.Input<float>(0), c.Parallel);

    /// <summary>Runs on rows that are not those of input 0.</summary>
    public void Run(StepContext c, ReadOnlySpan<float> x, Parallelism parallel)
    {
        if (layout.Length == 0 || layout.Rows == 0) return;
        bool direct = layout.Run == 1 && layout.Groups == 1;   // a parameter per element of a row
        ReadOnlySpan<float> scales = scale >= 0 ? c.Input<float>(scale) : default, biases = bias >= 0 ? c.Input<float>(bias) : default;
        Span<float> y = c.Output<float>(0), means = layout.InverseOutput == 2 ? c.Output<float>(1) : default, inverses = c.Output<float>(layout.InverseOutput);
        NormalizeKernels.Rows(x, layout.Length, direct ? scales : default, direct ? biases : default, layout.Epsilon, layout.Centred, y, means, inverses, cpu, parallel);
        if (!direct && !(scales.IsEmpty && biases.IsEmpty))
        {
            var work = new Scaling(c, layout, scale, bias, _affine);
            parallel.For(ref work, layout.Rows);
        }
    }

    private readonly struct Scaling(StepContext c, GroupLayout layout, int scale, int bias, UnaryKernel affine) : IPieces
    {
        public void Run(int row, int worker)
        {
            int run = layout.Run, parameters = layout.Length / run, first = row % layout.Groups * parameters;
            Span<float> y = c.Output<float>(0).Slice(row * layout.Length, layout.Length);
            ReadOnlySpan<float> scales = scale >= 0 ? c.Input<float>(scale) : default, biases = bias >= 0 ? c.Input<float>(bias) : default;
            for (int p = 0; p < parameters; p++)
            {
                Span<float> part = y.Slice(p * run, run);
                affine.Run(part, part, scales.IsEmpty ? 1 : scales[first + p], biases.IsEmpty ? 0 : biases[first + p]);
            }
        }
    }
}

/// <summary>Makes the step of a group normalization for any floating-point type.</summary>
internal sealed class GroupVisitor(GroupLayout layout, int scale, int bias, string kernel) : IRealVisitor<Step>
{
    /// <summary>The step for the element type of input 0.</summary>
    public static Step Plan(PlanContext c, GroupLayout layout, int scale, int bias) => c.Element(0) == DataType.Float32
        ? new GroupVectorStep(layout, scale, bias, c.Node.OperatorType, c.Cpu)
        : ElementTypes.Real(c, c.Element(0), new GroupVisitor(layout, scale, bias, c.Node.OperatorType));

    public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> => new GroupStep<T>(layout, scale, bias, kernel);
}
