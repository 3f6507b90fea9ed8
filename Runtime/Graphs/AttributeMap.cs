using System.Collections;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Graphs;

/// <summary>The attributes of a node.</summary>
/// <remarks>
/// A value is one of <c>long</c>, <c>float</c>, <c>string</c>, <see cref="Tensor"/>, <see cref="Graph"/>, <see cref="TensorType"/>, or an array of
/// one of them. Typed readers throw <see cref="ModelException"/> when the stored kind is another.
/// </remarks>
public sealed class AttributeMap : IEnumerable<KeyValuePair<string, object>>
{
    // In ordinal order of the names: a node has a few, for which two arrays are the fastest map to make, copy and search.
    private readonly List<string> _names = [];
    private readonly List<object> _values = [];

    private bool _heldGraphs;   // whether a subgraph was ever among the values: most nodes have none, and every pass asks

    /// <summary>Number of attributes.</summary>
    public int Count => _names.Count;

    /// <summary>Whether the attribute is present.</summary>
    public bool Contains(string name) => Find(name) >= 0;

    /// <summary>The raw value, or null where absent.</summary>
    public object? this[string name]
    {
        get => Find(name) is >= 0 and int at ? _values[at] : null;
        internal set
        {
            int at = Find(name);
            if (value is null && at >= 0)
            {
                _names.RemoveAt(at);
                _values.RemoveAt(at);
            }
            else if (value is not null && at >= 0)
            {
                _values[at] = Checked(name, value);
            }
            else if (value is not null)
            {
                object kept = Checked(name, value);
                _names.Insert(~at, name);
                _values.Insert(~at, kept);
            }
            _heldGraphs |= value is Graphs.Graph or Graphs.Graph[];
        }
    }

    /// <summary>Adds an attribute while a map is being written down: <c>new AttributeMap { ["axis"] = 1L }</c> or <c>{ { "axis", 1L } }</c>.</summary>
    public void Add(string name, object value) => this[name] = value;

    /// <summary>An integer.</summary>
    public long Int(string name, long otherwise = 0) => Read(name, otherwise);

    /// <summary>A float.</summary>
    public float Float(string name, float otherwise = 0) => Read(name, otherwise);

    /// <summary>A text.</summary>
    public string String(string name, string otherwise = "") => Read(name, otherwise);

    /// <summary>Integers, or null where absent.</summary>
    public long[]? Ints(string name) => Read<long[]?>(name, null);

    /// <summary>Floats, or null where absent.</summary>
    public float[]? Floats(string name) => Read<float[]?>(name, null);

    /// <summary>Texts, or null where absent.</summary>
    public string[]? Strings(string name) => Read<string[]?>(name, null);

    /// <summary>A tensor, or null where absent.</summary>
    public Tensor? Tensor(string name) => Read<Tensor?>(name, null);

    /// <summary>A subgraph, or null where absent.</summary>
    public Graph? Graph(string name) => Read<Graph?>(name, null);

    /// <summary>The subgraphs of all attributes.</summary>
    public IEnumerable<Graph> Subgraphs => _heldGraphs ? EnumerateSubgraphs() : [];

    private IEnumerable<Graph> EnumerateSubgraphs()
    {
        foreach (object value in _values)
        {
            if (value is Graph graph) yield return graph;
            else if (value is Graph[] graphs) foreach (Graph inner in graphs) yield return inner;
        }
    }

    /// <summary>A copy; subgraphs and tensors are shared.</summary>
    internal AttributeMap Copy()
    {
        var copy = new AttributeMap { _heldGraphs = _heldGraphs };
        copy._names.AddRange(_names);
        copy._values.AddRange(_values);
        return copy;
    }

    /// <inheritdoc/>
    public IEnumerator<KeyValuePair<string, object>> GetEnumerator()
    {
        for (int i = 0; i < _names.Count; i++) yield return new(_names[i], _values[i]);
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private T Read<T>(string name, T otherwise)
    {
        if (Find(name) is not (>= 0 and int at)) return otherwise;
        object value = _values[at];
        if (value is T typed) return typed;
        // An empty list is written by some exporters under whichever list kind came first.
        if (value is Array { Length: 0 } && typeof(T).IsArray) return otherwise;
        throw new ModelException($"attribute '{name}' is {Kind(value)}; rule: it must be {KindOf(typeof(T))}");
    }

    /// <summary>Where the name stands; where it is not, the complement of where it would.</summary>
    private int Find(string name)
    {
        for (int i = 0; i < _names.Count; i++)
        {
            int order = string.CompareOrdinal(_names[i], name);
            if (order >= 0) return order == 0 ? i : ~i;
        }
        return ~_names.Count;
    }

    private static object Checked(string name, object value) => value switch
    {
        long or float or string or Tensors.Tensor or Graphs.Graph or TensorType
            or long[] or float[] or string[] or Tensors.Tensor[] or Graphs.Graph[] or TensorType[] => value,
        int number => (long)number,
        bool flag => flag ? 1L : 0L,
        _ => throw new ArgumentException($"attribute '{name}' cannot hold {value.GetType().Name}", nameof(value)),
    };

    internal static string Kind(object value) => KindOf(value.GetType());

    private static string KindOf(Type type) =>
        type == typeof(long) ? "an integer" : type == typeof(float) ? "a float" : type == typeof(string) ? "a text"
        : type == typeof(Tensors.Tensor) ? "a tensor" : type == typeof(Graphs.Graph) ? "a graph" : type == typeof(TensorType) ? "a type"
        : type == typeof(long[]) ? "integers" : type == typeof(float[]) ? "floats" : type == typeof(string[]) ? "texts"
        : type == typeof(Tensors.Tensor[]) ? "tensors" : type == typeof(Graphs.Graph[]) ? "graphs" : "types";
}
