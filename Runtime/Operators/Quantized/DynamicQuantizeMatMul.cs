using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>com.microsoft.DynamicQuantizeMatMul</c>: A is quantized to uint8 by its own range, then <c>Y = (qA − za)·(B − zb) · sa·sb + bias</c>.</summary>
/// <remarks>
/// Inputs A float32, B int8 or uint8, b_scale, b_zero_point?, bias?. B's parameters are one number or one per column.
/// The quantization of A is that of <see cref="DynamicQuantizeLinear"/>.
/// </remarks>
internal sealed class DynamicQuantizeMatMul : Operator
{
    public override OperatorId Id => new("DynamicQuantizeMatMul", MicrosoftDomain);

    public override string IntegerForm => "itself";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32);
        c.Expect(1, DataType.UInt8, DataType.Int8);
        c.Set(0, BatchedProduct.Infer(c, c.Type(0), c.Type(1), DataType.Float32));
    }

    public override Step Plan(PlanContext c)
    {
        var product = IntegerProduct.Create(c, BatchedProduct.Create(c.InputShape(0), c.InputShape(1)), 0, 1, -1, 3);
        if (OperandParameters.Count(c, 2, product.Shape.N, "a scale of B") == 0) throw c.Error("B has no scale", "b_scale is required");
        OperandParameters.Count(c, 4, product.Shape.N, "a bias");
        return new ProductStep(product, Tensor.CountElements(c.InputShape(0)), c.Cpu);
    }

    private sealed class ProductStep(IntegerProduct product, int elements, CpuFeatures cpu) : Step
    {
        private readonly int _accBytes = Aligned(product.Length * sizeof(int));

        public override string Kernel => $"quantize by range, {product.Kernel}";

        public override long MultiplyAccumulates => (long)product.Length * product.Shape.K;

        public override int ScratchBytes => _accBytes + Aligned(elements) + product.ScratchBytes;

        public override void Run(StepContext c)
        {
            ReadOnlySpan<float> x = c.Input<float>(0);
            (float min, float max) = DynamicQuantizeLinear.Range(x, cpu);
            (float aScale, byte aZero) = DynamicQuantizeLinear.Parameters(min, max);
            Span<byte> quantized = c.Scratch.Slice(_accBytes, elements);
            LinearQuantization.Quantize(x, [aScale], [aZero], new QuantizationGrid(1, elements, 1, 0, true), DataType.UInt8, quantized, cpu, c.Parallel);

            Span<int> acc = MemoryMarshal.Cast<byte, int>(c.Scratch[..(product.Length * sizeof(int))]);
            product.Run(c, quantized, [aZero], acc, c.Scratch[(_accBytes + Aligned(elements))..]);
            ReadOnlySpan<float> bScale = c.Input<float>(2), bias = c.Input<float>(4);
            Span<float> y = c.Output<float>(0);
            int n = product.Shape.N;
            for (int i = 0; i < acc.Length; i++)
            {
                float value = acc[i] * (aScale * bScale[bScale.Length == 1 ? 0 : i % n]);
                y[i] = bias.Length == 0 ? value : value + bias[bias.Length == 1 ? 0 : i % n];
            }
        }

        private static int Aligned(int bytes) => (bytes + 63) & ~63;
    }
}
