using System.Globalization;

namespace Octet.Quantization.Accuracy;

/// <summary>How <see cref="Smoothing"/> works.</summary>
public sealed record SmoothOptions
{
    /// <summary>α: how much of the difficulty moves from activations to weights. 0 evens out the weights, 1 the activations; in [0, 1].</summary>
    public double Strength { get; init; } = 0.5;

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentException">One is outside its range.</exception>
    internal void Validate()
    {
        if (!(Strength is >= 0 and <= 1)) throw new ArgumentException($"Strength is {Strength.ToString(CultureInfo.InvariantCulture)}; rule: from 0 to 1");
    }
}
