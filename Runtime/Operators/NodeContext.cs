using System.Collections.Immutable;
using System.Text;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>A node as an operator sees it: attributes, input types, values known in advance, and errors with facts.</summary>
internal abstract class NodeContext(Node node, IReadOnlyList<TensorType?> inputTypes)
{
    /// <summary>The node.</summary>
    public Node Node { get; } = node;

    /// <summary>Version of the node's operator set.</summary>
    public int Opset => Node.Opset;

    /// <summary>Inputs that the node lists, left-out ones in between included.</summary>
    public int InputCount => inputTypes.Count;

    /// <summary>Outputs that the node lists.</summary>
    public int OutputCount => Node.Outputs.Count;

    /// <summary>Whether input <paramref name="index"/> is given.</summary>
    public bool Has(int index) => index < inputTypes.Count && inputTypes[index] is not null;

    /// <summary>Whether somebody wants output <paramref name="index"/>.</summary>
    public bool Wants(int index) => index < Node.Outputs.Count && Node.Outputs[index] is not null;

    /// <summary>Type of input <paramref name="index"/>.</summary>
    /// <exception cref="ModelException">The input is required and missing.</exception>
    public TensorType Type(int index) =>
        Has(index) ? inputTypes[index]! : throw Error($"input {index} is missing", $"input {index} is required");

    /// <summary>Element type of input <paramref name="index"/>.</summary>
    public DataType Element(int index) => Type(index).Element;

    /// <summary>Extents of input <paramref name="index"/>, or null while its rank is unknown.</summary>
    public ImmutableArray<Dim>? Shape(int index) => Type(index).Shape;

    /// <summary>Rank of input <paramref name="index"/>, or −1 while unknown.</summary>
    public int Rank(int index) => Type(index).Rank;

    /// <summary>Attribute readers; see <see cref="AttributeMap"/>.</summary>
    public AttributeMap Attributes => Node.Attributes;

    /// <summary>Checks that input <paramref name="index"/> has one of the element types.</summary>
    /// <exception cref="ModelException">It has another, and it is known.</exception>
    public DataType Expect(int index, params ReadOnlySpan<DataType> allowed)
    {
        DataType element = Element(index);
        if (element == DataType.Undefined || allowed.Contains(element)) return element;
        throw Error($"input {index} is {element.Name()}", $"input {index} is one of {string.Join(", ", allowed.ToArray().Select(type => type.Name()))}");
    }

    /// <summary>A negative axis counted from the end, checked against <paramref name="rank"/>.</summary>
    /// <exception cref="ModelException">The axis is outside [−rank, rank − 1].</exception>
    public int Axis(long axis, int rank)
    {
        if (axis < -rank || axis >= rank) throw Error($"axis {axis} does not exist in rank {rank}", $"−{rank} ≤ axis < {rank}");
        return (int)(axis < 0 ? axis + rank : axis);
    }

    /// <summary>The model is at fault: a sentence with the numbers, then every input and attribute, then the rule.</summary>
    public ModelException Error(string what, string rule) => new(Describe(what, rule));

    /// <summary>Octet is at fault: what it cannot do, and what would work.</summary>
    public UnsupportedModelException Unsupported(string what, string works) => new(Describe($"{what} (not supported by Octet)", works));

    private string Describe(string what, string rule)
    {
        var text = new StringBuilder($"{Node.QualifiedType} '{Node.Name}': {what}.");
        for (int i = 0; i < inputTypes.Count; i++)
        {
            Value? value = i < Node.Inputs.Count ? Node.Inputs[i] : null;
            text.Append($"\n  input {i}  {inputTypes[i]?.ToString() ?? "left out"}  '{value?.Name}'{(value?.IsConstant == true ? "  (constant)" : "")}");
        }
        foreach ((string name, object value) in Node.Attributes) text.Append($"\n  {name} = {GraphPrinter.Text(value)}");
        return text.Append($"\n  rule: {rule}").ToString();
    }
}

/// <summary>What <see cref="Operator.Infer"/> reads and sets.</summary>
internal sealed class InferContext(Node node, IReadOnlyList<TensorType?> inputTypes, Func<int, Tensor?> known,
    Func<Graph, IReadOnlyList<TensorType>, IReadOnlyList<TensorType>>? inferSubgraph = null) : NodeContext(node, inputTypes)
{
    private readonly TensorType[] _outputs = CreateOutputs(node.Outputs.Count);

    /// <summary>The types set so far; <see cref="TensorType.Unknown"/> elsewhere.</summary>
    public IReadOnlyList<TensorType> Outputs => _outputs;

    /// <summary>The value of input <paramref name="index"/>, where it is known before anything runs; null otherwise or where it is left out.</summary>
    public Tensor? Known(int index) => Has(index) ? known(index) : null;

    /// <summary>The known value of an integer input, or null.</summary>
    public long[]? KnownInts(int index) => Known(index)?.ToInt64Array();

    /// <summary>Sets an output's type; outputs that the node does not list are ignored.</summary>
    public void Set(int output, TensorType type)
    {
        if (output < _outputs.Length) _outputs[output] = type;
    }

    /// <summary>Sets an output's element type and extents.</summary>
    public void Set(int output, DataType element, params ReadOnlySpan<Dim> shape) => Set(output, new TensorType(element, shape));

    /// <summary>Sets an output's element type; its rank stays unknown.</summary>
    public void SetUnknownShape(int output, DataType element) => Set(output, new TensorType(element));

    /// <summary>Types of a subgraph's outputs for inputs of the given types.</summary>
    public IReadOnlyList<TensorType> InferSubgraph(Graph graph, IReadOnlyList<TensorType> inputs) =>
        inferSubgraph?.Invoke(graph, inputs) ?? [.. graph.Outputs.Select(output => output.Type)];

    private static TensorType[] CreateOutputs(int count)
    {
        var types = new TensorType[count];
        for (int i = 0; i < count; i++) types[i] = TensorType.Unknown;
        return types;
    }
}
