using Octet.Quantization.Calibration;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Quantization;

/// <summary>Where the entropy calibration cuts ranges, and where it must not.</summary>
internal sealed class EntropyThresholdTests
{
    private const int Count = 100_000;

    [TestCase(3f)]
    [TestCase(-0.25f)]
    [TestCase(0f)]
    [TestCase(1e-38f)]
    [TestCase(3.4e38f)]
    public void AConstantTensorKeepsItsValue(float value) =>
        Assert.That(Range(Enumerable.Repeat(value, 1000)), Is.EqualTo(new CalibrationRange(value, value)));

    [Test]
    public void FewValuesKeepTheFullRange() =>
        Assert.That(Range(Enumerable.Range(0, 10_000).Select(i => i == 17 ? 1000f : new[] { -2f, -1f, 0f, 0.5f, 2f }[i % 5])), Is.EqualTo(new CalibrationRange(-2, 1000)));

    [Test]
    public void ZeroesAfterAReluDoNotCollapseTheRange()
    {
        float[] half = [.. Gaussian(1, Count).Select(MathF.Abs)];
        CalibrationRange alone = Range(half), spiked = Range(half.Concat(new float[10 * Count]));
        Assert.That(spiked.Min, Is.Zero);
        Assert.That(spiked.Max, Is.EqualTo(alone.Max), "values of zero are exact under every threshold");
        Assert.That(spiked.Max, Is.GreaterThan(2f), "two standard deviations hold 95 % of the values");
    }

    [Test]
    public void AFarOutlierIsCut()
    {
        CalibrationRange range = Range(Gaussian(2, Count).Append(40f));
        // The squared error of one clamped value x and of Count rounded ones, (x − T)² + Count·(T/127)²/12, is least at T = x / (1 + Count/(12·127²)).
        Assert.That(range.Max, Is.EqualTo(40f / (1 + Count / (12f * 127 * 127))).Within(1).Percent);
        Assert.That(range.Max, Is.LessThan(30f));
        Assert.That(range.Min, Is.InRange(-20f, -2f));
    }

    [Test]
    public void TheRangeLiesWithinTheValues()
    {
        float[] values = Gaussian(3, Count);
        CalibrationRange range = Range(values);
        Assert.That(range.Min, Is.GreaterThanOrEqualTo(values.Min()));
        Assert.That(range.Max, Is.LessThanOrEqualTo(values.Max()));
    }

    /// <summary>Box and Muller's transform.</summary>
    private static float[] Gaussian(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
    }

    private static CalibrationRange Range(IEnumerable<float> values)
    {
        float[] array = [.. values];
        var collector = new EntropyCollector();
        collector.Collect("x", "Relu", new TensorView(Tensor.Create(array, array.Length)));
        return collector.PostCollect()["x"];
    }
}
