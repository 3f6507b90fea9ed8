using System.Numerics;
using Octet.Kernels.Elementwise;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Pow</c>: <c>y = aᵇ</c> with broadcasting; y has the type of a, whatever the number type of b.</summary>
/// <remarks>
/// Exponents are read as float64, or as int64 where both are integers; an integer power wraps around, and a negative integer exponent rounds the
/// quotient towards zero.
/// </remarks>
internal sealed class Pow : Operator
{
    public override OperatorId Id { get; } = new("Pow");

    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64";

    public override void Infer(InferContext c)
    {
        DataType element = c.Expect(0, ElementTypes.Numbers);
        c.Expect(1, ElementTypes.Numbers);
        Broadcast.Set(c, 0, element, Broadcast.Shapes(c, c.Shape(0), LegacyBroadcast.Second(c)));
    }

    public override Step Plan(PlanContext c)
    {
        int[] a = c.InputShape(0), b = LegacyBroadcast.SecondConcrete(c), y = c.OutputShape(0);
        var plan = new RowPlan(c, y, a, b);
        int inPlace = Tensor.CountElements(a) == Tensor.CountElements(y) ? 0 : -1;
        DataType power = c.Element(0), exponent = c.Element(1);
        if (power == DataType.Float32 && inPlace == 0 && c.Constant(1) is { Length: 1 } constant)
        {
            // One correctly rounded operation each, so no less accurate than a power.
            switch (constant.ToFloat32Array()[0])
            {
                case 2: return new UnaryVectorStep(UnaryOperation.Square, c.Cpu);
                case 1: return new ViewStep();
                case -1: return new UnaryVectorStep(UnaryOperation.Reciprocal, c.Cpu);
            }
        }
        return power.IsFloat() && power == exponent
            ? ElementTypes.Real(c, power, new SameType(plan, inPlace))
            : ElementTypes.Number(c, power, new BaseVisitor(c, plan, inPlace));
    }

    private sealed class SameType(RowPlan plan, int inPlaceInput) : IRealVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> => new BinaryStep<T, T, Function<T>>(plan, inPlaceInput, "Pow");
    }

    private readonly struct Function<T> : IBinaryFunction<T, T> where T : unmanaged, IFloatingPointIeee754<T>
    {
        public static T Invoke(T a, T b) => b == T.CreateTruncating(2) ? a * a : T.Pow(a, b);
    }

    private sealed class BaseVisitor(PlanContext c, RowPlan plan, int inPlaceInput) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> =>
            ElementTypes.Number(c, c.Element(1), new ExponentVisitor<T>(plan, inPlaceInput));
    }

    private sealed class ExponentVisitor<T>(RowPlan plan, int inPlaceInput) : INumberVisitor<Step> where T : unmanaged, INumber<T>
    {
        public Step Visit<TExponent>() where TExponent : unmanaged, INumber<TExponent>, IMinMaxValue<TExponent> => new MixedStep<T, TExponent>(plan, inPlaceInput);
    }

    private sealed class MixedStep<T, TExponent>(RowPlan plan, int inPlaceInput) : Step
        where T : unmanaged, INumber<T> where TExponent : unmanaged, INumber<TExponent>
    {
        private static readonly bool InIntegers = T.IsInteger(T.One / (T.One + T.One)) && TExponent.IsInteger(TExponent.One / (TExponent.One + TExponent.One));

        public override string Kernel => "Pow";

        public override int InPlaceInput(int output) => output == 0 ? inPlaceInput : -1;

        public override void Run(StepContext c)
        {
            ReadOnlySpan<T> a = c.Input<T>(0);
            ReadOnlySpan<TExponent> b = c.Input<TExponent>(1);
            Span<T> y = c.Output<T>(0);
            Span<int> index = stackalloc int[plan.OuterRank], offsets = stackalloc int[2];
            plan.Seek(0, index, offsets);
            for (int row = 0; row < plan.Rows; row++, plan.Next(index, offsets))
            {
                for (int i = 0; i < plan.Inner; i++)
                {
                    T power = a[offsets[0] + i * plan.InnerStrides[0]];
                    TExponent exponent = b[offsets[1] + i * plan.InnerStrides[1]];
                    y[row * plan.Inner + i] = InIntegers ? Integer(power, long.CreateSaturating(exponent)) : Saturating(Math.Pow(double.CreateTruncating(power), double.CreateTruncating(exponent)));
                }
            }
        }

        private static T Saturating(double value) => T.CreateSaturating(value);

        private static T Integer(T power, long exponent)
        {
            if (exponent < 0)
            {
                if (power == T.One) return T.One;
                return T.IsNegative(power) && power == -T.One ? ((exponent & 1) == 0 ? T.One : power) : T.Zero;
            }
            T result = T.One;
            for (; exponent != 0; exponent >>= 1)
            {
                if ((exponent & 1) != 0) result *= power;
                power *= power;
            }
            return result;
        }
    }
}
