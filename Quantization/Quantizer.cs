using Microsoft.Extensions.Logging;
using Octet.Quantization.Calibration;
using Octet.Quantization.Marking;
using Octet.Quantization.Rewriting;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Passes;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Quantization;

/// <summary>Turns a float model into a standard INT8 ONNX model.</summary>
/// <remarks>
/// One call, or two phases where the caller runs the data: <see cref="Prepare"/>, a loop over <see cref="PreparedModel.CreateSession"/> with
/// <see cref="PreparedModel.CreateHook"/> registered, <see cref="Calibrate"/>. Both ways end in the same bytes.
/// </remarks>
public static class Quantizer
{
    /// <summary>Calibrates and quantizes.</summary>
    /// <param name="model">The float model; not changed.</param>
    /// <param name="data">Samples: tensors by input name; further names, such as labels, are ignored. Read once. Null only with <see cref="CalibrationMode.None"/>.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="progress">Receives progress.</param>
    /// <param name="cancellation">Ends the work between two operators.</param>
    /// <exception cref="ArgumentException">An option is outside its range.</exception>
    /// <exception cref="DataException">There are no samples, one does not fit the model, a value is not finite, or an exclusion matches nothing.</exception>
    /// <exception cref="ModelException">The model is not legal or cannot run.</exception>
    public static QuantizationResult Quantize(Model model, IEnumerable<IReadOnlyDictionary<string, Tensor>>? data, QuantizationOptions? options = null,
        IProgress<QuantizationProgress>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        options = (options ?? new QuantizationOptions()).Validate();
        if (data is null && options.Calibration != CalibrationMode.None)
            throw new ArgumentException($"Calibration is {options.Calibration} but there is no data; rule: calibration needs samples", nameof(data));
        progress?.Report(new QuantizationProgress("prepare", 0, 1));
        PreparedModel prepared = Prepare(model, options);
        if (options.Calibration == CalibrationMode.None) return Finish(prepared, null);

        CalibrationCollector collector = options.CreateCollector();
        InferenceSession session = prepared.CreateSession();
        using IDisposable registration = session.RegisterOpHook(prepared.CreateHook(collector), monitorAll: true);
        int? total = options.Samples ?? (data!.TryGetNonEnumeratedCount(out int count) ? count : null);
        Tensor[]? outputs = null;
        Tensor[]? before = null;
        int done = 0;
        foreach (IReadOnlyDictionary<string, Tensor> sample in data!)
        {
            cancellation.ThrowIfCancellationRequested();
            Tensor[] inputs = CalibrationData.Arrange(session, sample, done);
            RunOnce(session, inputs, ref before, ref outputs, cancellation);
            done++;
            progress?.Report(new QuantizationProgress("calibrate", done, total));
            if (done == options.Samples) break;
        }
        if (done == 0) throw new DataException("there are no calibration samples; rule: calibration needs at least one");
        progress?.Report(new QuantizationProgress("rewrite", 0, 1));
        QuantizationResult result = Calibrate(prepared, collector);
        progress?.Report(new QuantizationProgress("rewrite", 1, 1));
        return result;
    }

    /// <summary>First phase: fuses what standard ONNX can express, marks operators, and names the tensors that need ranges.</summary>
    /// <inheritdoc cref="Quantize" path="/exception"/>
    public static PreparedModel Prepare(Model model, QuantizationOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        options = (options ?? new QuantizationOptions()).Validate();
        foreach (Node node in model.Graph.Nodes)
        {
            if (node.OperatorType is "QuantizeLinear" or "DequantizeLinear" or "DynamicQuantizeLinear" || node.OperatorType.StartsWith("QLinear", StringComparison.Ordinal))
                throw new ModelException($"{node}: the model is quantized already; rule: the quantizer takes a float model");
        }
        Graph graph = model.Graph.Clone();
        // Old models list their weights as inputs with defaults. An int8 weight has no such input, so the defaults become plain constants.
        var editor = new GraphEditor(graph);
        foreach (Value input in graph.Inputs.Where(input => input.IsConstant).ToArray()) editor.UnmarkInput(input);
        var plan = new PlanOptions(options.Session.Cpu, 1, model.Weights);
        Simplifier.Run(graph, plan);
        OpsetUpgrade.Run(graph);
        Simplifier.Run(graph, plan);
        Fusion.RunPortable(graph, new RewriteOptions());
        Simplifier.Run(graph, plan);
        var prepared = new Model(graph)
        {
            IrVersion = Math.Max(model.IrVersion, 7),
            ProducerName = "octet",
            ProducerVersion = typeof(Quantizer).Assembly.GetName().Version?.ToString(3) ?? "",
            Description = model.Description,
            Metadata = model.Metadata,
        };
        return new PreparedModel(prepared, Marker.Run(graph, options), options);
    }

    /// <summary>Second phase: turns what <paramref name="collector"/> saw into grids and rewrites the model.</summary>
    /// <exception cref="DataException">The collector saw none of the tensors that need a range.</exception>
    public static QuantizationResult Calibrate(PreparedModel prepared, CalibrationCollector collector)
    {
        ArgumentNullException.ThrowIfNull(prepared);
        ArgumentNullException.ThrowIfNull(collector);
        IReadOnlyDictionary<string, CalibrationRange> ranges = collector.PostCollect();
        foreach ((string name, CalibrationRange range) in ranges)
        {
            if (!float.IsFinite(range.Min) || !float.IsFinite(range.Max) || range.Min > range.Max)
                throw new DataException($"the collector gives '{name}' the range [{range.Min}, {range.Max}]; rule: both ends are finite and Min ≤ Max");
        }
        if (prepared.CalibrationNames.Count > 0 && !prepared.CalibrationNames.Any(ranges.ContainsKey))
            throw new DataException($"the collector saw none of the {prepared.CalibrationNames.Count} tensors that need a range; rule: the samples run through the prepared model's session with its hook registered");
        return Finish(prepared, ranges);
    }

    private static QuantizationResult Finish(PreparedModel prepared, IReadOnlyDictionary<string, CalibrationRange>? ranges)
    {
        // A prepared model may be calibrated more than once, so the rewriting works on a copy; marks follow by position.
        Graph graph = prepared.Model.Graph.Clone();
        var marks = new Dictionary<Node, Marker.Mark>();
        for (int i = 0; i < graph.Nodes.Count; i++) marks[graph.Nodes[i]] = prepared.Marks[prepared.Model.Graph.Nodes[i]];
        var warnings = new List<string>();
        NodeDecision[] decisions = [.. graph.Nodes.Select(node => new NodeDecision(node.Name, node.QualifiedType, marks[node].Operator is not null, marks[node].Reason))];
        QdqRewriter.Run(graph, marks, ranges, prepared.Options, warnings);
        GraphVerifier.Verify(graph);
        foreach (string warning in warnings) prepared.Options.Logger.LogWarning("{Warning}", warning);
        var used = new Dictionary<string, CalibrationRange>(StringComparer.Ordinal);
        if (ranges is not null)
        {
            foreach (string name in prepared.CalibrationNames)
            {
                if (ranges.TryGetValue(name, out CalibrationRange range)) used.Add(name, range);
            }
        }
        var model = new Model(graph)
        {
            IrVersion = prepared.Model.IrVersion,
            ProducerName = prepared.Model.ProducerName,
            ProducerVersion = prepared.Model.ProducerVersion,
            Description = prepared.Model.Description,
            Metadata = prepared.Model.Metadata,
        };
        return new QuantizationResult(model, new QuantizationReport(decisions, used, warnings));
    }

    private static void RunOnce(InferenceSession session, Tensor[] inputs, ref Tensor[]? before, ref Tensor[]? outputs, CancellationToken cancellation)
    {
        bool same = before is not null;
        for (int i = 0; same && i < inputs.Length; i++) same = inputs[i].Shape.SequenceEqual(before![i].Shape);
        if (!same)
        {
            try
            {
                outputs = session.CreateOutputs(inputs);
            }
            catch (UnsupportedModelException)
            {
                outputs = null;   // shapes follow from data: the run allocates its outputs
            }
            before = inputs;
        }
        if (outputs is not null)
        {
            session.Run(inputs, outputs, cancellation);
            return;
        }
        var named = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        for (int i = 0; i < inputs.Length; i++) named.Add(session.Inputs[i].Name, inputs[i]);
        session.RunValues(named.ToDictionary(pair => pair.Key, pair => (RuntimeValue?)pair.Value, StringComparer.Ordinal), cancellation);
    }
}
