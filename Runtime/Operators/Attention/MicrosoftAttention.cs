using System.Runtime.InteropServices;
using Octet.Kernels.SGemm;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>com.microsoft <c>Attention</c>: projects the input to queries, keys and values with one product, then attends.</summary>
/// <remarks>
/// <code>
///   input [B, S, I]   weights [I, H + H + Hv]   bias [H + H + Hv]   past [2, B, N, P, D]   →   [B, S, Hv], present [2, B, N, P + S, D]
/// </code>
/// The mask is [B] (keys that count), [B, T] or [B, S, T] of 0 and 1; hidden keys get <c>mask_filter_value</c> added. <c>attention_bias</c> broadcasts to [B, N, S, T].
/// </remarks>
internal sealed class MicrosoftAttention : Operator
{
    public override OperatorId Id => new("Attention", MicrosoftDomain);

    public override string Limits => "rotary embedding, shared past buffer, masks of [2B] or 4 axes";

    public override void Infer(InferContext c)
    {
        DataType element = c.Element(0);
        Dim batch = Dim.Unknown, rows = Dim.Unknown, values = Dim.Unknown;
        if (c.Shape(0) is { } x)
        {
            if (x.Length != 3) throw c.Error($"the input has rank {x.Length}", "the input is [B, S, I]");
            (batch, rows) = (x[0], x[1]);
        }
        if (c.Attributes.Ints("qkv_hidden_sizes") is [_, _, >= 0 and <= int.MaxValue and var size]) values = size;
        else if (c.Shape(1) is { Length: 2 } w) values = w[1] / 3;
        c.Set(0, element, batch, rows, values);
        Dim heads = Heads(c), past = c.Has(4) ? c.Shape(4) is { Length: 5 } cache ? cache[3] : Dim.Unknown : 0;
        c.Set(1, element, 2, batch, heads, past + rows, values / heads);
    }

    public override Step Plan(PlanContext c)
    {
        c.Expect(0, DataType.Float32);
        int heads = Heads(c);
        int[] x = c.InputShape(0), w = c.InputShape(1);
        if (w.Length != 2 || w[0] != x[2]) throw c.Error($"weights are {c.Type(1)}", $"weights are [{x[2]}, 3·H]");
        long[] sizes = c.Attributes.Ints("qkv_hidden_sizes") ?? [w[1] / 3, w[1] / 3, w[1] / 3];
        if (sizes.Length != 3 || sizes.Sum() != w[1] || sizes[0] != sizes[1] || sizes.Any(size => size <= 0 || size % heads != 0))
            throw c.Error($"hidden sizes are [{string.Join(", ", sizes)}] for {heads} heads and {w[1]} columns", "queries and keys are equally wide, heads divide all");
        if (c.Has(2) && !c.InputShape(2).AsSpan().SequenceEqual([w[1]])) throw c.Error($"bias is {c.Type(2)}", $"bias is [{w[1]}]");
        if (c.Attributes.Int("do_rotary") != 0 || c.Attributes.Int("past_present_share_buffer") != 0) throw c.Unsupported("a rotary embedding or a shared past buffer", "neither");
        int size = (int)sizes[0] / heads, valueSize = (int)sizes[2] / heads, past = 0;
        if (c.Has(4))
        {
            past = c.InputShape(4) is { Length: 5 } cache ? cache[3] : throw c.Error($"past is {c.Type(4)}", "past is [2, B, N, P, D]");
            if (size != valueSize || !c.InputShape(4).AsSpan().SequenceEqual([2, x[0], heads, past, size])) throw c.Error($"past is {c.Type(4)}", $"past is [2, {x[0]}, {heads}, P, {size}]");
        }
        var shape = new AttentionShape(x[0], heads, heads, x[1], past + x[1], past, size, valueSize);
        ContributedMasks masks = ContributedMasks.Create(c, shape, mask: 3, bias: 5);
        float scale = c.Attributes.Float("scale") is var given && given != 0 ? given : 1 / MathF.Sqrt(size);
        SGemmWeights? packed = null;
        if (c.Constant(1) is { } weights)
        {
            SGemmKernel kernel = SGemmKernels.Select(x[0] * x[1], w[1], w[0], c.Cpu);
            packed = c.Share(weights, $"columns {kernel.Name}", () => SGemmWeights.Pack(weights.Span<float>(), w[0], w[1], transposed: false, kernel));
        }
        var projected = new AttentionStrides(x[1] * w[1], size, w[1]);
        bool gathers = past > 0 || c.Wants(1);
        var core = new AttentionCore(shape, projected, gathers ? AttentionStrides.HeadsFirst(heads, shape.Keys, size) : projected,
            gathers ? AttentionStrides.HeadsFirst(heads, shape.Keys, valueSize) : projected with { Head = valueSize },
            AttentionStrides.RowsFirst(heads, x[1], valueSize), scale, 0, masks.Mask, -1, c.Cpu, masks.Bias);
        return new ProjectedStep(core, masks, packed, x[2], w[1], (int)sizes[0], gathers, c.Workers);
    }

    private static int Heads(NodeContext c) => c.Attributes.Int("num_heads") is >= 1 and <= int.MaxValue and var heads ? (int)heads
        : throw c.Error($"num_heads is {c.Attributes.Int("num_heads")}", "num_heads is positive");

    private sealed class ProjectedStep(AttentionCore core, ContributedMasks masks, SGemmWeights? packed, int depth, int columns, int width, bool gathers, int workers) : Step
    {
        private readonly SEpilogue? _epilogue = packed is null ? null : SEpilogue.None(columns);

        private AttentionShape Shape => core.Shape;

        private int Projected => Shape.Batch * Shape.Rows * columns * sizeof(float);

        private int Gathered => gathers ? Shape.Batch * Shape.KeyHeads * Shape.Keys * (Shape.Size + Shape.ValueSize) * sizeof(float) : 0;

        public override string Kernel => "attention";

        public override long MultiplyAccumulates => core.MultiplyAccumulates + (long)Shape.Batch * Shape.Rows * depth * columns;

        public override int ScratchBytes => checked(Projected + Gathered + core.ScratchBytes(workers));

        public override void Run(StepContext c)
        {
            Memory<byte> all = c.ScratchMemory, projected = all[..Projected];
            Span<float> qkv = MemoryMarshal.Cast<byte, float>(projected.Span);
            int rows = Shape.Batch * Shape.Rows;
            ReadOnlySpan<float> bias = c.Has(2) ? c.Input<float>(2) : default;
            for (int row = 0; row < rows; row++)
            {
                if (bias.IsEmpty) qkv.Slice(row * columns, columns).Clear();
                else bias.CopyTo(qkv[(row * columns)..]);
            }
            if (packed is not null) SGemmDriver.Run(c.Input<float>(0), depth, rows, packed, _epilogue!, qkv, qkv, columns, default, c.Parallel);
            else Multiply(c.Input<float>(0), c.Input<float>(1), rows, qkv);

            Memory<byte> keys = projected[(width * sizeof(float))..], values = projected[(2 * width * sizeof(float))..];
            if (gathers)
            {
                int keyFloats = Shape.Batch * Shape.KeyHeads * Shape.Keys * Shape.Size;
                Memory<byte> target = c.Wants(1) ? c.Output(1).Bytes : all.Slice(Projected, Gathered);
                var source = new AttentionStrides(Shape.Rows * columns, Shape.Size, columns);
                int pastFloats = Shape.Batch * Shape.KeyHeads * Shape.Past * Shape.Size;
                ReadOnlySpan<float> past = c.Has(4) ? c.Input<float>(4) : default;
                Memory<byte> toKeys = target[..(keyFloats * sizeof(float))], toValues = target[(keyFloats * sizeof(float))..];
                AttentionGather.Run(Shape, past.IsEmpty ? default : past[..pastFloats], MemoryMarshal.Cast<byte, float>(keys.Span), source, Shape.Size, toKeys.Span);
                AttentionGather.Run(Shape, past.IsEmpty ? default : past[pastFloats..], MemoryMarshal.Cast<byte, float>(values.Span), source with { Head = Shape.ValueSize }, Shape.ValueSize, toValues.Span);
                (keys, values) = (toKeys, toValues);
            }
            core.Run(projected, keys, values, masks.MaskTensor(c), masks.Lengths(c), c.Output(0).Bytes, default, all[(Projected + Gathered)..], c.Parallel, masks.BiasTensor(c));
        }

        private void Multiply(ReadOnlySpan<float> x, ReadOnlySpan<float> w, int rows, Span<float> y)
        {
            for (int row = 0; row < rows; row++)
            {
                Span<float> to = y.Slice(row * columns, columns);
                for (int k = 0; k < depth; k++)
                {
                    float a = x[row * depth + k];
                    ReadOnlySpan<float> from = w.Slice(k * columns, columns);
                    for (int j = 0; j < to.Length; j++) to[j] += a * from[j];
                }
            }
        }
    }
}

/// <summary>com.microsoft <c>MultiHeadAttention</c>: attention of given queries, keys and values, with an optional bias of all three.</summary>
/// <remarks>
/// <code>query [B, S, H]   key [B, L, H] or [B, N, L, D]   value [B, L, Hv] or [B, N, L, Dv]   bias [H + H + Hv]   past_key, past_value [B, N, P, D]</code>
/// Masks as in <see cref="MicrosoftAttention"/>.
/// </remarks>
internal sealed class MultiHeadAttention : Operator
{
    public override OperatorId Id => new("MultiHeadAttention", MicrosoftDomain);

    public override string Limits => "packed query, key, value; masks of [3B + 2]; output of the scores";

    public override void Infer(InferContext c)
    {
        DataType element = c.Element(0);
        Dim heads = Heads(c);
        if (c.Shape(0) is not { } q || !c.Has(1) || !c.Has(2) || c.Shape(1) is not { } k || c.Shape(2) is not { } v)
        {
            c.Set(0, element, Dim.Unknown, Dim.Unknown, Dim.Unknown);
            for (int i = 1; i < 3; i++) c.Set(i, element, Dim.Unknown, heads, Dim.Unknown, Dim.Unknown);
            return;
        }
        if (q.Length != 3) throw c.Unsupported($"a query of rank {q.Length}", "query [B, S, H]");
        Dim values = v.Length == 4 ? v[3] * heads : v[2], length = k.Length == 4 ? k[2] : k[1];
        Dim past = c.Has(6) ? c.Shape(6) is { Length: 4 } cache ? cache[2] : Dim.Unknown : 0;
        c.Set(0, element, q[0], q[1], values);
        c.Set(1, element, q[0], heads, past + length, q[2] / heads);
        c.Set(2, element, q[0], heads, past + length, values / heads);
    }

    public override Step Plan(PlanContext c)
    {
        c.Expect(0, DataType.Float32);
        if (!c.Has(1) || !c.Has(2) || c.Rank(0) != 3 || c.Rank(1) is not (3 or 4) || c.Rank(2) is not (3 or 4) || c.Wants(3)) throw c.Unsupported("this form", "query, key and value as separate inputs, query [B, S, H]");
        int heads = Heads(c);
        int[] q = c.InputShape(0), k = c.InputShape(1), v = c.InputShape(2);
        bool keyRows = k.Length == 3, valueRows = v.Length == 3;
        int length = keyRows ? k[1] : k[2], size = q[2] / heads, valueSize = valueRows ? v[2] / heads : v[3];
        if (q[2] % heads != 0 || k[0] != q[0] || v[0] != q[0] || (keyRows ? k[2] != q[2] : k[1] != heads || k[3] != size) || (valueRows ? v[1] != length || v[2] % heads != 0 : v[1] != heads || v[2] != length))
            throw c.Error("query, key and value do not fit", $"one batch, {heads} heads, keys as wide as queries, values as long as keys");
        int past = 0;
        if (c.Has(6) != c.Has(7)) throw c.Error("only one of past_key and past_value is given", "both or none");
        if (c.Has(6))
        {
            past = c.InputShape(6) is { Length: 4 } cache ? cache[2] : throw c.Error($"past_key is {c.Type(6)}", "past_key is [B, N, P, D]");
            if (!c.InputShape(6).AsSpan().SequenceEqual([q[0], heads, past, size]) || !c.InputShape(7).AsSpan().SequenceEqual([q[0], heads, past, valueSize])) throw c.Error("the past does not fit", "past_key, past_value [B, N, P, D]");
        }
        int biasLength = 2 * q[2] + heads * valueSize;
        if (c.Has(3) && !c.InputShape(3).AsSpan().SequenceEqual([biasLength])) throw c.Error($"bias is {c.Type(3)}", $"bias is [{biasLength}]");
        var shape = new AttentionShape(q[0], heads, heads, q[1], past + length, past, size, valueSize);
        ContributedMasks masks = ContributedMasks.Create(c, shape, mask: 4, bias: 5);
        float scale = c.Attributes.Float("scale") is var given && given != 0 ? given : 1 / MathF.Sqrt(size);
        AttentionStrides keySource = keyRows ? AttentionStrides.RowsFirst(heads, length, size) : AttentionStrides.HeadsFirst(heads, length, size);
        AttentionStrides valueSource = valueRows ? AttentionStrides.RowsFirst(heads, length, valueSize) : AttentionStrides.HeadsFirst(heads, length, valueSize);
        bool gathersKeys = past > 0 || c.Wants(1) || c.Has(3), gathersValues = past > 0 || c.Wants(2) || c.Has(3);
        var core = new AttentionCore(shape, AttentionStrides.RowsFirst(heads, q[1], size),
            gathersKeys ? AttentionStrides.HeadsFirst(heads, shape.Keys, size) : keySource, gathersValues ? AttentionStrides.HeadsFirst(heads, shape.Keys, valueSize) : valueSource,
            AttentionStrides.RowsFirst(heads, q[1], valueSize), scale, 0, masks.Mask, -1, c.Cpu, masks.Bias);
        return new MultiHeadStep(core, masks, gathersKeys ? keySource : null, gathersValues ? valueSource : null, c.Has(3), c.Workers);
    }

    private static int Heads(NodeContext c) => c.Attributes.Int("num_heads") is >= 1 and <= int.MaxValue and var heads ? (int)heads
        : throw c.Error($"num_heads is {c.Attributes.Int("num_heads")}", "num_heads is positive");

    private sealed class MultiHeadStep(AttentionCore core, ContributedMasks masks, AttentionStrides? keySource, AttentionStrides? valueSource, bool biased, int workers) : Step
    {
        private AttentionShape Shape => core.Shape;

        private int Queries => biased ? Shape.Batch * Shape.Rows * Shape.Heads * Shape.Size * sizeof(float) : 0;

        private int Keys => keySource is null ? 0 : Shape.Batch * Shape.KeyHeads * Shape.Keys * Shape.Size * sizeof(float);

        private int Values => valueSource is null ? 0 : Shape.Batch * Shape.KeyHeads * Shape.Keys * Shape.ValueSize * sizeof(float);

        public override string Kernel => "attention";

        public override long MultiplyAccumulates => core.MultiplyAccumulates;

        public override int ScratchBytes => checked(Queries + Keys + Values + core.ScratchBytes(workers));

        public override void Run(StepContext c)
        {
            Memory<byte> all = c.ScratchMemory, queries = c.Input(0).Bytes, keys = c.Input(1).Bytes, values = c.Input(2).Bytes;
            ReadOnlySpan<float> bias = biased ? c.Input<float>(3) : default;
            int width = Shape.Heads * Shape.Size;
            if (biased)
            {
                queries = all[..Queries];
                c.Input(0).Bytes.Span.CopyTo(queries.Span);
                Span<float> q = MemoryMarshal.Cast<byte, float>(queries.Span);
                for (int i = 0; i < q.Length; i++) q[i] += bias[i % width];
            }
            if (keySource is { } fromKeys)
            {
                Memory<byte> target = c.Wants(1) ? c.Output(1).Bytes : all.Slice(Queries, Keys);
                AttentionGather.Run(Shape, c.Input<float>(6), c.Input<float>(1), fromKeys, Shape.Size, target.Span, biased ? bias.Slice(width, width) : default);
                keys = target;
            }
            if (valueSource is { } fromValues)
            {
                Memory<byte> target = c.Wants(2) ? c.Output(2).Bytes : all.Slice(Queries + Keys, Values);
                AttentionGather.Run(Shape, c.Input<float>(7), c.Input<float>(2), fromValues, Shape.ValueSize, target.Span, biased ? bias[(2 * width)..] : default);
                values = target;
            }
            core.Run(queries, keys, values, masks.MaskTensor(c), masks.Lengths(c), c.Output(0).Bytes, default, all[(Queries + Keys + Values)..], c.Parallel, masks.BiasTensor(c));
        }
    }
}

/// <summary>Puts past and new keys (or values) into one <c>[B, H, P + L, D]</c>.</summary>
internal static class AttentionGather
{
    /// <summary>Gathers.</summary>
    /// <param name="shape">Extents; new rows are <c>Keys − Past</c>.</param>
    /// <param name="past">[B, H, P, D], or empty.</param>
    /// <param name="now">New rows.</param>
    /// <param name="from">Where they lie.</param>
    /// <param name="size">D.</param>
    /// <param name="target">Receives all.</param>
    /// <param name="bias">[H·D] added to new rows, or empty.</param>
    public static void Run(AttentionShape shape, ReadOnlySpan<float> past, ReadOnlySpan<float> now, AttentionStrides from, int size, Span<byte> target, ReadOnlySpan<float> bias = default)
    {
        Span<float> to = MemoryMarshal.Cast<byte, float>(target);
        for (int b = 0; b < shape.Batch; b++)
        {
            for (int h = 0; h < shape.KeyHeads; h++)
            {
                Span<float> head = to.Slice((b * shape.KeyHeads + h) * shape.Keys * size, shape.Keys * size);
                if (shape.Past > 0) past.Slice((b * shape.KeyHeads + h) * shape.Past * size, shape.Past * size).CopyTo(head);
                for (int i = 0; i < shape.Keys - shape.Past; i++)
                {
                    Span<float> row = head.Slice((shape.Past + i) * size, size);
                    now.Slice(b * from.Batch + h * from.Head + i * from.Row, size).CopyTo(row);
                    if (bias.IsEmpty) continue;
                    for (int d = 0; d < size; d++) row[d] += bias[h * size + d];
                }
            }
        }
    }
}

/// <summary>The masks of the contributed attentions: 0/1 masks or lengths in one input, an additive bias in another.</summary>
internal sealed class ContributedMasks
{
    private readonly int _maskInput, _biasInput;
    private readonly bool _isLengths;

    private ContributedMasks(int maskInput, int biasInput, bool isLengths, AttentionMask mask, AttentionMask? bias) =>
        (_maskInput, _biasInput, _isLengths, Mask, Bias) = (maskInput, biasInput, isLengths, mask, bias);

    /// <summary>The 0/1 mask; also says what hidden keys get and whether attention is causal.</summary>
    public AttentionMask Mask { get; }

    /// <summary>The additive mask, or null.</summary>
    public AttentionMask? Bias { get; }

    /// <summary>Reads the node.</summary>
    public static ContributedMasks Create(PlanContext c, AttentionShape shape, int mask, int bias)
    {
        float hiddenBy = c.Attributes.Float("mask_filter_value", -10000);
        bool causal = c.Attributes.Int("unidirectional") != 0, isLengths = false;
        AttentionMask keep = AttentionMask.None with { Causal = causal, HiddenBy = hiddenBy };
        if (c.Has(mask))
        {
            c.Expect(mask, DataType.Int32);
            int[] given = c.InputShape(mask);
            if (given.AsSpan().SequenceEqual([shape.Batch])) isLengths = true;
            else if (given.AsSpan().SequenceEqual([shape.Batch, shape.Keys])) keep = new AttentionMask(causal, hiddenBy, (shape.Keys, 0, 0), shape.Keys, DataType.Int32);
            else if (given.AsSpan().SequenceEqual([shape.Batch, shape.Rows, shape.Keys])) keep = new AttentionMask(causal, hiddenBy, (shape.Rows * shape.Keys, 0, shape.Keys), shape.Keys, DataType.Int32);
            else throw c.Unsupported($"a mask {c.Type(mask)}", $"[{shape.Batch}], [{shape.Batch}, {shape.Keys}] or [{shape.Batch}, {shape.Rows}, {shape.Keys}]");
        }
        AttentionMask? added = null;
        if (c.Has(bias))
        {
            c.Expect(bias, DataType.Float32);
            added = AttentionMask.Broadcast(c, bias, shape, causal, hiddenBy);
        }
        return new ContributedMasks(c.Has(mask) ? mask : -1, c.Has(bias) ? bias : -1, isLengths, keep, added);
    }

    /// <summary>The 0/1 mask of a run.</summary>
    public Tensor? MaskTensor(StepContext c) => _maskInput >= 0 && !_isLengths ? c.Input(_maskInput) : null;

    /// <summary>The lengths of a run.</summary>
    public Tensor? Lengths(StepContext c) => _maskInput >= 0 && _isLengths ? c.Input(_maskInput) : null;

    /// <summary>The additive mask of a run.</summary>
    public Tensor? BiasTensor(StepContext c) => _biasInput >= 0 ? c.Input(_biasInput) : null;
}
