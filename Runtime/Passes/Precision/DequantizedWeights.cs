using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>Weights that are stored quantized but multiplied as float become float constants, once per model, so that they are packed like any other weights.</summary>
/// <remarks>
/// After lowering: what is left then runs in float. A <c>DequantizeLinear</c> of constants is folded where all who read it are convolutions and products that take it as
/// their second operand; elsewhere (a table that <c>Gather</c> picks rows of) float would only take four times the memory.
/// </remarks>
internal static class DequantizedWeights
{
    /// <summary>Folds them in <paramref name="graph"/>.</summary>
    /// <param name="graph">The graph of a plan.</param>
    /// <param name="options">Holds the store that the float tensors are kept in, beside the stored ones.</param>
    /// <param name="kept">Names of values that stay.</param>
    public static void Fold(Graph graph, PlanOptions options, IReadOnlySet<string> kept)
    {
        var editor = new GraphEditor(graph);
        foreach (Node node in graph.Nodes.ToArray())
        {
            if (node.OperatorType != "DequantizeLinear" || node.Outputs is not [{ } output] || output.IsGraphOutput || kept.Contains(output.Name)) continue;
            if (node.Inputs.Any(input => input is { IsConstant: false }) || node.Input(0)?.Constant is not { } stored) continue;
            if (output.Uses.Count == 0 || !output.Uses.All(use => use.Index == 1 && IsProduct(use.Node))) continue;

            string key = "dequantized " + string.Join(' ', node.Attributes.Select(attribute => $"{attribute.Key}={attribute.Value}"))
                + string.Concat(node.Inputs.Skip(1).Select(input => input is null ? " -" : $" {options.Weights.Identity(input.Constant!)}"));
            Operator op = OperatorTable.Require(node);
            Tensor folded = options.Weights.Get(stored, key,
                () => (Tensor)op.Evaluate(new EvaluateContext(node, [.. node.Inputs.Select(input => input?.Constant)], options, Parallelism.None))[0]!);
            editor.Detach(node);
            editor.SetConstant(output, folded);
        }
    }

    private static bool IsProduct(Node node) => node.Is("Conv") || node.Is("ConvTranspose") || node.Is("Gemm") || node.Is("MatMul");
}
