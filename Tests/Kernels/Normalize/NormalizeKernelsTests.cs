using Octet.Kernels.Lanes;
using Octet.Kernels.Normalize;
using Octet.Kernels.Threading;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.Normalize;

internal sealed class NormalizeKernelsTests
{
    private const float Epsilon = 1e-5f;

    [Test]
    public void RowsMatchDouble([Values(1, 5, 16, 33, 768)] int n, [Values] bool centred, [Values] bool parameters, [ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width)
    {
        const int rows = 7;
        var random = new Random(n);
        float[] x = [.. random.Floats(rows * n, 3f).Select(v => v + 1)], scale = parameters ? random.Floats(n) : [], bias = parameters && centred ? random.Floats(n) : [];
        float[] y = new float[x.Length], means = new float[rows], inverses = new float[rows];
        var cpu = Widths.Require(width);
        NormalizeKernels.Rows(x, n, scale, bias, Epsilon, centred, y, means, inverses, cpu, Parallelism.None);
        for (int r = 0; r < rows; r++)
        {
            double[] row = [.. x[(r * n)..((r + 1) * n)].Select(v => (double)v)];
            double mean = centred ? row.Average() : 0, inverse = 1 / Math.Sqrt(row.Sum(v => (v - mean) * (v - mean)) / n + Epsilon);
            Assert.That(means[r], Is.EqualTo(mean).Within(Tolerance.Sum(n, 4)));
            for (int i = 0; i < n; i++)
            {
                double exact = (row[i] - mean) * inverse * (parameters ? scale[i] : 1) + (bias.Length > 0 ? bias[i] : 0);
                // A single element is its own mean: what is left is its rounding error times 1/√ε.
                Assert.That(y[r * n + i], Is.EqualTo(exact).Within(Tolerance.Normalized(n)), $"row {r} element {i}");
            }
        }
        float[] inPlace = [.. x];
        NormalizeKernels.Rows(inPlace, n, scale, bias, Epsilon, centred, inPlace, [], [], cpu, new Parallelism(TestPool.Four, 4));
        Assert.That(inPlace, Is.EqualTo(y));
    }

    [TestCase(2, 30, 12, 12)]
    [TestCase(1, 49, 40, 8)]
    [TestCase(3, 5, 35, 5)]
    [TestCase(1, 64, 16, 1)]
    public void GroupsMatchDouble(int batch, int pixels, int channels, int groups)
    {
        foreach (VectorWidth width in VectorWidths.Usable(Octet.Kernels.Cpu.CpuInfo.Detected))
        {
            var random = new Random(4);
            float[] x = [.. random.Floats(batch * pixels * channels).Select(v => v + 0.5f)], scale = random.Floats(channels), bias = random.Floats(channels), y = new float[x.Length];
            NormalizeKernels.ChannelsLastGroups(x, batch, pixels, channels, groups, scale, bias, Epsilon, y, new float[2 * batch * channels], Widths.Require(width), new Parallelism(TestPool.Four, 2));
            int size = channels / groups;
            for (int n = 0; n < batch; n++)
            {
                for (int g = 0; g < groups; g++)
                {
                    int[] at = [.. Enumerable.Range(0, pixels).SelectMany(p => Enumerable.Range(g * size, size).Select(c => (n * pixels + p) * channels + c))];
                    double mean = at.Average(i => (double)x[i]), inverse = 1 / Math.Sqrt(at.Average(i => (x[i] - mean) * (x[i] - mean)) + Epsilon);
                    foreach (int i in at) Assert.That(y[i], Is.EqualTo((x[i] - mean) * inverse * scale[i % channels] + bias[i % channels]).Within(Tolerance.Normalized(at.Length)));
                }
            }
        }
    }

    [TestCase(1)]
    [TestCase(4)]
    [TestCase(5)]
    public void LocalResponseMatchesDouble(int size)
    {
        const int channels = 11;
        float[] x = new Random(1).Floats(3 * channels, 2f), y = new float[x.Length];
        NormalizeKernels.LocalResponse(x, channels, size, 0.01f, 0.75f, 1.5f, y, Parallelism.None);
        for (int i = 0; i < x.Length; i++)
        {
            int c = i % channels, first = Math.Max(0, c - (size - 1) / 2), end = Math.Min(channels - 1, c + size - 1 - (size - 1) / 2);
            double sum = 0;
            for (int j = first; j <= end; j++) sum += (double)x[i - c + j] * x[i - c + j];
            Assert.That(y[i], Is.EqualTo(x[i] / Math.Pow(1.5 + 0.01 / size * sum, 0.75)).Within(Tolerance.Activation(x[i])));
        }
    }
}
