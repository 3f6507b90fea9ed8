using Octet.Quantization.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Calibration;

/// <summary>Collects a histogram per tensor; derived classes find the range in it. All of them share one kind of state, so a cache file of one serves the others.</summary>
/// <remarks>
/// Bins are 2^e wide and lie on both sides of zero, at most 4096 on each; e grows by merging neighbouring bins, so the state depends on the values alone, not on their order, and
/// histograms of parts add up to the histogram of the whole.
/// </remarks>
public abstract class HistogramCollector : MergeableCollector
{
    private readonly Dictionary<string, StreamingHistogram> _histograms = new(StringComparer.Ordinal);

    private protected HistogramCollector() { }

    /// <inheritdoc/>
    public sealed override string Kind => "histogram";

    /// <inheritdoc/>
    public sealed override void Collect(string name, string operatorType, TensorView tensor)
    {
        if (!TryRead(name, tensor, out ReadOnlySpan<float> elements, out CalibrationRange range)) return;
        Histogram(name).Add(elements, range.Min, range.Max);
    }

    /// <inheritdoc/>
    public sealed override IReadOnlyDictionary<string, CalibrationRange> PostCollect()
    {
        // Tensors are independent of each other, so the searches run on all processors and end in the same ranges.
        KeyValuePair<string, StreamingHistogram>[] seen = [.. _histograms];
        var found = new CalibrationRange[seen.Length];
        Parallel.For(0, seen.Length, i => found[i] = Range(seen[i].Value));
        var ranges = new Dictionary<string, CalibrationRange>(StringComparer.Ordinal);
        for (int i = 0; i < seen.Length; i++) ranges.Add(seen[i].Key, found[i]);
        return ranges;
    }

    /// <summary>What rounding to <paramref name="grid"/> does to the values seen of a tensor; null where none were.</summary>
    internal (double Signal, double Noise)? Rounding(string name, GridParameters grid) => _histograms.TryGetValue(name, out StreamingHistogram? histogram) ? histogram.Rounding(grid) : null;

    /// <inheritdoc/>
    public sealed override void Merge(MergeableCollector other)
    {
        RequireSameKind(other);
        foreach ((string name, StreamingHistogram histogram) in ((HistogramCollector)other)._histograms) Histogram(name).Add(histogram);
    }

    /// <inheritdoc/>
    public sealed override IReadOnlyDictionary<string, CollectorState> SaveState() =>
        _histograms.ToDictionary(pair => pair.Key, pair => pair.Value.Save(), StringComparer.Ordinal);

    /// <inheritdoc/>
    public sealed override void LoadState(IReadOnlyDictionary<string, CollectorState> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        var loaded = new List<(string, StreamingHistogram)>();
        foreach ((string name, CollectorState value) in state)
        {
            RequireExtremes(name, value);
            loaded.Add((name, StreamingHistogram.TryLoad(value, out StreamingHistogram? histogram) is { } broken ? throw BadState(name, broken.Facts, broken.Rule) : histogram!));
        }
        _histograms.Clear();
        foreach ((string name, StreamingHistogram histogram) in loaded) _histograms.Add(name, histogram);
    }

    /// <summary>The range that the histogram of a tensor's values calls for; <paramref name="histogram"/> holds at least one value.</summary>
    private protected abstract CalibrationRange Range(StreamingHistogram histogram);

    /// <summary>The seen range cut at <paramref name="threshold"/> on both sides of zero.</summary>
    private protected static CalibrationRange Cut(StreamingHistogram histogram, float threshold) =>
        new(Math.Clamp(-threshold, histogram.Min, histogram.Max), Math.Clamp(threshold, histogram.Min, histogram.Max));

    private StreamingHistogram Histogram(string name)
    {
        if (!_histograms.TryGetValue(name, out StreamingHistogram? histogram)) _histograms.Add(name, histogram = new StreamingHistogram());
        return histogram;
    }
}
