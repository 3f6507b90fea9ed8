using Octet.Runtime.Tensors;

namespace Octet.Quantization.Calibration;

/// <summary>The naive calibration: the range of a tensor is the least and the greatest value seen.</summary>
public sealed class MinMaxCollector : MergeableCollector
{
    private readonly Dictionary<string, Seen> _tensors = new(StringComparer.Ordinal);

    /// <inheritdoc/>
    public override string Kind => "naive";

    /// <inheritdoc/>
    public override void Collect(string name, string operatorType, TensorView tensor)
    {
        if (TryRead(name, tensor, out ReadOnlySpan<float> elements, out CalibrationRange range)) Tensor(name).Add(range, elements.Length);
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, CalibrationRange> PostCollect() => _tensors.ToDictionary(pair => pair.Key, pair => pair.Value.Range, StringComparer.Ordinal);

    /// <inheritdoc/>
    public override void Merge(MergeableCollector other)
    {
        RequireSameKind(other);
        foreach ((string name, CollectorState state) in other.SaveState()) Tensor(name).Add(new CalibrationRange(state.Min, state.Max), state.Count);
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, CollectorState> SaveState() =>
        _tensors.ToDictionary(pair => pair.Key, pair => new CollectorState(pair.Value.Range.Min, pair.Value.Range.Max, pair.Value.Count), StringComparer.Ordinal);

    /// <inheritdoc/>
    public override void LoadState(IReadOnlyDictionary<string, CollectorState> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        foreach ((string name, CollectorState value) in state) RequireExtremes(name, value);
        _tensors.Clear();
        foreach ((string name, CollectorState value) in state) Tensor(name).Add(new CalibrationRange(value.Min, value.Max), value.Count);
    }

    private Seen Tensor(string name)
    {
        if (!_tensors.TryGetValue(name, out Seen? seen)) _tensors.Add(name, seen = new Seen());
        return seen;
    }

    /// <summary>What was seen of one tensor.</summary>
    private sealed class Seen
    {
        public CalibrationRange Range { get; private set; }

        public long Count { get; private set; }

        public void Add(CalibrationRange range, long elements)
        {
            Range = Count == 0 ? range : Range.Union(range);
            Count += elements;
        }
    }
}
