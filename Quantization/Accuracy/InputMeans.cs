using Octet.Runtime.Tensors;

namespace Octet.Quantization.Accuracy;

/// <summary>Mean of activations per channel over all samples, for bias correction. Sums are float64 in the order of the samples.</summary>
/// <param name="channelAxes">The channel axis of every activation that is watched; −1 for the last.</param>
internal sealed class InputMeans(IReadOnlyDictionary<string, int> channelAxes)
{
    private readonly Dictionary<string, (double[] Sums, long[] Count)> _sums = new(StringComparer.Ordinal);

    /// <summary>Whether nothing was seen.</summary>
    public bool IsEmpty => _sums.Count == 0;

    /// <summary>Forgets everything.</summary>
    public void Clear() => _sums.Clear();

    /// <summary>Sees one tensor.</summary>
    public void Collect(string name, TensorView view)
    {
        if (!channelAxes.TryGetValue(name, out int axis) || view.Type != DataType.Float32 || view.Length == 0 || view.Shape.Length == 0) return;
        if (axis < 0) axis = view.Shape.Length - 1;
        if (axis >= view.Shape.Length) return;
        int channels = view.Shape[axis];
        if (!_sums.TryGetValue(name, out (double[] Sums, long[] Count) seen) || seen.Sums.Length != channels) _sums[name] = seen = (new double[channels], new long[1]);
        ReadOnlySpan<float> x = view.IsRowMajor ? view.Elements<float>() : view.ToTensor().Span<float>();
        int inner = 1;
        for (int i = axis + 1; i < view.Shape.Length; i++) inner *= view.Shape[i];
        for (int start = 0, channel = 0; start < x.Length; start += inner, channel = (channel + 1) % channels)
        {
            double sum = 0;
            foreach (float value in x.Slice(start, inner)) sum += value;
            seen.Sums[channel] += sum;
        }
        seen.Count[0] += x.Length / channels;
    }

    /// <summary>The means of one activation by channel; null where it was not seen.</summary>
    public double[]? Of(string name) => _sums.TryGetValue(name, out (double[] Sums, long[] Count) seen) ? [.. seen.Sums.Select(sum => sum / seen.Count[0])] : null;
}
