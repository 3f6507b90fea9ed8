using System.Globalization;

namespace Octet.Quantization.Calibration;

/// <summary>Calibration by percentile: the range covers a given share of the values by magnitude and cuts the rest.</summary>
/// <remarks>
/// <code>
///   T = the least end of a histogram's bin for which at least P % of all values have |x| &lt; T
///   range = [max(min, −T), min(max, T)]
/// </code>
/// All values count, zeros included. A bin is at most 1/2048 of the greatest magnitude wide. P = 100 gives the least and greatest value.
/// </remarks>
public sealed class PercentileCollector : HistogramCollector
{
    /// <summary>P where nothing else is said: one value in ten thousand is cut.</summary>
    public const double DefaultPercentile = 99.99;

    /// <summary>For <see cref="DefaultPercentile"/>.</summary>
    public PercentileCollector() : this(DefaultPercentile) { }

    /// <summary>For a percentile of the caller's.</summary>
    /// <param name="percentile">P, in (0, 100].</param>
    /// <exception cref="ArgumentException">It lies outside.</exception>
    public PercentileCollector(double percentile)
    {
        Percentile = percentile is > 0 and <= 100 ? percentile
            : throw new ArgumentException($"the percentile is {percentile.ToString(CultureInfo.InvariantCulture)}; rule: greater than 0 and at most 100", nameof(percentile));
    }

    /// <summary>P.</summary>
    public double Percentile { get; }

    private protected override CalibrationRange Range(StreamingHistogram histogram)
    {
        long wanted = (long)Math.Ceiling(histogram.Count * (decimal)Percentile / 100);
        long below = 0;
        ReadOnlySpan<long> bins = histogram.Magnitudes();
        for (int i = 0; i < bins.Length; i++)
        {
            below += bins[i];
            if (below >= wanted) return below == histogram.Count ? new CalibrationRange(histogram.Min, histogram.Max) : Cut(histogram, (float)((i + 1) * histogram.BinWidth));
        }
        return new CalibrationRange(histogram.Min, histogram.Max);
    }
}
