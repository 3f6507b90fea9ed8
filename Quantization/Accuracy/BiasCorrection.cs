using Octet.Quantization.Rewriting;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Accuracy;

/// <summary>
/// Bias correction: rounding a weight moves the mean of its output channel by a known amount, and the bias takes it back.
/// </summary>
/// <remarks>
/// <code>
///   b'[o] = b[o] − Σ_k (s[o]·q[o,k] − w[o,k]) · mean(x_k)
/// </code>
/// <c>mean(x_k)</c> is the mean over the calibration samples of the input channel that weight k multiplies, in the float model. The zeros that padding adds at an image's edge are not in the mean.
/// A convolution or Gemm without a bias gets one; a MatMul has the sum behind it, and without one stays as it is.
/// </remarks>
internal static class BiasCorrection
{
    /// <summary>The bias that takes the mean error back.</summary>
    /// <param name="node">Conv, ConvTranspose, Gemm or MatMul.</param>
    /// <param name="weight">Its float weight.</param>
    /// <param name="quantized">The same quantized.</param>
    /// <param name="bias">Its bias; empty for none.</param>
    /// <param name="means">Mean of the input by channel.</param>
    /// <returns>One value per output channel; <paramref name="bias"/> where the means do not fit the weight.</returns>
    public static float[] Apply(Node node, Tensor weight, QuantizedWeight quantized, float[] bias, double[] means)
    {
        ReadOnlySpan<int> shape = weight.Shape;
        int groups = node.OperatorType is "Gemm" or "MatMul" ? 1 : (int)node.Attributes.Int("group", 1);
        // Weight [A, B, inner]: which of A and B is the output channel within its group, and which the input channel.
        bool outputFirst = node.OperatorType == "Conv" || (node.OperatorType == "Gemm" && node.Attributes.Int("transB") != 0);
        int a = shape[0], b = shape[1], inner = Math.Max(1, weight.Length / Math.Max(1, a * b));
        int outputs = outputFirst ? a : b * groups, inputs = outputFirst ? b * groups : a;
        if (means.Length != inputs || weight.Length == 0 || (bias.Length != 0 && bias.Length != outputs)) return bias;
        float[] corrected = bias.Length == 0 ? new float[outputs] : (float[])bias.Clone();
        var error = new double[outputs];
        ReadOnlySpan<float> w = weight.Span<float>();
        ReadOnlySpan<sbyte> q = quantized.Values.Span<sbyte>();
        for (int i = 0; i < a; i++)
        {
            for (int j = 0; j < b; j++)
            {
                int group = i / (a / groups);
                int output = outputFirst ? i : group * b + j, input = outputFirst ? group * b + j : i;
                double scale = quantized.Scales[quantized.Scales.Length == 1 ? 0 : output];
                double sum = 0;
                for (int k = (i * b + j) * inner, end = k + inner; k < end; k++) sum += scale * q[k] - w[k];
                error[output] += sum * means[input];
            }
        }
        for (int o = 0; o < outputs; o++) corrected[o] = (float)(corrected[o] - error[o]);
        return corrected;
    }

    /// <summary>The channel axis of the input whose mean an operator needs; null for operators without a bias.</summary>
    public static int? InputAxis(Node node) => node.OperatorType switch
    {
        "Conv" or "ConvTranspose" => 1,
        "Gemm" when node.Attributes.Float("alpha", 1) == 1 && node.Attributes.Float("beta", 1) == 1 => -1,
        "MatMul" when node.Input(1) is { Constant.Rank: 2 } => -1,
        _ => null,
    };
}
