namespace Octet.Quantization.Calibration;

/// <summary>The threshold search of Apache MXNet 2 (operator <c>_contrib_calibrate_entropy</c>), in its number types and its order of operations.</summary>
/// <remarks>
/// A histogram of n bins, n odd, and nq levels; candidate i = nq/2 … n/2 keeps the window of 2i + 1 bins around the centre:
/// <code>
///   p        counts of the window; everything left of it, and its own first bin, in p[0]; everything right of it in p[last]
///   s        counts of the window without its first bin
///   q        s merged into nq levels of ⌊(2i + 1)/nq⌋ bins, the rest of the division in the last level, spread over the bins that are not empty
///   smooth   each empty bin gets 0.0001, which the others pay together; impossible where it is a count or more from each
///   T        the window's upper edge where Σ p·ln(p/q) is least, the narrowest of equal ones
/// </code>
/// Its quirks are kept: the first bin counts as an outlier, the last level may be half the window, and smoothing works on counts.
/// </remarks>
internal static class MxNetEntropy
{
    private const float Epsilon = 1e-4f;

    /// <summary>What float32 sums may change of a divergence: candidates that are worse by more than this in float64 need no exact evaluation.</summary>
    private const double Slack = 2e-3;

    /// <summary>A threshold and how it was found.</summary>
    /// <param name="Threshold">T.</param>
    /// <param name="Divergence">The divergence there; <see cref="float.MaxValue"/> where no candidate has one.</param>
    /// <param name="Index">The candidate, counted from the narrowest.</param>
    internal readonly record struct Result(float Threshold, float Divergence, int Index);

    /// <summary>The edges of <paramref name="bins"/> equal bins over ±<paramref name="threshold"/>, or over ±0.5 where it is zero.</summary>
    public static float[] EdgesFor(double threshold, int bins)
    {
        if (threshold == 0) threshold = 0.5;
        var edges = new float[bins + 1];
        double step = 2 * threshold / bins;
        for (int i = 0; i < bins; i++) edges[i] = (float)(i * step - threshold);
        edges[bins] = (float)threshold;
        return edges;
    }

    /// <summary>Searches.</summary>
    /// <param name="counts">Counts of an odd number of bins.</param>
    /// <param name="edges">Their edges, one more.</param>
    /// <param name="levels">nq.</param>
    /// <param name="screened">Whether candidates whose ends alone cost too much are passed over; the result is the same.</param>
    public static Result Find(float[] counts, float[] edges, int levels, bool screened = true)
    {
        int zero = counts.Length / 2, half = levels / 2;
        var screen = new Screen(counts);
        var best = new Result(edges[zero + half + 1], float.MaxValue, 0);
        float[] p = new float[counts.Length], q = new float[counts.Length];
        // The widest windows first: they are good, so that most of the others need no more than a look at their ends.
        for (int i = zero; i >= half; i--)
        {
            if (screened && screen.EndsCost(i, levels) > best.Divergence + Slack) continue;
            float divergence = Divergence(counts, i, levels, p, q);
            if (divergence < float.MaxValue && divergence <= best.Divergence) best = new Result(edges[zero + i + 1], divergence, i - half);
        }
        return best;
    }

    private static float Divergence(float[] counts, int i, int levels, float[] pBuffer, float[] qBuffer)
    {
        int zero = counts.Length / 2, start = zero - i, length = 2 * i + 1;
        Span<float> p = pBuffer.AsSpan(0, length), q = qBuffer.AsSpan(0, length);
        q.Clear();
        p[0] = 0;
        for (int j = 0; j <= start; j++) p[0] += counts[j];
        counts.AsSpan(start + 1, length - 1).CopyTo(p[1..]);
        for (int j = start + length; j < counts.Length; j++) p[^1] += counts[j];

        int merged = length / levels;
        for (int level = 0; level < levels; level++)
        {
            int first = level * merged, last = level == levels - 1 ? length : first + merged;
            long mass = 0;
            int occupied = 0;
            for (int k = Math.Max(1, first); k < last; k++)
            {
                mass += (long)counts[start + k];
                if (counts[start + k] != 0) occupied++;
            }
            if (occupied == 0) continue;
            float share = (float)mass / occupied;
            for (int k = first; k < last; k++) q[k] = p[k] != 0 ? share : 0;
        }
        if (!Smooth(p) || !Smooth(q)) return float.MaxValue;

        float pSum = 0, qSum = 0, divergence = 0;
        foreach (float value in p) pSum += value;
        foreach (float value in q) qSum += value;
        for (int k = 0; k < p.Length; k++)
        {
            float a = p[k] / pSum, b = q[k] / qSum;
            divergence += a * MathF.Log(a / b);
        }
        return divergence;
    }

    private static bool Smooth(Span<float> values)
    {
        int zeros = values.Count(0f), others = values.Length - zeros;
        if (others == 0) return false;
        float pay = Epsilon * zeros / others;
        if (pay >= 1) return false;
        foreach (ref float value in values) value += value == 0 ? Epsilon : -pay;
        return true;
    }

    /// <summary>Lower bounds of divergences in time that does not grow with the histogram.</summary>
    private sealed class Screen
    {
        private readonly float[] _counts;
        private readonly double[] _sums;
        private readonly int[] _occupied;

        public Screen(float[] counts)
        {
            (_counts, _sums, _occupied) = (counts, new double[counts.Length + 1], new int[counts.Length + 1]);
            for (int i = 0; i < counts.Length; i++)
            {
                _sums[i + 1] = _sums[i] + counts[i];
                _occupied[i + 1] = _occupied[i] + (counts[i] != 0 ? 1 : 0);
            }
        }

        /// <summary>
        /// The part of the divergence that the first and the last bin of window <paramref name="i"/> have. Written as <c>p·ln(p/q) − p + q</c> every bin's part is at least zero and their sum is the
        /// divergence, so a part bounds the whole from below.
        /// </summary>
        public double EndsCost(int i, int levels)
        {
            int n = _counts.Length, zero = n / 2, start = zero - i, length = 2 * i + 1, merged = length / levels;
            double total = _sums[n], inside = _sums[start + length] - _sums[start + 1];
            if (inside <= 0) return double.PositiveInfinity;   // q is empty
            double left = _sums[start + 1], right = total - _sums[start + length - 1];
            return Cost(left, Level(start, start + merged)) + Cost(right, Level(start + (levels - 1) * merged, start + length));

            double Level(int first, int last)
            {
                int from = Math.Max(first, start + 1), occupied = _occupied[last] - _occupied[from];
                return occupied == 0 ? 0 : (_sums[last] - _sums[from]) / occupied;
            }

            double Cost(double p, double q)
            {
                // A tenth of slack for what smoothing moves.
                p /= total;
                q = (q + 1) / inside;
                return p > q ? 0.9 * (p * Math.Log(p / q) - p + q) : 0;
            }
        }
    }
}
