namespace Octet.Runtime.Graphs;

/// <summary>One operator applied to values. Only <see cref="GraphEditor"/> changes it.</summary>
public sealed class Node
{
    private readonly List<Value?> _inputs = [];
    private readonly List<Value?> _outputs = [];

    internal Node(Graph graph, string name, string domain, string operatorType, AttributeMap attributes, IReadOnlyList<string> origins)
    {
        (Graph, Name, Domain, OperatorType, Attributes, Origins) = (graph, name, domain, operatorType, attributes, origins);
    }

    /// <summary>The graph that owns the node.</summary>
    public Graph Graph { get; }

    /// <summary>Unique in its graph; never empty.</summary>
    public string Name { get; internal set; }

    /// <summary>Operator domain; empty for ONNX's own.</summary>
    public string Domain { get; }

    /// <summary>Operator type, such as <c>Conv</c>.</summary>
    public string OperatorType { get; }

    /// <summary>Domain and type: <c>Conv</c>, <c>com.microsoft.FusedConv</c>.</summary>
    public string QualifiedType => Domain.Length == 0 ? OperatorType : $"{Domain}.{OperatorType}";

    /// <summary>The version of the operator set that gives the operator its meaning.</summary>
    public int Opset => Graph.OpsetVersion(Domain);

    /// <summary>Its attributes; changed only through <see cref="GraphEditor.SetAttribute"/>.</summary>
    public AttributeMap Attributes { get; }

    /// <summary>Its inputs; null for an optional input that is left out.</summary>
    public IReadOnlyList<Value?> Inputs => _inputs;

    /// <summary>Its outputs; null for an optional output that nobody wants.</summary>
    public IReadOnlyList<Value?> Outputs => _outputs;

    /// <summary>Names of the nodes of the original model that this node stands for, oldest first: itself, and what was fused into it.</summary>
    public IReadOnlyList<string> Origins { get; internal set; }

    /// <summary>Input <paramref name="index"/>, or null where it is left out.</summary>
    public Value? Input(int index) => index < _inputs.Count ? _inputs[index] : null;

    /// <summary>Output 0.</summary>
    /// <exception cref="ModelException">The node has no output.</exception>
    public Value Output => _outputs.Count > 0 && _outputs[0] is { } value ? value : throw new ModelException($"{this} has no output 0");

    /// <summary>Whether the node is the operator <paramref name="operatorType"/> of ONNX's own domain.</summary>
    public bool Is(string operatorType) => Domain.Length == 0 && OperatorType == operatorType;

    internal List<Value?> MutableInputs => _inputs;

    internal List<Value?> MutableOutputs => _outputs;

    /// <summary>Type and name: <c>Conv 'layer1/conv'</c>.</summary>
    public override string ToString() => $"{QualifiedType} '{Name}'";
}
