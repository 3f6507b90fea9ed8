using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;

namespace Octet.Runtime.Passes;

/// <summary>A quantized tensor that never falls below some byte is stored less that byte, and its readers learn its largest value.</summary>
/// <remarks>
/// An int8 tensor is stored as q + 128; behind ReLU only 128 … 255 occur. Stored as 0 … 127 with zero point 0 it means the same numbers, and products with bytes up to 127 cannot saturate
/// 16 bits whatever the weights are, so that CPUs without VNNI may multiply bytes (docs/kernels-int8.md). With s = min(lo, zero point), the producer's lo, hi and zero point and the readers'
/// zero points shrink by s; rounding and clamping happen around the zero point, and sums add s back first, so every result keeps its bits. Runs once the graph is lowered; changes no value that anything but an
/// integer layer reads.
/// </remarks>
internal static class StoreFromZero
{
    /// <summary>Largest byte of the data that an integer layer reads; 255 where the attribute is missing.</summary>
    public const string LargestData = "x_high";

    /// <summary>Attribute that holds the zero point of input <paramref name="index"/> of a layer, or null where the input is no quantized tensor that may move.</summary>
    private static string? ZeroPointOf(Node node, int index) => (node.Domain == Operator.OctetDomain ? node.OperatorType : "") switch
    {
        "QConv" or "QGemm" => index switch { 0 => "x_zero_point", 3 => "sum_zero_point", _ => null },
        "QAdd" => index switch { 0 => "a_zero_point", 1 => "b_zero_point", _ => null },
        _ => null,
    };

    /// <summary>Moves every tensor of <paramref name="graph"/> that can be moved.</summary>
    public static void Run(Graph graph, GraphEditor editor)
    {
        foreach (Node node in graph.Nodes)
        {
            if (node.Domain != Operator.OctetDomain || node.OperatorType is not ("QConv" or "QGemm" or "QAdd")) continue;
            if (node.OperatorType != "QAdd" && (node.Attributes.String("output") != "uint8" || node.Attributes.Tensor("table") is not null)) continue;
            Value value = node.Output;
            if (value.IsGraphOutput || value.Uses.Count == 0 || value.Uses.Any(use => ZeroPointOf(use.Node, use.Index) is null)) continue;
            long low = node.Attributes.Int("lo"), high = node.Attributes.Int("hi", 255), zeroPoint = node.Attributes.Int("y_zero_point"), shift = Math.Min(low, zeroPoint);
            if (high == byte.MaxValue && shift == 0) continue;
            editor.SetAttribute(node, "lo", low - shift);
            editor.SetAttribute(node, "hi", high - shift);
            editor.SetAttribute(node, "y_zero_point", zeroPoint - shift);
            if (node.OperatorType == "QAdd" || node.Input(LayerEpilogue.Sum) is not null) editor.SetAttribute(node, "y_shift", shift);
            foreach (Use use in value.Uses.ToArray())
            {
                string operand = ZeroPointOf(use.Node, use.Index)!;
                editor.SetAttribute(use.Node, operand, zeroPoint - shift);
                if (operand != "x_zero_point") editor.SetAttribute(use.Node, operand.Replace("zero_point", "shift", StringComparison.Ordinal), shift);
                if (use is { Index: 0, Node.OperatorType: "QConv" or "QGemm" }) editor.SetAttribute(use.Node, LargestData, Math.Max(high, zeroPoint) - shift);
            }
        }
    }
}
