using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;

namespace Octet.Runtime;

/// <summary>A model in its portable form: what is loaded, inspected, quantized, saved. Running it takes an <c>InferenceSession</c>.</summary>
/// <remarks>Sessions and the quantizer work on copies; a model that nobody edits may be shared between threads.</remarks>
public sealed partial class Model
{
    /// <summary>Wraps a graph.</summary>
    public Model(Graph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        Graph = graph;
    }

    /// <summary>The computation.</summary>
    public Graph Graph { get; }

    /// <summary>Version of ONNX's file format.</summary>
    public long IrVersion { get; init; } = 8;

    /// <summary>The tool that wrote the model.</summary>
    public string ProducerName { get; init; } = "octet";

    /// <summary>The version of that tool.</summary>
    public string ProducerVersion { get; init; } = "";

    /// <summary>Namespace of the model's name, in reverse-DNS form.</summary>
    public string Domain { get; init; } = "";

    /// <summary>The model's own version.</summary>
    public long ModelVersion { get; init; }

    /// <summary>What the model is for, in its author's words.</summary>
    public string Description { get; init; } = "";

    /// <summary>Further facts that the file carries.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; init; } = new Dictionary<string, string>();

    /// <summary>Whether a file of the model declares the types of values between operators; those of ONNX's own operators follow from their inputs.</summary>
    internal bool WritesTypes { get; init; } = true;

    /// <summary>Packed weights, shared by all sessions of this model.</summary>
    internal WeightStore Weights { get; init; } = new();
}
