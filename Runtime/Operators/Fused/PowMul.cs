using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>octet.PowMul</c>: <c>y = xᵉ · m</c> with the constants <c>exponent</c> and <c>factor</c>; the power and the product are each rounded to float32, as the separate operators round them.</summary>
internal sealed class PowMul : Operator
{
    /// <summary>The type's name.</summary>
    public const string Type = "PowMul";

    public override OperatorId Id => new(Type, OctetDomain);

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32);
        c.Set(0, c.Type(0));
    }

    public override Step Plan(PlanContext c) => new PowerStep(c.Attributes.Float("exponent"), c.Attributes.Float("factor"));

    private sealed class PowerStep(float exponent, float factor) : Step
    {
        private const int PieceLength = 4096;

        public override string Kernel => "power times factor";

        public override int InPlaceInput(int output) => 0;

        public override void Run(StepContext c)
        {
            var work = new Pieces(c, exponent, factor);
            c.Parallel.For(ref work, (c.Input<float>(0).Length + PieceLength - 1) / PieceLength);
        }

        private readonly struct Pieces(StepContext c, float exponent, float factor) : IPieces
        {
            public void Run(int piece, int worker)
            {
                ReadOnlySpan<float> x = c.Input<float>(0);
                int first = piece * PieceLength, count = Math.Min(PieceLength, x.Length - first);
                x = x.Slice(first, count);
                Span<float> y = c.Output<float>(0).Slice(first, count);
                switch (exponent)
                {
                    case 2:
                        for (int i = 0; i < y.Length; i++) y[i] = x[i] * x[i] * factor;
                        break;
                    case 1:
                        for (int i = 0; i < y.Length; i++) y[i] = x[i] * factor;
                        break;
                    case -1:
                        for (int i = 0; i < y.Length; i++) y[i] = 1 / x[i] * factor;
                        break;
                    default:
                        for (int i = 0; i < y.Length; i++) y[i] = MathF.Pow(x[i], exponent) * factor;
                        break;
                }
            }
        }
    }
}
