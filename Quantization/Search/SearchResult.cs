namespace Octet.Quantization.Search;

/// <summary>One model that the search judged.</summary>
/// <param name="Step">Which part of the search: <c>all</c>, <c>bisect</c>, <c>return</c>.</param>
/// <param name="FloatOperators">The operators left float in it.</param>
/// <param name="Loss">Its loss.</param>
/// <param name="WithinTolerance">Whether that is accepted.</param>
/// <param name="Elapsed">Time since the search began.</param>
public sealed record SearchTrial(string Step, IReadOnlyList<string> FloatOperators, double Loss, bool WithinTolerance, TimeSpan Elapsed);

/// <summary>Error of the model's outputs when one operator alone is quantized.</summary>
/// <param name="Operator">Name of its node.</param>
/// <param name="Noise"><c>Σ (output − float)² / Σ float²</c>.</param>
public sealed record OperatorSensitivity(string Operator, double Noise);

/// <summary>What the search found.</summary>
/// <param name="Quantized">The model and its report.</param>
/// <param name="Metric">Name of the metric.</param>
/// <param name="Loss">The model's loss.</param>
/// <param name="WithinTolerance">Whether the loss is within the tolerance. False only where even the model left float as a whole is not, which a metric that changes from call to call can do;
/// a warning in the report says so too.</param>
/// <param name="TimedOut">Whether the time budget ended the search before it was done, so that fewer operators might be float.</param>
/// <param name="FloatOperators">Operators left float to stay within the tolerance.</param>
/// <param name="Sensitivities">The ranking that the search went by, most sensitive first; without those that time did not allow.</param>
/// <param name="Path">Every model judged, in order.</param>
public sealed record SearchResult(QuantizationResult Quantized, string Metric, double Loss, bool WithinTolerance, bool TimedOut, IReadOnlyList<string> FloatOperators,
    IReadOnlyList<OperatorSensitivity> Sensitivities, IReadOnlyList<SearchTrial> Path);
