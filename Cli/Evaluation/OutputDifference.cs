using Octet.Runtime;
using Octet.Runtime.Tensors;

namespace Octet.Cli.Evaluation;

/// <summary>How far values are from reference values, over any number of tensors.</summary>
internal sealed class OutputDifference
{
    private double _signal, _noise;

    /// <summary>Greatest <c>|value − reference|</c>; NaN where only one of the two is NaN.</summary>
    public double MaxAbs { get; private set; }

    /// <summary><c>10 · log10(Σ reference² / Σ (value − reference)²)</c> in decibels; infinite where all are equal.</summary>
    public double SqnrDb => _noise == 0 ? double.PositiveInfinity : 10 * Math.Log10(_signal / _noise);

    /// <summary>Adds one pair of tensors.</summary>
    /// <exception cref="DataException">The shapes differ, or elements are no numbers.</exception>
    public void Add(string name, Tensor value, Tensor reference)
    {
        if (!value.Shape.SequenceEqual(reference.Shape))
            throw new DataException($"output '{name}' is {value} but the reference is {reference}; rule: compared outputs have one shape");
        if (value.Type == DataType.String || reference.Type == DataType.String) throw new DataException($"output '{name}' is {value}; rule: compared outputs are numbers");
        Add(value.ToFloat32Array(), reference.ToFloat32Array());
    }

    /// <summary>Adds values.</summary>
    public void Add(ReadOnlySpan<float> values, ReadOnlySpan<float> references)
    {
        for (int i = 0; i < values.Length; i++)
        {
            if (values[i].Equals(references[i])) // also NaN and equal infinities
            {
                if (float.IsFinite(references[i])) _signal += (double)references[i] * references[i];
                continue;
            }
            double difference = (double)values[i] - references[i];
            _signal += (double)references[i] * references[i];
            _noise += difference * difference;
            MaxAbs = Math.Max(MaxAbs, Math.Abs(difference));   // Math.Max hands NaN on
        }
    }
}
