using Octet.Runtime.Tensors;

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
/// The range is never cut below the end where the squared error is least.
/// </remarks>
public sealed class EntropyCollector : MergeableCollector
{
    /// <summary>Candidates tried per tensor, evenly spaced.</summary>
    private const int MostCandidates = 512;

    /// <summary>Probability that an empty bin of Q gets where P is not empty, so that the divergence stays finite.</summary>
    private const double Floor = 1e-9;

    private readonly SortedDictionary<string, StreamingHistogram> _histograms = new(StringComparer.Ordinal);

    /// <inheritdoc/>
    public override string Kind => "entropy";

    /// <inheritdoc/>
    public override void Collect(string name, string operatorType, TensorView tensor)
    {
        if (!Includes(name) || tensor.Type != DataType.Float32 || tensor.Length == 0) return;
        ReadOnlySpan<float> x = tensor.Elements<float>();
        (float min, float max) = Extremes.Of(x);
        if (!float.IsFinite(min) || !float.IsFinite(max)) throw NotFinite(name, float.IsFinite(min) ? max : min);
        if (!_histograms.TryGetValue(name, out StreamingHistogram? histogram)) _histograms.Add(name, histogram = new StreamingHistogram());
        histogram.Add(x, min, max);
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, CalibrationRange> PostCollect()
    {
        var ranges = new Dictionary<string, CalibrationRange>(StringComparer.Ordinal);
        foreach ((string name, StreamingHistogram histogram) in _histograms)
        {
            if (histogram.Count == 0) continue;
            float threshold = Threshold(histogram.Magnitudes(), histogram.BinWidth, histogram.Min >= 0 ? 255 : 127);
            ranges.Add(name, new CalibrationRange(MathF.Max(histogram.Min, -threshold), MathF.Min(histogram.Max, threshold)));
        }
        return ranges;
    }

    /// <summary>The threshold T* for a histogram of magnitudes.</summary>
    /// <param name="bins">Counts; entry i covers [i, i + 1) · <paramref name="width"/>.</param>
    /// <param name="width">Width of a bin.</param>
    /// <param name="levels">L.</param>
    /// <returns>A threshold; the upper end of the last occupied bin where the range is not cut.</returns>
    internal static float Threshold(ReadOnlySpan<long> bins, double width, int levels)
    {
        int n = bins.LastIndexOfAnyExcept(0L) + 1;
        int occupied = 0;
        double total = 0;
        for (int i = 1; i < n; i++)
        {
            if (bins[i] != 0) occupied++;
            total += bins[i];
        }
        if (n <= levels || occupied <= levels) return (float)(n * width);
        var q = new double[n];
        double best = double.PositiveInfinity;
        int bestEnd = n;
        int stride = Math.Max(1, (n - levels) / MostCandidates);
        double above = 0;
        int counted = n;
        for (int end = n; end >= levels; end -= stride)
        {
            for (; counted > end; counted--) above += bins[counted - 1];
            double divergence = Divergence(bins[..end], above, total, levels, q);
            if (divergence < best) (best, bestEnd) = (divergence, end);
        }
        return (float)(Math.Max(bestEnd, LeastSquaresEnd(bins[..n], levels)) * width);
    }

    /// <summary>
    /// The end of the range where clamping and rounding together cost the least squared error: <c>Σ_{i &lt; end} h_i · step² / 12 + Σ_{i ≥ end} h_i · (i + ½ − end)²</c>,
    /// <c>step = end / L</c>, in bins. The entropy may not cut below it: it weighs a rare value by its count alone, and in a layer of scores the rare large values are the answer.
    /// </summary>
    private static int LeastSquaresEnd(ReadOnlySpan<long> bins, int levels)
    {
        // With suffix sums of h, h·i and h·i² each candidate costs O(1).
        double count = 0, first = 0, second = 0, total = 0, best = double.PositiveInfinity;
        for (int i = 1; i < bins.Length; i++) total += bins[i];
        int bestEnd = bins.Length;
        for (int end = bins.Length; end >= levels; end--)
        {
            if (end < bins.Length)
            {
                double centre = end + 0.5;
                count += bins[end];
                first += bins[end] * centre;
                second += bins[end] * centre * centre;
            }
            double step = (double)end / levels;
            double cost = (total - count) * step * step / 12 + second - 2 * end * first + (double)end * end * count;
            if (cost < best) (best, bestEnd) = (cost, end);
        }
        return bestEnd;
    }

    private static double Divergence(ReadOnlySpan<long> inside, double above, double total, int levels, Span<double> q)
    {
        int end = inside.Length;
        double kept = total - above;
        if (kept <= 0) return double.PositiveInfinity;
        for (int level = 0; level < levels; level++)
        {
            int first = (int)((long)level * end / levels), last = (int)((long)(level + 1) * end / levels);
            double mass = 0;
            int occupied = 0;
            for (int i = Math.Max(1, first); i < last; i++)
            {
                mass += inside[i];
                if (inside[i] != 0) occupied++;
            }
            for (int i = Math.Max(1, first); i < last; i++) q[i] = inside[i] != 0 ? mass / occupied : 0;
        }

        double divergence = 0;
        for (int i = 1; i < end; i++)
        {
            double p = (inside[i] + (i == end - 1 ? above : 0)) / total;
            if (p > 0) divergence += p * Math.Log(p / Math.Max(q[i] / kept, Floor));
        }
        return divergence;
    }

    /// <inheritdoc/>
    public override void Merge(MergeableCollector other)
    {
        if (other is not EntropyCollector entropy) throw new ArgumentException($"a '{other?.Kind}' collector cannot be merged into '{Kind}'; rule: equal kinds", nameof(other));
        foreach ((string name, StreamingHistogram histogram) in entropy._histograms)
        {
            if (!_histograms.TryGetValue(name, out StreamingHistogram? mine)) _histograms.Add(name, mine = new StreamingHistogram());
            mine.Add(histogram);
        }
    }

    internal override IReadOnlyDictionary<string, CollectorState> SaveState() => _histograms.ToDictionary(pair => pair.Key, pair => pair.Value.Save());

    internal override void LoadState(IReadOnlyDictionary<string, CollectorState> state)
    {
        _histograms.Clear();
        foreach ((string name, CollectorState value) in state) _histograms.Add(name, StreamingHistogram.Load(value));
    }
}
