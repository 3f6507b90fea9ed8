using Octet.Quantization.Calibration;
using Octet.Quantization.Marking;
using Octet.Quantization.Rewriting;
using Octet.Runtime.Graphs;

namespace Octet.Quantization.Search;

/// <summary>The operators of a prepared model that can be left float one by one: each with the bias and the activation that become part of it.</summary>
internal sealed class OperatorGroups
{
    private readonly PreparedModel _prepared;
    private readonly IReadOnlyDictionary<string, CalibrationRange>? _ranges;

    public OperatorGroups(PreparedModel prepared, IReadOnlyDictionary<string, CalibrationRange>? ranges)
    {
        (_prepared, _ranges) = (prepared, ranges);
        Dictionary<Node, Node> merged = QdqRewriter.Merged(prepared.Model.Graph, prepared.Marks);
        var groups = new Dictionary<Node, List<Node>>();
        foreach (Node node in prepared.Model.Graph.Nodes)
        {
            if (prepared.Marks[node].Operator is null) continue;
            if (merged.TryGetValue(node, out Node? front)) groups[front].Add(node);
            else groups.Add(node, [node]);
        }
        All = [.. groups.Values];
    }

    /// <summary>The groups in the model's order; the first node of each names it.</summary>
    public IReadOnlyList<IReadOnlyList<Node>> All { get; }

    /// <summary>The model with some groups left float.</summary>
    /// <param name="left">The groups.</param>
    /// <param name="reason">Why, for the report.</param>
    public QuantizationResult Without(IEnumerable<IReadOnlyList<Node>> left, string reason)
    {
        var marks = new Dictionary<Node, Marker.Mark>(_prepared.Marks);
        foreach (Node node in left.SelectMany(group => group)) marks[node] = new Marker.Mark(null, reason);
        return Quantizer.Finish(_prepared.WithMarks(marks), _ranges);
    }
}
