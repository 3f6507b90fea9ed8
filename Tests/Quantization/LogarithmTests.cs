using Octet.Quantization.Calibration;

namespace Octet.Tests.Quantization;

internal sealed class LogarithmTests
{
    [Test]
    public void AreRightToTheLastPlaces()
    {
        var random = new Random(3);
        double[] x = [1, 2, 0.5, Math.E, Math.Sqrt(2), Math.Sqrt(0.5), Math.BitDecrement(1), Math.BitIncrement(1), 1e300, 1e-300, double.MaxValue, 2.2250738585072014e-308,
            .. Enumerable.Range(0, 100_001).Select(_ => Math.ScaleB(1 + random.NextDouble(), random.Next(-1000, 1000)))];
        double[] logarithms = [.. x];
        Logarithm.Replace(logarithms);
        Assert.That((logarithms[0], logarithms[1]), Is.EqualTo((0.0, Math.Log(2))));
        // Both are within a unit of the last place of the truth.
        for (int i = 0; i < x.Length; i++) Assert.That(Math.Abs(logarithms[i] - Math.Log(x[i])), Is.LessThanOrEqualTo(2 * (Math.BitIncrement(Math.Abs(Math.Log(x[i]))) - Math.Abs(Math.Log(x[i])))), $"ln {x[i]:R}");
    }

    [Test]
    public void DoNotDependOnWhereAnElementStands()
    {
        double[] x = [.. Enumerable.Range(1, 23).Select(i => i * 0.37)];
        double[] together = [.. x];
        Logarithm.Replace(together);
        for (int i = 0; i < x.Length; i++)
        {
            double[] alone = [x[i]];
            Logarithm.Replace(alone);
            Assert.That(alone[0], Is.EqualTo(together[i]));
        }
    }
}
