using Octet.Runtime.Graphs;

namespace Octet.Runtime.Rewriting;

/// <summary>How a rewriter treats a graph.</summary>
internal sealed record RewriteOptions
{
    /// <summary>Names of rules that are switched off.</summary>
    public IReadOnlySet<string> Disabled { get; init; } = new HashSet<string>();

    /// <summary>Names of values that somebody watches, so that they may not disappear.</summary>
    public IReadOnlySet<string> Observed { get; init; } = new HashSet<string>();

    /// <summary>Whether the graph is verified after each application; always so in Debug builds.</summary>
    public bool Verify { get; init; }
}

/// <summary>Applies rules to a graph, from outputs to inputs, until none applies any more.</summary>
/// <remarks>
/// What every rule needs is checked here, once: a value inside a match that disappears with it may not be a graph output, may not be read
/// outside the match, and may not be watched.
/// </remarks>
/// <param name="rules">The rules; of two that fit the same node the earlier one is tried first.</param>
internal sealed class Rewriter(IReadOnlyList<RewriteRule> rules)
{
    /// <summary>Sweeps over the graph after which a set of rules that feed each other is stopped.</summary>
    private const int MostSweeps = 64;

    /// <summary>Rewrites <paramref name="graph"/>, not its subgraphs.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="options">Options.</param>
    /// <param name="report">Receives every application, and each refusal once.</param>
    /// <returns>Whether the graph was changed.</returns>
    public bool Run(Graph graph, RewriteOptions options, ICollection<RewriteReport>? report = null)
    {
        var editor = new GraphEditor(graph);
        var refusals = new HashSet<RewriteReport>();
        var active = new List<ActiveRule>();
        foreach (RewriteRule rule in rules)
        {
            if (!options.Disabled.Contains(rule.Name)) active.Add(new ActiveRule(rule, [.. rule.Patterns]));
        }
        bool changed = false;
        for (int sweep = 0; sweep < MostSweeps; sweep++)
        {
            bool again = false;
            refusals.Clear();
            Node[] nodes = [.. graph.Nodes];
            for (int i = nodes.Length - 1; i >= 0; i--)
            {
                if (IsAlive(nodes[i])) again |= Visit(nodes[i], active, editor, options, report, refusals);
            }
            if (!again) break;
            changed = true;
        }
        foreach (RewriteReport refusal in refusals) report?.Add(refusal);
        return changed;
    }

    private sealed record ActiveRule(RewriteRule Rule, Pattern[] Patterns);

    private static bool Visit(Node node, List<ActiveRule> active, GraphEditor editor, RewriteOptions options, ICollection<RewriteReport>? report, HashSet<RewriteReport> refusals)
    {
        foreach ((RewriteRule rule, Pattern[] patterns) in active)
        {
            foreach (Pattern pattern in patterns)
            {
                foreach (Match match in pattern.Matches(node))
                {
                    string? obstacle = Obstacle(match, options);
                    RewriteResult result = obstacle is null ? rule.Rewrite(match, editor) : RewriteResult.Refuse(obstacle);
                    if (!result.Applied)
                    {
                        refusals.Add(new RewriteReport(rule.Name, node.Name, false, result.Reason));
                        continue;
                    }
                    report?.Add(new RewriteReport(rule.Name, node.Name, true, ""));
                    Check(editor.Graph, rule, options);
                    return true;
                }
            }
        }
        return false;
    }

    /// <summary>Why the inner nodes of a match may not disappear, or null where they may.</summary>
    private static string? Obstacle(Match match, RewriteOptions options)
    {
        HashSet<Value>? returned = null;
        foreach (Node node in match.Nodes)
        {
            if (ReferenceEquals(node, match.Root)) continue;
            foreach (Value? output in node.Outputs)
            {
                if (output is null) continue;
                if (output.IsGraphOutput) return $"'{output.Name}' is an output of the graph";
                if (options.Observed.Contains(output.Name)) return $"'{output.Name}' is observed";
                foreach (Use use in output.Uses)
                {
                    if (!match.Nodes.Contains(use.Node)) return $"'{output.Name}' is also read by {use.Node}";
                }
                returned ??= ReturnedBySubgraphs(node.Graph);
                if (returned.Contains(output)) return $"'{output.Name}' is returned by a subgraph";
            }
        }
        return null;
    }

    private static HashSet<Value> ReturnedBySubgraphs(Graph graph)
    {
        var returned = new HashSet<Value>();
        foreach (Node node in graph.AllNodes())
        {
            foreach (Graph inner in node.Attributes.Subgraphs) returned.UnionWith(inner.Outputs);
        }
        return returned;
    }

    private static bool IsAlive(Node node)
    {
        foreach (Value? output in node.Outputs)
        {
            if (output is not null) return ReferenceEquals(output.Producer, node) && ReferenceEquals(node.Graph.Find(output.Name), output);
        }
        return false;
    }

    private static void Check(Graph graph, RewriteRule rule, RewriteOptions options)
    {
#if DEBUG
        bool verify = true;
#else
        bool verify = options.Verify;
#endif
        if (!verify) return;
        try
        {
            GraphVerifier.Verify(graph);
        }
        catch (ModelException broken)
        {
            throw new InvalidOperationException($"rule '{rule.Name}' broke the graph: {broken.Message}", broken);
        }
    }
}
