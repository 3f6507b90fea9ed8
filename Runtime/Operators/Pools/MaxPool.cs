using System.Numerics;
using Octet.Kernels.Geometry;
using Octet.Kernels.Pool;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>MaxPool</c>: the largest element of each window; optionally where it lies (the first of equals), as an index into x flattened.</summary>
/// <remarks>Padding is never the largest. <c>storage_order</c> = 1 counts the indices of an image column by column. Spec: https://onnx.ai/onnx/operators/onnx__MaxPool.html</remarks>
internal sealed class MaxPool : Operator
{
    public override OperatorId Id => new("MaxPool");

    public override string Types => "float32, float64, int8, uint8";

    public override string IntegerForm => "MaxPool on uint8";

    public override string Limits => "1 to 3 spatial axes";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32, DataType.Float64, DataType.Float16, DataType.BFloat16, DataType.Int8, DataType.UInt8);
        PoolGeometry.Infer(c, channelsLast: false);
    }

    public override Step Plan(PlanContext c) => Plan(c, channelsLast: false);

    internal static Step Plan(PlanContext c, bool channelsLast)
    {
        PoolShape shape = PoolGeometry.Window(c, channelsLast);
        if (channelsLast && KernelPoolStep.Create(c, shape, PoolOperation.Max, countPadding: false) is { } step) return step;
        return c.Element(0) switch
        {
            DataType.Float32 => Create<float>(c, shape, channelsLast),
            DataType.Float64 => Create<double>(c, shape, channelsLast),
            DataType.UInt8 => Create<byte>(c, shape, channelsLast),
            DataType.Int8 => Create<sbyte>(c, shape, channelsLast),
            DataType other => throw c.Unsupported($"max pooling of {other.Name()}", "float32, float64, uint8, int8"),
        };
    }

    private static Step Create<T>(PlanContext c, PoolShape shape, bool channelsLast) where T : unmanaged, INumber<T>
    {
        if (c.Wants(1) && !channelsLast) return new IndexedStep<T>(shape, c.Attributes.Int("storage_order") != 0);
        return new WindowPoolStep<T, MaxFunction<T>>(shape, channelsLast, countPadding: false);
    }

    /// <summary>Maximum and its position.</summary>
    private sealed class IndexedStep<T>(PoolShape shape, bool columnMajor) : Step where T : unmanaged, INumber<T>
    {
        public override string Kernel => $"max {typeof(T).Name.ToLowerInvariant()} with indices";

        public override void Run(StepContext c)
        {
            var work = new Pieces(this, c);
            c.Parallel.For(ref work, shape.Batch * shape.Channels);
        }

        private readonly struct Pieces(IndexedStep<T> step, StepContext c) : IPieces
        {
            public void Run(int piece, int worker) => step.RunPlane(piece, c.Input<T>(0), c.Output<T>(0), c.Output<long>(1));
        }

        private void RunPlane(int plane, ReadOnlySpan<T> x, Span<T> y, Span<long> indices)
        {
            WindowAxis d = shape.D, h = shape.H, w = shape.W;
            x = x.Slice(plane * shape.InputPixels, shape.InputPixels);
            int at = plane * shape.OutputPixels;
            for (int od = 0; od < d.Output; od++)
            {
                for (int oh = 0; oh < h.Output; oh++)
                {
                    for (int ow = 0; ow < w.Output; ow++, at++)
                    {
                        Taps dTaps = new(d, od), hTaps = new(h, oh), wTaps = new(w, ow);
                        T best = MaxFunction<T>.Start;
                        (int D, int H, int W) where = (-1, 0, 0);
                        for (int id = dTaps.First; id < dTaps.End; id += d.Dilation)
                        {
                            for (int ih = hTaps.First; ih < hTaps.End; ih += h.Dilation)
                            {
                                for (int iw = wTaps.First; iw < wTaps.End; iw += w.Dilation)
                                {
                                    T value = x[(id * h.Input + ih) * w.Input + iw];
                                    if (where.D < 0 || value > best) (best, where) = (value, (id, ih, iw));
                                }
                            }
                        }
                        y[at] = best;
                        long index = where.D < 0 ? -1
                            : columnMajor ? Column(where.D, where.H, where.W) : ((long)where.D * h.Input + where.H) * w.Input + where.W;
                        indices[at] = index < 0 ? -1 : (long)plane * shape.InputPixels + index;
                    }
                }
            }
        }

        private long Column(int d, int h, int w) => d + shape.D.Input * (h + (long)shape.H.Input * w);
    }
}

/// <summary><c>octet.MaxPool</c>: max pooling of channels-last data, without indices.</summary>
internal sealed class OctetMaxPool : Operator
{
    public override OperatorId Id => new("MaxPool", OctetDomain);

    public override string Types => "float32, uint8";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32, DataType.UInt8, DataType.Float64, DataType.Int8);
        PoolGeometry.Infer(c, channelsLast: true);
    }

    public override Step Plan(PlanContext c) => MaxPool.Plan(c, channelsLast: true);
}

/// <summary>ONNX <c>GlobalMaxPool</c>: the largest element of each channel.</summary>
internal sealed class GlobalMaxPool : Operator
{
    public override OperatorId Id => new("GlobalMaxPool");

    public override string Types => "float32, float64, int8, uint8";

    public override string IntegerForm => "itself, on bytes";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32, DataType.Float64, DataType.Float16, DataType.BFloat16, DataType.UInt8, DataType.Int8);
        PoolGeometry.InferGlobal(c, channelsLast: false);
    }

    public override Step Plan(PlanContext c)
    {
        PoolShape shape = PoolGeometry.Global(c, channelsLast: false);
        return c.Element(0) switch
        {
            DataType.Float32 => new WindowPoolStep<float, MaxFunction<float>>(shape, channelsLast: false, countPadding: false),
            DataType.Float64 => new WindowPoolStep<double, MaxFunction<double>>(shape, channelsLast: false, countPadding: false),
            DataType.UInt8 => new WindowPoolStep<byte, MaxFunction<byte>>(shape, channelsLast: false, countPadding: false),
            DataType.Int8 => new WindowPoolStep<sbyte, MaxFunction<sbyte>>(shape, channelsLast: false, countPadding: false),
            DataType other => throw c.Unsupported($"max pooling of {other.Name()}", "float32, float64, int8, uint8"),
        };
    }
}
