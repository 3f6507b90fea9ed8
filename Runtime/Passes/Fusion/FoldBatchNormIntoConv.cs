using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>BatchNormalization(Conv(x, w, b))</c> → <c>Conv(x, w′, b′)</c>; ConvTranspose alike.</summary>
/// <remarks>
/// <code>
///   s = γ / √(σ² + ε)        w′[o,…] = w[o,…] · s[o]        b′[o] = (b[o] − μ[o]) · s[o] + β[o]
/// </code>
/// Computed in float64 and rounded once. Exact in real arithmetic; in float32 the outputs differ by rounding only.
/// Source: Jacob et al. 2018 (arXiv:1712.05877) §3.2; ε from ONNX BatchNormalization.
/// </remarks>
internal sealed class FoldBatchNormIntoConv : RewriteRule
{
    public override string Name => "conv-batchnorm";

    public override Pattern Pattern { get; } = Pattern.Op("BatchNormalization",
        Pattern.Op("Conv|ConvTranspose", Pattern.Any("x"), Pattern.Any("w"), Pattern.Optional("b")).As("conv"),
        Pattern.Any("gamma"), Pattern.Any("beta"), Pattern.Any("mean"), Pattern.Any("variance")).As("bn");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node conv = match.Node("conv"), bn = match.Node("bn");
        if (!RuleValues.HasConstantFloatWeights(conv)) return RewriteResult.Refuse("the convolution's weights or bias are no float32 constants");
        if (BatchNorm.Read(bn, out string reason) is not { } norm) return RewriteResult.Refuse(reason);
        int channels = RuleValues.OutputChannels(conv);
        if (norm.Scale.Length != channels) return RewriteResult.Refuse($"batch norm has {norm.Scale.Length} channels, the convolution {channels}");

        float[]? bias = RuleValues.Floats(conv.Input(2));
        var folded = new float[channels];
        for (int o = 0; o < channels; o++) folded[o] = (float)((bias?[o] ?? 0.0) * norm.Scale[o] + norm.Shift[o]);
        Value w = editor.AddConstant(conv.Inputs[1]!.Name + "/folded", RuleValues.ScaledWeights(conv, norm.Scale));
        Value b = editor.AddConstant((conv.Input(2)?.Name ?? conv.Name + "/bias") + "/folded", Tensor.Create(folded, channels));
        editor.Fuse(match, conv, conv.OperatorType, [match["x"], w, b], conv.Attributes.Copy());
        return RewriteResult.Done;
    }
}

/// <summary>A batch normalization of inference as one multiplication and one addition per channel: <c>y = x·Scale + Shift</c>.</summary>
internal readonly record struct BatchNorm(double[] Scale, double[] Shift)
{
    /// <summary>Reads a node; null with a reason where it is not of that form.</summary>
    public static BatchNorm? Read(Node node, out string reason)
    {
        reason = "";
        if (node.Attributes.Int("training_mode") != 0) reason = "batch norm is in training mode";
        else if (node.Attributes.Int("spatial", 1) == 0) reason = "batch norm has statistics per element (spatial = 0)";
        else if (node.Outputs.Skip(1).Any(output => output is not null && (output.Uses.Count > 0 || output.IsGraphOutput))) reason = "batch norm's running statistics are read";
        float[]? gamma = RuleValues.Floats(node.Input(1)), beta = RuleValues.Floats(node.Input(2)), mean = RuleValues.Floats(node.Input(3)), variance = RuleValues.Floats(node.Input(4));
        if (gamma is null || beta is null || mean is null || variance is null) reason = "batch norm's parameters are no float32 constants";
        else if (beta.Length != gamma.Length || mean.Length != gamma.Length || variance.Length != gamma.Length) reason = "batch norm's parameters differ in length";
        if (reason.Length > 0) return null;

        double epsilon = node.Attributes.Float("epsilon", 1e-5f);
        var scale = new double[gamma!.Length];
        var shift = new double[gamma.Length];
        for (int c = 0; c < scale.Length; c++)
        {
            scale[c] = gamma[c] / Math.Sqrt(variance![c] + epsilon);
            shift[c] = beta![c] - mean![c] * scale[c];
        }
        return new BatchNorm(scale, shift);
    }
}
