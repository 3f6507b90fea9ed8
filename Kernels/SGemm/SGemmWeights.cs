using System.Runtime.Intrinsics;
using Octet.Kernels.Layout;
using Octet.Kernels.Memory;

namespace Octet.Kernels.SGemm;

/// <summary>Where the elements of a logical <c>B[taps · depth, n]</c> lie in memory: <c>B[(t, d), j] = b[t·TapStride + d·DepthStride + j·ColumnStride]</c>.</summary>
internal readonly record struct SGemmSource(int Taps, int Depth, int N, nint TapStride, nint DepthStride, nint ColumnStride)
{
    /// <summary><c>taps · depth</c>.</summary>
    public int K => Taps * Depth;

    /// <summary>A matrix, <c>[K, N]</c> in memory, or <c>[N, K]</c> if transposed, with row stride <paramref name="ldb"/>.</summary>
    public static SGemmSource Matrix(int k, int n, int ldb, bool transposed) =>
        transposed ? new(1, k, n, 0, 1, ldb) : new(1, k, n, 0, ldb, 1);
}

/// <summary>
/// A constant B of a float matrix product, packed for one kernel: panels of <c>Nr</c> columns, each <c>[K][Nr]</c>; the last panel is
/// one vector wide where that is enough, and its missing columns are zero. Immutable, shared between threads and sessions.
/// </summary>
internal sealed unsafe class SGemmWeights
{
    private readonly AlignedBuffer _data;

    private SGemmWeights(SGemmKernel kernel, int k, int n, AlignedBuffer data)
    {
        Kernel = kernel;
        K = k;
        N = n;
        _data = data;
    }

    /// <summary>The kernel that reads this packing.</summary>
    public SGemmKernel Kernel { get; }

    /// <summary>Depth.</summary>
    public int K { get; }

    /// <summary>Columns.</summary>
    public int N { get; }

    /// <summary>Memory held.</summary>
    public long Bytes => _data.Length;

    /// <summary>The panels.</summary>
    internal float* Panels => (float*)_data.Pointer;

    /// <summary>Packs <paramref name="b"/>.</summary>
    /// <param name="b">Logical <c>[K, N]</c>; in memory <c>[N, K]</c> where <paramref name="transposed"/>.</param>
    /// <param name="k">Depth.</param>
    /// <param name="n">Columns.</param>
    /// <param name="transposed">Whether memory holds columns instead of rows.</param>
    /// <param name="kernel">Who will read it.</param>
    /// <exception cref="ArgumentException"><paramref name="b"/> does not have <c>k · n</c> elements.</exception>
    public static SGemmWeights Pack(ReadOnlySpan<float> b, int k, int n, bool transposed, SGemmKernel kernel)
    {
        if (b.Length != (long)k * n) throw new ArgumentException($"b has {b.Length} elements for {k} × {n}", nameof(b));
        return Pack(b, SGemmSource.Matrix(k, n, transposed ? k : n, transposed), kernel);
    }

    /// <summary>Panels of zeros, for who fills them itself before anybody reads them.</summary>
    internal static SGemmWeights Zero(int k, int n, SGemmKernel kernel) => new(kernel, k, n, new AlignedBuffer(SGemmPacking.Floats(k, n, kernel) * sizeof(float)));

    /// <summary>Packs a B of any strides.</summary>
    internal static SGemmWeights Pack(ReadOnlySpan<float> b, SGemmSource source, SGemmKernel kernel)
    {
        var data = new AlignedBuffer(SGemmPacking.Floats(source.K, source.N, kernel) * sizeof(float));
        int panels = SGemmPacking.Panels(source.N, kernel);
        fixed (float* bp = b)
        {
            for (int panel = 0; panel < panels; panel++) SGemmPacking.PackPanel(bp, source, panel, 1f, kernel, (float*)data.Pointer);
        }
        return new(kernel, source.K, source.N, data);
    }
}

/// <summary>The layout of packed panels.</summary>
internal static unsafe class SGemmPacking
{
    /// <summary>Panels of <paramref name="n"/> columns.</summary>
    public static int Panels(int n, SGemmKernel kernel) => (n + kernel.Nr - 1) / kernel.Nr;

    /// <summary>Floats of all panels.</summary>
    public static long Floats(int k, int n, SGemmKernel kernel)
    {
        int full = n / kernel.Nr, rest = n - full * kernel.Nr;
        return ((long)full * kernel.Nr + (rest > 0 ? kernel.PanelWidth(rest) : 0)) * k;
    }

    /// <summary>Packs one panel, multiplying by <paramref name="alpha"/>; panel p begins at float <c>p · Nr · K</c>.</summary>
    public static void PackPanel(float* b, in SGemmSource source, int panel, float alpha, SGemmKernel kernel, float* panels)
    {
        int first = panel * kernel.Nr, columns = Math.Min(kernel.Nr, source.N - first), width = kernel.PanelWidth(columns);
        float* target = panels + (nint)first * source.K;
        for (int tap = 0; tap < source.Taps; tap++)
        {
            float* origin = b + tap * source.TapStride + first * source.ColumnStride;
            float* rows = target + (nint)tap * source.Depth * width;
            if (source.ColumnStride == 1)
            {
                for (int d = 0; d < source.Depth; d++)
                {
                    var from = new ReadOnlySpan<float>(origin + d * source.DepthStride, columns);
                    var to = new Span<float>(rows + (nint)d * width, width);
                    if (alpha == 1f) from.CopyTo(to);
                    else for (int j = 0; j < columns; j++) to[j] = alpha * from[j];
                    to[columns..].Clear();
                }
                continue;
            }
            int whole = 0, wholeDepth = 0;
            if (source.DepthStride == 1 && Vector128.IsHardwareAccelerated)
            {
                (whole, wholeDepth) = (columns & ~3, source.Depth & ~3);
                for (int j = 0; j < whole; j += 4)
                {
                    float* from = origin + j * source.ColumnStride;
                    for (int d = 0; d < wholeDepth; d += 4) TransposeBlocks.Four(from + d, source.ColumnStride, rows + (nint)d * width + j, width, Vector128.Create(alpha));
                }
            }
            for (int j = 0; j < width; j++)
            {
                float* from = origin + j * source.ColumnStride;
                float* to = rows + j;
                int done = j < whole ? wholeDepth : 0;
                if (j >= columns) for (int d = 0; d < source.Depth; d++) to[(nint)d * width] = 0f;
                else for (int d = done; d < source.Depth; d++) to[(nint)d * width] = alpha * from[d * source.DepthStride];
            }
        }
    }
}
