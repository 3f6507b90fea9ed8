using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>octet.QAdd</c> and <c>octet.QMul</c> on bytes, with NumPy's broadcasting.</summary>
/// <remarks>
/// Attributes a_scale, a_zero_point, b_scale, b_zero_point, y_scale, y_zero_point, lo, hi; arithmetic float32 without fused multiply-add:
/// <code>
///   QAdd   y = clamp(round((a − za)·(sa/sy) + (b − zb)·(sb/sy)) + zy, lo, hi)       a negative sb subtracts
///   QMul   y = clamp(round((a − za)·(b − zb) · (sa·sb/sy)) + zy, lo, hi)            the product of differences is exact
/// </code>
/// </remarks>
internal sealed class QPair(string type, bool multiply) : Operator
{
    public override OperatorId Id => new(type, OctetDomain);

    public override string Types => "uint8";

    public override string IntegerForm => "itself";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8);
        c.Expect(1, DataType.UInt8);
        c.Set(0, BroadcastPair.Infer(c, c.Type(0), c.Type(1), DataType.UInt8));
    }

    public override Step Plan(PlanContext c)
    {
        float a = c.Attributes.Float("a_scale"), b = c.Attributes.Float("b_scale"), y = c.Attributes.Float("y_scale");
        return new PairStep(BroadcastPair.Create(c.InputShape(0), c.InputShape(1)), multiply, multiply ? a * b / y : a / y, b / y,
            Int(c, "a_zero_point"), Int(c, "b_zero_point"), Int(c, "y_zero_point"), Int(c, "lo"), Int(c, "hi", 255));
    }

    private static int Int(NodeContext c, string name, long otherwise = 0) => checked((int)c.Attributes.Int(name, otherwise));

    private sealed class PairStep(BroadcastPair pair, bool multiply, float aFactor, float bFactor, int aZero, int bZero, int yZero, int low, int high) : Step
    {
        public override string Kernel => multiply ? "quantized product" : "quantized sum";

        public override void Run(StepContext c)
        {
            ReadOnlySpan<byte> a = c.Input<byte>(0), b = c.Input<byte>(1);
            Span<byte> y = c.Output<byte>(0);
            if (y.Length == 0) return;
            for (int row = 0, at = 0; row < pair.Rows; row++)
            {
                (int i, int j) = pair.Start(row);
                for (int column = 0; column < pair.RowLength; column++, at++, i += pair.AStep, j += pair.BStep)
                {
                    int left = a[i] - aZero, right = b[j] - bZero;
                    y[at] = (byte)LinearQuantization.Round(multiply ? left * right * aFactor : left * aFactor + right * bFactor, yZero, low, high);
                }
            }
        }
    }
}
