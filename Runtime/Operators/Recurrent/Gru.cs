using System.Numerics;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>GRU</c>: gated recurrent unit.</summary>
/// <remarks>
/// <code>
///   z = f(xₜ·Wzᵀ + hₜ₋₁·Rzᵀ + bz)      r = f(xₜ·Wrᵀ + hₜ₋₁·Rrᵀ + br)                  f Sigmoid, g Tanh unless given
///   h̃ = g(xₜ·Whᵀ + (r ⊙ hₜ₋₁)·Rhᵀ + Rbh + Wbh)        linear_before_reset = 0
///   h̃ = g(xₜ·Whᵀ + r ⊙ (hₜ₋₁·Rhᵀ + Rbh) + Wbh)        linear_before_reset = 1
///   hₜ = (1 − z) ⊙ h̃ + z ⊙ hₜ₋₁                        gates lie in the order z, r, h
/// </code>
/// </remarks>
internal class Gru : RecurrentOperator
{
    public override OperatorId Id => new("GRU");

    protected override int Gates => 3;

    protected override int[] GatesPerProduct => [2, 1];

    protected override string[] DefaultActivations => ["Sigmoid", "Tanh"];

    protected override Step CreateStep(PlanContext c, RecurrentShape shape, RecurrentActivation[] activations, float clip, RecurrentProducts[] products) =>
        new GruStep(shape, activations, clip, products, c.Attributes.Int("linear_before_reset") != 0);

    private sealed class GruStep(RecurrentShape shape, RecurrentActivation[] activations, float clip, RecurrentProducts[] products, bool linearFirst)
        : RecurrentStep(shape, products, false)
    {
        public override string Kernel { get; } = "gru " + products[0].Kernel;

        protected override int CellScratch => Shape.Batch * Shape.Hidden;

        protected override void FillBias(ReadOnlySpan<float> biases, Span<float> bias)
        {
            base.FillBias(biases, bias);
            // r scales the recurrent bias of the last gate, so that one is added with the recurrent product.
            if (linearFirst && !biases.IsEmpty) biases.Slice(2 * Shape.Hidden, Shape.Hidden).CopyTo(bias[(2 * Shape.Hidden)..]);
        }

        protected override void Cell(StepContext c, int direction, int step, ReadOnlySpan<int> lengths, ReadOnlySpan<float> biases, Span<float> gates, Span<float> h,
            Span<float> cell, Span<float> scratch)
        {
            int hidden = Shape.Hidden, columns = Shape.Columns, batch = Shape.Batch;
            (RecurrentActivation f, RecurrentActivation g) = (activations[2 * direction], activations[2 * direction + 1]);
            AddRecurrent(c, direction, 0, h, gates, columns);
            for (int b = 0; b < batch; b++) f.Apply(gates.Slice(b * columns, 2 * hidden), clip);
            if (linearFirst)
            {
                for (int b = 0; b < batch; b++)
                {
                    Span<float> row = scratch.Slice(b * hidden, hidden);
                    if (biases.IsEmpty) row.Clear();
                    else biases.Slice(columns + 2 * hidden, hidden).CopyTo(row);
                }
                AddRecurrent(c, direction, 1, h, scratch, hidden);
                for (int b = 0; b < batch; b++)
                    MultiplyAdd(gates.Slice(b * columns + hidden, hidden), scratch.Slice(b * hidden, hidden), gates.Slice(b * columns + 2 * hidden, hidden));
            }
            else
            {
                for (int b = 0; b < batch; b++) Multiply(gates.Slice(b * columns + hidden, hidden), h.Slice(b * hidden, hidden), scratch.Slice(b * hidden, hidden));
                AddRecurrent(c, direction, 1, scratch, gates[(2 * hidden)..], columns);
            }
            for (int b = 0; b < batch; b++)
            {
                if (!IsActive(lengths, b, step)) continue;
                ReadOnlySpan<float> z = gates.Slice(b * columns, hidden);
                Span<float> candidate = gates.Slice(b * columns + 2 * hidden, hidden), state = h.Slice(b * hidden, hidden);
                g.Apply(candidate, clip);
                int i = 0;
                for (; i <= hidden - Vector<float>.Count; i += Vector<float>.Count)
                {
                    var update = new Vector<float>(z[i..]);
                    ((Vector<float>.One - update) * new Vector<float>(candidate[i..]) + update * new Vector<float>(state[i..])).CopyTo(state[i..]);
                }
                for (; i < hidden; i++) state[i] = (1 - z[i]) * candidate[i] + z[i] * state[i];
            }
        }

        private static void Multiply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y)
        {
            int i = 0;
            for (; i <= y.Length - Vector<float>.Count; i += Vector<float>.Count) (new Vector<float>(a[i..]) * new Vector<float>(b[i..])).CopyTo(y[i..]);
            for (; i < y.Length; i++) y[i] = a[i] * b[i];
        }

        private static void MultiplyAdd(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y)
        {
            int i = 0;
            for (; i <= y.Length - Vector<float>.Count; i += Vector<float>.Count)
                (new Vector<float>(y[i..]) + new Vector<float>(a[i..]) * new Vector<float>(b[i..])).CopyTo(y[i..]);
            for (; i < y.Length; i++) y[i] += a[i] * b[i];
        }
    }
}
