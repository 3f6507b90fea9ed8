using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>BitCast</c>: the bits of every element read as the type in attribute <c>to</c>, which has as many.</summary>
internal sealed class BitCast : Operator
{
    public override OperatorId Id { get; } = new("BitCast", Since: 26);

    public override string Types => "all of 8, 16, 32, 64 and 128 bits";

    public override void Infer(InferContext c)
    {
        DataType from = c.Element(0), to = (DataType)c.Attributes.Int("to");
        if (Bits(to) == 0 || (from != DataType.Undefined && Bits(from) != Bits(to))) throw c.Error($"{from.Name()} is read as {to.Name()}", "both types have the same number of bits, and neither is text");
        c.Set(0, c.Type(0) with { Element = to });
    }

    public override Step Plan(PlanContext c) => IsWhole(c.Element(0)) && IsWhole(c.OutputElement(0))
        ? Step.From("BitCast", static step => step.Input(0).Bytes.Span.CopyTo(step.Output(0).Bytes.Span))
        : throw c.Unsupported($"{c.Element(0).Name()} read as {c.OutputElement(0).Name()}", "types of whole bytes");

    private static bool IsWhole(DataType type) => Bits(type) % 8 == 0;

    private static int Bits(DataType type) => type switch
    {
        DataType.UInt4 or DataType.Int4 or DataType.Float4E2M1 => 4,
        DataType.UInt2 or DataType.Int2 => 2,
        _ => 8 * type.Size(),
    };
}
