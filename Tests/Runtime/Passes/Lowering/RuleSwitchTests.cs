using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Passes;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes;

/// <summary>Every rule of the lowering does something, has a name of its own, and can be switched off without changing what a model means.</summary>
internal sealed class RuleSwitchTests
{
    private static readonly DataType[] ByteTypes = [DataType.UInt8, DataType.Int8];

    private static IEnumerable<string> Names() => Octet.Runtime.Passes.Lowering.Rules.Select(rule => rule.Name);

    [Test]
    public void NamesAreUnique() => Assert.That(Names(), Is.Unique);

    [TestCaseSource(nameof(Names))]
    public void ARuleAppliesAndCanBeSwitchedOff(string rule)
    {
        int applied = 0;
        foreach (LoweringCases.Case test in LoweringCases.All)
        {
            foreach (DataType type in ByteTypes)
            {
                QuantizedGraph graph = test.Create(type);
                if (!graph.Lower().Report.Applied.Any(entry => entry.Rule == rule)) continue;
                applied++;
                Tensor[] expected = graph.Simulate(), actual = graph.RunLowered(out _, out LoweringReport report, rule);
                Assert.That(report.Applied.Select(entry => entry.Rule), Has.None.EqualTo(rule), $"{test} {type}");
                CheckOneStep(actual, expected, $"{test} {type} without {rule}");
            }
        }
        Assert.That(applied, Is.GreaterThan(0), "no case needs the rule");
    }

    [Test]
    public void EveryNodeOfEveryCaseIsExplained([ValueSource(typeof(LoweringCases), nameof(LoweringCases.All))] LoweringCases.Case test, [ValueSource(nameof(ByteTypes))] DataType type)
    {
        QuantizedGraph graph = test.Create(type);
        foreach (NodeExplanation line in graph.Lower().Report.Explanations)
            Assert.That(line.Rules.Count > 0 || line.Reason.Length > 0, $"{line.OperatorType} '{line.Node}'");

        var session = new InferenceSession(new Octet.Runtime.Model(graph.Graph));
        Tensor[] inputs = [.. graph.Graph.Inputs.Select(input => graph.InputTensor(input.Name))];
        IReadOnlyList<OperatorExplanation> lines = session.Explain(inputs);
        Assert.That(lines, Is.Not.Empty);
        foreach (OperatorExplanation line in lines) Assert.That(line.Rules.Count > 0 || line.Reason.Length > 0, $"{line.OperatorType} '{line.Node}'");
        string[] origins = [.. graph.Graph.Nodes.Where(node => node.OperatorType is "Conv" or "Gemm" or "MatMul" or "ConvTranspose").Select(node => node.Name)];
        foreach (string origin in origins) Assert.That(lines.Single(line => line.Origins.Contains(origin)).Arithmetic, Does.StartWith("int8"), origin);
    }

    [Test]
    public void KeptValuesAreSeenWithTheirNumbers([ValueSource(typeof(LoweringCases), nameof(LoweringCases.All))] LoweringCases.Case test, [ValueSource(nameof(ByteTypes))] DataType type)
    {
        QuantizedGraph graph = test.Create(type);
        var model = new Octet.Runtime.Model(graph.Graph);
        Tensor[] inputs = [.. graph.Graph.Inputs.Select(input => graph.InputTensor(input.Name))];
        // Constants that are quantized or turned in the graph fold away before anything is kept.
        HashSet<string> names = [.. graph.Graph.Nodes.Where(node => node.Inputs.Any(input => input is { IsConstant: false } && !DependsOnConstantsOnly(input))).SelectMany(node => node.Outputs.OfType<Value>()).Select(value => value.Name)];
        Dictionary<string, Tensor> plain = Watch(new SessionOptions { Lower = false, Fuse = false, ChannelsLast = false }), kept = Watch(new SessionOptions { KeepValues = names });
        foreach (string name in names)
        {
            if (!plain.TryGetValue(name, out Tensor? expected)) continue;
            Assert.That(kept.ContainsKey(name), $"'{name}' is not visible");
            Tensor actual = kept[name];
            Assert.That(actual.Shape.ToArray(), Is.EqualTo(expected.Shape.ToArray()), name);
            Assert.That(actual.Type, Is.EqualTo(expected.Type), name);
            if (!expected.Type.IsFloat()) CheckOneStep([actual], [expected], name);
        }
        Assert.That(new InferenceSession(model, new SessionOptions { KeepValues = names }).Outputs.Select(output => output.Name), Is.EqualTo(new InferenceSession(model).Outputs.Select(output => output.Name)));

        Dictionary<string, Tensor> Watch(SessionOptions options)
        {
            var session = new InferenceSession(model, options);
            var seen = new Dictionary<string, Tensor>();
            using (session.RegisterOpHook((in OpEvent e) => seen[e.ValueName] = e.Tensor.ToTensor()))
                session.Run(graph.Graph.Inputs.ToDictionary(input => input.Name, input => graph.InputTensor(input.Name)));
            return seen;
        }
    }

    [Test]
    public void RunningAllocatesNothing([ValueSource(typeof(LoweringCases), nameof(LoweringCases.All))] LoweringCases.Case test, [Values(1, 2)] int threads)
    {
        QuantizedGraph graph = test.Create(DataType.Int8);
        var session = new InferenceSession(new Octet.Runtime.Model(graph.Graph), new SessionOptions { Threads = threads });
        Tensor[] inputs = [.. graph.Graph.Inputs.Select(input => graph.InputTensor(input.Name))], outputs = session.CreateOutputs(inputs);
        for (int i = 0; i < 5; i++) session.Run(inputs, outputs);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 5; i++) session.Run(inputs, outputs);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    [Test]
    public void ThreadsDoNotChangeABit([ValueSource(typeof(LoweringCases), nameof(LoweringCases.All))] LoweringCases.Case test)
    {
        QuantizedGraph graph = test.Create(DataType.UInt8);
        Tensor[] inputs = [.. graph.Graph.Inputs.Select(input => graph.InputTensor(input.Name))];
        Tensor[]? one = null;
        foreach (int threads in new[] { 1, 2, 4 })
        {
            var session = new InferenceSession(new Octet.Runtime.Model(graph.Graph), new SessionOptions { Threads = threads });
            Tensor[] outputs = session.CreateOutputs(inputs);
            session.Run(inputs, outputs);
            one ??= outputs;
            for (int i = 0; i < outputs.Length; i++) Assert.That(outputs[i].Bytes.ToArray(), Is.EqualTo(one[i].Bytes.ToArray()), $"{threads} threads");
        }
    }

    private static bool DependsOnConstantsOnly(Value value) =>
        value.IsConstant || (value.Producer is { } node && node.Inputs.All(input => input is null || DependsOnConstantsOnly(input)));

    private static void CheckOneStep(Tensor[] actual, Tensor[] expected, string what)
    {
        Assert.That(actual, Has.Length.EqualTo(expected.Length), what);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.That(actual[i].Type, Is.EqualTo(expected[i].Type), what);
            if (expected[i].Type.IsFloat())
            {
                // Recurrent layers and products by run-time range quantize what the simulation leaves float; all others differ by the rounding of one layer.
                float[] e = expected[i].ToFloat32Array(), a = actual[i].ToFloat32Array();
                float largest = Math.Max(1, e.Max(MathF.Abs));
                for (int at = 0; at < e.Length; at++) Assert.That(a[at], Is.EqualTo(e[at]).Within(0.03f * largest), what);
                continue;
            }
            long[] wanted = expected[i].ToInt64Array(), got = actual[i].ToInt64Array();
            Assert.That(got.Zip(wanted, (x, y) => Math.Abs(x - y)).DefaultIfEmpty(0).Max(), Is.LessThanOrEqualTo(1), what);
        }
    }
}
