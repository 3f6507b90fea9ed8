using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.Memory;
using Octet.Kernels.Requantize;

namespace Octet.Kernels.QConv;

/// <summary>One row of the depthwise table.</summary>
/// <param name="Name">Types and instruction set.</param>
/// <param name="Requires">CPU features, all of them needed.</param>
/// <param name="Throughput">Relative speed.</param>
/// <param name="Epilogue">The requantization of the same instruction set.</param>
internal sealed record QDepthwiseKernel(string Name, CpuFeatures Requires, float Throughput, QEpilogueKernel Epilogue);

/// <summary>Every depthwise kernel.</summary>
internal static class QDepthwiseKernels
{
    /// <summary>The table; the scalar kernel is last and always usable.</summary>
    public static readonly QDepthwiseKernel[] All =
    [
        new("u8s8s32-depthwise-scalar", CpuFeatures.None, 1f, QEpilogueKernel.Scalar),
    ];

    /// <summary>The fastest usable kernel.</summary>
    public static QDepthwiseKernel Select(ConvShape shape, CpuFeatures cpu) => All.First(kernel => (kernel.Requires & ~cpu) == 0);
}

/// <summary>Depthwise filters <c>[taps][O]</c> with their zero points subtracted, and their sums.</summary>
internal sealed unsafe class QDepthwiseWeights
{
    private readonly AlignedBuffer _taps;
    private readonly AlignedBuffer _sums;

    /// <summary>Packs <c>[O, 1, KD, KH, KW]</c>.</summary>
    public QDepthwiseWeights(QDepthwiseKernel kernel, ConvShape shape, byte* source, byte flip, ReadOnlySpan<int> zeroPoints)
    {
        Kernel = kernel;
        int channels = shape.OutChannels, taps = shape.Taps;
        _taps = new AlignedBuffer((long)channels * taps * sizeof(int));
        _sums = new AlignedBuffer((long)channels * sizeof(int));
        for (int o = 0; o < channels; o++)
        {
            int zeroPoint = zeroPoints.Length == 0 ? 0 : zeroPoints[zeroPoints.Length == 1 ? 0 : o];
            if (flip != 0) zeroPoint -= 128;
            for (int tap = 0; tap < taps; tap++)
            {
                int value = unchecked((sbyte)(source[o * taps + tap] ^ flip) - zeroPoint);
                Taps[tap * channels + o] = value;
                Sums[o] = unchecked(Sums[o] + value);
            }
        }
    }

    /// <summary>The kernel that the layout is for.</summary>
    public QDepthwiseKernel Kernel { get; }

    /// <summary>Bytes of packed weights.</summary>
    public long Bytes => _taps.Length;

    internal int* Taps => (int*)_taps.Pointer;

    /// <summary>Σ over the taps of every filter.</summary>
    internal int* Sums => (int*)_sums.Pointer;
}
