using System.Globalization;
using Microsoft.Extensions.Logging;
using Octet.Quantization.Accuracy;
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
/// <see cref="PreparedModel.CreateHook"/> registered, <see cref="Calibrate"/>. Both ways end in the same bytes. With <see cref="QuantizationOptions.Smooth"/> the first of two phases starts from
/// the model that <see cref="Smoothing.Apply(Model, IEnumerable{IReadOnlyDictionary{string, Tensor}}, SmoothOptions?, SessionOptions?, CancellationToken)"/> returns.
/// </remarks>
public static class Quantizer
{
    /// <summary>Calibrates and quantizes.</summary>
    /// <param name="model">The float model; not changed.</param>
    /// <param name="data">Samples: tensors by input name; further names, such as labels, are ignored. Read once, with <see cref="QuantizationOptions.Smooth"/> twice. Null only with
    /// <see cref="CalibrationMode.None"/>, or with a custom collector that has its state already.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="progress">Receives progress.</param>
    /// <param name="cancellation">Ends the work between two operators.</param>
    /// <exception cref="ArgumentException">An option is outside its range.</exception>
    /// <exception cref="DataException">There are no samples, one does not fit the model, a value is not finite, or an exclusion matches nothing.</exception>
    /// <exception cref="ModelException">The model is not legal or cannot run.</exception>
    /// <remarks>A model that is quantized already stays as it is: the report says which operators are float in it, and why.</remarks>
    public static QuantizationResult Quantize(Model model, IEnumerable<IReadOnlyDictionary<string, Tensor>>? data, QuantizationOptions? options = null,
        IProgress<QuantizationProgress>? progress = null, CancellationToken cancellation = default)
    {
        return Start(model, data, options, progress, cancellation).Finish(cancellation);
    }

    /// <summary>Calibrates without rewriting.</summary>
    /// <returns>The prepared model and the ranges, null where there are none in advance.</returns>
    internal static (PreparedModel Prepared, IReadOnlyDictionary<string, CalibrationRange>? Ranges) Measure(Model model, IEnumerable<IReadOnlyDictionary<string, Tensor>>? data, QuantizationOptions? options,
        IProgress<QuantizationProgress>? progress, CancellationToken cancellation)
    {
        CalibrationRun run = Start(model, data, options, progress, cancellation);
        IReadOnlyDictionary<string, CalibrationRange>? ranges = run.Ranges();
        return (run.Prepared, ranges);
    }

    private static CalibrationRun Start(Model model, IEnumerable<IReadOnlyDictionary<string, Tensor>>? data, QuantizationOptions? options, IProgress<QuantizationProgress>? progress, CancellationToken cancellation)
    {
        options = Check(model, data is not null, options);
        int? total = options.Samples ?? (data is not null && data.TryGetNonEnumeratedCount(out int count) ? count : null);
        if (options.Smooth is not null)
        {
            var smoother = new Smoother(model, options.Smooth, options.Session with { Logger = options.Logger });
            foreach (IReadOnlyDictionary<string, Tensor> sample in data!)
            {
                cancellation.ThrowIfCancellationRequested();
                smoother.Add(sample, cancellation);
                progress?.Report(new QuantizationProgress("smooth", smoother.Count, total));
                if (smoother.Count == options.Samples) break;
            }
            model = smoother.Finish();
        }
        var run = new CalibrationRun(model, options, total, progress);
        if (data is null || !run.NeedsData) return run;
        foreach (IReadOnlyDictionary<string, Tensor> sample in data)
        {
            cancellation.ThrowIfCancellationRequested();
            if (!run.Add(sample, cancellation)) break;
        }
        return run;
    }

    /// <summary>Calibrates with samples that arrive over time, and quantizes.</summary>
    /// <inheritdoc cref="Quantize"/>
    public static async Task<QuantizationResult> QuantizeAsync(Model model, IAsyncEnumerable<IReadOnlyDictionary<string, Tensor>> data, QuantizationOptions? options = null,
        IProgress<QuantizationProgress>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(data);
        options = Check(model, true, options);
        if (options.Smooth is not null)
        {
            var smoother = new Smoother(model, options.Smooth, options.Session with { Logger = options.Logger });
            await foreach (IReadOnlyDictionary<string, Tensor> sample in data.WithCancellation(cancellation).ConfigureAwait(false))
            {
                cancellation.ThrowIfCancellationRequested();
                smoother.Add(sample, cancellation);
                progress?.Report(new QuantizationProgress("smooth", smoother.Count, options.Samples));
                if (smoother.Count == options.Samples) break;
            }
            model = smoother.Finish();
        }
        var run = new CalibrationRun(model, options, options.Samples, progress);
        if (run.NeedsData)
        {
            await foreach (IReadOnlyDictionary<string, Tensor> sample in data.WithCancellation(cancellation).ConfigureAwait(false))
            {
                cancellation.ThrowIfCancellationRequested();
                if (!run.Add(sample, cancellation)) break;
            }
        }
        return run.Finish(cancellation);
    }

    /// <summary>First phase: fuses what standard ONNX can express, marks operators, and names the tensors that need ranges.</summary>
    /// <inheritdoc cref="Quantize" path="/exception"/>
    public static PreparedModel Prepare(Model model, QuantizationOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        options = (options ?? new QuantizationOptions()).Validate();
        Model portable = ToPortable(model, options.Session);
        if (options.Equalize is not null) Equalization.Run(portable.Graph, options.Equalize);
        Dictionary<Node, Marker.Mark> marks = Marker.Run(portable.Graph, options);
        foreach ((Node node, Marker.Mark mark) in marks)
            options.Logger.LogDebug("{Operator} '{Node}' is {Decision}: {Reason}", node.QualifiedType, node.Name, mark.Operator is null ? "left float" : "quantized", mark.Reason);
        return new PreparedModel(portable, marks, options);
    }

    /// <summary>Second phase: turns what <paramref name="collector"/> saw into grids and rewrites the model.</summary>
    /// <exception cref="DataException">The collector saw none of the tensors that need a range.</exception>
    public static QuantizationResult Calibrate(PreparedModel prepared, CalibrationCollector collector)
    {
        ArgumentNullException.ThrowIfNull(prepared);
        ArgumentNullException.ThrowIfNull(collector);
        IReadOnlyDictionary<string, CalibrationRange> ranges = collector.PostCollect();
        CheckRanges(prepared, ranges);
        ranges = prepared.Complete(ranges);
        return Finish(prepared.Guarded(ranges, collector), ranges);
    }

    /// <summary>Refuses ranges that are none, or of other tensors.</summary>
    internal static void CheckRanges(PreparedModel prepared, IReadOnlyDictionary<string, CalibrationRange> ranges)
    {
        foreach ((string name, CalibrationRange range) in ranges)
        {
            if (!float.IsFinite(range.Min) || !float.IsFinite(range.Max) || range.Min > range.Max)
                throw new DataException(string.Create(CultureInfo.InvariantCulture, $"the collector gives '{name}' the range [{range.Min}, {range.Max}]; rule: both ends are finite and Min ≤ Max"));
        }
        if (prepared.CalibrationNames.Count > 0 && !prepared.CalibrationNames.Any(ranges.ContainsKey))
            throw new DataException($"the collector saw none of the {prepared.CalibrationNames.Count} tensors that need a range; rule: the samples run through the prepared model's session with its hook registered");
        if (prepared.InputMeans is { IsEmpty: true } && prepared.CalibrationNames.Count > 0)
            throw new DataException("bias correction is on but no sample ran with the prepared model's hook; rule: the mean error is found with samples, a cache of ranges has none");
    }

    /// <summary>
    /// The model in the form that quantization starts from: opset 13 or later, constants folded, batch norms and pads folded into convolutions, MatMul + Add as Gemm.
    /// </summary>
    internal static Model ToPortable(Model model, SessionOptions session)
    {
        Graph graph = model.Graph.Clone();
        // Old models list their weights as inputs with defaults. An int8 weight has no such input, so the defaults become plain constants.
        var editor = new GraphEditor(graph);
        foreach (Value input in graph.Inputs.Where(input => input.IsConstant).ToArray()) editor.UnmarkInput(input);
        var plan = new PlanOptions(session.Cpu, 1, model.Weights);
        Simplifier.Run(graph, plan, session.DisabledRules);
        OpsetUpgrade.Run(graph);
        Simplifier.Run(graph, plan, session.DisabledRules);
        // Half precision is storage: its values are quantized like float32 ones. Rounding that the model asks for with a Cast has no standard form in float32, so such a model stays as it is.
        if (!graph.Nodes.Any(node => node.OperatorType == "Cast" && node.Attributes.Int("to") is (long)DataType.Float16 or (long)DataType.BFloat16) && PromoteHalf.Run(graph, plan)) Simplifier.Run(graph, plan, session.DisabledRules);
        Fusion.RunPortable(graph, new RewriteOptions { Disabled = session.DisabledRules });
        Simplifier.Run(graph, plan, session.DisabledRules);
        return new Model(graph)
        {
            IrVersion = Math.Max(model.IrVersion, 7),
            ProducerName = "octet",
            ProducerVersion = typeof(Quantizer).Assembly.GetName().Version?.ToString(3) ?? "",
            Description = model.Description,
            Metadata = model.Metadata,
        };
    }

    /// <summary>Rewrites a prepared model.</summary>
    /// <param name="prepared">The prepared model; not changed.</param>
    /// <param name="ranges">Ranges of activations; null for ranges at run time.</param>
    internal static QuantizationResult Finish(PreparedModel prepared, IReadOnlyDictionary<string, CalibrationRange>? ranges)
    {
        // A prepared model may be calibrated more than once, so the rewriting works on a copy; marks follow by position.
        Graph graph = prepared.Model.Graph.Clone();
        var marks = new Dictionary<Node, Marker.Mark>();
        for (int i = 0; i < graph.Nodes.Count; i++) marks[graph.Nodes[i]] = prepared.Marks[prepared.Model.Graph.Nodes[i]];
        var warnings = new List<string>();
        NodeDecision[] decisions = [.. graph.Nodes.Select(node => new NodeDecision(node.Name, node.QualifiedType, marks[node].Operator is not null, marks[node].Reason))];
        int quantized = graph.Nodes.Count(Marker.IsQuantization);
        if (quantized > 0) warnings.Add($"the model is quantized already: {quantized} operators of its own quantization, and what they feed, stay as they are");
        QdqRewriter.Run(graph, marks, ranges, prepared.Options, warnings, prepared.InputMeans);
        GraphVerifier.Verify(graph);
        foreach (string warning in warnings) prepared.Options.Logger.LogWarning("{Warning}", warning);
        var used = new Dictionary<string, CalibrationRange>(StringComparer.Ordinal);
        if (ranges is not null)
        {
            foreach (string name in prepared.Activations)
            {
                if (ranges.TryGetValue(name, out CalibrationRange range)) used.Add(name, range);
            }
        }
        var model = new Model(graph)
        {
            WritesTypes = false,   // an INT8 file is to be small, and has two or three more values per operator than a float one
            IrVersion = prepared.Model.IrVersion,
            ProducerName = prepared.Model.ProducerName,
            ProducerVersion = prepared.Model.ProducerVersion,
            Description = prepared.Model.Description,
            Metadata = prepared.Model.Metadata,
        };
        return new QuantizationResult(model, new QuantizationReport(decisions, used, warnings));
    }

    private static QuantizationOptions Check(Model model, bool hasData, QuantizationOptions? options)
    {
        ArgumentNullException.ThrowIfNull(model);
        options = (options ?? new QuantizationOptions()).Validate();
        if (!hasData && options.Calibration is not (CalibrationMode.None or CalibrationMode.Custom))
            throw new ArgumentException($"Calibration is {options.Calibration} but there is no data; rule: calibration needs samples", "data");
        if (!hasData && options.Smooth is not null) throw new ArgumentException("Smooth is on but there is no data; rule: smoothing measures activations on samples", "data");
        return options;
    }
}
