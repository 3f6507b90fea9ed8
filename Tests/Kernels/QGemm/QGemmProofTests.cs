using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;

namespace Octet.Tests.Kernels.QGemm;

/// <summary>The proof that lets bytes be multiplied in pairs, and what is chosen with it.</summary>
internal sealed class QGemmProofTests
{
    private const CpuFeatures Haswell = CpuFeatures.Vector128 | CpuFeatures.Sse41 | CpuFeatures.Avx2 | CpuFeatures.Fma;

    private static QGemmKernel Pairs => QGemmKernels.Find("u8s8s32-3x16x4-avx2");

    /// <summary>Every pair of weights, against all activations that could be extreme: the rule allows exactly the pairs that never saturate.</summary>
    [Test]
    public void SafeMeansNoActivationsSaturate([Values(1, 127, 128, 200, 254, 255)] int largest)
    {
        for (int b0 = -128; b0 < 128; b0++)
        {
            for (int b1 = -128; b1 < 128; b1++)
            {
                bool fits = true;
                foreach (int a0 in (ReadOnlySpan<int>)[0, largest])
                    foreach (int a1 in (ReadOnlySpan<int>)[0, largest]) fits &= a0 * b0 + a1 * b1 is >= short.MinValue and <= short.MaxValue;
                Assert.That(QGemmProof.IsSafe(b0, b1, largest), Is.EqualTo(fits), $"{b0}, {b1}");
            }
        }
    }

    /// <summary>Groups are safe where every pair of every column is, or every sum of four: what vectors find is what single columns say.</summary>
    [Test]
    public void GroupsAreSafeWhereTheirColumnsAre([Values(1, 3, 4, 16, 17)] int columns, [Values(0, 1, 100, 127, 128, 200, 255)] int largest)
    {
        var random = new Random(columns << 8 | largest);
        sbyte[] one = new sbyte[4 * columns], other = new sbyte[4 * columns];
        for (int i = 0; i < 400; i++)
        {
            int range = random.Next(1, 129);
            foreach (sbyte[] group in new[] { one, other })
                for (int at = 0; at < group.Length; at++) group[at] = (sbyte)(random.Next(20) == 0 ? -128 : random.Next(-range, range));
            bool pairs = true, fours = true;
            for (int at = 0; at < one.Length; at += 2)
            {
                pairs &= QGemmProof.IsSafe(one[at], one[at + 1], largest);
                fours &= QGemmProof.IsSafe(one[at], one[at + 1], other[at], other[at + 1], largest);
            }
            Assert.That(QGemmProof.IsSafe(one, largest), Is.EqualTo(pairs));
            Assert.That(QGemmProof.AreSafe(one, other, largest), Is.EqualTo(fours));
        }
    }

    [TestCase(64, 255, 1.0)]
    [TestCase(128, 127, 1.0)]
    [TestCase(128, 255, 0.0)]
    public void WeightsOrActivationsProveGroups(int largestWeight, int largestActivation, double share)
    {
        var random = new Random(1);
        sbyte[] b = [.. Enumerable.Range(0, 256 * 32).Select(_ => (sbyte)(random.Next(2) == 0 ? -largestWeight : largestWeight - 1))];
        QGemmWeights w = QGemmWeights.Pack(b, 256, 32, false, [], Pairs, largestActivation);
        Assert.That(w.TakesApart, Is.False, "too few columns");
        Assert.That(w.Proof.Share, Is.EqualTo(share).Within(0.001));
        Assert.That(w.Proof.Groups, Is.EqualTo(64 * 2));
    }

    /// <summary>Weights with a few large ones, so that both kinds of group occur in every panel and section.</summary>
    [Test]
    public void MixedGroupsAreExact([Values(1, 4, 5, 23)] int m, [Values(1, 15, 16, 40)] int n, [Values(4, 30, 131, 512)] int k)
    {
        if ((Pairs.Requires & ~CpuInfo.Detected) != 0) Assert.Ignore($"{Pairs.Name} needs {Pairs.Requires}");
        var random = new Random(m ^ n << 8 ^ k << 16);
        sbyte[] b = [.. Enumerable.Range(0, k * n).Select(_ => (sbyte)(random.Next(60) == 0 ? random.Next(-128, 128) : random.Next(-60, 61)))];
        byte[] a = [.. Enumerable.Range(0, m * k).Select(_ => (byte)(random.Next(3) == 0 ? 255 : random.Next(256)))];
        int[] expected = QGemmReference.Multiply(IntegerData.Widen(a), 9, IntegerData.Widen(b), [], m, n, k);
        QGemmWeights w = QGemmWeights.Pack(b, k, n, false, [], Pairs);
        if (k == 512 && n == 16) Assert.That(w.Proof.Share, Is.InRange(0.3, 0.99), "both kinds occur");
        var y = new int[m * n];
        QGemmDriver.Run(a, k, m, w, 9, QEpilogue.ToInt32(n), default, MemoryMarshal.AsBytes(y.AsSpan()), n, new byte[QGemmDriver.ScratchBytes(m, w, 1)], default);
        Assert.That(y, Is.EqualTo(expected));
    }

    [Test]
    public void ActivationsUpTo127AreExactWithAnyWeights()
    {
        if ((Pairs.Requires & ~CpuInfo.Detected) != 0) Assert.Ignore($"{Pairs.Name} needs {Pairs.Requires}");
        foreach (sbyte weight in (ReadOnlySpan<sbyte>)[-128, 127])
        {
            var a = new byte[7 * 200];
            var b = new sbyte[200 * 20];
            Array.Fill(a, (byte)127);
            Array.Fill(b, weight);
            QGemmWeights w = QGemmWeights.Pack(b, 200, 20, false, [], Pairs, 127);
            Assert.That(w.Proof.Share, Is.EqualTo(1));
            var y = new int[7 * 20];
            QGemmDriver.Run(a, 200, 7, w, 0, QEpilogue.ToInt32(20), default, MemoryMarshal.AsBytes(y.AsSpan()), 20, new byte[QGemmDriver.ScratchBytes(7, w, 1)], default);
            Assert.That(y, Is.All.EqualTo(200 * 127 * weight));
        }
    }

    [Test]
    public void TheWeightsDecideAndTheReasonSaysSo()
    {
        var small = new sbyte[256 * 32];
        sbyte[] large = new sbyte[256 * 32], wide = new sbyte[1024 * 64];
        Array.Fill(small, (sbyte)64);
        Array.Fill(large, (sbyte)127);
        for (int i = 0; i < wide.Length; i++) wide[i] = (i / 64 % 8) switch { 0 or 6 => 100, 1 or 7 => 60, _ => 0 };   // pairs of 160, never two in one sum of four
        QGemmWeights proved = QGemmWeights.PackFastest(small, 100, 256, 32, false, [], Haswell), refused = QGemmWeights.PackFastest(large, 100, 256, 32, false, [], Haswell);
        Assert.That(proved.Kernel, Is.SameAs(Pairs));
        Assert.That(proved.Reason, Does.StartWith("100 % of 128 groups"));
        Assert.That(refused.Kernel.Packing, Is.EqualTo(QGemmPacking.Words));
        Assert.That(refused.Reason, Does.StartWith("only 0 % of 128 groups"));
        Assert.That(QGemmWeights.PackFastest(large, 100, 256, 32, false, [], Haswell, largestActivation: 127).Kernel, Is.SameAs(Pairs));
        Assert.That(QGemmWeights.PackFastest(small, 100, 256, 32, false, [], Haswell | CpuFeatures.AvxVnni).Reason, Is.Empty, "VNNI needs no proof");
        QGemmWeights apart = QGemmWeights.PackFastest(wide, 100, 1024, 64, false, [], Haswell);
        Assert.That(apart.Width, Is.EqualTo(184), "sums of 160 are safe up to 204");
        Assert.That(apart.Reason, Does.StartWith("activations are split at 184 of 255, so that 100 % of 1024 groups"));
        Assert.That(QGemmWeights.PackFastest(wide, 100, 1024, 64, false, [3], Haswell).TakesApart, Is.False, "zero points of weights need the sums of whole rows");
    }

    /// <summary>What lies outside the window: nothing, single values on either side, whole rows, everything (which takes the two dense passes).</summary>
    [Test]
    public void RowsTakenApartAreExact([Values(1, 2, 3, 4, 50)] int m, [Values(40, 47, 64)] int n, [Values(40, 77, 200)] int k, [Values(0, 10, 64, 128, 200, 255)] int zeroPoint,
        [Values(0, 1, 10, 100)] int outsidePercent, [Values(128, 184)] int width, [Values] bool signed)
    {
        if ((Pairs.Requires & ~CpuInfo.Detected) != 0) Assert.Ignore($"{Pairs.Name} needs {Pairs.Requires}");
        var random = new Random(m ^ n << 8 ^ k << 16 ^ zeroPoint << 24 ^ outsidePercent);
        sbyte[] b = [.. Enumerable.Range(0, k * n).Select(_ => (sbyte)(random.Next(3) == 0 ? (random.Next(2) == 0 ? -128 : 127) : random.Next(-128, 128)))];
        int shift = signed ? 128 : 0, lowest = Math.Clamp(zeroPoint - 50, 0, 155);
        int[] a = [.. Enumerable.Range(0, m * k).Select(_ => (random.Next(100) < outsidePercent ? (random.Next(2) == 0 ? 255 * random.Next(2) : random.Next(256)) : lowest + random.Next(101)) - shift)];
        QGemmWeights w = QGemmWeights.Pack(b, k, n, false, [], Pairs, width: width);
        Assert.That(w.TakesApart);
        int[] expected = QGemmReference.Multiply(a, zeroPoint - shift, IntegerData.Widen(b), [], m, n, k);
        var y = new int[m * n];
        Span<byte> to = MemoryMarshal.AsBytes(y.AsSpan());
        var scratch = new byte[QGemmDriver.ScratchBytes(m, w, 1, signed)];
        if (signed) QGemmDriver.Run([.. a.Select(value => (sbyte)value)], k, m, w, zeroPoint - shift, QEpilogue.ToInt32(n), default, to, n, scratch, default);
        else QGemmDriver.Run([.. a.Select(value => (byte)value)], k, m, w, zeroPoint, QEpilogue.ToInt32(n), default, to, n, scratch, default);
        Assert.That(y, Is.EqualTo(expected));
    }
}
