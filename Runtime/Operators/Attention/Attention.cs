using System.Collections.Immutable;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>Attention</c>: scaled dot-product attention over heads, with grouped queries, masks, soft capping and a cache of past keys and values.</summary>
/// <remarks>
/// <code>
///   Q [B, Hq, S, D] or [B, S, Hq·D]   K, V [B, Hkv, L, D] or [B, L, Hkv·D]   past_key, past_value [B, Hkv, P, D]
///   s = scale · Q·Kᵀ   s = softcap · tanh(s / softcap)   s = s + mask   Y = softmax(s) · V         K, V including past
/// </code>
/// The mask is added (float) or hides where false (bool); it broadcasts, and keys beyond its last axis are hidden. <c>nonpad_kv_seqlen</c> [B] hides keys from that
/// index on. Output 3 gives the scores: raw (mode 0), soft-capped (1), masked (2) or after the softmax (3). A query that sees no key gives NaN, as softmax does.
/// </remarks>
internal sealed class Attention : Operator
{
    public override OperatorId Id => new("Attention", Since: 23);

    public override void Infer(InferContext c)
    {
        DataType element = c.Expect(0, DataType.Float32, DataType.Float16, DataType.BFloat16, DataType.Float64);
        if (c.Shape(0) is not { } q || c.Shape(1) is not { } k || c.Shape(2) is not { } v)
        {
            c.SetUnknownShape(0, element);
            for (int i = 1; i < 4; i++) c.Set(i, element, Dim.Unknown, Dim.Unknown, Dim.Unknown, Dim.Unknown);
            return;
        }
        (Dim batch, Dim heads, Dim rows, _) = Parts(c, q, "q_num_heads", "Q");
        (_, Dim keyHeads, Dim length, Dim size) = Parts(c, k, "kv_num_heads", "K");
        (_, _, _, Dim valueSize) = Parts(c, v, "kv_num_heads", "V");
        Dim keys = length + (c.Has(4) ? c.Shape(4) is { Length: 4 } past ? past[2] : Dim.Unknown : 0);
        if (q.Length == 3) c.Set(0, element, batch, rows, heads * valueSize);
        else c.Set(0, element, batch, heads, rows, valueSize);
        c.Set(1, element, batch, keyHeads, keys, size);
        c.Set(2, element, batch, keyHeads, keys, valueSize);
        c.Set(3, element, batch, heads, rows, keys);
    }

    public override Step Plan(PlanContext c)
    {
        c.Expect(0, DataType.Float32);
        (int batch, int heads, int rows, int size) = Concrete(Parts(c, c.Shape(0)!.Value, "q_num_heads", "Q"));
        (int keyBatch, int keyHeads, int length, int keySize) = Concrete(Parts(c, c.Shape(1)!.Value, "kv_num_heads", "K"));
        (int valueBatch, int valueHeads, int valueLength, int valueSize) = Concrete(Parts(c, c.Shape(2)!.Value, "kv_num_heads", "V"));
        if (keyBatch != batch || valueBatch != batch || keySize != size || valueHeads != keyHeads || valueLength != length || keyHeads == 0 || heads % keyHeads != 0)
            throw c.Error("Q, K and V do not fit", "one batch; K and V of equal length and heads; Q and K of equal head size; query heads a multiple of key heads");
        int past = 0;
        if (c.Has(4) != c.Has(5)) throw c.Error("only one of past_key and past_value is given", "both or none");
        if (c.Has(4))
        {
            past = c.InputShape(4) is { Length: 4 } cache ? cache[2] : throw c.Error($"past_key is {c.Type(4)}", "past_key is [B, H, P, D]");
            if (!c.InputShape(4).AsSpan().SequenceEqual([batch, keyHeads, past, size]) || !c.InputShape(5).AsSpan().SequenceEqual([batch, keyHeads, past, valueSize]))
                throw c.Error("the past does not fit", $"past_key is [{batch}, {keyHeads}, {past}, {size}], past_value [{batch}, {keyHeads}, {past}, {valueSize}]");
        }
        if (c.Has(6) && (c.Expect(6, DataType.Int64) != DataType.Int64 || !c.InputShape(6).AsSpan().SequenceEqual([batch]))) throw c.Error($"nonpad_kv_seqlen is {c.Type(6)}", "one int64 per batch element");
        var shape = new AttentionShape(batch, heads, keyHeads, rows, past + length, past, size, valueSize);
        bool causal = c.Attributes.Int("is_causal") != 0;
        AttentionMask mask = c.Has(3) ? AttentionMask.Broadcast(c, 3, shape, causal, float.NegativeInfinity) : AttentionMask.None with { Causal = causal };
        if (c.Has(3)) c.Expect(3, DataType.Float32, DataType.Bool);
        float scale = c.Attributes.Contains("scale") ? c.Attributes.Float("scale") : 1 / MathF.Sqrt(size);
        long stage = c.Attributes.Int("qk_matmul_output_mode");
        if (stage is < 0 or > 3) throw c.Error($"qk_matmul_output_mode is {stage}", "0, 1, 2 or 3");
        bool queryRows = c.Rank(0) == 3, keyRows = c.Rank(1) == 3, valueRows = c.Rank(2) == 3;
        AttentionStrides given = Strides(keyRows, keyHeads, length, size), givenValues = Strides(valueRows, keyHeads, length, valueSize);
        // With a past, or where the caller wants them, keys and values are gathered into one [B, H, P + L, D] first.
        bool gathersKeys = past > 0 || c.Wants(1), gathersValues = past > 0 || c.Wants(2);
        var core = new AttentionCore(shape, Strides(queryRows, heads, rows, size),
            gathersKeys ? AttentionStrides.HeadsFirst(keyHeads, shape.Keys, size) : given,
            gathersValues ? AttentionStrides.HeadsFirst(keyHeads, shape.Keys, valueSize) : givenValues,
            Strides(queryRows, heads, rows, valueSize), scale, c.Attributes.Float("softcap"), mask, c.Wants(3) ? (int)stage : -1, c.Cpu);
        return new AttentionStep(core, c.Workers, gathersKeys ? given : null, gathersValues ? givenValues : null);
    }

    private static AttentionStrides Strides(bool rowsFirst, int heads, int rows, int size) =>
        rowsFirst ? AttentionStrides.RowsFirst(heads, rows, size) : AttentionStrides.HeadsFirst(heads, rows, size);

    private static (Dim Batch, Dim Heads, Dim Rows, Dim Size) Parts(NodeContext c, ImmutableArray<Dim> shape, string headsAttribute, string name)
    {
        if (shape.Length == 4) return (shape[0], shape[1], shape[2], shape[3]);
        if (shape.Length != 3) throw c.Error($"{name} has rank {shape.Length}", "Q, K and V have 3 or 4 axes");
        long heads = c.Attributes.Int(headsAttribute);
        if (heads <= 0 || heads > int.MaxValue) throw c.Error($"{headsAttribute} is {heads} and {name} has rank 3", $"{headsAttribute} is given with rank 3");
        if (shape[2].IsKnown && shape[2].Value % heads != 0) throw c.Error($"{name} has {shape[2]} columns for {heads} heads", "heads divide the columns");
        return (shape[0], heads, shape[1], shape[2] / heads);
    }

    private static (int, int, int, int) Concrete((Dim A, Dim B, Dim C, Dim D) dims) => (checked((int)dims.A.Value), checked((int)dims.B.Value), checked((int)dims.C.Value), checked((int)dims.D.Value));

    private sealed class AttentionStep(AttentionCore core, int workers, AttentionStrides? keySource, AttentionStrides? valueSource) : Step
    {
        private AttentionShape Shape => core.Shape;

        private int GatheredKeys => keySource is null ? 0 : Shape.Batch * Shape.KeyHeads * Shape.Keys * Shape.Size * sizeof(float);

        private int GatheredValues => valueSource is null ? 0 : Shape.Batch * Shape.KeyHeads * Shape.Keys * Shape.ValueSize * sizeof(float);

        public override string Kernel => "attention";

        public override long MultiplyAccumulates => core.MultiplyAccumulates;

        public override int ScratchBytes => checked(core.ScratchBytes(workers) + GatheredKeys + GatheredValues);

        public override void Run(StepContext c)
        {
            Memory<byte> scratch = c.ScratchMemory;
            Memory<byte> keys = c.Input(1).Bytes, values = c.Input(2).Bytes;
            if (keySource is { } fromKeys)
            {
                Memory<byte> target = c.Wants(1) ? c.Output(1).Bytes : scratch[..GatheredKeys];
                AttentionGather.Run(Shape, c.Input<float>(4), c.Input<float>(1), fromKeys, Shape.Size, target.Span);
                keys = target;
            }
            if (valueSource is { } fromValues)
            {
                Memory<byte> target = c.Wants(2) ? c.Output(2).Bytes : scratch.Slice(GatheredKeys, GatheredValues);
                AttentionGather.Run(Shape, c.Input<float>(5), c.Input<float>(2), fromValues, Shape.ValueSize, target.Span);
                values = target;
            }
            core.Run(c.Input(0).Bytes, keys, values, c.Has(3) ? c.Input(3) : null, c.Has(6) ? c.Input(6) : null, c.Output(0).Bytes,
                c.Wants(3) ? c.Output(3).Bytes : default, scratch[(GatheredKeys + GatheredValues)..], c.Parallel);
        }
    }
}
