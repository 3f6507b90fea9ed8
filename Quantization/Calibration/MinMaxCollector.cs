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
        if (!Includes(name) || tensor.Type != DataType.Float32 || tensor.Length == 0) return;
        (float min, float max) = Extremes.Of(tensor.Elements<float>());
        if (!float.IsFinite(min) || !float.IsFinite(max)) throw NotFinite(name, float.IsFinite(min) ? max : min);
        _ranges[name] = _ranges.TryGetValue(name, out CollectorState? seen)
            ? seen with { Min = MathF.Min(seen.Min, min), Max = MathF.Max(seen.Max, max), Count = seen.Count + tensor.Length }
            : new CollectorState(min, max, tensor.Length);
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, CalibrationRange> PostCollect() =>
        _ranges.ToDictionary(pair => pair.Key, pair => new CalibrationRange(pair.Value.Min, pair.Value.Max), StringComparer.Ordinal);

    /// <inheritdoc/>
    public override void Merge(MergeableCollector other)
    {
        if (other is not MinMaxCollector naive) throw new ArgumentException($"a '{other?.Kind}' collector cannot be merged into '{Kind}'; rule: equal kinds", nameof(other));
        foreach ((string name, CollectorState state) in naive._ranges)
        {
            _ranges[name] = _ranges.TryGetValue(name, out CollectorState? seen)
                ? seen with { Min = MathF.Min(seen.Min, state.Min), Max = MathF.Max(seen.Max, state.Max), Count = seen.Count + state.Count }
                : state;
        }
    }

    internal override IReadOnlyDictionary<string, CollectorState> SaveState() => _ranges;

    internal override void LoadState(IReadOnlyDictionary<string, CollectorState> state)
    {
        _ranges.Clear();
        foreach ((string name, CollectorState value) in state) _ranges.Add(name, value);
    }
}
