using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Kernels.Geometry;
using Octet.Kernels.Layout;
using Octet.Kernels.SConv;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Plans of float32 convolutions: <c>y = act(conv(x, w) + bias + sum)</c>.</summary>
internal static class ConvolutionPlan
{
    /// <summary>Inputs in the order of every convolution: x, w, bias, sum.</summary>
    internal const int X = 0, W = 1, Bias = 2, Sum = 3;

    /// <summary>A convolution; float32 on the kernels, other types by the definition.</summary>
    public static Step Conv(PlanContext c, bool channelsLast, Activation activation, bool activationFirst)
    {
        ConvShape shape = ConvolutionGeometry.Conv(c, channelsLast);
        CheckBias(c, shape.OutChannels);
        if (c.Element(0) != DataType.Float32) return Definition(c, shape, transposed: false, channelsLast, activation);
        if (c.Known(W) is not { } w || (c.Has(Bias) && c.Known(Bias) is null)) return Definition(c, shape, transposed: false, channelsLast, activation);

        SEpilogue epilogue = activation.Epilogue(shape.OutChannels, c.Has(Bias) ? c.Known(Bias)!.Span<float>() : [], activationFirst, c.Cpu);
        string key = string.Create(CultureInfo.InvariantCulture, $"sconv {SConvWeights.Choose(shape, c.Cpu, c.FloatWinograd).Method} g{shape.Groups} {c.Cpu}");
        SConvWeights weights = c.Constant(W) is { } constant
            ? c.Share(constant, key, () => SConvWeights.Pack(shape, constant.Span<float>(), c.Cpu, c.FloatWinograd))
            : SConvWeights.Pack(shape, w.Span<float>(), c.Cpu, c.FloatWinograd);
        SConvolution convolution = SConvolution.Create(shape, weights, epilogue);
        return new KernelStep(convolution, null, shape, channelsLast, c);
    }

    /// <summary>A transposed convolution.</summary>
    public static Step Transpose(PlanContext c, bool channelsLast, Activation activation, bool activationFirst)
    {
        ConvShape shape = ConvolutionGeometry.Transpose(c, channelsLast);
        CheckBias(c, shape.OutChannels);
        if (c.Element(0) != DataType.Float32) return Definition(c, shape, transposed: true, channelsLast, activation);
        if (c.Known(W) is not { } w || (c.Has(Bias) && c.Known(Bias) is null)) return Definition(c, shape, transposed: true, channelsLast, activation);

        SEpilogue epilogue = activation.Epilogue(shape.OutChannels, c.Has(Bias) ? c.Known(Bias)!.Span<float>() : [], activationFirst, c.Cpu);
        return new KernelStep(null, SConvTranspose.Create(shape, w.Span<float>(), epilogue, c.Cpu), shape, channelsLast, c);
    }

    private static void CheckBias(PlanContext c, int channels)
    {
        if (c.Has(Bias) && Tensor.CountElements(c.InputShape(Bias)) != channels)
            throw c.Error($"the bias has shape {Tensor.Format(c.InputShape(Bias))} for {channels} output channels", "bias.shape = [output channels]");
        if (c.Has(Sum) && !c.InputShape(Sum).AsSpan().SequenceEqual(c.OutputShape(0)))
            throw c.Error($"the sum operand has shape {Tensor.Format(c.InputShape(Sum))}, the output {Tensor.Format(c.OutputShape(0))}", "sum.shape = y.shape");
    }

    private static Step Definition(PlanContext c, ConvShape shape, bool transposed, bool channelsLast, Activation activation)
    {
        if (activation != Activation.None || c.Has(Sum) || channelsLast)
            throw c.Unsupported("weights that are computed at run time together with a fused activation or sum", "constant weights");
        return c.Element(0) switch
        {
            DataType.Float32 => new DefinitionStep<float>(shape, transposed),
            DataType.Float64 => new DefinitionStep<double>(shape, transposed),
            DataType other => throw c.Unsupported($"{other.Name()} convolution", "float32 or float64"),
        };
    }

    /// <summary>Runs a prepared kernel, around which channels-first data is transposed through scratch.</summary>
    private sealed class KernelStep : Step
    {
        private const int Alignment = 64;

        private readonly SConvolution? _convolution;
        private readonly SConvTranspose? _transpose;
        private readonly ConvShape _shape;
        private readonly TransposePlan? _toLastX, _toLastSum, _toFirstY;
        private readonly int _xBytes, _yBytes, _sumBytes, _scratchBytes;

        public KernelStep(SConvolution? convolution, SConvTranspose? transpose, ConvShape shape, bool channelsLast, PlanContext c)
        {
            _convolution = convolution;
            _transpose = transpose;
            _shape = shape;
            bool copyX = !channelsLast && shape.InChannels > 1 && shape.InputPixels > 1;
            bool copyY = !channelsLast && shape.OutChannels > 1 && shape.OutputPixels > 1;
            bool copySum = copyY && c.Has(Sum);
            _sumInPlace = c.Has(Sum) && !copyY;
            int[] swap = [0, 2, 1];
            if (copyX) _toLastX = TransposePlan.Create([shape.Batch, shape.InChannels, shape.InputPixels], swap, sizeof(float));
            if (copyY) _toFirstY = TransposePlan.Create([shape.Batch, shape.OutputPixels, shape.OutChannels], swap, sizeof(float));
            if (copySum) _toLastSum = TransposePlan.Create([shape.Batch, shape.OutChannels, shape.OutputPixels], swap, sizeof(float));
            long x = copyX ? Align((long)shape.Batch * shape.InputPixels * shape.InChannels * sizeof(float)) : 0;
            long y = copyY ? Align((long)shape.Batch * shape.OutputPixels * shape.OutChannels * sizeof(float)) : 0;
            long kernel = convolution?.ScratchBytes(c.Workers) ?? transpose!.ScratchBytes(c.Workers);
            long total = x + y + (copySum ? y : 0) + kernel;
            if (total > int.MaxValue) throw c.Unsupported($"{total} bytes of scratch space", $"at most {int.MaxValue}");
            (_xBytes, _yBytes, _sumBytes, _scratchBytes) = ((int)x, (int)y, copySum ? (int)y : 0, (int)total);
        }

        private readonly bool _sumInPlace;
        private int _firstColumn, _rowStride;   // of the output; 0 for a dense one

        /// <summary>Kernels read each element of the sum operand right before they write the output there.</summary>
        public override int InPlaceInput(int output) => _sumInPlace ? Sum : -1;

        public override Step? IntoRows(int width, int first, int stride)
        {
            if (_convolution is null || _toFirstY is not null || width != _shape.OutChannels) return null;
            var copy = (KernelStep)MemberwiseClone();
            (copy._firstColumn, copy._rowStride) = (first, stride);
            return copy;
        }

        public override string Kernel => _convolution is null ? "transposed " + Layout : $"{_convolution.Method} {_convolution.KernelName} {Layout}";

        private string Layout => _toLastX is not null || _toFirstY is not null ? "channels-first" : "channels-last";

        public override string Reason => _convolution?.Reason ?? "one convolution per output phase";

        public override long MultiplyAccumulates => _transpose is null ? _shape.MultiplyAccumulates
            : (long)_shape.Batch * _shape.InputPixels * _shape.InChannels * _shape.GroupOutChannels * _shape.Taps;

        public override int ScratchBytes => _scratchBytes;

        public override void Run(StepContext c)
        {
            ReadOnlySpan<float> x = c.Input<float>(X), sum = c.Input<float>(Sum);
            Span<float> y = c.Output<float>(0)[_firstColumn..], result = y;
            Span<byte> scratch = c.Scratch;
            if (_toLastX is not null)
            {
                _toLastX.Run(MemoryMarshal.AsBytes(x), scratch[.._xBytes], c.Parallel);
                x = MemoryMarshal.Cast<byte, float>(scratch[.._xBytes])[..x.Length];
            }
            scratch = scratch[_xBytes..];
            if (_toFirstY is not null) result = MemoryMarshal.Cast<byte, float>(scratch[.._yBytes])[..y.Length];
            scratch = scratch[_yBytes..];
            if (_toLastSum is not null)
            {
                _toLastSum.Run(MemoryMarshal.AsBytes(sum), scratch[.._sumBytes], c.Parallel);
                sum = MemoryMarshal.Cast<byte, float>(scratch[.._sumBytes])[..y.Length];
            }
            scratch = scratch[_sumBytes..];
            if (_convolution is not null) _convolution.Run(x, sum, result, scratch, c.Parallel, _rowStride);
            else _transpose!.Run(x, sum, result, scratch, c.Parallel);
            _toFirstY?.Run(MemoryMarshal.AsBytes(result), MemoryMarshal.AsBytes(y), c.Parallel);
        }

        private static long Align(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;
    }

    /// <summary>The definition, tap by tap, for computed weights and for element types without a kernel.</summary>
    private sealed class DefinitionStep<T>(ConvShape shape, bool transposed) : Step where T : unmanaged, INumber<T>
    {
        public override string Kernel => $"definition {typeof(T).Name.ToLowerInvariant()}";

        public override string Reason => "weights are computed at run time, or the element type has no kernel";

        public override long MultiplyAccumulates => shape.MultiplyAccumulates;

        public override void Run(StepContext c)
        {
            ReadOnlySpan<T> x = c.Input<T>(X), w = c.Input<T>(W), bias = c.Input<T>(Bias);
            Span<T> y = c.Output<T>(0);
            int inPixels = shape.InputPixels, outPixels = shape.OutputPixels, taps = shape.Taps, groupIn = shape.GroupInChannels, groupOut = shape.GroupOutChannels;
            for (int n = 0; n < shape.Batch; n++)
            {
                for (int o = 0; o < shape.OutChannels; o++)
                {
                    Span<T> plane = y.Slice((n * shape.OutChannels + o) * outPixels, outPixels);
                    plane.Fill(bias.IsEmpty ? T.Zero : bias[o]);
                    int group = o / groupOut;
                    for (int ic = 0; ic < groupIn; ic++)
                    {
                        int channel = group * groupIn + ic;
                        ReadOnlySpan<T> source = x.Slice((n * shape.InChannels + channel) * inPixels, inPixels);
                        ReadOnlySpan<T> filter = transposed ? w.Slice((channel * groupOut + o % groupOut) * taps, taps) : w.Slice((o * groupIn + ic) * taps, taps);
                        if (transposed) Scatter(source, filter, plane);
                        else Gather(source, filter, plane);
                    }
                }
            }
        }

        private void Gather(ReadOnlySpan<T> x, ReadOnlySpan<T> w, Span<T> y)
        {
            WindowAxis d = shape.D, h = shape.H, v = shape.W;
            for (int at = 0; at < y.Length; at++)
            {
                int ow = at % v.Output, oh = at / v.Output % h.Output, od = at / (v.Output * h.Output);
                T total = y[at];
                for (int tap = 0; tap < w.Length; tap++)
                {
                    int iw = ow * v.Stride - v.PadBegin + tap % v.Kernel * v.Dilation;
                    int ih = oh * h.Stride - h.PadBegin + tap / v.Kernel % h.Kernel * h.Dilation;
                    int id = od * d.Stride - d.PadBegin + tap / (v.Kernel * h.Kernel) * d.Dilation;
                    if ((uint)iw < (uint)v.Input && (uint)ih < (uint)h.Input && (uint)id < (uint)d.Input) total += x[(id * h.Input + ih) * v.Input + iw] * w[tap];
                }
                y[at] = total;
            }
        }

        private void Scatter(ReadOnlySpan<T> x, ReadOnlySpan<T> w, Span<T> y)
        {
            WindowAxis d = shape.D, h = shape.H, v = shape.W;
            for (int at = 0; at < x.Length; at++)
            {
                int iw = at % v.Input, ih = at / v.Input % h.Input, id = at / (v.Input * h.Input);
                for (int tap = 0; tap < w.Length; tap++)
                {
                    int ow = iw * v.Stride - v.PadBegin + tap % v.Kernel * v.Dilation;
                    int oh = ih * h.Stride - h.PadBegin + tap / v.Kernel % h.Kernel * h.Dilation;
                    int od = id * d.Stride - d.PadBegin + tap / (v.Kernel * h.Kernel) * d.Dilation;
                    if ((uint)ow < (uint)v.Output && (uint)oh < (uint)h.Output && (uint)od < (uint)d.Output) y[(od * h.Output + oh) * v.Output + ow] += x[at] * w[tap];
                }
            }
        }
    }
}
