using System.Numerics;
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

    public override void Run(StepContext c) => Run(c, c.Input(0), c.Parallel);

    /// <summary>Runs on rows that are not those of input 0.</summary>
    public void Run(StepContext c, Tensor x, Parallelism parallel)
    {
        if (layout.Length == 0) return;
        var work = new Pieces(c, x, layout, scale, bias);
        parallel.For(ref work, layout.Rows);
    }

    private readonly struct Pieces(StepContext c, Tensor x, GroupLayout layout, int scale, int bias) : IPieces
    {
        public void Run(int row, int worker)
        {
            ReadOnlySpan<T> from = x.Span<T>().Slice(row * layout.Length, layout.Length);
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

/// <summary>Makes <see cref="GroupStep{T}"/> for any floating-point type.</summary>
internal sealed class GroupVisitor(GroupLayout layout, int scale, int bias, string kernel) : IRealVisitor<Step>
{
    public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> => new GroupStep<T>(layout, scale, bias, kernel);
}
