using Octet.Runtime.Graphs;

namespace Octet.Runtime.Passes;

/// <summary>What a rule did at a node.</summary>
internal readonly record struct LoweringResult(bool Applied, string? Reason)
{
    /// <summary>The node is none of the rule's business.</summary>
    public static LoweringResult None => default;

    /// <summary>The graph changed.</summary>
    public static LoweringResult Done => new(true, null);

    /// <summary>The rule is about such nodes, but not about this one.</summary>
    /// <param name="reason">Half a sentence about the node: what is missing.</param>
    public static LoweringResult Refuse(string reason) => new(false, reason);
}

/// <summary>One step from <c>DequantizeLinear → operator → QuantizeLinear</c> towards integer operators.</summary>
/// <remarks>
/// A rule looks at one node, its anchor, and what stands in front of it. It either leaves the graph as it is or makes one change that keeps every value
/// within the contract of docs/numerics.md. Rules run to a fixed point, so a rule does one thing.
/// </remarks>
internal abstract class LoweringRule
{
    /// <summary>Name for reports and switches.</summary>
    public abstract string Name { get; }

    /// <summary>When the rule starts: 0 brings graphs into the form that the others expect, 1 is the lowering, 2 takes what is left once nothing else applies, 3 changes how tensors are stored once their readers are settled. A rule runs on in later phases.</summary>
    public virtual int Phase => 1;

    /// <summary>Looks at <paramref name="node"/>.</summary>
    public abstract LoweringResult Apply(Node node, LoweringContext c);
}
