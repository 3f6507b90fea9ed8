using Octet.Runtime.Tensors;

namespace Octet.Quantization.Calibration;

/// <summary>The naive calibration: the range of a tensor is the least and the greatest value seen.</summary>
public sealed class MinMaxCollector : MergeableCollector
{
    private readonly SortedDictionary<string, CollectorState> _ranges = new(StringComparer.Ordinal);

    /// <inheritdoc/>
    public override string Kind => "naive";

    /// <inheritdoc/>
    public override void Collect(string name, string operatorType, TensorView tensor)
    {
        if (TryRead(name, tensor, out ReadOnlySpan<float> elements, out CalibrationRange range)) Add(name, new CollectorState(range.Min, range.Max, elements.Length));
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, CalibrationRange> PostCollect() =>
        _ranges.ToDictionary(pair => pair.Key, pair => new CalibrationRange(pair.Value.Min, pair.Value.Max), StringComparer.Ordinal);

    /// <inheritdoc/>
    public override void Merge(MergeableCollector other)
    {
        RequireSameKind(other);
        foreach ((string name, CollectorState state) in other.SaveState()) Add(name, state);
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, CollectorState> SaveState() => new Dictionary<string, CollectorState>(_ranges, StringComparer.Ordinal);

    /// <inheritdoc/>
    public override void LoadState(IReadOnlyDictionary<string, CollectorState> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        foreach ((string name, CollectorState value) in state) RequireExtremes(name, value);
        _ranges.Clear();
        foreach ((string name, CollectorState value) in state) _ranges.Add(name, new CollectorState(value.Min, value.Max, value.Count));
    }

    private void Add(string name, CollectorState state) => _ranges[name] = _ranges.TryGetValue(name, out CollectorState? seen)
        ? seen with { Min = MathF.Min(seen.Min, state.Min), Max = MathF.Max(seen.Max, state.Max), Count = seen.Count + state.Count }
        : state;
}
