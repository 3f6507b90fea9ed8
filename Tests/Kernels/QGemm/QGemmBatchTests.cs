using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.QGemm;

/// <summary>Products of two computed operands on every row of the kernel table, against the definition.</summary>
[TestFixtureSource(typeof(QGemmKernels), nameof(QGemmKernels.All))]
internal sealed class QGemmBatchTests(QGemmKernel kernel)
{
    [SetUp]
    public void IgnoreIfUnsupported()
    {
        if ((kernel.Requires & ~CpuInfo.Detected) != 0) Assert.Ignore($"{kernel.Name} needs {kernel.Requires}");
        if (kernel.Packing != QGemmPacking.Pairs) return;
        Assert.Throws<ArgumentException>(() => QGemmBatch.Create(1, 1, 1, [0], [0], false, QEpilogue.ToInt32(1), CpuInfo.Detected, kernel));
        Assert.Ignore($"{kernel.Name} needs a proof of its weights and was refused");
    }

    [Test]
    public void MatchesReference([Values] bool transposed, [Values] bool signedA, [Values] bool signedB, [Values(0, 1, 2)] int zeroPointsOfB)
    {
        foreach ((int count, int m, int n, int k) in new[] { (1, 1, 1, 1), (3, 5, 33, 7), (2, 13, 17, 64), (5, 12, 65, 31), (1, 25, 16, 130), (2, 3, 4, 2) })
        {
            var random = new Random(count + m * 7 + n * 31 + k * 101);
            byte[] a = random.Bytes(count * m * k), b = random.Bytes(count * n * k);
            int[] zb = zeroPointsOfB switch { 0 => [], 1 => [signedB ? -7 : 131], _ => random.Ints(n, signedB ? -128 : 0, signedB ? 128 : 256) };
            int za = signedA ? -11 : 200;
            int[] bias = random.Ints(n, -1000, 1000);
            // The last product reads the first B, as broadcasting does.
            int[] aOffsets = [.. Enumerable.Range(0, count).Select(i => i * m * k)], bOffsets = [.. Enumerable.Range(0, count).Select(i => i == count - 1 ? 0 : i * n * k)];
            var expected = new List<int>();
            for (int i = 0; i < count; i++)
            {
                int[] left = Widen(a.AsSpan(aOffsets[i], m * k), signedA), right = Widen(b.AsSpan(bOffsets[i], n * k), signedB);
                if (transposed) right = IntegerData.Transpose(right, n, k);
                expected.AddRange(QGemmReference.Multiply(left, za, right, zb, m, n, k).Select((sum, at) => sum + bias[at % n]));
            }
            QGemmBatch batch = QGemmBatch.Create(m, n, k, aOffsets, bOffsets, transposed, QEpilogue.ToInt32(n, bias), CpuInfo.Detected, kernel);
            foreach (int threads in new[] { 1, 2, 4 })
            {
                var p = IntegerData.Threads(threads);
                var y = new int[expected.Count];
                batch.Run(a, signedA, za, b, signedB, zb, default, MemoryMarshal.AsBytes(y.AsSpan()), random.Bytes(batch.ScratchBytes(p.MaxWorkers, signedA)), p);
                Assert.That(y, Is.EqualTo(expected), $"{count} of {m}x{n}x{k}, {threads} threads");
            }
        }
    }

    [Test]
    public void EpilogueAndSumOfEveryProduct()
    {
        const int count = 3, m = 7, n = 19, k = 22;
        var random = new Random(5);
        byte[] a = random.Bytes(count * m * k), b = random.Bytes(count * k * n), sum = random.Bytes(count * m * n);
        QEpilogue epilogue = QEpilogue.ToUInt8(n, [], [0.0021f], 101, 3, 250, new QSum(0.5f, 9));
        QGemmBatch batch = QGemmBatch.Create(m, n, k, [0, m * k, 2 * m * k], [0, k * n, 2 * k * n], false, epilogue, CpuInfo.Detected, kernel);
        byte[] y = new byte[count * m * n];
        batch.Run(a, false, 120, b, false, [77], sum, y, new byte[batch.ScratchBytes(1)], default);
        for (int i = 0; i < count; i++)
        {
            int[] acc = QGemmReference.Multiply(IntegerData.Widen(a.AsSpan(i * m * k, m * k)), 120, IntegerData.Widen(b.AsSpan(i * k * n, k * n)), [77], m, n, k);
            for (int at = 0; at < acc.Length; at++) Assert.That(y[i * m * n + at], Is.EqualTo(RequantizeReference.ToUInt8(epilogue, acc[at], at % n, sum[i * m * n + at])));
        }
    }

    [Test]
    public void IsExactAtExtremes([Values((byte)0, (byte)255)] byte a, [Values((byte)0, (byte)128, (byte)255)] byte b, [Values(0, 255)] int za, [Values(0, 128, 255)] int zb)
    {
        int m = kernel.Mr + 1, n = kernel.Nr + 1, k = 515;
        byte[] aData = [.. Enumerable.Repeat(a, m * k)], bData = [.. Enumerable.Repeat(b, n * k)];
        QGemmBatch batch = QGemmBatch.Create(m, n, k, [0], [0], true, QEpilogue.ToInt32(n), CpuInfo.Detected, kernel);
        var y = new int[m * n];
        batch.Run(aData, false, za, bData, false, [zb], default, MemoryMarshal.AsBytes(y.AsSpan()), new byte[batch.ScratchBytes(1)], default);
        Assert.That(y, Is.All.EqualTo((a - za) * (b - zb) * k));
    }

    [Test]
    public void StaysInsideItsBuffersAndAllocatesNothing()
    {
        const int m = 9, n = 21, k = 30;
        var random = new Random(8);
        byte[] aData = random.Bytes(2 * m * k), bData = random.Bytes(2 * n * k);
        QGemmBatch batch = QGemmBatch.Create(m, n, k, [0, m * k], [0, n * k], false, QEpilogue.ToUInt8(n, [], [0.001f], 100), CpuInfo.Detected, kernel);
        byte[]? first = null;
        foreach (bool atEnd in new[] { true, false })
        {
            using GuardedMemory a = GuardedMemory.Of(aData, atEnd), b = GuardedMemory.Of(bData, atEnd);
            using GuardedMemory y = new(2 * m * n, atEnd), scratch = new(batch.ScratchBytes(1), atEnd);
            batch.Run(a.Span, false, 3, b.Span, false, [100], default, y.Span, scratch.Span, default);
            Assert.That(y.Span.ToArray(), Is.EqualTo(first ??= y.Span.ToArray()));
        }
        byte[] result = new byte[2 * m * n], work = new byte[batch.ScratchBytes(1)];
        int[] zeros = [100];
        batch.Run(aData, false, 3, bData, false, zeros, default, result, work, default);
        long before = GC.GetAllocatedBytesForCurrentThread();
        batch.Run(aData, false, 3, bData, false, zeros, default, result, work, default);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    [Test]
    public void ConcurrentRunsDoNotMeet()
    {
        const int m = 11, n = 40, k = 64;
        QGemmBatch batch = QGemmBatch.Create(m, n, k, [0], [0], true, QEpilogue.ToInt32(n), CpuInfo.Detected, kernel);
        Parallel.For(0, 100, seed =>
        {
            var random = new Random(seed);
            byte[] a = random.Bytes(m * k), b = random.Bytes(n * k);
            var y = new int[m * n];
            batch.Run(a, false, 1, b, true, default, default, MemoryMarshal.AsBytes(y.AsSpan()), new byte[batch.ScratchBytes(1)], default);
            Assert.That(y, Is.EqualTo(QGemmReference.Multiply(IntegerData.Widen(a), 1, IntegerData.Transpose(Widen(b, true), n, k), [], m, n, k)));
        });
    }

    private static int[] Widen(ReadOnlySpan<byte> values, bool signed) => signed ? IntegerData.Widen(MemoryMarshal.Cast<byte, sbyte>(values)) : IntegerData.Widen(values);
}
