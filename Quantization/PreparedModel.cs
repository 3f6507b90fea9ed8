using Octet.Quantization.Accuracy;
using Octet.Quantization.Calibration;
using Octet.Quantization.Marking;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Quantization;

/// <summary>A float model made ready for quantization: portable fusions done, operators marked, the tensors that need ranges named.</summary>
public sealed class PreparedModel
{
    private readonly Dictionary<string, string> _graphInputs;   // name of an observed graph input → name of itself, for hooks

    internal PreparedModel(Model model, Dictionary<Node, Marker.Mark> marks, QuantizationOptions options)
    {
        (Model, Marks, Options) = (model, marks, options);
        IReadOnlyList<Value> activations = Rewriting.QdqRewriter.Activations(model.Graph, marks);
        CalibrationNames = activations.Select(value => value.Name).ToHashSet(StringComparer.Ordinal);
        _graphInputs = activations.Where(value => value.IsGraphInput).ToDictionary(value => value.Name, value => value.Name, StringComparer.Ordinal);
        if (!options.BiasCorrection) return;
        var axes = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach ((Node node, Marker.Mark mark) in marks)
        {
            if (mark.Operator is not null && node.Input(0) is { } input && BiasCorrection.InputAxis(node) is { } axis) axes.TryAdd(input.Name, axis);
        }
        InputMeans = new InputMeans(axes);
    }

    /// <summary>The prepared float model, standard ONNX.</summary>
    public Model Model { get; }

    /// <summary>Names of the tensors whose ranges quantization needs.</summary>
    public IReadOnlySet<string> CalibrationNames { get; }

    /// <summary>Means of activations for bias correction, filled by the hook; null where that is off.</summary>
    internal InputMeans? InputMeans { get; private init; }

    internal Dictionary<Node, Marker.Mark> Marks { get; }

    internal QuantizationOptions Options { get; }

    /// <summary>The same model with other decisions; ranges and means measured for this one serve it too.</summary>
    internal PreparedModel WithMarks(Dictionary<Node, Marker.Mark> marks) => new(Model, marks, Options) { InputMeans = InputMeans };

    /// <summary>A float session in which every tensor of <see cref="CalibrationNames"/> exists.</summary>
    public InferenceSession CreateSession() => new(Model, Options.Session with { KeepValues = CalibrationNames, Logger = Options.Logger });

    /// <summary>A hook that feeds <paramref name="collector"/> with each named tensor once per run. Register it with <c>monitorAll: true</c>, so that graph inputs are seen. Means for bias correction start anew.</summary>
    public OpHook CreateHook(CalibrationCollector collector)
    {
        ArgumentNullException.ThrowIfNull(collector);
        collector.IncludeLayers ??= CalibrationNames;
        InputMeans?.Clear();
        Dictionary<string, (string Node, int Index)> firstReader = new(StringComparer.Ordinal);
        return (in OpEvent e) =>
        {
            if (e.IsInput)
            {
                // A graph input is nobody's output: its first reader stands for it.
                if (!_graphInputs.ContainsKey(e.ValueName)) return;
                if (!firstReader.TryGetValue(e.ValueName, out (string Node, int Index) first)) firstReader.Add(e.ValueName, first = (e.NodeName, e.Index));
                if (first != (e.NodeName, e.Index)) return;
                See("", e);
            }
            else if (CalibrationNames.Contains(e.ValueName))
            {
                See(e.OperatorType, e);
            }
        };

        void See(string operatorType, in OpEvent e)
        {
            collector.Collect(e.ValueName, operatorType, e.Tensor);
            InputMeans?.Collect(e.ValueName, e.Tensor);
        }
    }
}
