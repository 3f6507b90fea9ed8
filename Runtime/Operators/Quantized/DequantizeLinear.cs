using System.Numerics;
using Octet.Kernels.Cpu;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>DequantizeLinear</c>: <c>y = (x − x_zero_point) · x_scale</c>.</summary>
/// <remarks>
/// Per tensor, per axis and blocked; scale and zero point may be computed at run time. One subtraction in integers, one multiplication in float32.
/// <c>com.microsoft</c> has the same operator under the same name.
/// Spec: https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html
/// </remarks>
internal sealed class DequantizeLinear(string domain = "") : Operator
{
    public override OperatorId Id => new("DequantizeLinear", domain, domain.Length == 0 ? 10 : 1);

    public override string Types => "int8, uint8, int16, uint16, int32, int4, uint4, int2, uint2 → float32";

    public override string IntegerForm => "boundary";

    public override string Limits => "no 8-bit or 4-bit floats";

    public override void Infer(InferContext c)
    {
        DataType scale = c.Expect(1, DataType.Float32, DataType.Float16, DataType.BFloat16);
        var declared = (DataType)c.Attributes.Int("output_dtype");
        c.Set(0, c.Type(0) with { Element = declared != DataType.Undefined ? declared : scale });
    }

    public override Step Plan(PlanContext c)
    {
        DataType input = c.Element(0);
        if (c.Element(1) != DataType.Float32 || c.OutputElement(0) != DataType.Float32)
            throw c.Unsupported($"dequantizing by {c.Element(1).Name()} to {c.OutputElement(0).Name()}", "float32 scale and output");
        if (c.Has(2))
        {
            if (c.Element(2) != input) throw c.Error($"the zero point is {c.Element(2).Name()} but the data is {input.Name()}", "zero point and data have the same type");
            if (Tensor.CountElements(c.InputShape(2)) != Tensor.CountElements(c.InputShape(1)))
                throw c.Error($"the zero point has shape {Tensor.Format(c.InputShape(2))}", "zero point and scale have the same shape");
        }
        QuantizationGrid grid = QuantizationGrid.Read(c, c.InputShape(0), c.InputShape(1));
        return input switch
        {
            DataType.UInt8 or DataType.UInt4 or DataType.UInt2 => new DequantizeStep<byte>(grid, input, c.Cpu),
            DataType.Int8 or DataType.Int4 or DataType.Int2 => new DequantizeStep<sbyte>(grid, input, c.Cpu),
            DataType.UInt16 => new DequantizeStep<ushort>(grid, input, c.Cpu),
            DataType.Int16 => new DequantizeStep<short>(grid, input, c.Cpu),
            DataType.Int32 => new DequantizeStep<int>(grid, input, c.Cpu),
            _ => throw c.Unsupported($"dequantizing {input.Name()}", "one of uint8, int8, uint16, int16, int32, uint4, int4, uint2, int2"),
        };
    }

    private sealed class DequantizeStep<TQ>(QuantizationGrid grid, DataType type, CpuFeatures cpu) : Step
        where TQ : unmanaged, IBinaryInteger<TQ>
    {
        public override string Kernel => "dequantize";

        public override void Run(StepContext c) =>
            LinearQuantization.Dequantize(c.Input<TQ>(0), c.Input<float>(1), c.Input<TQ>(2), grid, type, c.Output<float>(0), cpu, c.Parallel);
    }
}
