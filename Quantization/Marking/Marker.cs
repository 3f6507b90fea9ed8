using System.Text.RegularExpressions;
using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Marking;

/// <summary>Decides which operators are quantized, with a reason for each.</summary>
internal static class Marker
{
    /// <summary>The decision for one node.</summary>
    /// <param name="Operator">Its row where it is quantized, else null.</param>
    /// <param name="Reason">By which rule, or why not.</param>
    /// <param name="ReadsReal">Whether a float operator reads what was computed, and not what its integers mean where it is quantized for others.</param>
    /// <param name="Stored">The row of a float operator whose weights are stored as int8; else null.</param>
    internal readonly record struct Mark(QuantizableOperator? Operator, string Reason, bool ReadsReal = false, QuantizableOperator? Stored = null);

    /// <summary>Marks the nodes of <paramref name="graph"/>.</summary>
    /// <exception cref="DataException">An exclusion matches nothing.</exception>
    public static Dictionary<Node, Mark> Run(Graph graph, QuantizationOptions options)
    {
        Dictionary<Node, string> excluded = Excluded(graph, options);
        var marks = new Dictionary<Node, Mark>();
        HashSet<Node> onData = OnData(graph);
        foreach (Node node in graph.Nodes)
        {
            QuantizableOperator? row = QuantizableOperators.Find(node);
            marks[node] = Kept(node) is { } kept ? new Mark(null, kept)
                : row is null ? new Mark(null, $"{node.QualifiedType} has no integer form")
                : !onData.Contains(node) ? new Mark(null, "it depends on shapes alone, and is computed in advance")
                : excluded.TryGetValue(node, out string? why) ? new Mark(null, why)
                : DataOf(node, row).FirstOrDefault(value => !value.IsConstant && value.Type.Element is not (DataType.Float32 or DataType.Undefined)) is { } odd
                    ? new Mark(null, $"input '{odd.Name}' is {odd.Type.Element.Name()}, not float32")
                : row.Refuse?.Invoke(node) is { } refusal ? new Mark(null, refusal)
                : new Mark(row, row.Role == Role.Must ? "convolutions and matrix products are always quantized" : "mode full: it has an integer form");
        }
        // Scales that such a model computes beside its integer operators must stay exact.
        if (graph.Nodes.Any(IsQuantization))
        {
            foreach ((Node node, Mark mark) in marks.ToArray())
                if (mark.Operator is { Role: Role.Support }) marks[node] = new Mark(null, "the model is quantized already: of the rest only convolutions, products and recurrent layers are quantized");
        }
        if (options.Calibration == CalibrationMode.None)
        {
            foreach ((Node node, Mark mark) in marks.ToArray())
                if (mark.Operator is { Role: Role.Support }) marks[node] = new Mark(null, "without calibration only convolutions, products and recurrent layers are quantized, what they read by its range at run time");
        }
        if (options.Mode == QuantizeMode.Smart) KeepBetween(marks);
        return marks;
    }

    /// <summary>Whether a node quantizes, dequantizes or computes on integers already.</summary>
    public static bool IsQuantization(Node node) =>
        node.OperatorType is "QuantizeLinear" or "DequantizeLinear" or "ConvInteger" or "MatMulInteger" or "MatMulIntegerToFloat" or "MatMulNBits" or "QGemm"
        || node.OperatorType.StartsWith("QLinear", StringComparison.Ordinal) || node.OperatorType.StartsWith("DynamicQuantize", StringComparison.Ordinal);

    /// <summary>Why a node belongs to the quantization that the model brings, and stays as it is; null where it does not.</summary>
    private static string? Kept(Node node) =>
        IsQuantization(node) ? "the model is quantized here already"
        : node.Inputs.FirstOrDefault(input => input?.Producer is { OperatorType: "DequantizeLinear" }) is { } read ? $"the model quantizes its input '{read.Name}' already"
        : node.Outputs.FirstOrDefault(output => output is not null && output.Uses.Any(use => use.Node.OperatorType == "QuantizeLinear")) is { } made ? $"the model quantizes its output '{made.Name}' already"
        : null;

    /// <summary>The nodes whose results differ from run to run although shapes do not.</summary>
    private static HashSet<Node> OnData(Graph graph)
    {
        var reached = new HashSet<Node>();
        foreach (Node node in graph.Nodes)   // in the order in which they run
        {
            bool outside(Value value) => value is { IsConstant: false, Producer: null } || !ReferenceEquals(value.Graph, graph);
            if (!node.Is("Shape") && !node.Is("Size") && (node.Attributes.Subgraphs.Any() || OperatorTable.Find(node)?.IsRandom == true || node.Inputs.Any(input => input is not null && (outside(input) || (input.Producer is { } producer && reached.Contains(producer)))))) reached.Add(node);
        }
        return reached;
    }

    /// <summary>The inputs of a node that are quantized as activations.</summary>
    public static IEnumerable<Value> DataOf(Node node, QuantizableOperator row)
    {
        for (int i = 0; i < node.Inputs.Count; i++)
        {
            if (node.Inputs[i] is not { } input) continue;
            if (row.DataInputs is not null && !row.DataInputs.Contains(i)) continue;
            if (i == row.Weight && input.IsConstant) continue;
            yield return input;
        }
    }

    /// <summary>
    /// Smart mode: a supporting operator stays iff it is reached, along supporting operators only, both backwards from a convolution or product and forwards from one.
    /// </summary>
    private static void KeepBetween(Dictionary<Node, Mark> marks)
    {
        HashSet<Node> before = Reach(marks, node => node.Inputs.Select(input => input?.Producer).OfType<Node>());
        HashSet<Node> after = Reach(marks, node => node.Outputs.OfType<Value>().SelectMany(output => output.Uses.Select(use => use.Node)));
        foreach ((Node node, Mark mark) in marks.ToArray())
        {
            if (mark.Operator is not { Role: Role.Support }) continue;
            marks[node] = before.Contains(node) && after.Contains(node)
                ? mark with { Reason = "mode smart: it lies between two quantized convolutions or products" }
                : new Mark(null, "mode smart: it does not lie between two quantized convolutions or products");
        }
    }

    private static HashSet<Node> Reach(Dictionary<Node, Mark> marks, Func<Node, IEnumerable<Node>> next)
    {
        var reached = new HashSet<Node>();
        var queue = new Queue<Node>(marks.Where(pair => pair.Value.Operator is { Role: Role.Must }).Select(pair => pair.Key));
        while (queue.TryDequeue(out Node? node))
        {
            foreach (Node neighbour in next(node))
            {
                if (marks.TryGetValue(neighbour, out Mark mark) && mark.Operator is { Role: Role.Support } && reached.Add(neighbour)) queue.Enqueue(neighbour);
            }
        }
        return reached;
    }

    private static Dictionary<Node, string> Excluded(Graph graph, QuantizationOptions options)
    {
        var excluded = new Dictionary<Node, string>();
        string[] names = [.. graph.Nodes.SelectMany(NamesOf).Distinct(StringComparer.Ordinal)];
        foreach (string name in options.Exclude)
        {
            Node[] matches = [.. graph.Nodes.Where(node => NamesOf(node).Contains(name, StringComparer.Ordinal))];
            if (matches.Length == 0) throw Unknown("node", name, names);
            foreach (Node node in matches) excluded.TryAdd(node, $"excluded by name '{name}'");
        }
        foreach (string pattern in options.ExcludeMatch)
        {
            Regex expression = new(pattern.Contains('*') ? "^" + Regex.Escape(pattern).Replace("\\*", ".*", StringComparison.Ordinal) + "$" : Regex.Escape(pattern), RegexOptions.CultureInvariant | RegexOptions.NonBacktracking);
            Node[] matches = [.. graph.Nodes.Where(node => NamesOf(node).Any(expression.IsMatch))];
            if (matches.Length == 0) throw Unknown("node name matching", pattern, names);
            foreach (Node node in matches) excluded.TryAdd(node, $"excluded by pattern '{pattern}'");
        }
        foreach (string type in options.ExcludeOperators)
        {
            Node[] matches = [.. graph.Nodes.Where(node => node.OperatorType == type || node.QualifiedType == type)];
            if (matches.Length == 0) throw Unknown("operator type", type, [.. graph.Nodes.Select(node => node.OperatorType).Distinct(StringComparer.Ordinal)]);
            foreach (Node node in matches) excluded.TryAdd(node, $"excluded by operator type '{type}'");
        }
        return excluded;
    }

    /// <summary>The names under which a node may be excluded: its own, those of the original nodes in it, and those of its outputs.</summary>
    private static IEnumerable<string> NamesOf(Node node) => node.Origins.Append(node.Name).Concat(node.Outputs.OfType<Value>().Select(output => output.Name));

    private static DataException Unknown(string kind, string name, IReadOnlyList<string> known)
    {
        string[] near = [.. known.OrderBy(candidate => Distance(candidate, name)).Take(3)];
        return new DataException($"the model has no {kind} '{name}'; nearest: {(near.Length == 0 ? "none" : string.Join(", ", near.Select(text => $"'{text}'")))}; rule: an exclusion matches at least one operator");
    }

    /// <summary>Edit distance.</summary>
    private static int Distance(string a, string b)
    {
        var row = new int[b.Length + 1];
        for (int j = 0; j <= b.Length; j++) row[j] = j;
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int above = row[j];
                row[j] = Math.Min(Math.Min(row[j] + 1, row[j - 1] + 1), diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }
        return row[b.Length];
    }
}
