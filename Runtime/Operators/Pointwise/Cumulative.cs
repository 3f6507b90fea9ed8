using System.Numerics;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>
/// <c>CumSum</c>, <c>CumProd</c>: <c>y[i] = x[0] ∘ … ∘ x[i]</c> along the axis in input 1. <c>exclusive</c> leaves out x[i] itself (the first result is
/// the neutral element), <c>reverse</c> goes from the end.
/// </summary>
/// <param name="type">Operator type.</param>
/// <param name="neutral">0 or 1, the result for no element.</param>
internal sealed class Cumulative<TFunction>(string type, int neutral) : UnaryOperator(type) where TFunction : struct, INumberFunction
{
    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Numbers;

    public override Step Plan(PlanContext c)
    {
        if (Tensor.CountElements(c.InputShape(1)) != 1) throw c.Error($"axis has shape {Tensor.Format(c.InputShape(1))}", "axis is a scalar");
        if (c.Required(1) is var axis && c.InputShape(0).Length == 0) throw c.Error("x is a scalar", "x has an axis to go along");
        (int outer, int count, int inner) = Axes.Around(c.InputShape(0), c.Axis(axis.ToInt64Array()[0], c.InputShape(0).Length));
        return ElementTypes.Number(c, c.Element(0), new Visitor(c.Node.OperatorType, outer, count, inner, neutral,
            c.Attributes.Int("exclusive") != 0, c.Attributes.Int("reverse") != 0));
    }

    private sealed class Visitor(string kernel, int outer, int count, int inner, int neutral, bool exclusive, bool reverse) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => Step.From(kernel, c =>
        {
            ReadOnlySpan<T> x = c.Input<T>(0);
            Span<T> y = c.Output<T>(0);
            for (int line = 0; line < outer * inner; line++)
            {
                int start = line / inner * count * inner + line % inner;
                T total = neutral == 0 ? T.Zero : T.One;
                for (int i = 0; i < count; i++)
                {
                    int at = start + (reverse ? count - 1 - i : i) * inner;
                    T next = TFunction.Invoke(total, x[at]);
                    y[at] = exclusive ? total : next;
                    total = next;
                }
            }
        }, inPlaceInput: 0);
    }
}
