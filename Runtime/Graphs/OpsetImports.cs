using System.Collections;

namespace Octet.Runtime.Graphs;

/// <summary>Which version of each operator set a model uses.</summary>
public sealed class OpsetImports : IEnumerable<KeyValuePair<string, int>>
{
    /// <summary>ONNX's own domain, by its second name.</summary>
    internal const string OnnxAlias = "ai.onnx";

    private readonly Dictionary<string, int> _versions = new(StringComparer.Ordinal);

    /// <summary>Imports of a model that uses only ONNX's own operators.</summary>
    public OpsetImports(int version = 0)
    {
        if (version > 0) _versions[""] = version;
    }

    /// <summary>The version of <paramref name="domain"/>; 1 where the model does not import it.</summary>
    public int Version(string domain) => _versions.TryGetValue(Canonical(domain), out int version) ? version : 1;

    /// <summary>Whether the model imports <paramref name="domain"/>.</summary>
    public bool Contains(string domain) => _versions.ContainsKey(Canonical(domain));

    /// <summary>Domains in ordinal order, with their versions.</summary>
    public IEnumerator<KeyValuePair<string, int>> GetEnumerator() => _versions.OrderBy(import => import.Key, StringComparer.Ordinal).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    internal void Set(string domain, int version) => _versions[Canonical(domain)] = version;

    internal OpsetImports Copy()
    {
        var copy = new OpsetImports();
        foreach ((string domain, int version) in _versions) copy._versions.Add(domain, version);
        return copy;
    }

    /// <summary>The spelling used inside: ONNX's own domain is the empty text.</summary>
    internal static string Canonical(string domain) => domain == OnnxAlias ? "" : domain;
}
