using System.Numerics;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>
/// <c>Dropout</c>. At inference <c>y = x</c> and the mask, where wanted, is all true (before version 12, which left it open, all false). In training mode (input 2, since version 12) each element is kept
/// with probability 1 − ratio (input 1, default ½) and then divided by it.
/// </summary>
internal sealed class Dropout : Operator
{
    public override OperatorId Id { get; } = new("Dropout");

    public override string Types => "float32, float64, float16";

    public override string Limits => "training mode since version 12";

    public override bool IsRandom => true;

    public override void Infer(InferContext c)
    {
        c.Expect(0, ElementTypes.Reals);
        c.Set(0, c.Type(0));
        c.Set(1, c.Type(0) with { Element = c.Opset < 10 ? c.Element(0) : DataType.Bool });
    }

    public override Step Plan(PlanContext c)
    {
        if (c.Opset < 7 && c.Attributes.Int("is_test", 1) == 0) throw c.Unsupported("it is in training mode", "is_test = 1, or version 12 and later");
        for (int i = 1; i <= 2; i++)
        {
            if (c.Has(i) && Tensor.CountElements(c.InputShape(i)) != 1) throw c.Error($"input {i} is {c.Type(i)}", "ratio and training mode are scalars");
        }
        if (c.Has(2)) c.Expect(2, DataType.Bool);
        bool fixedInference = c.Opset < 12 || !c.Has(2) || c.Constant(2)?.Span<bool>()[0] == false;
        return fixedInference && !c.Wants(1) ? new ViewStep() : ElementTypes.Real(c, c.Element(0), new Visitor(fixedInference, c.Opset >= 12, RandomNumbers.Seed(c), c.OutputCount > 1 && c.Wants(1) ? c.OutputElement(1) : DataType.Bool));
    }

    private sealed class Visitor(bool fixedInference, bool kept, uint? seed, DataType mask) : IRealVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> => Step.From("Dropout", c =>
        {
            ReadOnlySpan<T> x = c.Input<T>(0);
            Span<T> y = c.Output<T>(0);
            double ratio = fixedInference || !c.Input<bool>(2)[0] ? 0 : c.Has(1) ? Ratio(c.Input(1)) : 0.5;
            Span<byte> flags = mask == DataType.Bool ? c.Output<byte>(1) : default;
            Span<T> numbers = mask == DataType.Bool ? default : c.Output<T>(1);
            if (ratio == 0)
            {
                x.CopyTo(y);
                flags.Fill(kept ? (byte)1 : (byte)0);
                numbers.Fill(kept ? T.One : T.Zero);
                return;
            }
            MersenneTwister random = RandomNumbers.Create(c, seed);
            T scale = T.CreateTruncating(1 / (1 - ratio));
            for (int i = 0; i < x.Length; i++)
            {
                bool keep = random.NextDouble() >= ratio;
                if (!y.IsEmpty) y[i] = keep ? x[i] * scale : T.Zero;
                if (!flags.IsEmpty) flags[i] = keep ? (byte)1 : (byte)0;
            }
        }, scratchBytes: RandomNumbers.ScratchBytes);

        private static double Ratio(Tensor ratio) => ratio.Type switch
        {
            DataType.Float32 => ratio.Span<float>()[0],
            DataType.Float64 => ratio.Span<double>()[0],
            _ => (double)ratio.Span<Half>()[0],
        };
    }
}
