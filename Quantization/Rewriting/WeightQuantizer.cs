using Octet.Runtime.Tensors;

namespace Octet.Quantization.Rewriting;

/// <summary>A weight tensor as int8 with its scales.</summary>
/// <param name="Values">int8, the shape of the float tensor.</param>
/// <param name="Scales">One, or one per channel.</param>
/// <param name="Axis">Channel axis; −1 for one scale.</param>
internal sealed record QuantizedWeight(Tensor Values, float[] Scales, int Axis);

/// <summary>Weights and biases to integers: <c>w_q = round(w / scale)</c> in [−127, 127], <c>b_q = round(b / (scale_x · scale_w))</c>.</summary>
/// <remarks>
/// In a convolution a kernel's weights meet inputs that lie side by side and are much alike, so what rounding does to their sum weighs most. Where the errors of a kernel add up to more than half a
/// step, the weights nearest to a tie are rounded to their other neighbour until they do not (the kernel-wise step of SQuant, Guo et al. 2022).
/// </remarks>
internal static class WeightQuantizer
{
    /// <summary>Quantized biases stay within ±2³⁰, which leaves as much room again for the sum that they are added to.</summary>
    public const int BiasLimit = 1 << 30;

    /// <summary>Quantizes symmetrically.</summary>
    /// <param name="weight">float32.</param>
    /// <param name="axis">Channel axis, or −1 for one scale.</param>
    /// <param name="bias">Bias per channel, or empty; scales grow where a bias would leave ±<see cref="BiasLimit"/>.</param>
    /// <param name="inputScale">Scale of the activation that the weight multiplies; 0 where it is not known.</param>
    /// <param name="kernel">How many consecutive elements are one kernel of a convolution; 1 for other weights.</param>
    public static QuantizedWeight Quantize(Tensor weight, int axis, ReadOnlySpan<float> bias, float inputScale, int kernel = 1)
    {
        ReadOnlySpan<float> w = weight.Span<float>();
        (int channels, int inner) = Extents(weight, axis);
        var largest = new float[channels];
        for (int i = 0; i < w.Length; i++)
        {
            int channel = i / inner % channels;
            largest[channel] = MathF.Max(largest[channel], MathF.Abs(w[i]));
        }
        var scales = new float[channels];
        for (int c = 0; c < channels; c++)
        {
            // A channel of zeros may have any scale: the finest that its bias allows, or one whose product with the input's is 1 at most.
            scales[c] = largest[c] > 0 ? GridParameters.Step(largest[c], 127) : inputScale > 0 && HasBias(c, channels, bias) ? 0 : MathF.Min(1, inputScale > 0 ? 1 / inputScale : 1);
        }
        for (int c = 0; c < bias.Length; c++)
        {
            int target = channels == 1 ? 0 : c;
            if (inputScale > 0) scales[target] = MathF.Max(scales[target], (float)(Math.Abs((double)bias[c]) / BiasLimit / inputScale));
        }
        for (int c = 0; c < channels; c++) scales[c] = MathF.Max(scales[c], GridParameters.LeastScale);

        var values = new sbyte[w.Length];
        for (int i = 0; i < w.Length; i++)
        {
            // Half to even of a float32 quotient, the rounding that every other integer of the model has.
            values[i] = (sbyte)Math.Clamp(MathF.Round(w[i] / scales[i / inner % channels]), -127, 127);
        }
        for (int start = 0; kernel > 1 && start < w.Length; start += kernel) KeepSum(values.AsSpan(start, kernel), w.Slice(start, kernel), scales[start / inner % channels]);
        return new QuantizedWeight(Tensor.Create(values, weight.Shape), scales, channels == 1 ? -1 : axis);
    }

    /// <summary>Rounds weights the other way, those nearest to a tie first, until the kernel's sum is off by at most half a step.</summary>
    private static void KeepSum(Span<sbyte> values, ReadOnlySpan<float> weights, float scale)
    {
        double error = 0;
        for (int i = 0; i < values.Length; i++) error += values[i] - (double)weights[i] / scale;
        for (int left = (int)Math.Round(Math.Abs(error)), sign = Math.Sign(error); left > 0; left--)
        {
            (int best, double most) = (-1, 0);
            for (int i = 0; i < values.Length; i++)
            {
                double own = sign * (values[i] - (double)weights[i] / scale);
                if (own > most && Math.Abs(values[i] - sign) <= 127) (best, most) = (i, own);
            }
            if (best < 0) return;
            values[best] -= (sbyte)sign;
        }
    }

    /// <summary>Quantizes a bias to int32 with scale <c>inputScale · scales[c]</c>, saturating at ±<see cref="BiasLimit"/>.</summary>
    public static int[] QuantizeBias(ReadOnlySpan<float> bias, float inputScale, float[] scales)
    {
        var result = new int[bias.Length];
        for (int c = 0; c < result.Length; c++)
        {
            double step = BiasScale(inputScale, scales[scales.Length == 1 ? 0 : c]);
            result[c] = (int)Math.Clamp(Math.Round(bias[c] / step), -BiasLimit, BiasLimit);
        }
        return result;
    }

    /// <summary>The scale of a bias, the float32 product that a DequantizeLinear stores.</summary>
    public static float BiasScale(float inputScale, float weightScale) => MathF.Max(inputScale * weightScale, float.Epsilon);

    private static bool HasBias(int channel, int channels, ReadOnlySpan<float> bias) => channels == 1 ? bias.ContainsAnyExcept(0f) : channel < bias.Length && bias[channel] != 0;

    private static (int Channels, int Inner) Extents(Tensor weight, int axis)
    {
        if (axis < 0) return (1, Math.Max(1, weight.Length));
        int inner = 1;
        for (int i = axis + 1; i < weight.Rank; i++) inner *= weight.Shape[i];
        return (weight.Shape[axis], Math.Max(1, inner));
    }
}
