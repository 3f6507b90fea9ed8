using Octet.Runtime.Graphs;

namespace Octet.Runtime.Rewriting;

/// <summary>A shape of graph that a rule looks for, written from its last node to its inputs.</summary>
/// <remarks>
/// <code>
///   Pattern.Op("Relu", Pattern.Op("Conv", Pattern.Any("x"), Pattern.Constant("w"), Pattern.Optional("b")).As("conv")).As("relu")
/// </code>
/// A name that stands twice means the same value twice. A node has no more inputs than its pattern, and lacks only those that are
/// <see cref="Optional"/>; <see cref="AnyInputs"/> takes whatever inputs there are.
/// </remarks>
internal sealed class Pattern
{
    private enum Kind { Value, Constant, Optional, Node }

    private readonly Kind _kind;
    private readonly string[] _types = [];
    private readonly Pattern[]? _inputs;

    private Pattern(Kind kind, string? name) => (_kind, Name) = (kind, name);

    private Pattern(string[] types, Pattern[]? inputs, string? name, bool commutative, bool kept)
    {
        (_kind, _types, _inputs, Name, IsCommutative, IsKept) = (Kind.Node, types, inputs, name, commutative, kept);
    }

    /// <summary>The name under which the match finds the value or node, or null.</summary>
    public string? Name { get; }

    /// <summary>Whether the first two inputs may stand in either order.</summary>
    public bool IsCommutative { get; }

    /// <summary>Whether the rule only looks at the node and leaves it in the graph, so that others may read it too.</summary>
    public bool IsKept { get; }

    /// <summary>Types of the nodes that a match of this pattern takes out of the graph, as <see cref="Op"/> writes them.</summary>
    public IEnumerable<string> ReplacedTypes => (IsKept ? [] : _types).Concat(_inputs?.SelectMany(input => input.ReplacedTypes) ?? []);

    /// <summary>Any value.</summary>
    public static Pattern Any(string name) => new(Kind.Value, name);

    /// <summary>A constant.</summary>
    public static Pattern Constant(string name) => new(Kind.Constant, name);

    /// <summary>Any value, or an input that is left out.</summary>
    public static Pattern Optional(string name) => new(Kind.Optional, name);

    /// <summary>Output 0 of a node of one of the types; a type of another domain than ONNX's own is written <c>domain.Type</c>, several are separated by <c>|</c>.</summary>
    public static Pattern Op(string types, params Pattern[] inputs) => new(types.Split('|'), inputs, null, false, false);

    /// <summary>Output 0 of a node of one of the types, whatever its inputs.</summary>
    public static Pattern AnyInputs(string types) => new(types.Split('|'), null, null, false, false);

    /// <summary>The same pattern under a name.</summary>
    public Pattern As(string name) => new(_types, _inputs, name, IsCommutative, IsKept);

    /// <summary>The same pattern whose first two inputs may stand in either order.</summary>
    public Pattern EitherOrder() => new(_types, _inputs, Name, true, IsKept);

    /// <summary>The same pattern, whose node stays where it is.</summary>
    public Pattern Kept() => new(_types, _inputs, Name, IsCommutative, true);

    /// <summary>All ways in which the pattern fits <paramref name="node"/>.</summary>
    public IEnumerable<Match> Matches(Node node) =>
        _kind == Kind.Node && Accepts(node) ? MatchNode(node, new Match(node)) : [];

    private bool Accepts(Node node)
    {
        foreach (string type in _types)
        {
            if (node.Domain.Length == 0 ? node.OperatorType == type
                : type.Length == node.Domain.Length + 1 + node.OperatorType.Length && type.StartsWith(node.Domain, StringComparison.Ordinal)
                    && type[node.Domain.Length] == '.' && type.EndsWith(node.OperatorType, StringComparison.Ordinal)) return true;
        }
        return false;
    }

    private IEnumerable<Match> MatchNode(Node node, Match match)
    {
        Match? bound = match.Bind(this, node);
        if (bound is null) yield break;
        if (_inputs is null)
        {
            yield return bound;
            yield break;
        }
        for (int i = _inputs.Length; i < node.Inputs.Count; i++)
        {
            if (node.Inputs[i] is not null) yield break;
        }
        foreach (Match found in MatchInputs(node, 0, swapped: false, bound)) yield return found;
        if (!IsCommutative) yield break;
        foreach (Match found in MatchInputs(node, 0, swapped: true, bound)) yield return found;
    }

    private IEnumerable<Match> MatchInputs(Node node, int index, bool swapped, Match match)
    {
        if (index == _inputs!.Length)
        {
            yield return match;
            yield break;
        }
        int at = swapped && index < 2 ? 1 - index : index;
        foreach (Match found in _inputs[index].MatchValue(node.Input(at), node, match))
        {
            foreach (Match complete in MatchInputs(node, index + 1, swapped, found)) yield return complete;
        }
    }

    private IEnumerable<Match> MatchValue(Value? value, Node reader, Match match)
    {
        switch (_kind)
        {
            case Kind.Optional:
                return match.Bind(Name!, value) is { } withOptional ? [withOptional] : [];
            case Kind.Value:
                return value is not null && match.Bind(Name!, value) is { } withValue ? [withValue] : [];
            case Kind.Constant:
                return value?.Constant is not null && match.Bind(Name!, value) is { } withConstant ? [withConstant] : [];
            default:
                bool fits = value?.Producer is { } producer && value.OutputIndex == 0 && ReferenceEquals(producer.Graph, reader.Graph) && Accepts(producer);
                return fits ? MatchNode(value!.Producer!, match) : [];
        }
    }
}
