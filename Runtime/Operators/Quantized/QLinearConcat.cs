using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>com.microsoft.QLinearConcat</c>: every input is requantized to the output's grid, then concatenated along <c>axis</c>.</summary>
/// <remarks>Inputs Y_scale, Y_zero_point, then x, scale, zero_point for each part. A part with the output's own parameters is copied.</remarks>
internal sealed class QLinearConcat : Operator
{
    public override OperatorId Id => new("QLinearConcat", MicrosoftDomain);

    public override string Types => "int8, uint8";

    public override string IntegerForm => "octet.QTable, Concat";

    public override void Infer(InferContext c)
    {
        DataType element = c.Expect(1, DataType.UInt8, DataType.Int8);
        if (c.InputCount < 5 || (c.InputCount - 2) % 3 != 0) throw c.Error($"{c.InputCount} inputs", "two for the output and three for every part");
        Dim sum = 0;
        Dim[]? shape = null;
        int axis = 0;
        for (int i = 2; i < c.InputCount; i += 3)
        {
            if (c.Shape(i) is not { } part)
            {
                c.SetUnknownShape(0, element);
                return;
            }
            axis = c.Axis(c.Attributes.Int("axis"), part.Length);
            shape ??= [.. part];
            if (part.Length != shape.Length) throw c.Error($"part {i} has {part.Length} axes, the first {shape.Length}", "parts have the same rank");
            for (int k = 0; k < shape.Length; k++)
            {
                if (k != axis && part[k].DiffersFrom(shape[k])) throw c.Error($"extents {part[k]} and {shape[k]} differ on axis {k}", "parts differ along the axis only");
            }
            sum += part[axis];
        }
        shape![axis] = sum;
        c.Set(0, element, shape);
    }

    public override Step Plan(PlanContext c)
    {
        int parts = (c.InputCount - 2) / 3;
        var runs = new int[parts];
        int outer = 1;
        for (int i = 0; i < parts; i++)
        {
            int[] shape = c.InputShape(2 + 3 * i);
            if (c.Element(2 + 3 * i) != c.Element(1)) throw c.Error($"part {i} is {c.Element(2 + 3 * i).Name()}", "parts and output have the same type");
            int axis = c.Axis(c.Attributes.Int("axis"), shape.Length);
            outer = 1;
            for (int k = 0; k < axis; k++) outer *= shape[k];
            runs[i] = 1;
            for (int k = axis; k < shape.Length; k++) runs[i] *= shape[k];
            if (OperandParameters.Count(c, 3 + 3 * i, 1, "a scale") == 0) throw c.Error($"part {i} has no scale", "every part has a scale");
        }
        return new ConcatStep(outer, runs, c.Element(1) == DataType.Int8);
    }

    private sealed class ConcatStep(int outer, int[] runs, bool signed) : Step
    {
        public override string Kernel => "requantize and concatenate";

        public override int ScratchBytes => 256;

        public override void Run(StepContext c)
        {
            int flip = signed ? 0x80 : 0, total = 0;
            float yScale = c.Input<float>(0)[0];
            int yZero = c.Input<byte>(1)[0] ^ flip;
            foreach (int run in runs) total += run;
            Span<byte> y = c.Output<byte>(0), table = c.Scratch[..256];
            for (int part = 0, start = 0; part < runs.Length; start += runs[part], part++)
            {
                float xScale = c.Input<float>(3 + 3 * part)[0];
                int xZero = c.Has(4 + 3 * part) ? c.Input<byte>(4 + 3 * part)[0] ^ flip : flip;
                for (int q = 0; q < 256; q++)
                    table[q ^ flip] = (byte)((xScale == yScale && xZero == yZero ? q : LinearQuantization.Quantize((q - xZero) * xScale, yScale, yZero, 0, 255)) ^ flip);
                ReadOnlySpan<byte> x = c.Input<byte>(2 + 3 * part);
                for (int o = 0; o < outer; o++)
                {
                    ReadOnlySpan<byte> from = x.Slice(o * runs[part], runs[part]);
                    Span<byte> to = y.Slice(o * total + start, runs[part]);
                    for (int i = 0; i < from.Length; i++) to[i] = table[from[i]];
                }
            }
        }
    }
}
