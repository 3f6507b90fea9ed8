using Octet.Runtime.Graphs;

namespace Octet.Runtime.Rewriting;

/// <summary>Where a pattern fits: the nodes and values behind its names. Immutable: every further binding is another match.</summary>
internal sealed class Match
{
    private readonly Bound? _bound;
    private readonly Node[] _nodes, _kept;

    internal Match(Node root) : this(root, null, [], []) { }

    private Match(Node root, Bound? bound, Node[] nodes, Node[] kept) => (Root, _bound, _nodes, _kept) = (root, bound, nodes, kept);

    /// <summary>What a name means, and the names bound before it; the same name may mean a value and a node.</summary>
    private sealed record Bound(string Name, Value? Value, Node? Node, Bound? Earlier);

    /// <summary>The pattern's last node.</summary>
    public Node Root { get; }

    /// <summary>The matched nodes that the rule replaces, the root first.</summary>
    public IReadOnlyList<Node> Nodes => _nodes;

    /// <summary>The value of that name: a leaf of the pattern, or output 0 of a named node.</summary>
    public Value this[string name] => Find(name) ?? NamedNode(name)?.Output ?? throw new KeyNotFoundException($"the pattern has no value '{name}'");

    /// <summary>The value of that name, or null where it is an input that is left out.</summary>
    public Value? Find(string name) => NamedValue(name)?.Value;

    /// <summary>The node of that name.</summary>
    public Node Node(string name) => NamedNode(name) ?? throw new KeyNotFoundException($"the pattern has no node '{name}'");

    /// <summary>This match with one more node, or null where its name means another one.</summary>
    internal Match? Bind(Pattern pattern, Node node)
    {
        Bound? bound = _bound;
        if (pattern.Name is { } name)
        {
            Node? other = NamedNode(name);
            if (other is not null && !ReferenceEquals(other, node)) return null;
            if (other is null) bound = new Bound(name, null, node, bound);
        }
        return pattern.IsKept ? new Match(Root, bound, _nodes, With(_kept, node)) : new Match(Root, bound, With(_nodes, node), _kept);
    }

    /// <summary>This match with one more value, or null where its name means another one.</summary>
    internal Match? Bind(string name, Value? value)
    {
        if (NamedValue(name) is { } known) return ReferenceEquals(known.Value, value) ? this : null;
        return new Match(Root, new Bound(name, value, null, _bound), _nodes, _kept);
    }

    private Bound? NamedValue(string name)
    {
        for (Bound? bound = _bound; bound is not null; bound = bound.Earlier)
        {
            if (bound.Node is null && bound.Name == name) return bound;
        }
        return null;
    }

    private Node? NamedNode(string name)
    {
        for (Bound? bound = _bound; bound is not null; bound = bound.Earlier)
        {
            if (bound.Node is not null && bound.Name == name) return bound.Node;
        }
        return null;
    }

    private static Node[] With(Node[] nodes, Node node) => Array.IndexOf(nodes, node) >= 0 ? nodes : [.. nodes, node];
}
