using System.Globalization;
using Octet.Runtime;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Calibration;

/// <summary>
/// Entropy calibration with the histogram and the threshold search of Apache MXNet 2, for ranges that match models calibrated there. <see cref="EntropyCollector"/> is what to use otherwise: this
/// search collapses on tensors of few distinct values.
/// </summary>
/// <remarks>
/// <code>
///   first sample   th = max(|min|, |max|); 8001 equal bins over [−th, th]
///   later samples  |x| ≤ th: counted in the same bins
///                  else:     step = 2·th/n; h = ⌊(max|x| − th)/step⌋ + 1; n += 2·h; th += h·step; old counts stay in the centre
///   levels         511 for a tensor without negative values and activations auto or uint8, else 255
///   range          [0, T] or [−T, T]; T from <see cref="MxNetEntropy"/>
/// </code>
/// The first sample decides where the bins lie, so a state can be resumed but two cannot be added up. A first sample of zeros, whose bins have no width there, is counted in the centre bin once another value is seen.
/// </remarks>
public sealed class MxNetEntropyCollector : ResumableCollector
{
    private const int FirstBins = 8001;

    /// <summary>Bins per tensor at most: memory stays bounded, and a search over more takes minutes.</summary>
    private const int MostBins = (1 << 17) + 1;

    private readonly Dictionary<string, Histogram> _histograms = new(StringComparer.Ordinal);
    private readonly ActivationType _type;

    /// <summary>For the default type of activations.</summary>
    public MxNetEntropyCollector() : this(ActivationType.Auto) { }

    /// <summary>For activations of type <paramref name="type"/>.</summary>
    /// <exception cref="ArgumentException">There is no such type.</exception>
    public MxNetEntropyCollector(ActivationType type)
    {
        if (!Enum.IsDefined(type)) throw new ArgumentException($"the type is {type}; rule: one of {string.Join(", ", Enum.GetNames<ActivationType>())}", nameof(type));
        _type = type;
    }

    /// <inheritdoc/>
    public override string Kind => "entropy-mxnet";

    /// <inheritdoc/>
    /// <exception cref="DataException">The tensor holds NaN or infinity, or its values have grown so far beyond the first sample's that the histogram would be too large.</exception>
    public override void Collect(string name, string operatorType, TensorView tensor)
    {
        if (!TryRead(name, tensor, out ReadOnlySpan<float> elements, out CalibrationRange range)) return;
        if (!_histograms.TryGetValue(name, out Histogram? histogram)) _histograms.Add(name, histogram = new Histogram());
        if (!histogram.Add(elements, range))
        {
            throw new DataException(string.Create(CultureInfo.InvariantCulture,
                $"tensor '{name}' has grown from {histogram.FirstThreshold} in its first sample to {range.MaxAbs}; rule: MXNet's histogram has at most {MostBins} bins; calibrate with entropy, whose bins merge"));
        }
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, CalibrationRange> PostCollect()
    {
        KeyValuePair<string, Histogram>[] seen = [.. _histograms];
        var found = new CalibrationRange[seen.Length];
        Parallel.For(0, seen.Length, i =>
        {
            Histogram histogram = seen[i].Value;
            bool positive = histogram.Min >= 0 && _type != ActivationType.Int8;
            float threshold = MxNetEntropy.Find(histogram.Counts(), histogram.Edges(), positive ? 511 : 255).Threshold;
            found[i] = new CalibrationRange(positive ? 0 : -threshold, threshold);
        });
        var ranges = new Dictionary<string, CalibrationRange>(StringComparer.Ordinal);
        for (int i = 0; i < seen.Length; i++) ranges.Add(seen[i].Key, found[i]);
        return ranges;
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, CollectorState> SaveState() => _histograms.ToDictionary(pair => pair.Key, pair => pair.Value.Save(), StringComparer.Ordinal);

    /// <inheritdoc/>
    public override void LoadState(IReadOnlyDictionary<string, CollectorState> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        foreach ((string name, CollectorState value) in state)
        {
            RequireExtremes(name, value);
            if (value.Bins is not { Count: >= FirstBins and <= MostBins } bins || bins.Count % 2 == 0) throw BadState(name, $"it has {value.Bins?.Count ?? 0} bins", $"an odd number of {FirstBins} … {MostBins}");
            if (!(value.Threshold >= new CalibrationRange(value.Min, value.Max).MaxAbs))
                throw BadState(name, string.Create(CultureInfo.InvariantCulture, $"the threshold is {value.Threshold} and the range [{value.Min}, {value.Max}]"), "no value lies beyond the threshold");
            if (bins.Any(bin => bin < 0) || bins.Aggregate(UInt128.Zero, (sum, bin) => sum + (UInt128)bin) != (UInt128)value.Count) throw BadState(name, $"bins do not count {value.Count} values", "no bin is negative and they add up to the count");
        }
        _histograms.Clear();
        foreach ((string name, CollectorState value) in state) _histograms.Add(name, new Histogram(value));
    }

    private sealed class Histogram
    {
        private long[] _bins = [];
        private double _threshold;
        private float[] _edges = [];

        private float _max = float.NegativeInfinity;

        public Histogram() { }

        public Histogram(CollectorState state)
        {
            (Min, _max, _bins, _threshold) = (state.Min, state.Max, [.. state.Bins!], state.Threshold!.Value);
            _edges = MxNetEntropy.EdgesFor(_threshold, _bins.Length);
            FirstThreshold = (float)(_threshold / _bins.Length * FirstBins);   // bins keep their width
        }

        public float Min { get; private set; } = float.PositiveInfinity;

        public float FirstThreshold { get; private set; }

        /// <summary>The counts as float32, in which the search works.</summary>
        public float[] Counts() => [.. _bins.Select(count => (float)count)];

        public float[] Edges() => _edges;

        public CollectorState Save() => new(Min, _max, _bins.Sum()) { Threshold = _threshold, Bins = [.. _bins] };

        public bool Add(ReadOnlySpan<float> x, CalibrationRange range)
        {
            Min = MathF.Min(Min, range.Min);
            _max = MathF.Max(_max, range.Max);
            float largest = range.MaxAbs;
            if (_bins.Length == 0) Start(largest);
            else if (_threshold == 0 && largest > 0)
            {
                long zeros = _bins.Sum();
                Start(largest);
                _bins[_bins.Length / 2] = zeros;
            }
            else if (largest > _threshold && !Grow(largest)) return false;
            foreach (float value in x) _bins[BinOf(value)]++;
            return true;
        }

        private void Start(float threshold)
        {
            FirstThreshold = threshold;
            (_bins, _threshold) = (new long[FirstBins], threshold);
            _edges = MxNetEntropy.EdgesFor(_threshold, _bins.Length);
        }

        private bool Grow(float largest)
        {
            double step = 2 * _threshold / _bins.Length;
            double half = Math.Floor((largest - _threshold) / step) + 1;
            if (2 * half + _bins.Length > MostBins) return false;
            var grown = new long[_bins.Length + 2 * (int)half];
            _bins.CopyTo(grown, (int)half);
            (_bins, _threshold) = (grown, half * step + _threshold);
            _edges = MxNetEntropy.EdgesFor(_threshold, _bins.Length);
            return true;
        }

        /// <summary>The bin between whose edges a value lies; the last bin includes its upper edge.</summary>
        private int BinOf(float value)
        {
            int n = _bins.Length;
            int bin = Math.Clamp((int)((value - (double)_edges[0]) * (n / ((double)_edges[n] - _edges[0]))), 0, n - 1);
            if (value < _edges[bin] && bin > 0) bin--;
            else if (bin < n - 1 && value >= _edges[bin + 1]) bin++;
            return bin;
        }
    }
}
