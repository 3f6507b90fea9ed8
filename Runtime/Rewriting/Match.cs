using System.Collections.Immutable;
using Octet.Runtime.Graphs;

namespace Octet.Runtime.Rewriting;

/// <summary>Where a pattern fits: the nodes and values behind its names.</summary>
internal sealed class Match
{
    private readonly ImmutableDictionary<string, Value?> _values;
    private readonly ImmutableDictionary<string, Node> _named;
    private readonly ImmutableList<Node> _nodes;
    private readonly ImmutableList<Node> _kept;

    internal Match(Node root) : this(root, ImmutableDictionary<string, Value?>.Empty, ImmutableDictionary<string, Node>.Empty, [], []) { }

    private Match(Node root, ImmutableDictionary<string, Value?> values, ImmutableDictionary<string, Node> named, ImmutableList<Node> nodes, ImmutableList<Node> kept)
    {
        (Root, _values, _named, _nodes, _kept) = (root, values, named, nodes, kept);
    }

    /// <summary>The pattern's last node.</summary>
    public Node Root { get; }

    /// <summary>The matched nodes that the rule replaces, the root first.</summary>
    public IReadOnlyList<Node> Nodes => _nodes;

    /// <summary>The value of that name: a leaf of the pattern, or output 0 of a named node.</summary>
    public Value this[string name] => _values.GetValueOrDefault(name) ?? (_named.TryGetValue(name, out Node? node) ? node.Output : throw new KeyNotFoundException($"the pattern has no value '{name}'"));

    /// <summary>The value of that name, or null where it is an input that is left out.</summary>
    public Value? Find(string name) => _values.GetValueOrDefault(name);

    /// <summary>The node of that name.</summary>
    public Node Node(string name) => _named[name];

    /// <summary>This match with one more node, or null where its name means another one.</summary>
    internal Match? Bind(Pattern pattern, Node node)
    {
        ImmutableDictionary<string, Node> named = _named;
        if (pattern.Name is { } name)
        {
            if (named.TryGetValue(name, out Node? other))
            {
                if (!ReferenceEquals(other, node)) return null;
            }
            else
            {
                named = named.Add(name, node);
            }
        }
        return pattern.IsKept
            ? new Match(Root, _values, named, _nodes, _kept.Contains(node) ? _kept : _kept.Add(node))
            : new Match(Root, _values, named, _nodes.Contains(node) ? _nodes : _nodes.Add(node), _kept);
    }

    /// <summary>This match with one more value, or null where its name means another one.</summary>
    internal Match? Bind(string name, Value? value)
    {
        if (_values.TryGetValue(name, out Value? other)) return ReferenceEquals(other, value) ? this : null;
        return new Match(Root, _values.Add(name, value), _named, _nodes, _kept);
    }
}
