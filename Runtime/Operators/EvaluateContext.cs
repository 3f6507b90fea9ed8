using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Runs a subgraph: given its inputs, returns its outputs. Values of surrounding graphs are supplied by whoever made the function.</summary>
internal delegate RuntimeValue?[] SubgraphRunner(Graph graph, ReadOnlySpan<RuntimeValue?> inputs);

/// <summary>What <see cref="Operator.Evaluate"/> reads: actual inputs.</summary>
internal sealed class EvaluateContext(Node node, RuntimeValue?[] inputs, PlanOptions options, Parallelism parallel,
    SubgraphRunner? runSubgraph = null, CancellationToken cancellation = default)
    : NodeContext(node, Array.ConvertAll(inputs, TypeOf))
{
    /// <summary>What plans are made for.</summary>
    public PlanOptions Options { get; } = options;

    /// <summary>How many threads may be used.</summary>
    public Parallelism Parallel { get; } = parallel;

    /// <summary>Ends long loops.</summary>
    public CancellationToken Cancellation { get; } = cancellation;

    /// <summary>Input <paramref name="index"/> as it is: a tensor, a sequence, or null for an empty optional or one left out.</summary>
    public RuntimeValue? Value(int index) => index < inputs.Length ? inputs[index] : null;

    /// <summary>All inputs.</summary>
    public ReadOnlySpan<RuntimeValue?> Values => inputs;

    /// <summary>Input <paramref name="index"/>, which must be a tensor.</summary>
    /// <exception cref="ModelException">It is left out or no tensor.</exception>
    public Tensor Input(int index) => Value(index) as Tensor ?? throw Error($"input {index} is no tensor", $"input {index} is a tensor");

    /// <summary>Input <paramref name="index"/> as a tensor, or null where it is left out.</summary>
    public Tensor? OptionalInput(int index) => Value(index) as Tensor;

    /// <summary>Input <paramref name="index"/>, which must be a sequence.</summary>
    /// <exception cref="ModelException">It is left out or no sequence.</exception>
    public TensorSequence Sequence(int index) => Value(index) as TensorSequence ?? throw Error($"input {index} is no sequence", $"input {index} is a sequence");

    /// <summary>Runs the subgraph in attribute <paramref name="attribute"/>.</summary>
    /// <exception cref="ModelException">The attribute is missing.</exception>
    public RuntimeValue?[] RunSubgraph(string attribute, params ReadOnlySpan<RuntimeValue?> arguments)
    {
        Graph graph = Attributes.Graph(attribute) ?? throw Error($"attribute '{attribute}' is missing", $"'{attribute}' is a graph");
        if (runSubgraph is null) throw Unsupported("a subgraph cannot run here", "running it in a session");
        return runSubgraph(graph, arguments);
    }

    /// <summary>The type of an actual value.</summary>
    internal static TensorType? TypeOf(RuntimeValue? value) => value switch
    {
        Tensor tensor => new TensorType(tensor.Type, tensor.Shape),
        TensorSequence sequence => new TensorType(sequence.ElementType) { Container = Container.Sequence },
        _ => null,
    };
}
