namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>RNN</c>: <c>hₜ = f(xₜ·Wᵀ + hₜ₋₁·Rᵀ + b)</c>; f is Tanh unless given.</summary>
internal class Rnn : RecurrentOperator
{
    public override OperatorId Id => new("RNN");

    protected override int Gates => 1;

    protected override int[] GatesPerProduct => [1];

    protected override string[] DefaultActivations => ["Tanh"];

    protected override Step CreateStep(PlanContext c, RecurrentShape shape, RecurrentActivation[] activations, float clip, RecurrentProducts[] products) =>
        new RnnStep(shape, activations, clip, products);

    private sealed class RnnStep(RecurrentShape shape, RecurrentActivation[] activations, float clip, RecurrentProducts[] products) : RecurrentStep(shape, products, false)
    {
        public override string Kernel { get; } = "rnn " + products[0].Kernel;

        protected override int CellScratch => 0;

        protected override void Cell(StepContext c, int direction, int step, ReadOnlySpan<int> lengths, ReadOnlySpan<float> biases, Span<float> gates, Span<float> h,
            Span<float> cell, Span<float> scratch)
        {
            int hidden = Shape.Hidden;
            AddRecurrent(c, direction, 0, h, gates, hidden);
            activations[direction].Apply(gates, clip);
            for (int b = 0; b < Shape.Batch; b++)
            {
                if (IsActive(lengths, b, step)) gates.Slice(b * hidden, hidden).CopyTo(h[(b * hidden)..]);
            }
        }
    }
}
