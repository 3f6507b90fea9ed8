namespace Octet.Runtime.Operators;

/// <summary><c>octet.DynamicQuantizeRNN</c>: <see cref="Rnn"/> with 8-bit weights; X and every hidden state are quantized by their own range.</summary>
/// <remarks>Inputs, weights and their parameters are those of <see cref="DynamicQuantizeLstm"/>, with one gates; only the lowering makes it, from weights behind DequantizeLinear.</remarks>
internal sealed class DynamicQuantizeRnn : Rnn
{
    /// <summary>The type's name.</summary>
    public const string Type = "DynamicQuantizeRNN";

    public override OperatorId Id => new(Type, OctetDomain);

    public override string Types => "float32; W, R: int8, uint8";

    public override string IntegerForm => "itself";

    protected override int[] InputWeights(int directions, int inputs, int hidden) => [directions, inputs, Gates * hidden];

    protected override int[] RecurrentWeights(int directions, int hidden) => [directions, hidden, Gates * hidden];

    protected override int HiddenAxis => 1;

    protected override RecurrentProducts CreateProducts(PlanContext c, RecurrentShape shape, int direction)
    {
        if (c.Attributes.Int("layout") != 0) throw c.Error("there is a layout", "DynamicQuantizeRNN has no attribute layout");
        return new QuantizedRecurrentProducts(c, shape, direction, GatesPerProduct);
    }
}
