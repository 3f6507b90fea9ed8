using Octet.Runtime.Tensors;

namespace Octet.Runtime.Graphs;

/// <summary>One input of one node.</summary>
/// <param name="Node">Who reads.</param>
/// <param name="Index">Which of its inputs.</param>
public sealed record Use(Node Node, int Index);

/// <summary>A named edge of a graph: made by one node, or a graph input, or a constant; read by any number of nodes.</summary>
/// <remarks>Nodes of a subgraph may read values of the graphs around it; they are among the <see cref="Uses"/>.</remarks>
public sealed class Value
{
    private readonly List<Use> _uses = [];

    internal Value(Graph graph, string name, TensorType type) => (Graph, Name, Type) = (graph, name, type);

    /// <summary>The graph that owns the value.</summary>
    public Graph Graph { get; }

    /// <summary>Unique in its graph and not the name of a value of a surrounding graph that is used inside.</summary>
    public string Name { get; internal set; }

    /// <summary>What is known of its type.</summary>
    public TensorType Type { get; internal set; }

    /// <summary>The node that makes it, or null for inputs and constants.</summary>
    public Node? Producer { get; internal set; }

    /// <summary>Which output of <see cref="Producer"/> it is.</summary>
    public int OutputIndex { get; internal set; }

    /// <summary>The constant it is (an initializer), or null.</summary>
    public Tensor? Constant { get; internal set; }

    /// <summary>Whether it is a constant.</summary>
    public bool IsConstant => Constant is not null;

    /// <summary>Whether it is an input of its graph. A constant that is also an input is a default that a caller may replace; Octet keeps it constant.</summary>
    public bool IsGraphInput => Graph.Inputs.Contains(this);

    /// <summary>Whether it is an output of its graph.</summary>
    public bool IsGraphOutput => Graph.Outputs.Contains(this);

    /// <summary>Every node input that reads it, subgraphs included.</summary>
    public IReadOnlyList<Use> Uses => _uses;

    /// <summary>The only node input that reads it, if there is exactly one and the value is no graph output.</summary>
    public Use? SingleUse => _uses.Count == 1 && !IsGraphOutput ? _uses[0] : null;

    /// <summary>
    /// Memory axis i holds axis <c>MemoryOrder[i]</c> of the model's tensor, where a plan keeps it in another order; null for the model's own.
    /// <see cref="Type"/> is then that of the memory.
    /// </summary>
    internal int[]? MemoryOrder { get; set; }

    internal void AddUse(Use use) => _uses.Add(use);

    internal void RemoveUse(Use use) => _uses.Remove(use);

    /// <summary>Name and type.</summary>
    public override string ToString() => $"{Name}: {Type}";
}
