using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Octet.Quantization.Calibration;

/// <summary>
/// Calibration by relative entropy: the range is cut where quantizing the values inside and clamping those outside loses least information, by the Kullback–Leibler divergence
/// between the histogram of magnitudes and its quantized form.
/// </summary>
/// <remarks>
/// <code>
///   P_T = histogram of |x| below T, everything above added to the last bin
///   Q_T = the bins below T, merged into L levels and spread again evenly over the bins of each level that are not empty
///   T*  = argmin Σ P_T · ln(P_T / Q_T)
/// </code>
/// L is 127 for signed and 255 for non-negative tensors. Bin 0 is left out: its values become the zero point under every threshold, and after a ReLU it would outweigh all others. A tensor whose magnitudes fall into no more than L bins keeps its full range:
/// this is what keeps tensors of few distinct values, and constants, from collapsing. An outlier so far out that all other values share those few bins is not cut either.
/// The range is never cut below the end where the squared error is least (<see cref="MeanSquaredErrorCollector"/>): the entropy weighs a rare value by its count alone, and in a layer of
/// scores the rare large values are the answer.
/// </remarks>
public sealed class EntropyCollector : HistogramCollector
{
    /// <summary>Candidates tried per tensor, evenly spaced.</summary>
    private const int MostCandidates = 512;

    /// <summary>Probability that an empty bin of Q gets where P is not empty, so that the divergence stays finite.</summary>
    private const double Floor = 1e-9;

    private protected override CalibrationRange Range(StreamingHistogram histogram) =>
        Cut(histogram, Threshold(histogram.Magnitudes(), histogram.BinWidth, histogram.Min >= 0 ? 255 : 127));

    /// <summary>The threshold T* for a histogram of magnitudes.</summary>
    /// <param name="bins">Counts; entry i covers [i, i + 1) · <paramref name="width"/>.</param>
    /// <param name="width">Width of a bin.</param>
    /// <param name="levels">L.</param>
    /// <returns>A threshold; the upper end of the last occupied bin where the range is not cut.</returns>
    internal static float Threshold(ReadOnlySpan<long> bins, double width, int levels)
    {
        int n = bins.LastIndexOfAnyExcept(0L) + 1;
        bins = bins[..n];
        var sums = new Sums(bins, levels);
        if (n <= levels || sums.Occupied[n] <= levels) return (float)(n * width);
        double best = double.PositiveInfinity, above = 0, before = 0, below = 0;
        int bestEnd = n;
        int stride = Math.Max(1, (n - levels) / MostCandidates);
        for (int end = n; end >= levels; end -= stride)
        {
            double divergence = Divergence(bins, end, sums, levels);
            if (end == bestEnd - stride) below = divergence;
            if (divergence < best) (best, bestEnd, above, below) = (divergence, end, before, double.NaN);
            before = divergence;
        }
        double refined = bestEnd == n ? n : bestEnd + stride * MeanSquaredErrorCollector.Vertex(below, best, above);
        return (float)(Math.Max(refined, MeanSquaredErrorCollector.LeastEnd(bins, end => (double)end / levels, levels)) * width);
    }

    /// <summary>
    /// Σ P · ln(P / Q) for the threshold at bin <paramref name="end"/>. Q is one number per level, so a level's part is <c>Σ h·ln h − m·ln(N·q)</c> from sums over its bins, and a candidate
    /// costs one logarithm per level instead of one per bin.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double Divergence(ReadOnlySpan<long> bins, int end, Sums sums, int levels)
    {
        double total = sums.Count[^1], kept = sums.Count[end], above = total - kept;
        if (kept <= 0) return double.PositiveInfinity;
        ReadOnlySpan<double> counts = sums.Count.AsSpan(0, end + 1);
        ReadOnlySpan<int> occupied = sums.Occupied.AsSpan(0, end + 1);
        Span<double> mass = sums.Mass, share = sums.Share;
        // Level i covers the bins ⌊i·end/levels⌋ … ⌊(i + 1)·end/levels⌋ − 1, bin 0 excepted.
        int width = end / levels, rest = end % levels, stop = 0, left = 0, before = 0, own = 0;
        double below = 0;
        for (int level = 0; level < levels; level++)
        {
            stop += width;
            left += rest;
            if (left >= levels)
            {
                left -= levels;
                stop++;
            }
            own = occupied[stop] - before;
            before = occupied[stop];
            mass[level] = counts[stop] - below;
            below = counts[stop];
            share[level] = own;
        }
        // q = m / (occupied · kept), but at least Floor; an empty level has no part.
        double least = Floor * kept, divergence = sums.Entropy[end], mean = Logarithms(mass, share, least);
        divergence -= mean + kept * Math.Log(total / kept);
        // The last bin also carries what lies above.
        double lastLevel = own > 0 ? Math.Max(mass[levels - 1] / own, least) / kept : Floor, last = bins[end - 1], all = last + above;
        if (last > 0) divergence -= last * Math.Log(last / (total * lastLevel));
        if (all > 0) divergence += all * Math.Log(all / (total * (last > 0 ? lastLevel : Floor)));
        return divergence / total;
    }

    /// <summary><c>Σ m · ln max(m / n, least)</c> over the levels that are not empty.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static double Logarithms(ReadOnlySpan<double> m, ReadOnlySpan<double> n, double least)
    {
        ReadOnlySpan<Vector256<double>> masses = MemoryMarshal.Cast<double, Vector256<double>>(m), counts = MemoryMarshal.Cast<double, Vector256<double>>(n);
        Vector256<double> sum = default, floor = Vector256.Create(least);
        for (int i = 0; i < masses.Length; i++)
        {
            Vector256<double> mean = masses[i] / counts[i];
            mean = Vector256.ConditionalSelect(Vector256.GreaterThan(mean, floor), mean, floor);
            sum += masses[i] * Logarithm.Of(Vector256.ConditionalSelect(Vector256.GreaterThan(counts[i], default), mean, Vector256<double>.One));
        }
        return sum[0] + sum[1] + (sum[2] + sum[3]);
    }

    /// <summary>Sums over the bins 1 … i − 1 of a histogram, for every i.</summary>
    private sealed class Sums
    {
        public readonly double[] Count, Entropy;   // Σ h, Σ h · ln h
        public readonly int[] Occupied;
        public readonly double[] Mass, Share;   // room for what a candidate needs per level, in whole vectors

        public Sums(ReadOnlySpan<long> bins, int levels)
        {
            (Count, Entropy, Occupied, Mass, Share) = (new double[bins.Length + 1], new double[bins.Length + 1], new int[bins.Length + 1], new double[(levels + 3) & ~3], new double[(levels + 3) & ~3]);
            var logarithms = new double[bins.Length];
            for (int i = 0; i < bins.Length; i++) logarithms[i] = Math.Max(1, bins[i]);
            Logarithm.Replace(logarithms);
            for (int i = 1; i < bins.Length; i++)
            {
                Count[i + 1] = Count[i] + bins[i];
                Entropy[i + 1] = Entropy[i] + bins[i] * logarithms[i];
                Occupied[i + 1] = Occupied[i] + (bins[i] > 0 ? 1 : 0);
            }
        }
    }
}
