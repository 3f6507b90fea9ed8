using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>
/// <c>TopK</c>: the k largest (<c>largest</c> = 1, default) or smallest elements along attribute <c>axis</c> (default −1), best first, and their indices
/// as int64; of equal ones the lower index comes first. A NaN counts as larger than every number. k is an attribute before version 10, input 1 since.
/// </summary>
internal sealed class TopK : Operator
{
    public override OperatorId Id { get; } = new("TopK");

    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64";

    public override void Infer(InferContext c)
    {
        DataType type = c.Expect(0, ElementTypes.Numbers);
        if (c.Shape(0) is not { } shape)
        {
            c.SetUnknownShape(0, type);
            c.SetUnknownShape(1, DataType.Int64);
            return;
        }
        if (shape.Length == 0) throw c.Error("x is a scalar", "x has an axis to choose along");
        int axis = c.Axis(c.Attributes.Int("axis", -1), shape.Length);
        long? k = c.Opset < 10 ? c.Attributes.Int("k") : c.KnownInts(1) is [long known] ? known : null;
        if (k < 0 || (k is not null && shape[axis].IsKnown && k > shape[axis].Value)) throw c.Error($"k is {k}, the axis has {shape[axis]} elements", "0 ≤ k ≤ extent of the axis");
        Dim[] result = [.. shape.SetItem(axis, k is { } count ? count : Dim.Unknown)];
        c.Set(0, type, result);
        c.Set(1, DataType.Int64, result);
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        int axis = c.Axis(c.Attributes.Int("axis", -1), x.Length);
        (int outer, int count, int inner) = Axes.Around(x, axis);
        int k = (int)(c.Opset < 10 ? c.Attributes.Int("k") : c.Required(1).ToInt64Array()[0]);
        return ElementTypes.Number(c, c.Element(0), new Visitor(outer * inner, count, inner, k, c.Attributes.Int("largest", 1) != 0));
    }

    private sealed class Visitor(int lines, int count, int inner, int k, bool largest) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => Step.From("TopK", c =>
        {
            ReadOnlySpan<T> x = c.Input<T>(0);
            Span<T> values = c.Output<T>(0);
            Span<long> indices = c.Output<long>(1);
            Span<int> heap = MemoryMarshal.Cast<byte, int>(c.Scratch)[..k];
            for (int line = 0; line < lines && k > 0; line++)
            {
                int start = line / inner * count * inner + line % inner, to = line / inner * k * inner + line % inner;
                Select(x, heap, start);
                for (int i = 0; i < k; i++)
                {
                    if (!values.IsEmpty) values[to + i * inner] = x[start + heap[i] * inner];
                    if (!indices.IsEmpty) indices[to + i * inner] = heap[i];
                }
            }
        }, scratchBytes: k * sizeof(int));

        /// <summary>The best k positions of a line, best first: a heap whose root is the worst of those chosen, taken apart at the end.</summary>
        private void Select<T>(ReadOnlySpan<T> x, Span<int> heap, int start) where T : unmanaged, INumber<T>
        {
            for (int i = 0; i < k; i++) heap[i] = i;
            for (int i = k / 2 - 1; i >= 0; i--) Sink(x, heap, start, i);
            T worst = x[start + heap[0] * inner];
            for (int i = k; i < count; i++)
            {
                // Most elements are no better than the worst chosen, which lies before them; comparisons with NaN are false and decided below.
                T candidate = x[start + i * inner];
                if (largest ? candidate <= worst : candidate >= worst) continue;
                if (!Better(x, start, i, heap[0])) continue;
                heap[0] = i;
                Sink(x, heap, start, 0);
                worst = x[start + heap[0] * inner];
            }
            for (int end = k - 1; end > 0; end--)
            {
                (heap[0], heap[end]) = (heap[end], heap[0]);
                Sink(x, heap[..end], start, 0);
            }
        }

        private void Sink<T>(ReadOnlySpan<T> x, Span<int> heap, int start, int at) where T : unmanaged, INumber<T>
        {
            while (true)
            {
                int child = 2 * at + 1;
                if (child >= heap.Length) return;
                if (child + 1 < heap.Length && Better(x, start, heap[child], heap[child + 1])) child++;
                if (!Better(x, start, heap[at], heap[child])) return;
                (heap[at], heap[child]) = (heap[child], heap[at]);
                at = child;
            }
        }

        private bool Better<T>(ReadOnlySpan<T> x, int start, int a, int b) where T : unmanaged, INumber<T>
        {
            T left = x[start + a * inner], right = x[start + b * inner];
            if (left > right) return largest;
            if (left < right) return !largest;
            if (T.IsNaN(left) != T.IsNaN(right)) return T.IsNaN(left) == largest;
            return a < b;
        }
    }
}
