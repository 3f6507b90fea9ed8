using System.Globalization;
using Octet.Quantization.Calibration;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Quantization;

/// <summary>Every collector keeps the contract, and the contract notices those that do not. A new collector is one more line of <see cref="Collectors"/>.</summary>
internal sealed class CollectorContractTests
{
    private static IEnumerable<TestCaseData> Collectors() =>
    [
        Case(() => new MinMaxCollector()),
        Case(() => new EntropyCollector()),
        Case(() => new PercentileCollector()),
        Case(() => new PercentileCollector(50), " at 50"),
        Case(() => new MeanSquaredErrorCollector()),
        Case(() => new MeanSquaredErrorCollector(Octet.Quantization.ActivationType.UInt8), " of uint8"),
        Case(() => new MovingAverageCollector()),
        Case(() => new MovingAverageCollector(1), " of the latest"),
        Case(() => new MxNetEntropyCollector()),
        Case(() => new BertLayerCollector(-50, 10)),
    ];

    [TestCaseSource(nameof(Collectors))]
    public void KeepsTheContract(Func<CalibrationCollector> create) => Assert.That(CollectorContract.Check(create), Is.Empty);

    [Test]
    public void HistogramsShareTheirState()
    {
        var entropy = new EntropyCollector();
        See(entropy, "x", [.. Enumerable.Range(-900, 2000).Select(i => i * i * 1e-3f)]);
        using var file = new MemoryStream();
        entropy.Save(file);
        foreach (HistogramCollector other in new HistogramCollector[] { new PercentileCollector(), new MeanSquaredErrorCollector() })
        {
            file.Position = 0;
            other.Load(file);
            using var again = new MemoryStream();
            other.Save(again);
            Assert.That(again.ToArray(), Is.EqualTo(file.ToArray()));
        }
    }

    [Test]
    public void CollectingWithinTheSeenRangeAllocatesAtMostARecord([Values(0, 1, 2)] int kind)
    {
        var random = new Random(6);
        float[] values = [.. Enumerable.Range(0, 4096).Select(_ => random.NextSingle() * 2 - 1)];
        var tensor = Tensor.Create(values, values.Length);
        CalibrationCollector collector = kind switch { 0 => new MinMaxCollector(), 1 => new EntropyCollector(), _ => new PercentileCollector() };
        for (int i = 0; i < 3; i++) collector.Collect("conv1", "Conv", new TensorView(tensor));
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10; i++) collector.Collect("conv1", "Conv", new TensorView(tensor));
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThanOrEqualTo(10 * 128));
    }

    [Test]
    public void ACollectorIsNotMergedIntoItself() =>
        Assert.That(Assert.Throws<ArgumentException>(() => { var c = new MinMaxCollector(); c.Merge(c); })!.Message, Does.Contain("into itself"));

    [TestCase(typeof(SeesEverything), "IncludeLayers decides")]
    [TestCase(typeof(SwallowsNaN), "rule: DataException")]
    [TestCase(typeof(CountsChunks), "chunked equals whole")]
    [TestCase(typeof(LosesTensors), "all tensors of both")]
    [TestCase(typeof(GrowsForever), "bounded whatever the number of samples")]
    [TestCase(typeof(TakesTheLatest), "order does not matter")]
    public void ABrokenPromiseIsReported(Type collector, string promise) =>
        Assert.That(CollectorContract.Check(() => (CalibrationCollector)Activator.CreateInstance(collector)!), Has.Some.Contains(promise));

    private static TestCaseData Case<T>(Func<T> create, string also = "") where T : CalibrationCollector =>
        new TestCaseData((Func<CalibrationCollector>)create).SetArgDisplayNames(typeof(T).Name + also);

    private static void See(CalibrationCollector collector, string name, float[] values) => collector.Collect(name, "Conv", new TensorView(Tensor.Create(values, values.Length)));

    /// <summary>A mergeable collector of extremes whose parts can be broken one by one.</summary>
    private abstract class Broken : MergeableCollector
    {
        protected Dictionary<string, CollectorState> Seen { get; } = [];

        public override string Kind => GetType().Name;

        public override void Collect(string name, string operatorType, TensorView tensor)
        {
            if (TryRead(name, tensor, out ReadOnlySpan<float> elements, out CalibrationRange range)) Add(name, new CollectorState(range.Min, range.Max, elements.Length));
        }

        public override IReadOnlyDictionary<string, CalibrationRange> PostCollect() => Seen.ToDictionary(pair => pair.Key, pair => new CalibrationRange(pair.Value.Min, pair.Value.Max));

        public override void Merge(MergeableCollector other)
        {
            RequireSameKind(other);
            foreach ((string name, CollectorState state) in other.SaveState()) Add(name, state);
        }

        public override IReadOnlyDictionary<string, CollectorState> SaveState() => new Dictionary<string, CollectorState>(Seen);

        public override void LoadState(IReadOnlyDictionary<string, CollectorState> state)
        {
            Seen.Clear();
            foreach ((string name, CollectorState value) in state) Seen.Add(name, value);
        }

        protected virtual void Add(string name, CollectorState state) => Seen[name] = Seen.TryGetValue(name, out CollectorState? seen)
            ? seen with { Min = MathF.Min(seen.Min, state.Min), Max = MathF.Max(seen.Max, state.Max), Count = seen.Count + state.Count } : state;
    }

    private sealed class SeesEverything : Broken
    {
        public override void Collect(string name, string operatorType, TensorView tensor)
        {
            if (tensor.Type != DataType.Float32 || tensor.Length == 0) return;
            (float min, float max) = Extremes.Of(tensor.Elements<float>());
            if (!float.IsFinite(min) || !float.IsFinite(max)) throw NotFinite(name, min);
            Add(name, new CollectorState(min, max, tensor.Length));
        }
    }

    private sealed class SwallowsNaN : Broken
    {
        public override void Collect(string name, string operatorType, TensorView tensor)
        {
            if (!Includes(name) || tensor.Type != DataType.Float32 || tensor.Length == 0) return;
            float[] finite = [.. tensor.Elements<float>().ToArray().Where(float.IsFinite).DefaultIfEmpty()];
            Add(name, new CollectorState(finite.Min(), finite.Max(), tensor.Length));
        }
    }

    private sealed class CountsChunks : Broken
    {
        protected override void Add(string name, CollectorState state) => base.Add(name, state with { Count = 1 });
    }

    private sealed class LosesTensors : Broken
    {
        public override void Merge(MergeableCollector other)
        {
            RequireSameKind(other);
            foreach ((string name, CollectorState state) in other.SaveState())
            {
                if (Seen.ContainsKey(name)) Add(name, state);
            }
        }
    }

    private sealed class GrowsForever : Broken
    {
        protected override void Add(string name, CollectorState state)
        {
            IReadOnlyList<CalibrationRange> before = Seen.GetValueOrDefault(name)?.Samples ?? [];
            base.Add(name, state);
            Seen[name] = Seen[name] with { Samples = [.. before, new CalibrationRange(state.Min, state.Max)] };
        }
    }

    private sealed class TakesTheLatest : Broken
    {
        protected override void Add(string name, CollectorState state) => Seen[name] = state with { Count = state.Count + (Seen.GetValueOrDefault(name)?.Count ?? 0) };
    }
}
