using Microsoft.Extensions.Logging;
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
    private readonly Dictionary<string, string[]> _moved;   // activation that is not observed → those that it was made of
    private readonly HashSet<string> _watched;

    internal PreparedModel(Model model, Dictionary<Node, Marker.Mark> marks, QuantizationOptions options)
    {
        (Model, Marks, Options) = (model, marks, options);
        IReadOnlyList<Value> activations = Rewriting.QdqRewriter.Activations(model.Graph, marks);
        Activations = [.. activations.Select(value => value.Name)];
        _moved = Rewriting.QdqRewriter.Moved(activations, marks);
        CalibrationNames = Activations.Where(name => !_moved.ContainsKey(name)).ToHashSet(StringComparer.Ordinal);
        _watched = [.. CalibrationNames];
        if (!options.BiasCorrection) return;
        var axes = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach ((Node node, Marker.Mark mark) in marks)
        {
            if (mark.Operator is not null && node.Input(0) is { } input && BiasCorrection.InputAxis(node) is { } axis) axes.TryAdd(input.Name, axis);
        }
        InputMeans = new InputMeans(axes);
        _watched.UnionWith(Activations.Where(axes.ContainsKey));
    }

    /// <summary>The prepared float model, standard ONNX.</summary>
    public Model Model { get; }

    /// <summary>Names of the tensors whose ranges quantization needs. Those of tensors that hold the same elements elsewhere (Reshape, MaxPool, Concat and the like) follow.</summary>
    public IReadOnlySet<string> CalibrationNames { get; }

    /// <summary>Names of all tensors that are quantized, in order.</summary>
    internal IReadOnlyList<string> Activations { get; }

    /// <summary>Means of activations for bias correction, filled by the hook; null where that is off.</summary>
    internal InputMeans? InputMeans { get; private init; }

    internal Dictionary<Node, Marker.Mark> Marks { get; }

    internal QuantizationOptions Options { get; }

    /// <summary>The same model with other decisions; ranges and means measured for this one serve it too.</summary>
    internal PreparedModel WithMarks(Dictionary<Node, Marker.Mark> marks) => new(Model, marks, Options) { InputMeans = InputMeans };

    /// <summary>The model with what <see cref="RoundingGuard"/> leaves float once ranges are known.</summary>
    internal PreparedModel Guarded(IReadOnlyDictionary<string, CalibrationRange> ranges, CalibrationCollector collector)
    {
        var guarded = RoundingGuard.Run(Model.Graph, Marks, ranges, Options, name => Rounding(name, ranges, collector as HistogramCollector));
        foreach ((Node node, Marker.Mark mark) in guarded)
            if (mark != Marks[node]) Options.Logger.LogDebug("{Operator} '{Node}' is left float after all: {Reason}", node.QualifiedType, node.Name, mark.Reason);
        return WithMarks(guarded);
    }

    /// <summary>What rounding to its grid does to an activation, or to the activations whose elements it holds; null where nothing but ranges is known.</summary>
    private (double Signal, double Noise)? Rounding(string name, IReadOnlyDictionary<string, CalibrationRange> ranges, HistogramCollector? seen)
    {
        if (seen is null || !ranges.TryGetValue(name, out CalibrationRange range)) return null;
        var grid = Rewriting.GridParameters.For(range, Options.Type);
        (double Signal, double Noise) sum = default;
        var open = new Stack<string>([name]);
        while (open.TryPop(out string? next))
        {
            if (_moved.TryGetValue(next, out string[]? sources)) foreach (string source in sources) open.Push(source);
            else if (seen.Rounding(next, grid) is var (signal, noise)) sum = (sum.Signal + signal, sum.Noise + noise);
            else return null;
        }
        return sum;
    }

    /// <summary>The ranges of all <see cref="Activations"/> that follow from <paramref name="observed"/> ones.</summary>
    internal IReadOnlyDictionary<string, CalibrationRange> Complete(IReadOnlyDictionary<string, CalibrationRange> observed)
    {
        var ranges = new Dictionary<string, CalibrationRange>(observed, StringComparer.Ordinal);
        // In the model's order, so that what a tensor was made of comes first.
        foreach (string name in Activations)
        {
            if (ranges.ContainsKey(name) || !_moved.TryGetValue(name, out string[]? sources) || !sources.All(ranges.ContainsKey)) continue;
            ranges.Add(name, sources.Select(source => ranges[source]).Aggregate((all, next) => all.Union(next)));
        }
        return ranges;
    }

    /// <summary>A float session in which every tensor of <see cref="CalibrationNames"/> exists.</summary>
    public InferenceSession CreateSession() => new(Model, Options.Session with { KeepValues = _watched, Logger = Options.Logger });

    /// <summary>A hook that feeds <paramref name="collector"/> with each named tensor once per run. Register it with <c>monitorAll: true</c>, so that graph inputs are seen. Means for bias correction start anew.</summary>
    public OpHook CreateHook(CalibrationCollector collector)
    {
        ArgumentNullException.ThrowIfNull(collector);
        collector.IncludeLayers ??= CalibrationNames;
        InputMeans?.Clear();
        Dictionary<string, (string Node, int Index)> firstReader = new(StringComparer.Ordinal);
        return (in OpEvent e) =>
        {
            // A graph input is nobody's output, nor is what the session could compute in advance: its first reader stands for it.
            if (e.IsInput == e.IsMade || !_watched.Contains(e.ValueName)) return;
            if (e.IsInput)
            {
                if (!firstReader.TryGetValue(e.ValueName, out (string Node, int Index) first)) firstReader.Add(e.ValueName, first = (e.NodeName, e.Index));
                if (first != (e.NodeName, e.Index)) return;
            }
            TensorView tensor = e.Tensor;
            if (CalibrationNames.Contains(e.ValueName)) collector.Collect(e.ValueName, e.IsInput ? "" : e.OperatorType, tensor);
            InputMeans?.Collect(e.ValueName, tensor);
        };
    }
}
