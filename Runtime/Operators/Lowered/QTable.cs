using Octet.Kernels.Cpu;
using Octet.Kernels.Quantize;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>octet.QTable</c>: <c>y = table[x]</c> on bytes: any pointwise function, or a change of scale.</summary>
/// <remarks>Attribute table: a uint8 tensor of 256 elements, or, with attribute axis, of <c>[extent of that axis, 256]</c>: a function for every channel.</remarks>
internal sealed class QTable : Operator
{
    public override OperatorId Id => new("QTable", OctetDomain);

    public override string Types => "uint8";

    public override string IntegerForm => "itself";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.UInt8);
        c.Set(0, c.Type(0));
    }

    public override Step Plan(PlanContext c)
    {
        Tensor table = c.Attributes.Tensor("table") ?? throw c.Error("table is missing", "table holds 256 bytes");
        CpuFeatures cpu = c.Cpu;
        if (c.Attributes.Contains("axis"))
        {
            int[] x = c.InputShape(0);
            int axis = c.Axis(c.Attributes.Int("axis"), x.Length);
            if (table.Type != DataType.UInt8 || table.Length != x[axis] * ByteTable.Length) throw c.Error($"table is {table}", $"table is uint8 [{x[axis]}, 256]");
            byte[] tables = table.Span<byte>().ToArray();
            int outer = Tensor.CountElements(x[..axis]), inner = Tensor.CountElements(x[(axis + 1)..]);
            return Step.From("table per channel", run => ByteTable.RunChannels(run.Input<byte>(0), tables, run.Output<byte>(0), outer, x[axis], inner, cpu, run.Parallel), inPlaceInput: 0);
        }
        if (table.Type != DataType.UInt8 || table.Length != 256) throw c.Error($"table is {table}", "table holds 256 bytes");
        byte[] entries = table.Span<byte>().ToArray();
        return Step.From("table", run => ByteTable.Run(run.Input<byte>(0), entries, run.Output<byte>(0), cpu, run.Parallel), inPlaceInput: 0);
    }
}

/// <summary><c>octet.FlipSign</c>: <c>y = x XOR 0x80</c>, which turns int8 into uint8 with the zero point moved by 128, and back.</summary>
internal sealed class FlipSign : Operator
{
    public override OperatorId Id => new("FlipSign", OctetDomain);

    public override string Types => "int8, uint8";

    public override string IntegerForm => "itself";

    public override void Infer(InferContext c) =>
        c.Set(0, c.Type(0) with { Element = c.Expect(0, DataType.UInt8, DataType.Int8) == DataType.Int8 ? DataType.UInt8 : DataType.Int8 });

    public override Step Plan(PlanContext c) =>
        Step.From("flip sign", run => QuantizeKernels.FlipSign(run.Input<byte>(0), run.Output<byte>(0)), inPlaceInput: 0);
}
