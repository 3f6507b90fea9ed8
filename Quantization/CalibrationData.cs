using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Quantization;

/// <summary>Samples for calibration as the quantizer takes them: tensors by input name.</summary>
public static class CalibrationData
{
    /// <summary>Names samples that come as lists of tensors, in the order of the model's inputs. What follows the inputs, such as labels, is dropped.</summary>
    /// <param name="model">The model.</param>
    /// <param name="samples">At least one tensor per input of the model each.</param>
    /// <exception cref="DataException">While reading: a sample has fewer tensors than the model has inputs.</exception>
    public static IEnumerable<IReadOnlyDictionary<string, Tensor>> FromLists(Model model, IEnumerable<IReadOnlyList<Tensor>> samples)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(samples);
        Value[] inputs = [.. model.Graph.Inputs.Where(input => !input.IsConstant)];
        return Named();

        IEnumerable<IReadOnlyDictionary<string, Tensor>> Named()
        {
            int index = 0;
            foreach (IReadOnlyList<Tensor> sample in samples)
            {
                if (sample.Count < inputs.Length)
                    throw new DataException($"calibration sample {index} has {sample.Count} tensors but the model has {inputs.Length} inputs: {string.Join(", ", inputs.Select(input => $"'{input.Name}' {input.Type}"))}; rule: one tensor per input, in order; more are ignored");
                yield return inputs.Select((input, i) => (input.Name, Tensor: sample[i])).ToDictionary(pair => pair.Name, pair => pair.Tensor, StringComparer.Ordinal);
                index++;
            }
        }
    }

    /// <summary>The tensors of one sample in the order of the session's inputs. Entries that are no input (labels) are ignored.</summary>
    /// <exception cref="DataException">An input is missing.</exception>
    internal static Tensor[] Arrange(InferenceSession session, IReadOnlyDictionary<string, Tensor> sample, int index)
    {
        if (sample is null) throw new DataException($"calibration sample {index} is null; rule: a sample has every input of the model");
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
