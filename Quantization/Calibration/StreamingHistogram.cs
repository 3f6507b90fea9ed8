using System.Globalization;
using Octet.Kernels.Cpu;
using Octet.Kernels.Reduce;
using Octet.Quantization.Rewriting;

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

    /// <summary>Narrowest bins whose inverse width is a float32.</summary>
    private const int LeastFloatExponent = -126;

    /// <summary>Room for the counters of a pass; zero between calls.</summary>
    [ThreadStatic]
    private static int[]? t_counters;

    private readonly long[] _bins = new long[2 * HalfBins + RangeKernels.ZeroCounts];   // what follows the bins is for the kernel, and zero
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
    public ReadOnlySpan<long> Bins => _bins.AsSpan(0, 2 * HalfBins);

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
        // Exact: a float32 times a power of two fits a float64.
        if (_exponent < LeastFloatExponent)
        {
            foreach (float value in x) _bins[(int)Math.Floor(value * inverse) + HalfBins]++;
            return;
        }
        int first = Math.Min(0, (int)Math.Floor(min * inverse)), last = Math.Max(0, (int)Math.Floor(max * inverse));
        RangeKernels.CountBins(x, (float)inverse, first, last, _bins.AsSpan(HalfBins + first), t_counters ??= new int[RangeKernels.Stripes * 2 * HalfBins + RangeKernels.ZeroCounts], CpuInfo.Detected);
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
        for (int i = 0; i < 2 * HalfBins; i++)
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

    /// <summary>
    /// Sums over the values that a grid keeps within its ends: of their squares, and of what rounding to the grid's step adds, step²/12 each. Bin 0 of either side has no part: its values are zero or become it.
    /// </summary>
    public (double Signal, double Noise) Rounding(GridParameters grid)
    {
        (double least, double greatest) = grid.Ends;
        double width = BinWidth, noise = (double)grid.Scale * grid.Scale / 12;
        (double signal, long count) = (0, 0);
        for (int i = 0; i < 2 * HalfBins; i++)
        {
            if (_bins[i] == 0 || i is HalfBins - 1 or HalfBins) continue;
            double centre = Math.Clamp((i - HalfBins + 0.5) * width, least, greatest);
            signal += _bins[i] * centre * centre;
            count += _bins[i];
        }
        return (signal, count * noise);
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

    /// <summary>Adds neighbours together, from bin 0 outwards on both sides, so that every count is read before its place is written.</summary>
    private void Widen()
    {
        Span<long> above = _bins.AsSpan(HalfBins, HalfBins), below = _bins.AsSpan(0, HalfBins);   // bin −1 is the last of those below
        for (int i = 0; i < HalfBins / 2; i++)
        {
            above[i] = above[2 * i] + above[2 * i + 1];
            below[^(i + 1)] = below[^(2 * i + 1)] + below[^(2 * i + 2)];
        }
        above[(HalfBins / 2)..].Clear();
        below[..(HalfBins / 2)].Clear();
        _exponent++;
    }
}
