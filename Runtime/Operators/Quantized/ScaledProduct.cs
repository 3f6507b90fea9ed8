using System.Runtime.InteropServices;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>An integer product brought to another grid or to real values, with scales that may be computed at run time.</summary>
/// <remarks>
/// With all arithmetic in float32 and acc = product + bias[n] where the bias is int32, the product alone where it is float32:
/// <code>
///   integer   y[m,n] = saturate(roundHalfEven(float(acc) · (α · sa[m] · sb[n] / sy[m])) + zy[m])
///   float     y[m,n] = float(acc) · (α · sa[m] · sb[n]) + bias[n]                                     bias float32, in real units
/// </code>
/// </remarks>
internal sealed class ScaledProduct : Step
{
    private readonly IntegerProduct _product;
    private readonly Slots _slots;
    private readonly float _alpha;
    private readonly DataType _output;
    private readonly bool _realBias;

    /// <summary>Which input holds what; −1 where the operator has none.</summary>
    /// <param name="AScale">One, or one per row of A.</param>
    /// <param name="BScale">One, or one per column of B.</param>
    /// <param name="YScale">One, or one per row.</param>
    /// <param name="YZero">As <paramref name="YScale"/>.</param>
    /// <param name="Bias">One, or one per column: int32, or for a real result float32 as well.</param>
    internal readonly record struct Slots(int AScale, int BScale, int YScale = -1, int YZero = -1, int Bias = -1);

    public ScaledProduct(PlanContext c, IntegerProduct product, Slots slots, DataType output, float alpha = 1)
    {
        (_product, _slots, _output, _alpha) = (product, slots, output, alpha);
        if (OperandParameters.Count(c, slots.AScale, product.Shape.M, "a scale of A") == 0) throw c.Error("A has no scale", "every quantized operand has a scale");
        if (OperandParameters.Count(c, slots.BScale, product.Shape.N, "a scale of B") == 0) throw c.Error("B has no scale", "every quantized operand has a scale");
        if (slots.YScale >= 0) OperandParameters.Count(c, slots.YScale, product.Shape.M, "a scale of Y");
        if (slots.YZero >= 0) OperandParameters.Count(c, slots.YZero, product.Shape.M, "a zero point of Y");
        if (slots.Bias < 0 || OperandParameters.Count(c, slots.Bias, product.Shape.N, "a bias") == 0) return;
        _realBias = c.Expect(slots.Bias, DataType.Int32, DataType.Float32) == DataType.Float32;
        if (_realBias && output != DataType.Float32) throw c.Error($"the bias is {c.Type(slots.Bias)}", "the bias of an 8-bit result is int32");
    }

    public override string Kernel => _product.Kernel;

    public override long MultiplyAccumulates => (long)_product.Length * _product.Shape.K;

    public override int ScratchBytes => AccBytes + _product.ScratchBytes;

    /// <summary>Room for the accumulators, a multiple of the alignment.</summary>
    private int AccBytes => (_product.Length * sizeof(int) + 63) & ~63;

    public override void Run(StepContext c)
    {
        Span<int> acc = MemoryMarshal.Cast<byte, int>(c.Scratch[..(_product.Length * sizeof(int))]);
        _product.Run(c, acc, c.Scratch[AccBytes..]);
        ReadOnlySpan<float> aScale = c.Input<float>(_slots.AScale), bScale = c.Input<float>(_slots.BScale);
        if (_slots.Bias >= 0 && c.Has(_slots.Bias) && !_realBias) AddBias(acc, c.Input<int>(_slots.Bias));
        if (_output == DataType.Float32) ToReal(c, acc, aScale, bScale, _realBias ? c.Input<float>(_slots.Bias) : default);
        else ToGrid(c, acc, aScale, bScale, c.Input<float>(_slots.YScale));
    }

    private void AddBias(Span<int> acc, ReadOnlySpan<int> bias)
    {
        int n = _product.Shape.N;
        for (int i = 0; i < acc.Length; i++) acc[i] = unchecked(acc[i] + At(bias, i % n));
    }

    private void ToReal(StepContext c, ReadOnlySpan<int> acc, ReadOnlySpan<float> aScale, ReadOnlySpan<float> bScale, ReadOnlySpan<float> bias)
    {
        Span<float> y = c.Output<float>(0);
        int n = _product.Shape.N, m = _product.Shape.M;
        for (int i = 0; i < acc.Length; i++)
        {
            int column = i % n, row = i / n % m;
            float value = acc[i] * (_alpha * At(aScale, row) * At(bScale, column));
            y[i] = bias.Length == 0 ? value : value + At(bias, column);
        }
    }

    private void ToGrid(StepContext c, ReadOnlySpan<int> acc, ReadOnlySpan<float> aScale, ReadOnlySpan<float> bScale, ReadOnlySpan<float> yScale)
    {
        bool signed = _output == DataType.Int8;
        QuantizedRange range = QuantizedRange.Of(_output);
        Span<byte> y = c.Output<byte>(0);
        ReadOnlySpan<byte> zero = _slots.YZero >= 0 ? c.Input<byte>(_slots.YZero) : default;
        int n = _product.Shape.N, m = _product.Shape.M;
        for (int i = 0; i < acc.Length; i++)
        {
            int column = i % n, row = i / n % m;
            int yZero = zero.Length == 0 ? 0 : signed ? (sbyte)At(zero, row) : At(zero, row);
            float multiplier = _alpha * At(aScale, row) * At(bScale, column) / At(yScale, row);
            y[i] = unchecked((byte)LinearQuantization.Requantize(acc[i], multiplier, yZero, range.Low, range.High));
        }
    }

    private static T At<T>(ReadOnlySpan<T> values, int index) => values[values.Length == 1 ? 0 : index];
}
