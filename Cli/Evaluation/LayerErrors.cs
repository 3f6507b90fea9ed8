using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Cli.Evaluation;

/// <summary>Error of one quantized activation: what its integers mean, against the same tensor of the float model.</summary>
/// <param name="Value">Name of the activation.</param>
/// <param name="Node">The node that makes it; empty for an input of the model.</param>
/// <param name="OperatorType">Type of that node.</param>
/// <param name="Difference">Over all samples. The error of every layer before it is part of it.</param>
internal sealed record LayerError(string Value, string Node, string OperatorType, OutputDifference Difference);

/// <summary>Compares a quantized model with the prepared float model that it was made of, activation by activation.</summary>
/// <remarks>
/// Both graphs run node by node as they stand, the quantized one with QuantizeLinear and DequantizeLinear as ONNX defines them: every value of the file exists, whatever a session would
/// merge.
/// </remarks>
internal static class LayerErrors
{
    /// <summary>Runs both on <paramref name="samples"/>.</summary>
    /// <param name="prepared">The float model as the quantizer prepared it; activations have the same names in both.</param>
    /// <param name="quantized">The quantized model.</param>
    /// <param name="samples">Inputs by name.</param>
    /// <param name="cancellation">Ends it between two nodes.</param>
    /// <returns>One entry per activation, in the order in which the quantized model makes them.</returns>
    public static IReadOnlyList<LayerError> Measure(Model prepared, Model quantized, IEnumerable<IReadOnlyDictionary<string, Tensor>> samples, CancellationToken cancellation)
    {
        SessionOptions session = new() { Threads = 1 };
        var references = new Dictionary<string, float[]>(StringComparer.Ordinal);
        var errors = new Dictionary<string, LayerError>(StringComparer.Ordinal);
        HashSet<string> wanted = [.. quantized.Graph.Nodes.Select(Activation).OfType<Value>().Select(value => value.Name)];
        var reference = new Interpreter(new PlanOptions(session.Cpu, 1, prepared.Weights), cancellation: cancellation)
        {
            Observer = (node, outputs) =>
            {
                for (int i = 0; i < outputs.Length; i++)
                {
                    if (node.Outputs[i] is { } output && wanted.Contains(output.Name) && outputs[i] is Tensor tensor) references[output.Name] = tensor.ToFloat32Array();
                }
            },
        };
        var subject = new Interpreter(new PlanOptions(session.Cpu, 1, quantized.Weights), cancellation: cancellation)
        {
            Observer = (node, outputs) =>
            {
                if (Activation(node) is not { } value || !references.TryGetValue(value.Name, out float[]? expected) || outputs[0] is not Tensor tensor) return;
                if (!errors.TryGetValue(value.Name, out LayerError? error))
                    errors.Add(value.Name, error = new LayerError(value.Name, value.Producer?.Name ?? "", value.Producer?.QualifiedType ?? "input", new OutputDifference()));
                error.Difference.Add(tensor.ToFloat32Array(), expected);
            },
        };
        foreach (IReadOnlyDictionary<string, Tensor> sample in samples)
        {
            var inputs = sample.ToDictionary(pair => pair.Key, pair => (RuntimeValue?)pair.Value, StringComparer.Ordinal);
            references.Clear();
            foreach ((string name, Tensor tensor) in sample) references[name] = tensor.ToFloat32Array();
            reference.Run(prepared.Graph, inputs);
            subject.Run(quantized.Graph, inputs);
        }
        return [.. errors.Values];
    }

    /// <summary>The activation that goes into the pair which <paramref name="node"/> ends, or null where it ends none.</summary>
    private static Value? Activation(Node node) =>
        node.Is("DequantizeLinear") && node.Inputs[0]?.Producer is { } quantizer && quantizer.Is("QuantizeLinear") && quantizer.Inputs[0] is { IsConstant: false } value ? value : null;
}
