using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;

namespace Octet.Runtime.Passes;

/// <summary>A quantized tensor that never falls below some byte is stored less that byte, and its readers learn its largest value.</summary>
/// <remarks>
/// An int8 tensor is stored as q + 128; behind ReLU only 128 … 255 occur. Stored as 0 … 127 with zero point 0 it means the same numbers, and products with bytes up to 127 cannot saturate
/// 16 bits whatever the weights are, so that CPUs without VNNI may multiply bytes (docs/kernels-int8.md). With s = min(lo, zero point), the producer's lo, hi and zero point and the readers'
/// zero points shrink by s; rounding and clamping happen around the zero point, and sums add s back first, so every result keeps its bits. Runs once it is settled who reads a tensor; changes no value that anything but an
/// integer layer reads.
/// </remarks>
internal sealed class StoreFromZero : LoweringRule
{
    /// <summary>Largest byte of the data that an integer layer reads; 255 where the attribute is missing.</summary>
    public const string LargestData = "x_high";

    /// <summary>Attribute that holds the zero point of input <paramref name="index"/> of a layer, or null where the input is no quantized tensor that may move.</summary>
    private static string? ZeroPointOf(Node node, int index) => (node.Domain == Operator.OctetDomain ? node.OperatorType : "") switch
    {
        "QConv" or "QGemm" => index switch { 0 => "x_zero_point", 3 => "sum_zero_point", _ => null },
        "QAdd" => index switch { 0 => "a_zero_point", 1 => "b_zero_point", _ => null },
        _ => null,
    };

    public override string Name => "store-from-zero";

    public override int Phase => 3;

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (node.Domain != Operator.OctetDomain || node.OperatorType is not ("QConv" or "QGemm" or "QAdd")) return LoweringResult.None;
        if (node.OperatorType != "QAdd" && (node.Attributes.String("output") != "uint8" || node.Attributes.Tensor("table") is not null)) return LoweringResult.None;
        Value value = node.Output;
        if (value.IsGraphOutput || value.Uses.Count == 0 || value.Uses.Any(use => ZeroPointOf(use.Node, use.Index) is null)) return LoweringResult.None;
        long low = node.Attributes.Int("lo"), high = node.Attributes.Int("hi", 255), zeroPoint = node.Attributes.Int("y_zero_point"), shift = Math.Min(low, zeroPoint), largest = Math.Max(high, zeroPoint) - shift;
        if (shift == 0 && value.Uses.All(use => !ReadsData(use) || use.Node.Attributes.Int(LargestData, byte.MaxValue) == largest)) return LoweringResult.None;
        c.Editor.SetAttribute(node, "lo", low - shift);
        c.Editor.SetAttribute(node, "hi", high - shift);
        c.Editor.SetAttribute(node, "y_zero_point", zeroPoint - shift);
        if (node.OperatorType == "QAdd" || node.Input(LayerEpilogue.Sum) is not null) Add(c, node, "y_shift", shift);
        foreach (Use use in value.Uses.ToArray())
        {
            string operand = ZeroPointOf(use.Node, use.Index)!;
            c.Editor.SetAttribute(use.Node, operand, zeroPoint - shift);
            if (operand != "x_zero_point") Add(c, use.Node, operand.Replace("zero_point", "shift", StringComparison.Ordinal), shift);
            if (ReadsData(use)) c.Editor.SetAttribute(use.Node, LargestData, largest);
        }
        c.Note(node, node);
        return LoweringResult.Done;
    }

    private static void Add(LoweringContext c, Node node, string attribute, long shift)
    {
        if (shift != 0) c.Editor.SetAttribute(node, attribute, node.Attributes.Int(attribute) + shift);
    }

    private static bool ReadsData(Use use) => use is { Index: 0, Node.OperatorType: "QConv" or "QGemm" };
}
