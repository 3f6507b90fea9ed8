using Octet.Kernels.Cpu;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Support;

/// <summary>Writes small graphs down, for tests of passes and operators.</summary>
internal sealed class TestGraph
{
    public TestGraph(int opset = 21)
    {
        Graph = new Graph("test", new OpsetImports(opset));
        Graph.Opsets.Set(Operator.MicrosoftDomain, 1);
        Editor = new GraphEditor(Graph);
    }

    public Graph Graph { get; }

    public GraphEditor Editor { get; }

    /// <summary>What plans in tests are made for: this machine, one thread.</summary>
    public static PlanOptions Options => new(CpuInfo.Detected, 1, new WeightStore());

    public Value Input(string name, params int[] shape) => Editor.AddInput(name, new TensorType(DataType.Float32, shape));

    public Value Input(string name, TensorType type) => Editor.AddInput(name, type);

    public Value Floats(string name, float[] values, params int[] shape) => Editor.AddConstant(name, Tensor.Create(values, shape.Length == 0 ? [values.Length] : shape));

    public Value Ints(string name, params long[] values) => Editor.AddConstant(name, Tensor.Create(values, values.Length));

    public Value Scalar(string name, float value) => Editor.AddConstant(name, Tensor.Scalar(value));

    /// <summary>Seeded values in [−1, 1).</summary>
    public Value Random(string name, int seed, params int[] shape) => Editor.AddConstant(name, RandomTensor(seed, shape));

    public static Tensor RandomTensor(int seed, params int[] shape)
    {
        var random = new Random(seed);
        var values = new float[Tensor.CountElements(shape)];
        for (int i = 0; i < values.Length; i++) values[i] = random.NextSingle() * 2 - 1;
        return Tensor.Create(values, shape);
    }

    /// <summary>Seeded powers of two with either sign, 2⁻² … 2², so that short sums and products of them are exact.</summary>
    public static Tensor PowersOfTwo(int seed, params int[] shape)
    {
        var random = new Random(seed);
        var values = new float[Tensor.CountElements(shape)];
        for (int i = 0; i < values.Length; i++) values[i] = MathF.ScaleB(random.Next(2) == 0 ? 1f : -1f, random.Next(-2, 3));
        return Tensor.Create(values, shape);
    }

    public Value Node(string type, Value?[] inputs, AttributeMap? attributes = null, string? name = null, string domain = "") =>
        Editor.Add(type, inputs, attributes, domain, name ?? type.ToLowerInvariant());

    public void Output(Value value, string? name = null) => Editor.AddOutput(value, name);

    public IEnumerable<string> Types => Graph.Nodes.Select(node => node.QualifiedType);
}
