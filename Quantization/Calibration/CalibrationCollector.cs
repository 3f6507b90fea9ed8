using System.Globalization;
using Octet.Runtime;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Calibration;

/// <summary>Watches tensors while samples run and turns what it saw into one range per tensor. Derive from it to calibrate your own way.</summary>
/// <remarks>
/// <see cref="Collect"/> is called once per tensor and sample, never at the same time from two threads. A collector keeps a bounded state, however many samples come:
/// what it returns may depend on the values seen, not on how they were cut into samples. <see cref="CollectorContract"/> checks these promises.
/// </remarks>
public abstract class CalibrationCollector
{
    /// <summary>Names of the tensors that ranges are needed for; null collects all. The quantizer sets it where it is null.</summary>
    public IReadOnlySet<string>? IncludeLayers { get; set; }

    /// <summary>Sees one tensor.</summary>
    /// <param name="name">Name of the value in the model.</param>
    /// <param name="operatorType">Type of the operator that made it; empty for a graph input.</param>
    /// <param name="tensor">Its elements, in memory order; valid during the call.</param>
    /// <exception cref="DataException">The tensor holds NaN or infinity.</exception>
    public abstract void Collect(string name, string operatorType, TensorView tensor);

    /// <summary>The range of every tensor seen.</summary>
    public abstract IReadOnlyDictionary<string, CalibrationRange> PostCollect();

    /// <summary>Whether <paramref name="name"/> is wanted.</summary>
    protected bool Includes(string name) => IncludeLayers is null || IncludeLayers.Contains(name);

    /// <summary>
    /// The elements of a tensor that a range can be found for: wanted, float32 and not empty. Integers and empty tensors have no range and are passed over.
    /// </summary>
    /// <param name="name">Name of the value.</param>
    /// <param name="tensor">The tensor.</param>
    /// <param name="elements">Its elements in memory order.</param>
    /// <param name="range">Least and greatest of them.</param>
    /// <returns>Whether there is anything to collect.</returns>
    /// <exception cref="DataException">The tensor holds NaN or infinity.</exception>
    protected bool TryRead(string name, TensorView tensor, out ReadOnlySpan<float> elements, out CalibrationRange range)
    {
        elements = default;
        range = default;
        if (!Includes(name) || tensor.Type != DataType.Float32 || tensor.Length == 0) return false;
        elements = tensor.Elements<float>();
        (float min, float max) = Extremes.Of(elements);
        if (!float.IsFinite(min) || !float.IsFinite(max)) throw NotFinite(name, float.IsFinite(min) ? max : min);
        range = new CalibrationRange(min, max);
        return true;
    }

    /// <summary>The error for values that have no place in a range.</summary>
    protected static DataException NotFinite(string name, float value) =>
        new($"tensor '{name}' holds {value.ToString(CultureInfo.InvariantCulture)} during calibration; rule: every calibrated value is finite");
}

/// <summary>A collector whose state can be stored in a cache file and resumed.</summary>
public abstract class ResumableCollector : CalibrationCollector
{
    /// <summary>What the state means, with the settings that shaped it, as the cache file records it. Collectors with equal kinds read each other's caches.</summary>
    public abstract string Kind { get; }

    /// <summary>The state of every tensor seen.</summary>
    public abstract IReadOnlyDictionary<string, CollectorState> SaveState();

    /// <summary>Replaces the state.</summary>
    /// <param name="state">State of every tensor, from <see cref="SaveState"/> or from a file that anybody may have written.</param>
    /// <exception cref="DataException">A state is none that this kind of collector saves; the message names the tensor and the rule.</exception>
    public abstract void LoadState(IReadOnlyDictionary<string, CollectorState> state);

    /// <summary>Writes the state as a cache file: JSON, floats with as many digits as read back to the same bits.</summary>
    /// <param name="path">The file; it takes its place when it is complete.</param>
    public void Save(string path) => CalibrationCache.Write(this, path);

    /// <summary>Writes the state as the text of a cache file.</summary>
    public void Save(Stream stream) => CalibrationCache.Write(this, stream);

    /// <summary>Replaces the state by that of a cache file.</summary>
    /// <exception cref="DataException">The file is broken, of another kind, or holds what no collector saves.</exception>
    public void Load(string path) => CalibrationCache.Read(this, path);

    /// <summary>Replaces the state by that of the text of a cache file.</summary>
    /// <exception cref="DataException">The text is broken, of another kind, or holds what no collector saves.</exception>
    public void Load(Stream stream) => CalibrationCache.Read(this, stream, "the cache");

    /// <summary>The error for a state that no collector of this kind saves.</summary>
    protected DataException BadState(string name, string facts, string rule) => new($"calibration state of tensor '{name}' ({Kind}): {facts}; rule: {rule}");

    /// <summary>Checks what every state has: finite extremes in order, and a count.</summary>
    protected void RequireExtremes(string name, CollectorState state)
    {
        if (!float.IsFinite(state.Min) || !float.IsFinite(state.Max) || state.Min > state.Max)
            throw BadState(name, string.Create(CultureInfo.InvariantCulture, $"the range is [{state.Min}, {state.Max}]"), "both ends are finite and min ≤ max");
        if (state.Count < 1) throw BadState(name, $"the count is {state.Count.ToString(CultureInfo.InvariantCulture)}", "at least 1");
    }
}

/// <summary>A collector whose states can be added up too.</summary>
/// <remarks>Merging the collectors of two parts of the data gives, bit for bit, the collector of all the data.</remarks>
public abstract class MergeableCollector : ResumableCollector
{
    /// <summary>
    /// Whether the state depends on the order of the samples. Where it does, merging means that the samples of the other collector came after those of this one, and data is
    /// cut between samples only.
    /// </summary>
    public virtual bool DependsOnSampleOrder => false;

    /// <summary>Adds what <paramref name="other"/> saw.</summary>
    /// <exception cref="ArgumentException"><paramref name="other"/> is of another kind.</exception>
    public abstract void Merge(MergeableCollector other);

    /// <summary>Refuses to merge another kind.</summary>
    /// <exception cref="ArgumentException"><paramref name="other"/> is null, this collector itself, or of another kind.</exception>
    protected void RequireSameKind(MergeableCollector? other)
    {
        if (other?.Kind != Kind) throw new ArgumentException($"a '{other?.Kind}' collector cannot be merged into '{Kind}'; rule: equal kinds", nameof(other));
        if (ReferenceEquals(other, this)) throw new ArgumentException($"a '{Kind}' collector cannot be merged into itself; rule: every sample counts once", nameof(other));
    }
}
