using Octet.Quantization;
using Octet.Quantization.Calibration;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Quantization;

/// <summary>Ranges by percentile, squared error and moving average.</summary>
internal sealed class CalibrationRangeTests
{
    [TestCase(100, 1000f)]
    [TestCase(99, 990f)]
    [TestCase(50, 500f)]
    [TestCase(0.05, 1f)]
    public void APercentileCutsThatManyValues(double percentile, float expected)
    {
        float[] values = [.. Enumerable.Range(1, 1000).Select(i => (float)i)];
        // A bin is at most 1/2048 of the greatest value wide.
        Assert.That(Range(new PercentileCollector(percentile), values).Max, Is.EqualTo(expected).Within(1000f / 2048));
    }

    [Test]
    public void APercentileCutsBothSidesByMagnitude()
    {
        float[] values = [.. Enumerable.Range(1, 500).Select(i => (float)i), .. Enumerable.Range(1, 500).Select(i => -2f * i)];
        CalibrationRange range = Range(new PercentileCollector(90), values);
        // 100 of 1000 magnitudes lie above T: −2·i for i > T/2, and i for i > T.
        Assert.That(range.Min, Is.EqualTo(-800f).Within(1f));
        Assert.That(range.Max, Is.EqualTo(500f));
    }

    [Test]
    public void AllOfAConstantIsKept([Values(0f, 3f, -0.25f, 1e-38f)] float value, [Values(0.01, 50, 100)] double percentile) =>
        Assert.That(Range(new PercentileCollector(percentile), [value, value, value]), Is.EqualTo(new CalibrationRange(value, value)));

    [TestCase(0)]
    [TestCase(-1)]
    [TestCase(100.5)]
    [TestCase(double.NaN)]
    public void APercentileOutsideIsRefused(double percentile) =>
        Assert.That(Assert.Throws<ArgumentException>(() => _ = new PercentileCollector(percentile))!.Message, Does.Contain("rule:"));

    [TestCase(ActivationType.Auto)]
    [TestCase(ActivationType.Int8)]
    [TestCase(ActivationType.UInt8)]
    public void SquaredErrorFindsTheLeastOfAllCuts(ActivationType type)
    {
        var random = new Random(2);
        float[] values = [.. Enumerable.Range(0, 60_000).Select(_ => (float)(random.NextDouble() + random.NextDouble() - 1)), 10f, -9f];
        CalibrationRange range = Range(new MeanSquaredErrorCollector(type), values);
        double found = Cost(values, range, type);
        for (double share = 0.05; share <= 1; share += 0.05)
        {
            float cut = (float)(share * 10);
            var other = new CalibrationRange(MathF.Max(values.Min(), -cut), MathF.Min(values.Max(), cut));
            // The collector takes rounding errors as evenly spread over a step, which is good to a few percent here.
            Assert.That(found, Is.LessThanOrEqualTo(1.05 * Cost(values, other, type)), $"a cut at {cut}");
        }
        Assert.That(found, Is.LessThan(0.95 * Cost(values, new CalibrationRange(values.Min(), values.Max()), type)), "the full range would do as well: the test shows nothing");
    }

    [Test]
    public void SquaredErrorKeepsAConstant([Values(0f, 3f, -0.25f, 1e-38f)] float value) =>
        Assert.That(Range(new MeanSquaredErrorCollector(), [value, value, value]), Is.EqualTo(new CalibrationRange(value, value)));

    [Test]
    public void AMovingAverageIsTheWeightedMeanOfTheSamplesRanges()
    {
        var collector = new MovingAverageCollector(0.25);
        foreach (float scale in new[] { 1f, 2f, 8f }) Collect(collector, [-scale, 0, 2 * scale]);
        // Weights 1, 3/4, 9/16 from the latest to the first.
        double mean = (8 + 0.75 * 2 + 0.5625 * 1) / (1 + 0.75 + 0.5625);
        Assert.That(collector.PostCollect()["x"], Is.EqualTo(new CalibrationRange((float)-mean, (float)(2 * mean))));
    }

    [Test]
    public void AMovingAverageOfEqualSamplesIsTheirRange()
    {
        var collector = new MovingAverageCollector();
        for (int i = 0; i < 50; i++) Collect(collector, [-0.7f, 1.3f]);
        Assert.That(collector.PostCollect()["x"].Min, Is.EqualTo(-0.7f).Within(1).Ulps);
        Assert.That(collector.PostCollect()["x"].Max, Is.EqualTo(1.3f).Within(1).Ulps);
    }

    [Test]
    public void AMovingAverageForgetsWhatLiesFarBack()
    {
        var collector = new MovingAverageCollector();
        Collect(collector, [1e30f]);
        for (int i = 0; i < MovingAverageCollector.Window; i++) Collect(collector, [1f]);
        Assert.That(collector.PostCollect()["x"].Max, Is.EqualTo(1f).Within(1).Ulps);
    }

    [TestCase(0)]
    [TestCase(1.01)]
    [TestCase(double.NaN)]
    public void AWeightOutsideIsRefused(double weight) =>
        Assert.That(Assert.Throws<ArgumentException>(() => _ = new MovingAverageCollector(weight))!.Message, Does.Contain("rule:"));

    private static double Cost(float[] values, CalibrationRange range, ActivationType type)
    {
        var grid = Octet.Quantization.Rewriting.GridParameters.For(range, type);
        (double least, double most) = grid.Type == DataType.UInt8 ? (0, 255) : (-127, 127);
        return values.Sum(x =>
        {
            double q = Math.Clamp(Math.Round(x / (double)grid.Scale) + grid.ZeroPoint, least, most);
            double error = (q - grid.ZeroPoint) * grid.Scale - x;
            return error * error;
        });
    }

    private static CalibrationRange Range(CalibrationCollector collector, float[] values)
    {
        Collect(collector, values);
        return collector.PostCollect()["x"];
    }

    private static void Collect(CalibrationCollector collector, float[] values) => collector.Collect("x", "Conv", new TensorView(Tensor.Create(values, values.Length)));
}
