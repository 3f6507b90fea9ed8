using System.Collections.Immutable;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>Gives every value the type that its operator's <see cref="Operator.Infer"/> derives, nodes in order.</summary>
/// <remarks>
/// A type that the file declares fills what inference leaves open while an input of the graph is still symbolic. Once all inputs are concrete the
/// declared extents may be those of another input size, so only inferred ones count; the declared element type still fills a gap. Operators that
/// Octet does not know keep what is declared.
/// </remarks>
internal static class TypeInference
{
    /// <summary>Infers the whole graph.</summary>
    /// <exception cref="ModelException">The inputs of a node do not fit its operator.</exception>
    public static void Run(Graph graph)
    {
        bool trustDeclared = TrustsDeclared(graph);
        var editor = new GraphEditor(graph);
        foreach (Node node in graph.Nodes) Infer(node, editor, trustDeclared);
    }

    /// <summary>Whether declared extents may fill what inference leaves open.</summary>
    internal static bool TrustsDeclared(Graph graph) => graph.Inputs.Any(input => !input.IsConstant && !input.Type.IsConcrete);

    /// <summary>Infers the outputs of one node from its inputs' present types; true if a type changed.</summary>
    internal static bool Infer(Node node, GraphEditor editor, bool trustDeclared)
    {
        if (OperatorTable.Find(node) is not { } op) return false;
        var inputs = new TensorType?[node.Inputs.Count];
        for (int i = 0; i < inputs.Length; i++) inputs[i] = node.Inputs[i]?.Type;
        var context = new InferContext(node, inputs, index => node.Input(index)?.Constant, InferSubgraph);
        try
        {
            op.Infer(context);
        }
        catch (Exception failure) when (OperatorFailure.Covers(failure))
        {
            throw context.Error($"the types of its outputs cannot be derived: {failure.Message}", "inputs and attributes fit the operator");
        }

        bool changed = false;
        for (int i = 0; i < node.Outputs.Count; i++)
        {
            if (node.Outputs[i] is not { } output) continue;
            TensorType merged = Merge(context.Outputs[i], output.Type, trustDeclared);
            if (merged.Equals(output.Type)) continue;
            editor.SetType(output, merged);
            changed = true;
        }
        return changed;
    }

    /// <summary>What is known from both; where they contradict each other the inferred type holds.</summary>
    internal static TensorType Merge(TensorType inferred, TensorType declared, bool trustDeclared)
    {
        DataType element = inferred.Element == DataType.Undefined ? declared.Element : inferred.Element;
        Container container = inferred.Element == DataType.Undefined && inferred.Container == Container.None ? declared.Container : inferred.Container;
        ImmutableArray<Dim>? shape = inferred.Shape;
        if (trustDeclared && declared.Shape is { } told)
        {
            if (shape is not { } found)
            {
                shape = told;
            }
            else if (found.Length == told.Length)
            {
                ImmutableArray<Dim>.Builder dims = ImmutableArray.CreateBuilder<Dim>(found.Length);
                for (int i = 0; i < found.Length; i++)
                {
                    bool declaredIsBetter = !found[i].IsKnown && (told[i].IsKnown || (found[i].Symbol is null && told[i].Symbol is not null));
                    dims.Add(declaredIsBetter ? told[i] : found[i]);
                }
                shape = dims.MoveToImmutable();
            }
        }
        return new TensorType(element) { Shape = shape, Container = container };
    }

    /// <summary>Infers a subgraph for inputs of the given types; what an earlier call found inside it is forgotten.</summary>
    private static IReadOnlyList<TensorType> InferSubgraph(Graph graph, IReadOnlyList<TensorType> inputs)
    {
        var editor = new GraphEditor(graph);
        for (int i = 0; i < graph.Inputs.Count && i < inputs.Count; i++)
        {
            DataType element = inputs[i].Element == DataType.Undefined ? graph.Inputs[i].Type.Element : inputs[i].Element;
            if (!graph.Inputs[i].IsConstant) editor.SetType(graph.Inputs[i], inputs[i] with { Element = element });
        }
        foreach (Node node in graph.Nodes) Infer(node, editor, trustDeclared: false);
        return [.. graph.Outputs.Select(output => output.Type)];
    }
}
