using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>What RNN, GRU and LSTM share: shapes, attributes, the walk over time.</summary>
/// <remarks>
/// <code>
///   X [S, B, I] ([B, S, I] with layout 1)   W [D, G·H, I]   R [D, G·H, H]   B [D, 2·G·H]   initial states [D, B, H] ([B, D, H])
///   Y [S, D, B, H] ([B, S, D, H])           Y_h, Y_c [D, B, H] ([B, D, H])          D directions, G gates, H hidden_size
/// </code>
/// All steps' input products are one matrix product; every time step adds the recurrent product. Beyond an element's sequence length Y is 0 and the
/// states stay; the hidden state that the step before wrote is the operand of every recurrent product, so 0 there too. The reverse direction starts at each element's last step.
/// Versions before 7 had an attribute <c>output_sequence</c>; here Y is made where the node lists it.
/// </remarks>
internal abstract class RecurrentOperator : Operator
{
    /// <summary>Gates of the cell, G.</summary>
    protected abstract int Gates { get; }

    /// <summary>How many gates each recurrent product covers, in order.</summary>
    protected abstract int[] GatesPerProduct { get; }

    /// <summary>Names of the activations of one direction, when the node gives none.</summary>
    protected abstract string[] DefaultActivations { get; }

    /// <summary>Whether the cell has a second state.</summary>
    protected virtual bool HasCell => false;

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32);
        bool batchFirst = BatchFirst(c);
        int directions = Directions(c);
        Dim steps = Dim.Unknown, batch = Dim.Unknown, hidden = Dim.Unknown;
        if (c.Shape(0) is { } x)
        {
            if (x.Length != 3) throw c.Error($"X has rank {x.Length}", "X is [steps, batch, inputs]");
            (steps, batch) = batchFirst ? (x[1], x[0]) : (x[0], x[1]);
        }
        if (c.Attributes.Contains("hidden_size")) hidden = Hidden(c, c.Attributes.Int("hidden_size"));
        else if (c.Shape(2) is { Length: 3 } r) hidden = r[HiddenAxis];
        if (batchFirst) c.Set(0, DataType.Float32, batch, steps, directions, hidden);
        else c.Set(0, DataType.Float32, steps, directions, batch, hidden);
        for (int i = 1; i < (HasCell ? 3 : 2); i++)
        {
            if (batchFirst) c.Set(i, DataType.Float32, batch, directions, hidden);
            else c.Set(i, DataType.Float32, directions, batch, hidden);
        }
    }

    public override Step Plan(PlanContext c)
    {
        c.Expect(0, DataType.Float32);
        bool batchFirst = BatchFirst(c);
        int directions = Directions(c);
        int[] x = c.InputShape(0), w = c.InputShape(1), r = c.InputShape(2);
        if (x.Length != 3 || w.Length != 3 || r.Length != 3) throw c.Error("X, W or R is not of rank 3", "X is [S, B, I], W is [D, G·H, I], R is [D, G·H, H]");
        int hidden = r[HiddenAxis];
        int steps = batchFirst ? x[1] : x[0], batch = batchFirst ? x[0] : x[1], inputs = x[2];
        if (c.Attributes.Contains("hidden_size") && c.Attributes.Int("hidden_size") != hidden) throw c.Error($"hidden_size is {c.Attributes.Int("hidden_size")} but R is {c.Type(2)}", $"R is {Tensor.Format(RecurrentWeights(directions, hidden))}");
        Require(c, 1, InputWeights(directions, inputs, hidden));
        Require(c, 2, RecurrentWeights(directions, hidden));
        Require(c, 3, [directions, 2 * Gates * hidden]);
        Require(c, 4, [batch]);
        int[] state = batchFirst ? [batch, directions, hidden] : [directions, batch, hidden];
        Require(c, 5, state);
        if (HasCell)
        {
            Require(c, 6, state);
            Require(c, 7, [directions, 3 * hidden]);
        }
        if (c.Has(4)) c.Expect(4, DataType.Int32);
        float clip = c.Attributes.Contains("clip") ? c.Attributes.Float("clip") : float.PositiveInfinity;
        if (!(clip >= 0)) throw c.Error($"clip is {clip}", "clip is not negative");
        string direction = c.Attributes.String("direction", "forward");
        var shape = new RecurrentShape(steps, batch, inputs, hidden, directions, Gates, batchFirst, direction == "reverse");
        var products = new RecurrentProducts[directions];
        for (int d = 0; d < directions; d++) products[d] = CreateProducts(c, shape, d);
        return CreateStep(c, shape, Activations(c, directions), clip, products);
    }

    /// <summary>Shape of W.</summary>
    protected virtual int[] InputWeights(int directions, int inputs, int hidden) => [directions, Gates * hidden, inputs];

    /// <summary>Shape of R.</summary>
    protected virtual int[] RecurrentWeights(int directions, int hidden) => [directions, Gates * hidden, hidden];

    /// <summary>The axis of R that is H.</summary>
    protected virtual int HiddenAxis => 2;

    /// <summary>Prepares the matrix products of one direction.</summary>
    protected virtual RecurrentProducts CreateProducts(PlanContext c, RecurrentShape shape, int direction) => new FloatRecurrentProducts(c, shape, direction, GatesPerProduct);

    /// <summary>Makes the step.</summary>
    protected abstract Step CreateStep(PlanContext c, RecurrentShape shape, RecurrentActivation[] activations, float clip, RecurrentProducts[] products);

    private RecurrentActivation[] Activations(PlanContext c, int directions)
    {
        string[] defaults = DefaultActivations;
        string[] names = c.Attributes.Strings("activations") is { Length: > 0 } given ? given : [.. Enumerable.Repeat(defaults, directions).SelectMany(one => one)];
        if (names.Length != directions * defaults.Length) throw c.Error($"{names.Length} activations for {directions} directions", $"{defaults.Length} activations per direction");
        float[] alphas = c.Attributes.Floats("activation_alpha") ?? [], betas = c.Attributes.Floats("activation_beta") ?? [];
        var result = new RecurrentActivation[names.Length];
        int alpha = 0, beta = 0;
        for (int i = 0; i < names.Length; i++)
        {
            // Constants are listed only for the activations that read them, unless the list covers all.
            (bool readsAlpha, bool readsBeta) = RecurrentActivation.Constants(names[i]);
            float? a = alphas.Length == names.Length ? (readsAlpha ? alphas[i] : null) : readsAlpha && alpha < alphas.Length ? alphas[alpha++] : null;
            float? b = betas.Length == names.Length ? (readsBeta ? betas[i] : null) : readsBeta && beta < betas.Length ? betas[beta++] : null;
            result[i] = RecurrentActivation.Create(c, names[i], a, b, c.Cpu);
        }
        return result;
    }

    private static void Require(PlanContext c, int index, int[] shape)
    {
        if (c.Has(index) && !c.InputShape(index).AsSpan().SequenceEqual(shape)) throw c.Error($"input {index} is {c.Type(index)}", $"input {index} is {Tensor.Format(shape)}");
    }

    private static bool BatchFirst(NodeContext c) => c.Attributes.Int("layout") switch
    {
        0 => false,
        1 => true,
        var other => throw c.Error($"layout is {other}", "layout is 0 or 1"),
    };

    private static int Directions(NodeContext c) => c.Attributes.String("direction", "forward") switch
    {
        "forward" or "reverse" => 1,
        "bidirectional" => 2,
        var other => throw c.Error($"direction is '{other}'", "forward, reverse or bidirectional"),
    };

    private static Dim Hidden(NodeContext c, long hidden) => hidden is > 0 and <= int.MaxValue ? hidden : throw c.Error($"hidden_size is {hidden}", "hidden_size is positive");
}

/// <summary>Extents of a recurrent layer.</summary>
/// <param name="Steps">S.</param>
/// <param name="Batch">B.</param>
/// <param name="Inputs">I.</param>
/// <param name="Hidden">H.</param>
/// <param name="Directions">D.</param>
/// <param name="Gates">G.</param>
/// <param name="BatchFirst">Whether the batch is axis 0 of X, Y and the states.</param>
/// <param name="FirstIsReverse">Whether direction 0 walks backwards; direction 1 always does.</param>
internal sealed record RecurrentShape(int Steps, int Batch, int Inputs, int Hidden, int Directions, int Gates, bool BatchFirst, bool FirstIsReverse)
{
    /// <summary>Columns of a gate block, G·H.</summary>
    public int Columns => Gates * Hidden;

    /// <summary>Row of X, and of its product, for a time step of a batch element.</summary>
    public int Row(int step, int element) => BatchFirst ? element * Steps + step : step * Batch + element;

    /// <summary>First element of Y for a time step of a batch element.</summary>
    public int Output(int step, int element, int direction) =>
        (BatchFirst ? (element * Steps + step) * Directions + direction : (step * Directions + direction) * Batch + element) * Hidden;

    /// <summary>First element of a state.</summary>
    public int State(int element, int direction) => (BatchFirst ? element * Directions + direction : direction * Batch + element) * Hidden;
}

/// <summary>Walks over time; a cell computes one step of all batch elements.</summary>
internal abstract class RecurrentStep(RecurrentShape shape, RecurrentProducts[] products, bool hasCell) : Step
{
    /// <summary>Extents.</summary>
    protected RecurrentShape Shape => shape;

    public override long MultiplyAccumulates => (long)shape.Directions * shape.Steps * shape.Batch * shape.Columns * (shape.Inputs + shape.Hidden);

    /// <summary>Floats of scratch that <see cref="Cell"/> uses.</summary>
    protected abstract int CellScratch { get; }

    private int Projected => checked(shape.Steps * shape.Batch * shape.Columns);

    /// <summary>Bytes of the states and gates, a multiple of the alignment; what the products need follows.</summary>
    private int StateBytes => checked(sizeof(float) * (Projected + shape.Batch * shape.Columns + 2 * shape.Batch * shape.Hidden + shape.Columns + CellScratch) + 63) & ~63;

    public override int ScratchBytes => checked(StateBytes + products.Max(part => part.ScratchBytes));

    public override void Run(StepContext c)
    {
        int batch = shape.Batch, hidden = shape.Hidden, columns = shape.Columns, steps = shape.Steps;
        Span<float> scratch = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(c.Scratch);
        Span<float> projected = Take(ref scratch, Projected), gates = Take(ref scratch, batch * columns), bias = Take(ref scratch, columns);
        Span<float> h = Take(ref scratch, batch * hidden), cell = Take(ref scratch, batch * hidden), rest = Take(ref scratch, CellScratch);
        ReadOnlySpan<int> lengths = c.Input<int>(4);
        for (int b = 0; b < lengths.Length; b++)
        {
            if (lengths[b] < 0 || lengths[b] > steps) throw new DataException($"sequence_lens[{b}] is {lengths[b]}; rule: a length is in [0, {steps}]");
        }
        Span<float> y = c.Output<float>(0);
        for (int d = 0; d < shape.Directions; d++)
        {
            bool reverse = d == 1 || shape.FirstIsReverse;
            ReadOnlySpan<float> bothBiases = c.Has(3) ? c.Input<float>(3).Slice(2 * d * columns, 2 * columns) : default;
            FillBias(bothBiases, bias);
            int longest = lengths.IsEmpty ? steps : Longest(lengths);
            products[d].Inputs(c, d, shape.BatchFirst ? steps : longest, bias, projected, c.Scratch[StateBytes..]);
            Load(c, 5, d, h);
            if (hasCell) Load(c, 6, d, cell);
            for (int b = 0; b < batch; b++)
            {
                if (longest == 0 || !lengths.IsEmpty && lengths[b] == 0) Finish(c, d, b, h, cell);
            }
            for (int s = 0; s < longest; s++)
            {
                for (int b = 0; b < batch; b++)
                {
                    int length = lengths.IsEmpty ? steps : lengths[b];
                    if (s >= length) continue;
                    int step = reverse ? length - 1 - s : s;
                    projected.Slice(shape.Row(step, b) * columns, columns).CopyTo(gates[(b * columns)..]);
                }
                Cell(c, d, s, lengths, bothBiases, gates, h, cell, rest);
                for (int b = 0; b < batch; b++)
                {
                    int length = lengths.IsEmpty ? steps : lengths[b];
                    if (s == length) h.Slice(b * hidden, hidden).Clear();
                    if (s >= length) continue;
                    if (!y.IsEmpty) h.Slice(b * hidden, hidden).CopyTo(y[shape.Output(reverse ? length - 1 - s : s, b, d)..]);
                    if (s == length - 1) Finish(c, d, b, h, cell);
                }
            }
            if (!y.IsEmpty)
            {
                for (int b = 0; b < lengths.Length; b++)
                    for (int s = lengths[b]; s < steps; s++) y.Slice(shape.Output(s, b, d), hidden).Clear();
            }
        }
    }

    /// <summary><c>y[B, n] += h[B, H] · R[block]ᵀ</c>; see <see cref="RecurrentProducts.Recurrent"/>.</summary>
    protected void AddRecurrent(StepContext c, int direction, int block, ReadOnlySpan<float> h, Span<float> y, int ldy) =>
        products[direction].Recurrent(c, direction, block, h, y, ldy, c.Scratch[StateBytes..]);

    /// <summary>One time step of all batch elements: turns <paramref name="gates"/> and the states into the next states.</summary>
    /// <param name="c">The run.</param>
    /// <param name="direction">Which direction.</param>
    /// <param name="step">How many steps came before; elements whose length is not greater stay as they are.</param>
    /// <param name="lengths">Steps per batch element; empty for all.</param>
    /// <param name="biases">Input biases, then recurrent biases; empty for none.</param>
    /// <param name="gates">[B, G·H]: input products with their bias; overwritten.</param>
    /// <param name="h">[B, H]: the hidden state.</param>
    /// <param name="cell">[B, H]: the cell state.</param>
    /// <param name="scratch"><see cref="CellScratch"/> floats.</param>
    protected abstract void Cell(StepContext c, int direction, int step, ReadOnlySpan<int> lengths, ReadOnlySpan<float> biases, Span<float> gates, Span<float> h,
        Span<float> cell, Span<float> scratch);

    /// <summary>The bias that the input products carry: both biases, where the cell adds them before anything else.</summary>
    protected virtual void FillBias(ReadOnlySpan<float> biases, Span<float> bias)
    {
        if (biases.IsEmpty) { bias.Clear(); return; }
        int columns = shape.Columns;
        for (int i = 0; i < columns; i++) bias[i] = biases[i] + biases[columns + i];
    }

    /// <summary>Whether an element has a step <paramref name="step"/>.</summary>
    protected static bool IsActive(ReadOnlySpan<int> lengths, int element, int step) => lengths.IsEmpty || step < lengths[element];

    private void Load(StepContext c, int input, int direction, Span<float> state)
    {
        if (!c.Has(input)) { state.Clear(); return; }
        ReadOnlySpan<float> from = c.Input<float>(input);
        for (int b = 0; b < shape.Batch; b++) from.Slice(shape.State(b, direction), shape.Hidden).CopyTo(state[(b * shape.Hidden)..]);
    }

    /// <summary>Hands out the last states of a sequence.</summary>
    private void Finish(StepContext c, int direction, int element, ReadOnlySpan<float> h, ReadOnlySpan<float> cell)
    {
        if (c.Wants(1)) h.Slice(element * shape.Hidden, shape.Hidden).CopyTo(c.Output<float>(1)[shape.State(element, direction)..]);
        if (hasCell && c.Wants(2)) cell.Slice(element * shape.Hidden, shape.Hidden).CopyTo(c.Output<float>(2)[shape.State(element, direction)..]);
    }

    private static int Longest(ReadOnlySpan<int> lengths)
    {
        int longest = 0;
        foreach (int length in lengths) longest = Math.Max(longest, length);
        return longest;
    }

    private static Span<float> Take(ref Span<float> from, int count)
    {
        Span<float> taken = from[..count];
        from = from[count..];
        return taken;
    }
}
