using System.Numerics;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>LSTM</c>: long short-term memory with optional peepholes.</summary>
/// <remarks>
/// <code>
///   i = f(xₜ·Wiᵀ + hₜ₋₁·Riᵀ + bi + pi ⊙ cₜ₋₁)      o = f(… + po ⊙ cₜ)      φ = f(… + pf ⊙ cₜ₋₁)      c̃ = g(…)
///   cₜ = φ ⊙ cₜ₋₁ + i ⊙ c̃                          hₜ = o ⊙ h(cₜ)          f Sigmoid, g and h Tanh unless given
/// </code>
/// Gates lie in the order i, o, φ, c. With <c>input_forget</c> φ = 1 − i. <c>clip</c> bounds what enters f and g.
/// </remarks>
internal class Lstm : RecurrentOperator
{
    public override OperatorId Id => new("LSTM");

    protected override int Gates => 4;

    protected override bool HasCell => true;

    protected override int[] GatesPerProduct => [4];

    protected override string[] DefaultActivations => ["Sigmoid", "Tanh", "Tanh"];

    protected override Step CreateStep(PlanContext c, RecurrentShape shape, RecurrentActivation[] activations, float clip, RecurrentProducts[] products) =>
        new LstmStep(shape, activations, clip, products, c.Attributes.Int("input_forget") != 0);

    private sealed class LstmStep(RecurrentShape shape, RecurrentActivation[] activations, float clip, RecurrentProducts[] products, bool coupled)
        : RecurrentStep(shape, products, true)
    {
        public override string Kernel { get; } = "lstm " + products[0].Kernel;

        protected override int CellScratch => Shape.Hidden;

        protected override void Cell(StepContext c, int direction, int step, ReadOnlySpan<int> lengths, ReadOnlySpan<float> biases, Span<float> gates, Span<float> h,
            Span<float> cell, Span<float> scratch)
        {
            int hidden = Shape.Hidden, columns = Shape.Columns;
            AddRecurrent(c, direction, 0, h, gates, columns);
            ReadOnlySpan<float> peepholes = c.Has(7) ? c.Input<float>(7).Slice(direction * 3 * hidden, 3 * hidden) : default;
            (RecurrentActivation f, RecurrentActivation g, RecurrentActivation last) = (activations[3 * direction], activations[3 * direction + 1], activations[3 * direction + 2]);
            for (int b = 0; b < Shape.Batch; b++)
            {
                if (!IsActive(lengths, b, step)) continue;
                Span<float> row = gates.Slice(b * columns, columns), state = cell.Slice(b * hidden, hidden);
                Span<float> input = row[..hidden], output = row.Slice(hidden, hidden), forget = row.Slice(2 * hidden, hidden), candidate = row.Slice(3 * hidden, hidden);
                if (peepholes.IsEmpty) f.Apply(row[..(3 * hidden)], clip);
                else
                {
                    AddProduct(peepholes[..hidden], state, input);
                    AddProduct(peepholes.Slice(2 * hidden, hidden), state, forget);
                    f.Apply(input, clip);
                    f.Apply(forget, clip);
                }
                g.Apply(candidate, clip);
                if (coupled)
                {
                    for (int i = 0; i < hidden; i++) forget[i] = 1 - input[i];
                }
                Update(forget, input, candidate, state);
                if (!peepholes.IsEmpty)
                {
                    AddProduct(peepholes.Slice(hidden, hidden), state, output);
                    f.Apply(output, clip);
                }
                Span<float> activated = scratch[..hidden], next = h.Slice(b * hidden, hidden);
                state.CopyTo(activated);
                last.Apply(activated, float.PositiveInfinity);
                Multiply(output, activated, next);
            }
        }

        /// <summary><c>c = φ·c + i·c̃</c>.</summary>
        private static void Update(ReadOnlySpan<float> forget, ReadOnlySpan<float> input, ReadOnlySpan<float> candidate, Span<float> state)
        {
            int i = 0;
            for (; i <= state.Length - Vector<float>.Count; i += Vector<float>.Count)
                (new Vector<float>(forget[i..]) * new Vector<float>(state[i..]) + new Vector<float>(input[i..]) * new Vector<float>(candidate[i..])).CopyTo(state[i..]);
            for (; i < state.Length; i++) state[i] = forget[i] * state[i] + input[i] * candidate[i];
        }

        private static void Multiply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y)
        {
            int i = 0;
            for (; i <= y.Length - Vector<float>.Count; i += Vector<float>.Count) (new Vector<float>(a[i..]) * new Vector<float>(b[i..])).CopyTo(y[i..]);
            for (; i < y.Length; i++) y[i] = a[i] * b[i];
        }

        private static void AddProduct(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y)
        {
            for (int i = 0; i < y.Length; i++) y[i] += a[i] * b[i];
        }
    }
}
