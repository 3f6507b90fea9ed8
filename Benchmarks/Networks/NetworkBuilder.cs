using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Benchmarks.Networks;

/// <summary>Builds networks with fixed pseudo-random weights whose activations keep their size from layer to layer (He scaling), so that quantizing them is meaningful.</summary>
internal sealed class NetworkBuilder
{
    private const int Opset = 17;

    private readonly Random _random;
    private int _count;

    public NetworkBuilder(string name, int seed)
    {
        _random = new Random(seed);
        Graph = new Graph(name, new OpsetImports(Opset));
        Editor = new GraphEditor(Graph);
    }

    public Graph Graph { get; }

    public GraphEditor Editor { get; }

    public Value Input(string name, params ReadOnlySpan<int> shape) => Editor.AddInput(name, new TensorType(DataType.Float32, shape));

    public Model Finish(Value output, string name)
    {
        Editor.AddOutput(output, name);
        Editor.SetType(output, new TensorType(DataType.Float32));
        GraphVerifier.Verify(Graph);
        return new Model(Graph) { ProducerName = "octet-benchmarks" };
    }

    /// <summary>Convolution with bias.</summary>
    public Value Conv(Value x, int inChannels, int outChannels, int kernel, int stride = 1, int groups = 1, int? pad = null, float gain = 1.41421356f)
    {
        int p = pad ?? kernel / 2, fanIn = inChannels / groups * kernel * kernel;
        string name = Next("conv");
        return Editor.Add("Conv", [x, Normal(name + ".weight", gain / MathF.Sqrt(fanIn), outChannels, inChannels / groups, kernel, kernel), Normal(name + ".bias", 0.05f, outChannels)],
            new AttributeMap { { "kernel_shape", new long[] { kernel, kernel } }, { "strides", new long[] { stride, stride } }, { "pads", new long[] { p, p, p, p } }, { "group", (long)groups } }, name: name);
    }

    public Value Relu(Value x) => Editor.Add("Relu", [x], name: Next("relu"));

    public Value Relu6(Value x) => Editor.Add("Clip", [x, Editor.AddConstant("zero", Tensor.Scalar(0f)), Editor.AddConstant("six", Tensor.Scalar(6f))], name: Next("clip"));

    public Value Add(Value a, Value b) => Editor.Add("Add", [a, b], name: Next("add"));

    public Value MaxPool(Value x, int kernel, int stride, int pad) => Editor.Add("MaxPool", [x],
        new AttributeMap { { "kernel_shape", new long[] { kernel, kernel } }, { "strides", new long[] { stride, stride } }, { "pads", new long[] { pad, pad, pad, pad } } }, name: Next("maxpool"));

    public Value GlobalAveragePool(Value x) => Editor.Add("GlobalAveragePool", [x], name: Next("pool"));

    public Value Flatten(Value x) => Editor.Add("Flatten", [x], name: Next("flatten"));

    public Value Concat(params ReadOnlySpan<Value> inputs) => Editor.Add("Concat", inputs.ToArray(), new AttributeMap { { "axis", 1L } }, name: Next("concat"));

    /// <summary>Product with a constant matrix, plus bias: <c>x[M,K] · w[K,N] + b[N]</c>.</summary>
    public Value Linear(Value x, int inFeatures, int outFeatures, float gain = 1)
    {
        string name = Next("linear");
        return Editor.Add("Gemm", [x, Normal(name + ".weight", gain / MathF.Sqrt(inFeatures), inFeatures, outFeatures), Normal(name + ".bias", 0.02f, outFeatures)], name: name);
    }

    public Value Normal(string name, float deviation, params ReadOnlySpan<int> shape)
    {
        var values = new float[Tensor.CountElements(shape)];
        for (int i = 0; i < values.Length; i += 2)
        {
            // Box–Muller.
            double radius = Math.Sqrt(-2 * Math.Log(1 - _random.NextDouble())), angle = 2 * Math.PI * _random.NextDouble();
            values[i] = (float)(deviation * radius * Math.Cos(angle));
            if (i + 1 < values.Length) values[i + 1] = (float)(deviation * radius * Math.Sin(angle));
        }
        return Editor.AddConstant(name, Tensor.Create(values, shape));
    }

    public Value Ones(string name, int length)
    {
        var values = new float[length];
        Array.Fill(values, 1f);
        return Editor.AddConstant(name, Tensor.Create(values, length));
    }

    public Value Ints(string name, params long[] values) => Editor.AddConstant(name, Tensor.Create(values, values.Length));

    public string Next(string stem) => $"{stem}{_count++}";
}
