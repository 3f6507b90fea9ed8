using System.Globalization;
using Octet.Runtime;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Calibration;

/// <summary>Puts a collector through what every collector promises. Call it from a test of your own collector, and expect an empty list.</summary>
/// <remarks>
/// <code>
///   every collector       only included tensors are collected · integers and empty tensors are passed over · NaN and infinity are refused with the tensor's name · ranges are finite
///   resumable collectors  saved and resumed = whole, bit for bit · the state is bounded
///   mergeable collectors  chunked = whole · merged = whole, bit for bit · the other collector of a merge stays as it was · other kinds are refused · the order of samples does not matter,
///                         unless it says so
/// </code>
/// </remarks>
public static class CollectorContract
{
    private const string Name = "conv/1", Other = "pool/2";

    private static readonly float[][] Samples = [.. Enumerable.Range(0, 40).Select(i => Values(i, 50 + i))];

    private static readonly int[] Cuts = [0, 1, 17, Samples.Length];

    /// <summary>Tries every promise.</summary>
    /// <param name="create">Makes a new collector.</param>
    /// <returns>The promises that it broke, one line each; empty where it keeps all.</returns>
    public static IReadOnlyList<string> Check(Func<CalibrationCollector> create)
    {
        ArgumentNullException.ThrowIfNull(create);
        var broken = new List<string>();
        OnlyIncluded(create, broken);
        NotFinite(create, broken);
        FiniteRanges(create, broken);
        if (create() is ResumableCollector)
        {
            Resuming(() => (ResumableCollector)create(), broken);
            Bounded(() => (ResumableCollector)create(), broken);
        }
        if (create() is MergeableCollector)
        {
            MergeableCollector make() => (MergeableCollector)create();
            Whole(make, broken);
            Merging(make, broken);
        }
        return broken;
    }

    private static void OnlyIncluded(Func<CalibrationCollector> create, List<string> broken)
    {
        CalibrationCollector collector = create();
        collector.IncludeLayers = new HashSet<string> { Name };
        See(collector, Name, [1, -2]);
        try
        {
            See(collector, Other, [float.NaN]);
        }
        catch (DataException)
        {
            broken.Add("a tensor that is not included is looked at; rule: IncludeLayers decides");
        }
        collector.Collect(Name, "Conv", new TensorView(Tensor.Create(new long[] { 5 }, 1)));
        collector.Collect(Name, "Conv", new TensorView(new Tensor(DataType.Float32, [0, 4])));
        string[] names = [.. collector.PostCollect().Keys];
        if (names is not [Name]) broken.Add($"ranges for {string.Join(", ", names)}; rule: IncludeLayers decides, here '{Name}' alone");
    }

    private static void NotFinite(Func<CalibrationCollector> create, List<string> broken)
    {
        foreach (float bad in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity })
        {
            // Positions that a vector loop, its remainder and its first element cover.
            foreach (int position in new[] { 0, 5, 32, 68 })
            {
                var values = new float[69];
                values[position] = bad;
                try
                {
                    See(create(), Name, values);
                    broken.Add(string.Create(CultureInfo.InvariantCulture, $"{bad} at {position} is accepted; rule: DataException"));
                }
                catch (DataException e)
                {
                    if (!e.Message.Contains(Name, StringComparison.Ordinal)) broken.Add($"the message '{e.Message}' does not name '{Name}'; rule: the tensor is named");
                }
            }
        }
    }

    private static void FiniteRanges(Func<CalibrationCollector> create, List<string> broken)
    {
        foreach (float[] values in new float[][] { [0], [-0f], [1e-45f], [1e-7f, -1e-7f], [3.4e38f, -3.4e38f], [5, 5, 5], [-5, -4], Values(1, 500) })
        {
            CalibrationCollector collector = create();
            See(collector, Name, values);
            if (!collector.PostCollect().TryGetValue(Name, out CalibrationRange range) || !float.IsFinite(range.Min) || !float.IsFinite(range.Max) || range.Min > range.Max)
                broken.Add(string.Create(CultureInfo.InvariantCulture, $"[{values.Min()}, {values.Max()}] gives {range}; rule: both ends are finite and Min ≤ Max"));
        }
    }

    private static void Resuming(Func<ResumableCollector> create, List<string> broken)
    {
        string whole = Text(Seen(create, Samples));
        foreach (int cut in Cuts)
        {
            ResumableCollector resumed = create();
            See(resumed, "forgotten", [5]);
            using var stream = new MemoryStream();
            Seen(create, Samples[..cut]).Save(stream);
            stream.Position = 0;
            resumed.Load(stream);
            foreach (float[] sample in Samples[cut..]) See(resumed, Name, sample);
            if (Text(resumed) != whole) broken.Add($"saving after {cut} samples and resuming gives another state; rule: resumed equals whole");
        }
    }

    private static void Whole(Func<MergeableCollector> create, List<string> broken)
    {
        float[][] samples = Samples;
        string whole = Text(Seen(create, samples));
        if (!create().DependsOnSampleOrder)
        {
            float[] all = [.. samples.SelectMany(sample => sample)];
            foreach (int chunk in new[] { 1, 7, 64, all.Length })
            {
                if (Text(Seen(create, all.Chunk(chunk))) != whole) broken.Add($"chunks of {chunk} give another state; rule: chunked equals whole");
            }
            float[][] shuffled = [.. samples];
            new Random(9).Shuffle(shuffled);
            if (Text(Seen(create, shuffled)) != whole) broken.Add("another order of the samples gives another state; rule: order does not matter, or DependsOnSampleOrder is true");
        }
        foreach (int cut in Cuts)
        {
            MergeableCollector left = Seen(create, samples[..cut]), right = Seen(create, samples[cut..]);
            string before = Text(right);
            left.Merge(right);
            if (Text(left) != whole) broken.Add($"merging {cut} and {samples.Length - cut} samples gives another state; rule: merged equals whole");
            See(left, Name, [900]);
            if (Text(right) != before) broken.Add("a merge changes the other collector; rule: it stays as it was");
        }
    }

    private static void Merging(Func<MergeableCollector> create, List<string> broken)
    {
        MergeableCollector left = create(), right = create();
        See(left, Name, [1, 2]);
        See(right, Other, [-3, 4]);
        left.Merge(right);
        if (!left.PostCollect().Keys.Order(StringComparer.Ordinal).SequenceEqual([Name, Other])) broken.Add("merging loses a tensor that only one collector saw; rule: all tensors of both");
        try
        {
            create().Merge(new OtherKind());
            broken.Add("a collector of another kind is merged; rule: ArgumentException");
        }
        catch (ArgumentException)
        {
        }
    }

    private static void Bounded(Func<ResumableCollector> create, List<string> broken)
    {
        ResumableCollector collector = create();
        float[] values = Values(5, 64);
        int Size() => collector.SaveState().Values.Sum(state => 1 + (state.Bins?.Count ?? 0) + (state.Samples?.Count ?? 0));
        for (int i = 0; i < 2000; i++) See(collector, Name, values);
        int before = Size();
        for (int i = 0; i < 2000; i++) See(collector, Name, values);
        if (Size() != before) broken.Add($"the state has {before} entries after 2000 samples and {Size()} after 4000; rule: bounded whatever the number of samples");
    }

    /// <summary>Magnitudes over many powers of two, both signs, and zeros of both signs.</summary>
    private static float[] Values(int seed, int count)
    {
        var random = new Random(seed);
        var values = new float[count];
        for (int i = 0; i < count; i++)
        {
            values[i] = random.Next(10) switch
            {
                0 => 0f,
                1 => -0f,
                2 => random.NextSingle() * 1e-30f,
                3 => random.NextSingle() * -500,
                _ => (random.NextSingle() * 2 - 1) * MathF.ScaleB(1, random.Next(-12, 6)),
            };
        }
        return values;
    }

    private static T Seen<T>(Func<T> create, IEnumerable<float[]> samples) where T : CalibrationCollector
    {
        T collector = create();
        foreach (float[] sample in samples) See(collector, Name, sample);
        return collector;
    }

    private static void See(CalibrationCollector collector, string name, float[] values) => collector.Collect(name, "Conv", new TensorView(Tensor.Create(values, values.Length)));

    /// <summary>Every bit of a collector's state and the ranges that follow from it.</summary>
    private static string Text(ResumableCollector collector)
    {
        using var stream = new MemoryStream();
        collector.Save(stream);
        IEnumerable<string> ranges = collector.PostCollect().OrderBy(pair => pair.Key, StringComparer.Ordinal)
            .Select(pair => string.Create(CultureInfo.InvariantCulture, $"{pair.Key} {BitConverter.SingleToInt32Bits(pair.Value.Min):x} {BitConverter.SingleToInt32Bits(pair.Value.Max):x}"));
        return System.Text.Encoding.UTF8.GetString(stream.ToArray()) + string.Join('\n', ranges);
    }

    /// <summary>A kind that no other collector has.</summary>
    private sealed class OtherKind : MergeableCollector
    {
        public override string Kind => "contract/none";

        public override void Collect(string name, string operatorType, TensorView tensor) { }

        public override IReadOnlyDictionary<string, CalibrationRange> PostCollect() => new Dictionary<string, CalibrationRange>();

        public override void Merge(MergeableCollector other) => RequireSameKind(other);

        public override IReadOnlyDictionary<string, CollectorState> SaveState() => new Dictionary<string, CollectorState>();

        public override void LoadState(IReadOnlyDictionary<string, CollectorState> state) { }
    }
}
