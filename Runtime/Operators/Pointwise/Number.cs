using System.Numerics;
using Octet.Kernels.Elementwise;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>A function of one number, for any number type.</summary>
internal interface INumberMap
{
    /// <summary>Its value.</summary>
    static abstract T Invoke<T>(T x) where T : unmanaged, INumber<T>;
}

/// <summary><c>Abs</c>, <c>Neg</c>, <c>Relu</c>, <c>Sign</c>: functions of numbers of any type.</summary>
/// <param name="type">Operator type.</param>
/// <param name="vector">The vector kernel for float32.</param>
internal sealed class Number<TMap>(string type, UnaryOperation vector) : UnaryOperator(type) where TMap : struct, INumberMap
{
    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Numbers;

    public override Step Plan(PlanContext c) => c.Element(0) == DataType.Float32
        ? new UnaryVectorStep(vector, c.Cpu)
        : ElementTypes.Number(c, c.Element(0), new Visitor(c.Node.OperatorType));

    private sealed class Visitor(string name) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => new UnaryStep<T, T, Function<T>>(default, default, name);
    }

    private readonly struct Function<T> : IUnaryFunction<T, T> where T : unmanaged, INumber<T>
    {
        public static T Invoke(T x, T alpha, T beta) => TMap.Invoke(x);
    }
}

/// <summary><c>|x|</c>; the lowest integer stays itself.</summary>
internal readonly struct AbsMap : INumberMap
{
    public static T Invoke<T>(T x) where T : unmanaged, INumber<T>
    {
        if (typeof(T) == typeof(float) || typeof(T) == typeof(double) || typeof(T) == typeof(Half)) return T.Abs(x);
        return T.IsNegative(x) ? T.Zero - x : x;   // T.Abs throws for the lowest integer
    }
}

/// <summary><c>−x</c>, wrapping around.</summary>
internal readonly struct NegateMap : INumberMap
{
    public static T Invoke<T>(T x) where T : unmanaged, INumber<T> => -x;
}

/// <summary><c>max(x, 0)</c>; NaN stays NaN.</summary>
internal readonly struct ReluMap : INumberMap
{
    public static T Invoke<T>(T x) where T : unmanaged, INumber<T> => x < T.Zero ? T.Zero : x;
}

/// <summary>−1, 0 or 1; NaN stays NaN.</summary>
internal readonly struct SignMap : INumberMap
{
    public static T Invoke<T>(T x) where T : unmanaged, INumber<T> => x > T.Zero ? T.One : x < T.Zero ? -T.One : x;
}
