using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Quantization;

/// <summary>Samples for calibration as the quantizer takes them.</summary>
internal static class CalibrationData
{
    /// <summary>The tensors of one sample in the order of the session's inputs. Entries that are no input (labels) are ignored.</summary>
    /// <exception cref="DataException">An input is missing.</exception>
    public static Tensor[] Arrange(InferenceSession session, IReadOnlyDictionary<string, Tensor> sample, int index)
    {
        var tensors = new Tensor[session.Inputs.Count];
        for (int i = 0; i < tensors.Length; i++)
        {
            ValueInfo input = session.Inputs[i];
            tensors[i] = sample.TryGetValue(input.Name, out Tensor? tensor) ? tensor
                : throw new DataException($"calibration sample {index} has no '{input.Name}' {input.Type}; it has {string.Join(", ", sample.Select(pair => $"'{pair.Key}' {pair.Value}"))}; rule: a sample has every input of the model");
        }
        return tensors;
    }
}
