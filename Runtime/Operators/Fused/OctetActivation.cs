using Octet.Kernels.Elementwise;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>octet.Activation</c>: <c>y = f(x)</c> for one of the kernels' functions, named by the attribute <c>activation</c> with constants <c>alpha</c> and <c>beta</c>.</summary>
internal sealed class OctetActivation : Operator
{
    public override OperatorId Id => new("Activation", OctetDomain);

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32);
        c.Set(0, c.Type(0));
    }

    public override Step Plan(PlanContext c)
    {
        Activation activation = Activation.Read(c);
        return new ActivationStep(activation, UnaryKernel.Select(activation.Function, c.Cpu));
    }

    private sealed class ActivationStep(Activation activation, UnaryKernel kernel) : Step
    {
        public override string Kernel => activation.Function.ToString();

        public override int InPlaceInput(int output) => 0;

        public override void Run(StepContext c) => kernel.Run(c.Input<float>(0), c.Output<float>(0), activation.Alpha, activation.Beta, c.Parallel);
    }
}
