using Octet.Runtime.Graphs;

namespace Octet.Runtime.Rewriting;

/// <summary>What a rule did with a match.</summary>
internal readonly record struct RewriteResult
{
    private RewriteResult(bool applied, string reason) => (Applied, Reason) = (applied, reason);

    /// <summary>The graph was changed.</summary>
    public static RewriteResult Done { get; } = new(true, "");

    /// <summary>The graph stays as it is, because of <paramref name="reason"/>: a sentence that <c>octet explain</c> prints.</summary>
    public static RewriteResult Refuse(string reason) => new(false, reason);

    /// <summary>Whether the graph was changed.</summary>
    public bool Applied { get; }

    /// <summary>Why not; empty where it was.</summary>
    public string Reason { get; }
}

/// <summary>One rewriting: a pattern, refusals with a reason, and what takes the pattern's place.</summary>
internal abstract class RewriteRule
{
    /// <summary>A name by which the rule can be switched off: lower case, words joined by hyphens.</summary>
    public abstract string Name { get; }

    /// <summary>What it looks for.</summary>
    public abstract Pattern Pattern { get; }

    /// <summary>All forms that it looks for, where there are several; the first is <see cref="Pattern"/>.</summary>
    public virtual IReadOnlyList<Pattern> Patterns => [Pattern];

    /// <summary>Types of the nodes that the rule takes out of the graph, each once; <c>domain.Type</c> where the domain is not ONNX's own.</summary>
    public IReadOnlyList<string> Absorbs => [.. Patterns.SelectMany(pattern => pattern.ReplacedTypes).Distinct()];

    /// <summary>Changes the graph, or refuses before it has changed anything.</summary>
    public abstract RewriteResult Rewrite(Match match, GraphEditor editor);
}

/// <summary>What happened to one match of one rule.</summary>
/// <param name="Rule">Name of the rule.</param>
/// <param name="Node">Name of the node where the match ends.</param>
/// <param name="Applied">Whether the graph was changed.</param>
/// <param name="Reason">Why not.</param>
internal sealed record RewriteReport(string Rule, string Node, bool Applied, string Reason);
