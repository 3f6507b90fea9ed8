using System.Text;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>Nodes that compute the same from the same become one.</summary>
/// <remarks>
/// Kept apart: random operators, nodes with subgraphs or tensor attributes, nodes whose results are outputs of the graph, and QuantizeLinear and
/// DequantizeLinear, which tools write once per reader so that each reader has its own.
/// </remarks>
internal static class CommonSubexpressions
{
    /// <summary>Constants up to this many bytes are compared by their elements, larger ones by identity.</summary>
    private const int ComparedBytes = 128;

    /// <summary>Merges within one graph, not its subgraphs.</summary>
    /// <returns>Whether anything was merged.</returns>
    public static bool Run(GraphEditor editor)
    {
        var seen = new Dictionary<string, Node>(StringComparer.Ordinal);
        bool changed = false;
        foreach (Node node in editor.Graph.Nodes.ToArray())
        {
            if (!IsComparable(node)) continue;
            if (seen.TryAdd(Key(node), node)) continue;
            Node first = seen[Key(node)];
            for (int i = 0; i < node.Outputs.Count; i++)
            {
                if (node.Outputs[i] is { } output) editor.ReplaceUses(output, first.Outputs[i]!);
            }
            editor.Remove(node);
            changed = true;
        }
        return changed;
    }

    private static bool IsComparable(Node node)
    {
        if (node.Outputs.Count == 0 || node.OperatorType is "QuantizeLinear" or "DequantizeLinear") return false;
        if (OperatorTable.Find(node) is not { IsRandom: false }) return false;
        foreach (Value? output in node.Outputs)
        {
            if (output is null || output.IsGraphOutput) return false;
        }
        foreach ((_, object value) in node.Attributes)
        {
            if (value is not (long or float or string or long[] or float[] or string[])) return false;
        }
        return true;
    }

    private static string Key(Node node)
    {
        var key = new StringBuilder(node.QualifiedType).Append('/').Append(node.Outputs.Count);
        foreach (Value? input in node.Inputs)
        {
            key.Append('|');
            if (input is null) continue;
            if (input.Constant is { } tensor && tensor.Type != DataType.String && tensor.ByteLength <= ComparedBytes) key.Append(tensor).Append(Convert.ToHexString(tensor.Bytes.Span));
            else key.Append(input.Name);
        }
        foreach ((string name, object value) in node.Attributes)
        {
            key.Append('{').Append(name).Append('=');
            if (value is float number) key.Append(BitConverter.SingleToInt32Bits(number));
            else if (value is float[] numbers) key.AppendJoin(',', numbers.Select(BitConverter.SingleToInt32Bits));
            else key.Append(GraphPrinter.Text(value));
        }
        return key.ToString();
    }
}
