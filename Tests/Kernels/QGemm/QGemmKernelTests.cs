using System.Runtime.InteropServices;
using CsCheck;
using Octet.Kernels.Cpu;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.QGemm;

/// <summary>Every row of the table against the definition; integers have one right answer, so there is no tolerance.</summary>
[TestFixtureSource(typeof(QGemmKernels), nameof(QGemmKernels.All))]
internal sealed class QGemmKernelTests(QGemmKernel kernel)
{
    [SetUp]
    public void IgnoreIfUnsupported()
    {
        if ((kernel.Requires & ~CpuInfo.Detected) != 0) Assert.Ignore($"{kernel.Name} needs {kernel.Requires}");
    }

    // Below, at and above one tile of every kernel, and one depth that is no multiple of Kr.
    private static readonly int[] Rows = [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 25];
    private static readonly int[] Columns = [1, 3, 8, 15, 16, 17, 31, 32, 33, 65];
    private static readonly int[] Depths = [1, 2, 4, 7, 64, 67];

    [Test]
    public void MatchesReference([ValueSource(nameof(Rows))] int m)
    {
        foreach (int n in Columns)
        {
            foreach (int k in Depths)
            {
                var random = new Random(m * 73856093 ^ n * 19349663 ^ k);
                byte[] a = random.Bytes(m * k);
                sbyte[] b = random.SBytes(k * n);
                int[] bias = random.Ints(n, -100000, 100000);
                int[] expected = QGemmReference.Multiply(IntegerData.Widen(a), 7, IntegerData.Widen(b), [], m, n, k);
                for (int i = 0; i < expected.Length; i++) expected[i] += bias[i % n];
                Assert.That(Multiply(a, 7, QGemmWeights.Pack(b, k, n, false, [], kernel), bias, m), Is.EqualTo(expected), $"N {n}, K {k}");
            }
        }
    }

    [Test]
    public void IsExactAtExtremes([Values((byte)0, (byte)127, (byte)128, (byte)255)] byte a, [Values((sbyte)-128, (sbyte)-127, (sbyte)127)] sbyte b,
        [Values(0, 128, 255)] int za)
    {
        int m = 2 * kernel.Mr + 1, n = kernel.Nr, k = 1030;
        var aData = new byte[m * k];
        var bData = new sbyte[k * n];
        Array.Fill(aData, a);
        Array.Fill(bData, b);
        int[] c = Multiply(aData, za, QGemmWeights.Pack(bData, k, n, false, [], kernel), [], m);
        Assert.That(c, Is.All.EqualTo((a - za) * b * k));
    }

    [Test]
    public void WrapsLikeInt32([Values(1, 4)] int rows)
    {
        // 255 · −128 · 70000 < −2³¹: the definition is modulo 2³².
        const int k = 70000;
        var a = new byte[rows * k];
        var b = new sbyte[k * 3];
        Array.Fill(a, (byte)255);
        Array.Fill(b, sbyte.MinValue);
        Assert.That(Multiply(a, 0, QGemmWeights.Pack(b, k, 3, false, [], kernel), [], rows), Is.All.EqualTo(unchecked(255 * -128 * k)));
    }

    [Test]
    public void TakesAnyPairOfTypesAndZeroPoints([Values] bool signedA, [Values] bool signedB, [Values(0, 1, 2)] int zeroPointsOfB, [Values] bool transposed)
    {
        var random = new Random(zeroPointsOfB * 4 + (signedA ? 1 : 0) + (signedB ? 2 : 0));
        int m = kernel.Mr + 1, n = kernel.Nr + 3, k = 37, za = signedA ? -5 : 131;
        byte[] a = random.Bytes(m * k), b = random.Bytes(k * n);
        int[] zb = zeroPointsOfB switch
        {
            0 => [],
            1 => [signedB ? 3 : 128],
            _ => random.Ints(n, signedB ? -128 : 0, signedB ? 128 : 256),
        };
        sbyte[] aSigned = MemoryMarshal.Cast<byte, sbyte>(a).ToArray(), bSigned = MemoryMarshal.Cast<byte, sbyte>(b).ToArray();
        int[] expected = QGemmReference.Multiply(signedA ? IntegerData.Widen(aSigned) : IntegerData.Widen(a), za,
            signedB ? IntegerData.Widen(bSigned) : IntegerData.Widen(b), zb, m, n, k);

        QGemmWeights w = signedB
            ? QGemmWeights.Pack(transposed ? IntegerData.Transpose(bSigned, k, n) : bSigned, k, n, transposed, zb, kernel)
            : QGemmWeights.Pack(transposed ? IntegerData.Transpose(b, k, n) : b, k, n, transposed, zb, kernel);
        var y = new int[m * n];
        QEpilogue epilogue = QEpilogue.ToInt32(n);
        var scratch = new byte[QGemmDriver.ScratchBytes(m, w, 1, signedA)];
        if (signedA) QGemmDriver.Run(aSigned, k, m, w, za, epilogue, default, MemoryMarshal.AsBytes(y.AsSpan()), n, scratch, default);
        else QGemmDriver.Run(a, k, m, w, za, epilogue, default, MemoryMarshal.AsBytes(y.AsSpan()), n, scratch, default);
        Assert.That(y, Is.EqualTo(expected));
    }

    [Test]
    public void SameResultForAnyThreadCount([Values(1, 2, 3, 4)] int threads, [Values(1, 5, 300)] int m)
    {
        var random = new Random(m);
        int n = 200, k = 515;
        byte[] a = random.Bytes(m * k);
        sbyte[] b = random.SBytes(k * n);
        int[] zb = random.Ints(n, -3, 3);
        int[] expected = QGemmReference.Multiply(IntegerData.Widen(a), 9, IntegerData.Widen(b), zb, m, n, k);
        Assert.That(Multiply(a, 9, QGemmWeights.Pack(b, k, n, false, zb, kernel), [], m, threads), Is.EqualTo(expected));
    }

    [Test]
    public void StaysInsideItsBuffers([Values(1, 2, 4, 13, 27)] int m, [Values] bool bytes)
    {
        foreach (int n in new[] { 1, 3, 16, 33 })
            foreach (int k in new[] { 1, 2, 3, 5, 15, 64 }) CheckGuarded(m, n, k, bytes);
    }

    private void CheckGuarded(int m, int n, int k, bool bytes)
    {
        var random = new Random(m ^ n << 8 ^ k << 16);
        int lda = k + m % 3, ldy = n + m % 2;
        byte[] aData = random.Bytes((m - 1) * lda + k);
        sbyte[] b = random.SBytes(k * n);
        QGemmWeights w = QGemmWeights.Pack(b, k, n, false, [], kernel);
        QEpilogue epilogue = bytes ? QEpilogue.ToUInt8(n, [], [0.01f], 100, sum: new QSum(0.5f, 3)) : QEpilogue.ToInt32(n);
        var results = new List<byte[]>();
        foreach (bool atEnd in new[] { true, false })
        {
            using GuardedMemory a = GuardedMemory.Of(aData, atEnd);
            using var y = new GuardedMemory(((m - 1) * ldy + n) * epilogue.ElementBytes, atEnd);
            using GuardedMemory sum = GuardedMemory.Of(new Random(5).Bytes((int)epilogue.SumBytes(m)), atEnd);
            using var scratch = new GuardedMemory(QGemmDriver.ScratchBytes(m, w, 1), atEnd);
            y.Span.Fill(0xCC);
            QGemmDriver.Run(a.Span, lda, m, w, 4, epilogue, sum.Span, y.Span, ldy, scratch.Span, default);
            results.Add(y.Span.ToArray());
            for (int row = 0; row + 1 < m; row++)
                Assert.That(y.Span.Slice((row * ldy + n) * epilogue.ElementBytes, (ldy - n) * epilogue.ElementBytes).ToArray(), Is.All.EqualTo(0xCC), "between rows");
        }
        Assert.That(results[1], Is.EqualTo(results[0]));
    }

    /// <summary>Products far beyond the bytes on either side, with every clamp: what saturates on the way must not come back at the other end.</summary>
    [Test]
    public void BytesAreTheDefinitionWhereProductsAreLarge([Values(0, 1, 128, 255)] int zeroPoint, [Values(0.0003f, 0.2f, 0.99f, 1.5f, -0.99f)] float multiplier, [Values] bool clamps, [Values] bool adds)
    {
        const int m = 7, k = 8;
        foreach (int n in new[] { 3, 8, 16, 40 })
        {
            var random = new Random(n ^ zeroPoint << 8);
            int[] bias = [.. Enumerable.Range(0, n).Select(i => (i % 8) switch { 0 => int.MaxValue, 1 => int.MinValue, 2 => int.MaxValue - 40000, 3 => 40000, 4 => -40000, 5 => 33000, _ => random.Next(-300000, 300000) })];
            byte[] a = random.Bytes(m * k), sum = random.Bytes(m * n), y = new byte[m * n];
            sbyte[] b = random.SBytes(k * n);
            QSum? operand = adds ? new QSum(0.7f, 9, Intermediate: new QIntermediate(0.6f, 100, IsSecond: n == 16)) : null;
            QEpilogue epilogue = QEpilogue.ToUInt8(n, bias, [multiplier], zeroPoint, clamps ? zeroPoint / 2 : 0, clamps ? 200 + zeroPoint / 5 : 255, operand);
            QGemmWeights w = QGemmWeights.Pack(b, k, n, false, [], kernel);
            QGemmDriver.Run(a, k, m, w, 3, epilogue, sum, y, n, new byte[QGemmDriver.ScratchBytes(m, w, 1)], default);
            int[] products = QGemmReference.Multiply(IntegerData.Widen(a), 3, IntegerData.Widen(b), [], m, n, k);
            for (int i = 0; i < y.Length; i++)
                Assert.That(y[i], Is.EqualTo(RequantizeReference.ToUInt8(epilogue, unchecked(products[i] + bias[i % n]), i % n, sum[i])), $"row {i / n}, column {i % n} of {n}");
        }
    }

    [Test]
    public void EmptyExtentsAreNoError([Values(0, 3)] int m, [Values(0, 3)] int n, [Values(0, 3)] int k)
    {
        int[] bias = Enumerable.Range(5, n).ToArray();
        int[] c = Multiply(new byte[m * k], 3, QGemmWeights.Pack(new sbyte[k * n], k, n, false, [], kernel), bias, m);
        Assert.That(c, Is.EqualTo(Enumerable.Range(0, m * n).Select(i => bias[i % n])));
    }

    [Test]
    public void RandomProducts()
    {
        Gen.Select(Gen.Int[1, 40], Gen.Int[1, 70], Gen.Int[1, 130], Gen.Int[0, 255], Gen.Int[1, 4], Gen.Int[0, 1000]).Sample((m, n, k, za, threads, seed) =>
        {
            var random = new Random(seed);
            byte[] a = random.Bytes(m * k);
            sbyte[] b = random.SBytes(k * n);
            int[] zb = seed % 3 == 0 ? random.Ints(n, -128, 128) : [];
            int[] expected = QGemmReference.Multiply(IntegerData.Widen(a), za, IntegerData.Widen(b), zb, m, n, k);
            return Multiply(a, za, QGemmWeights.Pack(b, k, n, false, zb, kernel), [], m, threads).AsSpan().SequenceEqual(expected);
        }, iter: 200, threads: 1);
    }

    [Test]
    public void RunningAllocatesNothing()
    {
        int m = 20, n = 40, k = 30;
        QGemmWeights w = QGemmWeights.Pack(new sbyte[k * n], k, n, false, [], kernel);
        QEpilogue epilogue = QEpilogue.ToUInt8(n, [], [0.5f], 3);
        byte[] a = new byte[m * k], y = new byte[m * n], scratch = new byte[QGemmDriver.ScratchBytes(m, w, 1)];
        QGemmDriver.Run(a, k, m, w, 3, epilogue, default, y, n, scratch, default);
        long before = GC.GetAllocatedBytesForCurrentThread();
        QGemmDriver.Run(a, k, m, w, 3, epilogue, default, y, n, scratch, default);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    [Test]
    public void RefusesWhatDoesNotFit()
    {
        QGemmWeights w = QGemmWeights.Pack(new sbyte[12], 4, 3, false, [], kernel);
        QEpilogue e = QEpilogue.ToInt32(3);
        byte[] scratch = new byte[QGemmDriver.ScratchBytes(2, w, 1)];
        Assert.Throws<ArgumentException>(() => QGemmDriver.Run(new byte[7], 4, 2, w, 0, e, default, new byte[24], 3, scratch, default));
        Assert.Throws<ArgumentException>(() => QGemmDriver.Run(new byte[8], 3, 2, w, 0, e, default, new byte[24], 3, scratch, default));
        Assert.Throws<ArgumentException>(() => QGemmDriver.Run(new byte[8], 4, 2, w, 0, e, default, new byte[23], 3, scratch, default));
        Assert.Throws<ArgumentException>(() => QGemmDriver.Run(new byte[8], 4, 2, w, 0, e, default, new byte[24], 3, scratch.AsSpan(1), default));
        Assert.Throws<ArgumentException>(() => QGemmDriver.Run(new byte[8], 4, 2, w, 0, QEpilogue.ToInt32(2), default, new byte[24], 3, scratch, default));
        Assert.Throws<ArgumentException>(() => QGemmWeights.Pack(new sbyte[11], 4, 3, false, [], kernel));
        Assert.Throws<ArgumentException>(() => QGemmWeights.Pack(new sbyte[12], 4, 3, false, [1, 2], kernel));
    }

    private static int[] Multiply(byte[] a, int za, QGemmWeights w, int[] bias, int m, int threads = 1)
    {
        var y = new int[m * w.Columns];
        var p = IntegerData.Threads(threads);
        var scratch = new byte[QGemmDriver.ScratchBytes(m, w, p.MaxWorkers)];
        QGemmDriver.Run(a, w.Depth, m, w, za, QEpilogue.ToInt32(w.Columns, bias), default, MemoryMarshal.AsBytes(y.AsSpan()), w.Columns, scratch, p);
        return y;
    }
}
