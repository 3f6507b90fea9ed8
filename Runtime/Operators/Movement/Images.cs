using System.Numerics;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>CenterCropPad</c>: the middle of each axis in <c>axes</c> cut or padded with zeros to the extent in input 1; an odd remainder goes to the end.</summary>
internal sealed class CenterCropPad : Operator
{
    public override OperatorId Id { get; } = new("CenterCropPad");

    public override string Types => "all";

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is not { } shape)
        {
            c.SetUnknownShape(0, c.Element(0));
            return;
        }
        int[] axes = AxesOf(c, shape.Length);
        long[]? extents = c.KnownInts(1);
        if (extents is not null && (extents.Length != axes.Length || extents.Any(extent => extent < 0))) throw c.Error($"extents [{string.Join(",", extents)}] for {axes.Length} axes", "one extent per axis, 0 or more");
        var result = shape.ToArray();
        for (int i = 0; i < axes.Length; i++) result[axes[i]] = extents is null ? Dim.Unknown : extents[i];
        c.Set(0, c.Element(0), result);
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0), y = c.OutputShape(0);
        var maps = new int[x.Length][];
        for (int i = 0; i < maps.Length; i++)
        {
            int shift = x[i] >= y[i] ? (x[i] - y[i]) / 2 : -((y[i] - x[i]) / 2);
            maps[i] = [.. Enumerable.Range(0, y[i]).Select(k => k + shift >= 0 && k + shift < x[i] ? k + shift : -1)];
        }
        return MovementSteps.Plan(c, c.Element(0), new Pad.Visitor(x, y, maps, new Tensor(c.Element(0) == DataType.String ? DataType.UInt32 : c.Element(0), [])));
    }

    private static int[] AxesOf(NodeContext c, int rank) =>
        c.Attributes.Ints("axes") is { } axes ? Array.ConvertAll(axes, axis => c.Axis(axis, rank)) : [.. Enumerable.Range(0, rank)];
}

/// <summary><c>Col2Im</c>: columns <c>[N, C·Πblock, L]</c> summed into the image <c>[N, C, image_shape…]</c> that a sliding window would have read them from.</summary>
internal sealed class Col2Im : Operator
{
    public override OperatorId Id { get; } = new("Col2Im");

    public override string Types => "float32, float64, float16, int8…int64, uint8…uint64";

    public override void Infer(InferContext c)
    {
        DataType type = c.Expect(0, ElementTypes.Numbers);
        if (c.KnownInts(1) is not { } image || c.KnownInts(2) is not { } block || c.Shape(0) is not { } x)
        {
            c.SetUnknownShape(0, type);
            return;
        }
        if (x.Length != 3 || image.Length != block.Length || image.Any(extent => extent < 1) || block.Any(extent => extent < 1))
            throw c.Error($"image [{string.Join(",", image)}], block [{string.Join(",", block)}]", "columns are [N, C·Πblock, L], image and block have one positive extent per axis");
        long window = block.Aggregate(1L, (product, extent) => checked(product * extent));
        if (x[1].IsKnown && x[1].Value % window != 0) throw c.Error($"{x[1]} rows for blocks of {window}", "the block size divides the rows");
        c.Set(0, type, [x[0], x[1] / window, .. image.Select(extent => new Dim(extent))]);
    }

    public override Step Plan(PlanContext c)
    {
        int[] image = Ints(c, 1), block = Ints(c, 2), x = c.InputShape(0);
        int rank = image.Length;
        int[] dilations = Attribute(c, "dilations", rank, 1), strides = Attribute(c, "strides", rank, 1), pads = Attribute(c, "pads", 2 * rank, 0);
        var steps = new int[rank];
        for (int i = 0; i < rank; i++) steps[i] = (image[i] + pads[i] + pads[rank + i] - (dilations[i] * (block[i] - 1) + 1)) / strides[i] + 1;
        if (steps.Any(count => count < 1) || Tensor.CountElements(steps) != x[2]) throw c.Error($"the window has {string.Join("×", steps)} places but there are {x[2]} columns", "one column per place of the window");
        return ElementTypes.Number(c, c.Element(0), new Visitor(x, image, block, steps, dilations, strides, pads));
    }

    private static int[] Ints(PlanContext c, int input) => Array.ConvertAll(c.Required(input).ToInt64Array(), value => checked((int)value));

    private static int[] Attribute(PlanContext c, string name, int count, int otherwise)
    {
        long[] values = c.Attributes.Ints(name) ?? [.. Enumerable.Repeat((long)otherwise, count)];
        if (values.Length != count || values.Any(value => value < otherwise || value > 1 << 20)) throw c.Error($"{name} is [{string.Join(",", values)}]", $"{count} numbers, {otherwise} or more");
        return Array.ConvertAll(values, value => (int)value);
    }

    private sealed class Visitor(int[] x, int[] image, int[] block, int[] steps, int[] dilations, int[] strides, int[] pads) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => Step.From("Col2Im", c =>
        {
            ReadOnlySpan<T> columns = c.Input<T>(0);
            Span<T> to = c.Output<T>(0);
            to.Clear();
            int window = Axes.Product(block, 0, block.Length), places = x[2], pixels = Axes.Product(image, 0, image.Length);
            for (int row = 0; row < x[0] * x[1]; row++)
            {
                int channel = row / window, tap = row % window;
                int last = image.Length - 1, shift = tap % block[last] * dilations[last] - pads[last], step = strides[last];
                // Places of the last axis whose pixel lies in the image.
                int from = shift >= 0 ? 0 : (step - 1 - shift) / step, until = shift >= image[last] ? 0 : Math.Min(steps[last], (image[last] - 1 - shift) / step + 1);
                for (int place = 0; place < places; place += steps[last])
                {
                    int pixel = 0, stride = image[last];
                    bool inside = true;
                    for (int axis = last - 1, k = tap / block[last], p = place / steps[last]; axis >= 0; axis--)
                    {
                        int at = p % steps[axis] * strides[axis] - pads[axis] + k % block[axis] * dilations[axis];
                        k /= block[axis];
                        p /= steps[axis];
                        inside &= at >= 0 && at < image[axis];
                        pixel += at * stride;
                        stride *= image[axis];
                    }
                    if (!inside) continue;
                    Span<T> line = to.Slice(channel * pixels + pixel, image[last]);
                    ReadOnlySpan<T> column = columns.Slice(row * places + place, steps[last]);
                    for (int p = from; p < until; p++) line[p * step + shift] += column[p];
                }
            }
        });
    }
}
