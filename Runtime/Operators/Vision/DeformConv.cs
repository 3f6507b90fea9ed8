using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>DeformConv</c>: a convolution whose taps are displaced by learned offsets and weighted by a mask.</summary>
/// <remarks>
/// <code>
///   y[n, o, p] = b[o] + Σ_{c, t} w[o, c, t] · mask[n, g, t, p] · x(n, c, p · stride − pad + t · dilation + offset[n, g, t, ·, p])
/// </code>
/// x(·) is bilinear interpolation, zero outside; g is the offset group of channel c. Two spatial axes. Source: Zhu et al. 2018, Deformable ConvNets v2.
/// </remarks>
internal sealed class DeformConv : Operator
{
    public override OperatorId Id => new("DeformConv", Since: 19);

    public override string Limits => "two spatial axes";

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is not { } x || c.Shape(1) is not { } w || c.Shape(2) is not { } offset) { c.SetUnknownShape(0, c.Element(0)); return; }
        if (x.Length != w.Length || offset.Length != x.Length) throw c.Error($"ranks are {x.Length}, {w.Length}, {offset.Length}", "X, W and offset have one rank");
        c.Set(0, new TensorType(c.Element(0), (ReadOnlySpan<Dim>)[x[0], w[0], .. offset.AsSpan()[2..]]));
    }

    public override Step Plan(PlanContext c)
    {
        c.Expect(0, DataType.Float32);
        int[] x = c.InputShape(0), w = c.InputShape(1), offset = c.InputShape(2), y = c.OutputShape(0);
        if (x.Length != 4) throw c.Unsupported($"X of rank {x.Length}", Limits);
        long[] strides = c.Attributes.Ints("strides") ?? [1, 1], dilations = c.Attributes.Ints("dilations") ?? [1, 1], pads = c.Attributes.Ints("pads") ?? [0, 0, 0, 0];
        int groups = (int)c.Attributes.Int("group", 1), offsetGroups = (int)c.Attributes.Int("offset_group", 1);
        if (strides.Length != 2 || dilations.Length != 2 || pads.Length != 4) throw c.Error("attributes are not of two axes", "two spatial axes");
        if (groups < 1 || offsetGroups < 1 || x[1] % groups != 0 || w[0] % groups != 0 || x[1] % offsetGroups != 0 || w[1] != x[1] / groups)
            throw c.Error($"{x[1]} channels, {w[0]} outputs, group {groups}, offset_group {offsetGroups}", "groups divide channels; W is [O, C / group, kh, kw]");
        for (int i = 0; i < 2; i++)
        {
            long extent = (x[2 + i] + pads[i] + pads[2 + i] - (dilations[i] * (w[2 + i] - 1L) + 1)) / Math.Max(1, strides[i]) + 1;
            if (strides[i] < 1 || dilations[i] < 1 || extent != y[2 + i]) throw c.Error($"offset has extent {y[2 + i]} on axis {2 + i}, the convolution {extent}", "offset has the output's extents");
        }
        if (offset[0] != x[0] || offset[1] != offsetGroups * 2 * w[2] * w[3]) throw c.Error($"offset is {c.Type(2)}", "offset is [N, offset_group · kh · kw · 2, oh, ow]");
        if (c.Has(3) && c.Rank(3) >= 0 && (c.InputShape(3).Length != 1 || c.InputShape(3)[0] != w[0])) throw c.Error($"bias is {c.Type(3)}", "bias is [O]");
        if (c.Has(4) && !c.InputShape(4).AsSpan().SequenceEqual([x[0], offsetGroups * w[2] * w[3], y[2], y[3]])) throw c.Error($"mask is {c.Type(4)}", "mask is [N, offset_group · kh · kw, oh, ow]");
        return new DeformStep(x, w, y, groups, offsetGroups, strides, dilations, pads, c.Has(3), c.Has(4));
    }

    private sealed class DeformStep(int[] x, int[] w, int[] y, int groups, int offsetGroups, long[] strides, long[] dilations, long[] pads, bool hasBias, bool hasMask) : Step
    {
        public override string Kernel => "deform-conv";

        public override int ScratchBytes => y[2] * y[3] * sizeof(float);

        public override void Run(StepContext c)
        {
            ReadOnlySpan<float> data = c.Input<float>(0), weights = c.Input<float>(1), offsets = c.Input<float>(2);
            ReadOnlySpan<float> bias = hasBias ? c.Input<float>(3) : default, mask = hasMask ? c.Input<float>(4) : default;
            Span<float> output = c.Output<float>(0), samples = MemoryMarshal.Cast<byte, float>(c.Scratch)[..(y[2] * y[3])];
            int channels = x[1], height = x[2], width = x[3], outputs = w[0], oh = y[2], ow = y[3], points = oh * ow, taps = w[2] * w[3];
            int perGroup = channels / groups, outputsPerGroup = outputs / groups, perOffset = channels / offsetGroups;
            for (int n = 0; n < x[0]; n++)
            {
                for (int o = 0; o < outputs; o++) output.Slice((n * outputs + o) * points, points).Fill(hasBias ? bias[o] : 0);
                for (int channel = 0; channel < channels; channel++)
                {
                    ReadOnlySpan<float> plane = data.Slice((n * channels + channel) * height * width, height * width);
                    int group = channel / perGroup, inGroup = channel % perGroup, offsetGroup = channel / perOffset;
                    for (int tap = 0; tap < taps; tap++)
                    {
                        int kh = tap / w[3], kw = tap % w[3];
                        int shift = (n * offsetGroups * taps + offsetGroup * taps + tap) * 2 * points;
                        int maskAt = (n * offsetGroups * taps + offsetGroup * taps + tap) * points;
                        for (int point = 0; point < points; point++)
                        {
                            float sy = point / ow * strides[0] - pads[0] + kh * dilations[0] + offsets[shift + point];
                            float sx = point % ow * strides[1] - pads[1] + kw * dilations[1] + offsets[shift + points + point];
                            float value = Sample(plane, height, width, sy, sx);
                            samples[point] = hasMask ? value * mask[maskAt + point] : value;
                        }
                        for (int o = group * outputsPerGroup; o < (group + 1) * outputsPerGroup; o++)
                            AddScaled(samples, weights[(o * perGroup + inGroup) * taps + tap], output.Slice((n * outputs + o) * points, points));
                    }
                }
            }
        }

        private static void AddScaled(ReadOnlySpan<float> x, float weight, Span<float> y)
        {
            int i = 0;
            for (; i <= x.Length - Vector<float>.Count; i += Vector<float>.Count) (new Vector<float>(y[i..]) + new Vector<float>(x[i..]) * weight).CopyTo(y[i..]);
            for (; i < x.Length; i++) y[i] += x[i] * weight;
        }

        private static float Sample(ReadOnlySpan<float> plane, int height, int width, float sy, float sx)
        {
            if (!(sy > -1 && sy < height && sx > -1 && sx < width)) return 0;
            int top = (int)MathF.Floor(sy), left = (int)MathF.Floor(sx);
            float ly = sy - top, lx = sx - left;
            return (1 - ly) * ((1 - lx) * At(plane, top, left) + lx * At(plane, top, left + 1)) + ly * ((1 - lx) * At(plane, top + 1, left) + lx * At(plane, top + 1, left + 1));

            float At(ReadOnlySpan<float> from, int row, int column) => row >= 0 && row < height && column >= 0 && column < width ? from[row * width + column] : 0;
        }
    }
}
