using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Memory;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.SGemm;

[TestFixtureSource(typeof(SGemmKernels), nameof(SGemmKernels.All))]
internal sealed class SGemmKernelTests(SGemmKernel kernel)
{
    private static readonly int[] Depths = [0, 1, 2, 7, 64];

    [SetUp]
    public void SkipIfUnsupported()
    {
        if ((kernel.Requires & ~CpuInfo.Detected) != 0) Assert.Ignore($"{kernel.Name} needs {kernel.Requires}");
    }

    private int[] Rows => [1, 2, 3, kernel.Mr - 1, kernel.Mr, kernel.Mr + 1, 2 * kernel.Mr + 1];

    private int[] Columns => [1, 2, kernel.Lanes - 1, kernel.Lanes, kernel.Lanes + 1, kernel.Nr - 1, kernel.Nr, kernel.Nr + 1, 2 * kernel.Nr + kernel.Lanes];

    [Test]
    public void MatchesTheDoubleReferenceAroundTileEdges([ValueSource(nameof(Depths))] int k, [Values] bool transposed)
    {
        foreach (int m in Rows)
        {
            foreach (int n in Columns.Where(n => n > 0))
            {
                var random = new Random(m * 73856093 ^ n * 19349663 ^ k);
                float[] a = random.Floats(m * k), b = random.Floats(k * n);
                double[] expected = SGemmReference.Multiply(a, b, m, n, k);
                float[] packed = transposed ? Transposed(b, k, n) : b;
                SGemmWeights w = SGemmWeights.Pack(packed, k, n, transposed, kernel);
                var y = new float[m * n];
                SGemmDriver.Run(a, Math.Max(1, k), m, w, SEpilogue.None(n), [], y, n, [], Parallelism.None);
                Close.Assert(y, expected, Tolerance.Gemm(k, 1, 1), Tolerance.GemmMean(k, 1, 1), $"m={m} n={n} k={k}");
            }
        }
    }

    [Test]
    public void EpilogueAddsBiasAndSumThenActivates(
        [Values(UnaryOperation.Identity, UnaryOperation.Relu, UnaryOperation.Clip, UnaryOperation.LeakyRelu)] UnaryOperation activation,
        [Values] bool withSum, [Values] bool activationFirst, [Values] bool inPlace)
    {
        const int k = 19;
        const float alpha = -0.25f, beta = 0.5f;
        int m = kernel.Mr + 2, n = kernel.Nr + kernel.Lanes / 2 + 1, ldy = n + 3;
        var random = new Random(7);
        float[] a = random.Floats(m * k), b = random.Floats(k * n), bias = random.Floats(n), sum = random.Floats(m * ldy);
        double[] expected = SGemmReference.Multiply(a, b, m, n, k);
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double value = expected[i * n + j] + bias[j];
                if (withSum && !activationFirst) value += sum[i * ldy + j];
                value = activation switch
                {
                    UnaryOperation.Relu => Math.Max(0, value),
                    UnaryOperation.Clip => Math.Clamp(value, alpha, beta),
                    UnaryOperation.LeakyRelu => value < 0 ? value * alpha : value,
                    _ => value,
                };
                if (withSum && activationFirst) value += sum[i * ldy + j];
                expected[i * n + j] = value;
            }
        }

        SGemmWeights w = SGemmWeights.Pack(b, k, n, false, kernel);
        var e = new SEpilogue(n, bias, activation, alpha, beta, activationFirst, CpuInfo.Detected & kernel.Requires);
        float[] y = inPlace ? [.. sum] : [.. Enumerable.Repeat(123f, m * ldy)];
        float[] before = [.. y];
        SGemmDriver.Run(a, k, m, w, e, !withSum ? [] : inPlace ? y : sum, y, ldy, [], Parallelism.None, ldy);

        var dense = new float[m * n];
        for (int i = 0; i < m; i++)
        {
            y.AsSpan(i * ldy, n).CopyTo(dense.AsSpan(i * n));
            Assert.That(y[(i * ldy + n)..Math.Min(y.Length, (i + 1) * ldy)], Is.EqualTo(before[(i * ldy + n)..Math.Min(y.Length, (i + 1) * ldy)]), "written between rows");
        }
        Close.Assert(dense, expected, Tolerance.Gemm(k + 2, 1, 1), Tolerance.GemmMean(k, 1, 1), activation.ToString());
    }

    [Test]
    public void BitsDoNotDependOnThreadsOrOnTheRowsAround([Values(1, 5, 67)] int m)
    {
        const int k = 300;
        int n = 5 * kernel.Nr + 3;
        var random = new Random(3);
        float[] a = random.Floats(m * k), b = random.Floats(k * n);
        SGemmWeights w = SGemmWeights.Pack(b, k, n, false, kernel);
        var one = new float[m * n];
        SGemmDriver.Run(a, k, m, w, SEpilogue.None(n), [], one, n, [], Parallelism.None);
        foreach (int threads in (int[])[2, 3, 4])
        {
            var many = new float[m * n];
            SGemmDriver.Run(a, k, m, w, SEpilogue.None(n), [], many, n, [], new Parallelism(TestPool.Four, threads));
            Assert.That(many, Is.EqualTo(one), $"{threads} threads");
        }
        var single = new float[n];
        for (int i = 0; i < m; i++)
        {
            SGemmDriver.Run(a.AsSpan(i * k, k), k, 1, w, SEpilogue.None(n), [], single, n, [], Parallelism.None);
            Assert.That(single, Is.EqualTo(one[(i * n)..((i + 1) * n)]), $"row {i}");
        }
    }

    [Test]
    public void ClampsKeepNaN()
    {
        float[] a = [float.NaN, 1f], b = [1f, 2f];
        SGemmWeights w = SGemmWeights.Pack(b, 1, 2, false, kernel);
        var y = new float[4];
        SGemmDriver.Run(a, 1, 2, w, new SEpilogue(2, [], UnaryOperation.Relu, 0, 0, false, CpuFeatures.None), [], y, 2, [], Parallelism.None);
        Assert.That(y, Is.EqualTo(new[] { float.NaN, float.NaN, 1f, 2f }));
    }

    private static float[] Transposed(float[] b, int k, int n)
    {
        var t = new float[k * n];
        for (int i = 0; i < k; i++)
            for (int j = 0; j < n; j++) t[j * k + i] = b[i * n + j];
        return t;
    }
}

internal sealed class SGemmSelectorTests
{
    [TestCase(CpuFeatures.None, "f32-4x2-scalar")]
    [TestCase(CpuFeatures.Vector128, "f32-6x8-vector128")]
    [TestCase(CpuFeatures.Vector128 | CpuFeatures.Sse41 | CpuFeatures.Avx2 | CpuFeatures.Fma, "f32-6x16-avx2")]
    [TestCase(CpuFeatures.Vector128 | CpuFeatures.Sse41 | CpuFeatures.Avx2 | CpuFeatures.Fma | CpuFeatures.Avx512, "f32-12x32-avx512")]
    public void PicksTheWidestTileThatTheCpuHas(CpuFeatures cpu, string expected) =>
        Assert.That(SGemmKernels.Select(128, 256, 256, cpu).Name, Is.EqualTo(expected));

    [Test]
    public void ShortSpansAreRefused()
    {
        SGemmWeights w = SGemmWeights.Pack(new float[6], 2, 3, false, SGemmKernels.Select(1, 3, 2, CpuFeatures.None));
        Assert.That(() => SGemmDriver.Run(new float[3], 2, 2, w, SEpilogue.None(3), [], new float[6], 3, [], Parallelism.None), Throws.ArgumentException);
        Assert.That(() => SGemmDriver.Run(new float[4], 2, 2, w, SEpilogue.None(3), [], new float[5], 3, [], Parallelism.None), Throws.ArgumentException);
        Assert.That(() => SGemmWeights.Pack(new float[5], 2, 3, false, SGemmKernels.Select(1, 3, 2, CpuFeatures.None)), Throws.ArgumentException);
    }
}
