using Octet.Kernels.Pool;
using Octet.Kernels.Quantize;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>A channels-last pooling on the vector kernels: float32, or the maximum of uint8 and int8.</summary>
internal sealed class KernelPoolStep : Step
{
    private readonly PoolKernel _kernel;
    private readonly PoolOperation _operation;
    private readonly DataType _element;

    private KernelPoolStep(PoolKernel kernel, PoolOperation operation, DataType element, int scratchBytes)
    {
        (_kernel, _operation, _element, ScratchBytes) = (kernel, operation, element, scratchBytes);
    }

    /// <summary>Prepares a pooling; null where the kernels have no form of it.</summary>
    public static KernelPoolStep? Create(PlanContext c, PoolShape shape, PoolOperation operation, bool countPadding)
    {
        bool fits = c.Element(0) == DataType.Float32 || (operation == PoolOperation.Max && c.Element(0) is DataType.UInt8 or DataType.Int8);
        PoolKernel kernel = PoolKernel.Create(shape, operation, countPadding, 1, c.Cpu);
        long scratch = kernel.ScratchBytes(c.Workers);
        return fits && scratch <= int.MaxValue ? new KernelPoolStep(kernel, operation, c.Element(0), (int)scratch) : null;
    }

    public override string Kernel => $"{_operation.ToString().ToLowerInvariant()} {_element.Name()} channels-last";

    public override int ScratchBytes { get; }

    public override void Run(StepContext c)
    {
        switch (_element)
        {
            case DataType.Float32:
                _kernel.Run(c.Input<float>(0), c.Output<float>(0), c.Scratch, c.Parallel);
                break;
            case DataType.UInt8:
                _kernel.Run<UInt8Type, byte>(c.Input<byte>(0), c.Output<byte>(0), default, c.Scratch, c.Parallel);
                break;
            default:
                _kernel.Run<Int8Type, sbyte>(c.Input<sbyte>(0), c.Output<sbyte>(0), default, c.Scratch, c.Parallel);
                break;
        }
    }
}
