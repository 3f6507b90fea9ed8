using System.Numerics;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>ReverseSequence</c>: the first <c>sequence_lens[b]</c> elements along <c>time_axis</c> (default 0) reversed for each b along <c>batch_axis</c> (default 1).</summary>
internal sealed class ReverseSequence : Operator
{
    public override OperatorId Id { get; } = new("ReverseSequence");

    public override string Types => "all";

    public override void Infer(InferContext c)
    {
        c.Expect(1, DataType.Int64);
        c.Set(0, c.Type(0));
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        if (x.Length < 2) throw c.Error($"x has rank {x.Length}", "x has a time axis and a batch axis");
        long time = c.Attributes.Int("time_axis"), batch = c.Attributes.Int("batch_axis", 1);
        if (!(time is 0 or 1 && batch == 1 - time)) throw c.Error($"time_axis is {time}, batch_axis is {batch}", "one is 0, the other 1");
        if (Tensor.CountElements(c.InputShape(1)) != x[batch]) throw c.Error($"{Tensor.CountElements(c.InputShape(1))} lengths for {x[batch]} sequences", "one length per sequence");
        return MovementSteps.Plan(c, c.Element(0), new Visitor(c.Node, x[0], x[1], Axes.Product(x, 2, x.Length), time == 0));
    }

    private sealed class Visitor(Node node, int rows, int columns, int inner, bool timeFirst) : IWidthVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T> => Step.From("ReverseSequence", c =>
        {
            ReadOnlySpan<T> x = c.Input<T>(0);
            ReadOnlySpan<long> lengths = c.Input<long>(1);
            Span<T> y = c.Output<T>(0);
            int times = timeFirst ? rows : columns;
            for (int row = 0; row < rows; row++)
            {
                for (int column = 0; column < columns; column++)
                {
                    (int time, int sequence) = timeFirst ? (row, column) : (column, row);
                    long length = lengths[sequence];
                    if (length < 0 || length > times) throw new DataException($"{node}: sequence {sequence} has length {length} of {times}; rule: 0 ≤ length ≤ extent of the time axis");
                    int from = time < length ? (int)length - 1 - time : time;
                    int source = timeFirst ? from * columns + column : row * columns + from;
                    x.Slice(source * inner, inner).CopyTo(y.Slice((row * columns + column) * inner, inner));
                }
            }
        });
    }
}

/// <summary><c>Trilu</c>: the upper (<c>upper</c> = 1, default) or lower triangle of each matrix, from diagonal k (input 1, default 0) on; zeros elsewhere.</summary>
internal sealed class Trilu : Operator
{
    public override OperatorId Id { get; } = new("Trilu");

    public override string Types => "all but string";

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is { Length: < 2 } shape) throw c.Error($"x has rank {shape.Length}", "x is […, N, M]");
        c.Set(0, c.Type(0));
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        return ElementTypes.Width(c, c.Element(0), new Visitor(Axes.Product(x, 0, x.Length - 2), x[^2], x[^1], c.Attributes.Int("upper", 1) != 0));
    }

    private sealed class Visitor(int matrices, int rows, int columns, bool upper) : IWidthVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T> => Step.From("Trilu", c =>
        {
            ReadOnlySpan<T> x = c.Input<T>(0);
            Span<T> y = c.Output<T>(0);
            long k = c.Has(1) ? c.Input<long>(1)[0] : 0;
            for (int row = 0; row < matrices * rows; row++)
            {
                // Upper keeps columns ≥ row + k, lower keeps columns ≤ row + k.
                int edge = (int)Math.Clamp(Math.Clamp(k, -(long)rows, columns) + row % rows + (upper ? 0 : 1), 0, columns);
                ReadOnlySpan<T> from = x.Slice(row * columns, columns);
                Span<T> to = y.Slice(row * columns, columns);
                from.CopyTo(to);
                (upper ? to[..edge] : to[edge..]).Clear();
            }
        }, inPlaceInput: 0);
    }
}

/// <summary><c>EyeLike</c>: a matrix of the input's shape with ones on diagonal <c>k</c>, of type <c>dtype</c> or the input's.</summary>
internal sealed class EyeLike : Operator
{
    public override OperatorId Id { get; } = new("EyeLike");

    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64, bool";

    public override void Infer(InferContext c)
    {
        if (c.Rank(0) is not (2 or -1)) throw c.Error($"the input has rank {c.Rank(0)}", "the input is a matrix");
        DataType type = c.Attributes.Contains("dtype") ? (DataType)c.Attributes.Int("dtype") : c.Element(0);
        c.Set(0, c.Type(0) with { Element = type });
    }

    public override Step Plan(PlanContext c)
    {
        int[] y = c.OutputShape(0);
        DataType type = c.OutputElement(0);
        return type == DataType.Bool ? new Visitor(y[0], y[1], c.Attributes.Int("k")).Visit<byte>() : ElementTypes.Number(c, type, new Visitor(y[0], y[1], c.Attributes.Int("k")));
    }

    private sealed class Visitor(int rows, int columns, long k) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => Step.From("EyeLike", c =>
        {
            Span<T> y = c.Output<T>(0);
            y.Clear();
            for (int row = 0; row < rows; row++)
            {
                if (k >= -row && k < columns - row) y[row * columns + row + (int)k] = T.One;
            }
        });
    }
}

/// <summary><c>Range</c>: <c>start, start + delta, …</c> before limit: <c>max(0, ⌈(limit − start)/delta⌉)</c> elements.</summary>
internal sealed class RangeOperator : Operator
{
    public override OperatorId Id { get; } = new("Range");

    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64";

    public override void Infer(InferContext c)
    {
        DataType type = c.Expect(0, ElementTypes.Numbers);
        if (c.Known(0) is { Length: 1 } start && c.Known(1) is { Length: 1 } limit && c.Known(2) is { Length: 1 } delta)
            c.Set(0, type, ElementTypes.Number(c, type == DataType.BFloat16 ? DataType.Float32 : type, new Counter(c, start, limit, delta)));
        else c.Set(0, type, Dim.Unknown);
    }

    public override Step Plan(PlanContext c) => ElementTypes.Number(c, c.Element(0), new Visitor());

    private sealed class Counter(NodeContext c, Tensor start, Tensor limit, Tensor delta) : INumberVisitor<long>
    {
        public long Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T>
        {
            T first = start.Span<T>()[0], end = limit.Span<T>()[0], step = delta.Span<T>()[0];
            if (step == T.Zero || T.IsNaN(step)) throw c.Error($"delta is {step}", "delta is not 0");
            if (typeof(T) == typeof(long) || typeof(T) == typeof(ulong))
            {
                Int128 span = Int128.CreateTruncating(end) - Int128.CreateTruncating(first), by = Int128.CreateTruncating(step);
                Int128 whole = span / by + (span % by != 0 && Int128.IsNegative(span) == Int128.IsNegative(by) ? 1 : 0);
                return whole < 0 ? 0 : whole <= int.MaxValue ? (long)whole : throw TooMany(c);
            }
            double count = Math.Ceiling((double.CreateTruncating(end) - double.CreateTruncating(first)) / double.CreateTruncating(step));
            return count <= 0 ? 0 : count <= int.MaxValue ? (long)count : throw TooMany(c);
        }

        private static ModelException TooMany(NodeContext c) => c.Error("the range has more than 2³¹ − 1 elements, or a bound is NaN", "a tensor has at most 2³¹ − 1 elements");
    }

    private sealed class Visitor : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => Step.From("Range", c =>
        {
            T start = c.Input<T>(0)[0], delta = c.Input<T>(2)[0];
            Span<T> y = c.Output<T>(0);
            for (int i = 0; i < y.Length; i++) y[i] = start + T.CreateTruncating(i) * delta;
        });
    }
}

/// <summary><c>OneHot</c>: a new axis of extent <c>depth</c> with <c>values[1]</c> at the index and <c>values[0]</c> elsewhere; indices outside [−depth, depth − 1] set none.</summary>
internal sealed class OneHot : Operator
{
    public override OperatorId Id { get; } = new("OneHot");

    public override string Types => "indices: all numbers; values: all";

    public override void Infer(InferContext c)
    {
        c.Expect(0, ElementTypes.Numbers);
        if (c.Shape(0) is not { } indices)
        {
            c.SetUnknownShape(0, c.Element(2));
            return;
        }
        Dim depth = Dim.Unknown;
        if (c.Known(1) is { Length: 1 } known)
        {
            float value = known.ToFloat32Array()[0];
            if (!(value >= 0 && value <= int.MaxValue)) throw c.Error($"depth is {value}", "0 ≤ depth < 2³¹");
            depth = known.Type.IsFloat() ? (long)value : known.ToInt64Array()[0];
        }
        int axis = c.Axis(c.Attributes.Int("axis", -1), indices.Length + 1);
        c.Set(0, c.Element(2), indices.Insert(axis, depth).AsSpan());
    }

    public override Step Plan(PlanContext c)
    {
        if (Tensor.CountElements(c.InputShape(2)) != 2) throw c.Error($"values are {c.Type(2)}", "values are [off, on]");
        int[] y = c.OutputShape(0);
        (_, int depth, int inner) = Axes.Around(y, c.Axis(c.Attributes.Int("axis", -1), y.Length));
        return ElementTypes.Number(c, c.Element(0), new IndexVisitor(c, depth, inner));
    }

    private sealed class IndexVisitor(PlanContext c, int depth, int inner) : INumberVisitor<Step>
    {
        public Step Visit<TIndex>() where TIndex : unmanaged, INumber<TIndex>, IMinMaxValue<TIndex> => MovementSteps.Plan(c, c.Element(2), new ValueVisitor<TIndex>(depth, inner));
    }

    private sealed class ValueVisitor<TIndex>(int depth, int inner) : IWidthVisitor<Step> where TIndex : unmanaged, INumber<TIndex>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T> => Step.From("OneHot", c =>
        {
            ReadOnlySpan<TIndex> indices = c.Input<TIndex>(0);
            ReadOnlySpan<T> values = c.Input<T>(2);
            Span<T> y = c.Output<T>(0);
            y.Fill(values[0]);
            for (int i = 0; i < indices.Length; i++)
            {
                long index = long.CreateSaturating(indices[i]);
                if (index < 0) index += depth;
                if ((ulong)index < (ulong)depth) y[(i / inner * depth + (int)index) * inner + i % inner] = values[1];
            }
        });
    }
}
