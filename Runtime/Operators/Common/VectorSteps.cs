using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>y = f(x; α, β)</c> on float32 by a vector kernel.</summary>
internal sealed class UnaryVectorStep(UnaryOperation operation, CpuFeatures cpu, float alpha = 0, float beta = 0) : Step
{
    private readonly UnaryKernel _kernel = UnaryKernel.Select(operation, cpu);

    public override string Kernel => $"{operation}-{_kernel.Width}";

    public override int InPlaceInput(int output) => output == 0 ? 0 : -1;

    public override void Run(StepContext c) => _kernel.Run(c.Input<float>(0), c.Output<float>(0), alpha, beta, c.Parallel);
}

/// <summary><c>y = f(a, b)</c> with broadcasting on float32 by a vector kernel.</summary>
internal sealed class BinaryVectorStep(BinaryOperation operation, CpuFeatures cpu, int[] y, int[] a, int[] b) : Step
{
    private readonly BinaryKernel _kernel = BinaryKernel.Select(operation, cpu);
    private readonly BroadcastPlan _plan = BroadcastPlan.Create(y, a, b);
    private readonly int _inPlaceInput = Tensor.CountElements(a) == Tensor.CountElements(y) ? 0 : 1;

    public override string Kernel => $"{operation}-{_kernel.Width}";

    public override int InPlaceInput(int output) => output == 0 ? _inPlaceInput : -1;

    public override void Run(StepContext c) => _kernel.Run(_plan, c.Input<float>(0), c.Input<float>(1), c.Output<float>(0), c.Parallel);
}
