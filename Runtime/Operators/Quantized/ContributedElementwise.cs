using Octet.Kernels.Requantize;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>com.microsoft.QLinearAdd</c> and <c>QLinearMul</c> with NumPy's broadcasting.</summary>
/// <remarks>
/// Inputs A, A_scale, A_zero_point?, B, B_scale, B_zero_point?, C_scale, C_zero_point?; arithmetic float32, fused only where it says fma, half to even:
/// <code>
///   add   C = saturate(round(fma(a, sa/sc, fma(b, sb/sc, zc − fma(sa/sc, za, (sb/sc)·zb)))))          b is the operand that stays the same along a row, if one does
///   mul   C = saturate(round((a − za)·(b − zb)·(sa·sb/sc)) + zc)
/// </code>
/// int8 tensors are computed as uint8 with 128 added, which a sum may round otherwise at a tie.
/// </remarks>
internal sealed class QLinearElementwise(string type, bool multiply) : Operator
{
    public override OperatorId Id => new(type, MicrosoftDomain);

    public override string Types => "int8, uint8";

    public override string IntegerForm => multiply ? "octet.QMul" : "octet.QAdd";

    public override void Infer(InferContext c)
    {
        DataType a = c.Expect(0, DataType.UInt8, DataType.Int8);
        c.Expect(3, DataType.UInt8, DataType.Int8);
        c.Set(0, BroadcastPair.Infer(c, c.Type(0), c.Type(3), a));
    }

    public override Step Plan(PlanContext c)
    {
        foreach (int scale in (ReadOnlySpan<int>)[1, 4, 6])
        {
            if (OperandParameters.Count(c, scale, 1, "a scale") == 0) throw c.Error($"scale {scale} is missing", "A, B and C have one scale each");
        }
        foreach (int zero in (ReadOnlySpan<int>)[2, 5, 7]) OperandParameters.Count(c, zero, 1, "a zero point");
        if (c.Element(0) != c.Element(3)) throw c.Error($"A is {c.Element(0).Name()} and B {c.Element(3).Name()}", "A and B have the same type");
        return new PairStep(BroadcastPair.Create(c.InputShape(0), c.InputShape(3)), c.Element(0) == DataType.Int8, multiply);
    }

    private sealed class PairStep(BroadcastPair pair, bool signed, bool multiply) : Step
    {
        public override string Kernel => multiply ? "quantized product" : "quantized sum";

        public override void Run(StepContext c)
        {
            int flip = signed ? 0x80 : 0;
            int aZero = Zero(c, 2, flip), bZero = Zero(c, 5, flip), yZero = Zero(c, 7, flip);
            float aScale = c.Input<float>(1)[0], bScale = c.Input<float>(4)[0], yScale = c.Input<float>(6)[0];
            ReadOnlySpan<byte> a = c.Input<byte>(0), b = c.Input<byte>(3);
            Span<byte> y = c.Output<byte>(0);
            if (y.Length == 0) return;
            float aFactor = multiply ? aScale * bScale / yScale : aScale / yScale, bFactor = bScale / yScale;
            bool swap = pair is { AStep: 0, BStep: 1 };
            float constant = swap ? RequantizeReference.SumConstant(bFactor, bZero, aFactor, aZero, yZero) : RequantizeReference.SumConstant(aFactor, aZero, bFactor, bZero, yZero);
            for (int row = 0, at = 0; row < pair.Rows; row++)
            {
                (int i, int j) = pair.Start(row);
                for (int column = 0; column < pair.RowLength; column++, at++, i += pair.AStep, j += pair.BStep)
                {
                    int left = a[i] ^ flip, right = b[j] ^ flip;
                    float steps = multiply ? (left - aZero) * (right - bZero) * aFactor
                        : swap ? RequantizeReference.Sum(right, bFactor, left, aFactor, constant) : RequantizeReference.Sum(left, aFactor, right, bFactor, constant);
                    y[at] = (byte)(LinearQuantization.Round(steps, multiply ? yZero : 0, 0, 255) ^ flip);
                }
            }
        }

        /// <summary>A zero point of an int8 tensor moves by 128 with its data.</summary>
        private static int Zero(StepContext c, int index, int flip) => c.Has(index) ? c.Input<byte>(index)[0] ^ flip : flip;
    }
}

/// <summary><c>com.microsoft.QLinearSigmoid</c> and <c>QLinearLeakyRelu</c>: dequantize, apply, quantize, as a table of 256 entries made when run.</summary>
/// <remarks>Inputs X, X_scale, X_zero_point?, Y_scale, Y_zero_point?; attribute alpha of LeakyRelu, 0.01 unless given.</remarks>
internal sealed class QLinearPointwise(string type, Func<float, float, float> function) : Operator
{
    public override OperatorId Id => new(type, MicrosoftDomain);

    public override string Types => "int8, uint8";

    public override string IntegerForm => "octet.QTable";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8, DataType.Int8);
        c.Set(0, c.Type(0));
    }

    public override Step Plan(PlanContext c)
    {
        foreach (int scale in (ReadOnlySpan<int>)[1, 3])
        {
            if (OperandParameters.Count(c, scale, 1, "a scale") == 0) throw c.Error($"scale {scale} is missing", "X and Y have one scale each");
        }
        foreach (int zero in (ReadOnlySpan<int>)[2, 4]) OperandParameters.Count(c, zero, 1, "a zero point");
        return new TableStep(function, c.Attributes.Float("alpha", 0.01f), c.Element(0) == DataType.Int8);
    }

    private sealed class TableStep(Func<float, float, float> function, float alpha, bool signed) : Step
    {
        public override string Kernel => "table";

        public override int ScratchBytes => 256;

        public override int InPlaceInput(int output) => 0;

        public override void Run(StepContext c)
        {
            int flip = signed ? 0x80 : 0;
            int xZero = c.Has(2) ? c.Input<byte>(2)[0] ^ flip : flip, yZero = c.Has(4) ? c.Input<byte>(4)[0] ^ flip : flip;
            float xScale = c.Input<float>(1)[0], yScale = c.Input<float>(3)[0];
            Span<byte> table = c.Scratch[..256];
            for (int q = 0; q < 256; q++)
                table[q ^ flip] = (byte)(LinearQuantization.Quantize(function((q - xZero) * xScale, alpha), yScale, yZero, 0, 255) ^ flip);
            ReadOnlySpan<byte> x = c.Input<byte>(0);
            Span<byte> y = c.Output<byte>(0);
            for (int i = 0; i < x.Length; i++) y[i] = table[x[i]];
        }
    }

    /// <summary><c>1 / (1 + e⁻ˣ)</c>.</summary>
    public static float Sigmoid(float x, float alpha) => 1f / (1f + MathF.Exp(-x));

    /// <summary><c>x ≥ 0 ? x : α·x</c>.</summary>
    public static float LeakyRelu(float x, float alpha) => x >= 0 ? x : alpha * x;
}

/// <summary><c>com.microsoft.QLinearSoftmax</c>: dequantize, softmax, quantize.</summary>
/// <remarks>
/// Inputs X, X_scale, x_zero_point?, y_scale, y_zero_point; attributes axis (last unless given) and opset: below 13 the axes from <c>axis</c> on count as one.
/// The largest real value is subtracted first; sums are taken in float64.
/// </remarks>
internal sealed class QLinearSoftmax : Operator
{
    public override OperatorId Id => new("QLinearSoftmax", MicrosoftDomain);

    public override string Types => "int8, uint8";

    public override string IntegerForm => "itself";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8, DataType.Int8);
        c.Set(0, c.Type(0));
    }

    public override Step Plan(PlanContext c)
    {
        foreach (int scale in (ReadOnlySpan<int>)[1, 3])
        {
            if (OperandParameters.Count(c, scale, 1, "a scale") == 0) throw c.Error($"scale {scale} is missing", "X and Y have one scale each");
        }
        foreach (int zero in (ReadOnlySpan<int>)[2, 4]) OperandParameters.Count(c, zero, 1, "a zero point");
        int[] shape = c.InputShape(0);
        if (shape.Length == 0) throw c.Error("the data is a scalar", "softmax needs an axis");
        int axis = c.Axis(c.Attributes.Int("axis", -1), shape.Length);
        int extent = shape[axis], inner = 1;
        for (int i = axis + 1; i < shape.Length; i++) inner *= shape[i];
        return c.Attributes.Int("opset", 13) < 13
            ? new SoftmaxStep(extent * inner, 1, c.Element(0) == DataType.Int8)
            : new SoftmaxStep(extent, inner, c.Element(0) == DataType.Int8);
    }

    private sealed class SoftmaxStep(int extent, int inner, bool signed) : Step
    {
        public override string Kernel => "quantized softmax";

        public override void Run(StepContext c)
        {
            int flip = signed ? 0x80 : 0;
            int yZero = c.Has(4) ? c.Input<byte>(4)[0] ^ flip : flip;
            float xScale = c.Input<float>(1)[0], yScale = c.Input<float>(3)[0];
            ReadOnlySpan<byte> x = c.Input<byte>(0);
            Span<byte> y = c.Output<byte>(0);
            if (x.Length == 0) return;
            Span<double> powers = stackalloc double[256];   // e^(−steps · scale): a softmax needs only differences from the largest
            for (int i = 0; i < powers.Length; i++) powers[i] = Math.Exp(-i * (double)xScale);
            for (int outer = 0; outer < x.Length / (extent * inner); outer++)
            {
                for (int i = 0; i < inner; i++)
                {
                    int first = outer * extent * inner + i, largest = 0;
                    for (int k = 0; k < extent; k++) largest = Math.Max(largest, x[first + k * inner] ^ flip);
                    double sum = 0;
                    for (int k = 0; k < extent; k++) sum += powers[largest - (x[first + k * inner] ^ flip)];
                    for (int k = 0; k < extent; k++)
                    {
                        float share = (float)(powers[largest - (x[first + k * inner] ^ flip)] / sum);
                        y[first + k * inner] = (byte)(LinearQuantization.Quantize(share, yScale, yZero, 0, 255) ^ flip);
                    }
                }
            }
        }
    }
}
