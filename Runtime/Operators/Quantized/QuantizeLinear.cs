using System.Numerics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Quantize;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>QuantizeLinear</c>: <c>y = saturate(roundHalfEven(x / y_scale) + y_zero_point)</c>.</summary>
/// <remarks>
/// Per tensor, per axis and blocked; scale and zero point may be computed at run time. The output type is that of the zero point,
/// else <c>output_dtype</c>, else uint8. NaN quantizes to the zero point.
/// <c>com.microsoft</c> has the same operator under the same name.
/// Spec: https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html
/// </remarks>
internal sealed class QuantizeLinear(string domain = "") : Operator
{
    public override OperatorId Id => new("QuantizeLinear", domain, domain.Length == 0 ? 10 : 1);

    public override string Types => "float32, int32 → int8, uint8, int16, uint16, int4, uint4, int2, uint2";

    public override string IntegerForm => "boundary";

    public override string Limits => "no 8-bit or 4-bit floats";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32, DataType.Float16, DataType.BFloat16, DataType.Int32);
        c.Expect(1, DataType.Float32, DataType.Float16, DataType.BFloat16, DataType.Int32);
        c.Set(0, c.Type(0) with { Element = OutputType(c) });
    }

    public override Step Plan(PlanContext c)
    {
        DataType input = c.Element(0), output = OutputType(c);
        if (!QuantizedRange.Quantized.AsSpan().Contains(output)) throw c.Unsupported($"quantizing to {output.Name()}", $"one of {string.Join(", ", QuantizedRange.Quantized.Select(DataTypes.Name))}");
        if (input is not (DataType.Float32 or DataType.Int32)) throw c.Unsupported($"quantizing {input.Name()}", "float32 or int32 data");
        if (c.Element(1) != DataType.Float32) throw c.Unsupported($"a scale of type {c.Element(1).Name()}", "a float32 scale");
        if (c.Has(2) && !c.InputShape(2).AsSpan().SequenceEqual(c.InputShape(1)) && Tensor.CountElements(c.InputShape(2)) != Tensor.CountElements(c.InputShape(1)))
            throw c.Error($"the zero point has shape {Tensor.Format(c.InputShape(2))}", "zero point and scale have the same shape");
        QuantizationGrid grid = QuantizationGrid.Read(c, c.InputShape(0), c.InputShape(1));
        bool integer = input == DataType.Int32;
        if (output == DataType.UInt8 && !integer && grid.PerTensor) return new BytesStep(grid, c.Cpu);
        return output switch
        {
            DataType.UInt8 or DataType.UInt4 or DataType.UInt2 => new QuantizeStep<byte>(grid, output, integer, c.Cpu),
            DataType.Int8 or DataType.Int4 or DataType.Int2 => new QuantizeStep<sbyte>(grid, output, integer, c.Cpu),
            DataType.UInt16 => new QuantizeStep<ushort>(grid, output, integer, c.Cpu),
            _ => new QuantizeStep<short>(grid, output, integer, c.Cpu),
        };
    }

    private static DataType OutputType(NodeContext c)
    {
        var declared = (DataType)c.Attributes.Int("output_dtype");
        if (c.Has(2))
        {
            DataType zeroPoint = c.Element(2);
            if (declared != DataType.Undefined && zeroPoint != DataType.Undefined && declared != zeroPoint)
                throw c.Error($"output_dtype is {declared.Name()} but the zero point is {zeroPoint.Name()}", "both name the same type");
            return zeroPoint;
        }
        return declared != DataType.Undefined ? declared : DataType.UInt8;
    }

    /// <summary>Floats to bytes of one scale, as nearly every INT8 model begins: without the generic arithmetic of the other step, whose types take longer to load than a small image to quantize.</summary>
    private sealed class BytesStep(QuantizationGrid grid, CpuFeatures cpu) : Step
    {
        public override string Kernel => "quantize";

        public override void Run(StepContext c)
        {
            float scale = c.Input<float>(1)[0];
            if (scale > 0 && float.IsFinite(scale)) QuantizeKernels.Quantize<UInt8Type, byte>(c.Input<float>(0), scale, c.Has(2) ? c.Input<byte>(2)[0] : 0, c.Output<byte>(0), cpu, c.Parallel);
            else RunByDefinition(c);
        }

        private void RunByDefinition(StepContext c) =>
            LinearQuantization.Quantize(c.Input<float>(0), c.Input<float>(1), c.Input<byte>(2), grid, QuantizedRange.Of(DataType.UInt8), c.Output<byte>(0));
    }

    private sealed class QuantizeStep<TQ>(QuantizationGrid grid, DataType type, bool integer, CpuFeatures cpu) : Step
        where TQ : unmanaged, IBinaryInteger<TQ>
    {
        public override string Kernel => "quantize";

        public override int ScratchBytes => integer ? checked(grid.Outer * grid.Extent * grid.Inner * sizeof(float)) : 0;

        public override void Run(StepContext c)
        {
            ReadOnlySpan<float> x = c.Input<float>(0);
            if (integer)
            {
                Span<float> real = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(c.Scratch)[..x.Length];
                ReadOnlySpan<int> numbers = c.Input<int>(0);
                for (int i = 0; i < real.Length; i++) real[i] = numbers[i];
                x = real;
            }
            LinearQuantization.Quantize(x, c.Input<float>(1), c.Input<TQ>(2), grid, type, c.Output<TQ>(0), cpu, c.Parallel);
        }
    }
}
