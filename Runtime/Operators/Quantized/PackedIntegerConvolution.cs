using System.Runtime.InteropServices;
using Octet.Kernels.Geometry;
using Octet.Kernels.QConv;
using Octet.Kernels.Requantize;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Integer convolution with constant weights of data whose zero point is known only at run time.</summary>
/// <remarks>
/// The kernels run on channels-last data whose padding is written out as zx, as if zx were 0; the term of zx is the caller's to take away:
/// <code>Σ (x − zx)·(w − zw) = Σ x·(w − zw) − zx·Σ (w − zw)</code>
/// Signed data is read as x + 128 with its zero point moved alike.
/// </remarks>
internal sealed class PackedIntegerConvolution
{
    private readonly ConvShape _shape;
    private readonly int[] _weightSums;
    private readonly int _copyBytes, _accBytes;
    private readonly bool _padded;

    /// <summary>Packs the weights.</summary>
    /// <param name="c">The node.</param>
    /// <param name="shape">Extents, pads included.</param>
    /// <param name="w">Constant weights <c>[O, C/G, k…]</c>, int8 or uint8.</param>
    /// <param name="zeroPoints">Those of the weights: none, one, or one per output channel.</param>
    public PackedIntegerConvolution(PlanContext c, ConvShape shape, Tensor w, int[] zeroPoints)
    {
        _shape = shape;
        ConvShape padded = shape with { D = WithoutPads(shape.D), H = WithoutPads(shape.H), W = WithoutPads(shape.W) };
        _padded = padded != shape;
        if (zeroPoints.All(zero => zero == 0)) zeroPoints = [];
        QConvChoice choice = QConvChoice.For(padded, c.IntegerCpu, c.IntegerWinograd);
        string key = $"QConv {choice.Key} groups {shape.Groups} zero points {string.Join(",", zeroPoints)}";
        QConvWeights packed = c.Share(w, key, () => w.Type == DataType.Int8
            ? QConvWeights.Pack(padded, w.Span<sbyte>(), zeroPoints, choice)
            : QConvWeights.Pack(padded, w.Span<byte>(), zeroPoints, choice));
        _weightSums = new int[shape.OutChannels];
        int filter = w.Length / shape.OutChannels;
        for (int i = 0; i < w.Length; i++)
        {
            int o = i / filter, zero = zeroPoints.Length == 0 ? 0 : zeroPoints[zeroPoints.Length == 1 ? 0 : o];
            _weightSums[o] += (w.Type == DataType.Int8 ? w.Span<sbyte>()[i] : w.Span<byte>()[i]) - zero;
        }
        Convolution = QConvolution.Create(padded, packed, 0, QEpilogue.ToInt32(shape.OutChannels));
        _copyBytes = Aligned(checked(padded.Batch * padded.InputPixels * padded.InChannels));
        _accBytes = Aligned(checked(padded.Batch * padded.OutputPixels * padded.OutChannels * sizeof(int)));
        ScratchBytes = checked(_copyBytes + _accBytes + Convolution.ScratchBytes(c.Workers));
    }

    /// <summary>The packed convolution, which knows neither pads nor zero point.</summary>
    public QConvolution Convolution { get; }

    /// <summary>Scratch bytes of one run.</summary>
    public int ScratchBytes { get; }

    /// <summary><c>Σ (w − zw)</c> of every output channel.</summary>
    public ReadOnlySpan<int> ZeroTerms => _weightSums;

    /// <summary>The factor of <see cref="ZeroTerms"/>.</summary>
    public int ZeroPoint(bool signed, int zero) => signed ? zero + 128 : zero;

    /// <summary><c>Σ x·(w − zw)</c>.</summary>
    /// <param name="c">The run.</param>
    /// <param name="x">The data.</param>
    /// <param name="channelsLast">Whether it lies <c>[N, D, H, W, C]</c> rather than <c>[N, C, D, H, W]</c>.</param>
    /// <param name="signed">Whether it is int8.</param>
    /// <param name="zero">Its zero point, with which padding is filled.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/>.</param>
    /// <returns><c>[N, pixels, O]</c>, inside <paramref name="scratch"/>.</returns>
    public Span<int> Sums(StepContext c, ReadOnlySpan<byte> x, bool channelsLast, bool signed, int zero, Span<byte> scratch)
    {
        Span<byte> sums = scratch.Slice(_copyBytes, _accBytes), rest = scratch[(_copyBytes + _accBytes)..];
        if (!channelsLast || signed || _padded)
        {
            Span<byte> copy = scratch[.._copyBytes];
            Copy(x, channelsLast, signed ? (byte)0x80 : (byte)0, (byte)ZeroPoint(signed, zero), copy);
            x = copy;
        }
        Convolution.Run(x, default, sums, rest, c.Parallel);
        return LastSums(scratch);
    }

    /// <summary>Where the sums of the last <see cref="Sums"/> with this scratch lie.</summary>
    public Span<int> LastSums(Span<byte> scratch) =>
        MemoryMarshal.Cast<byte, int>(scratch.Slice(_copyBytes, _accBytes))[..(_shape.Batch * _shape.OutputPixels * _shape.OutChannels)];

    /// <summary>The data → <c>[N, D + pads, H + pads, W + pads, C]</c>, bytes XOR <paramref name="flip"/>, padding <paramref name="fill"/>.</summary>
    private void Copy(ReadOnlySpan<byte> x, bool channelsLast, byte flip, byte fill, Span<byte> copy)
    {
        ConvShape s = _shape;
        int depth = s.D.Input + s.D.PadBegin + s.D.PadEnd, height = s.H.Input + s.H.PadBegin + s.H.PadEnd, width = s.W.Input + s.W.PadBegin + s.W.PadEnd;
        int rowBytes = s.W.Input * s.InChannels;
        if (_padded) copy.Fill(fill);
        for (int n = 0; n < s.Batch; n++)
            for (int d = 0; d < s.D.Input; d++)
                for (int h = 0; h < s.H.Input; h++)
                {
                    int to = (((n * depth + d + s.D.PadBegin) * height + h + s.H.PadBegin) * width + s.W.PadBegin) * s.InChannels;
                    if (channelsLast)
                    {
                        Span<byte> row = copy.Slice(to, rowBytes);
                        x.Slice(((n * s.D.Input + d) * s.H.Input + h) * rowBytes, rowBytes).CopyTo(row);
                        if (flip != 0) foreach (ref byte value in row) value ^= flip;
                        continue;
                    }
                    for (int channel = 0; channel < s.InChannels; channel++)
                    {
                        ReadOnlySpan<byte> from = x.Slice((((n * s.InChannels + channel) * s.D.Input + d) * s.H.Input + h) * s.W.Input, s.W.Input);
                        for (int i = 0, at = to + channel; i < from.Length; i++, at += s.InChannels) copy[at] = (byte)(from[i] ^ flip);
                    }
                }
    }

    private static WindowAxis WithoutPads(WindowAxis axis) => axis with { Input = axis.Input + axis.PadBegin + axis.PadEnd, PadBegin = 0, PadEnd = 0 };

    private static int Aligned(int bytes) => checked(bytes + 63) & ~63;
}
