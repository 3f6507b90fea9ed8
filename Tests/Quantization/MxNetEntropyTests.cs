using Octet.Quantization;
using Octet.Quantization.Calibration;
using Octet.Runtime;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Quantization;

/// <summary>The compatibility mode of entropy calibration against thresholds of an independent re-implementation of MXNet's search.</summary>
internal sealed class MxNetEntropyTests
{
    private static float[] Bins(int n, Func<int, double> count) => [.. Enumerable.Range(0, n).Select(i => (float)Math.Floor(count(i)))];

    private static float[] At(int n, params (int Bin, double Count)[] counts)
    {
        var bins = new float[n];
        foreach ((int bin, double count) in counts) bins[bin] = (float)count;
        return bins;
    }

    private static double HalfGaussian(int i, double deviation, double height = 1e5)
    {
        double d = (i - 4000) / deviation;
        return i < 4000 ? 0 : height * Math.Exp(-d * d / 2);
    }

    private static double Gaussian(int i, double deviation)
    {
        double d = (i - 4000) / deviation;
        return 1e5 * Math.Exp(-d * d / 2);
    }

    private static IEnumerable<TestCaseData> Golden()
    {
        yield return Row("all in the last of 999 bins", At(999, (998, 1000)), 2, 5, 497, 2, 0);
        yield return Row("all in the last of 999 bins", At(999, (998, 1000)), 2, 11, 494, 2, 0);
        yield return Row("flat", Bins(8001, _ => 100), 4, 255, 3873, 4, 0);
        yield return Row("gaussian", Bins(8001, i => Gaussian(i, 800)), 4, 255, 3549, 3.67604, 3.668884e-05);
        yield return Row("two-sided exponential", Bins(8001, i => 1e5 * Math.Exp(-Math.Abs(i - 4000) / 400.0)), 4, 255, 3822, 3.949006, 2.233908e-04);
        yield return Row("half gaussian", Bins(8001, i => HalfGaussian(i, 800)), 4, 255, 3687, 3.814023, 4.81131e-05);
        yield return Row("half gaussian", Bins(8001, i => HalfGaussian(i, 800)), 4, 511, 3588, 3.84302, 1.573364e-05);
        yield return Row("gaussian and three outliers", Bins(8001, i => Gaussian(i, 400) + (i == 8000 ? 3 : 0)), 4, 255, 1798, 1.925259, 5.259903e-05);
        yield return Row("all zero", At(8001, (4000, 1e6)), 0, 255, 0, 0.01593551, 0);
        yield return Row("all zero", At(8001, (4000, 1e6)), 0, 511, 0, 0.03193351, 0);
        yield return Row("constant, 8001 bins", At(8001, (8000, 1e6)), 1, 255, 3873, 1, 0);
        yield return Row("constant, 9999 bins", At(9999, (9998, 1e6)), 1, 255, 4872, 1, 0);
        yield return Row("constant, 10001 bins", At(10001, (10000, 1e6)), 1, 255, 0, 0.02549745, float.MaxValue);
        yield return Row("constant, 10003 bins", At(10003, (10002, 1e6)), 1, 255, 0, 0.02549235, float.MaxValue);
        yield return Row("constant, 12001 bins", At(12001, (12000, 1e6)), 1, 255, 0, 0.02124823, float.MaxValue);
        yield return Row("half 0, half 1", At(8001, (4000, 5e5), (8000, 5e5)), 1, 255, 127, 0.06361705, 0);
        yield return Row("half 0, half 1", At(8001, (4000, 5e5), (8000, 5e5)), 1, 511, 255, 0.127609, 0);
        yield return Row("half -1, half 1", At(8001, (0, 1000), (8000, 1000)), 1, 255, 3873, 1, 7.362217);
        yield return Row("five levels", At(8001, (4000, 1000), (5000, 100), (6000, 100), (7000, 100), (8000, 100)), 1, 255, 2874, 0.7502812, 0);
        yield return Row("five levels", At(8001, (4000, 1000), (5000, 100), (6000, 100), (7000, 100), (8000, 100)), 1, 511, 2746, 0.7502812, 0);
        yield return Row("spike of zeros and half gaussian", Bins(8001, i => HalfGaussian(i, 1000, 1e4) + (i == 4000 ? 5e7 : 0)), 1, 511, 3734, 0.9972503, 2.588383e-05);

        static TestCaseData Row(string name, float[] counts, double extent, int levels, int index, double threshold, double divergence) =>
            new TestCaseData(counts, extent, levels, index, threshold, divergence).SetArgDisplayNames($"{name}, {levels} levels");
    }

    [TestCaseSource(nameof(Golden))]
    public void FindsTheGoldenThreshold(float[] counts, double extent, int levels, int index, double threshold, double divergence)
    {
        MxNetEntropy.Result found = MxNetEntropy.Find(counts, MxNetEntropy.EdgesFor(extent, counts.Length), levels);
        Assert.That(found.Index, Is.EqualTo(index));
        Assert.That(found.Threshold, Is.EqualTo(threshold).Within(1e-6).Percent.Or.EqualTo(threshold).Within(1e-6 * threshold));
        Assert.That(found.Divergence, Is.EqualTo(divergence).Within(Math.Max(1e-9, 2e-3 * divergence)));
    }

    [Test]
    public void ScreeningChangesNoResult()
    {
        var random = new Random(4);
        foreach (int levels in new[] { 5, 31 })
        {
            for (int round = 0; round < 60; round++)
            {
                float[] counts = [.. Enumerable.Range(0, 201).Select(i => random.Next(3) == 0 ? 0f : MathF.Floor(500 * random.NextSingle() * MathF.Exp(-MathF.Abs(i - 100) / (5f + round))))];
                float[] edges = MxNetEntropy.EdgesFor(1, counts.Length);
                Assert.That(MxNetEntropy.Find(counts, edges, levels), Is.EqualTo(MxNetEntropy.Find(counts, edges, levels, screened: false)), $"round {round}, {levels} levels");
            }
        }
    }

    [Test]
    public void TheHistogramGrowsWithItsBinWidth()
    {
        // th = 1, then 2.5: step 2/8001, h = ⌊1.5/step⌋ + 1 = 6001 bins on each side.
        var collector = new MxNetEntropyCollector(ActivationType.Int8);
        Collect(collector, [-1, 0.5f]);
        Collect(collector, [2.5f]);
        CalibrationRange range = collector.PostCollect()["x"];
        Assert.That(range.Max, Is.LessThanOrEqualTo(2.5f + 2f / 8001));
        Assert.That(range.Min, Is.EqualTo(-range.Max));
    }

    [Test]
    public void GrowthIsBounded()
    {
        var collector = new MxNetEntropyCollector();
        Collect(collector, [1e-3f]);
        DataException error = Assert.Throws<DataException>(() => Collect(collector, [1e6f]))!;
        Assert.That(error.Message, Does.Contain("'x'").And.Contain("grown").And.Contain("rule:"));
    }

    [Test]
    public void ZerosFirstAreCounted()
    {
        var collector = new MxNetEntropyCollector();
        Collect(collector, new float[100]);
        Collect(collector, [.. Enumerable.Repeat(3f, 1000)]);
        Assert.That(collector.PostCollect()["x"].Min, Is.Zero);
        Assert.That(float.IsFinite(collector.PostCollect()["x"].Max));
    }

    [Test]
    public void NonNegativeTensorsGetAOneSidedRangeExceptForInt8()
    {
        float[] values = [.. Enumerable.Range(0, 5000).Select(i => i * 1e-3f)];
        MxNetEntropyCollector auto = new(), signed = new(ActivationType.Int8);
        Collect(auto, values);
        Collect(signed, values);
        Assert.That(auto.PostCollect()["x"].Min, Is.Zero);
        Assert.That(signed.PostCollect()["x"].Min, Is.EqualTo(-signed.PostCollect()["x"].Max));
    }

    [Test]
    public void UniformValuesKeepTheirRange()
    {
        // MXNet's own test: uniform in (−10.532, 11.3432), threshold within 1 % of the greatest magnitude.
        var random = new Random(1);
        var collector = new MxNetEntropyCollector(ActivationType.Int8);
        Collect(collector, [.. Enumerable.Range(0, 8 * 3 * 23 * 23).Select(_ => -10.532f + random.NextSingle() * (11.3432f + 10.532f))]);
        Assert.That(collector.PostCollect()["x"].Max, Is.EqualTo(11.3432f).Within(1).Percent);
    }

    private static void Collect(CalibrationCollector collector, float[] values) => collector.Collect("x", "Conv", new TensorView(Tensor.Create(values, values.Length)));
}
