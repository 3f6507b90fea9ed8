using Octet.Runtime;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Calibration;

/// <summary>Watches tensors while samples run and turns what it saw into one range per tensor. Derive from it to calibrate your own way.</summary>
/// <remarks>
/// <see cref="Collect"/> is called once per tensor and sample, never at the same time from two threads. A collector keeps a bounded state, however many samples come:
/// what it returns may depend on the values seen, not on how they were cut into samples.
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

    /// <summary>The error for values that have no place in a range.</summary>
    protected static DataException NotFinite(string name, float value) =>
        new($"tensor '{name}' holds {value.ToString(System.Globalization.CultureInfo.InvariantCulture)} during calibration; rule: every calibrated value is finite");
}

/// <summary>A collector whose state can be added up and stored.</summary>
/// <remarks>Merging the collectors of two parts of the data gives, bit for bit, the collector of all the data.</remarks>
public abstract class MergeableCollector : CalibrationCollector
{
    /// <summary>Adds what <paramref name="other"/> saw.</summary>
    /// <exception cref="ArgumentException"><paramref name="other"/> is of another kind or has other settings.</exception>
    public abstract void Merge(MergeableCollector other);

    /// <summary>The name of the kind and its settings, as the cache file records them; only equal kinds may be merged.</summary>
    public abstract string Kind { get; }

    /// <summary>The state of every tensor.</summary>
    internal abstract IReadOnlyDictionary<string, CollectorState> SaveState();

    /// <summary>Replaces the state.</summary>
    internal abstract void LoadState(IReadOnlyDictionary<string, CollectorState> state);
}

/// <summary>What a collector remembers of one tensor, in the form of the cache file.</summary>
/// <param name="Min">Least value.</param>
/// <param name="Max">Greatest value.</param>
/// <param name="Count">Elements seen.</param>
/// <param name="Sum">A sum that the collector defines.</param>
/// <param name="Exponent">Histogram: bins are 2^Exponent wide.</param>
/// <param name="FirstBin">Histogram: index of the first bin; bin i covers [i, i + 1) · 2^Exponent.</param>
/// <param name="Bins">Histogram: counts.</param>
internal sealed record CollectorState(float Min, float Max, long Count, double Sum = 0, int Exponent = 0, int FirstBin = 0, long[]? Bins = null);
