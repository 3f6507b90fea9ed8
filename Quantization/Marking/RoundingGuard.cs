using System.Globalization;
using Octet.Quantization.Calibration;
using Octet.Quantization.Rewriting;
using Octet.Runtime.Graphs;

namespace Octet.Quantization.Marking;

/// <summary>
/// Leaves float what rounding to 8 bits would hurt most. First, whatever reads an activation whose few far values make its step coarse for all others; layers among it keep int8 weights. Second,
/// those batch normalizations that would amplify the rounding of what they read: where channels differ much in variance, one grid for all of them is coarse for the quiet ones, and normalization
/// makes these as loud as the others.
/// </summary>
/// <remarks>
/// <code>
///   SQNR = Σ x² / Σ s²/12                          of an activation, over the values that its grid keeps
///
///   y_c = a_c·x_c + b_c,  a_c = γ_c / √(σ_c² + ε)
///   SQNR = Σ γ_c² / Σ a_c²·s²/12
/// </code>
/// γ_c² is the variance that training statistics promise for channel c of the result, s the step of the grid of x, s²/12 the variance of its rounding. What stays float is the normalization and all
/// operators in front of it up to layers, which give real values at no cost: in a network with residual sums, the sums.
/// </remarks>
internal static class RoundingGuard
{
    /// <summary>Decides with the ranges of activations.</summary>
    /// <param name="graph">The prepared graph.</param>
    /// <param name="marks">What is quantized so far; not changed.</param>
    /// <param name="ranges">Range of every activation.</param>
    /// <param name="options">The grid's type, and the least SQNR.</param>
    /// <param name="rounding">Σ x² and Σ s²/12 of an activation; null where only its range is known.</param>
    public static Dictionary<Node, Marker.Mark> Run(Graph graph, Dictionary<Node, Marker.Mark> marks, IReadOnlyDictionary<string, CalibrationRange> ranges, QuantizationOptions options,
        Func<string, (double Signal, double Noise)?> rounding)
    {
        var result = new Dictionary<Node, Marker.Mark>(marks);
        if (options.LeastSqnr == 0) return result;
        LeaveReaders(graph, result, options.LeastSqnr, rounding);
        foreach (Node node in graph.Nodes)
        {
            if (marks[node].Operator is not { Type: "BatchNormalization" } || !ranges.TryGetValue(node.Inputs[0]!.Name, out CalibrationRange range)) continue;
            double sqnr = Sqnr(node, GridParameters.For(range, options.Type).Scale);
            if (!(sqnr < options.LeastSqnr)) continue;
            result[node] = new Marker.Mark(null, string.Create(CultureInfo.InvariantCulture,
                $"rounding what it reads would leave its result {sqnr:F1} dB of signal to noise; rule: at least {options.LeastSqnr} dB, or it stays float with what is in front"), ReadsReal: true);
            LeaveFront(node, node.Name, result);
        }
        return result;
    }

    /// <summary>Leaves float what reads an activation whose grid is too coarse. Operators that only move elements follow their result, which may hold more than the coarse part.</summary>
    private static void LeaveReaders(Graph graph, Dictionary<Node, Marker.Mark> marks, double least, Func<string, (double Signal, double Noise)?> rounding)
    {
        Dictionary<Node, Node> merged = QdqRewriter.Merged(graph, marks);
        foreach (Node node in graph.Nodes)
        {
            if (marks[node].Operator is not { } row || merged.ContainsKey(node)) continue;
            Value? coarse = null;
            double sqnr = double.PositiveInfinity;
            foreach (Value value in row.Grid == Grid.Same ? node.Outputs.OfType<Value>() : Marker.DataOf(node, row))
            {
                if (value.IsConstant || rounding(value.Name) is not var (signal, noise) || !(10 * Math.Log10(signal / noise) < sqnr)) continue;
                (coarse, sqnr) = (value, 10 * Math.Log10(signal / noise));
            }
            if (!(sqnr < least)) continue;
            marks[node] = new Marker.Mark(null, string.Create(CultureInfo.InvariantCulture, $"8 bits would leave '{coarse!.Name}' {sqnr:F1} dB of signal to noise; rule: at least {least} dB, or what reads it stays float"),
                ReadsReal: true, Stored: row.Weight >= 0 && node.Input(row.Weight) is { IsConstant: true } ? row : null);
            foreach ((Node follower, Node front) in merged)
                if (ReferenceEquals(front, node)) marks[follower] = new Marker.Mark(null, $"'{node.Name}' in front stays float");
        }
    }

    /// <summary>The signal-to-noise ratio, in dB, that rounding to steps of <paramref name="step"/> leaves.</summary>
    private static double Sqnr(Node node, double step)
    {
        float[] scale = node.Inputs[1]!.Constant!.ToFloat32Array(), variance = node.Inputs[4]!.Constant!.ToFloat32Array();
        float epsilon = node.Attributes.Float("epsilon", 1e-5f);
        double signal = 0, noise = 0;
        for (int c = 0; c < scale.Length; c++)
        {
            double square = (double)scale[c] * scale[c];
            signal += square;
            noise += square / (variance[c] + (double)epsilon) * step * step / 12;
        }
        return noise > 0 ? 10 * Math.Log10(signal / noise) : double.PositiveInfinity;
    }

    private static void LeaveFront(Node reader, string name, Dictionary<Node, Marker.Mark> marks)
    {
        foreach (Value? input in reader.Inputs)
        {
            if (input?.Producer is not { } node || !marks.TryGetValue(node, out Marker.Mark mark) || mark.Operator is not { Role: Role.Support } || IsPartOfLayer(node, marks)) continue;
            marks[node] = new Marker.Mark(null, $"'{name}' needs its real values", ReadsReal: true);
            LeaveFront(node, name, marks);
        }
    }

    /// <summary>A bias or clamp behind a layer is computed on the layer's real values anyway.</summary>
    private static bool IsPartOfLayer(Node node, Dictionary<Node, Marker.Mark> marks) => QdqRewriter.Merged(node.Graph, marks).TryGetValue(node, out Node? front) && marks[front].Operator is { Role: Role.Must };
}
