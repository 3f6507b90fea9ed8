using Octet.Runtime.Graphs;

namespace Octet.Runtime.Passes;

/// <summary>How a node of a lowered graph computes.</summary>
internal enum NodeForm
{
    /// <summary>An integer operator.</summary>
    Integer,

    /// <summary>Moves bytes without computing.</summary>
    Movement,

    /// <summary>QuantizeLinear or DequantizeLinear: where integers and real values meet.</summary>
    Boundary,

    /// <summary>Computes in float, or on values that are never quantized (shapes, indices).</summary>
    Float,
}

/// <summary>Why a node is what it is.</summary>
/// <param name="Node">Its name in the lowered graph.</param>
/// <param name="OperatorType">Its type, domain included.</param>
/// <param name="Origins">Nodes of the original model that it stands for.</param>
/// <param name="Form">How it computes.</param>
/// <param name="Rules">Rules that made it, in order; empty where none did.</param>
/// <param name="Reason">Why it is what it is, where no rule made it: why it has no integer form, why integers and real values meet there.</param>
internal sealed record NodeExplanation(string Node, string OperatorType, IReadOnlyList<string> Origins, NodeForm Form, IReadOnlyList<string> Rules, string Reason);

/// <summary>What the lowering did: an explanation for every node, and what every rule did or refused.</summary>
internal sealed class LoweringReport
{
    private readonly List<(string Rule, string Node)> _applied = [];
    private readonly List<(string Rule, string Node, string Reason)> _refused = [];
    private readonly List<NodeExplanation> _explanations = [];

    /// <summary>Names of rules that must not run.</summary>
    public IReadOnlySet<string> Disabled { get; init; } = new HashSet<string>();

    /// <summary>Every application: the rule and the node that it took as its anchor.</summary>
    public IReadOnlyList<(string Rule, string Node)> Applied => _applied;

    /// <summary>Every refusal that still holds: the rule, the node and why.</summary>
    public IReadOnlyList<(string Rule, string Node, string Reason)> Refused => _refused;

    /// <summary>One line per node of the lowered graph, in the order in which nodes run.</summary>
    public IReadOnlyList<NodeExplanation> Explanations => _explanations;

    /// <summary>The explanation of the node that stands for <paramref name="origin"/>, or null.</summary>
    public NodeExplanation? For(string origin) => _explanations.FirstOrDefault(line => line.Origins.Contains(origin)) ?? _explanations.FirstOrDefault(line => line.Node == origin);

    internal void AddApplied(string rule, Node node) => _applied.Add((rule, node.Name));

    internal void AddRefused(string rule, Node node, string reason) => _refused.Add((rule, node.Name, reason));

    internal void Add(NodeExplanation line) => _explanations.Add(line);
}
