using System.Numerics;
using Octet.Kernels.Elementwise;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Max</c>, <c>Min</c>, <c>Sum</c>, <c>Mean</c>: any number of inputs, broadcast together and combined from left to right.</summary>
/// <param name="type">Operator type.</param>
/// <param name="vector">The vector kernel for float32.</param>
/// <param name="mean">Whether the result is divided by the number of inputs.</param>
internal sealed class Variadic<TFunction>(string type, BinaryOperation vector, bool mean = false) : Operator where TFunction : struct, INumberFunction
{
    public override OperatorId Id { get; } = new(type);

    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64";

    public override void Infer(InferContext c)
    {
        DataType element = c.Expect(0, ElementTypes.Numbers);
        for (int i = 1; i < c.InputCount; i++)
        {
            DataType other = c.Expect(i, ElementTypes.Numbers);
            if (element == DataType.Undefined) element = other;
            if (other != DataType.Undefined && other != element) throw c.Error($"input {i} is {other.Name()}", "all inputs have one element type");
        }
        Broadcast.Set(c, 0, element, Broadcast.Inputs(c, 0, c.InputCount - 1));
    }

    public override Step Plan(PlanContext c) => c.Element(0) == DataType.Float32 && c.InputCount > 1
        ? new VectorStep(c, vector, mean)
        : ElementTypes.Number(c, c.Element(0), new Visitor(c, mean));

    /// <summary>Inputs 0 and 1 are combined into the output, every further input is combined with it in place.</summary>
    private sealed class VectorStep : Step
    {
        private readonly BinaryKernel _kernel;
        private readonly UnaryKernel? _divide;
        private readonly BroadcastPlan[] _plans;
        private readonly int _inPlaceInput;

        public VectorStep(PlanContext c, BinaryOperation operation, bool mean)
        {
            _kernel = BinaryKernel.Select(operation, c.Cpu);
            _divide = mean ? UnaryKernel.Select(UnaryOperation.Affine, c.Cpu) : null;
            int[] y = c.OutputShape(0);
            _inPlaceInput = Tensor.CountElements(c.InputShape(0)) == Tensor.CountElements(y) ? 0 : -1;
            _plans = new BroadcastPlan[c.InputCount - 1];
            for (int i = 0; i < _plans.Length; i++) _plans[i] = BroadcastPlan.Create(y, i == 0 ? c.InputShape(0) : y, c.InputShape(i + 1));
        }

        public override string Kernel => $"{_kernel.Operation}-{_kernel.Width}";

        public override int InPlaceInput(int output) => output == 0 ? _inPlaceInput : -1;

        public override void Run(StepContext c)
        {
            Span<float> y = c.Output<float>(0);
            for (int i = 0; i < _plans.Length; i++) _kernel.Run(_plans[i], i == 0 ? c.Input<float>(0) : y, c.Input<float>(i + 1), y, c.Parallel);
            _divide?.Run(y, y, 1f / (_plans.Length + 1), 0, c.Parallel);
        }
    }

    private sealed class Visitor(PlanContext c, bool mean) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T>
        {
            int[] y = c.OutputShape(0);
            var plans = new RowPlan[c.InputCount];
            for (int i = 0; i < plans.Length; i++) plans[i] = new RowPlan(c, y, c.InputShape(i));
            return new VariadicStep<T>(c.Node.OperatorType, plans, mean ? T.CreateChecked(plans.Length) : T.One);
        }
    }

    /// <summary>Input 0 is copied into the output, every further input is combined with it in place.</summary>
    private sealed class VariadicStep<T>(string kernel, RowPlan[] plans, T divisor) : Step where T : unmanaged, INumber<T>, IMinMaxValue<T>
    {
        public override string Kernel => kernel;

        public override int InPlaceInput(int output) => output == 0 ? 0 : -1;

        public override void Run(StepContext c)
        {
            Span<T> y = c.Output<T>(0);
            Span<int> index = stackalloc int[RowPlan.MaxOuterRank], offsets = stackalloc int[1];
            for (int i = 0; i < plans.Length; i++)
            {
                RowPlan plan = plans[i];
                ReadOnlySpan<T> x = c.Input<T>(i);
                plan.Seek(0, index, offsets);
                int stride = plan.InnerStrides[0];
                for (int row = 0; row < plan.Rows; row++, plan.Next(index, offsets))
                {
                    Span<T> to = y.Slice(row * plan.Inner, plan.Inner);
                    ReadOnlySpan<T> from = x.Slice(offsets[0], stride == 0 ? 1 : plan.Inner);
                    if (i == 0 && stride == 0) to.Fill(from[0]);
                    else if (i == 0) from.CopyTo(to);
                    else if (stride == 0) for (int j = 0; j < to.Length; j++) to[j] = TFunction.Invoke(to[j], from[0]);
                    else for (int j = 0; j < to.Length; j++) to[j] = TFunction.Invoke(to[j], from[j]);
                }
            }
            if (divisor != T.One) for (int j = 0; j < y.Length; j++) y[j] /= divisor;
        }
    }
}
