namespace Octet.Runtime.Operators;

/// <summary><c>com.microsoft.DynamicQuantizeLSTM</c>: <see cref="Lstm"/> with 8-bit weights; X and every hidden state are quantized by their own range.</summary>
/// <remarks>
/// <code>
///   W [D, I, 4·H]   R [D, H, 4·H]   int8 or uint8, inputs 1 and 2, the transpose of the float operator's
///   inputs 8 to 11: W_scale, W_zero_point?, R_scale, R_zero_point?     one per direction, or [D, 4·H]
///   xₜ·W = Σ (qx − zx)·(W − zw[n]) · sx·sw[n]     sx, zx: DynamicQuantizeLinear of all of X up to the longest sequence
///   h·R  = Σ (qh − zh)·(R − zr[n]) · sh·sr[n]     sh, zh: of what all sequences wrote to Y in the step before, 0 after their end
/// </code>
/// Everything else is float32. There is no attribute <c>layout</c>.
/// </remarks>
internal sealed class DynamicQuantizeLstm : Lstm
{
    public override OperatorId Id => new("DynamicQuantizeLSTM", MicrosoftDomain);

    public override string Types => "float32; W, R: int8, uint8";

    public override string IntegerForm => "itself";

    protected override int[] InputWeights(int directions, int inputs, int hidden) => [directions, inputs, Gates * hidden];

    protected override int[] RecurrentWeights(int directions, int hidden) => [directions, hidden, Gates * hidden];

    protected override int HiddenAxis => 1;

    protected override RecurrentProducts CreateProducts(PlanContext c, RecurrentShape shape, int direction)
    {
        if (c.Attributes.Int("layout") != 0) throw c.Error("there is a layout", "DynamicQuantizeLSTM has no attribute layout");
        return new QuantizedRecurrentProducts(c, shape, direction, GatesPerProduct);
    }
}
