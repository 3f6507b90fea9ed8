using System.Runtime.InteropServices;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>QLinearConv</c>: <c>y = saturate(roundHalfEven((Σ (x − zx)·(w − zw[o]) + b[o]) · (sx·sw[o]/sy)) + zy)</c>.</summary>
/// <remarks>
/// Inputs x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, B? (int32, units of sx·sw[o]). Weight parameters are one number or one per output channel.
/// Spec: https://onnx.ai/onnx/operators/onnx__QLinearConv.html
/// </remarks>
internal sealed class QLinearConv : Operator
{
    public override OperatorId Id => new("QLinearConv", Since: 10);

    public override string Types => "int8, uint8";

    public override string IntegerForm => "octet.QConv";

    public override string Limits => "at most three spatial axes";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8, DataType.Int8);
        c.Expect(3, DataType.UInt8, DataType.Int8);
        c.Set(0, IntegerConvolution.Infer(c, 0, 3, c.Expect(7, DataType.UInt8, DataType.Int8)));
    }

    public override Step Plan(PlanContext c)
    {
        var convolution = IntegerConvolution.Create(c, 0, 3, 2, 5);
        OperandParameters.Count(c, 1, 1, "a scale of x");
        OperandParameters.Count(c, 4, convolution.Shape.OutChannels, "a scale of w");
        OperandParameters.Count(c, 6, 1, "a scale of y");
        OperandParameters.Count(c, 7, 1, "a zero point of y");
        if (c.Has(8))
        {
            c.Expect(8, DataType.Int32);
            OperandParameters.Count(c, 8, convolution.Shape.OutChannels, "a bias");
        }
        return new ConvStep(convolution, c.OutputElement(0));
    }

    private sealed class ConvStep(IntegerConvolution convolution, DataType output) : Step
    {
        public override string Kernel => convolution.Kernel;

        public override long MultiplyAccumulates => convolution.Shape.MultiplyAccumulates;

        public override int ScratchBytes => ((convolution.Length * sizeof(int) + 63) & ~63) + convolution.ScratchBytes;

        public override void Run(StepContext c)
        {
            int accBytes = convolution.Length * sizeof(int);
            Span<int> acc = MemoryMarshal.Cast<byte, int>(c.Scratch[..accBytes]);
            convolution.Run(c, acc, c.Scratch[((accBytes + 63) & ~63)..]);
            float xScale = c.Input<float>(1)[0], yScale = c.Input<float>(6)[0];
            ReadOnlySpan<float> wScale = c.Input<float>(4);
            ReadOnlySpan<int> bias = c.Input<int>(8);
            QuantizedRange range = QuantizedRange.Of(output);
            int yZero = output == DataType.Int8 ? c.Input<sbyte>(7)[0] : c.Input<byte>(7)[0];
            Span<byte> y = c.Output<byte>(0);
            int pixels = convolution.Shape.OutputPixels, channels = convolution.Shape.OutChannels;
            for (int i = 0; i < acc.Length; i++)
            {
                int o = i / pixels % channels;
                int sum = bias.Length == 0 ? acc[i] : unchecked(acc[i] + bias[bias.Length == 1 ? 0 : o]);
                float multiplier = xScale * wScale[wScale.Length == 1 ? 0 : o] / yScale;
                y[i] = unchecked((byte)LinearQuantization.Requantize(sum, multiplier, yZero, range.Low, range.High));
            }
        }
    }
}
