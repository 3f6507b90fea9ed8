using System.Numerics;
using Octet.Kernels.Elementwise;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>A function of one floating-point number and two constants, for any such type.</summary>
internal interface IRealFunction
{
    /// <summary>Its value.</summary>
    static abstract T Invoke<T>(T x, T alpha, T beta) where T : unmanaged, IFloatingPointIeee754<T>;
}

/// <summary>An attribute that is a constant of a function, and its value where it is absent.</summary>
/// <param name="Name">Attribute; null for a constant that no attribute sets.</param>
/// <param name="Otherwise">Value where the attribute is absent.</param>
/// <param name="Before">First version with that default; older versions use <paramref name="OtherwiseBefore"/>.</param>
/// <param name="OtherwiseBefore">Value where the attribute is absent in older versions.</param>
internal readonly record struct FunctionConstant(string? Name, float Otherwise, int Before = 0, float OtherwiseBefore = 0);

/// <summary>The pointwise functions of real numbers: <c>y = f(x; α, β)</c>.</summary>
/// <param name="type">Operator type.</param>
/// <param name="vector">The vector kernel for float32; null where there is none and <typeparamref name="TFunction"/> computes float32 too.</param>
/// <param name="alpha">The attribute that is α.</param>
/// <param name="beta">The attribute that is β.</param>
/// <param name="domain">Operator domain.</param>
internal sealed class Real<TFunction>(string type, UnaryOperation? vector = null, FunctionConstant alpha = default, FunctionConstant beta = default, string domain = "")
    : UnaryOperator(type, domain) where TFunction : struct, IRealFunction
{
    public override string Types => "float32, float64, float16";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Reals;

    public override Step Plan(PlanContext c) => c.Element(0) == DataType.Float32 && vector is { } operation
        ? new UnaryVectorStep(operation, c.Cpu, Value(c, alpha), Value(c, beta))
        : ElementTypes.Real(c, c.Element(0), new Visitor(c.Node.OperatorType, Value(c, alpha), Value(c, beta)));

    private static float Value(PlanContext c, FunctionConstant constant)
    {
        float otherwise = c.Opset < constant.Before ? constant.OtherwiseBefore : constant.Otherwise;
        return constant.Name is null ? otherwise : c.Attributes.Float(constant.Name, otherwise);
    }

    private sealed class Visitor(string name, float alpha, float beta) : IRealVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> =>
            new UnaryStep<T, T, Function<T>>(T.CreateTruncating(alpha), T.CreateTruncating(beta), name);
    }

    private readonly struct Function<T> : IUnaryFunction<T, T> where T : unmanaged, IFloatingPointIeee754<T>
    {
        public static T Invoke(T x, T alpha, T beta) => TFunction.Invoke(x, alpha, beta);
    }
}
