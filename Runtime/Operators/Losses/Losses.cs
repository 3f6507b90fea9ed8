using System.Collections.Immutable;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>What the two losses share: targets, weights, reduction.</summary>
/// <remarks>
/// <code>
///   lossᵢ = −w[tᵢ] · logp[nᵢ, tᵢ, …]   (0 where tᵢ is ignore_index)      w = 1 without weights
///   reduction none: lossᵢ    sum: Σ lossᵢ    mean: Σ lossᵢ / Σ w[tᵢ] over the targets that are not ignored
/// </code>
/// </remarks>
internal abstract class LogLikelihoodLoss : Operator
{
    /// <summary>Whether input 0 holds scores instead of logarithms of probabilities.</summary>
    protected abstract bool TakesScores { get; }

    public override void Infer(InferContext c)
    {
        DataType element = c.Expect(0, DataType.Float32, DataType.Float16, DataType.BFloat16, DataType.Float64);
        if (c.Attributes.String("reduction", "mean") != "none") c.Set(0, new TensorType(element, default(ReadOnlySpan<Dim>)));
        else if (c.Shape(1) is { } target) c.Set(0, new TensorType(element, target.AsSpan()));
        else c.SetUnknownShape(0, element);
        if (TakesScores) c.Set(1, c.Type(0));
    }

    public override Step Plan(PlanContext c)
    {
        c.Expect(0, DataType.Float32);
        DataType targets = c.Expect(1, DataType.Int32, DataType.Int64);
        int[] x = c.InputShape(0), target = c.InputShape(1);
        if (x.Length < 2 || !target.AsSpan().SequenceEqual((ReadOnlySpan<int>)[x[0], .. x[2..]])) throw c.Error($"input is {c.Type(0)}, target {c.Type(1)}", "input [N, C, d…], target [N, d…]");
        if (c.Has(2) && (c.Element(2) != DataType.Float32 || !c.InputShape(2).AsSpan().SequenceEqual([x[1]]))) throw c.Error($"weights are {c.Type(2)}", $"one float32 weight per class: {x[1]}");
        string reduction = c.Attributes.String("reduction", "mean");
        if (reduction is not ("none" or "sum" or "mean")) throw c.Error($"reduction is '{reduction}'", "none, sum or mean");
        long? ignored = c.Attributes.Contains("ignore_index") ? c.Attributes.Int("ignore_index") : null;
        return new LossStep(x[0], x[1], Tensor.CountElements(x.AsSpan()[2..]), reduction, ignored, targets == DataType.Int64, TakesScores);
    }

    private sealed class LossStep(int batch, int classes, int inner, string reduction, long? ignored, bool wide, bool scores) : Step
    {
        public override string Kernel => "loss";

        public override int ScratchBytes => scores ? checked(batch * classes * inner * sizeof(float)) : 0;

        public override void Run(StepContext c)
        {
            ReadOnlySpan<float> x = c.Input<float>(0), weights = c.Has(2) ? c.Input<float>(2) : default;
            if (scores)
            {
                Span<float> logs = c.Wants(1) ? c.Output<float>(1) : System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(c.Scratch)[..x.Length];
                LogSoftmax(x, logs);
                x = logs;
            }
            ReadOnlySpan<long> targets64 = wide ? c.Input<long>(1) : default;
            ReadOnlySpan<int> targets32 = wide ? default : c.Input<int>(1);
            Span<float> y = c.Output<float>(0);
            double total = 0, weight = 0;
            for (int n = 0; n < batch; n++)
            {
                for (int i = 0; i < inner; i++)
                {
                    int at = n * inner + i;
                    long target = wide ? targets64[at] : targets32[at];
                    float loss = 0;
                    if (target != ignored)
                    {
                        if (target < 0 || target >= classes) throw new DataException($"target {target}; rule: a target is in [0, {classes}) or ignore_index");
                        float w = weights.IsEmpty ? 1 : weights[(int)target];
                        loss = -w * x[(n * classes + (int)target) * inner + i];
                        total += loss;
                        weight += w;
                    }
                    if (reduction == "none") y[at] = loss;
                }
            }
            if (reduction != "none") y[0] = (float)(reduction == "sum" ? total : total / weight);
        }

        private void LogSoftmax(ReadOnlySpan<float> x, Span<float> y)
        {
            for (int n = 0; n < batch; n++)
            {
                for (int i = 0; i < inner; i++)
                {
                    int start = n * classes * inner + i;
                    float largest = float.NegativeInfinity;
                    for (int k = 0; k < classes; k++) largest = MathF.Max(largest, x[start + k * inner]);
                    double sum = 0;
                    for (int k = 0; k < classes; k++) sum += Math.Exp(x[start + k * inner] - largest);
                    float log = (float)Math.Log(sum) + largest;
                    for (int k = 0; k < classes; k++) y[start + k * inner] = x[start + k * inner] - log;
                }
            }
        }
    }
}

/// <summary>ONNX <c>NegativeLogLikelihoodLoss</c> of logarithms of probabilities; see <see cref="LogLikelihoodLoss"/>.</summary>
internal sealed class NegativeLogLikelihoodLoss : LogLikelihoodLoss
{
    public override OperatorId Id => new("NegativeLogLikelihoodLoss", Since: 12);

    protected override bool TakesScores => false;
}

/// <summary>ONNX <c>SoftmaxCrossEntropyLoss</c>: the loss of <c>logp = log softmax(scores)</c> over axis 1, which is output 1.</summary>
internal sealed class SoftmaxCrossEntropyLoss : LogLikelihoodLoss
{
    public override OperatorId Id => new("SoftmaxCrossEntropyLoss", Since: 12);

    protected override bool TakesScores => true;
}
