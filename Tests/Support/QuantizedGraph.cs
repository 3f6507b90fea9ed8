using Octet.Kernels.Cpu;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Passes;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Support;

/// <summary>Writes QDQ graphs down and runs them both ways: as the float simulation that they say, and lowered to integers.</summary>
internal sealed class QuantizedGraph
{
    private readonly TestGraph _graph;
    private readonly Random _random;
    private readonly Dictionary<string, RuntimeValue?> _inputs = [];
    private int _count;

    public QuantizedGraph(int seed = 1, int opset = 21) => (_graph, _random) = (new TestGraph(opset), new Random(seed));

    public TestGraph Test => _graph;

    public Graph Graph => _graph.Graph;

    /// <summary>A float input with seeded values in [−range, range).</summary>
    public Value Input(float range, params int[] shape)
    {
        Value value = _graph.Input($"x{_inputs.Count}", shape);
        float[] numbers = new float[Tensor.CountElements(shape)];
        for (int i = 0; i < numbers.Length; i++) numbers[i] = (_random.NextSingle() * 2 - 1) * range;
        _inputs[value.Name] = Tensor.Create(numbers, shape);
        return value;
    }

    /// <summary>What an input is given.</summary>
    public Tensor InputTensor(string name) => (Tensor)_inputs[name]!;

    /// <summary>A graph input of random bytes.</summary>
    public Value ByteInput(DataType type, params int[] shape)
    {
        Value value = _graph.Input($"x{_inputs.Count}", new TensorType(type, shape));
        _inputs[value.Name] = Bytes(type, shape);
        return value;
    }

    public Value Quantize(Value x, float scale, int zero, DataType type = DataType.UInt8) => _graph.Node("QuantizeLinear", [x, Scalar(scale), Zero(zero, type)]);

    public Value Dequantize(Value q, float scale, int zero, DataType type = DataType.UInt8) => _graph.Node("DequantizeLinear", [q, Scalar(scale), Zero(zero, type)]);

    /// <summary>Quantize and dequantize: the value as every reader of a QDQ model sees it.</summary>
    public Value Fake(Value x, float scale, int zero, DataType type = DataType.UInt8) => Dequantize(Quantize(x, scale, zero, type), scale, zero, type);

    /// <summary>A constant of random bytes behind DequantizeLinear; several scales are one per position of <paramref name="axis"/>.</summary>
    public Value Weight(int axis, float[] scales, DataType type, int zero, params int[] shape)
    {
        Value w = _graph.Editor.AddConstant($"w{_count++}", Bytes(type, shape));
        Value scale = scales.Length == 1 ? Scalar(scales[0]) : _graph.Floats($"s{_count++}", scales);
        Value zeros = _graph.Editor.AddConstant($"z{_count++}", scales.Length == 1 ? ZeroTensor(zero, type) : new Tensor(type, [scales.Length], Enumerable.Repeat((byte)zero, scales.Length).ToArray()));
        return _graph.Node("DequantizeLinear", [w, scale, zeros], new AttributeMap { ["axis"] = (long)axis });
    }

    /// <summary>A constant int32 bias behind DequantizeLinear.</summary>
    public Value IntegerBias(float[] scales, int count, int largest = 20000)
    {
        Value b = _graph.Editor.AddConstant($"b{_count++}", Tensor.Create([.. Enumerable.Range(0, count).Select(_ => _random.Next(-largest, largest))], count));
        return _graph.Node("DequantizeLinear", [b, scales.Length == 1 ? Scalar(scales[0]) : _graph.Floats($"s{_count++}", scales)], new AttributeMap { ["axis"] = 0L });
    }

    public Value FloatConstant(float range, params int[] shape)
    {
        float[] numbers = new float[Tensor.CountElements(shape)];
        for (int i = 0; i < numbers.Length; i++) numbers[i] = (_random.NextSingle() * 2 - 1) * range;
        return _graph.Editor.AddConstant($"c{_count++}", Tensor.Create(numbers, shape));
    }

    public Value Node(string type, Value?[] inputs, AttributeMap? attributes = null, string domain = "") => _graph.Node(type, inputs, attributes, domain: domain);

    public Value Scalar(float value) => _graph.Editor.AddConstant($"s{_count++}", Tensor.Scalar(value));

    public Value Zero(int value, DataType type) => _graph.Editor.AddConstant($"z{_count++}", ZeroTensor(value, type));

    public void Output(Value value) => _graph.Output(value, $"y{_graph.Graph.Outputs.Count}");

    /// <summary>Runs the graph as it says, in float.</summary>
    public Tensor[] Simulate() => Run(Prepare(CpuInfo.Detected), CpuInfo.Detected);

    /// <summary>Lowers a copy of the graph.</summary>
    public (Graph Graph, LoweringReport Report) Lower(CpuFeatures? cpu = null, params string[] disabled)
    {
        Graph copy = Prepare(cpu ?? CpuInfo.Detected);
        var report = new LoweringReport { Disabled = disabled.ToHashSet() };
        Octet.Runtime.Passes.Lowering.Run(copy, Options(cpu ?? CpuInfo.Detected), report);
        GraphVerifier.Verify(copy);
        Simplifier.Run(copy, Options(cpu ?? CpuInfo.Detected));
        return (copy, report);
    }

    /// <summary>Lowers a copy and runs it; every instruction set gives the same bits.</summary>
    public Tensor[] RunLowered(out Graph lowered, out LoweringReport report, params string[] disabled)
    {
        (lowered, report) = Lower(null, disabled);
        Tensor[] results = Run(lowered, CpuInfo.Detected);
        Tensor[] scalar = Run(Lower(CpuFeatures.None, disabled).Graph, CpuFeatures.None);
        for (int i = 0; i < results.Length; i++)
            if (results[i].Type != DataType.Float32) Assert.That(scalar[i].Bytes.ToArray(), Is.EqualTo(results[i].Bytes.ToArray()), "scalar kernels differ");
        return results;
    }

    /// <summary>
    /// Checks that bytes of the lowered graph are those of the simulation, but for values that lie on a tie in one of them: at most one step apart, and
    /// at most <paramref name="share"/> of all.
    /// </summary>
    public Graph CheckAgainstSimulation(double share, out LoweringReport report)
    {
        Tensor[] expected = Simulate(), actual = RunLowered(out Graph lowered, out report);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.That(actual[i].Type, Is.EqualTo(expected[i].Type));
            Assert.That(actual[i].Shape.ToArray(), Is.EqualTo(expected[i].Shape.ToArray()));
            long[] e = expected[i].ToInt64Array(), a = actual[i].ToInt64Array();
            long[] steps = [.. e.Zip(a, (x, y) => Math.Abs(x - y))];
            Assert.That(steps.Max(), Is.LessThanOrEqualTo(1), GraphPrinter.Print(lowered));
            Assert.That(steps.Count(step => step != 0) / (double)steps.Length, Is.LessThanOrEqualTo(share));
            Assert.That(e.Distinct().Count(), Is.GreaterThan(e.Length > 100 ? 8 : 1), "the test's scales saturate everything");
        }
        return lowered;
    }

    public static string[] Types(Graph graph) => [.. graph.Nodes.Select(node => node.QualifiedType)];

    private Graph Prepare(CpuFeatures cpu)
    {
        Graph copy = Graph.Clone();
        Simplifier.Run(copy, Options(cpu));
        return copy;
    }

    private Tensor[] Run(Graph graph, CpuFeatures cpu) => [.. Interpreter.Run(graph, _inputs, Options(cpu)).Select(value => (Tensor)value!)];

    private static PlanOptions Options(CpuFeatures cpu) => new(cpu, 1, new WeightStore());

    private Tensor Bytes(DataType type, int[] shape)
    {
        var tensor = new Tensor(type, shape);
        _random.NextBytes(tensor.Bytes.Span);
        return tensor;
    }

    private static Tensor ZeroTensor(int value, DataType type) => new(type, [], new[] { (byte)value });
}
