using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>Planned steps of recurrent, attention and vision operators allocate nothing when they run.</summary>
internal sealed class AllocationTests
{
    private static IEnumerable<TestCaseData> Cases()
    {
        yield return Case("LSTM", g => [g.Input("x", 6, 2, 8), g.Random("w", 1, 2, 64, 8), g.Random("r", 2, 2, 64, 16), g.Random("b", 3, 2, 128)], new AttributeMap { ["hidden_size"] = 16L, ["direction"] = "bidirectional" }, 3);
        yield return Case("GRU", g => [g.Input("x", 6, 2, 8), g.Random("w", 1, 1, 48, 8), g.Random("r", 2, 1, 48, 16)], new AttributeMap { ["hidden_size"] = 16L }, 2);
        yield return Case("RNN", g => [g.Input("x", 6, 2, 8), g.Input("w", 1, 16, 8), g.Input("r", 1, 16, 16)], new AttributeMap { ["hidden_size"] = 16L }, 2);
        yield return Case("Attention", g => [g.Input("q", 1, 2, 5, 8), g.Input("k", 1, 2, 7, 8), g.Input("v", 1, 2, 7, 8), g.Random("m", 4, 5, 7)], new AttributeMap { ["is_causal"] = 1L }, 1, 23);
        yield return Case("RotaryEmbedding", g => [g.Input("x", 1, 2, 5, 8), g.Random("c", 4, 1, 5, 4), g.Random("s", 5, 1, 5, 4)], [], 1, 23);
        yield return Case("Einsum", g => [g.Input("a", 2, 3, 4), g.Input("b", 2, 4, 5)], new AttributeMap { ["equation"] = "bij,bjk->bik" }, 1);
        yield return Case("Resize", g => [g.Input("x", 1, 2, 5, 5), null, g.Floats("s", [1, 1, 2, 2])], new AttributeMap { ["mode"] = "linear" }, 1);
        yield return Case("Resize", g => [g.Input("x", 1, 2, 5, 5), null, g.Floats("s", [1, 1, 2, 2])], new AttributeMap { ["mode"] = "nearest" }, 1);
        yield return Case("GridSample", g => [g.Input("x", 1, 2, 5, 5), g.Input("g", 1, 4, 4, 2)], [], 1);
        yield return Case("RoiAlign", g => [g.Input("x", 1, 2, 8, 8), g.Input("r", 3, 4), g.Ints("i", 0, 0, 0)], [], 1);
        yield return Case("DFT", g => [g.Input("x", 2, 15, 1), null, g.Editor.AddConstant("a", Tensor.Scalar(1L))], [], 1);
        yield return Case("Det", g => [g.Input("x", 2, 4, 4)], [], 1);
    }

    [TestCaseSource(nameof(Cases))]
    public void RunAllocatesNothing(Graph graph)
    {
        var session = new InferenceSession(new Model(graph), new SessionOptions { Threads = 1 });
        Tensor[] inputs = [.. session.Inputs.Select((input, i) => TestGraph.RandomTensor(i, input.Type.ConcreteShape()))];
        Tensor[] outputs = session.CreateOutputs(inputs);
        for (int i = 0; i < 3; i++) session.Run(inputs, outputs);
        long before = GC.GetAllocatedBytesForCurrentThread();
        session.Run(inputs, outputs);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    private static TestCaseData Case(string type, Func<TestGraph, Value?[]> inputs, AttributeMap attributes, int outputs, int opset = 21)
    {
        var g = new TestGraph(opset);
        Value[] results = [.. Enumerable.Range(0, outputs).Select(i => g.Editor.AddValue($"y{i}"))];
        g.Editor.AddNode(type, inputs(g), results, attributes);
        foreach (Value result in results) g.Output(result);
        return new TestCaseData(g.Graph).SetArgDisplayNames(type + (attributes.String("mode") is { Length: > 0 } mode ? $" {mode}" : ""));
    }
}
