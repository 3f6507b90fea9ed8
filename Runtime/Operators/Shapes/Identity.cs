using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Identity</c>: <c>y = x</c>, for tensors, sequences and optionals.</summary>
internal sealed class Identity : Operator
{
    public override OperatorId Id { get; } = new("Identity");

    public override string Types => "all";

    public override void Infer(InferContext c) => c.Set(0, c.Type(0));

    public override Step Plan(PlanContext c) => new ViewStep();

    public override RuntimeValue?[] Evaluate(EvaluateContext c) => [c.Value(0)];
}
