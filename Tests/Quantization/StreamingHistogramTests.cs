using CsCheck;
using Octet.Quantization.Calibration;

namespace Octet.Tests.Quantization;

internal sealed class StreamingHistogramTests
{
    /// <summary>Finite values of every magnitude, subnormal and nearly overflowing ones included.</summary>
    private static readonly Gen<float> AnyValue = Gen.Select(Gen.Int[-140, 126], Gen.Float[-1.99f, 1.99f], Gen.Int[0, 9]).Select((exponent, mantissa, kind) =>
        kind switch { 0 => 0f, 1 => -0f, 2 => 1e-40f, 3 => -1e-40f, 4 => 1e38f, 5 => -1e38f, _ => MathF.ScaleB(mantissa, exponent) });

    [Test]
    public void EveryValueIsCountedInItsBin() => AnyValue.Array[1, 60].Sample(values =>
    {
        StreamingHistogram histogram = Of(values);
        Assert.That(histogram.Count, Is.EqualTo(values.Length));
        var expected = new long[2 * StreamingHistogram.HalfBins];
        foreach (float value in values) expected[(int)Math.Floor(value / histogram.BinWidth) + StreamingHistogram.HalfBins]++;
        Assert.That(histogram.Bins.ToArray(), Is.EqualTo(expected));
        Assert.That(histogram.Min, Is.EqualTo(values.Min()));
        Assert.That(histogram.Max, Is.EqualTo(values.Max()));
    }, iter: 300);

    [Test]
    public void WideningGivesWhatCountingWithWideBinsGives() => Gen.Select(AnyValue.Array[1, 30], AnyValue.Array[1, 30]).Sample((first, second) =>
    {
        float[] all = [.. first, .. second];
        StreamingHistogram parts = Of(first), whole = Of(all), merged = Of(second);
        parts.Add(second, second.Min(), second.Max());
        merged.Add(Of(first));
        Assert.That(parts.Exponent, Is.EqualTo(whole.Exponent));
        Assert.That(parts.Bins.ToArray(), Is.EqualTo(whole.Bins.ToArray()));
        Assert.That(merged.Exponent, Is.EqualTo(whole.Exponent));
        Assert.That(merged.Bins.ToArray(), Is.EqualTo(whole.Bins.ToArray()));
        Assert.That(merged.Count, Is.EqualTo(whole.Count));
    }, iter: 300);

    [Test]
    public void LongArraysAreCountedAsShortOnes() => Gen.Select(AnyValue.Array[1, 40], Gen.Int[0, 2], Gen.Int[4000, 5000]).Sample((values, kind, length) =>
    {
        // Values of a float32 that vanish when scaled, and long runs of zeros as after a ReLU.
        float[] all = [.. Enumerable.Range(0, length).Select(i => kind == 0 && i % 3 != 0 ? 0f : kind == 1 && i % 7 == 0 ? -1e-45f : values[i % values.Length])];
        StreamingHistogram whole = Of(all), parts = new();
        foreach (float[] chunk in all.Chunk(500)) parts.Add(chunk, chunk.Min(), chunk.Max());
        Assert.That(whole.Exponent, Is.EqualTo(parts.Exponent));
        Assert.That(whole.Bins.SequenceEqual(parts.Bins));
        Assert.That(whole.Bins.ToArray().Sum(), Is.EqualTo(length));
    }, iter: 100);

    [Test]
    public void MagnitudesKeepTheTotal() => AnyValue.Array[1, 60].Sample(values =>
        Assert.That(Of(values).Magnitudes().Sum(), Is.EqualTo(values.Length)), iter: 200);

    [Test]
    public void TheGreatestMagnitudeLiesInTheUpperHalfOfTheBins([Values(1e-35f, 0.01f, 1f, 1.5f, 4096f, -4096f, 3.4e38f, -3.4e38f)] float value)
    {
        StreamingHistogram histogram = Of([value]);
        double bin = Math.Abs(value) / histogram.BinWidth;
        Assert.That(bin, Is.InRange(StreamingHistogram.HalfBins / 2, StreamingHistogram.HalfBins));
    }

    [Test]
    public void ZerosAloneShareOneBin()
    {
        StreamingHistogram histogram = Of([0f, -0f, 0f]);
        Assert.That(histogram.Magnitudes()[0], Is.EqualTo(3));
        Assert.That((histogram.Min, histogram.Max, histogram.Count), Is.EqualTo((0f, 0f, 3L)));
    }

    private static StreamingHistogram Of(float[] values)
    {
        var histogram = new StreamingHistogram();
        histogram.Add(values, values.Min(), values.Max());
        return histogram;
    }
}
