using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>RoiAlign</c>: averages (or maxima) of bilinear samples on a grid in every region of interest.</summary>
/// <remarks>
/// <code>
///   X [N, C, H, W]   rois [R, 4] as x1, y1, x2, y2   batch_indices [R]   →   Y [R, C, output_height, output_width]
/// </code>
/// <c>coordinate_transformation_mode</c> half_pixel (default since version 16) shifts by half a pixel; output_half_pixel (version 10) does not, and makes regions
/// at least one pixel wide. <c>sampling_ratio</c> 0 takes ⌈extent of the region / extent of the output⌉ samples per bin and axis. Mode max takes the largest of
/// the four weighted neighbours of each sample, as ONNX's reference does. Source: He et al. 2017, Mask R-CNN.
/// </remarks>
internal sealed class RoiAlign : Operator
{
    public override OperatorId Id => new("RoiAlign", Since: 10);

    public override void Infer(InferContext c)
    {
        Dim regions = c.Shape(1) is { Length: 2 } rois ? rois[0] : Dim.Unknown;
        Dim channels = c.Shape(0) is { } x ? x.Length == 4 ? x[1] : throw c.Error($"X has rank {x.Length}", "X is [N, C, H, W]") : Dim.Unknown;
        (int height, int width) = Output(c);
        c.Set(0, c.Element(0), regions, channels, height, width);
    }

    public override Step Plan(PlanContext c)
    {
        c.Expect(0, DataType.Float32);
        int[] x = c.InputShape(0), rois = c.InputShape(1), batch = c.InputShape(2);
        if (x.Length != 4 || rois.Length != 2 || rois[1] != 4 || batch.Length != 1 || batch[0] != rois[0])
            throw c.Error("the shapes do not fit", "X [N, C, H, W], rois [R, 4], batch_indices [R]");
        c.Expect(2, DataType.Int64, DataType.Int32);
        string mode = c.Attributes.String("mode", "avg");
        if (mode is not ("avg" or "max")) throw c.Error($"mode is '{mode}'", "avg or max");
        string coordinates = c.Attributes.String("coordinate_transformation_mode", c.Opset >= 16 ? "half_pixel" : "output_half_pixel");
        if (coordinates is not ("half_pixel" or "output_half_pixel")) throw c.Error($"coordinate_transformation_mode is '{coordinates}'", "half_pixel or output_half_pixel");
        long sampling = c.Attributes.Int("sampling_ratio");
        if (sampling is < 0 or > 1024) throw c.Error($"sampling_ratio is {sampling}", "0 ≤ sampling_ratio ≤ 1024");
        return new AlignStep(x, rois[0], Output(c), (int)sampling, c.Attributes.Float("spatial_scale", 1), mode == "max", coordinates == "half_pixel", c.Element(2), c.Workers);
    }

    private static (int Height, int Width) Output(NodeContext c)
    {
        long height = c.Attributes.Int("output_height", 1), width = c.Attributes.Int("output_width", 1);
        if (height is < 1 or > 65536 || width is < 1 or > 65536) throw c.Error($"the output is {height} × {width}", "output extents are at least 1");
        return ((int)height, (int)width);
    }

    /// <summary>Where a sample falls along one axis, which is the same for all channels: two neighbours and the share of the second; <c>Low</c> is −1 outside the image.</summary>
    private record struct Position(int Low, int High, float Share);

    private sealed class AlignStep(int[] x, int regions, (int Height, int Width) output, int sampling, float scale, bool max, bool halfPixel, DataType indexType, int workers) : Step
    {
        /// <summary>Samples of all bins along an axis, at most.</summary>
        private int Rows => checked(output.Height * (sampling > 0 ? sampling : x[2] + 1));

        private int Columns => checked(output.Width * (sampling > 0 ? sampling : x[3] + 1));

        private int WorkerBytes => checked((Rows + Columns) * Unsafe.SizeOf<Position>() + 63) & ~63;

        public override string Kernel => "roi-align";

        public override int ScratchBytes => checked(WorkerBytes * workers);

        public override void Run(StepContext c)
        {
            for (int r = 0; r < regions; r++)
            {
                long batch = Batch(c, r);
                if (batch < 0 || batch >= x[0]) throw new DataException($"RoiAlign: region {r} is of batch element {batch}; rule: batch_indices are in [0, {x[0]})");
            }
            var work = new Pieces { Step = this, Context = c };
            c.Parallel.For(ref work, regions);
        }

        private struct Pieces : IPieces
        {
            public AlignStep Step;
            public StepContext Context;

            public readonly void Run(int piece, int worker) => Step.Region(Context, piece, worker);
        }

        private long Batch(StepContext c, int region) => indexType == DataType.Int64 ? c.Input<long>(2)[region] : c.Input<int>(2)[region];

        private void Region(StepContext c, int r, int worker)
        {
            ReadOnlySpan<float> rois = c.Input<float>(1);
            int channels = x[1], height = x[2], width = x[3], plane = height * width;
            float offset = halfPixel ? 0.5f : 0;
            float x1 = rois[4 * r] * scale - offset, y1 = rois[4 * r + 1] * scale - offset;
            float roiWidth = rois[4 * r + 2] * scale - offset - x1, roiHeight = rois[4 * r + 3] * scale - offset - y1;
            if (!halfPixel) (roiWidth, roiHeight) = (MathF.Max(roiWidth, 1), MathF.Max(roiHeight, 1));
            float binHeight = roiHeight / output.Height, binWidth = roiWidth / output.Width;
            int gridHeight = sampling > 0 ? sampling : Grid(binHeight, height), gridWidth = sampling > 0 ? sampling : Grid(binWidth, width);
            float count = Math.Max(gridHeight * gridWidth, 1);
            Span<Position> positions = MemoryMarshal.Cast<byte, Position>(c.Scratch.Slice(worker * WorkerBytes, WorkerBytes));
            Span<Position> rows = positions[..(output.Height * gridHeight)], columns = positions.Slice(rows.Length, output.Width * gridWidth);
            Place(rows, y1, binHeight, gridHeight, height);
            Place(columns, x1, binWidth, gridWidth, width);
            int image = (int)Batch(c, r) * channels;
            for (int channel = 0; channel < channels; channel++)
            {
                ReadOnlySpan<float> from = c.Input<float>(0).Slice((image + channel) * plane, plane);
                Span<float> to = c.Output<float>(0).Slice((r * channels + channel) * output.Height * output.Width, output.Height * output.Width);
                for (int oh = 0, at = 0; oh < output.Height; oh++)
                {
                    ReadOnlySpan<Position> binRows = rows.Slice(oh * gridHeight, gridHeight);
                    for (int ow = 0; ow < output.Width; ow++, at++)
                    {
                        ReadOnlySpan<Position> binColumns = columns.Slice(ow * gridWidth, gridWidth);
                        to[at] = max ? Largest(from, width, binRows, binColumns) : Sum(from, width, binRows, binColumns) / count;
                    }
                }
            }
        }

        /// <summary>Samples per bin: ⌈bin extent⌉, at most a bin over the whole input would need.</summary>
        private static int Grid(float bin, int extent) => (int)Math.Clamp(MathF.Ceiling(bin), 0, extent + 1);

        /// <summary>The samples of all bins along one axis: <c>start + bin·extent + (i + ½)·extent / grid</c>; up to one pixel outside the image counts as its edge.</summary>
        private static void Place(Span<Position> positions, float start, float bin, int grid, int extent)
        {
            for (int i = 0; i < positions.Length; i++)
            {
                float at = start + i / grid * bin + (i % grid + 0.5f) * bin / grid;
                if (!(at >= -1 && at <= extent))
                {
                    positions[i] = new Position(-1, -1, 0);
                    continue;
                }
                at = MathF.Max(at, 0);
                int low = Math.Min((int)at, extent - 1);
                positions[i] = new Position(low, Math.Min(low + 1, extent - 1), low == extent - 1 ? 0 : at - low);
            }
        }

        private static float Sum(ReadOnlySpan<float> x, int width, ReadOnlySpan<Position> rows, ReadOnlySpan<Position> columns)
        {
            float sum = 0;
            foreach (Position row in rows)
            {
                if (row.Low < 0) continue;
                ReadOnlySpan<float> top = x.Slice(row.Low * width, width), bottom = x.Slice(row.High * width, width);
                float ly = row.Share, hy = 1 - ly;
                foreach (Position column in columns)
                {
                    if (column.Low < 0) continue;
                    float lx = column.Share, hx = 1 - lx;
                    sum += hy * hx * top[column.Low] + hy * lx * top[column.High] + ly * hx * bottom[column.Low] + ly * lx * bottom[column.High];
                }
            }
            return sum;
        }

        /// <summary>The largest weighted neighbour of any sample; a sample outside the image counts as 0, as does a bin without samples.</summary>
        private static float Largest(ReadOnlySpan<float> x, int width, ReadOnlySpan<Position> rows, ReadOnlySpan<Position> columns)
        {
            float largest = float.NegativeInfinity;
            foreach (Position row in rows)
            {
                foreach (Position column in columns)
                {
                    if (row.Low < 0 || column.Low < 0)
                    {
                        largest = MathF.Max(largest, 0);
                        continue;
                    }
                    float ly = row.Share, lx = column.Share, hy = 1 - ly, hx = 1 - lx;
                    float a = hy * hx * x[row.Low * width + column.Low], b = hy * lx * x[row.Low * width + column.High];
                    float d = ly * hx * x[row.High * width + column.Low], e = ly * lx * x[row.High * width + column.High];
                    largest = MathF.Max(largest, MathF.Max(MathF.Max(a, b), MathF.Max(d, e)));
                }
            }
            return float.IsNegativeInfinity(largest) ? 0 : largest;
        }
    }
}

/// <summary>ONNX <c>MaxRoiPool</c>: the largest element in every bin of every region of interest.</summary>
/// <remarks>
/// <code>X [N, C, H, W]   rois [R, 5] as batch, x1, y1, x2, y2 (inclusive)   →   Y [R, C, ph, pw]</code>
/// A bin without elements is 0. Source: Girshick 2015, Fast R-CNN.
/// </remarks>
internal sealed class MaxRoiPool : Operator
{
    public override OperatorId Id => new("MaxRoiPool");

    public override void Infer(InferContext c)
    {
        (int height, int width) = Pooled(c);
        c.Set(0, c.Element(0), c.Shape(1) is { Length: 2 } rois ? rois[0] : Dim.Unknown, c.Shape(0) is { Length: 4 } x ? x[1] : Dim.Unknown, height, width);
    }

    public override Step Plan(PlanContext c)
    {
        c.Expect(0, DataType.Float32);
        int[] x = c.InputShape(0), rois = c.InputShape(1);
        if (x.Length != 4 || rois.Length != 2 || rois[1] != 5) throw c.Error("the shapes do not fit", "X [N, C, H, W], rois [R, 5]");
        (int height, int width) = Pooled(c);
        return new PoolStep(x, rois[0], height, width, c.Attributes.Float("spatial_scale", 1));
    }

    private static (int Height, int Width) Pooled(NodeContext c) =>
        c.Attributes.Ints("pooled_shape") is [>= 1 and <= 65536 and var height, >= 1 and <= 65536 and var width] ? ((int)height, (int)width)
            : throw c.Error("pooled_shape is missing or not two extents", "pooled_shape is height and width");

    private sealed class PoolStep(int[] x, int regions, int pooledHeight, int pooledWidth, float scale) : Step
    {
        public override string Kernel => "max-roi-pool";

        public override void Run(StepContext c)
        {
            ReadOnlySpan<float> data = c.Input<float>(0), rois = c.Input<float>(1);
            Span<float> y = c.Output<float>(0);
            int height = x[2], width = x[3], at = 0;
            for (int r = 0; r < regions; r++)
            {
                ReadOnlySpan<float> roi = rois.Slice(5 * r, 5);
                if (!(roi[0] >= 0 && roi[0] < x[0])) throw new DataException($"MaxRoiPool: region {r} is of batch element {roi[0]}; rule: it is in [0, {x[0]})");
                int x1 = Pixel(roi[1]), y1 = Pixel(roi[2]);
                int roiWidth = Math.Max(Pixel(roi[3]) - x1 + 1, 1), roiHeight = Math.Max(Pixel(roi[4]) - y1 + 1, 1);
                float binHeight = (float)roiHeight / pooledHeight, binWidth = (float)roiWidth / pooledWidth;
                for (int channel = 0; channel < x[1]; channel++)
                {
                    ReadOnlySpan<float> from = data.Slice(((int)roi[0] * x[1] + channel) * height * width, height * width);
                    for (int ph = 0; ph < pooledHeight; ph++)
                    {
                        (int top, int bottom) = Bin(ph, binHeight, y1, height);
                        for (int pw = 0; pw < pooledWidth; pw++)
                        {
                            (int left, int right) = Bin(pw, binWidth, x1, width);
                            float largest = top < bottom && left < right ? float.NegativeInfinity : 0;
                            for (int h = top; h < bottom; h++)
                                for (int w = left; w < right; w++) largest = MathF.Max(largest, from[h * width + w]);
                            y[at++] = largest;
                        }
                    }
                }
            }
        }

        private int Pixel(float coordinate) => (int)Math.Clamp(MathF.Round(coordinate * scale, MidpointRounding.AwayFromZero), -1e8f, 1e8f);

        private static (int From, int To) Bin(int index, float extent, int offset, int limit) =>
            (Math.Clamp((int)MathF.Floor(index * extent) + offset, 0, limit), Math.Clamp((int)MathF.Ceiling((index + 1) * extent) + offset, 0, limit));
    }
}
