using Microsoft.Extensions.Logging;
using Octet.Quantization.Calibration;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Quantization;

/// <summary>One call of the quantizer while its samples come in.</summary>
internal sealed class CalibrationRun
{
    private readonly PreparedModel _prepared;
    private readonly CalibrationCollector? _collector;
    private readonly SampleFeeder? _feeder;
    private readonly IDisposable? _registration;
    private readonly IProgress<QuantizationProgress>? _progress;
    private readonly int? _total;

    /// <summary>Prepares <paramref name="model"/>.</summary>
    public CalibrationRun(Model model, QuantizationOptions options, int? total, IProgress<QuantizationProgress>? progress)
    {
        (_total, _progress) = (total, progress);
        progress?.Report(new QuantizationProgress("prepare", 0, 1));
        _prepared = Quantizer.Prepare(model, options);
        if (options.Calibration == CalibrationMode.None) return;
        _collector = options.CreateCollector();
        InferenceSession session = _prepared.CreateSession();
        _registration = session.RegisterOpHook(_prepared.CreateHook(_collector), monitorAll: true);
        _feeder = new SampleFeeder(session);
    }

    /// <summary>Whether samples are of use.</summary>
    public bool NeedsData => _feeder is not null;

    /// <summary>Runs one sample.</summary>
    /// <returns>Whether more are wanted.</returns>
    public bool Add(IReadOnlyDictionary<string, Tensor> sample, CancellationToken cancellation)
    {
        _feeder!.Run(sample, cancellation);
        _progress?.Report(new QuantizationProgress("calibrate", _feeder.Count, _total));
        return _feeder.Count != _prepared.Options.Samples;
    }

    /// <summary>Turns what was seen into the model.</summary>
    /// <exception cref="DataException">There were no samples.</exception>
    public QuantizationResult Finish()
    {
        if (_collector is null) return Quantizer.Finish(_prepared, null);
        _registration!.Dispose();
        if (_feeder!.Count == 0 && (_prepared.Options.Calibration != CalibrationMode.Custom || _collector.PostCollect().Count == 0))
            throw new DataException("there are no calibration samples; rule: calibration needs at least one");
        _prepared.Options.Logger.LogInformation("{Samples} calibration samples read", _feeder.Count);
        _progress?.Report(new QuantizationProgress("rewrite", 0, 1));
        QuantizationResult result = Quantizer.Calibrate(_prepared, _collector);
        _progress?.Report(new QuantizationProgress("rewrite", 1, 1));
        return result;
    }
}
