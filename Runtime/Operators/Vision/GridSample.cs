using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>GridSample</c>: samples the input at the coordinates of a grid.</summary>
/// <remarks>
/// <code>
///   X [N, C, D₁ … Dᵣ]   grid [N, O₁ … Oᵣ, r]   →   Y [N, C, O₁ … Oᵣ]
///   pixel = (g + 1) / 2 · (D − 1)  with align_corners, ((g + 1) · D − 1) / 2  without;  the grid's last axis runs from the innermost axis outwards
/// </code>
/// Modes: nearest (half to even), linear (bilinear), cubic (bicubic, a = −0.75, r = 2). Padding: zeros, border, reflection. A NaN coordinate counts as −1.
/// </remarks>
internal sealed class GridSample : Operator
{
    private const int MostAxes = 3;

    public override OperatorId Id => new("GridSample", Since: 16);

    public override string Limits => "one to three spatial axes; cubic: two";

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is not { } x || c.Shape(1) is not { } grid) { c.SetUnknownShape(0, c.Element(0)); return; }
        if (x.Length < 3 || grid.Length != x.Length || grid[^1].DiffersFrom(x.Length - 2))
            throw c.Error($"X has rank {x.Length}, the grid {c.Type(1)}", "X [N, C, D…] with r spatial axes, grid [N, O…, r]");
        c.Set(0, new TensorType(c.Element(0), (ReadOnlySpan<Dim>)[x[0], x[1], .. grid.AsSpan()[1..^1]]));
    }

    public override Step Plan(PlanContext c)
    {
        c.Expect(0, DataType.Float32);
        c.Expect(1, DataType.Float32);
        int[] x = c.InputShape(0), grid = c.InputShape(1);
        if (grid[0] != x[0]) throw c.Error($"batches are {x[0]} and {grid[0]}", "X and grid have one batch");
        int axes = x.Length - 2;
        int mode = c.Attributes.String("mode", c.Opset >= 20 ? "linear" : "bilinear") switch
        {
            "nearest" => 0,
            "linear" or "bilinear" => 1,
            "cubic" or "bicubic" => 2,
            var other => throw c.Error($"mode is '{other}'", "nearest, linear or cubic"),
        };
        int padding = c.Attributes.String("padding_mode", "zeros") switch
        {
            "zeros" => 0,
            "border" => 1,
            "reflection" => 2,
            var other => throw c.Error($"padding_mode is '{other}'", "zeros, border or reflection"),
        };
        if (axes > MostAxes || mode == 2 && axes != 2) throw c.Unsupported($"mode '{c.Attributes.String("mode")}' over {axes} axes", Limits);
        return new SampleStep(x, grid, mode, padding, c.Attributes.Int("align_corners") != 0);
    }

    private sealed class SampleStep(int[] x, int[] grid, int mode, int padding, bool align) : Step
    {
        private readonly int _axes = x.Length - 2;
        private readonly int _plane = Tensor.CountElements(x.AsSpan()[2..]);
        private readonly int _points = Tensor.CountElements(grid.AsSpan()[1..^1]);

        public override string Kernel => "grid-sample";

        public override void Run(StepContext c)
        {
            ReadOnlySpan<float> data = c.Input<float>(0), coordinates = c.Input<float>(1);
            Span<float> y = c.Output<float>(0);
            if (_plane == 0) { y.Clear(); return; }
            Span<float> at = stackalloc float[MostAxes];
            Span<int> indexes = stackalloc int[16];
            Span<float> weights = stackalloc float[16];
            for (int n = 0; n < x[0]; n++)
            {
                for (int point = 0; point < _points; point++)
                {
                    ReadOnlySpan<float> given = coordinates.Slice((n * _points + point) * _axes, _axes);
                    for (int i = 0; i < _axes; i++) at[i] = Pixel(given[_axes - 1 - i], x[2 + i]);
                    int taps = Inside(Taps(at[.._axes], indexes, weights), indexes, weights);
                    for (int channel = 0; channel < x[1]; channel++)
                    {
                        ReadOnlySpan<float> from = data.Slice((n * x[1] + channel) * _plane, _plane);
                        float sum = 0;
                        for (int t = 0; t < taps; t++) sum += weights[t] * from[indexes[t]];
                        y[(n * x[1] + channel) * _points + point] = sum;
                    }
                }
            }
        }

        private float Pixel(float g, int extent)
        {
            if (float.IsNaN(g)) g = -1;
            float pixel = align ? (g + 1) / 2 * (extent - 1) : ((g + 1) * extent - 1) / 2;
            if (mode == 0) pixel = MathF.Round(pixel, MidpointRounding.ToEven);
            float low = align ? 0 : -0.5f, high = align ? extent - 1 : extent - 0.5f;
            if (mode != 2 && (pixel < low || pixel > high))
            {
                if (padding == 1) pixel = Math.Clamp(pixel, 0, extent - 1);
                else if (padding == 2) pixel = Reflect(pixel, low, high);
            }
            return Math.Clamp(pixel, -1e8f, 1e8f);
        }

        /// <summary>Input positions (−1 for a padding zero) and weights of one sample.</summary>
        private int Taps(ReadOnlySpan<float> at, Span<int> indexes, Span<float> weights)
        {
            int perAxis = mode == 0 ? 1 : mode == 1 ? 2 : 4;
            indexes[0] = 0;
            weights[0] = 1;
            int count = 1;
            Span<float> coefficient = stackalloc float[4];
            for (int axis = 0; axis < at.Length; axis++)
            {
                int extent = x[2 + axis];
                float floor = MathF.Floor(at[axis]), ratio = at[axis] - floor;
                int first = (int)floor;
                if (mode == 0) (first, coefficient[0]) = ((int)at[axis], 1);
                else if (mode == 1) (coefficient[0], coefficient[1]) = (1 - ratio, ratio);
                else
                {
                    first--;
                    for (int t = 0; t < 4; t++) coefficient[t] = Cubic(ratio + 1 - t);
                }
                // In place from the last tap to the first, so that no prefix is overwritten before it was multiplied out.
                for (int prefix = count - 1; prefix >= 0; prefix--)
                {
                    (int index, float weight) = (indexes[prefix], weights[prefix]);
                    for (int t = perAxis - 1; t >= 0; t--)
                    {
                        int position = Inside(first + t, extent);
                        indexes[prefix * perAxis + t] = index < 0 || position < 0 ? -1 : index * extent + position;
                        weights[prefix * perAxis + t] = weight * coefficient[t];
                    }
                }
                count *= perAxis;
            }
            return count;
        }

        /// <summary>Drops the taps that read padding zeros.</summary>
        private static int Inside(int count, Span<int> indexes, Span<float> weights)
        {
            int kept = 0;
            for (int t = 0; t < count; t++)
            {
                if (indexes[t] < 0) continue;
                (indexes[kept], weights[kept]) = (indexes[t], weights[t]);
                kept++;
            }
            return kept;
        }

        private int Inside(int index, int extent)
        {
            if (index >= 0 && index < extent) return index;
            if (padding == 0) return -1;
            if (padding == 2) index = (int)MathF.Round(Reflect(index, align ? 0 : -0.5f, align ? extent - 1 : extent - 0.5f));
            return Math.Clamp(index, 0, extent - 1);
        }

        /// <summary>Mirrors a coordinate at both ends until it lies inside.</summary>
        private static float Reflect(float value, float low, float high)
        {
            float range = high - low;
            if (range <= 0) return low;
            float distance = value < low ? low - value : value > high ? value - high : -1;
            if (distance < 0) return value;
            float turns = MathF.Floor(distance / range), rest = distance - turns * range;
            bool even = turns % 2 == 0;
            return value < low ? even ? low + rest : high - rest : even ? high - rest : low + rest;
        }

        private static float Cubic(float distance)
        {
            const float A = -0.75f;
            float d = MathF.Abs(distance);
            return d <= 1 ? ((A + 2) * d - (A + 3)) * d * d + 1 : d < 2 ? ((d - 5) * d + 8) * d * A - 4 * A : 0;
        }
    }
}

/// <summary>ONNX <c>AffineGrid</c>: the sampling grid of an affine map, <c>grid[n, …, i] = Σⱼ theta[n, i, j] · p[…, j] + theta[n, i, r]</c>.</summary>
/// <remarks>theta is [N, r, r + 1] for r = 2 or 3; p runs over [−1, 1] per axis, ends included with align_corners, half a pixel inside without.</remarks>
internal sealed class AffineGrid : Operator
{
    public override OperatorId Id => new("AffineGrid", Since: 20);

    public override void Infer(InferContext c)
    {
        if (c.KnownInts(1) is not { } size) { c.SetUnknownShape(0, c.Element(0)); return; }
        if (size.Length is not (4 or 5) || size.Any(extent => extent is < 0 or > int.MaxValue)) throw c.Error($"size is [{string.Join(", ", size)}]", "size is N, C, (D,) H, W");
        c.Set(0, new TensorType(c.Element(0), (ReadOnlySpan<Dim>)[size[0], .. size[2..].Select(extent => (Dim)extent), size.Length - 2]));
    }

    public override Step Plan(PlanContext c)
    {
        c.Expect(0, DataType.Float32);
        long[] size = c.Required(1).ToInt64Array();
        int axes = size.Length - 2;
        int[] theta = c.InputShape(0);
        if (theta.Length != 3 || theta[0] != size[0] || theta[1] != axes || theta[2] != axes + 1) throw c.Error($"theta is {c.Type(0)}", $"theta is [{size[0]}, {axes}, {axes + 1}]");
        bool align = c.Attributes.Int("align_corners") != 0;
        int[] extents = [.. size[2..].Select(extent => (int)extent)];
        int points = Tensor.CountElements(extents);
        return Step.From("affine-grid", run =>
        {
            ReadOnlySpan<float> map = run.Input<float>(0);
            Span<float> grid = run.Output<float>(0);
            Span<float> p = stackalloc float[3];
            for (int n = 0; n < theta[0]; n++)
            {
                for (int point = 0; point < points; point++)
                {
                    // The last coordinate of the grid belongs to the outermost axis.
                    int rest = point;
                    for (int axis = axes - 1; axis >= 0; axis--)
                    {
                        int extent = extents[axis], index = rest % extent;
                        rest /= extent;
                        p[axes - 1 - axis] = align ? extent == 1 ? 0 : -1 + 2f * index / (extent - 1) : (2f * index + 1) / extent - 1;
                    }
                    for (int i = 0; i < axes; i++)
                    {
                        ReadOnlySpan<float> row = map.Slice((n * axes + i) * (axes + 1), axes + 1);
                        float sum = row[axes];
                        for (int j = 0; j < axes; j++) sum += row[j] * p[j];
                        grid[(n * points + point) * axes + i] = sum;
                    }
                }
            }
        });
    }
}
