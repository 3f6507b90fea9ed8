using System.Globalization;
using Octet.Quantization.Calibration;
using Octet.Runtime;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Quantization;

/// <summary>What every mergeable collector promises: its state depends on the values seen and on nothing else. A new collector is one more line here.</summary>
[TestFixture(typeof(MinMaxCollector))]
[TestFixture(typeof(EntropyCollector))]
internal sealed class CollectorContractTests<T> where T : MergeableCollector, new()
{
    private const string Name = "conv1";

    [Test]
    public void ChunksGiveTheStateOfTheWhole([Values(1, 7, 64, 999)] int chunk)
    {
        float[] values = Values(1, 4000);
        T whole = Seen(values), parts = new();
        for (int i = 0; i < values.Length; i += chunk) Collect(parts, Name, values[i..Math.Min(values.Length, i + chunk)]);
        Assert.That(Text(parts), Is.EqualTo(Text(whole)));
        Assert.That(parts.PostCollect(), Is.EqualTo(whole.PostCollect()));
    }

    [Test]
    public void MergedGivesTheStateOfTheWhole([Values(0, 1, 1300, 2999, 3000)] int cut, [Values] bool largeFirst)
    {
        float[] values = Values(2, 3000);
        Array.Sort(values, (x, y) => MathF.Abs(x).CompareTo(MathF.Abs(y)));
        if (largeFirst) Array.Reverse(values);
        T whole = Seen(values), left = Seen(values[..cut]), right = Seen(values[cut..]);
        left.Merge(right);
        Assert.That(Text(left), Is.EqualTo(Text(whole)));
    }

    [Test]
    public void MergeKeepsTensorsThatOnlyOneSaw()
    {
        T left = new(), right = new();
        Collect(left, "a", [1, 2]);
        Collect(right, "b", [-3, 4]);
        left.Merge(right);
        IReadOnlyDictionary<string, CalibrationRange> ranges = left.PostCollect();
        Assert.That(ranges["a"], Is.EqualTo(new CalibrationRange(1, 2)));
        Assert.That(ranges["b"], Is.EqualTo(new CalibrationRange(-3, 4)));
    }

    [Test]
    public void AfterAMergeTheOtherCollectorIsAsBeforeAndIndependent()
    {
        T left = Seen([1, 2]), right = new();
        Collect(right, "b", [-3, 4]);
        string before = Text(right);
        left.Merge(right);
        Collect(left, "b", [900]);
        Assert.That(Text(right), Is.EqualTo(before));
    }

    [Test]
    public void OrderOfSamplesDoesNotMatter()
    {
        float[] values = Values(3, 2000);
        var shuffled = (float[])values.Clone();
        new Random(9).Shuffle(shuffled);
        Assert.That(Text(Seen(shuffled)), Is.EqualTo(Text(Seen(values))));
    }

    [Test]
    public void AStoredStateContinuesWhereItWasStored()
    {
        float[] values = Values(4, 2000);
        T first = Seen(values[..1200]), second = new();
        Collect(second, "forgotten", [5]);
        second.LoadState(first.SaveState());
        Assert.That(Text(second), Is.EqualTo(Text(first)));
        Collect(second, Name, values[1200..]);
        Assert.That(Text(second), Is.EqualTo(Text(Seen(values))));
    }

    [Test]
    public void ValuesThatAreNotFiniteAreRefusedWithTheTensorsName([Values(float.NaN, float.PositiveInfinity, float.NegativeInfinity)] float bad, [Values(0, 5, 32, 68)] int position)
    {
        var values = new float[69];
        values[position] = bad;
        DataException error = Assert.Throws<DataException>(() => Collect(new T(), "pool/7", values))!;
        Assert.That(error.Message, Does.Contain("'pool/7'").And.Contain(bad.ToString(CultureInfo.InvariantCulture)).And.Contain("rule:"));
    }

    [Test]
    public void OnlyIncludedTensorsAreCollected()
    {
        var collector = new T { IncludeLayers = new HashSet<string> { "a" } };
        Collect(collector, "a", [1]);
        Collect(collector, "b", [float.NaN]);
        Assert.That(collector.PostCollect().Keys, Is.EqualTo(new[] { "a" }));
    }

    [Test]
    public void StateDoesNotGrowWithSamples()
    {
        float[] values = Values(5, 2048);
        var collector = new T();
        int StateSize() => collector.SaveState().Values.Sum(state => 1 + (state.Bins?.Length ?? 0));
        for (int i = 0; i < 20; i++) Collect(collector, Name, values);
        int before = StateSize();
        for (int i = 0; i < 500; i++) Collect(collector, Name, values);
        Assert.That(StateSize(), Is.EqualTo(before));
        Assert.That(before, Is.LessThanOrEqualTo(1 + 2 * StreamingHistogram.HalfBins));
    }

    [Test]
    public void CollectingWithinTheSeenRangeAllocatesAtMostARecord()
    {
        float[] values = Values(6, 4096);
        var tensor = Tensor.Create(values, values.Length);
        var collector = new T();
        for (int i = 0; i < 3; i++) collector.Collect(Name, "Conv", new TensorView(tensor));
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10; i++) collector.Collect(Name, "Conv", new TensorView(tensor));
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThanOrEqualTo(10 * 128));
    }

    [Test]
    public void AnotherKindIsNotMerged()
    {
        MergeableCollector other = typeof(T) == typeof(MinMaxCollector) ? new EntropyCollector() : new MinMaxCollector();
        ArgumentException error = Assert.Throws<ArgumentException>(() => new T().Merge(other))!;
        Assert.That(error.Message, Does.Contain(other.Kind).And.Contain(new T().Kind));
    }

    /// <summary>Magnitudes over many powers of two, both signs, and zeros of both signs.</summary>
    private static float[] Values(int seed, int count)
    {
        var random = new Random(seed);
        var values = new float[count];
        for (int i = 0; i < count; i++)
            values[i] = random.Next(10) switch { 0 => 0f, 1 => -0f, 2 => random.NextSingle() * 1e-30f, 3 => random.NextSingle() * -500, _ => (random.NextSingle() * 2 - 1) * MathF.ScaleB(1, random.Next(-12, 6)) };
        return values;
    }

    private static T Seen(float[] values)
    {
        var collector = new T();
        Collect(collector, Name, values);
        return collector;
    }

    private static void Collect(T collector, string name, float[] values) => collector.Collect(name, "Conv", new TensorView(Tensor.Create(values, values.Length)));

    /// <summary>Every bit of a collector's state.</summary>
    private static string Text(T collector) => string.Join('\n', collector.SaveState().OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair =>
        string.Create(CultureInfo.InvariantCulture,
            $"{pair.Key} {BitConverter.SingleToInt32Bits(pair.Value.Min):x} {BitConverter.SingleToInt32Bits(pair.Value.Max):x} {pair.Value.Count} {pair.Value.Sum:r} {pair.Value.Exponent} {pair.Value.FirstBin} [{string.Join(',', pair.Value.Bins ?? [])}]")));
}
