using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Octet.Quantization.Calibration;

/// <summary>
/// Counts of values in bins of width 2^e, bin i covering [i, i + 1) · 2^e for i of either sign. When a value falls outside the bins that memory allows, e grows by one
/// and neighbouring bins are added together, which is what counting with the wider bins from the start would have given. So the result depends on the values only, not on their
/// order or on how they were cut into chunks, and merging is exact.
/// </summary>
/// <remarks><c>floor(floor(x / 2^e) / 2) = floor(x / 2^(e+1))</c>, and scaling by a power of two is exact in float32.</remarks>
internal sealed class StreamingHistogram
{
    /// <summary>Bins on each side of zero. A tensor's greatest magnitude lies in the upper half of them.</summary>
    public const int HalfBins = 4096;

    /// <summary>Narrowest bins: values below 2^−140·4096 share a few bins, which no float32 model notices.</summary>
    private const int LeastExponent = -140;

    /// <summary>Widest bins: the greatest float32 lies within bin HalfBins − 1.</summary>
    private const int GreatestExponent = 128 - 12;

    /// <summary>Below this many values, adding four arrays up costs more than it saves.</summary>
    private const int FewestVectorized = 2048;

    /// <summary>Four sets of counts, zero between calls.</summary>
    [ThreadStatic]
    private static int[]? t_counts;

    private long[] _bins = new long[2 * HalfBins];
    private int _exponent = LeastExponent;

    /// <summary>Least value seen; +∞ before the first.</summary>
    public float Min { get; private set; } = float.PositiveInfinity;

    /// <summary>Greatest value seen; −∞ before the first.</summary>
    public float Max { get; private set; } = float.NegativeInfinity;

    /// <summary>Values seen.</summary>
    public long Count { get; private set; }

    /// <summary>Bins are 2^Exponent wide.</summary>
    public int Exponent => _exponent;

    /// <summary>Width of a bin.</summary>
    public double BinWidth => Math.ScaleB(1.0, _exponent);

    /// <summary>Counts; entry i is bin i − <see cref="HalfBins"/>.</summary>
    public ReadOnlySpan<long> Bins => _bins;

    /// <summary>Counts finite values.</summary>
    /// <param name="x">The values.</param>
    /// <param name="min">The least of them.</param>
    /// <param name="max">The greatest of them.</param>
    public void Add(ReadOnlySpan<float> x, float min, float max)
    {
        if (x.Length == 0) return;
        Min = MathF.Min(Min, min);
        Max = MathF.Max(Max, max);
        Count += x.Length;
        WidenFor(MathF.Max(MathF.Abs(min), MathF.Abs(max)));
        double inverse = Math.ScaleB(1.0, -_exponent);
        if (_exponent >= -126) x = x[AddVectors(x, (float)inverse, (int)Math.Floor(min * inverse) + HalfBins, (int)Math.Floor(max * inverse) + HalfBins)..];
        // Exact: a float32 times a power of two fits a float64.
        foreach (float value in x) _bins[(int)Math.Floor(value * inverse) + HalfBins]++;
    }

    /// <summary>Counts whole vectors.</summary>
    /// <returns>How many values were counted.</returns>
    private int AddVectors(ReadOnlySpan<float> x, float inverse, int least, int greatest)
    {
        int width = Vector<float>.Count;
        int whole = x.Length / (2 * width) * (2 * width);
        if (whole < FewestVectorized) return 0;
        // Neighbouring values are counted in different arrays: after a ReLU most are equal, and incrementing one place over and over waits for the store before. int fits, and is half the cache.
        int[] a = t_counts ??= new int[8 * HalfBins];
        Span<int> first = a.AsSpan(0, 2 * HalfBins), second = a.AsSpan(2 * HalfBins, 2 * HalfBins), third = a.AsSpan(4 * HalfBins, 2 * HalfBins), fourth = a.AsSpan(6 * HalfBins, 2 * HalfBins);
        Span<int> bins = stackalloc int[2 * Vector<int>.Count];
        Vector<float> scale = new(inverse);
        Vector<int> half = new(HalfBins);
        for (int at = 0; at < whole; at += 2 * width)
        {
            BinsOf(new Vector<float>(x.Slice(at, width)), scale, half).CopyTo(bins);
            BinsOf(new Vector<float>(x.Slice(at + width, width)), scale, half).CopyTo(bins[width..]);
            for (int i = 0; i + 3 < bins.Length; i += 4)
            {
                first[bins[i]]++;
                second[bins[i + 1]]++;
                third[bins[i + 2]]++;
                fourth[bins[i + 3]]++;
            }
        }
        for (int i = least; i <= greatest; i++)
        {
            _bins[i] += (long)first[i] + second[i] + third[i] + fourth[i];
            first[i] = second[i] = third[i] = fourth[i] = 0;
        }
        return whole;
    }

    /// <summary>Positions in <see cref="Bins"/> of the bins of several values.</summary>
    private static Vector<int> BinsOf(Vector<float> values, Vector<float> scale, Vector<int> half)
    {
        // A product with a power of two is exact in float32, except that one below the least subnormal becomes a zero: of a negative value, the bin is −1.
        Vector<float> scaled = values * scale;
        return Vector.ConvertToInt32(Vector.Floor(scaled)) + half + (Vector.LessThan(values, Vector<float>.Zero) & Vector.Equals(scaled, Vector<float>.Zero));
    }

    /// <summary>Adds the counts of another histogram.</summary>
    public void Add(StreamingHistogram other)
    {
        if (other.Count == 0) return;
        Min = MathF.Min(Min, other.Min);
        Max = MathF.Max(Max, other.Max);
        Count += other.Count;
        while (_exponent < other._exponent) Widen();
        int shift = _exponent - other._exponent;
        for (int i = 0; i < other._bins.Length; i++)
        {
            if (other._bins[i] != 0) _bins[((i - HalfBins) >> Math.Min(shift, 31)) + HalfBins] += other._bins[i];
        }
    }

    /// <summary>Counts by magnitude: entry i covers [i, i + 1) · 2^e of |x|.</summary>
    public long[] Magnitudes()
    {
        var result = new long[HalfBins];
        for (int i = 0; i < HalfBins; i++) result[i] = _bins[HalfBins + i] + _bins[HalfBins - 1 - i];
        return result;
    }

    internal CollectorState Save()
    {
        int first = Array.FindIndex(_bins, count => count != 0), last = Array.FindLastIndex(_bins, count => count != 0);
        return new CollectorState(Min, Max, Count) { Exponent = _exponent, FirstBin = first - HalfBins, Bins = _bins[first..(last + 1)] };
    }

    /// <summary>A histogram from a state whose extremes and count were checked.</summary>
    /// <returns>What is wrong with the state; null where nothing is.</returns>
    internal static (string Facts, string Rule)? TryLoad(CollectorState state, out StreamingHistogram? histogram)
    {
        histogram = null;
        if (state.Exponent is < LeastExponent or > GreatestExponent) return ($"bins are 2^{state.Exponent} wide", $"{LeastExponent} ≤ exponent ≤ {GreatestExponent}");
        if (state.Bins is not { Count: > 0 and <= 2 * HalfBins } bins) return ($"it has {state.Bins?.Count ?? 0} bins", $"1 … {2 * HalfBins}");
        if (state.FirstBin < -HalfBins || state.FirstBin > HalfBins - bins.Count) return ($"bins {state.FirstBin} … {(long)state.FirstBin + bins.Count - 1}", $"bins lie in {-HalfBins} … {HalfBins - 1}");
        long left = state.Count;
        foreach (long count in bins)
        {
            if (count < 0 || count > left) return (count < 0 ? $"a bin counts {count}" : $"bins count more than {state.Count}", "no bin is negative and they add up to the count");
            left -= count;
        }
        if (left != 0) return ($"bins count {state.Count - left} of {state.Count}", "they add up to the count");
        var made = new StreamingHistogram { Min = state.Min, Max = state.Max, Count = state.Count, _exponent = state.Exponent };
        double inverse = Math.ScaleB(1.0, -state.Exponent);
        if (bins[0] == 0 || bins[^1] == 0 || Math.Floor(state.Min * inverse) != state.FirstBin || Math.Floor(state.Max * inverse) != state.FirstBin + bins.Count - 1)
            return ($"bins {state.FirstBin} … {state.FirstBin + bins.Count - 1} of width 2^{state.Exponent} for values in [{state.Min.ToString(CultureInfo.InvariantCulture)}, {state.Max.ToString(CultureInfo.InvariantCulture)}]", "the first bin holds the least value and the last the greatest");
        for (int i = 0; i < bins.Count; i++) made._bins[state.FirstBin + HalfBins + i] = bins[i];
        histogram = made;
        return null;
    }

    private void WidenFor(float magnitude)
    {
        // −HalfBins is a bin and +HalfBins is none, so the magnitude itself must stay below HalfBins bins.
        while (magnitude >= Math.ScaleB((double)HalfBins, _exponent))
        {
            int steps = Count == 0 || _exponent == LeastExponent ? Math.Max(1, Math.ILogB(magnitude) - Math.ILogB(HalfBins) + 1 - _exponent) : 1;
            if (steps > 1 && IsEmpty()) _exponent += steps;
            else Widen();
        }
    }

    private bool IsEmpty() => !_bins.AsSpan().ContainsAnyExcept(0L);

    private void Widen()
    {
        var wider = new long[_bins.Length];
        for (int i = 0; i < _bins.Length; i++)
        {
            if (_bins[i] != 0) wider[((i - HalfBins) >> 1) + HalfBins] += _bins[i];
        }
        _bins = wider;
        _exponent++;
    }
}
