using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes.Fusion;

/// <summary>What dynamic quantization writes around a ConvInteger becomes one step; every rounding stays.</summary>
internal sealed class ConvIntegerFusionTests
{
    [Test]
    public void TheLayerIsOneStepAndStaysExact([Values] bool signedWeights, [Values(1, 2)] int group, [Values] bool perChannel, [Values("none", "relu", "sum", "sum-relu", "relu-sum")] string epilogue)
    {
        TestGraph g = Layer(signedWeights, group, perChannel, epilogue, [1, 2, 0, 1], out Dictionary<string, Tensor> inputs);
        var check = new FusionCheck(g);
        Assert.That(check.Types, Is.EqualTo(new[] { "DynamicQuantizeLinear", "Mul", "octet.ConvInteger" }));
        Tensor expected = OperatorRunner.Run(g.Graph, inputs)[0];
        Assert.That(OperatorRunner.Run(check.Fused, inputs)[0].Span<float>().ToArray(), Is.EqualTo(expected.Span<float>().ToArray()), "channels-first");
        foreach (int threads in new[] { 1, 3 })
        {
            Tensor planned = new InferenceSession(new Model(g.Graph), new SessionOptions { Threads = threads }).Run(inputs).Values.Single();
            Assert.That(planned.Span<float>().ToArray(), Is.EqualTo(expected.Span<float>().ToArray()), $"channels-last, {threads} threads");
        }
    }

    [Test]
    public void LayersAgreeWithOnnxRuntime([Values] bool signedWeights)
    {
        TestGraph g = Layer(signedWeights, 1, false, "sum-relu", [1, 1, 1, 1], out Dictionary<string, Tensor> inputs);
        Oracle.Compare(g.Graph, inputs);
    }

    [Test]
    public void AFactorPerPixelIsRefused()
    {
        var g = new TestGraph(opset: 13);
        Value sum = g.Node("ConvInteger", [g.Input("x", new TensorType(DataType.UInt8, [1, 2, 4, 4])), g.Editor.AddConstant("w", Tensor.Create(new sbyte[] { 1, 2 }, 1, 2, 1, 1))]);
        g.Output(g.Node("Mul", [g.Node("Cast", [sum], new AttributeMap { ["to"] = (long)DataType.Float32 }), g.Random("scale", 1, 4, 4)]), "y");
        Assert.That(new FusionCheck(g).Refusal("plan-convinteger"), Is.EqualTo("the factor is float32[4,4], neither one number nor one per channel"));
    }

    [Test]
    public void RunningAllocatesNothing()
    {
        TestGraph g = Layer(true, 1, false, "sum-relu", [1, 1, 1, 1], out Dictionary<string, Tensor> inputs);
        var session = new InferenceSession(new Model(g.Graph), new SessionOptions { Threads = 1 });
        Tensor[] values = [.. session.Inputs.Select(input => inputs[input.Name])], outputs = session.CreateOutputs(values);
        for (int i = 0; i < 3; i++) session.Run(values, outputs);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 3; i++) session.Run(values, outputs);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    private static TestGraph Layer(bool signedWeights, int group, bool perChannel, string epilogue, long[] pads, out Dictionary<string, Tensor> inputs)
    {
        const int Channels = 6, Filters = 20, Height = 7, Width = 9;
        var g = new TestGraph(opset: 13);
        Value x = g.Input("x", 2, Channels, Height, Width), quantized = g.Editor.AddValue("q"), scale = g.Editor.AddValue("qs"), zero = g.Editor.AddValue("qz");
        g.Editor.AddNode("DynamicQuantizeLinear", [x], [quantized, scale, zero]);
        var random = new Random(5);
        int count = Filters * (Channels / group) * 9;
        var bytes = new byte[count];
        random.NextBytes(bytes);
        int[] shape = [Filters, Channels / group, 3, 3];
        Value w = g.Editor.AddConstant("w", signedWeights ? Tensor.Create(Array.ConvertAll(bytes, value => (sbyte)value), shape) : Tensor.Create(bytes, shape));
        Value wZero = g.Editor.AddConstant("wz", signedWeights ? Tensor.Scalar((sbyte)-3) : Tensor.Scalar((byte)121));
        Value sum = g.Node("ConvInteger", [quantized, w, zero, wZero], new AttributeMap { ["pads"] = pads, ["strides"] = new long[] { 2, 1 }, ["group"] = (long)group }, name: "conv");
        Value real = g.Node("Cast", [sum], new AttributeMap { ["to"] = (long)DataType.Float32 }, name: "cast");
        Value wScale = perChannel ? g.Floats("ws", [.. Enumerable.Range(0, Filters).Select(o => 0.01f + o * 0.001f)], Filters, 1, 1) : g.Scalar("ws", 0.013f);
        Value y = g.Node("Mul", [real, g.Node("Mul", [scale, wScale], name: "scales")], name: "scaled");
        y = g.Node("Add", [y, g.Random("bias", 3, 1, Filters, 1, 1)], name: "biased");
        int outputHeight = (Height + (int)(pads[0] + pads[2]) - 3) / 2 + 1, outputWidth = Width + (int)(pads[1] + pads[3]) - 2;
        foreach (string step in epilogue.Split('-'))
        {
            if (step == "relu") y = g.Node("Relu", [y], name: "relu");
            if (step == "sum") y = g.Node("Add", [g.Input("z", 2, Filters, outputHeight, outputWidth), y], name: "sum");
        }
        g.Output(y, "y");
        inputs = g.Graph.Inputs.Where(input => !input.IsConstant).Select((input, i) => (input.Name, Tensor: TestGraph.RandomTensor(i + 1, input.Type.ConcreteShape()))).ToDictionary(pair => pair.Name, pair => pair.Tensor);
        return g;
    }
}
