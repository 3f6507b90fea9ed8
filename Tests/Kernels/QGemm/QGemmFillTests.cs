using System.Runtime.InteropServices;
using Octet.Kernels.QGemm;

namespace Octet.Tests.Kernels.QGemm;

/// <summary>Room filled at run time holds what weights packed once hold; on any CPU, for kernels of others too.</summary>
internal sealed class QGemmFillTests
{
    private static IEnumerable<string> ByteKernels() => QGemmKernels.All.Where(kernel => kernel.Packing == QGemmPacking.Bytes).Select(kernel => kernel.Name);

    [Test]
    public void FilledEqualsPacked([ValueSource(nameof(ByteKernels))] string name, [Values(1, 3, 4, 16, 30, 64, 131)] int k, [Values(1, 15, 16, 33, 70)] int n, [Values] bool transposed, [Values] bool signed)
    {
        QGemmKernel kernel = QGemmKernels.Find(name);
        byte[] b = new Random(k * 1000 + n).Bytes(k * n);
        for (int i = 0; i < Math.Min(b.Length, 8); i++) b[i] = (byte)(i % 2 == 0 ? 0x80 : 0x7F);
        QGemmWeights packed = signed ? QGemmWeights.Pack(MemoryMarshal.Cast<byte, sbyte>(b), k, n, transposed, [], kernel) : QGemmWeights.Pack(b, k, n, transposed, [], kernel);
        QGemmWeights filled = QGemmWeights.Create(k, n, kernel);
        filled.Fill(new Random(7).Bytes(k * n), !transposed, !signed, [3]);   // what was there before must not matter
        filled.Fill(b, transposed, signed, []);
        for (int panel = 0; panel < packed.Panels; panel++)
        {
            Assert.That(filled.Content(panel).Sums, Is.EqualTo(packed.Content(panel).Sums), $"sums of panel {panel}");
            Assert.That(filled.Content(panel).Bytes, Is.EqualTo(packed.Content(panel).Bytes), $"panel {panel}");
        }
    }
}
