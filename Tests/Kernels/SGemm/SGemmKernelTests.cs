using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Lanes;
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

    private int[] Columns => [1, 2, kernel.Lanes - 1, kernel.Lanes, kernel.Lanes + 1, kernel.Nr - 1, kernel.Nr, kernel.Nr + 1, 2 * kernel.Nr + kernel.Lanes, 5 * kernel.Nr + 1];

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
        [Values] bool withSum, [Values] bool activationFirst, [Values] bool inPlace, [Values] bool oneRow, [Values] bool manyPanels)
    {
        const int k = 19;
        const float alpha = -0.25f, beta = 0.5f;
        int m = oneRow ? 1 : kernel.Mr + 2, n = (manyPanels ? 5 : 1) * kernel.Nr + kernel.Lanes / 2 + 1, ldy = n + 3;
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
    public void BitsDoNotDependOnThreadsOrOnTheRowsAround([Values(1, 5, 67)] int m, [Values(300, 1700)] int k)
    {
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

internal sealed class SGemmBatchTests
{
    private static readonly (int M, int N, int K)[] Extents = [(1, 1, 1), (5, 7, 3), (13, 33, 17), (50, 40, 64), (1, 70, 20), (3, 4, 0), (64, 128, 800)];

    [Test]
    public void MatchesTheDefinition([ValueSource(nameof(Extents))] (int M, int N, int K) s, [Values] bool transposeA, [Values] bool transposeB,
        [ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width, [Values(1, 5)] int items)
    {
        const float alpha = 0.25f;
        (int m, int n, int k) = s;
        CpuFeatures cpu = Widths.Require(width);
        int lda = (transposeA ? m : k) + 3, ldb = (transposeB ? k : n) + 2, ldy = n + 1;
        int aSize = (transposeA ? k : m) * lda, bSize = (transposeB ? n : k) * ldb, ySize = m * ldy;
        var random = new Random(m + n + k);
        float[] a = random.Floats(items * aSize + 1), b = random.Floats(2 * bSize + 1), bias = random.Floats(n), y = new float[items * ySize + 1];
        int[] aOffsets = [.. Enumerable.Range(0, items).Select(i => i * aSize + 1)], bOffsets = [.. Enumerable.Range(0, items).Select(i => i % 2 * bSize + 1)];
        int[] yOffsets = [.. Enumerable.Range(0, items).Select(i => i * ySize)];
        Array.Fill(y, 77f);
        SGemmBatch batch = SGemmBatch.Create(new(m, n, k, transposeA, transposeB, alpha, lda, ldb, ldy), aOffsets, bOffsets, yOffsets, SEpilogue.WithBias(bias), cpu);
        batch.Run(a, b, y, new byte[batch.ScratchBytes(1)], Parallelism.None);
        for (int item = 0; item < items; item++)
        {
            var actual = new float[m * n];
            var expected = new double[m * n];
            for (int i = 0; i < m; i++)
            {
                Assert.That(y[yOffsets[item] + i * ldy + n], Is.EqualTo(77f), "written between rows");
                for (int j = 0; j < n; j++)
                {
                    double sum = bias[j];
                    for (int t = 0; t < k; t++)
                        sum += alpha * (double)a[aOffsets[item] + (transposeA ? t * lda + i : i * lda + t)] * b[bOffsets[item] + (transposeB ? j * ldb + t : t * ldb + j)];
                    expected[i * n + j] = sum;
                    actual[i * n + j] = y[yOffsets[item] + i * ldy + j];
                }
            }
            Close.Assert(actual, expected, Tolerance.Gemm(k, 1, 1), Tolerance.GemmMean(k, 1, 1), $"item {item}");
        }
        foreach (int threads in (int[])[2, 4])
        {
            var many = new float[y.Length];
            Array.Fill(many, 77f);
            batch.Run(a, b, many, new byte[batch.ScratchBytes(threads)], new Parallelism(TestPool.Four, threads));
            Assert.That(many, Is.EqualTo(y), $"{threads} threads");
        }
    }

    [Test]
    public void ShortSpansAndBadOffsetsAreRefused()
    {
        SGemmBatchShape shape = SGemmBatchShape.Dense(2, 3, 4, false, false, 1f);
        SEpilogue e = SEpilogue.None(3);
        Assert.That(() => SGemmBatch.Create(shape, [0], [0, 0], [0], e, CpuFeatures.None), Throws.ArgumentException);
        Assert.That(() => SGemmBatch.Create(shape, [-1], [0], [0], e, CpuFeatures.None), Throws.ArgumentException);
        SGemmBatch batch = SGemmBatch.Create(shape, [0, 8], [0, 0], [0, 6], e, CpuFeatures.None);
        var scratch = new byte[batch.ScratchBytes(1)];
        Assert.That(() => batch.Run(new float[15], new float[12], new float[12], scratch, Parallelism.None), Throws.ArgumentException);
        Assert.That(() => batch.Run(new float[16], new float[11], new float[12], scratch, Parallelism.None), Throws.ArgumentException);
        Assert.That(() => batch.Run(new float[16], new float[12], new float[11], scratch, Parallelism.None), Throws.ArgumentException);
        Assert.That(() => batch.Run(new float[16], new float[12], new float[12], new byte[3], Parallelism.None), Throws.ArgumentException);
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
