using System.Numerics;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>IsNaN</c>: <c>y = (x is NaN)</c>, boolean.</summary>
internal sealed class IsNaN() : UnaryOperator("IsNaN")
{
    public override string Types => "float32, float64, float16";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Reals;

    protected override DataType Result(DataType element) => DataType.Bool;

    public override Step Plan(PlanContext c) => ElementTypes.Real(c, c.Element(0), new Visitor());

    private sealed class Visitor : IRealVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> => new UnaryStep<T, bool, Function<T>>(default, default, "IsNaN");
    }

    private readonly struct Function<T> : IUnaryFunction<T, bool> where T : unmanaged, IFloatingPointIeee754<T>
    {
        public static bool Invoke(T x, T alpha, T beta) => T.IsNaN(x);
    }
}

/// <summary><c>IsInf</c>: whether x is +∞ (attribute <c>detect_positive</c>) or −∞ (<c>detect_negative</c>), boolean.</summary>
internal sealed class IsInf() : UnaryOperator("IsInf")
{
    public override string Types => "float32, float64, float16";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Reals;

    protected override DataType Result(DataType element) => DataType.Bool;

    public override Step Plan(PlanContext c) =>
        ElementTypes.Real(c, c.Element(0), new Visitor(c.Attributes.Int("detect_positive", 1) != 0, c.Attributes.Int("detect_negative", 1) != 0));

    private sealed class Visitor(bool positive, bool negative) : IRealVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> =>
            new UnaryStep<T, bool, Function<T>>(positive ? T.One : T.Zero, negative ? T.One : T.Zero, "IsInf");
    }

    private readonly struct Function<T> : IUnaryFunction<T, bool> where T : unmanaged, IFloatingPointIeee754<T>
    {
        public static bool Invoke(T x, T positive, T negative) =>
            (T.IsPositiveInfinity(x) && positive == T.One) || (T.IsNegativeInfinity(x) && negative == T.One);
    }
}

/// <summary><c>Not</c>: <c>y = ¬x</c>.</summary>
internal sealed class Not() : UnaryOperator("Not")
{
    private static readonly DataType[] Booleans = [DataType.Bool];

    public override string Types => "bool";

    protected override ReadOnlySpan<DataType> Allowed => Booleans;

    public override Step Plan(PlanContext c) => new UnaryStep<byte, byte, Function>(default, default, "Not");

    private readonly struct Function : IUnaryFunction<byte, byte>
    {
        public static byte Invoke(byte x, byte alpha, byte beta) => (byte)(x == 0 ? 1 : 0);
    }
}

/// <summary><c>BitwiseNot</c>: every bit inverted.</summary>
internal sealed class BitwiseNot() : UnaryOperator("BitwiseNot")
{
    public override string Types => "int8…int64, uint8…uint64";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Integers;

    public override Step Plan(PlanContext c) => ElementTypes.Integer(c, c.Element(0), new Visitor());

    private sealed class Visitor : IIntegerVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T> => new UnaryStep<T, T, Function<T>>(default, default, "BitwiseNot");
    }

    private readonly struct Function<T> : IUnaryFunction<T, T> where T : unmanaged, IBinaryInteger<T>
    {
        public static T Invoke(T x, T alpha, T beta) => ~x;
    }
}
