using System.Numerics;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>NonZero</c>: the positions, int64, of all elements that are not 0, one column each in row-major order; a scalar counts as one axis.</summary>
internal sealed class NonZero : Operator
{
    public override OperatorId Id { get; } = new("NonZero");

    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64, bool";

    public override bool IsDynamic => true;

    public override void Infer(InferContext c) => c.Set(0, DataType.Int64, c.Rank(0) < 0 ? Dim.Unknown : Math.Max(1, c.Rank(0)), Dim.Unknown);

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        Tensor x = c.Input(0);
        return [x.Type == DataType.Bool ? new Visitor(x).Visit<byte>() : ElementTypes.Number(c, x.Type, new Visitor(x))];
    }

    private sealed class Visitor(Tensor x) : INumberVisitor<Tensor>
    {
        public Tensor Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T>
        {
            ReadOnlySpan<T> elements = x.Span<T>();
            int count = 0;
            foreach (T element in elements) if (element != T.Zero) count++;
            int rank = Math.Max(1, x.Rank);
            var positions = new Tensor(DataType.Int64, [rank, count]);
            Span<long> y = positions.Span<long>();
            for (int i = 0, column = 0; i < elements.Length; i++)
            {
                if (elements[i] == T.Zero) continue;
                for (int axis = x.Rank - 1, rest = i; axis >= 0; axis--)
                {
                    y[axis * count + column] = rest % x.Shape[axis];
                    rest /= x.Shape[axis];
                }
                column++;
            }
            return positions;
        }
    }
}

/// <summary><c>Compress</c>: the slices along attribute <c>axis</c> whose condition is true, or without it elements of the flattened input.</summary>
internal sealed class Compress : Operator
{
    public override OperatorId Id { get; } = new("Compress");

    public override string Types => "all";

    public override bool IsDynamic => true;

    public override void Infer(InferContext c)
    {
        c.Expect(1, DataType.Bool);
        if (!c.Attributes.Contains("axis")) c.Set(0, c.Element(0), Dim.Unknown);
        else if (c.Shape(0) is { } shape) c.Set(0, c.Element(0), shape.SetItem(c.Axis(c.Attributes.Int("axis"), shape.Length), Dim.Unknown).AsSpan());
        else c.SetUnknownShape(0, c.Element(0));
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        Tensor x = c.Input(0);
        bool flat = !c.Attributes.Contains("axis");
        int axis = flat ? 0 : c.Axis(c.Attributes.Int("axis"), x.Rank);
        int[] shape = flat ? [x.Length] : x.Shape.ToArray();
        ReadOnlySpan<byte> condition = c.Input(1).Span<byte>();
        if (condition.Length > shape[axis]) throw c.Error($"{condition.Length} conditions for {shape[axis]} slices", "no more conditions than slices");
        var chosen = new List<int>();
        for (int i = 0; i < condition.Length; i++) if (condition[i] != 0) chosen.Add(i);
        return [Slices.Take(x.Reshape(shape), axis, chosen)];
    }
}

/// <summary>Slices of a tensor along an axis.</summary>
internal static class Slices
{
    /// <summary>A tensor of the slices at <paramref name="positions"/>, in that order.</summary>
    public static Tensor Take(Tensor x, int axis, IReadOnlyList<int> positions)
    {
        int[] shape = x.Shape.ToArray();
        (int outer, int extent, int inner) = Axes.Around(shape, axis);
        shape[axis] = positions.Count;
        var y = new Tensor(x.Type, shape);
        for (int o = 0; o < outer; o++)
        {
            for (int i = 0; i < positions.Count; i++)
            {
                int from = (o * extent + positions[i]) * inner, to = (o * positions.Count + i) * inner;
                if (x.Type == DataType.String) x.Strings.Slice(from, inner).CopyTo(y.Strings[to..]);
                else x.Bytes.Span.Slice(from * x.Type.Size(), inner * x.Type.Size()).CopyTo(y.Bytes.Span[(to * x.Type.Size())..]);
            }
        }
        return y;
    }
}

/// <summary>
/// <c>Unique</c>: the different slices along attribute <c>axis</c> (without it, of the flattened input), ascending or with <c>sorted</c> = 0 in order of
/// first occurrence; where each first occurs, which one each slice is, and how often each occurs, as int64.
/// </summary>
internal sealed class Unique : Operator
{
    public override OperatorId Id { get; } = new("Unique");

    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64, bool, string";

    public override bool IsDynamic => true;

    public override void Infer(InferContext c)
    {
        if (!c.Attributes.Contains("axis")) c.Set(0, c.Element(0), Dim.Unknown);
        else if (c.Shape(0) is { } shape) c.Set(0, c.Element(0), shape.SetItem(c.Axis(c.Attributes.Int("axis"), shape.Length), Dim.Unknown).AsSpan());
        else c.SetUnknownShape(0, c.Element(0));
        for (int i = 1; i < 4; i++) c.Set(i, DataType.Int64, Dim.Unknown);
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        Tensor x = c.Input(0);
        int axis = 0;
        if (c.Attributes.Contains("axis")) axis = c.Axis(c.Attributes.Int("axis"), x.Rank);
        else x = x.Reshape(x.Length);
        (int outer, int extent, int inner) = Axes.Around(x.Shape, axis);
        Func<int, int, int> compare = x.Type switch
        {
            DataType.String => (a, b) => CompareStrings(x, a, b, outer, extent, inner),
            DataType.Bool => new Visitor(x, outer, extent, inner).Visit<byte>(),
            _ => ElementTypes.Number(c, x.Type, new Visitor(x, outer, extent, inner)),
        };

        int[] order = [.. Enumerable.Range(0, extent)];
        Array.Sort(order, (a, b) => compare(a, b) is not 0 and var result ? result : a.CompareTo(b));
        var firsts = new List<int>();
        var group = new int[extent];
        for (int i = 0; i < extent; i++)
        {
            if (i == 0 || compare(order[i - 1], order[i]) != 0) firsts.Add(order[i]);
            group[order[i]] = firsts.Count - 1;
        }
        if (c.Attributes.Int("sorted", 1) == 0)
        {
            int[] byOccurrence = [.. Enumerable.Range(0, firsts.Count).OrderBy(i => firsts[i])], place = new int[firsts.Count];
            for (int i = 0; i < place.Length; i++) place[byOccurrence[i]] = i;
            firsts.Sort();
            for (int i = 0; i < extent; i++) group[i] = place[group[i]];
        }
        var counts = new long[firsts.Count];
        foreach (int i in group) counts[i]++;
        Tensor?[] all =
        [
            Slices.Take(x, axis, firsts),
            Tensor.Create(firsts.ConvertAll(first => (long)first).ToArray(), firsts.Count),
            Tensor.Create(Array.ConvertAll(group, i => (long)i), extent),
            Tensor.Create(counts, counts.Length),
        ];
        return [.. all.Take(c.OutputCount)];
    }

    private static int CompareStrings(Tensor x, int a, int b, int outer, int extent, int inner)
    {
        Span<string> elements = x.Strings;
        for (int i = 0; i < outer * inner; i++)
        {
            int offset = i / inner * extent * inner + i % inner;
            int result = string.CompareOrdinal(elements[offset + a * inner], elements[offset + b * inner]);
            if (result != 0) return result;
        }
        return 0;
    }

    private sealed class Visitor(Tensor x, int outer, int extent, int inner) : INumberVisitor<Func<int, int, int>>
    {
        public Func<int, int, int> Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => (a, b) =>
        {
            ReadOnlySpan<T> elements = x.Span<T>();
            for (int i = 0; i < outer * inner; i++)
            {
                int offset = i / inner * extent * inner + i % inner;
                int result = elements[offset + a * inner].CompareTo(elements[offset + b * inner]);
                if (result != 0) return result;
            }
            return 0;
        };
    }
}
