namespace Octet.Quantization.Calibration;

/// <summary>Calibration by squared error: the range is cut where rounding the values inside and clamping those outside cost least together.</summary>
/// <remarks>
/// <code>
///   E(T) = Σ_{|x| &lt; T} step(T)² / 12 + Σ_{|x| ≥ T} (|x| − T)²        T* = argmin E(T)
///   step(T) = T / 255                                                 where no value is negative (uint8 with zero point 0)
///           = T / 127                                                 signed values on the symmetric int8 grid
///           = (min(T, max) + min(T, −min)) / 255                      signed values on the affine uint8 grid
/// </code>
/// <c>step²/12</c> is the mean squared error of rounding a value that lies anywhere within a step. The sums run over the bins of a histogram, T over the ends of its bins; bin 0 does not vote, because
/// its values become the zero point under every T.
/// </remarks>
public sealed class MeanSquaredErrorCollector : HistogramCollector
{
    private readonly ActivationType _type;

    /// <summary>For the default type of activations.</summary>
    public MeanSquaredErrorCollector() : this(ActivationType.Auto) { }

    /// <summary>For activations of type <paramref name="type"/>.</summary>
    /// <exception cref="ArgumentException">There is no such type.</exception>
    public MeanSquaredErrorCollector(ActivationType type)
    {
        if (!Enum.IsDefined(type)) throw new ArgumentException($"the type is {type}; rule: one of {string.Join(", ", Enum.GetNames<ActivationType>())}", nameof(type));
        _type = type;
    }

    private protected override CalibrationRange Range(StreamingHistogram histogram)
    {
        ReadOnlySpan<long> bins = histogram.Magnitudes();
        bins = bins[..(bins.LastIndexOfAnyExcept(0L) + 1)];
        (double low, double high, double width) = (-(double)histogram.Min, histogram.Max, histogram.BinWidth);
        bool signed = histogram.Min < 0;
        double end = LeastEnd(bins, end => !signed && _type != ActivationType.Int8 ? end / 255.0
            : signed && _type == ActivationType.UInt8 ? (Math.Min(end, Math.Max(0, high / width)) + Math.Min(end, low / width)) / 255
            : end / 127.0, 1);
        return end == bins.Length ? new CalibrationRange(histogram.Min, histogram.Max) : Cut(histogram, (float)(end * width));
    }

    /// <summary>The end of the range, in bins, where E is least; of equal ones the greatest. Between the bins' ends E is a parabola through the three values around the least.</summary>
    /// <param name="bins">Counts of magnitudes; the last is not empty.</param>
    /// <param name="step">The step, in bins, of a range that ends at a bin.</param>
    /// <param name="least">No end below this one is tried.</param>
    internal static double LeastEnd(ReadOnlySpan<long> bins, Func<int, double> step, int least)
    {
        // With suffix sums of h, h·c and h·c², c the centre of a bin, each candidate costs O(1).
        double count = 0, first = 0, second = 0, total = 0, best = double.PositiveInfinity;
        for (int i = 1; i < bins.Length; i++) total += bins[i];
        int bestEnd = bins.Length;
        var costs = new double[bins.Length + 1];
        for (int end = bins.Length; end >= least; end--)
        {
            if (end < bins.Length)
            {
                double centre = end + 0.5;
                count += bins[end];
                first += bins[end] * centre;
                second += bins[end] * centre * centre;
            }
            double width = step(end);
            double cost = (total - count) * width * width / 12 + second - 2 * end * first + (double)end * end * count;
            costs[end] = cost;
            if (cost < best) (best, bestEnd) = (cost, end);
        }
        return bestEnd == bins.Length || bestEnd <= least ? bestEnd : bestEnd + Vertex(costs[bestEnd - 1], best, costs[bestEnd + 1]);
    }

    /// <summary>Where a parabola through (−1, <paramref name="below"/>), (0, <paramref name="least"/>), (1, <paramref name="above"/>) is least, within [−½, ½]; 0 where the three are equal.</summary>
    /// <remarks>
    /// Ranges that all end at a bin's end would have scales whose ratios are fractions of small integers. Sums of two tensors then often lie exactly between two integers, where the last bit of a
    /// float32 product decides, and runtimes that order the products differently give different integers.
    /// </remarks>
    internal static double Vertex(double below, double least, double above)
    {
        double curvature = below - 2 * least + above;
        return curvature > 0 && double.IsFinite(curvature) ? Math.Clamp((below - above) / (2 * curvature), -0.5, 0.5) : 0;
    }
}
