using System.Globalization;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Calibration;

/// <summary>Calibration by exponential moving average: later samples count more, and no single sample decides the range.</summary>
/// <remarks>
/// With the samples' own ranges <c>[a_k, b_k]</c>, k = 0 for the latest, and w = 1 − c:
/// <code>
///   min = Σ w^k · a_k / Σ w^k        max = Σ w^k · b_k / Σ w^k        k = 0 … min(samples, 1024) − 1
/// </code>
/// Dividing by the weights' sum gives every sample its due from the first on; starting the average at the first sample, as is common, would give that one sample more weight than the next fifty
/// together at c = 0.01. Sums are float64, oldest sample first.
/// <para>The result depends on the order of the samples. <see cref="Merge"/> means that the other collector's samples came after these; because the ranges of the last 1024 samples are kept
/// themselves, merging gives the same bits as one collector that saw all samples in that order. Data is cut between samples, not inside one.</para>
/// </remarks>
public sealed class MovingAverageCollector : MergeableCollector
{
    /// <summary>c where nothing else is said.</summary>
    public const double DefaultWeight = 0.01;

    /// <summary>Samples that have a weight.</summary>
    internal const int Window = 1024;

    private readonly Dictionary<string, Recent> _tensors = new(StringComparer.Ordinal);

    /// <summary>For <see cref="DefaultWeight"/>.</summary>
    public MovingAverageCollector() : this(DefaultWeight) { }

    /// <summary>For a weight of the caller's.</summary>
    /// <param name="weight">c, the weight of the latest sample beside all earlier ones, in (0, 1].</param>
    /// <exception cref="ArgumentException">It lies outside.</exception>
    public MovingAverageCollector(double weight)
    {
        Weight = weight is > 0 and <= 1 ? weight
            : throw new ArgumentException($"the weight is {weight.ToString(CultureInfo.InvariantCulture)}; rule: greater than 0 and at most 1", nameof(weight));
    }

    /// <summary>c.</summary>
    public double Weight { get; }

    /// <inheritdoc/>
    public override string Kind => "moving-average";

    /// <inheritdoc/>
    public override bool DependsOnSampleOrder => true;

    /// <inheritdoc/>
    public override void Collect(string name, string operatorType, TensorView tensor)
    {
        if (!TryRead(name, tensor, out ReadOnlySpan<float> elements, out CalibrationRange range)) return;
        Tensor(name).Add(range, elements.Length);
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, CalibrationRange> PostCollect() =>
        _tensors.ToDictionary(pair => pair.Key, pair => Average(pair.Value.Samples), StringComparer.Ordinal);

    /// <inheritdoc/>
    public override void Merge(MergeableCollector other)
    {
        RequireSameKind(other);
        foreach ((string name, Recent recent) in ((MovingAverageCollector)other)._tensors) Tensor(name).Add(recent);
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, CollectorState> SaveState() => _tensors.ToDictionary(pair => pair.Key,
        pair => new CollectorState(pair.Value.Range.Min, pair.Value.Range.Max, pair.Value.Count) { Samples = [.. pair.Value.Samples] }, StringComparer.Ordinal);

    /// <inheritdoc/>
    public override void LoadState(IReadOnlyDictionary<string, CollectorState> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        var loaded = new List<(string, Recent)>();
        foreach ((string name, CollectorState value) in state)
        {
            RequireExtremes(name, value);
            if (value.Samples is not { Count: > 0 and <= Window } samples) throw BadState(name, $"it has the ranges of {value.Samples?.Count ?? 0} samples", $"1 … {Window}");
            foreach (CalibrationRange sample in samples)
            {
                if (!(sample.Min >= value.Min && sample.Max <= value.Max && sample.Min <= sample.Max))
                    throw BadState(name, string.Create(CultureInfo.InvariantCulture, $"a sample has the range [{sample.Min}, {sample.Max}] and the tensor [{value.Min}, {value.Max}]"), "samples lie within the tensor's range");
            }
            loaded.Add((name, new Recent(value)));
        }
        _tensors.Clear();
        foreach ((string name, Recent recent) in loaded) _tensors.Add(name, recent);
    }

    private CalibrationRange Average(IEnumerable<CalibrationRange> samples)
    {
        double min = 0, max = 0, weights = 0, keep = 1 - Weight;
        foreach (CalibrationRange sample in samples)
        {
            min = min * keep + sample.Min;
            max = max * keep + sample.Max;
            weights = weights * keep + 1;
        }
        return new CalibrationRange((float)(min / weights), (float)(max / weights));
    }

    private Recent Tensor(string name)
    {
        if (!_tensors.TryGetValue(name, out Recent? recent)) _tensors.Add(name, recent = new Recent());
        return recent;
    }

    /// <summary>The ranges of the last samples of one tensor.</summary>
    private sealed class Recent
    {
        public Recent() { }

        public Recent(CollectorState state)
        {
            (Range, Count) = (new CalibrationRange(state.Min, state.Max), state.Count);
            foreach (CalibrationRange sample in state.Samples!) Samples.Enqueue(sample);
        }

        public Queue<CalibrationRange> Samples { get; } = new();

        public CalibrationRange Range { get; private set; }

        public long Count { get; private set; }

        public void Add(CalibrationRange sample, long elements)
        {
            Cover(sample, elements);
            Append(sample);
        }

        public void Add(Recent later)
        {
            if (later.Count == 0) return;
            Cover(later.Range, later.Count);
            foreach (CalibrationRange sample in later.Samples) Append(sample);
        }

        private void Cover(CalibrationRange range, long elements)
        {
            Range = Count == 0 ? range : Range.Union(range);
            Count += elements;
        }

        private void Append(CalibrationRange sample)
        {
            if (Samples.Count == Window) Samples.Dequeue();
            Samples.Enqueue(sample);
        }
    }
}
