using System.Numerics;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>
/// <c>ArgMax</c>, <c>ArgMin</c>: the index, int64, of the largest or smallest element along attribute <c>axis</c> (default 0); of equal ones the first,
/// or the last with <c>select_last_index</c>. A NaN counts as the extreme.
/// </summary>
internal sealed class ArgExtreme(string type, bool largest) : Operator
{
    public override OperatorId Id { get; } = new(type);

    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64";

    public override void Infer(InferContext c)
    {
        c.Expect(0, ElementTypes.Numbers);
        if (c.Shape(0) is not { } shape)
        {
            c.SetUnknownShape(0, DataType.Int64);
            return;
        }
        int axis = c.Axis(c.Attributes.Int("axis"), shape.Length);
        if (shape[axis].Is(0)) throw c.Error($"axis {axis} has extent 0", "an extreme is taken of at least one element");
        c.Set(0, DataType.Int64, (c.Attributes.Int("keepdims", 1) != 0 ? shape.SetItem(axis, 1) : shape.RemoveAt(axis)).AsSpan());
    }

    public override Step Plan(PlanContext c)
    {
        int[] shape = c.InputShape(0);
        (int outer, int count, int inner) = Axes.Around(shape, c.Axis(c.Attributes.Int("axis"), shape.Length));
        return ElementTypes.Number(c, c.Element(0), new Visitor(c.Node.OperatorType, outer, count, inner, largest, c.Attributes.Int("select_last_index") != 0));
    }

    private sealed class Visitor(string kernel, int outer, int count, int inner, bool largest, bool last) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => Step.From(kernel, c =>
        {
            ReadOnlySpan<T> x = c.Input<T>(0);
            Span<long> y = c.Output<long>(0);
            for (int line = 0; line < outer * inner; line++)
            {
                int start = line / inner * count * inner + line % inner, best = 0;
                T extreme = x[start];
                for (int i = 1; i < count; i++)
                {
                    T element = x[start + i * inner];
                    bool better = (largest ? element > extreme : element < extreme) || (T.IsNaN(element) && !T.IsNaN(extreme));
                    if (better || (last && element == extreme))
                    {
                        best = i;
                        extreme = element;
                    }
                }
                y[line] = best;
            }
        });
    }
}
