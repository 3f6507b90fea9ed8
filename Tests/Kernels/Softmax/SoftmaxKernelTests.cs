using Octet.Kernels.Lanes;
using Octet.Kernels.Softmax;
using Octet.Kernels.Threading;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.Softmax;

internal sealed class SoftmaxKernelTests
{
    private static readonly (int Outer, int Axis, int Inner)[] Shapes = [(1, 1, 1), (3, 7, 1), (5, 16, 1), (4, 1000, 1), (2, 128, 1), (2, 9, 5), (3, 21, 40), (1, 300, 17)];

    [Test]
    public void MatchesDouble([ValueSource(nameof(Shapes))] (int Outer, int Axis, int Inner) s, [Values] bool logarithm, [ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width, [Values(1f, 80f)] float limit)
    {
        float[] x = new Random(2).Floats(s.Outer * s.Axis * s.Inner, limit), y = new float[x.Length];
        if (s.Axis > 5) x[2 * s.Inner] = float.NegativeInfinity;
        var cpu = Widths.Require(width);
        SoftmaxKernel.Run(x, s.Axis, s.Inner, logarithm, y, cpu, Parallelism.None);
        for (int o = 0; o < s.Outer; o++)
        {
            for (int i = 0; i < s.Inner; i++)
            {
                double[] row = [.. Enumerable.Range(0, s.Axis).Select(r => (double)x[(o * s.Axis + r) * s.Inner + i])];
                double max = row.Max(), sum = row.Sum(v => Math.Exp(v - max));
                for (int r = 0; r < s.Axis; r++)
                {
                    double exact = logarithm ? row[r] - max - Math.Log(sum) : Math.Exp(row[r] - max) / sum;
                    float actual = y[(o * s.Axis + r) * s.Inner + i];
                    if (double.IsInfinity(row[r])) Assert.That((double)actual, Is.EqualTo(exact));
                    else Assert.That(actual, Is.EqualTo(exact).Within(Tolerance.Softmax(s.Axis, max - row[r]) * (logarithm ? Math.Max(1, Math.Abs(exact)) : exact) + float.Epsilon));
                }
            }
        }
        float[] inPlace = [.. x];
        SoftmaxKernel.Run(inPlace, s.Axis, s.Inner, logarithm, inPlace, cpu, new Parallelism(TestPool.Four, 4));
        Assert.That(inPlace, Is.EqualTo(y));
    }

    [Test]
    public void RowsWithoutAValueAreNaN([ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width, [Values(0, 17, 39)] int at)
    {
        var x = new float[40];
        x[at] = float.NaN;
        SoftmaxKernel.Run(x, 40, 1, false, x, Widths.Require(width), Parallelism.None);
        Assert.That(x, Is.All.NaN);
        Array.Fill(x, float.NegativeInfinity);
        SoftmaxKernel.Run(x, 40, 1, false, x, Widths.Require(width), Parallelism.None);
        Assert.That(x, Is.All.NaN);
    }
}
