using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;

namespace Octet.Runtime.Passes;

/// <summary>Type inference, constant folding, merging of equal nodes and clean-up, to a fixed point. For symbolic graphs and for graphs whose input shapes are set.</summary>
internal static class Simplifier
{
    /// <summary>Rounds after which a graph counts as simple enough; two or three are usual.</summary>
    private const int MostRounds = 32;

    /// <summary>Simplifies <paramref name="graph"/> and its subgraphs in place.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="options">What the evaluation of constants may use.</param>
    /// <param name="disabled">Names of clean-up rules that must not run (<see cref="Cleanup"/>).</param>
    /// <exception cref="ModelException">The inputs of a node do not fit its operator.</exception>
    public static void Run(Graph graph, PlanOptions options, IReadOnlySet<string>? disabled = null)
    {
        Run(graph, options, trustTypes: true, [], disabled);
#if DEBUG
        GraphVerifier.Verify(graph);
#endif
    }

    private static bool Run(Graph graph, PlanOptions options, bool trustTypes, HashSet<Node> refused, IReadOnlySet<string>? disabled)
    {
        var editor = new GraphEditor(graph);
        bool changed = false;
        for (int round = 0; round < MostRounds; round++)
        {
            bool again = false;
            bool trustDeclared = graph.Parent is null && TypeInference.TrustsDeclared(graph);
            foreach (Node node in graph.Nodes.ToArray())
            {
                again |= TypeInference.Infer(node, editor, trustDeclared);
                bool bodyRunsOnce = trustTypes && node.Is("If");
                foreach (Graph inner in node.Attributes.Subgraphs)
                {
                    try
                    {
                        again |= Run(inner, options, bodyRunsOnce, refused, disabled);
                    }
                    catch (ModelException) when (node.Is("If"))
                    {
                        // A branch that these inputs do not fit: the operator has inferred the other, and running this one reports what is wrong.
                    }
                }
                again |= ConstantFolding.Fold(node, editor, options, trustTypes, refused);
            }
            again |= CommonSubexpressions.Run(editor);
            again |= Cleanup.Run(editor, trustTypes, disabled);
            if (!again) break;
            changed = true;
        }
        return changed;
    }
}
