using Octet.Kernels.Elementwise;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Gelu</c>: <c>y = x · Φ(x)</c> with the normal distribution's Φ, or its approximation by tanh where <c>approximate</c> is <c>tanh</c>.</summary>
internal sealed class Gelu(string domain = "") : UnaryOperator("Gelu", domain)
{
    private static readonly Real<GeluErfFunction> Exact = new("Gelu", UnaryOperation.GeluErf);
    private static readonly Real<GeluTanhFunction> Approximate = new("Gelu", UnaryOperation.GeluTanh);

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
/// <param name="type">Operator type.</param>
/// <param name="form">Which form of gelu.</param>
internal sealed class BiasGelu(string type, UnaryOperation form) : UnaryOperator(type, MicrosoftDomain)
{
    private static readonly DataType[] Floats = [DataType.Float32, DataType.Float16, DataType.BFloat16];

    protected override ReadOnlySpan<DataType> Allowed => Floats;

    public override Step Plan(PlanContext c)
    {
        if (c.Element(0) != DataType.Float32) throw c.Unsupported($"data is {c.Element(0).Name()}", "float32 data");
        if (!c.Has(1)) return new UnaryVectorStep(form, c.Cpu);
        int[] x = c.InputShape(0), bias = c.InputShape(1);
        if (bias.Length != 1 || x.Length == 0 || bias[0] != x[^1]) throw c.Error($"bias is {Tensor.Format(bias)}", "bias has one element per element of the last axis");
        return new AddStep(UnaryKernel.Select(form, c.Cpu), BinaryKernel.Select(BinaryOperation.Add, c.Cpu), BroadcastPlan.Create(x, x, bias));
    }

    private sealed class AddStep(UnaryKernel gelu, BinaryKernel add, BroadcastPlan plan) : Step
    {
        public override string Kernel => $"Add+{gelu.Operation}-{gelu.Width}";

        public override int InPlaceInput(int output) => output == 0 ? 0 : -1;

        public override void Run(StepContext c)
        {
            Span<float> y = c.Output<float>(0);
            add.Run(plan, c.Input<float>(0), c.Input<float>(1), y, c.Parallel);
            gelu.Run(y, y, 0, 0, c.Parallel);
        }
    }
}
