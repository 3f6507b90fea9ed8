using System.Numerics;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Multinomial</c>: <c>sample_size</c> classes per row, each drawn with the probability whose logarithm, up to a constant of the row, the input holds.</summary>
internal sealed class Multinomial : Operator
{
    public override OperatorId Id { get; } = new("Multinomial");

    public override string Types => "float32, float64, float16 → int32, int64";

    public override bool IsRandom => true;

    public override void Infer(InferContext c)
    {
        DataType element = (DataType)c.Attributes.Int("dtype", (long)DataType.Int32);
        if (element is not (DataType.Int32 or DataType.Int64)) throw c.Error($"dtype is {element.Name()}", "int32 or int64");
        if (c.Shape(0) is { Length: not 2 } shape) throw c.Error($"the input has {shape.Length} axes", "a row of logarithms per sample");
        c.Set(0, element, c.Shape(0)?[0] ?? Dim.Unknown, new Dim(Size(c)));
    }

    public override Step Plan(PlanContext c) => ElementTypes.Real(c, c.Element(0), new Visitor(RandomNumbers.Seed(c), c.InputShape(0)[1], Size(c), c.OutputElement(0)));

    private static int Size(NodeContext c) => c.Attributes.Int("sample_size", 1) is >= 0 and <= int.MaxValue and long size ? (int)size : throw c.Error("sample_size is negative", "0 or more");

    private sealed class Visitor(uint? seed, int classes, int size, DataType element) : IRealVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> => Step.From("Multinomial", c =>
        {
            MersenneTwister random = RandomNumbers.Create(c, seed);
            ReadOnlySpan<T> x = c.Input<T>(0);
            Span<int> y32 = element == DataType.Int32 ? c.Output<int>(0) : default;
            Span<long> y64 = element == DataType.Int64 ? c.Output<long>(0) : default;
            for (int at = 0, rows = classes == 0 ? 0 : x.Length / classes; at < rows * size; at++)
            {
                ReadOnlySpan<T> row = x.Slice(at / size * classes, classes);
                double largest = double.NegativeInfinity, sum = 0;
                foreach (T value in row) largest = Math.Max(largest, double.CreateTruncating(value));
                foreach (T value in row) sum += Math.Exp(double.CreateTruncating(value) - largest);
                double left = random.NextDouble() * sum;
                int drawn = 0;
                while (drawn < classes - 1 && (left -= Math.Exp(double.CreateTruncating(row[drawn]) - largest)) >= 0) drawn++;
                if (y64.IsEmpty) y32[at] = drawn;
                else y64[at] = drawn;
            }
        }, scratchBytes: RandomNumbers.ScratchBytes);
    }
}
