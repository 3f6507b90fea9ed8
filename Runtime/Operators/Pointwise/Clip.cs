using System.Numerics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Clip</c>: <c>y = min(max(x, lo), hi)</c>; NaN stays NaN, and lo &gt; hi gives hi.</summary>
/// <remarks>The bounds are the attributes <c>min</c> and <c>max</c> before version 11, inputs 1 and 2 (one element each) since; a bound left out does not bound.</remarks>
internal sealed class Clip() : UnaryOperator("Clip")
{
    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Numbers;

    public override Step Plan(PlanContext c)
    {
        for (int i = 1; i <= 2 && c.Opset >= 11; i++)
        {
            if (!c.Has(i)) continue;
            if (Tensor.CountElements(c.InputShape(i)) != 1) throw c.Error($"bound {i} has shape {Tensor.Format(c.InputShape(i))}", "bounds have one element");
            if (c.Element(i) != c.Element(0)) throw c.Error($"bound {i} is {c.Element(i).Name()}", "bounds have the element type of the data");
        }
        bool attributes = c.Opset < 11;
        float lo = attributes ? c.Attributes.Float("min", float.NegativeInfinity) : float.NegativeInfinity;
        float hi = attributes ? c.Attributes.Float("max", float.PositiveInfinity) : float.PositiveInfinity;
        return c.Element(0) == DataType.Float32 ? new VectorStep(lo, hi, !attributes, c.Cpu) : ElementTypes.Number(c, c.Element(0), new Visitor(lo, hi, !attributes));
    }

    private sealed class VectorStep(float lo, float hi, bool readsBounds, CpuFeatures cpu) : Step
    {
        private readonly UnaryKernel _kernel = UnaryKernel.Select(UnaryOperation.Clip, cpu);

        public override string Kernel => $"Clip-{_kernel.Width}";

        public override int InPlaceInput(int output) => output == 0 ? 0 : -1;

        public override void Run(StepContext c) => _kernel.Run(c.Input<float>(0), c.Output<float>(0),
            readsBounds && c.Has(1) ? c.Input<float>(1)[0] : lo, readsBounds && c.Has(2) ? c.Input<float>(2)[0] : hi, c.Parallel);
    }

    private sealed class Visitor(float lo, float hi, bool readsBounds) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => new ClipStep<T>(T.CreateSaturating(lo), T.CreateSaturating(hi), readsBounds);
    }

    private sealed class ClipStep<T>(T lo, T hi, bool readsBounds) : Step where T : unmanaged, INumber<T>
    {
        private const int PieceLength = 16384;

        public override string Kernel => "Clip";

        public override int InPlaceInput(int output) => output == 0 ? 0 : -1;

        public override void Run(StepContext c)
        {
            var work = new Pieces(c.Input(0), c.Output(0), readsBounds && c.Has(1) ? c.Input<T>(1)[0] : lo, readsBounds && c.Has(2) ? c.Input<T>(2)[0] : hi);
            c.Parallel.For(ref work, (c.Output(0).Length + PieceLength - 1) / PieceLength);
        }

        private readonly struct Pieces(Tensor x, Tensor y, T lo, T hi) : IPieces
        {
            public void Run(int piece, int worker)
            {
                int start = piece * PieceLength, length = Math.Min(PieceLength, y.Length - start);
                ReadOnlySpan<T> from = x.Span<T>().Slice(start, length);
                Span<T> to = y.Span<T>().Slice(start, length);
                for (int i = 0; i < from.Length; i++) to[i] = T.Min(T.Max(from[i], lo), hi);
            }
        }
    }
}
