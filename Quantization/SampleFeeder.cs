using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Quantization;

/// <summary>Runs samples through a session whose outputs or hooks somebody watches; output tensors are made again only where shapes change.</summary>
internal sealed class SampleFeeder(InferenceSession session)
{
    private Tensor[]? _before;
    private Tensor[]? _outputs;

    /// <summary>Samples run.</summary>
    public int Count { get; private set; }

    /// <summary>Runs one sample.</summary>
    /// <returns>The outputs in the session's order, valid until the next sample.</returns>
    /// <exception cref="DataException">The sample does not fit the model, or a hook refuses a value; the message says which sample.</exception>
    public IReadOnlyList<Tensor> Run(IReadOnlyDictionary<string, Tensor> sample, CancellationToken cancellation)
    {
        Tensor[] inputs = CalibrationData.Arrange(session, sample, Count);
        try
        {
            IReadOnlyList<Tensor> outputs = Run(inputs, cancellation);
            Count++;
            return outputs;
        }
        catch (DataException e)
        {
            throw new DataException($"calibration sample {Count}: {e.Message}");
        }
    }

    private IReadOnlyList<Tensor> Run(Tensor[] inputs, CancellationToken cancellation)
    {
        bool same = _before is not null;
        for (int i = 0; same && i < inputs.Length; i++) same = inputs[i].Shape.SequenceEqual(_before![i].Shape);
        if (!same)
        {
            try
            {
                _outputs = session.CreateOutputs(inputs);
            }
            catch (UnsupportedModelException)
            {
                _outputs = null;   // shapes follow from data: the run allocates its outputs
            }
            _before = inputs;
        }
        if (_outputs is not null)
        {
            session.Run(inputs, _outputs, cancellation);
            return _outputs;
        }
        var named = new Dictionary<string, RuntimeValue?>(StringComparer.Ordinal);
        for (int i = 0; i < inputs.Length; i++) named.Add(session.Inputs[i].Name, inputs[i]);
        IReadOnlyDictionary<string, RuntimeValue?> results = session.RunValues(named, cancellation);
        return [.. session.Outputs.Select(output => results[output.Name]).OfType<Tensor>()];
    }
}
