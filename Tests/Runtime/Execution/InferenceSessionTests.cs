using Octet.Cli.Demo;
using Octet.Quantization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Execution;

internal sealed class InferenceSessionTests
{
    private static readonly Lazy<Model> Float = new(DemoModel.Load);

    private static readonly Lazy<Model> Int8 = new(() =>
        Quantizer.Quantize(DemoModel.Load(), DemoModel.Samples(8), new QuantizationOptions { Calibration = CalibrationMode.Naive }).Model);

    private static Model Pick(bool int8) => (int8 ? Int8 : Float).Value;

    [Test]
    public void RunAllocatesNothingAfterWarmUp([Values] bool int8, [Values(1, 2)] int threads)
    {
        var session = new InferenceSession(Pick(int8), new SessionOptions { Threads = threads });
        Tensor[] inputs = [DemoModel.Batch(0, 1, ShapeImages.EvaluationSeed)];
        Tensor[] outputs = session.CreateOutputs(inputs);
        // Tiered compilation allocates on this thread's behalf while methods are still being replaced.
        for (int i = 0; i < 60; i++) session.Run(inputs, outputs);
        Thread.Sleep(300);
        session.Run(inputs, outputs);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10; i++) session.Run(inputs, outputs);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    [Test]
    public void ThreadsDoNotChangeResults([Values] bool int8, [Values(1, 7)] int batch)
    {
        Tensor input = DemoModel.Batch(0, batch, ShapeImages.EvaluationSeed);
        float[] one = Run(Pick(int8), input, 1), two = Run(Pick(int8), input, 2), four = Run(Pick(int8), input, 4);
        Assert.That(two, Is.EqualTo(one));
        Assert.That(four, Is.EqualTo(one));
    }

    [Test]
    public void ConcurrentRunsDoNotMeet([Values] bool int8)
    {
        var session = new InferenceSession(Pick(int8), new SessionOptions { Threads = 2 });
        float[][] expected = [.. Enumerable.Range(0, 4).Select(i => Run(Pick(int8), DemoModel.Batch(i, 1, ShapeImages.EvaluationSeed), 1))];
        Parallel.For(0, 4, new ParallelOptions { MaxDegreeOfParallelism = 4 }, i =>
        {
            Tensor[] inputs = [DemoModel.Batch(i, 1, ShapeImages.EvaluationSeed)];
            Tensor[] outputs = session.CreateOutputs(inputs);
            for (int repeat = 0; repeat < 30; repeat++)
            {
                session.Run(inputs, outputs);
                Assert.That(outputs[0].Span<float>().ToArray(), Is.EqualTo(expected[i]));
            }
        });
    }

    [Test]
    public void AnyInstructionSetGivesTheSameIntegers([Values("scalar", "sse41", "avx2", "avxvnni", "avx512", "avx512vnni")] string isa)
    {
        Octet.Kernels.Cpu.CpuFeatures cpu = Octet.Kernels.Cpu.CpuInfo.Cap(Octet.Kernels.Cpu.CpuInfo.Detected, isa);
        Tensor input = DemoModel.Batch(3, 2, ShapeImages.EvaluationSeed);
        Dictionary<string, byte[]> here = Integers(cpu), scalar = Integers(Octet.Kernels.Cpu.CpuFeatures.None);
        Assert.That(scalar, Is.Not.Empty);
        Assert.That(here.Keys, Is.EquivalentTo(scalar.Keys));
        foreach ((string name, byte[] bytes) in scalar) Assert.That(here[name], Is.EqualTo(bytes), name);

        Dictionary<string, byte[]> Integers(Octet.Kernels.Cpu.CpuFeatures features)
        {
            var session = new InferenceSession(Int8.Value, new SessionOptions { Threads = 1, Cpu = features });
            var seen = new Dictionary<string, byte[]>();
            using (session.RegisterOpHook((in OpEvent e) =>
            {
                if (e.Tensor.Type is DataType.UInt8 or DataType.Int8) seen[e.ValueName] = e.Tensor.ToTensor().Bytes.ToArray();
            }))
            {
                session.Run(new Dictionary<string, Tensor> { ["image"] = input });
            }
            return seen;
        }
    }

    [Test]
    public void BatchMayChangeBetweenRuns()
    {
        var session = new InferenceSession(Float.Value);
        Tensor seven = DemoModel.Batch(0, 7, ShapeImages.EvaluationSeed);
        float[] together = session.Run(new Dictionary<string, Tensor> { ["image"] = seven })["logits"].Span<float>().ToArray();
        for (int i = 0; i < 7; i++)
        {
            float[] alone = session.Run(new Dictionary<string, Tensor> { ["image"] = DemoModel.Batch(i, 1, ShapeImages.EvaluationSeed) })["logits"].Span<float>().ToArray();
            Assert.That(alone, Is.EqualTo(together[(i * 10)..((i + 1) * 10)]).Within(1e-4f));
        }
    }

    [Test]
    public void HooksSeeEveryOperatorWithTheModelsNamesAndShapes()
    {
        var session = new InferenceSession(Float.Value);
        var outputs = new List<string>();
        var inputs = new List<string>();
        using (session.RegisterOpHook((in OpEvent e) => (e.IsInput ? inputs : outputs).Add($"{e.ValueName} {Tensor.Format(e.Tensor.Shape)}"), monitorAll: true))
        {
            session.Run(new Dictionary<string, Tensor> { ["image"] = DemoModel.Batch(0, 1, ShapeImages.EvaluationSeed) });
        }
        int seen = outputs.Count;
        session.Run(new Dictionary<string, Tensor> { ["image"] = DemoModel.Batch(0, 1, ShapeImages.EvaluationSeed) });
        Assert.That(outputs, Has.Count.EqualTo(seen), "a hook that was taken away is not called");
        Assert.That(outputs, Does.Contain("logits [1,10]"));
        Assert.That(inputs.Any(text => text.StartsWith("image [1,3,32,32]", StringComparison.Ordinal)), string.Join(", ", inputs));
    }

    [Test]
    public void KeptValuesCarryTheSameNumbersFusedAndUnfused()
    {
        // Every float activation of the unfused graph must be visible, and equal, when it is asked for in the fused one.
        Tensor input = DemoModel.Batch(5, 1, ShapeImages.EvaluationSeed);
        Dictionary<string, Tensor> plain = Watch(new SessionOptions { Fuse = false, ChannelsLast = false });
        HashSet<string> names = [.. Float.Value.Graph.Nodes.Where(node => node.OperatorType is "Relu" or "Add" or "Concat" or "Clip").Select(node => node.Output.Name)];
        Dictionary<string, Tensor> kept = Watch(new SessionOptions { KeepValues = names });
        Assert.That(names, Is.Not.Empty);
        foreach (string name in names)
        {
            Assert.That(kept.ContainsKey(name), $"'{name}' is not visible");
            Assert.That(kept[name].Shape.ToArray(), Is.EqualTo(plain[name].Shape.ToArray()), name);
            Assert.That(kept[name].Span<float>().ToArray(), Is.EqualTo(plain[name].Span<float>().ToArray()).Within(1e-3f), name);
        }

        Dictionary<string, Tensor> Watch(SessionOptions options)
        {
            var session = new InferenceSession(Float.Value, options);
            var seen = new Dictionary<string, Tensor>();
            using (session.RegisterOpHook((in OpEvent e) => seen[e.ValueName] = e.Tensor.ToTensor()))
                session.Run(new Dictionary<string, Tensor> { ["image"] = input });
            return seen;
        }
    }

    [Test]
    public void WrongInputsAreNamed()
    {
        var session = new InferenceSession(Float.Value);
        Assert.Multiple(() =>
        {
            Assert.That(() => session.Run(new Dictionary<string, Tensor>()), Throws.TypeOf<DataException>().With.Message.Contains("'image'").And.Message.Contains("rule:"));
            Assert.That(() => session.Run(new Dictionary<string, Tensor> { ["picture"] = DemoModel.Batch(0, 1, 1) }), Throws.TypeOf<DataException>().With.Message.Contains("'picture'"));
            Assert.That(() => session.Run(new Dictionary<string, Tensor> { ["image"] = new(DataType.Float32, [1, 3, 32, 31]) }), Throws.TypeOf<DataException>().With.Message.Contains("[1,3,32,31]"));
            Assert.That(() => session.Run(new Dictionary<string, Tensor> { ["image"] = new(DataType.UInt8, [1, 3, 32, 32]) }), Throws.TypeOf<DataException>().With.Message.Contains("uint8"));
            Assert.That(() => session.Run([], []), Throws.TypeOf<DataException>().With.Message.Contains("1"));
            Assert.That(() => session.Run([DemoModel.Batch(0, 1, 1)], [new Tensor(DataType.Float32, [1, 9])]), Throws.TypeOf<DataException>().With.Message.Contains("[1,9]"));
            Assert.That(() => new InferenceSession(Float.Value, new SessionOptions { Threads = 0 }), Throws.ArgumentException);
        });
    }

    [Test]
    public void CancellationEndsARun()
    {
        var session = new InferenceSession(Float.Value);
        Assert.That(() => session.Run(new Dictionary<string, Tensor> { ["image"] = DemoModel.Batch(0, 1, 1) }, new CancellationToken(canceled: true)), Throws.InstanceOf<OperationCanceledException>());
    }

    [Test]
    public void UnknownOperatorsAreRefusedByName()
    {
        var graph = new Graph("g", new OpsetImports(17));
        var editor = new GraphEditor(graph);
        Value x = editor.AddInput("x", new TensorType(DataType.Float32, 1));
        editor.AddOutput(editor.Add("Frobnicate", [x], name: "strange"), "y");
        Assert.That(() => new InferenceSession(new Model(graph)), Throws.TypeOf<UnsupportedModelException>().With.Message.Contains("Frobnicate").And.Message.Contains("'strange'"));
    }

    [Test]
    public void ProfileCoversEveryStep()
    {
        var session = new InferenceSession(Float.Value, new SessionOptions { Threads = 1 });
        SessionProfile profile = session.Profile([DemoModel.Batch(0, 1, 1)], runs: 3);
        Assert.That(profile.Operators, Is.Not.Empty);
        Assert.That(profile.Operators.Sum(op => op.MultiplyAccumulates), Is.GreaterThan(1_000_000));
        Assert.That(profile.Operators.Where(op => op.MultiplyAccumulates > 0).Select(op => op.Kernel), Is.All.Not.Empty);
    }

    private static float[] Run(Model model, Tensor input, int threads) =>
        new InferenceSession(model, new SessionOptions { Threads = threads }).Run(new Dictionary<string, Tensor> { ["image"] = input })["logits"].Span<float>().ToArray();
}
