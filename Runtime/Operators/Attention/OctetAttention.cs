using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>octet.Attention</c>: <c>y = softmax(scale · Q·Kᵀ + mask) · V</c>, made by fusion from a model that writes it out.</summary>
/// <remarks>
/// <code>
///   Q = Transpose(q, q_perm) [B, H, S, D]   K = Transpose(k, k_perm) [B, H, L, D]   V = Transpose(v, v_perm) [B, H, L, Dv]   y = Transpose(Y [B, H, S, Dv], y_perm)
/// </code>
/// A missing order is the identity; the last axis always stays, so nothing is moved: rows are read and written where they lie. With rank 3 there is no axis B. The mask is
/// float32 and broadcasts to [B, H, S, L] with its last axis written out.
/// </remarks>
internal sealed class OctetAttention : Operator
{
    public override OperatorId Id => new("Attention", OctetDomain);

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32);
        if (c.Shape(0) is not { } q || c.Shape(2) is not { } v)
        {
            c.SetUnknownShape(0, DataType.Float32);
            return;
        }
        int[] qOrder = Order(c, "q_perm", q.Length), vOrder = Order(c, "v_perm", v.Length), yOrder = Order(c, "y_perm", q.Length);
        Dim[] y = [.. qOrder.Take(q.Length - 1).Select(axis => q[axis]), v[vOrder[^1]]];
        c.Set(0, DataType.Float32, Array.ConvertAll(yOrder, axis => y[axis]));
    }

    public override Step Plan(PlanContext c)
    {
        Operand q = Read(c, 0, "q_perm"), k = Read(c, 1, "k_perm"), v = Read(c, 2, "v_perm");
        if (k.Batch != q.Batch || v.Batch != q.Batch || k.Heads != q.Heads || v.Heads != q.Heads || k.Size != q.Size || v.Rows != k.Rows)
            throw c.Error("q, k and v do not fit", "one batch and one number of heads; q and k of equal size; k and v of equal length");
        var shape = new AttentionShape(q.Batch, q.Heads, q.Heads, q.Rows, k.Rows, 0, q.Size, v.Size);
        AttentionMask mask = AttentionMask.None;
        if (c.Has(3))
        {
            c.Expect(3, DataType.Float32);
            if (c.InputShape(3)[^1] != k.Rows) throw c.Error($"the mask is {c.Type(3)}", $"the mask has {k.Rows} columns");
            mask = AttentionMask.Broadcast(c, 3, shape, causal: false, float.NegativeInfinity);
        }
        int[] order = Order(c, "y_perm", c.Rank(0)), y = c.OutputShape(0);
        int[] inverse = new int[order.Length];
        for (int i = 0; i < order.Length; i++) inverse[order[i]] = i;
        var core = new AttentionCore(shape, q.Strides, k.Strides, v.Strides, Strides(y, inverse), c.Attributes.Float("scale", 1f), 0, mask, -1, c.Cpu);
        return new AttentionStep(core, c.Workers);
    }

    /// <summary>Extents and strides of one operand.</summary>
    private readonly record struct Operand(int Batch, int Heads, int Rows, int Size, AttentionStrides Strides);

    private static Operand Read(PlanContext c, int input, string attribute)
    {
        int[] shape = c.InputShape(input), order = Order(c, attribute, shape.Length);
        int first = shape.Length - 4;
        return new Operand(first < 0 ? 1 : shape[order[0]], shape[order[first + 1]], shape[order[first + 2]], shape[^1], Strides(shape, order));
    }

    /// <summary>Strides of a tensor whose axis <c>order[i]</c> is axis i of [B, H, S, D], or of [H, S, D].</summary>
    private static AttentionStrides Strides(int[] shape, int[] order)
    {
        int[] strides = Axes.Strides(shape);
        return shape.Length == 3 ? new(0, strides[order[0]], strides[order[1]]) : new(strides[order[0]], strides[order[1]], strides[order[2]]);
    }

    private static int[] Order(NodeContext c, string attribute, int rank)
    {
        if (rank is not (3 or 4)) throw c.Error($"an operand has rank {rank}", "operands have 3 or 4 axes");
        int[] order = c.Attributes.Ints(attribute) is { } given ? Array.ConvertAll(given, axis => (int)axis) : [.. Enumerable.Range(0, rank)];
        if (order.Length != rank || !order.Order().SequenceEqual(Enumerable.Range(0, rank)) || order[^1] != rank - 1)
            throw c.Error($"{attribute} is [{string.Join(", ", order)}]", "an order of all axes that leaves the last one");
        return order;
    }

    private sealed class AttentionStep(AttentionCore core, int workers) : Step
    {
        public override string Kernel => core.Kernel;

        public override long MultiplyAccumulates => core.MultiplyAccumulates;

        public override int ScratchBytes => core.ScratchBytes(workers);

        public override void Run(StepContext c) => core.Run(c.Input(0).Bytes, c.Input(1).Bytes, c.Input(2).Bytes, c.Has(3) ? c.Input(3) : null, null, c.Output(0).Bytes, default, c.ScratchMemory, c.Parallel);
    }
}
