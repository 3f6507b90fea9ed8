using Octet.Runtime.Graphs;

namespace Octet.Runtime.Passes;

/// <summary>Scale and zero point of a uint8 tensor: <c>real = Scale · (q − ZeroPoint)</c>.</summary>
/// <param name="Scale">Real units per step.</param>
/// <param name="ZeroPoint">In [0, 255].</param>
internal readonly record struct Quantization(float Scale, int ZeroPoint)
{
    /// <inheritdoc/>
    public bool Equals(Quantization other) => Scale.Equals(other.Scale) && ZeroPoint == other.ZeroPoint;

    /// <inheritdoc/>
    public override int GetHashCode() => Scale.GetHashCode() ^ ZeroPoint;
}

/// <summary>A float value that is a dequantized tensor of bytes.</summary>
/// <param name="Q">The bytes: uint8, or an int8 constant.</param>
/// <param name="Grid">Scale and zero point of the bytes as uint8.</param>
internal readonly record struct QuantizedSource(Value Q, Quantization Grid);

/// <summary>A constant weight behind a DequantizeLinear.</summary>
/// <param name="W">The 8-bit (or unpacked narrower) constant.</param>
/// <param name="Scales">1 or one per output channel.</param>
/// <param name="ZeroPoints">Empty where all are 0, else 1 or one per output channel.</param>
internal readonly record struct QuantizedWeight(Value W, float[] Scales, int[] ZeroPoints);
