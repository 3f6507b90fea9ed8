using System.Numerics;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Gelu</c>: <c>y = x · Φ(x)</c> with the normal distribution's Φ, or its approximation by tanh where <c>approximate</c> is <c>tanh</c>.</summary>
internal sealed class Gelu(string domain = "") : UnaryOperator("Gelu", domain)
{
    private static readonly Real<GeluErfFunction> Exact = new("Gelu");
    private static readonly Real<GeluTanhFunction> Approximate = new("Gelu");

    public override string Types => Exact.Types;

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Reals;

    public override Step Plan(PlanContext c) => c.Attributes.String("approximate", "none") switch
    {
        "none" => Exact.Plan(c),
        "tanh" => Approximate.Plan(c),
        string other => throw c.Error($"approximate is '{other}'", "approximate is none or tanh"),
    };
}

/// <summary><c>BiasGelu</c> and <c>FastGelu</c>: <c>y = gelu(x + bias)</c>, bias along the last axis and optional.</summary>
internal sealed class BiasGelu<TFunction>(string type) : UnaryOperator(type, MicrosoftDomain) where TFunction : struct, IRealFunction
{
    private static readonly Real<TFunction> Unbiased = new("Gelu");

    public override string Types => Unbiased.Types;

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Reals;

    public override Step Plan(PlanContext c)
    {
        if (!c.Has(1)) return Unbiased.Plan(c);
        int[] x = c.InputShape(0), bias = c.InputShape(1);
        if (bias.Length != 1 || x.Length == 0 || bias[0] != x[^1]) throw c.Error($"bias is {Tensor.Format(bias)}", "bias has one element per element of the last axis");
        return ElementTypes.Real(c, c.Element(0), new Visitor(new BroadcastPlan(c, x, x, bias), c.Node.OperatorType));
    }

    private sealed class Visitor(BroadcastPlan plan, string kernel) : IRealVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> => new BinaryStep<T, T, Function<T>>(plan, 0, kernel);
    }

    private readonly struct Function<T> : IBinaryFunction<T, T> where T : unmanaged, IFloatingPointIeee754<T>
    {
        public static T Invoke(T x, T bias) => TFunction.Invoke(x + bias, T.Zero, T.Zero);
    }
}
