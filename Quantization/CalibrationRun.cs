using Microsoft.Extensions.Logging;
using Octet.Quantization.Calibration;
using Octet.Quantization.Search;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Quantization;

/// <summary>One call of the quantizer while its samples come in.</summary>
internal sealed class CalibrationRun
{
    private readonly CalibrationCollector? _collector;
    private readonly InferenceSession? _session;
    private readonly SampleFeeder? _feeder;
    private readonly IDisposable? _registration;
    private readonly IProgress<QuantizationProgress>? _progress;
    private readonly int? _total;
    private Tensor[]? _firstInputs;

    /// <summary>Prepares <paramref name="model"/>.</summary>
    public CalibrationRun(Model model, QuantizationOptions options, int? total, IProgress<QuantizationProgress>? progress)
    {
        (_total, _progress) = (total, progress);
        progress?.Report(new QuantizationProgress("prepare", 0, 1));
        Prepared = Quantizer.Prepare(model, options);
        if (options.Calibration == CalibrationMode.None) return;
        _collector = options.CreateCollector();
        _session = Prepared.CreateSession();
        _registration = _session.RegisterOpHook(Prepared.CreateHook(_collector), monitorAll: true);
        _feeder = new SampleFeeder(_session);
    }

    /// <summary>The prepared model; once ranges are known, with what they say about its operators.</summary>
    public PreparedModel Prepared { get; private set; }

    /// <summary>Whether samples are of use.</summary>
    public bool NeedsData => _feeder is not null;

    /// <summary>Runs one sample.</summary>
    /// <returns>Whether more are wanted.</returns>
    public bool Add(IReadOnlyDictionary<string, Tensor> sample, CancellationToken cancellation)
    {
        _feeder!.Run(sample, cancellation);
        if (Prepared.Options.KeepFloatWhereSlower) _firstInputs ??= CalibrationData.Arrange(_session!, sample, 0);
        _progress?.Report(new QuantizationProgress("calibrate", _feeder.Count, _total));
        return _feeder.Count != Prepared.Options.Samples;
    }

    /// <summary>Turns what was seen into ranges; null where activations are quantized by their range at run time.</summary>
    /// <exception cref="DataException">There were no samples, or a range is none.</exception>
    public IReadOnlyDictionary<string, CalibrationRange>? Ranges()
    {
        if (_collector is null) return null;
        _registration!.Dispose();
        IReadOnlyDictionary<string, CalibrationRange> ranges = _collector.PostCollect();
        if (_feeder!.Count == 0 && (Prepared.Options.Calibration != CalibrationMode.Custom || ranges.Count == 0))
            throw new DataException("there are no calibration samples; rule: calibration needs at least one");
        Prepared.Options.Logger.LogInformation("{Samples} calibration samples read", _feeder.Count);
        Quantizer.CheckRanges(Prepared, ranges);
        ranges = Prepared.Complete(ranges);
        Prepared = Prepared.Guarded(ranges, _collector);
        return ranges;
    }

    /// <summary>Turns what was seen into the model.</summary>
    /// <exception cref="DataException">There were no samples, or a range is none.</exception>
    public QuantizationResult Finish(CancellationToken cancellation)
    {
        IReadOnlyDictionary<string, CalibrationRange>? ranges = Ranges();
        _progress?.Report(new QuantizationProgress("rewrite", 0, 1));
        QuantizationResult result = Quantizer.Finish(Prepared, ranges);
        _progress?.Report(new QuantizationProgress("rewrite", 1, 1));
        if (_firstInputs is null) return result;
        _progress?.Report(new QuantizationProgress("measure", 0, 1));
        try
        {
            result = SpeedGuard.Choose(new OperatorGroups(Prepared, ranges), Prepared, _firstInputs, cancellation);
        }
        catch (UnsupportedModelException e)
        {
            // Shapes that follow from data: runs of two models are not comparable step by step.
            string warning = $"the model was not measured: {e.Message}";
            Prepared.Options.Logger.LogWarning("{Warning}", warning);
            result = result with { Report = result.Report with { Warnings = [.. result.Report.Warnings, warning] } };
        }
        _progress?.Report(new QuantizationProgress("measure", 1, 1));
        return result;
    }
}
