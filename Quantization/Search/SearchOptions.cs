using System.Globalization;

namespace Octet.Quantization.Search;

/// <summary>How <see cref="AccuracySearch"/> works.</summary>
public sealed record SearchOptions
{
    /// <summary>Greatest loss that is accepted, in the metric's unit; at least 0. For top-1, 0.005 is half a point.</summary>
    public double Tolerance { get; init; } = 0.005;

    /// <summary>Time for the search, calibration not included; after it the best model known is taken. More than 0.</summary>
    public TimeSpan TimeBudget { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Calibration samples on which operators are ranked by the error that quantizing each alone makes; at least 1.</summary>
    public int RankingSamples { get; init; } = 4;

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentException">One is outside its range.</exception>
    internal void Validate()
    {
        if (!(Tolerance >= 0)) throw new ArgumentException($"Tolerance is {Tolerance.ToString(CultureInfo.InvariantCulture)}; rule: at least 0");
        if (TimeBudget <= TimeSpan.Zero) throw new ArgumentException($"TimeBudget is {TimeBudget.ToString("c", CultureInfo.InvariantCulture)}; rule: more than 0");
        if (RankingSamples < 1) throw new ArgumentException($"RankingSamples is {RankingSamples}; rule: at least 1");
    }
}
