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
        long[] bins = _bins;
        foreach (float value in x)
        {
            // Exact: a float32 times a power of two fits a float64.
            bins[(int)Math.Floor(value * inverse) + HalfBins]++;
        }
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
        return first < 0 ? new CollectorState(0, 0, 0) : new CollectorState(Min, Max, Count, 0, _exponent, first - HalfBins, _bins[first..(last + 1)]);
    }

    internal static StreamingHistogram Load(CollectorState state)
    {
        var histogram = new StreamingHistogram();
        if (state.Count == 0 || state.Bins is null) return histogram;
        (histogram.Min, histogram.Max, histogram.Count, histogram._exponent) = (state.Min, state.Max, state.Count, state.Exponent);
        state.Bins.CopyTo(histogram._bins, state.FirstBin + HalfBins);
        return histogram;
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
