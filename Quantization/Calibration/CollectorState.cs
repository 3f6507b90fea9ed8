namespace Octet.Quantization.Calibration;

/// <summary>What a collector remembers of one tensor, in the form of the cache file. Fields that a collector does not use keep their defaults and are not written.</summary>
/// <param name="Min">Least value seen; finite.</param>
/// <param name="Max">Greatest value seen; finite and at least <paramref name="Min"/>.</param>
/// <param name="Count">Elements seen; at least 1.</param>
public sealed record CollectorState(float Min, float Max, long Count)
{
    /// <summary>Histogram: bins are 2^Exponent wide.</summary>
    public int Exponent { get; init; }

    /// <summary>Histogram: index of the first entry of <see cref="Bins"/>; bin i covers [i, i + 1) · 2^<see cref="Exponent"/>.</summary>
    public int FirstBin { get; init; }

    /// <summary>Histogram: counts of consecutive bins, none negative; null without a histogram.</summary>
    public IReadOnlyList<long>? Bins { get; init; }

    /// <summary>Histogram of equal bins over ±Threshold, however wide; null where bins are 2^<see cref="Exponent"/> wide.</summary>
    public double? Threshold { get; init; }

    /// <summary>Ranges of single samples, oldest first; null where the collector keeps none.</summary>
    public IReadOnlyList<CalibrationRange>? Samples { get; init; }
}
