using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>Computes once, when a model is prepared, what does not depend on its inputs.</summary>
/// <remarks>
/// Folded: a node whose inputs are all constants; <c>Shape</c> and <c>Size</c> of a value of known extents; an <c>If</c> with a constant condition,
/// whose branch takes its place. Not folded: random operators; results above <see cref="MostBytes"/> that are larger than what they are made from;
/// <c>DequantizeLinear</c>, because its constant carries the quantization that lowering needs.
/// </remarks>
internal static class ConstantFolding
{
    /// <summary>Largest constant that folding may create from smaller ones.</summary>
    internal const long MostBytes = 64L << 20;

    /// <summary>Folds one node if it can be.</summary>
    /// <param name="node">The node; gone afterwards if folded.</param>
    /// <param name="editor">Editor of its graph.</param>
    /// <param name="options">What evaluation may use.</param>
    /// <param name="trustTypes">Whether extents are those of every run; not so inside loop bodies, where they may differ between iterations.</param>
    /// <param name="refused">Nodes whose evaluation failed before, which are not tried again.</param>
    /// <returns>Whether it was folded.</returns>
    public static bool Fold(Node node, GraphEditor editor, PlanOptions options, bool trustTypes, HashSet<Node> refused)
    {
        if (trustTypes && FoldShape(node, editor)) return true;
        if (node.Is("If")) return InlineBranch(node, editor);
        if (refused.Contains(node) || !IsCandidate(node, out Operator? op)) return false;

        var inputs = new RuntimeValue?[node.Inputs.Count];
        for (int i = 0; i < inputs.Length; i++) inputs[i] = node.Inputs[i]?.Constant;
        RuntimeValue?[] results;
        try
        {
            results = op!.Evaluate(new EvaluateContext(node, inputs, options, Parallelism.None));
        }
        catch (Exception failure) when (failure is OctetException || OperatorFailure.Covers(failure))
        {
            // Planning or running the node reports what is wrong with it, if it is ever reached.
            refused.Add(node);
            return false;
        }

        for (int i = 0; i < node.Outputs.Count; i++)
        {
            if (node.Outputs[i] is not null && (i >= results.Length || results[i] is not Tensor))
            {
                refused.Add(node);
                return false;
            }
        }
        Value?[] outputs = [.. node.Outputs];
        editor.Detach(node);
        for (int i = 0; i < outputs.Length; i++)
        {
            if (outputs[i] is { } output) editor.SetConstant(output, (Tensor)results[i]!);
        }
        return true;
    }

    private static bool IsCandidate(Node node, out Operator? op)
    {
        op = null;
        if (node.OperatorType == "DequantizeLinear" || node.Outputs.Count == 0 || node.Attributes.Subgraphs.Any()) return false;
        long read = 0;
        foreach (Value? input in node.Inputs)
        {
            if (input is null) continue;
            if (input.Constant is not { } tensor) return false;
            read += Bytes(tensor.Type, tensor.Length);
        }
        op = OperatorTable.Find(node);
        if (op is null || op.IsRandom) return false;
        long made = 0;
        foreach (Value? output in node.Outputs)
        {
            if (output is null) continue;
            if (output.Type.Container != Container.None) return false;
            if (!output.Type.IsConcrete)
            {
                if (op.IsDynamic) continue;
                return false;
            }
            double elements = 1;
            foreach (Dim dim in output.Type.Shape!.Value) elements *= dim.Value;
            if (elements > int.MaxValue) return false;
            made += Bytes(output.Type.Element, (long)elements);
        }
        return made <= MostBytes || made <= read;
    }

    private static long Bytes(DataType type, long elements) => elements * Math.Max(1, type.Size());

    /// <summary><c>Shape</c> and <c>Size</c> need only the type of what they measure.</summary>
    private static bool FoldShape(Node node, GraphEditor editor)
    {
        if (!(node.Is("Shape") || node.Is("Size")) || node.Input(0)?.Type is not { Shape: { } shape, Container: Container.None }) return false;
        Tensor result;
        if (node.Is("Size"))
        {
            long size = 1;
            foreach (Dim dim in shape)
            {
                if (!dim.IsKnown) return false;
                size = checked(size * dim.Value);
            }
            result = Tensor.Scalar(size);
        }
        else
        {
            int start = Clamp(node.Attributes.Int("start"), shape.Length), end = Clamp(node.Attributes.Int("end", shape.Length), shape.Length);
            var extents = new long[Math.Max(0, end - start)];
            for (int i = 0; i < extents.Length; i++)
            {
                if (!shape[start + i].IsKnown) return false;
                extents[i] = shape[start + i].Value;
            }
            result = Tensor.Create(extents, extents.Length);
        }
        Value output = node.Output;
        editor.Detach(node);
        editor.SetConstant(output, result);
        return true;
    }

    private static int Clamp(long index, int rank) => (int)Math.Clamp(index < 0 ? index + rank : index, 0, rank);

    /// <summary>Puts the nodes of the chosen branch where the <c>If</c> stands.</summary>
    private static bool InlineBranch(Node node, GraphEditor editor)
    {
        if (node.Input(0)?.Constant is not { Type: DataType.Bool, Length: 1 } condition) return false;
        string chosen = condition.Span<bool>()[0] ? "then_branch" : "else_branch";
        if (node.Attributes.Graph(chosen) is not { } branch || branch.Outputs.Count != node.Outputs.Count) return false;

        var map = new Dictionary<Value, Value>();
        foreach (Value value in branch.Values)
        {
            map[value] = value.Constant is { } tensor ? editor.AddConstant(value.Name, tensor) : editor.AddValue(value.Name, value.Type);
        }
        foreach (Node inner in branch.Nodes)
        {
            var attributes = new AttributeMap();
            foreach ((string name, object attribute) in inner.Attributes)
            {
                attributes[name] = attribute switch
                {
                    Graph deeper => deeper.Clone(map, editor.Graph),
                    Graph[] deeper => Array.ConvertAll(deeper, graph => graph.Clone(map, editor.Graph)),
                    _ => attribute,
                };
            }
            Value?[] inputs = [.. inner.Inputs.Select(input => input is null ? null : map.GetValueOrDefault(input, input))];
            Value?[] outputs = [.. inner.Outputs.Select(output => output is null ? null : map[output])];
            editor.AddNode(inner.OperatorType, inputs, outputs, attributes, inner.Domain, inner.Name, like: node, origins: [.. node.Origins, .. inner.Origins]);
        }
        for (int i = 0; i < node.Outputs.Count; i++)
        {
            if (node.Outputs[i] is { } output) editor.ReplaceUses(output, map.GetValueOrDefault(branch.Outputs[i], branch.Outputs[i]));
        }
        editor.Remove(node);
        return true;
    }
}
