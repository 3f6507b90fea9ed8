using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>
/// Contributed <c>SkipLayerNormalization</c>: <c>s = x + skip + bias</c>, y = layer normalization of s over the last axis with gamma and beta.
/// <c>SkipSimplifiedLayerNormalization</c> leaves out mean and beta. Outputs: y, mean, 1/√(variance + ε), s.
/// </summary>
/// <param name="type">Operator type.</param>
/// <param name="centred">Whether the mean is taken away; then input 3 is beta and 4 the bias, else 3 is the bias.</param>
internal sealed class SkipLayerNormalization(string type, bool centred) : Operator
{
    public override OperatorId Id { get; } = new(type, MicrosoftDomain);

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32, DataType.Float16, DataType.BFloat16);
        c.Set(0, c.Type(0));
        TensorType moments = c.Shape(0) is { Length: > 0 } shape ? new TensorType(DataType.Float32, shape.SetItem(shape.Length - 1, 1).AsSpan()) : new TensorType(DataType.Float32);
        c.Set(1, moments);
        c.Set(2, moments);
        c.Set(3, c.Type(0));
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0), skip = c.InputShape(1);
        if (x.Length == 0) throw c.Error("x is a scalar", "x is […, hidden]");
        if (c.Element(0) != DataType.Float32) throw c.Unsupported($"data is {c.Element(0).Name()}", "float32 data");
        int hidden = x[^1], count = Tensor.CountElements(x), skipCount = Tensor.CountElements(skip);
        if (skipCount == 0 || count % skipCount != 0 || !x.AsSpan().EndsWith(skip.AsSpan().TrimStart(1))) throw c.Error($"skip is {Tensor.Format(skip)}", "skip has the shape of x, or repeats along its outer axes");
        for (int i = 2; i < 5; i++)
        {
            if (c.Has(i) && Tensor.CountElements(c.InputShape(i)) != hidden) throw c.Error($"input {i} is {c.Type(i)}", $"gamma, beta and bias have {hidden} elements");
        }
        var layout = new GroupLayout(hidden == 0 ? 0 : count / hidden, hidden, 1, 1, c.Attributes.Float("epsilon", 1e-12f), centred);
        return new SumStep(new GroupVectorStep(layout, 2, centred ? 3 : -1, c.Node.OperatorType, c.Cpu), skipCount, hidden, centred ? 4 : 3, c.Node.OperatorType);
    }

    private sealed class SumStep(GroupVectorStep normalize, int skipCount, int hidden, int biasInput, string kernel) : Step
    {
        public override string Kernel => kernel;

        public override int InPlaceInput(int output) => output == 0 ? 0 : -1;

        public override void Run(StepContext c)
        {
            ReadOnlySpan<float> x = c.Input<float>(0), skip = c.Input<float>(1), bias = c.Input<float>(biasInput);
            Span<float> sum = c.Output<float>(0);
            for (int i = 0; i < sum.Length; i++)
            {
                float element = x[i] + skip[i % skipCount];
                sum[i] = bias.IsEmpty ? element : element + bias[i % hidden];
            }
            if (c.Wants(3)) sum.CopyTo(c.Output<float>(3));
            normalize.Run(c, sum, c.Parallel);
        }
    }
}

/// <summary>
/// Contributed <c>EmbedLayerNormalization</c>: the sum of word, position and segment embeddings, layer-normalized. Outputs: y <c>[B, S, hidden]</c>, the
/// number of leading ones of each mask row (0 without a mask), the sum.
/// </summary>
internal sealed class EmbedLayerNormalization : Operator
{
    public override OperatorId Id { get; } = new("EmbedLayerNormalization", MicrosoftDomain);

    public override string Limits => "mask_index_type 0";

    public override void Infer(InferContext c)
    {
        c.Expect(0, ElementTypes.Indices);
        DataType type = c.Expect(2, DataType.Float32, DataType.Float16, DataType.BFloat16);
        if (c.Shape(0) is not [var batch, var length] || c.Shape(2) is not [_, var hidden])
        {
            c.Set(0, type, Dim.Unknown, Dim.Unknown, Dim.Unknown);
            c.Set(1, DataType.Int32, Dim.Unknown);
            c.Set(2, type, Dim.Unknown, Dim.Unknown, Dim.Unknown);
            return;
        }
        c.Set(0, type, batch, length, hidden);
        c.Set(1, DataType.Int32, batch);
        c.Set(2, type, batch, length, hidden);
    }

    public override Step Plan(PlanContext c)
    {
        if (c.Element(2) != DataType.Float32) throw c.Unsupported($"embeddings are {c.Element(2).Name()}", "float32 embeddings");
        if (c.Attributes.Int("mask_index_type") != 0) throw c.Unsupported("mask_index_type is not 0", "mask_index_type 0");
        int[] ids = c.InputShape(0);
        int hidden = c.InputShape(2)[^1];
        foreach (int table in (int[])[2, 3, 4])
        {
            if (c.Has(table) && (c.InputShape(table).Length != 2 || c.InputShape(table)[1] != hidden)) throw c.Error($"input {table} is {c.Type(table)}", $"embeddings are [entries, {hidden}]");
        }
        foreach (int vector in (int[])[5, 6])
        {
            if (Tensor.CountElements(c.InputShape(vector)) != hidden) throw c.Error($"input {vector} is {c.Type(vector)}", $"gamma and beta have {hidden} elements");
        }
        foreach (int index in (int[])[1, 7])
        {
            if (c.Has(index) && (c.Element(index) != DataType.Int32 || Tensor.CountElements(c.InputShape(index)) != ids[0] * ids[1])) throw c.Error($"input {index} is {c.Type(index)}", "int32, as many as input ids");
        }
        if (c.Element(0) != DataType.Int32) throw c.Unsupported($"input ids are {c.Element(0).Name()}", "int32 ids");
        if (c.Has(8) && (c.Element(8) != DataType.Int32 || Tensor.CountElements(c.InputShape(8)) is var positions && positions != ids[1] && positions != ids[0] * ids[1]))
            throw c.Error($"position ids are {c.Type(8)}", "int32, [1, S] or [B, S]");
        return new EmbedStep(c.Node, ids[0], ids[1], hidden, c.Attributes.Float("epsilon", 1e-12f));
    }

    private sealed class EmbedStep(Node node, int batch, int length, int hidden, float epsilon) : Step
    {
        public override string Kernel => "EmbedLayerNormalization";

        public override void Run(StepContext c)
        {
            ReadOnlySpan<int> ids = c.Input<int>(0), segments = c.Input<int>(1), mask = c.Input<int>(7), positions = c.Input<int>(8);
            ReadOnlySpan<float> words = c.Input<float>(2), places = c.Input<float>(3), kinds = c.Input<float>(4), gamma = c.Input<float>(5), beta = c.Input<float>(6);
            Span<float> y = c.Output<float>(0), sum = c.Output<float>(2);
            for (int row = 0; row < batch * length; row++)
            {
                int place = positions.IsEmpty ? row % length : positions[row % positions.Length];
                ReadOnlySpan<float> word = Entry(words, ids[row]), at = Entry(places, place), kind = kinds.IsEmpty ? default : Entry(kinds, segments.IsEmpty ? 0 : segments[row]);
                Span<float> to = y.Slice(row * hidden, hidden);
                double mean = 0, variance = 0;
                for (int i = 0; i < hidden; i++)
                {
                    to[i] = word[i] + at[i] + (kind.IsEmpty ? 0 : kind[i]);
                    mean += to[i];
                }
                if (!sum.IsEmpty) to.CopyTo(sum[(row * hidden)..]);
                mean /= hidden;
                foreach (float element in to) variance += (element - mean) * (element - mean);
                float centre = (float)mean, factor = (float)(1 / Math.Sqrt(variance / hidden + epsilon));
                for (int i = 0; i < hidden; i++) to[i] = (to[i] - centre) * factor * gamma[i] + beta[i];
            }
            if (!c.Wants(1)) return;
            Span<int> counts = c.Output<int>(1);
            for (int b = 0; b < batch; b++)
            {
                int count = 0;
                while (!mask.IsEmpty && count < length && mask[b * length + count] == 1) count++;
                counts[b] = count;
            }
        }

        private ReadOnlySpan<float> Entry(ReadOnlySpan<float> table, int index)
        {
            int entries = table.Length / hidden;
            if ((uint)index >= (uint)entries) throw new DataException($"{node}: index {index} does not exist in a table of {entries}; rule: 0 ≤ index < entries");
            return table.Slice(index * hidden, hidden);
        }
    }
}
