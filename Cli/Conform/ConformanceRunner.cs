using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Onnx;
using Octet.Runtime.Tensors;

namespace Octet.Cli.Conform;

/// <summary>Runs cases: loads the model, runs it on each data set, compares with the stored outputs.</summary>
/// <param name="options">How sessions run.</param>
/// <param name="limit">Time for one case; a run that takes longer is ended between two operators and fails.</param>
/// <param name="given">How floats are compared; null for ONNX's own tolerances, see <see cref="Tolerances.For"/>.</param>
internal sealed class ConformanceRunner(SessionOptions options, TimeSpan limit, Tolerances? given = null)
{
    /// <summary>Runs one case.</summary>
    public ConformanceResult Run(ConformanceCase one, CancellationToken cancellation = default)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        timeout.CancelAfter(limit);
        try
        {
            string? difference = FirstDifference(one, timeout.Token);
            return difference is null ? new(one, ConformanceOutcome.Passed, "") : new(one, ConformanceOutcome.Failed, difference);
        }
        catch (UnsupportedModelException e)
        {
            return new(one, ConformanceOutcome.Unsupported, OneLine(e.Message));
        }
        catch (OctetException e)
        {
            return new(one, ConformanceOutcome.Failed, OneLine(e.Message));
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return new(one, ConformanceOutcome.Failed, $"took longer than {limit.TotalSeconds:0} s");
        }
        catch (Exception e) when (e is not (OperationCanceledException or OutOfMemoryException))
        {
            // A case must not end the run of all others; an error of any other kind is a defect and is reported as one.
            return new(one, ConformanceOutcome.Failed, OneLine($"{e.GetType().Name}: {e.Message}{e.StackTrace?.Split('\n').FirstOrDefault()}"));
        }
    }

    private string? FirstDifference(ConformanceCase one, CancellationToken cancellation)
    {
        Model model = Model.Load(one.Model);
        InferenceSession? session = null;
        Tolerances tolerances = given ?? Tolerances.For(model.Graph);
        foreach (string set in one.DataSets)
        {
            RuntimeValue?[] stored = Inputs(model.Graph, set);
            if (Override(model.Graph, stored)) session = null;
            session ??= new InferenceSession(model, options);
            var inputs = new Dictionary<string, RuntimeValue?>(StringComparer.Ordinal);
            for (int i = 0; i < stored.Length; i++)
            {
                if (!model.Graph.Inputs[i].IsConstant) inputs[model.Graph.Inputs[i].Name] = stored[i];
            }
            IReadOnlyDictionary<string, RuntimeValue?> outputs = session.RunValues(inputs, cancellation);
            for (int o = 0; o < session.Outputs.Count; o++)
            {
                string file = Path.Combine(set, $"output_{o}.pb");
                if (!File.Exists(file)) continue;
                RuntimeValue? expected = TensorFile.Load(file, session.Outputs[o].Type);
                if (Comparison.Difference(outputs[session.Outputs[o].Name], expected, tolerances) is { } difference)
                    return $"{Path.GetFileName(set)} output {o} '{session.Outputs[o].Name}': {difference}";
            }
            if (!File.Exists(Path.Combine(set, "output_0.pb"))) return $"{Path.GetFileName(set)} has no output_0.pb";
        }
        return null;
    }

    /// <summary>The data set's inputs by position: among all graph inputs where it has as many files, else among those without a default.</summary>
    private static RuntimeValue?[] Inputs(Graph graph, string set)
    {
        int files = Directory.GetFiles(set, "input_*.pb").Length;
        int[] positions = [.. Enumerable.Range(0, graph.Inputs.Count).Where(i => files == graph.Inputs.Count || !graph.Inputs[i].IsConstant)];
        if (files > positions.Length) throw new DataException($"{Path.GetFileName(set)} has {files} inputs, the model {positions.Length}; rule: at most one file per input");
        var values = new RuntimeValue?[graph.Inputs.Count];
        for (int i = 0; i < positions.Length; i++)
        {
            string file = Path.Combine(set, $"input_{i}.pb");
            if (File.Exists(file)) values[positions[i]] = TensorFile.Load(file, graph.Inputs[positions[i]].Type);
        }
        return values;
    }

    /// <summary>Puts values that the data set gives for constants into the graph; true where there are any.</summary>
    private static bool Override(Graph graph, RuntimeValue?[] given)
    {
        bool changed = false;
        for (int i = 0; i < given.Length; i++)
        {
            if (!graph.Inputs[i].IsConstant || given[i] is not Tensor tensor) continue;
            new GraphEditor(graph).SetConstant(graph.Inputs[i], tensor);
            changed = true;
        }
        return changed;
    }

    private static string OneLine(string text) => string.Join(" ", text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
}
