using System.Globalization;
using System.Text;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Graphs;

/// <summary>A graph as text that a person can read and two versions of which can be compared line by line.</summary>
/// <remarks>
/// <code>
/// graph resnet(x: float32[N,3,32,32])
///   const w: float32[16,3,3,3]
///   y = Conv(x, w) {pads=[1,1,1,1]} 'conv1'  : float32[N,16,32,32]
///   return y
/// </code>
/// </remarks>
public static class GraphPrinter
{
    /// <summary>Prints <paramref name="graph"/>.</summary>
    public static string Print(Graph graph)
    {
        var text = new StringBuilder();
        Print(graph, text, "");
        return text.ToString();
    }

    private static void Print(Graph graph, StringBuilder text, string indent)
    {
        text.Append(indent).Append("graph ").Append(graph.Name).Append('(').AppendJoin(", ", graph.Inputs).Append(")\n");
        foreach (Value value in graph.Values.Where(value => value.IsConstant).OrderBy(value => value.Name, StringComparer.Ordinal))
        {
            text.Append(indent).Append("  const ").Append(value.Name).Append(": ").Append(value.Constant).Append(Sample(value.Constant!)).Append('\n');
        }
        foreach (Node node in graph.Nodes)
        {
            text.Append(indent).Append("  ").AppendJoin(", ", node.Outputs.Select(output => output?.Name ?? "_")).Append(" = ").Append(node.QualifiedType)
                .Append('(').AppendJoin(", ", node.Inputs.Select(input => input?.Name ?? "_")).Append(')');
            string attributes = string.Join(" ", node.Attributes.Where(pair => pair.Value is not (Graph or Graph[])).Select(pair => $"{pair.Key}={Text(pair.Value)}"));
            if (attributes.Length > 0) text.Append(" {").Append(attributes).Append('}');
            text.Append(" '").Append(node.Name).Append("'  : ").AppendJoin(", ", node.Outputs.Select(output => output?.Type.ToString() ?? "_")).Append('\n');
            foreach (Graph inner in node.Attributes.Subgraphs) Print(inner, text, indent + "    ");
        }
        text.Append(indent).Append("  return ").AppendJoin(", ", graph.Outputs.Zip(graph.OutputNames, (value, name) => value.Name == name ? name : $"{name}={value.Name}")).Append('\n');
    }

    /// <summary>An attribute's value as text.</summary>
    public static string Text(object value) => value switch
    {
        long number => number.ToString(CultureInfo.InvariantCulture),
        float number => number.ToString("R", CultureInfo.InvariantCulture),
        string words => '"' + words + '"',
        long[] numbers => "[" + string.Join(",", Array.ConvertAll(numbers, number => number.ToString(CultureInfo.InvariantCulture))) + "]",
        float[] numbers => "[" + string.Join(",", numbers.Select(number => number.ToString("R", CultureInfo.InvariantCulture))) + "]",
        string[] words => "[" + string.Join(",", words.Select(word => '"' + word + '"')) + "]",
        Graph graph => $"<graph {graph.Name}>",
        Array many => "[" + string.Join(",", many.Cast<object>().Select(Text)) + "]",
        _ => value.ToString() ?? "",
    };

    /// <summary>The elements of a small constant, so that shapes and axes can be read off.</summary>
    private static string Sample(Tensor tensor)
    {
        const int most = 8;
        if (tensor.Length > most || tensor.Length == 0) return "";
        return tensor.Type switch
        {
            DataType.String => " = " + Text(tensor.Strings.ToArray()),
            DataType.Float32 or DataType.Float64 or DataType.Float16 or DataType.BFloat16 => " = " + Text(tensor.ToFloat32Array()),
            DataType.UInt64 => " = [" + string.Join(",", tensor.Span<ulong>().ToArray().Select(number => number.ToString(CultureInfo.InvariantCulture))) + "]",
            _ when tensor.Type.IsInteger() || tensor.Type is DataType.Bool or DataType.Int4 or DataType.UInt4 => " = " + Text(tensor.ToInt64Array()),
            _ => "",
        };
    }
}
