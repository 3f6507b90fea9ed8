using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>RotaryEmbedding</c>: rotates pairs of elements by an angle that depends on the position.</summary>
/// <remarks>
/// <code>
///   X [B, H, S, D] or [B, S, H·D]     y₁ = cos·x₁ − sin·x₂     y₂ = sin·x₁ + cos·x₂
/// </code>
/// The first <c>rotary_embedding_dim</c> elements of a head (all by default) are rotated: pair i is (i, i + half), or (2i, 2i + 1) with <c>interleaved</c>. cos and sin
/// are [positions, half] indexed by position_ids [B, S], or [B, S, half] without. Source: Su et al. 2021, RoFormer.
/// </remarks>
internal sealed class RotaryEmbedding : Operator
{
    public override OperatorId Id => new("RotaryEmbedding", Since: 23);

    public override void Infer(InferContext c) => c.Set(0, c.Type(0));

    public override Step Plan(PlanContext c) => RotaryStep.Create(c, cos: 1, sin: 2, positions: 3, offsetAllowed: false);
}

/// <summary>com.microsoft <c>RotaryEmbedding</c>: ONNX's with position_ids as input 1: [B, S], or one offset to which the row is added.</summary>
internal sealed class MicrosoftRotaryEmbedding : Operator
{
    public override OperatorId Id => new("RotaryEmbedding", MicrosoftDomain);

    public override string Limits => "packed batches, scale other than 1";

    public override void Infer(InferContext c) => c.Set(0, c.Type(0));

    public override Step Plan(PlanContext c)
    {
        if (c.Attributes.Int("is_packed_batching") != 0 || c.Attributes.Float("scale", 1) != 1) throw c.Unsupported("packed batching or a scale", "neither");
        return RotaryStep.Create(c, cos: 2, sin: 3, positions: 1, offsetAllowed: true);
    }
}

/// <summary>The rotation.</summary>
internal sealed class RotaryStep : Step
{
    private readonly int _batch, _heads, _rows, _size, _rotated, _cos, _sin, _positions, _table;
    private readonly AttentionStrides _strides;
    private readonly bool _interleaved, _offset, _hasPositions;

    private RotaryStep(int batch, int heads, int rows, int size, int rotated, AttentionStrides strides, bool interleaved, int cos, int sin, int positions, bool hasPositions, bool offset, int table)
    {
        (_batch, _heads, _rows, _size, _rotated, _strides, _interleaved) = (batch, heads, rows, size, rotated, strides, interleaved);
        (_cos, _sin, _positions, _hasPositions, _offset, _table) = (cos, sin, positions, hasPositions, offset, table);
    }

    /// <summary>Makes the step.</summary>
    /// <param name="c">The node.</param>
    /// <param name="cos">Input of the cosines.</param>
    /// <param name="sin">Input of the sines.</param>
    /// <param name="positions">Input of the positions.</param>
    /// <param name="offsetAllowed">Whether a single position is an offset.</param>
    public static RotaryStep Create(PlanContext c, int cos, int sin, int positions, bool offsetAllowed)
    {
        c.Expect(0, DataType.Float32);
        int[] x = c.InputShape(0), table = c.InputShape(cos);
        long heads = c.Attributes.Int("num_heads"), rotated = c.Attributes.Int("rotary_embedding_dim");
        if (!c.InputShape(sin).AsSpan().SequenceEqual(table)) throw c.Error($"cosines are {c.Type(cos)}, sines {c.Type(sin)}", "both have one shape");
        int batch = x[0], rows, size;
        AttentionStrides strides;
        if (x.Length == 4)
        {
            (heads, rows, size) = (x[1], x[2], x[3]);
            strides = AttentionStrides.HeadsFirst((int)heads, rows, size);
        }
        else if (x.Length == 3)
        {
            // Contributed nodes may leave the number of heads to the table: two elements of a head per cosine.
            if (heads == 0 && offsetAllowed && table[^1] > 0) heads = rotated > 0 ? 0 : x[2] / (2 * table[^1]);
            if (heads <= 0 || x[2] % heads != 0) throw c.Error($"num_heads is {heads} for {x[2]} columns", "num_heads divides the columns");
            (rows, size) = (x[1], (int)(x[2] / heads));
            strides = AttentionStrides.RowsFirst((int)heads, rows, size);
        }
        else throw c.Error($"X has rank {x.Length}", "X has 3 or 4 axes");
        if (rotated == 0) rotated = size;
        if (rotated < 0 || rotated > size || rotated % 2 != 0) throw c.Error($"{rotated} of {size} elements are rotated", "an even number of at most all elements");
        bool hasPositions = c.Has(positions), offset = false;
        if (hasPositions)
        {
            c.Expect(positions, DataType.Int64);
            int[] given = c.InputShape(positions);
            offset = offsetAllowed && Tensor.CountElements(given) == 1 && given.Length <= 1;
            if (!offset && !given.AsSpan().SequenceEqual([batch, rows])) throw c.Error($"position_ids is {c.Type(positions)}", $"position_ids is [{batch}, {rows}]");
            if (table.Length != 2 || table[1] != rotated / 2) throw c.Error($"cosines are {c.Type(cos)}", $"cosines are [positions, {rotated / 2}]");
        }
        else if (!table.AsSpan().SequenceEqual([batch, rows, (int)rotated / 2])) throw c.Error($"cosines are {c.Type(cos)}", $"cosines are [{batch}, {rows}, {rotated / 2}]");
        return new RotaryStep(batch, (int)heads, rows, size, (int)rotated, strides, c.Attributes.Int("interleaved") != 0, cos, sin, positions, hasPositions, offset, table[0]);
    }

    public override string Kernel => "rotary";

    public override int InPlaceInput(int output) => 0;

    public override void Run(StepContext c)
    {
        ReadOnlySpan<float> x = c.Input<float>(0), cosines = c.Input<float>(_cos), sines = c.Input<float>(_sin);
        ReadOnlySpan<long> positions = _hasPositions ? c.Input<long>(_positions) : default;
        Span<float> y = c.Output<float>(0);
        int half = _rotated / 2, first = _interleaved ? 2 : 1, second = _interleaved ? 1 : half;
        for (int b = 0; b < _batch; b++)
        {
            for (int i = 0; i < _rows; i++)
            {
                long position = _hasPositions ? _offset ? positions[0] + i : positions[b * _rows + i] : b * _rows + i;
                if (_hasPositions && (position < 0 || position >= _table)) throw new DataException($"RotaryEmbedding: position {position}; rule: 0 ≤ position < {_table}");
                ReadOnlySpan<float> cos = cosines.Slice((int)position * half, half), sin = sines.Slice((int)position * half, half);
                for (int h = 0; h < _heads; h++)
                {
                    int start = b * _strides.Batch + h * _strides.Head + i * _strides.Row;
                    ReadOnlySpan<float> from = x.Slice(start, _size);
                    Span<float> to = y.Slice(start, _size);
                    for (int pair = 0; pair < half; pair++)
                    {
                        (float a, float d) = (from[pair * first], from[pair * first + second]);
                        to[pair * first] = cos[pair] * a - sin[pair] * d;
                        to[pair * first + second] = sin[pair] * a + cos[pair] * d;
                    }
                    from[_rotated..].CopyTo(to[_rotated..]);
                }
            }
        }
    }
}
