using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>DFT</c>: discrete Fourier transform along one axis.</summary>
/// <remarks>
/// The last axis holds real (1) or real and imaginary parts (2). <c>dft_length</c> cuts or pads with zeros. <c>inverse</c> divides by the length; <c>onesided</c> keeps
/// the first ⌊N/2⌋ + 1 bins. Computed in float64. The axis is an attribute (default 1) in version 17, an input (default −2) since 20.
/// </remarks>
internal sealed class Dft : Operator
{
    public override OperatorId Id => new("DFT", Since: 17);

    public override string Types => "float32, float64";

    public override string Limits => "onesided together with inverse";

    public override void Infer(InferContext c)
    {
        DataType element = c.Element(0);
        if (c.Shape(0) is not { } shape) { c.SetUnknownShape(0, element); return; }
        if (Axis(c, c.Known, shape.Length) is not { } axis) { c.SetUnknownShape(0, element); return; }
        Dim length = c.Has(1) ? c.KnownInts(1) is [> 0 and <= int.MaxValue and var given] ? given : Dim.Unknown : shape[axis];
        if (c.Attributes.Int("onesided") != 0 && length.IsKnown) length = length.Value / 2 + 1;
        Dim[] result = shape.ToArray();
        result[axis] = c.Attributes.Int("onesided") != 0 && !length.IsKnown ? Dim.Unknown : length;
        result[^1] = 2;
        c.Set(0, element, result);
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0), y = c.OutputShape(0);
        if (x[^1] is not (1 or 2)) throw c.Error($"the last axis has {x[^1]} elements", "1 for real, 2 for complex numbers");
        bool inverse = c.Attributes.Int("inverse") != 0, onesided = c.Attributes.Int("onesided") != 0;
        if (inverse && onesided) throw c.Unsupported("a one-sided inverse", "a two-sided inverse");
        if (onesided && x[^1] == 2) throw c.Error("one-sided with complex input", "onesided is for real input");
        int axis = Axis(c, c.Required, x.Length)!.Value;
        int length = c.Has(1) ? checked((int)c.Required(1).ToInt64Array()[0]) : x[axis];
        if (length < 1) throw c.Error($"the length is {length}", "a transform has at least one element");
        return c.Element(0) switch
        {
            DataType.Float32 => new DftStep<float>(x, y, axis, new FourierTransform(length, inverse)),
            DataType.Float64 => new DftStep<double>(x, y, axis, new FourierTransform(length, inverse)),
            _ => throw c.Unsupported($"{c.Element(0).Name()} input", Types),
        };
    }

    private static int? Axis(NodeContext c, Func<int, Tensor?> value, int rank)
    {
        long axis = c.Opset < 20 ? c.Attributes.Int("axis", 1) : -2;
        if (c.Opset >= 20 && c.Has(2))
        {
            if (value(2) is not { Length: 1 } given) return null;
            axis = given.ToInt64Array()[0];
        }
        int result = rank < 2 ? throw c.Error($"the input has rank {rank}", "the input has a signal axis and an axis of real and imaginary parts") : c.Axis(axis, rank);
        return result == rank - 1 ? throw c.Error($"axis {axis} is the last", "the last axis holds real and imaginary parts") : result;
    }

    private sealed class DftStep<T>(int[] x, int[] y, int axis, FourierTransform transform) : Step where T : unmanaged, System.Numerics.IFloatingPoint<T>
    {
        private readonly int _outer = Tensor.CountElements(x.AsSpan()[..axis]), _inner = Tensor.CountElements(x.AsSpan()[(axis + 1)..^1]);
        private readonly bool _inverse = transform.Inverse;

        public override string Kernel => "fft";

        public override int ScratchBytes => checked((2 * transform.Length + transform.ScratchLength) * sizeof(double));

        public override void Run(StepContext c)
        {
            ReadOnlySpan<T> from = c.Input<T>(0);
            Span<T> to = c.Output<T>(0);
            Span<double> scratch = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, double>(c.Scratch);
            int length = transform.Length, parts = x[^1], given = Math.Min(length, x[axis]), kept = y[axis];
            Span<double> re = scratch[..length], im = scratch.Slice(length, length), rest = scratch[(2 * length)..];
            double scale = _inverse ? 1.0 / length : 1;
            for (int o = 0; o < _outer; o++)
            {
                for (int i = 0; i < _inner; i++)
                {
                    re.Clear();
                    im.Clear();
                    for (int n = 0; n < given; n++)
                    {
                        int at = ((o * x[axis] + n) * _inner + i) * parts;
                        re[n] = double.CreateTruncating(from[at]);
                        if (parts == 2) im[n] = double.CreateTruncating(from[at + 1]);
                    }
                    transform.Run(re, im, rest);
                    for (int n = 0; n < kept; n++)
                    {
                        int at = ((o * kept + n) * _inner + i) * 2;
                        to[at] = T.CreateTruncating(re[n] * scale);
                        to[at + 1] = T.CreateTruncating(im[n] * scale);
                    }
                }
            }
        }
    }
}

/// <summary>ONNX <c>STFT</c>: Fourier transforms of windowed frames of a signal.</summary>
/// <remarks>
/// <code>signal [B, L] or [B, L, 1 or 2]   →   [B, ⌊(L − frame) / step⌋ + 1, bins, 2],  bins = ⌊frame/2⌋ + 1 where onesided (default) else frame</code>
/// </remarks>
internal sealed class Stft : Operator
{
    public override OperatorId Id => new("STFT", Since: 17);

    public override string Types => "float32, float64";

    public override void Infer(InferContext c)
    {
        DataType element = c.Element(0);
        Dim batch = Dim.Unknown, frames = Dim.Unknown, bins = Dim.Unknown;
        if (c.Shape(0) is { } shape)
        {
            if (shape.Length is not (2 or 3)) throw c.Error($"the signal has rank {shape.Length}", "the signal is [batch, length] or [batch, length, 1 or 2]");
            batch = shape[0];
            if (FrameLength(c, c.Known) is { } frame)
            {
                bins = c.Attributes.Int("onesided", 1) != 0 ? frame / 2 + 1 : frame;
                if (shape[1].IsKnown && c.KnownInts(1) is [> 0 and var step])
                    frames = shape[1].Value >= frame ? (shape[1].Value - frame) / step + 1 : throw c.Error($"a frame of {frame} in a signal of {shape[1]}", "a frame fits the signal");
            }
        }
        c.Set(0, element, batch, frames, bins, 2);
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0), y = c.OutputShape(0);
        int frame = FrameLength(c, c.Required)!.Value, step = checked((int)c.Required(1).ToInt64Array()[0]);
        int parts = x.Length == 3 ? x[2] : 1;
        if (parts is not (1 or 2)) throw c.Error($"the last axis has {parts} elements", "1 for real, 2 for complex numbers");
        if (parts == 2 && c.Attributes.Int("onesided", 1) != 0) throw c.Error("one-sided with a complex signal", "onesided is for real signals");
        if (step < 1) throw c.Error($"frame_step is {step}", "frame_step is at least 1");
        if (c.Has(2) && !c.InputShape(2).AsSpan().SequenceEqual([frame])) throw c.Error($"the window is {c.Type(2)}", $"the window has {frame} elements");
        var transform = new FourierTransform(frame, inverse: false);
        return c.Element(0) switch
        {
            DataType.Float32 => new StftStep<float>(x[0], x[1], parts, step, y[1], y[2], transform),
            DataType.Float64 => new StftStep<double>(x[0], x[1], parts, step, y[1], y[2], transform),
            _ => throw c.Unsupported($"{c.Element(0).Name()} input", Types),
        };
    }

    private static int? FrameLength(NodeContext c, Func<int, Tensor?> value)
    {
        if (c.Has(3)) return value(3) is { Length: 1 } given ? given.ToInt64Array()[0] is >= 1 and <= int.MaxValue and var frame ? (int)frame : throw c.Error("frame_length is not positive", "a frame has at least one element") : null;
        if (!c.Has(2)) throw c.Error("neither window nor frame_length is given", "one of them is given");
        return c.Shape(2) is { Length: 1 } window && window[0].IsKnown ? window[0].Value is >= 1 and <= int.MaxValue and var length ? (int)length : throw c.Error("the window is empty", "a frame has at least one element") : null;
    }

    private sealed class StftStep<T>(int batch, int length, int parts, int step, int frames, int bins, FourierTransform transform) : Step
        where T : unmanaged, System.Numerics.IFloatingPoint<T>
    {
        public override string Kernel => "fft";

        public override int ScratchBytes => checked((2 * transform.Length + transform.ScratchLength) * sizeof(double));

        public override void Run(StepContext c)
        {
            ReadOnlySpan<T> from = c.Input<T>(0), window = c.Has(2) ? c.Input<T>(2) : default;
            Span<T> to = c.Output<T>(0);
            Span<double> scratch = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, double>(c.Scratch);
            int frame = transform.Length, at = 0;
            Span<double> re = scratch[..frame], im = scratch.Slice(frame, frame), rest = scratch[(2 * frame)..];
            for (int b = 0; b < batch; b++)
            {
                for (int f = 0; f < frames; f++)
                {
                    for (int n = 0; n < frame; n++)
                    {
                        int source = (b * length + f * step + n) * parts;
                        double weight = window.IsEmpty ? 1 : double.CreateTruncating(window[n]);
                        re[n] = weight * double.CreateTruncating(from[source]);
                        im[n] = parts == 2 ? weight * double.CreateTruncating(from[source + 1]) : 0;
                    }
                    transform.Run(re, im, rest);
                    for (int n = 0; n < bins; n++)
                    {
                        to[at++] = T.CreateTruncating(re[n]);
                        to[at++] = T.CreateTruncating(im[n]);
                    }
                }
            }
        }
    }
}
