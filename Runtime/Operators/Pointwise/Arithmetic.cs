using System.Numerics;
using Octet.Kernels.Elementwise;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>A function of two numbers, for any number type.</summary>
internal interface INumberFunction
{
    /// <summary>Its value; integers wrap around.</summary>
    static abstract T Invoke<T>(T a, T b) where T : unmanaged, INumber<T>, IMinMaxValue<T>;
}

/// <summary><c>Add</c>, <c>Sub</c>, <c>Mul</c>, <c>Div</c>, <c>PRelu</c>: <c>y = f(a, b)</c> with broadcasting; integers wrap around.</summary>
/// <param name="type">Operator type.</param>
/// <param name="vector">The vector kernel for float32; null where there is none.</param>
internal sealed class Arithmetic<TFunction>(string type, BinaryOperation? vector = null) : BinaryOperator(type) where TFunction : struct, INumberFunction
{
    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Numbers;

    public override Step Plan(PlanContext c) => c.Element(0) == DataType.Float32 && vector is { } operation
        ? new BinaryVectorStep(operation, c.Cpu, c.OutputShape(0), c.InputShape(0), LegacyBroadcast.SecondConcrete(c))
        : base.Plan(c);

    protected override Step Plan(PlanContext c, RowPlan plan, int inPlaceInput) =>
        ElementTypes.Number(c, c.Element(0), new Visitor(plan, inPlaceInput, c.Node.OperatorType));

    private sealed class Visitor(RowPlan plan, int inPlaceInput, string name) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => new BinaryStep<T, T, Function<T>>(plan, inPlaceInput, name);
    }

    private readonly struct Function<T> : IBinaryFunction<T, T> where T : unmanaged, INumber<T>, IMinMaxValue<T>
    {
        public static T Invoke(T a, T b) => TFunction.Invoke(a, b);
    }
}

/// <summary><c>a + b</c>.</summary>
internal readonly struct AddFunction : INumberFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, INumber<T>, IMinMaxValue<T> => a + b;
}

/// <summary><c>a − b</c>.</summary>
internal readonly struct SubtractFunction : INumberFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, INumber<T>, IMinMaxValue<T> => a - b;
}

/// <summary><c>a · b</c>.</summary>
internal readonly struct MultiplyFunction : INumberFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, INumber<T>, IMinMaxValue<T> => a * b;
}

/// <summary><c>a / b</c>. Integers round towards zero; <c>x / 0</c> is 0 and the lowest value divided by −1 is itself, where ONNX defines nothing.</summary>
internal readonly struct DivideFunction : INumberFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, INumber<T>, IMinMaxValue<T>
    {
        if (typeof(T) == typeof(float) || typeof(T) == typeof(double) || typeof(T) == typeof(Half)) return a / b;
        if (b == T.Zero) return T.Zero;
        return T.IsNegative(b) && b == -T.One ? T.Zero - a : a / b;
    }
}

/// <summary><c>a</c> for a ≥ 0, else <c>b · a</c>.</summary>
internal readonly struct PReluFunction : INumberFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, INumber<T>, IMinMaxValue<T> => a < T.Zero ? a * b : a;
}

/// <summary>The smaller number; NaN where either is NaN.</summary>
internal readonly struct MinFunction : INumberFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, INumber<T>, IMinMaxValue<T> => T.Min(a, b);
}

/// <summary>The larger number; NaN where either is NaN.</summary>
internal readonly struct MaxFunction : INumberFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, INumber<T>, IMinMaxValue<T> => T.Max(a, b);
}

/// <summary><c>a − b·⌊a/b⌋</c>, with the sign of b; 0 for integers where b = 0.</summary>
internal readonly struct FloorModuloFunction : INumberFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, INumber<T>, IMinMaxValue<T>
    {
        T rest = TruncatedModuloFunction.Invoke(a, b);
        return rest != T.Zero && T.IsNegative(rest) != T.IsNegative(b) ? rest + b : rest;
    }
}

/// <summary><c>a − b·trunc(a/b)</c>, with the sign of a; 0 for integers where b = 0.</summary>
internal readonly struct TruncatedModuloFunction : INumberFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, INumber<T>, IMinMaxValue<T>
    {
        if (typeof(T) == typeof(float) || typeof(T) == typeof(double) || typeof(T) == typeof(Half)) return a % b;
        return b == T.Zero || (T.IsNegative(b) && b == -T.One) ? T.Zero : a % b;
    }
}

/// <summary><c>Mod</c>: the rest of a division, with the divisor's sign (<c>fmod</c> = 0) or the dividend's (<c>fmod</c> = 1).</summary>
internal sealed class Mod : BinaryOperator
{
    private static readonly Arithmetic<FloorModuloFunction> Floor = new("Mod");
    private static readonly Arithmetic<TruncatedModuloFunction> Truncated = new("Mod");

    public Mod() : base("Mod") { }

    public override string Types => Floor.Types;

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Numbers;

    public override Step Plan(PlanContext c) => c.Attributes.Int("fmod") == 0 ? Floor.Plan(c) : Truncated.Plan(c);

    protected override Step Plan(PlanContext c, RowPlan plan, int inPlaceInput) => throw new InvalidOperationException("planned by the two forms");
}
