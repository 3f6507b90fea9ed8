using System.Collections.Immutable;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>Resize</c>: resamples any axes by nearest neighbour, linear or cubic interpolation.</summary>
/// <remarks>
/// <code>y[…o…] = Σₜ weight[o, t] · x[…index[o, t]…]      axis after axis; nearest has one tap of weight 1</code>
/// Extents are <c>⌊extent · scale⌋</c> or given as sizes. Interpolation computes in float32; integer elements are rounded half to even and saturated.
/// Nearest takes every element type.
/// </remarks>
internal class Resize : Operator
{
    public override OperatorId Id => new("Resize", Since: 10);

    public override string Types => "nearest: any; linear, cubic: float32, float64, int8, uint8, int32";

    public override string IntegerForm => "nearest moves uint8 as it is";

    public override string Limits => "text";

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is not { } shape) { c.SetUnknownShape(0, c.Element(0)); return; }
        c.Set(0, new TensorType(c.Element(0), Extents(c, shape, Request(c, c.Known)).AsSpan()));
    }

    public override Step Plan(PlanContext c)
    {
        ResizeRequest request = Request(c, index => c.Required(index));
        int[] shape = c.InputShape(0), output = c.OutputShape(0);
        ResampleRule rule = request.Rule;
        float[] scales = Scales(c, [.. shape.Select(extent => (Dim)extent)], request)!;
        var axes = new ResampleAxis?[shape.Length];
        bool empty = output.Contains(0) || shape.Contains(0);
        for (int i = 0; i < axes.Length && !empty; i++)
        {
            (float start, float end) = request.Roi is { } roi && rule.Crops ? (roi[i], roi[i + shape.Length]) : (0f, 1f);
            ResampleAxis axis = rule.Mode == ResampleMode.Nearest
                ? ResampleAxis.Nearest(shape[i], output[i], rule, scales[i], start, end)
                : ResampleAxis.Weighted(shape[i], output[i], rule, scales[i], start, end);
            axes[i] = axis.IsIdentity ? null : axis;
        }
        float extrapolation = c.Attributes.Float("extrapolation_value");
        if (empty) return Step.From("empty", static _ => { });
        if (c.Element(0) == DataType.String) throw c.Unsupported("text cannot be resized", "a numeric element type");
        if (rule.Mode == ResampleMode.Nearest) return new NearestStep(shape, output, axes, c.Element(0), extrapolation);
        return c.Element(0) switch
        {
            DataType.Float32 => new WeightedStep<float>(shape, output, axes, extrapolation),
            DataType.Float64 => new WeightedStep<double>(shape, output, axes, extrapolation),
            DataType.UInt8 => new WeightedStep<byte>(shape, output, axes, extrapolation),
            DataType.Int8 => new WeightedStep<sbyte>(shape, output, axes, extrapolation),
            DataType.Int32 => new WeightedStep<int>(shape, output, axes, extrapolation),
            _ => throw c.Unsupported($"interpolation of {c.Element(0).Name()}", "float32, float64, int8, uint8, int32, or mode nearest"),
        };
    }

    /// <summary>What the node asks for, inputs included.</summary>
    /// <param name="c">The node.</param>
    /// <param name="value">The value of an input, or null while it is unknown.</param>
    protected virtual ResizeRequest Request(NodeContext c, Func<int, Tensor?> value)
    {
        string mode = c.Attributes.String("mode", "nearest");
        if (c.Opset < 11)
        {
            var simple = new ResampleRule(Mode(c, mode), "asymmetric", "simple", -0.75, false, false);
            return new ResizeRequest(simple, value(1) is { } given ? Floats(c, given) : null, null, null, null, "stretch");
        }
        var rule = new ResampleRule(Mode(c, mode), c.Attributes.String("coordinate_transformation_mode", "half_pixel"),
            c.Attributes.String("nearest_mode", "round_prefer_floor"), c.Attributes.Float("cubic_coeff_a", -0.75f),
            c.Attributes.Int("exclude_outside") != 0, c.Attributes.Int("antialias") != 0 && mode != "nearest");
        Tensor? roi = rule.Crops && c.Has(1) ? value(1) : null;
        Tensor? scales = c.Has(2) && !IsEmpty(c, 2) ? value(2) : null;
        Tensor? sizes = c.Has(3) && !IsEmpty(c, 3) ? value(3) : null;
        if (scales is { Length: 0 }) scales = null;
        if (sizes is { Length: 0 }) sizes = null;
        return new ResizeRequest(rule, scales is null ? null : Floats(c, scales), sizes?.ToInt64Array(), roi is null ? null : Floats(c, roi),
            c.Attributes.Ints("axes"), c.Attributes.String("keep_aspect_ratio_policy", "stretch")).OverAllAxes(c);
    }

    /// <summary>The mode by its ONNX name.</summary>
    protected static ResampleMode Mode(NodeContext c, string mode) => mode switch
    {
        "nearest" => ResampleMode.Nearest,
        "linear" or "bilinear" => ResampleMode.Linear,
        "cubic" => ResampleMode.Cubic,
        _ => throw c.Error($"mode '{mode}' is unknown", "mode is nearest, linear or cubic"),
    };

    /// <summary>Scales as float32.</summary>
    protected static float[] Floats(NodeContext c, Tensor tensor) =>
        tensor.Type.IsFloat() ? tensor.ToFloat32Array() : throw c.Error($"{tensor} stands where floats are needed", "scales and roi are floats");

    private static bool IsEmpty(NodeContext c, int index) => c.Shape(index) is { Length: 1 } shape && shape[0].Is(0);

    private static ImmutableArray<Dim> Extents(NodeContext c, ImmutableArray<Dim> shape, ResizeRequest request)
    {
        var result = ImmutableArray.CreateBuilder<Dim>(shape.Length);
        if (request.Sizes is { } wanted && wanted.Length != shape.Length) throw c.Error($"{wanted.Length} sizes for rank {shape.Length}", "one size per axis");
        if (request.Roi is { } region && region.Length != 2 * shape.Length) throw c.Error($"{region.Length} roi entries for rank {shape.Length}", "a start and an end per axis");
        if (request.Sizes is { } sizes && request.Policy == "stretch")
        {
            for (int i = 0; i < shape.Length; i++)
            {
                if (sizes[i] == ResizeRequest.Same) { result.Add(shape[i]); continue; }
                if (sizes[i] is < 0 or > int.MaxValue) throw c.Error($"size {sizes[i]} of axis {i}", "sizes are extents");
                result.Add(sizes[i]);
            }
            return result.ToImmutable();
        }
        if (request.Sizes is null && request.Scales is null)
        {
            for (int i = 0; i < shape.Length; i++) result.Add(request.Keeps(i) ? shape[i] : Dim.Unknown);
            return result.ToImmutable();
        }
        float[]? scales = Scales(c, shape, request);
        for (int i = 0; i < shape.Length; i++)
        {
            if (scales is null || !shape[i].IsKnown) { result.Add(scales is not null && scales[i] == 1 && !request.Rule.Crops ? shape[i] : Dim.Unknown); continue; }
            if (request.Sizes is not null) { result.Add(request.Keeps(i) ? shape[i] : (long)Math.Floor(scales[i] * (double)shape[i].Value + 0.5)); continue; }
            double extent = Math.Floor(scales[i] * shape[i].Value * (request.Rule.Crops && request.Roi is { } roi ? roi[i + shape.Length] - roi[i] : 1f));
            if (!(extent >= 0 && extent <= int.MaxValue)) throw c.Error($"scale {scales[i]} of axis {i}", "scales are finite and not negative");
            result.Add((long)extent);
        }
        return result.ToImmutable();
    }

    /// <summary>Scale per axis; null while something is unknown.</summary>
    private static float[]? Scales(NodeContext c, ImmutableArray<Dim> shape, ResizeRequest request)
    {
        if (request.Scales is { } given)
        {
            if (given.Length != shape.Length) throw c.Error($"{given.Length} scales for rank {shape.Length}", "one scale per axis");
            if (given.Any(scale => !(scale > 0) || float.IsInfinity(scale))) throw c.Error($"scales are [{string.Join(", ", given)}]", "scales are finite and greater than zero");
            return given;
        }
        if (request.Sizes is not { } sizes) throw c.Error("neither scales nor sizes are given", "one of them is given");
        if (sizes.Length != shape.Length) throw c.Error($"{sizes.Length} sizes for rank {shape.Length}", "one size per axis");
        var scales = new float[shape.Length];
        for (int i = 0; i < scales.Length; i++)
        {
            if (sizes[i] == ResizeRequest.Same) { scales[i] = 1; continue; }
            if (!shape[i].IsKnown) return null;
            scales[i] = shape[i].Value == 0 ? 1 : sizes[i] / (float)shape[i].Value;
        }
        if (request.Policy == "stretch") return scales;
        var changed = Enumerable.Range(0, scales.Length).Where(i => !request.Keeps(i)).Select(i => scales[i]).DefaultIfEmpty(1);
        float common = request.Policy == "not_larger" ? changed.Min() : request.Policy == "not_smaller" ? changed.Max()
            : throw c.Error($"keep_aspect_ratio_policy '{request.Policy}' is unknown", "stretch, not_larger or not_smaller");
        for (int i = 0; i < scales.Length; i++) scales[i] = request.Keeps(i) ? 1 : common;
        return scales;
    }

    /// <summary>One tap of weight 1 per axis: blocks of bytes are copied.</summary>
    private sealed class NearestStep : Step
    {
        private readonly int[] _output;
        private readonly ResampleAxis?[] _axes;
        private readonly int[] _inputStrides;
        private readonly int _blockAxes, _block, _size;

        /// <summary>How often every element of the last axis is written in a row, where that is the whole mapping; else 0.</summary>
        private readonly int _repeats;

        private readonly byte[] _extrapolation;

        public NearestStep(int[] input, int[] output, ResampleAxis?[] axes, DataType type, float extrapolation)
        {
            (_output, _axes, _size) = (output, axes, type.Size());
            _extrapolation = Element(type, extrapolation);
            _inputStrides = new int[input.Length];
            int stride = _size;
            for (int i = input.Length - 1; i >= 0; i--)
            {
                _inputStrides[i] = stride;
                stride *= input[i];
            }
            // Trailing axes that stay as they are move as one block.
            _blockAxes = input.Length;
            _block = _size;
            while (_blockAxes > 0 && axes[_blockAxes - 1] is null) _block *= output[--_blockAxes];
            if (_blockAxes == 0 || axes[_blockAxes - 1] is not { Outside: null } last) return;
            int extent = input[_blockAxes - 1], times = extent == 0 ? 0 : last.Indexes.Length / extent;
            if (times > 1 && last.Indexes.Length == times * extent && Enumerable.Range(0, last.Indexes.Length).All(i => last.Indexes[i] == i / times)) _repeats = times;
        }

        public override string Kernel => "resize-nearest";

        public override void Run(StepContext c)
        {
            if (_blockAxes == 0) { c.Input(0).Bytes.Span.CopyTo(c.Output(0).Bytes.Span); return; }
            Copy(c.Input(0).Bytes.Span, c.Output(0).Bytes.Span, 0);
        }

        /// <summary>Fills <paramref name="to"/>, the part of the output under the axes before <paramref name="axis"/>.</summary>
        private void Copy(ReadOnlySpan<byte> from, Span<byte> to, int axis)
        {
            ResampleAxis? map = _axes[axis];
            int count = _output[axis], part = to.Length / count, stride = _inputStrides[axis];
            if (axis == _blockAxes - 1 && map is not null && map.Outside is null && part == _size)
            {
                if (_repeats > 1)
                {
                    switch (_size)
                    {
                        case 1: Repeat<byte>(from, to); return;
                        case 2: Repeat<ushort>(from, to); return;
                        case 4: Repeat<uint>(from, to); return;
                        case 8: Repeat<ulong>(from, to); return;
                    }
                }
                switch (_size)
                {
                    case 1: Gather<byte>(from, to, map.Indexes); return;
                    case 2: Gather<ushort>(from, to, map.Indexes); return;
                    case 4: Gather<uint>(from, to, map.Indexes); return;
                    case 8: Gather<ulong>(from, to, map.Indexes); return;
                }
            }
            int previous = -1;
            for (int o = 0; o < count; o++)
            {
                Span<byte> target = to.Slice(o * part, part);
                if (map?.Outside is { } outside && outside[o])
                {
                    for (int i = 0; i < part; i += _size) _extrapolation.CopyTo(target[i..]);
                    previous = -1;
                    continue;
                }
                int index = map is null ? o : map.Indexes[o];
                if (index == previous) to.Slice((o - 1) * part, part).CopyTo(target);
                else if (axis == _blockAxes - 1) from.Slice(index * stride, part).CopyTo(target);
                else Copy(from.Slice(index * stride, stride), target, axis + 1);
                previous = index;
            }
        }

        private static void Gather<T>(ReadOnlySpan<byte> from, Span<byte> to, int[] indexes) where T : unmanaged
        {
            ReadOnlySpan<T> x = MemoryMarshal.Cast<byte, T>(from);
            Span<T> y = MemoryMarshal.Cast<byte, T>(to)[..indexes.Length];
            for (int i = 0; i < y.Length; i++) y[i] = x[indexes[i]];
        }

        /// <summary>Every element <see cref="_repeats"/> times; twice, the usual case, by shuffles.</summary>
        private void Repeat<T>(ReadOnlySpan<byte> from, Span<byte> to) where T : unmanaged
        {
            int count = to.Length / _size / _repeats, i = 0;
            ReadOnlySpan<T> x = MemoryMarshal.Cast<byte, T>(from)[..count];
            Span<T> y = MemoryMarshal.Cast<byte, T>(to);
            if (_repeats == 2 && _size == sizeof(uint))
            {
                ReadOnlySpan<uint> a = MemoryMarshal.Cast<T, uint>(x);
                Span<uint> b = MemoryMarshal.Cast<T, uint>(y);
                for (; i <= count - Vector128<uint>.Count; i += Vector128<uint>.Count)
                {
                    Vector128<uint> four = Vector128.Create(a.Slice(i, Vector128<uint>.Count));
                    Vector128.Shuffle(four, Vector128.Create(0u, 0, 1, 1)).CopyTo(b[(2 * i)..]);
                    Vector128.Shuffle(four, Vector128.Create(2u, 2, 3, 3)).CopyTo(b[(2 * i + 4)..]);
                }
            }
            if (_repeats == 2 && _size == 1)
            {
                ReadOnlySpan<byte> a = MemoryMarshal.Cast<T, byte>(x);
                Span<byte> b = MemoryMarshal.Cast<T, byte>(y);
                for (; i <= count - Vector128<byte>.Count; i += Vector128<byte>.Count)
                {
                    Vector128<byte> bytes = Vector128.Create(a.Slice(i, Vector128<byte>.Count));
                    (Vector128<ushort> low, Vector128<ushort> high) = Vector128.Widen(bytes);
                    (low * Vector128.Create((ushort)0x101)).AsByte().CopyTo(b[(2 * i)..]);
                    (high * Vector128.Create((ushort)0x101)).AsByte().CopyTo(b[(2 * i + 16)..]);
                }
            }
            for (; i < count; i++) y.Slice(i * _repeats, _repeats).Fill(x[i]);
        }

        private static byte[] Element(DataType type, float value)
        {
            var bytes = new byte[type.Size()];
            switch (type)
            {
                case DataType.Float32: BitConverter.TryWriteBytes(bytes, value); break;
                case DataType.Float64: BitConverter.TryWriteBytes(bytes, (double)value); break;
                case DataType.UInt8 or DataType.Bool: bytes[0] = byte.CreateSaturating(value); break;
                case DataType.Int8: bytes[0] = (byte)sbyte.CreateSaturating(value); break;
                case DataType.Int32: BitConverter.TryWriteBytes(bytes, int.CreateSaturating(value)); break;
                case DataType.Int64: BitConverter.TryWriteBytes(bytes, long.CreateSaturating(value)); break;
            }
            return bytes;
        }
    }

    /// <summary>Weighted sums, one axis after the other, in float32.</summary>
    private sealed class WeightedStep<T> : Step where T : unmanaged, INumber<T>
    {
        private readonly int[] _input, _output;
        private readonly ResampleAxis?[] _axes;
        private readonly int[] _order;
        private readonly int _largest;
        private readonly float _extrapolation;

        public WeightedStep(int[] input, int[] output, ResampleAxis?[] axes, float extrapolation)
        {
            (_input, _output, _axes, _extrapolation) = (input, output, axes, extrapolation);
            // Shrinking axes first, growing ones last. Between them the axis whose elements are neighbours in memory, which is the only one without vectors: there it has least to do.
            _order = [.. Enumerable.Range(0, axes.Length).Where(i => axes[i] is not null)
                .OrderBy(i => Tensor.CountElements(input.AsSpan()[(i + 1)..]) == 1 ? 0 : output[i] < input[i] ? -1 : 1).ThenBy(i => (double)output[i] / input[i])];
            int[] shape = [.. input];
            _largest = Tensor.CountElements(shape);
            foreach (int axis in _order)
            {
                shape[axis] = output[axis];
                _largest = Math.Max(_largest, Tensor.CountElements(shape));
            }
        }

        public override string Kernel => "resize-weighted";

        public override int ScratchBytes => 2 * _largest * sizeof(float);

        public override void Run(StepContext c)
        {
            Span<float> scratch = MemoryMarshal.Cast<byte, float>(c.Scratch);
            Span<float> even = scratch[.._largest], odd = scratch.Slice(_largest, _largest);
            ReadOnlySpan<T> x = c.Input<T>(0);
            Span<T> y = c.Output<T>(0);

            ReadOnlySpan<float> from;
            bool direct = typeof(T) == typeof(float);
            if (direct) from = c.Input<float>(0);
            else
            {
                for (int i = 0; i < x.Length; i++) even[i] = float.CreateTruncating(x[i]);
                from = even[..x.Length];
            }
            Span<int> shape = stackalloc int[_input.Length];
            _input.CopyTo(shape);
            for (int pass = 0; pass < _order.Length; pass++)
            {
                int axis = _order[pass];
                ResampleAxis map = _axes[axis]!;
                int outer = Tensor.CountElements(shape[..axis]), inner = Tensor.CountElements(shape[(axis + 1)..]);
                int count = outer * map.Output * inner;
                Span<float> to = direct && pass == _order.Length - 1 ? c.Output<float>(0) : (pass % 2 == 0 ? odd : even)[..count];
                Resample(from, to, map, outer, inner);
                from = to;
                shape[axis] = map.Output;
            }
            if (direct)
            {
                if (_order.Length == 0) from.CopyTo(c.Output<float>(0));
            }
            else
            {
                for (int i = 0; i < y.Length; i++)
                {
                    y[i] = typeof(T) == typeof(double) ? T.CreateTruncating(from[i]) : T.CreateSaturating(MathF.Round(from[i], MidpointRounding.ToEven));
                }
            }
            foreach (int axis in _order)
            {
                if (_axes[axis]!.Outside is { } outside) Fill(y, outside, Tensor.CountElements(_output.AsSpan()[..axis]), Tensor.CountElements(_output.AsSpan()[(axis + 1)..]));
            }
        }

        private static void Resample(ReadOnlySpan<float> x, Span<float> y, ResampleAxis map, int outer, int inner)
        {
            int taps = map.Taps;
            for (int o = 0; o < outer; o++)
            {
                ReadOnlySpan<float> from = x.Slice(o * map.Input * inner, map.Input * inner);
                Span<float> to = y.Slice(o * map.Output * inner, map.Output * inner);
                if (inner == 1 && taps == 2)
                {
                    ReadOnlySpan<int> pairs = map.Indexes.AsSpan(0, 2 * to.Length);
                    ReadOnlySpan<float> parts = map.Weights.AsSpan(0, 2 * to.Length);
                    for (int i = 0; i < to.Length; i++) to[i] = parts[2 * i] * from[pairs[2 * i]] + parts[2 * i + 1] * from[pairs[2 * i + 1]];
                    continue;
                }
                for (int i = 0; i < map.Output; i++)
                {
                    ReadOnlySpan<int> indexes = map.Indexes.AsSpan(i * taps, taps);
                    ReadOnlySpan<float> weights = map.Weights.AsSpan(i * taps, taps);
                    if (inner == 1)
                    {
                        float sum = 0;
                        for (int t = 0; t < taps; t++) sum += weights[t] * from[indexes[t]];
                        to[i] = sum;
                        continue;
                    }
                    Span<float> row = to.Slice(i * inner, inner);
                    if (taps == 2)
                    {
                        Blend(from.Slice(indexes[0] * inner, inner), weights[0], from.Slice(indexes[1] * inner, inner), weights[1], row);
                        continue;
                    }
                    Scale(from.Slice(indexes[0] * inner, inner), weights[0], row);
                    for (int t = 1; t < taps; t++) AddScaled(from.Slice(indexes[t] * inner, inner), weights[t], row);
                }
            }
        }

        private static void Blend(ReadOnlySpan<float> a, float weightA, ReadOnlySpan<float> b, float weightB, Span<float> y)
        {
            int i = 0;
            for (; i <= y.Length - Vector<float>.Count; i += Vector<float>.Count)
                (new Vector<float>(a[i..]) * weightA + new Vector<float>(b[i..]) * weightB).CopyTo(y[i..]);
            for (; i < y.Length; i++) y[i] = a[i] * weightA + b[i] * weightB;
        }

        private static void Scale(ReadOnlySpan<float> x, float weight, Span<float> y)
        {
            int i = 0;
            for (; i <= x.Length - Vector<float>.Count; i += Vector<float>.Count) (new Vector<float>(x[i..]) * weight).CopyTo(y[i..]);
            for (; i < x.Length; i++) y[i] = x[i] * weight;
        }

        private static void AddScaled(ReadOnlySpan<float> x, float weight, Span<float> y)
        {
            int i = 0;
            for (; i <= x.Length - Vector<float>.Count; i += Vector<float>.Count)
                (new Vector<float>(y[i..]) + new Vector<float>(x[i..]) * weight).CopyTo(y[i..]);
            for (; i < x.Length; i++) y[i] += x[i] * weight;
        }

        private void Fill(Span<T> y, bool[] outside, int outer, int inner)
        {
            T value = T.CreateSaturating(_extrapolation);
            for (int o = 0; o < outer; o++)
            {
                for (int i = 0; i < outside.Length; i++)
                {
                    if (outside[i]) y.Slice((o * outside.Length + i) * inner, inner).Fill(value);
                }
            }
        }
    }
}

/// <summary>What a resizing node asks for.</summary>
/// <param name="Rule">Coordinates and weights.</param>
/// <param name="Scales">Scale per axis, where known.</param>
/// <param name="Sizes">Extent per axis, where known; <see cref="Same"/> leaves an axis as it is.</param>
/// <param name="Roi">Starts, then ends of the cropped region, in parts of the input; where known.</param>
/// <param name="Axes">The axes that the lists speak of; null for all.</param>
/// <param name="Policy">ONNX <c>keep_aspect_ratio_policy</c>.</param>
internal sealed record ResizeRequest(ResampleRule Rule, float[]? Scales, long[]? Sizes, float[]? Roi, long[]? Axes, string Policy)
{
    /// <summary>A size that means the input's own.</summary>
    public const long Same = -1;

    private int[]? Chosen { get; init; }

    /// <summary>Whether the axis is not among those that change.</summary>
    public bool Keeps(int axis) => Chosen is not null && !Chosen.Contains(axis);

    /// <summary>The same request with lists over all axes.</summary>
    public ResizeRequest OverAllAxes(NodeContext c)
    {
        if (Axes is null || c.Rank(0) < 0) return this;
        int rank = c.Rank(0);
        int[] chosen = [.. Axes.Select(axis => c.Axis(axis, rank))];
        if (chosen.Distinct().Count() != chosen.Length) throw c.Error($"axes are [{string.Join(", ", Axes)}]", "axes are different");
        foreach ((string what, int length, int perAxis) in new[] { ("scales", Scales?.Length ?? -1, 1), ("sizes", Sizes?.Length ?? -1, 1), ("roi entries", Roi?.Length ?? -1, 2) })
        {
            if (length >= 0 && length != perAxis * chosen.Length) throw c.Error($"{length} {what} for {chosen.Length} axes", $"{perAxis} per axis");
        }
        float[]? scales = Scales is null ? null : [.. Enumerable.Repeat(1f, rank)], roi = Roi is null ? null : [.. Enumerable.Repeat(0f, rank), .. Enumerable.Repeat(1f, rank)];
        long[]? sizes = Sizes is null ? null : [.. Enumerable.Repeat(Same, rank)];
        for (int i = 0; i < chosen.Length; i++)
        {
            if (scales is not null) scales[chosen[i]] = Scales![i];
            if (sizes is not null) sizes[chosen[i]] = Sizes![i];
            if (roi is not null) (roi[chosen[i]], roi[rank + chosen[i]]) = (Roi![i], Roi[chosen.Length + i]);
        }
        return this with { Scales = scales, Sizes = sizes, Roi = roi, Axes = null, Chosen = chosen };
    }
}

/// <summary>ONNX <c>Upsample</c>: <see cref="Resize"/> with asymmetric coordinates, rounding down.</summary>
/// <remarks>Version 1 takes <c>width_scale</c> and <c>height_scale</c>, version 7 the attribute <c>scales</c>, version 9 an input.</remarks>
internal sealed class Upsample : Resize
{
    public override OperatorId Id => new("Upsample");

    protected override ResizeRequest Request(NodeContext c, Func<int, Tensor?> value)
    {
        var rule = new ResampleRule(Mode(c, c.Attributes.String("mode", "nearest")), "asymmetric", "floor", -0.75, false, false);
        float[]? scales = c.Opset >= 9 ? (c.Has(1) ? value(1) is { } tensor ? Floats(c, tensor) : null : throw c.Error("input 1 is missing", "scales are given"))
            : c.Opset >= 7 ? c.Attributes.Floats("scales") ?? throw c.Error("attribute 'scales' is missing", "scales are given")
            : [1, 1, c.Attributes.Float("height_scale", 1), c.Attributes.Float("width_scale", 1)];
        return new ResizeRequest(rule, scales, null, null, null, "stretch");
    }
}
