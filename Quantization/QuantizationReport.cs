namespace Octet.Quantization;

/// <summary>What became of one operator.</summary>
/// <param name="Node">Name of the node.</param>
/// <param name="OperatorType">Its type.</param>
/// <param name="Quantized">Whether it runs on integers.</param>
/// <param name="Reason">By which rule it is quantized, or why it stays float.</param>
public sealed record NodeDecision(string Node, string OperatorType, bool Quantized, string Reason);

/// <summary>What quantizing did to a model.</summary>
/// <param name="Decisions">One entry per operator of the prepared model, in order.</param>
/// <param name="Ranges">Calibrated range of every quantized activation; empty without calibration.</param>
/// <param name="Warnings">What the user should know: tensors without a range, weights that overflow, and the like.</param>
public sealed record QuantizationReport(IReadOnlyList<NodeDecision> Decisions, IReadOnlyDictionary<string, Calibration.CalibrationRange> Ranges, IReadOnlyList<string> Warnings)
{
    /// <summary>Operators that run on integers.</summary>
    public int QuantizedNodes => Decisions.Count(decision => decision.Quantized);

    /// <summary>Operators that stay float.</summary>
    public int FloatNodes => Decisions.Count(decision => !decision.Quantized);
}

/// <summary>A quantized model and how it came about.</summary>
/// <param name="Model">Standard ONNX with QuantizeLinear and DequantizeLinear, int8 weights and int32 biases.</param>
/// <param name="Report">What was decided.</param>
public sealed record QuantizationResult(Runtime.Model Model, QuantizationReport Report);

/// <summary>Progress of a quantization.</summary>
/// <param name="Stage">What is being done: <c>prepare</c>, <c>calibrate</c>, <c>rewrite</c>.</param>
/// <param name="Done">Units done.</param>
/// <param name="Total">Units in all, or null while unknown.</param>
public readonly record struct QuantizationProgress(string Stage, int Done, int? Total);
