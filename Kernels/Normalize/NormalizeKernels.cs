using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Lanes;
using Octet.Kernels.Threading;

namespace Octet.Kernels.Normalize;

/// <summary>Normalizations of float tensors.</summary>
/// <remarks>
/// <code>
///   layer, group, instance   y = (x − μ) / √(σ² + ε) · scale + bias       μ, σ² over the normalized elements, σ² in a second pass
///   RMS                      y = x / √(mean x² + ε) · scale
///   LRN                      y = x / (bias + α/size · Σ x²)^β            Σ over a window of channels
/// </code>
/// Sums are taken per register lane in ascending order, so results do not depend on threads.
/// </remarks>
internal static unsafe class NormalizeKernels
{
    private const int PieceWork = 16384;

    /// <summary>Normalizes each row of <c>[rows, n]</c>: LayerNormalization, or RMSNormalization where <paramref name="centred"/> is false.</summary>
    /// <param name="x">Rows.</param>
    /// <param name="n">Elements of a row.</param>
    /// <param name="scale">One per element of a row, or empty for 1.</param>
    /// <param name="bias">One per element of a row, or empty for 0.</param>
    /// <param name="epsilon">ε.</param>
    /// <param name="centred">Whether the mean is subtracted.</param>
    /// <param name="y">As many elements as x; may be x itself.</param>
    /// <param name="means">Receives μ per row, or empty.</param>
    /// <param name="inverses">Receives 1/√(σ² + ε) per row, or empty.</param>
    /// <param name="cpu">The CPU.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">Lengths do not agree.</exception>
    public static void Rows(ReadOnlySpan<float> x, int n, ReadOnlySpan<float> scale, ReadOnlySpan<float> bias, float epsilon, bool centred,
        Span<float> y, Span<float> means, Span<float> inverses, CpuFeatures cpu, Parallelism p)
    {
        if (x.Length == 0) return;
        if (n <= 0 || x.Length % n != 0 || y.Length < x.Length) throw new ArgumentException($"x has {x.Length} elements and y {y.Length} for rows of {n}");
        int rows = x.Length / n;
        RequireParameters(scale.Length, bias.Length, n);
        if ((means.Length != 0 && means.Length < rows) || (inverses.Length != 0 && inverses.Length < rows))
            throw new ArgumentException($"{means.Length} means and {inverses.Length} inverses for {rows} rows");
        fixed (float* xp = x, yp = y, sp = scale, bp = bias, mp = means, ip = inverses)
        {
            var work = new RowPieces
            {
                Arguments = new RowArguments
                {
                    X = xp,
                    Y = yp,
                    Scale = scale.IsEmpty ? null : sp,
                    Bias = bias.IsEmpty ? null : bp,
                    Means = means.IsEmpty ? null : mp,
                    Inverses = inverses.IsEmpty ? null : ip,
                    N = n,
                    Epsilon = epsilon,
                    Centred = centred,
                },
                Total = rows,
                Block = (int)Math.Clamp(PieceWork / n, 1, rows),
                Kernel = VectorWidths.Select(cpu) switch
                {
                    VectorWidth.V512 => &NormalizeLoop<Lanes512, Vector512<float>>.Rows,
                    VectorWidth.V256 => &NormalizeLoop<Lanes256, Vector256<float>>.Rows,
                    VectorWidth.V128 => &NormalizeLoop<Lanes128, Vector128<float>>.Rows,
                    _ => &NormalizeLoop<ScalarLanes, float>.Rows,
                },
            };
            p.For(ref work, (rows + work.Block - 1) / work.Block);
        }
    }

    /// <summary>
    /// Normalizes each (image, group) of a channels-last tensor <c>[batch, pixels, channels]</c> over its pixels and channels:
    /// GroupNormalization, and InstanceNormalization where groups = channels.
    /// </summary>
    /// <param name="x">Input.</param>
    /// <param name="batch">Images.</param>
    /// <param name="pixels">Positions of an image.</param>
    /// <param name="channels">Channels.</param>
    /// <param name="groups">Divides channels.</param>
    /// <param name="scale">One per channel, or empty for 1.</param>
    /// <param name="bias">One per channel, or empty for 0.</param>
    /// <param name="epsilon">ε.</param>
    /// <param name="y">As many elements as x; may be x itself.</param>
    /// <param name="scratch">At least <c>2 · batch · channels</c> floats.</param>
    /// <param name="cpu">The CPU.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">Lengths do not agree.</exception>
    public static void ChannelsLastGroups(ReadOnlySpan<float> x, int batch, int pixels, int channels, int groups, ReadOnlySpan<float> scale,
        ReadOnlySpan<float> bias, float epsilon, Span<float> y, Span<float> scratch, CpuFeatures cpu, Parallelism p)
    {
        long total = (long)batch * pixels * channels;
        if (x.Length < total || y.Length < total || groups <= 0 || channels % groups != 0 || scratch.Length < 2L * batch * channels)
            throw new ArgumentException($"x {x.Length}, y {y.Length}, scratch {scratch.Length} for [{batch}, {pixels}, {channels}] in {groups} groups");
        RequireParameters(scale.Length, bias.Length, channels);
        if (total == 0) return;
        fixed (float* xp = x, yp = y, sp = scale, bp = bias, tp = scratch)
        {
            var work = new GroupPieces
            {
                Arguments = new GroupArguments
                {
                    X = xp,
                    Y = yp,
                    Scale = scale.IsEmpty ? null : sp,
                    Bias = bias.IsEmpty ? null : bp,
                    Scratch = tp,
                    Pixels = pixels,
                    Channels = channels,
                    GroupChannels = channels / groups,
                    Epsilon = epsilon,
                },
                Kernel = VectorWidths.Select(cpu) switch
                {
                    VectorWidth.V512 => &NormalizeLoop<Lanes512, Vector512<float>>.Image,
                    VectorWidth.V256 => &NormalizeLoop<Lanes256, Vector256<float>>.Image,
                    VectorWidth.V128 => &NormalizeLoop<Lanes128, Vector128<float>>.Image,
                    _ => &NormalizeLoop<ScalarLanes, float>.Image,
                },
            };
            p.For(ref work, batch);
        }
    }

    /// <summary>Local response normalization of a channels-last tensor: the window of channel c is <c>[c − ⌊(size−1)/2⌋, c + ⌈(size−1)/2⌉]</c>.</summary>
    /// <param name="x"><c>[pixels, channels]</c>.</param>
    /// <param name="channels">Channels.</param>
    /// <param name="size">Channels of a window, at least 1.</param>
    /// <param name="alpha">α.</param>
    /// <param name="beta">β.</param>
    /// <param name="bias">Added to the sum.</param>
    /// <param name="y">As many elements as x; must not overlap it.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">Lengths do not agree.</exception>
    public static void LocalResponse(ReadOnlySpan<float> x, int channels, int size, float alpha, float beta, float bias, Span<float> y, Parallelism p)
    {
        if (x.Length == 0) return;
        if (channels <= 0 || size <= 0 || x.Length % channels != 0 || y.Length < x.Length)
            throw new ArgumentException($"x has {x.Length} elements and y {y.Length} for {channels} channels and a window of {size}");
        fixed (float* xp = x, yp = y)
        {
            var work = new ResponsePieces { X = xp, Y = yp, Channels = channels, Size = size, Factor = alpha / size, Beta = beta, Bias = bias };
            p.For(ref work, x.Length / channels);
        }
    }

    private static void RequireParameters(int scale, int bias, int n)
    {
        if ((scale != 0 && scale != n) || (bias != 0 && bias != n)) throw new ArgumentException($"{scale} scales and {bias} biases for {n} elements");
    }

    internal struct RowArguments
    {
        public float* X, Y, Scale, Bias, Means, Inverses;
        public int N;
        public float Epsilon;
        public bool Centred;
    }

    internal struct GroupArguments
    {
        public float* X, Y, Scale, Bias, Scratch;
        public int Pixels, Channels, GroupChannels;
        public float Epsilon;
    }

    private struct RowPieces : IPieces
    {
        public RowArguments Arguments;
        public int Total, Block;
        public delegate*<RowArguments*, int, int, void> Kernel;

        public void Run(int piece, int worker)
        {
            fixed (RowArguments* arguments = &Arguments) Kernel(arguments, piece * Block, Math.Min(Total, (piece + 1) * Block));
        }
    }

    private struct GroupPieces : IPieces
    {
        public GroupArguments Arguments;
        public delegate*<GroupArguments*, int, void> Kernel;

        public void Run(int piece, int worker)
        {
            fixed (GroupArguments* arguments = &Arguments) Kernel(arguments, piece);
        }
    }

    private struct ResponsePieces : IPieces
    {
        public float* X, Y;
        public int Channels, Size;
        public float Factor, Beta, Bias;

        public readonly void Run(int piece, int worker)
        {
            float* x = X + (nint)piece * Channels, y = Y + (nint)piece * Channels;
            int before = (Size - 1) / 2, after = Size - 1 - before;
            for (int c = 0; c < Channels; c++)
            {
                float sum = 0;
                for (int i = Math.Max(0, c - before); i <= Math.Min(Channels - 1, c + after); i++) sum += x[i] * x[i];
                y[c] = x[c] / MathF.Pow(Bias + Factor * sum, Beta);
            }
        }
    }
}

/// <summary>The loops of normalization.</summary>
internal static unsafe class NormalizeLoop<TLanes, V> where TLanes : struct, ILanes<V> where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows(NormalizeKernels.RowArguments* t, int first, int end)
    {
        int n = t->N, rest = n % TLanes.Count, whole = n - rest;
        for (nint row = first; row < end; row++)
        {
            float* x = t->X + row * n, y = t->Y + row * n;
            float mean = 0;
            if (t->Centred)
            {
                V a = TLanes.Create(0f), b = a;
                int i = 0;
                for (; i <= whole - 2 * TLanes.Count; i += 2 * TLanes.Count)
                {
                    a = TLanes.Add(a, TLanes.Load(x + i));
                    b = TLanes.Add(b, TLanes.Load(x + i + TLanes.Count));
                }
                if (i < whole) a = TLanes.Add(a, TLanes.Load(x + i));
                if (rest > 0) b = TLanes.Add(b, TLanes.LoadPartial(x + whole, rest));
                mean = TLanes.Sum(TLanes.Add(a, b)) / n;
            }
            V mu = TLanes.Create(mean), s0 = TLanes.Create(0f), s1 = s0;
            int j = 0;
            for (; j <= whole - 2 * TLanes.Count; j += 2 * TLanes.Count)
            {
                V d0 = TLanes.Subtract(TLanes.Load(x + j), mu), d1 = TLanes.Subtract(TLanes.Load(x + j + TLanes.Count), mu);
                s0 = TLanes.MultiplyAdd(d0, d0, s0);
                s1 = TLanes.MultiplyAdd(d1, d1, s1);
            }
            if (j < whole)
            {
                V d = TLanes.Subtract(TLanes.Load(x + j), mu);
                s0 = TLanes.MultiplyAdd(d, d, s0);
            }
            float square = TLanes.Sum(TLanes.Add(s0, s1));
            for (int i = whole; i < n; i++) square += (x[i] - mean) * (x[i] - mean);
            float inverse = 1f / MathF.Sqrt(square / n + t->Epsilon);
            if (t->Means != null) t->Means[row] = mean;
            if (t->Inverses != null) t->Inverses[row] = inverse;

            V inv = TLanes.Create(inverse);
            for (int i = 0; i < n; i += TLanes.Count)
            {
                int count = Math.Min(TLanes.Count, n - i);
                V value = TLanes.Multiply(TLanes.Subtract(Load(x + i, count), mu), inv);
                if (t->Scale != null) value = TLanes.Multiply(value, Load(t->Scale + i, count));
                if (t->Bias != null) value = TLanes.Add(value, Load(t->Bias + i, count));
                if (count == TLanes.Count) TLanes.Store(value, y + i);
                else TLanes.StorePartial(value, y + i, count);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Load(float* x, int count) => count == TLanes.Count ? TLanes.Load(x) : TLanes.LoadPartial(x, count);

    /// <summary>One image: per-channel sums, joined per group, then one multiply-add per element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Image(NormalizeKernels.GroupArguments* t, int image)
    {
        int channels = t->Channels, pixels = t->Pixels, group = t->GroupChannels;
        nint at = (nint)image * pixels * channels;
        float* x = t->X + at, y = t->Y + at, factor = t->Scratch + (nint)image * 2 * channels, shift = factor + channels;
        double count = (double)pixels * group;

        for (int c = 0; c < channels; c += TLanes.Count)
        {
            int rest = Math.Min(TLanes.Count, channels - c);
            V sum = TLanes.Create(0f);
            for (nint i = 0; i < pixels; i++) sum = TLanes.Add(sum, Load(x + i * channels + c, rest));
            TLanes.StorePartial(sum, shift + c, rest);
        }
        for (int g = 0; g < channels; g += group)
        {
            double sum = 0;
            for (int c = g; c < g + group; c++) sum += shift[c];
            for (int c = g; c < g + group; c++) shift[c] = (float)(sum / count);
        }
        for (int c = 0; c < channels; c += TLanes.Count)
        {
            int rest = Math.Min(TLanes.Count, channels - c);
            V mean = Load(shift + c, rest), sum = TLanes.Create(0f);
            for (nint i = 0; i < pixels; i++)
            {
                V d = TLanes.Subtract(Load(x + i * channels + c, rest), mean);
                sum = TLanes.MultiplyAdd(d, d, sum);
            }
            TLanes.StorePartial(sum, factor + c, rest);
        }
        for (int g = 0; g < channels; g += group)
        {
            double sum = 0;
            for (int c = g; c < g + group; c++) sum += factor[c];
            float inverse = (float)(1 / Math.Sqrt(sum / count + t->Epsilon));
            for (int c = g; c < g + group; c++) factor[c] = t->Scale == null ? inverse : inverse * t->Scale[c];
        }
        for (nint i = 0; i < pixels; i++)
        {
            for (int c = 0; c < channels; c += TLanes.Count)
            {
                int rest = Math.Min(TLanes.Count, channels - c);
                V value = TLanes.Multiply(TLanes.Subtract(Load(x + i * channels + c, rest), Load(shift + c, rest)), Load(factor + c, rest));
                if (t->Bias != null) value = TLanes.Add(value, Load(t->Bias + c, rest));
                if (rest == TLanes.Count) TLanes.Store(value, y + i * channels + c);
                else TLanes.StorePartial(value, y + i * channels + c, rest);
            }
        }
    }
}
