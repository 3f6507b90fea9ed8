using System.Diagnostics;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Cli.Evaluation;

/// <summary>Runs a session on sample after sample and measures each run. Where shapes stay the same, outputs are reused and a run allocates nothing.</summary>
internal sealed class SampleRunner
{
    private readonly InferenceSession _session;
    private Tensor[]? _outputs;
    private Tensor[]? _before;

    /// <summary>Runs <paramref name="session"/>.</summary>
    public SampleRunner(InferenceSession session) => _session = session;

    /// <summary>Time of the last run.</summary>
    public TimeSpan Elapsed { get; private set; }

    /// <summary>Whether the last run was the first with its input shapes, so that its time includes making the plan.</summary>
    public bool WasFirst { get; private set; }

    /// <summary>Runs once.</summary>
    /// <param name="inputs">Tensors by input name.</param>
    /// <param name="cancellation">Ends the run between two operators.</param>
    /// <returns>Outputs in the order of the session's; they are valid until the next run.</returns>
    public Tensor[] Run(IReadOnlyDictionary<string, Tensor> inputs, CancellationToken cancellation)
    {
        var tensors = new Tensor[_session.Inputs.Count];
        for (int i = 0; i < tensors.Length; i++)
        {
            ValueInfo input = _session.Inputs[i];
            tensors[i] = inputs.TryGetValue(input.Name, out Tensor? tensor) ? tensor
                : throw new DataException($"input '{input.Name}' {input.Type} is missing; given: {string.Join(", ", inputs.Keys.Select(name => $"'{name}'"))}; rule: every input is given");
        }
        return Run(tensors, cancellation);
    }

    /// <summary>Runs once.</summary>
    /// <param name="inputs">Tensors in the order of the session's inputs.</param>
    /// <param name="cancellation">Ends the run between two operators.</param>
    public Tensor[] Run(Tensor[] inputs, CancellationToken cancellation)
    {
        bool same = _before is not null;
        for (int i = 0; same && i < inputs.Length; i++) same = inputs[i].Shape.SequenceEqual(_before![i].Shape);
        WasFirst = !same;
        long start = Stopwatch.GetTimestamp();
        if (!same)
        {
            try
            {
                _outputs = _session.CreateOutputs(inputs);
            }
            catch (UnsupportedModelException)
            {
                _outputs = null;   // the shape of an output follows from data: the session makes it
            }
            _before = inputs;
        }
        Tensor[] outputs;
        if (_outputs is not null)
        {
            _session.Run(inputs, _outputs, cancellation);
            outputs = _outputs;
        }
        else
        {
            var named = new Dictionary<string, Tensor>(StringComparer.Ordinal);
            for (int i = 0; i < inputs.Length; i++) named.Add(_session.Inputs[i].Name, inputs[i]);
            IReadOnlyDictionary<string, Tensor> results = _session.Run(named, cancellation);
            outputs = [.. _session.Outputs.Select(output => results[output.Name])];
        }
        Elapsed = Stopwatch.GetElapsedTime(start);
        return outputs;
    }
}
