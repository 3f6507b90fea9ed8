using Octet.Kernels.Memory;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Runs a static operator on actual inputs: infers, plans, allocates, runs. Constant folding and dynamic runs use it.</summary>
internal static class StaticEvaluation
{
    /// <summary>A step made for actual inputs, with the types of its outputs.</summary>
    /// <param name="Step">The step.</param>
    /// <param name="Outputs">Types of its outputs; null for one that nobody wants.</param>
    /// <param name="Reusable">Whether it fits every input of the same types.</param>
    internal sealed record Prepared(Step Step, TensorType?[] Outputs, bool Reusable);

    /// <summary>Infers, plans and runs.</summary>
    public static RuntimeValue?[] Run(Operator op, EvaluateContext c) => Run(Prepare(op, c), c);

    /// <summary>Infers and plans for the actual inputs.</summary>
    /// <exception cref="UnsupportedModelException">The shape of an output does not follow from the inputs.</exception>
    public static Prepared Prepare(Operator op, EvaluateContext c)
    {
        var inputTypes = new TensorType?[c.InputCount];
        for (int i = 0; i < inputTypes.Length; i++) inputTypes[i] = c.Has(i) ? c.Type(i) : null;
        bool usedRuntimeValue = false;
        Tensor? Known(int index)
        {
            if (c.Node.Input(index)?.Constant is null) usedRuntimeValue = true;
            return c.OptionalInput(index);
        }

        var infer = new InferContext(c.Node, inputTypes, Known);
        try
        {
            op.Infer(infer);
        }
        catch (Exception failure) when (failure is ArithmeticException or ArgumentException)
        {
            throw c.Error($"its output has no legal shape for these inputs ({failure.Message})", "extents and element counts stay below 2³¹");
        }
        var outputs = new TensorType?[infer.Outputs.Count];
        for (int i = 0; i < outputs.Length; i++)
        {
            if (!c.Wants(i)) continue;
            if (!infer.Outputs[i].IsConcrete) throw c.Unsupported($"the type of output {i} stays {infer.Outputs[i]} although all inputs are known", "shapes that follow from the inputs");
            outputs[i] = infer.Outputs[i];
        }
        Step step = op.Plan(new PlanContext(c.Node, inputTypes, infer.Outputs, Known, c.Options));
        return new Prepared(step, outputs, !usedRuntimeValue);
    }

    /// <summary>Runs a prepared step on the actual inputs.</summary>
    public static RuntimeValue?[] Run(Prepared prepared, EvaluateContext c)
    {
        var inputs = new Tensor?[c.InputCount];
        for (int i = 0; i < inputs.Length; i++) inputs[i] = c.OptionalInput(i);
        var outputs = new Tensor?[prepared.Outputs.Length];
        for (int i = 0; i < outputs.Length; i++)
        {
            if (prepared.Outputs[i] is not { } type) continue;
            try
            {
                outputs[i] = new Tensor(type.Element, type.ConcreteShape());
            }
            catch (ArgumentException failure)
            {
                throw c.Error($"output {i} would be {type}", failure.Message);
            }
        }
        int scratchBytes = prepared.Step.ScratchBytes;
        Memory<byte> scratch = scratchBytes == 0 ? default : new AlignedBuffer(scratchBytes).Memory;
        prepared.Step.Run(new StepContext(inputs, outputs, scratch, c.Parallel));
        return outputs;
    }
}
