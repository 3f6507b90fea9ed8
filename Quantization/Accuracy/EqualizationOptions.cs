namespace Octet.Quantization.Accuracy;

/// <summary>How <see cref="Equalization"/> works.</summary>
public sealed record EqualizationOptions
{
    /// <summary>Passes over all pairs of layers at most; a pass that changes nothing is the last. At least 1.</summary>
    public int Rounds { get; init; } = 20;

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentException">One is outside its range.</exception>
    internal void Validate()
    {
        if (Rounds < 1) throw new ArgumentException($"Rounds is {Rounds}; rule: at least 1");
    }
}
