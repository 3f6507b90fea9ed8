using Octet.Quantization.Calibration;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Quantization;

/// <summary>
/// The example of docs/quantization.md, compiled and run: a collector for transformers in the manner of GluonNLP's, which clips the outputs of Gelu from above and those of LayerNormalization from below.
/// </summary>
internal sealed class BertLayerCollector(float layerNormalizationMin, float geluMax) : CalibrationCollector
{
    private readonly Dictionary<string, CalibrationRange> _ranges = [];

    public override void Collect(string name, string operatorType, TensorView tensor)
    {
        if (!TryRead(name, tensor, out _, out CalibrationRange range)) return;
        if (operatorType == "Gelu") range = new CalibrationRange(MathF.Min(range.Min, geluMax), MathF.Min(range.Max, geluMax));
        if (operatorType == "LayerNormalization") range = new CalibrationRange(MathF.Max(range.Min, layerNormalizationMin), MathF.Max(range.Max, layerNormalizationMin));
        _ranges[name] = _ranges.TryGetValue(name, out CalibrationRange seen) ? seen.Union(range) : range;
    }

    public override IReadOnlyDictionary<string, CalibrationRange> PostCollect() => _ranges;
}
