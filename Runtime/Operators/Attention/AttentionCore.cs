using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.SGemm;
using Octet.Kernels.Softmax;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Where the rows of one operand lie: element <c>(b, h, i, ·)</c> starts at <c>b·Batch + h·Head + i·Row</c> and is contiguous.</summary>
/// <param name="Batch">Elements between batch elements.</param>
/// <param name="Head">Elements between heads.</param>
/// <param name="Row">Elements between rows.</param>
internal readonly record struct AttentionStrides(int Batch, int Head, int Row)
{
    /// <summary>Strides of <c>[B, H, S, D]</c>.</summary>
    public static AttentionStrides HeadsFirst(int heads, int rows, int size) => new(heads * rows * size, rows * size, size);

    /// <summary>Strides of <c>[B, S, H·D]</c>.</summary>
    public static AttentionStrides RowsFirst(int heads, int rows, int size) => new(rows * heads * size, size, heads * size);
}

/// <summary>Extents of one attention.</summary>
/// <param name="Batch">B.</param>
/// <param name="Heads">Query heads; a multiple of <paramref name="KeyHeads"/>. Query head h reads key head h / (Heads / KeyHeads).</param>
/// <param name="KeyHeads">Heads of keys and values.</param>
/// <param name="Rows">Queries.</param>
/// <param name="Keys">Keys, past ones included.</param>
/// <param name="Past">Keys that came before the first query; the causal diagonal starts there.</param>
/// <param name="Size">Elements of a query or key.</param>
/// <param name="ValueSize">Elements of a value.</param>
internal sealed record AttentionShape(int Batch, int Heads, int KeyHeads, int Rows, int Keys, int Past, int Size, int ValueSize);

/// <summary>What is added to scores before the softmax.</summary>
/// <param name="Causal">Whether query i sees keys up to Past + i only.</param>
/// <param name="HiddenBy">Added where a key is hidden by a 0/1 mask or a length; −∞ or the filter value of contributed operators.</param>
/// <param name="Strides">Element strides of the mask over (batch, head, query); 0 broadcasts. The key axis is contiguous, or broadcast where <paramref name="MaskKeys"/> is 1.</param>
/// <param name="MaskKeys">Keys that the mask covers; further ones are hidden. 0 without a mask.</param>
/// <param name="MaskType">float32 is added, bool and int32 hide where 0.</param>
internal sealed record AttentionMask(bool Causal, float HiddenBy, (int Batch, int Head, int Row) Strides, int MaskKeys, DataType MaskType)
{
    /// <summary>No mask.</summary>
    public static AttentionMask None { get; } = new(false, float.NegativeInfinity, default, 0, DataType.Undefined);

    /// <summary>A mask that broadcasts to <c>[B, H, Q, K]</c> in NumPy's way; its last axis may be shorter than K.</summary>
    public static AttentionMask Broadcast(NodeContext c, int index, AttentionShape shape, bool causal, float hiddenBy)
    {
        int[] mask = c.Type(index).ConcreteShape();
        if (mask.Length is < 2 or > 4) throw c.Error($"the mask is {c.Type(index)}", "a mask has 2 to 4 axes");
        int[] full = [.. Enumerable.Repeat(1, 4 - mask.Length), .. mask];
        if (full[0] != 1 && full[0] != shape.Batch || full[1] != 1 && full[1] != shape.Heads || full[2] != 1 && full[2] != shape.Rows || full[3] > shape.Keys)
            throw c.Error($"the mask is {c.Type(index)}", $"the mask broadcasts to [{shape.Batch}, {shape.Heads}, {shape.Rows}, {shape.Keys}]");
        int row = full[2] == 1 ? 0 : full[3], head = full[1] == 1 ? 0 : full[2] * full[3], batch = full[0] == 1 ? 0 : full[1] * full[2] * full[3];
        return new AttentionMask(causal, hiddenBy, (batch, head, row), full[3], c.Element(index));
    }
}

/// <summary>Scaled dot-product attention.</summary>
/// <remarks>
/// <code>
///   s = scale · q · kᵀ    s = softcap · tanh(s / softcap)    s = s + mask    p = softmax(s)    y = p · v
/// </code>
/// One piece of work is a head, or some of its queries. With many queries it packs the keys and values of the head once and takes a block of queries at a time through
/// product, mask, softmax and product, so that no more scores than a block's exist at a time; with few (decoding) packing does not pay, and keys and values are read where they lie.
/// </remarks>
internal sealed class AttentionCore(AttentionShape shape, AttentionStrides q, AttentionStrides k, AttentionStrides v, AttentionStrides y, float scale, float softcap,
    AttentionMask mask, int scoresStage, CpuFeatures cpu, AttentionMask? secondMask = null)
{
    private readonly UnaryKernel? _tanh = softcap != 0 ? UnaryKernel.Select(UnaryOperation.Tanh, cpu) : null;

    /// <summary>Queries from which on packing keys and values for the matrix kernels pays.</summary>
    private const int PackRows = 8;

    /// <summary>Scores of a block, which stay in the second-level cache together with the packed keys that made them.</summary>
    private const int BlockScores = 32 * 1024;

    private readonly SGemmBatch? _scores = Packs(shape) ? SGemmBatch.Create(
        new SGemmBatchShape(shape.Rows, shape.Keys, shape.Size, false, true, scale, q.Row, k.Row, shape.Keys), [0], [0], [0], SEpilogue.None(shape.Keys), cpu) : null;

    private readonly SGemmBatch? _values = Packs(shape) ? SGemmBatch.Create(
        new SGemmBatchShape(shape.Rows, shape.ValueSize, shape.Keys, false, false, 1, shape.Keys, v.Row, y.Row), [0], [0], [0], SEpilogue.None(shape.ValueSize), cpu) : null;

    private static bool Packs(AttentionShape shape) => shape.Rows >= PackRows && shape.Keys > 0 && shape.Size > 0 && shape.ValueSize > 0;

    /// <summary>Queries of a block of the packed form.</summary>
    private int PackedBlockRows => Math.Clamp(BlockScores / Math.Max(1, shape.Keys) / 12 * 12, 12, Math.Max(12, shape.Rows));

    /// <summary>Queries of one piece: four keys or values that are loaded serve all of them, and a short sequence still has pieces to share.</summary>
    private const int BlockRows = 16;

    private int Blocks => (shape.Rows + BlockRows - 1) / BlockRows;

    /// <summary>Extents.</summary>
    public AttentionShape Shape => shape;

    /// <summary>The kernels' names.</summary>
    public string Kernel => _scores is null ? "attention in place" : $"attention {_scores.Kernel.Name}";

    /// <summary>Bytes of scratch per worker, a multiple of the alignment.</summary>
    private int WorkerBytes => _scores is null
        ? Aligned(checked((BlockRows + 1) * shape.Keys * sizeof(float)))
        : checked(Aligned((PackedBlockRows + 1) * shape.Keys * sizeof(float)) + (int)_scores.PackedBytes + (int)_values!.PackedBytes);

    private static int Aligned(int bytes) => checked(bytes + 63) & ~63;

    /// <summary>Bytes of scratch for so many workers.</summary>
    public int ScratchBytes(int workers) => checked(workers * WorkerBytes + 64);

    /// <summary>Multiply-accumulates.</summary>
    public long MultiplyAccumulates => (long)shape.Batch * shape.Heads * shape.Rows * shape.Keys * (shape.Size + shape.ValueSize);

    /// <summary>Runs it.</summary>
    /// <param name="query">Queries, float32.</param>
    /// <param name="key">Keys.</param>
    /// <param name="value">Values.</param>
    /// <param name="maskTensor">The mask, or null.</param>
    /// <param name="lengths">Keys that count per batch element, int64 or int32; null for all.</param>
    /// <param name="output">Receives the result.</param>
    /// <param name="scores">Receives the scores <c>[B, H, Q, K]</c> at the stage that was asked for; empty for nobody.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/>.</param>
    /// <param name="parallel">Threads.</param>
    /// <param name="secondMaskTensor">The second mask, or null.</param>
    public void Run(Memory<byte> query, Memory<byte> key, Memory<byte> value, Tensor? maskTensor, Tensor? lengths, Memory<byte> output, Memory<byte> scores,
        Memory<byte> scratch, Parallelism parallel, Tensor? secondMaskTensor = null)
    {
        int heads = shape.Batch * shape.Heads;
        if (heads == 0 || shape.Rows == 0) return;
        // A packed head is one piece unless there are too few of them to share.
        int blocks = _scores is null ? Blocks : (shape.Rows + PackedBlockRows - 1) / PackedBlockRows, perPiece = 1;
        if (_scores is not null)
        {
            int wanted = heads >= 2 * parallel.MaxWorkers || parallel.MaxWorkers == 1 ? 1 : Math.Min(blocks, (2 * parallel.MaxWorkers + heads - 1) / heads);
            perPiece = (blocks + wanted - 1) / wanted;
        }
        var work = new Pieces
        {
            Core = this,
            Query = query,
            Key = key,
            Value = value,
            Mask = maskTensor,
            SecondMask = secondMaskTensor,
            Lengths = lengths,
            Output = output,
            Scores = scores,
            Scratch = scratch,
            Blocks = blocks,
            BlocksPerPiece = perPiece,
        };
        parallel.For(ref work, heads * ((blocks + perPiece - 1) / perPiece));
    }

    private struct Pieces : IPieces
    {
        public AttentionCore Core;
        public Memory<byte> Query, Key, Value, Output, Scores, Scratch;
        public Tensor? Mask, SecondMask, Lengths;
        public int Blocks, BlocksPerPiece;

        public void Run(int piece, int worker)
        {
            int pieces = (Blocks + BlocksPerPiece - 1) / BlocksPerPiece, first = piece % pieces * BlocksPerPiece;
            int head = piece / pieces % Core.Shape.Heads, batch = piece / pieces / Core.Shape.Heads;
            if (Core._scores is null) Core.Block(in this, batch, head, first, worker);
            else Core.PackedBlocks(in this, batch, head, first, Math.Min(BlocksPerPiece, Blocks - first), worker);
        }
    }

    private Span<byte> WorkerScratch(in Pieces data, int worker) => data.Scratch.Span.Slice(worker * WorkerBytes, WorkerBytes);

    /// <summary>Blocks of queries of one head against its packed keys and values.</summary>
    private void PackedBlocks(in Pieces data, int batch, int head, int firstBlock, int count, int worker)
    {
        int keyHead = head / (shape.Heads / shape.KeyHeads), keys = shape.Keys, blockRows = PackedBlockRows;
        Span<byte> scratch = WorkerScratch(data, worker);
        Span<float> scores = MemoryMarshal.Cast<byte, float>(scratch)[..(blockRows * keys)], bias = MemoryMarshal.Cast<byte, float>(scratch).Slice(blockRows * keys, keys);
        scratch = scratch[Aligned((blockRows + 1) * keys * sizeof(float))..];
        Span<byte> packedKeys = scratch[..(int)_scores!.PackedBytes], packedValues = scratch.Slice((int)_scores.PackedBytes, (int)_values!.PackedBytes);
        _scores.Pack(MemoryMarshal.Cast<byte, float>(data.Key.Span)[(batch * k.Batch + keyHead * k.Head)..], packedKeys);
        _values.Pack(MemoryMarshal.Cast<byte, float>(data.Value.Span)[(batch * v.Batch + keyHead * v.Head)..], packedValues);
        ReadOnlySpan<float> query = MemoryMarshal.Cast<byte, float>(data.Query.Span)[(batch * q.Batch + head * q.Head)..];
        Span<float> output = MemoryMarshal.Cast<byte, float>(data.Output.Span)[(batch * y.Batch + head * y.Head)..];
        for (int block = firstBlock; block < firstBlock + count; block++)
        {
            int first = block * blockRows, rows = Math.Min(blockRows, shape.Rows - first);
            Span<float> made = scores[..(rows * keys)];
            _scores.Multiply(rows, query[(first * q.Row)..], packedKeys, made);
            Normalize(data, batch, head, first, rows, made, bias);
            _values.Multiply(rows, made, packedValues, output[(first * y.Row)..]);
        }
    }

    /// <summary>A block of queries of one head, keys and values read where they lie.</summary>
    private void Block(in Pieces data, int batch, int head, int block, int worker)
    {
        int keyHead = head / (shape.Heads / shape.KeyHeads), keys = shape.Keys;
        int first = block * BlockRows, rows = Math.Min(BlockRows, shape.Rows - first);
        Span<float> scratch = MemoryMarshal.Cast<byte, float>(WorkerScratch(data, worker)), scores = scratch[..(rows * keys)];
        Scores(MemoryMarshal.Cast<byte, float>(data.Query.Span)[(batch * q.Batch + head * q.Head + first * q.Row)..], rows,
            MemoryMarshal.Cast<byte, float>(data.Key.Span)[(batch * k.Batch + keyHead * k.Head)..], scores);
        Normalize(data, batch, head, first, rows, scores, scratch.Slice(BlockRows * keys, keys));
        Combine(scores, rows, MemoryMarshal.Cast<byte, float>(data.Value.Span)[(batch * v.Batch + keyHead * v.Head)..],
            MemoryMarshal.Cast<byte, float>(data.Output.Span)[(batch * y.Batch + head * y.Head + first * y.Row)..]);
    }

    /// <summary>Caps, masks and normalizes the scores of <paramref name="rows"/> queries, and keeps them where somebody wants them.</summary>
    private void Normalize(in Pieces data, int batch, int head, int first, int rows, Span<float> scores, Span<float> bias)
    {
        int keys = shape.Keys, at = ((batch * shape.Heads + head) * shape.Rows + first) * keys;
        Span<float> kept = data.Scores.IsEmpty ? default : MemoryMarshal.Cast<byte, float>(data.Scores.Span).Slice(at, rows * keys);
        if (scoresStage == 0 && !kept.IsEmpty) scores.CopyTo(kept);
        if (_tanh is not null)
        {
            for (int i = 0; i < scores.Length; i++) scores[i] /= softcap;
            _tanh.Run(scores, scores);
            for (int i = 0; i < scores.Length; i++) scores[i] *= softcap;
        }
        if (scoresStage == 1 && !kept.IsEmpty) scores.CopyTo(kept);
        if (mask.Causal || data.Mask is not null || data.SecondMask is not null || data.Lengths is not null)
        {
            for (int i = 0; i < rows; i++)
            {
                // One mask for all queries stays as it is.
                if (i == 0 || mask.Causal || data.Mask is not null && mask.Strides.Row != 0 || data.SecondMask is not null && secondMask!.Strides.Row != 0)
                    FillBias(data, batch, head, first + i, bias);
                Add(bias, scores.Slice(i * keys, keys));
            }
        }
        if (scoresStage == 2 && !kept.IsEmpty) scores.CopyTo(kept);
        if (keys > 0) SoftmaxKernel.Run(scores, keys, 1, logarithm: false, scores, cpu, Parallelism.None);
        if (scoresStage == 3 && !kept.IsEmpty) scores.CopyTo(kept);
    }

    /// <summary><c>y += x</c>.</summary>
    private static void Add(ReadOnlySpan<float> x, Span<float> y)
    {
        int i = 0;
        for (; i <= y.Length - Vector<float>.Count; i += Vector<float>.Count) (new Vector<float>(y[i..]) + new Vector<float>(x[i..])).CopyTo(y[i..]);
        for (; i < y.Length; i++) y[i] += x[i];
    }

    private void FillBias(in Pieces data, int batch, int head, int i, Span<float> bias)
    {
        bias.Clear();
        if (data.Mask is not null) AddMask(mask, data.Mask, batch, head, i, bias);
        if (data.SecondMask is not null) AddMask(secondMask!, data.SecondMask, batch, head, i, bias);
        if (data.Lengths is { } lengths)
        {
            long length = lengths.Type == DataType.Int64 ? lengths.Span<long>()[batch] : lengths.Span<int>()[batch];
            bias[(int)Math.Clamp(length, 0, bias.Length)..].Fill(mask.HiddenBy);
        }
        if (mask.Causal && shape.Past + i + 1 < bias.Length) bias[(shape.Past + i + 1)..].Fill(float.NegativeInfinity);
    }

    private static void AddMask(AttentionMask mask, Tensor tensor, int batch, int head, int i, Span<float> bias)
    {
        int start = batch * mask.Strides.Batch + head * mask.Strides.Head + i * mask.Strides.Row, covered = mask.MaskKeys;
        switch (mask.MaskType)
        {
            case DataType.Bool:
                ReadOnlySpan<bool> keep = tensor.Span<bool>().Slice(start, covered);
                for (int j = 0; j < covered; j++) if (!keep[j]) bias[j] += mask.HiddenBy;
                break;
            case DataType.Int32:
                ReadOnlySpan<int> keepInt = tensor.Span<int>().Slice(start, covered);
                for (int j = 0; j < covered; j++) if (keepInt[j] == 0) bias[j] += mask.HiddenBy;
                break;
            default:
                ReadOnlySpan<float> added = tensor.Span<float>().Slice(start, covered);
                Add(added, bias[..covered]);
                break;
        }
        bias[covered..].Fill(float.NegativeInfinity);
    }

    /// <summary><c>scores[i, j] = scale · q[i] · k[j]</c>, four keys at a time for all rows.</summary>
    private void Scores(ReadOnlySpan<float> query, int rows, ReadOnlySpan<float> key, Span<float> scores)
    {
        int size = shape.Size, keys = shape.Keys, lanes = Vector<float>.Count, j = 0;
        for (; j + 4 <= keys; j += 4)
        {
            ReadOnlySpan<float> k0 = key.Slice(j * k.Row, size), k1 = key.Slice((j + 1) * k.Row, size), k2 = key.Slice((j + 2) * k.Row, size), k3 = key.Slice((j + 3) * k.Row, size);
            for (int i = 0; i < rows; i++)
            {
                ReadOnlySpan<float> row = query.Slice(i * q.Row, size);
                Vector<float> s0 = default, s1 = default, s2 = default, s3 = default;
                int d = 0;
                for (; d + lanes <= size; d += lanes)
                {
                    var part = new Vector<float>(row[d..]);
                    s0 += part * new Vector<float>(k0[d..]);
                    s1 += part * new Vector<float>(k1[d..]);
                    s2 += part * new Vector<float>(k2[d..]);
                    s3 += part * new Vector<float>(k3[d..]);
                }
                float r0 = Vector.Sum(s0), r1 = Vector.Sum(s1), r2 = Vector.Sum(s2), r3 = Vector.Sum(s3);
                for (; d < size; d++)
                {
                    r0 += row[d] * k0[d];
                    r1 += row[d] * k1[d];
                    r2 += row[d] * k2[d];
                    r3 += row[d] * k3[d];
                }
                Span<float> to = scores.Slice(i * keys + j, 4);
                (to[0], to[1], to[2], to[3]) = (scale * r0, scale * r1, scale * r2, scale * r3);
            }
        }
        for (; j < keys; j++)
        {
            ReadOnlySpan<float> k0 = key.Slice(j * k.Row, size);
            for (int i = 0; i < rows; i++)
            {
                ReadOnlySpan<float> row = query.Slice(i * q.Row, size);
                float sum = 0;
                for (int d = 0; d < size; d++) sum += row[d] * k0[d];
                scores[i * keys + j] = scale * sum;
            }
        }
    }

    /// <summary><c>y[i] = Σⱼ p[i, j] · v[j]</c>, four values at a time for all rows.</summary>
    private void Combine(ReadOnlySpan<float> p, int rows, ReadOnlySpan<float> value, Span<float> output)
    {
        int size = shape.ValueSize, keys = shape.Keys, lanes = Vector<float>.Count, j = 0;
        for (int i = 0; i < rows; i++) output.Slice(i * y.Row, size).Clear();
        for (; j + 4 <= keys; j += 4)
        {
            ReadOnlySpan<float> v0 = value.Slice(j * v.Row, size), v1 = value.Slice((j + 1) * v.Row, size), v2 = value.Slice((j + 2) * v.Row, size), v3 = value.Slice((j + 3) * v.Row, size);
            for (int i = 0; i < rows; i++)
            {
                Span<float> result = output.Slice(i * y.Row, size);
                ReadOnlySpan<float> weights = p.Slice(i * keys + j, 4);
                (float p0, float p1, float p2, float p3) = (weights[0], weights[1], weights[2], weights[3]);
                int d = 0;
                for (; d + lanes <= size; d += lanes)
                {
                    Vector<float> sum = new Vector<float>(result[d..]) + new Vector<float>(v0[d..]) * p0 + new Vector<float>(v1[d..]) * p1
                        + new Vector<float>(v2[d..]) * p2 + new Vector<float>(v3[d..]) * p3;
                    sum.CopyTo(result[d..]);
                }
                for (; d < size; d++) result[d] += v0[d] * p0 + v1[d] * p1 + v2[d] * p2 + v3[d] * p3;
            }
        }
        for (; j < keys; j++)
        {
            ReadOnlySpan<float> v0 = value.Slice(j * v.Row, size);
            for (int i = 0; i < rows; i++)
            {
                Span<float> result = output.Slice(i * y.Row, size);
                float weight = p[i * keys + j];
                for (int d = 0; d < size; d++) result[d] += v0[d] * weight;
            }
        }
    }
}
