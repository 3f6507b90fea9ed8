using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>MaxUnpool</c>: puts every element at the place that its index names; the rest is zero.</summary>
/// <remarks>
/// Indices are flat positions in the whole unpooled tensor, as MaxPool gives them. Without <c>output_shape</c> an extent is
/// <c>(x − 1) · stride − pads + kernel</c>; with it, that shape is used and indices are positions in the inferred one.
/// </remarks>
internal sealed class MaxUnpool : Operator
{
    public override OperatorId Id => new("MaxUnpool", Since: 9);

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is not { } shape) { c.SetUnknownShape(0, c.Element(0)); return; }
        if (c.Has(2))
        {
            if (c.KnownInts(2) is not { } wanted) { c.SetUnknownShape(0, c.Element(0)); return; }
            if (wanted.Length != shape.Length || wanted.Any(extent => extent is < 0 or > int.MaxValue)) throw c.Error($"output_shape is [{string.Join(", ", wanted)}]", "one extent per axis of X");
            c.Set(0, new TensorType(c.Element(0), (ReadOnlySpan<Dim>)[.. wanted.Select(extent => (Dim)extent)]));
            return;
        }
        c.Set(0, new TensorType(c.Element(0), Inferred(c, shape.AsSpan())));
    }

    public override Step Plan(PlanContext c)
    {
        c.Expect(0, DataType.Float32);
        c.Expect(1, DataType.Int64);
        int[] x = c.InputShape(0), y = c.OutputShape(0);
        if (!x.AsSpan().SequenceEqual(c.InputShape(1))) throw c.Error($"X is {c.Type(0)}, indices {c.Type(1)}", "X and indices have one shape");
        Dim[] dims = Inferred(c, c.Shape(0)!.Value.AsSpan());
        int[] inferred = new int[dims.Length];
        for (int i = 0; i < dims.Length; i++)
        {
            inferred[i] = (int)dims[i].Value;
            if (inferred[i] > y[i]) throw c.Error($"output_shape has {y[i]} on axis {i}, the pool covers {inferred[i]}", "output_shape is at least what the pool covers");
        }
        long total = Tensor.CountElements(inferred);
        return Step.From("max-unpool", run =>
        {
            ReadOnlySpan<float> data = run.Input<float>(0);
            ReadOnlySpan<long> indexes = run.Input<long>(1);
            Span<float> output = run.Output<float>(0);
            output.Clear();
            for (int i = 0; i < data.Length; i++)
            {
                long position = indexes[i];
                if (position < 0 || position >= total) throw new DataException($"MaxUnpool: index {position}; rule: 0 ≤ index < {total}");
                long place = 0, step = 1;
                for (int axis = y.Length - 1; axis >= 0; axis--)
                {
                    place += position % inferred[axis] * step;
                    position /= inferred[axis];
                    step *= y[axis];
                }
                output[(int)place] = data[i];
            }
        });
    }

    private static Dim[] Inferred(NodeContext c, ReadOnlySpan<Dim> shape)
    {
        long[] kernel = c.Attributes.Ints("kernel_shape") ?? throw c.Error("kernel_shape is missing", "kernel_shape is given");
        int axes = shape.Length - 2;
        long[] strides = c.Attributes.Ints("strides") ?? [.. Enumerable.Repeat(1L, kernel.Length)], pads = c.Attributes.Ints("pads") ?? new long[2 * kernel.Length];
        if (axes < 1 || kernel.Length != axes || strides.Length != axes || pads.Length != 2 * axes) throw c.Error($"kernel_shape has {kernel.Length} entries for {axes} spatial axes", "one entry per spatial axis");
        Dim[] dims = shape.ToArray();
        for (int i = 0; i < axes; i++)
        {
            if (!shape[2 + i].IsKnown) continue;
            long extent = checked((shape[2 + i].Value - 1) * strides[i] - pads[i] - pads[axes + i] + kernel[i]);
            dims[2 + i] = extent is >= 0 and <= int.MaxValue ? extent : throw c.Error($"axis {2 + i} would have extent {extent}", "extents are not negative");
        }
        return dims;
    }
}
