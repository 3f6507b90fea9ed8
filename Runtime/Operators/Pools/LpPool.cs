using System.Numerics;
using Octet.Kernels.Geometry;
using Octet.Kernels.Pool;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>LpPool</c>: <c>(Σ |x|ᵖ)^(1/p)</c> of each window; padding counts as 0.</summary>
/// <remarks>Spec: https://onnx.ai/onnx/operators/onnx__LpPool.html</remarks>
internal sealed class LpPool : Operator
{
    public override OperatorId Id => new("LpPool");

    public override string Types => "float32, float64";

    public override string Limits => "1 to 3 spatial axes";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32, DataType.Float64, DataType.Float16, DataType.BFloat16);
        PoolGeometry.Infer(c, channelsLast: false);
    }

    public override Step Plan(PlanContext c) => Plan(c, PoolGeometry.Window(c, channelsLast: false));

    internal static Step Plan(PlanContext c, PoolShape shape)
    {
        // Version 1 of the operator had a float exponent.
        double exponent = c.Attributes["p"] is float number ? number : c.Attributes.Int("p", 2);
        if (exponent <= 0) throw c.Error($"p is {exponent}", "p is positive");
        return c.Element(0) switch
        {
            DataType.Float32 => new LpStep<float>(shape, exponent),
            DataType.Float64 => new LpStep<double>(shape, exponent),
            DataType other => throw c.Unsupported($"Lp pooling of {other.Name()}", "float32, float64"),
        };
    }

    /// <summary>Sums in float64.</summary>
    private sealed class LpStep<T>(PoolShape shape, double exponent) : Step where T : unmanaged, INumber<T>
    {
        public override string Kernel => $"lp {typeof(T).Name.ToLowerInvariant()}";

        public override void Run(StepContext c)
        {
            var work = new Pieces(this, c);
            c.Parallel.For(ref work, shape.Batch * shape.Channels);
        }

        private readonly struct Pieces(LpStep<T> step, StepContext c) : IPieces
        {
            public void Run(int piece, int worker) => step.RunPlane(piece, c.Input<T>(0), c.Output<T>(0));
        }

        private void RunPlane(int plane, ReadOnlySpan<T> x, Span<T> y)
        {
            WindowAxis d = shape.D, h = shape.H, w = shape.W;
            x = x.Slice(plane * shape.InputPixels, shape.InputPixels);
            int at = plane * shape.OutputPixels;
            for (int od = 0; od < d.Output; od++)
            {
                for (int oh = 0; oh < h.Output; oh++)
                {
                    for (int ow = 0; ow < w.Output; ow++)
                    {
                        Taps dTaps = new(d, od), hTaps = new(h, oh), wTaps = new(w, ow);
                        double sum = 0;
                        for (int id = dTaps.First; id < dTaps.End; id += d.Dilation)
                        {
                            for (int ih = hTaps.First; ih < hTaps.End; ih += h.Dilation)
                            {
                                for (int iw = wTaps.First; iw < wTaps.End; iw += w.Dilation)
                                {
                                    double value = Math.Abs(double.CreateTruncating(x[(id * h.Input + ih) * w.Input + iw]));
                                    sum += exponent == 2 ? value * value : exponent == 1 ? value : Math.Pow(value, exponent);
                                }
                            }
                        }
                        y[at++] = T.CreateTruncating(exponent == 2 ? Math.Sqrt(sum) : exponent == 1 ? sum : Math.Pow(sum, 1 / exponent));
                    }
                }
            }
        }
    }
}

/// <summary>ONNX <c>GlobalLpPool</c>: <c>(Σ |x|ᵖ)^(1/p)</c> of each channel.</summary>
internal sealed class GlobalLpPool : Operator
{
    public override OperatorId Id => new("GlobalLpPool");

    public override string Types => "float32, float64";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32, DataType.Float64, DataType.Float16, DataType.BFloat16);
        PoolGeometry.InferGlobal(c, channelsLast: false);
    }

    public override Step Plan(PlanContext c) => LpPool.Plan(c, PoolGeometry.Global(c, channelsLast: false));
}
