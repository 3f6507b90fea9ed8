namespace Octet.Quantization.Analysis;

/// <summary>How far values are from reference values, added up over any number of tensors in float64.</summary>
internal sealed class Difference
{
    private double _references, _values, _products, _noise;

    /// <summary>Greatest <c>|value − reference|</c>; NaN where a value is.</summary>
    public double MaxAbs { get; private set; }

    /// <summary>Elements compared.</summary>
    public long Count { get; private set; }

    /// <summary><c>10 · log10(Σ reference² / Σ (value − reference)²)</c> in decibels; infinite where all are equal.</summary>
    public double SqnrDb => _noise == 0 ? double.PositiveInfinity : 10 * Math.Log10(_references / _noise);

    /// <summary><c>Σ value · reference / √(Σ value² · Σ reference²)</c>; 1 where both are zero, 0 where one is.</summary>
    public double Cosine => _references == 0 && _values == 0 ? 1 : _references == 0 || _values == 0 ? 0 : _products / Math.Sqrt(_references * _values);

    /// <summary><c>Σ (value − reference)² / elements</c>; 0 without elements.</summary>
    public double MeanSquaredError => Count == 0 ? 0 : _noise / Count;

    /// <summary><c>Σ (value − reference)² / Σ reference²</c>; 0 where all are equal, infinite where only the reference is zero.</summary>
    public double RelativeNoise => _noise == 0 ? 0 : _noise / _references;

    /// <summary>Adds values.</summary>
    public void Add(ReadOnlySpan<float> values, ReadOnlySpan<float> references)
    {
        for (int i = 0; i < values.Length; i++)
        {
            double value = values[i], reference = references[i], difference = value - reference;
            if (values[i].Equals(references[i])) difference = 0;   // equal infinities, and NaN where the reference is NaN
            if (!double.IsFinite(reference)) reference = 0;
            if (!double.IsFinite(value) && difference == 0) value = 0;
            _references += reference * reference;
            _values += value * value;
            _products += value * reference;
            _noise += difference * difference;
            MaxAbs = Math.Max(MaxAbs, Math.Abs(difference));
        }
        Count += values.Length;
    }
}
