using Octet.Kernels.Cpu;
using Octet.Kernels.Quantize;
using Octet.Runtime.Tensors;
using KernelBroadcast = Octet.Kernels.Elementwise.BroadcastPlan;

namespace Octet.Runtime.Operators;

/// <summary>What <see cref="QPair"/> computes.</summary>
internal enum PairOperation
{
    /// <summary>Sum, or with a negative scale a difference.</summary>
    Add,

    /// <summary>Product.</summary>
    Multiply,

    /// <summary>Quotient.</summary>
    Divide,
}

/// <summary><c>octet.QAdd</c>, <c>octet.QMul</c> and <c>octet.QDiv</c> on bytes, with NumPy's broadcasting.</summary>
/// <remarks>
/// Attributes a_scale, a_zero_point, a_shift, b_scale, b_zero_point, b_shift, y_scale, y_zero_point, y_shift, lo, hi; arithmetic float32, fused only where it says fma:
/// <code>
///   QAdd   y = clamp(round(fma(a, A, fma(b, B, zy − fma(A, za, B·zb)))), lo, hi)    A = sa/sy, B = sb/sy; a negative scale subtracts
///   QMul   y = clamp(round((a − za)·(b − zb) · (sa·sb/sy)) + zy, lo, hi)            the product of differences is exact
///   QDiv   y = clamp(round((a − za) / (b − zb) · (sa/(sb·sy))) + zy, lo, hi)        x / 0 saturates, 0 / 0 gives zy
/// </code>
/// A sum takes and gives the model's integers, which are the stored ones plus their shifts: what StoreFromZero took away.
/// </remarks>
internal sealed class QPair(string type, PairOperation operation) : Operator
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
        var constants = new QuantizedBinaryConstants(Int(c, "a_zero_point"), Int(c, "b_zero_point"), Int(c, "y_zero_point"), operation switch { PairOperation.Multiply => a * b / y, PairOperation.Divide => a / (b * y), _ => a / y }, b / y, Int(c, "lo"), Int(c, "hi", 255), Int(c, "a_shift"), Int(c, "b_shift"), Int(c, "y_shift"));
        int[] left = c.InputShape(0), right = c.InputShape(1), result = c.OutputShape(0);
        // In place only over an operand that is read once per output.
        int inPlace = left.AsSpan().SequenceEqual(result) ? 0 : right.AsSpan().SequenceEqual(result) ? 1 : -1;
        return new PairStep(KernelBroadcast.Create(result, left, right), constants, operation, inPlace, c.Cpu);
    }

    private static int Int(NodeContext c, string name, long otherwise = 0) => checked((int)c.Attributes.Int(name, otherwise));

    private sealed class PairStep(KernelBroadcast plan, QuantizedBinaryConstants constants, PairOperation operation, int inPlace, CpuFeatures cpu) : Step
    {
        public override string Kernel => operation switch { PairOperation.Multiply => "quantized product", PairOperation.Divide => "quantized quotient", _ => "quantized sum" };

        public override int InPlaceInput(int output) => inPlace;

        public override void Run(StepContext c)
        {
            if (operation == PairOperation.Divide) QuantizedElementwise.DivideUInt8(plan, c.Input<byte>(0), c.Input<byte>(1), c.Output<byte>(0), constants, cpu, c.Parallel);
            else if (operation == PairOperation.Multiply) QuantizedElementwise.MultiplyUInt8(plan, c.Input<byte>(0), c.Input<byte>(1), c.Output<byte>(0), constants, cpu, c.Parallel);
            else QuantizedElementwise.AddUInt8(plan, c.Input<byte>(0), c.Input<byte>(1), c.Output<byte>(0), constants, cpu, c.Parallel);
        }
    }
}
