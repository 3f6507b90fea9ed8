using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Execution;

/// <summary>A concatenation whose inputs may be written into its output by their producers.</summary>
/// <param name="Node">The concatenation.</param>
/// <param name="Number">Its step.</param>
/// <param name="Rows">Rows of the output: product of the extents before the axis.</param>
/// <param name="Widths">Elements of a row of each input.</param>
internal sealed record Join(Node Node, int Number, int Rows, int[] Widths)
{
    /// <summary>Memory of the output, once a producer writes into it.</summary>
    public MemoryPlanner.Place? Place { get; set; }

    /// <summary>For each input whether its producer writes it in place.</summary>
    public bool[] Done { get; } = new bool[Widths.Length];

    /// <summary>Elements of a row of the output.</summary>
    public int Width { get; } = Widths.Sum();

    /// <summary>Which input <paramref name="value"/> is.</summary>
    public int Position(Value value)
    {
        for (int i = 0; i < Node.Inputs.Count; i++)
        {
            if (ReferenceEquals(Node.Inputs[i], value)) return i;
        }
        throw new ArgumentException($"'{value.Name}' is no input of {Node}", nameof(value));
    }

    /// <summary>Element of the output that row 0 of <paramref name="value"/> begins at.</summary>
    public int First(Value value) => Widths.AsSpan(0, Position(value)).ToArray().Sum();

    /// <summary>How many inputs of nodes read <paramref name="value"/>.</summary>
    public int Readers(Value value) => value.Uses.Count;
}

/// <summary>Finds the values that can be written straight into a concatenation's output.</summary>
/// <remarks>
/// A value qualifies if one node of the graph makes it, the concatenation names it once, and it is no graph output. Where the output has one row its inputs lie one behind the
/// other, so any producer can write there and anybody can read it there. Else rows are interleaved: then the producer must be able to (<see cref="Step.IntoRows"/>) and nobody else may read.
/// </remarks>
internal static class JoinPlanner
{
    /// <summary>The values, each with its concatenation; where two claim one, the first has it.</summary>
    public static Dictionary<Value, Join> Find(Graph graph, IReadOnlyDictionary<Value, int> lastUse)
    {
        var joins = new Dictionary<Value, Join>();
        for (int number = 0; number < graph.Nodes.Count; number++)
        {
            Node node = graph.Nodes[number];
            if (node.OperatorType != "Concat" || node.Domain.Length > 0 || node.Inputs.Count < 2) continue;
            if (node.Outputs[0] is not { } output || !output.Type.IsConcrete || output.Type.Element.Size() == 0) continue;
            if (lastUse.GetValueOrDefault(output, -1) >= graph.Nodes.Count || node.Inputs.Any(input => input is null || !input.Type.IsConcrete)) continue;
            int[] shape = output.Type.ConcreteShape();
            long axis = node.Attributes.Int("axis", 1);
            if (axis < 0) axis += shape.Length;
            int rows = Tensor.CountElements(shape.AsSpan(0, (int)axis));
            if (Tensor.CountElements(shape) == 0) continue;
            var join = new Join(node, number, rows, [.. node.Inputs.Select(input => Tensor.CountElements(input!.Type.ConcreteShape()) / rows)]);
            foreach (Value? input in node.Inputs)
            {
                if (input!.Producer is null || input.IsConstant || !ReferenceEquals(input.Graph, graph) || node.Inputs.Count(other => ReferenceEquals(other, input)) != 1) continue;
                if (lastUse.GetValueOrDefault(input, -1) < graph.Nodes.Count) joins.TryAdd(input, join);
            }
        }
        return joins;
    }
}
