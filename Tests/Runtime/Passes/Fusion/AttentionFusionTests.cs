using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes.Fusion;

/// <summary>Attention that a model writes out becomes one step, in the forms that exporters write.</summary>
internal sealed class AttentionFusionTests
{
    private const int Batch = 2, Heads = 3, Rows = 17, Keys = 13, Size = 16;

    /// <summary>Heads split off by Reshape and Transpose, scores divided by √D, a mask added, heads joined again.</summary>
    [Test]
    public void TheFormOfBert([Values] bool mask, [Values] bool divides)
    {
        TestGraph g = Written(mask, divides, out _);
        FusionCheck check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "Reshape", "Reshape", "Reshape", "octet.Attention", "Reshape" }));
    }

    /// <summary>Both operands multiplied by √scale, keys transposed at once by (0, 2, 3, 1).</summary>
    [Test]
    public void TheFormOfScaledDotProductAttention()
    {
        var g = new TestGraph(opset: 17);
        Value root = g.Scalar("root", 0.5f);
        Value q = g.Node("Mul", [Split(g, "q", Rows, [0, 2, 1, 3]), root], name: "q-scaled"), k = g.Node("Mul", [Split(g, "k", Keys, [0, 2, 3, 1]), root], name: "k-scaled");
        Value scores = g.Node("Softmax", [g.Node("MatMul", [q, k], name: "scores")], new AttributeMap { ["axis"] = -1L });
        g.Output(g.Node("MatMul", [scores, Split(g, "v", Keys, [0, 2, 1, 3])], name: "combine"), "y");
        Assert.That(new FusionCheck(g).Agrees().Types, Is.EqualTo(new[] { "Reshape", "Reshape", "Reshape", "octet.Attention" }));
    }

    [TestCase(3, 5, 4, 6)]
    [TestCase(1, 9, 9, 8)]
    public void RankThree(int heads, int rows, int keys, int size)
    {
        var g = new TestGraph(opset: 12);
        Value scores = g.Node("MatMul", [g.Input("q", heads, rows, size), g.Input("k", heads, size, keys)], name: "scores");
        Value masked = g.Node("Add", [g.Input("m", 1, rows, keys), scores], name: "masked");
        Value shares = g.Node("Softmax", [masked], new AttributeMap { ["axis"] = 2L });
        g.Output(g.Node("MatMul", [shares, g.Input("v", heads, keys, 5)], name: "combine"), "y");
        Assert.That(new FusionCheck(g).Agrees().Types, Is.EqualTo(new[] { "Transpose", "octet.Attention" }));
    }

    [Test]
    public void ASoftmaxOverQueriesIsRefused()
    {
        var g = new TestGraph();
        Value scores = g.Node("MatMul", [g.Input("q", 2, 3, 4), g.Input("k", 2, 4, 5)], name: "scores");
        g.Output(g.Node("MatMul", [g.Node("Softmax", [scores], new AttributeMap { ["axis"] = 1L }), g.Input("v", 2, 5, 6)], name: "combine"), "y");
        Assert.That(new FusionCheck(g).Agrees().Refusal("attention"), Does.EndWith("is along axis 1, not over the keys"));
    }

    [Test]
    public void AMaskThatAddsABatchIsRefused()
    {
        var g = new TestGraph();
        Value scores = g.Node("Add", [g.Node("MatMul", [g.Input("q", 1, 3, 4), g.Input("k", 1, 4, 5)], name: "scores"), g.Input("m", 2, 3, 5)], name: "masked");
        g.Output(g.Node("MatMul", [g.Node("Softmax", [scores], new AttributeMap { ["axis"] = -1L }), g.Input("v", 2, 5, 6)], name: "combine"), "y");
        Assert.That(new FusionCheck(g).Agrees().Types, Has.No.Member("octet.Attention"));
        g = new TestGraph();
        scores = g.Node("Add", [g.Node("MatMul", [g.Input("q", 2, 3, 4), g.Input("k", 2, 4, 5)], name: "scores"), g.Input("m", 2, 3, 1)], name: "masked");
        g.Output(g.Node("MatMul", [g.Node("Softmax", [scores], new AttributeMap { ["axis"] = -1L }), g.Input("v", 2, 5, 6)], name: "combine"), "y");
        Assert.That(new FusionCheck(g).Agrees().Refusal("attention"), Is.EqualTo("the mask float32[2,3,1] does not have one column per key"));
    }

    [Test]
    public void ScoresThatSomebodyReadsStay()
    {
        var g = new TestGraph();
        Value scores = g.Node("MatMul", [g.Input("q", 2, 3, 4), g.Input("k", 2, 4, 5)], name: "scores");
        Value shares = g.Node("Softmax", [scores], new AttributeMap { ["axis"] = -1L });
        g.Output(g.Node("MatMul", [shares, g.Input("v", 2, 5, 6)], name: "combine"), "y");
        g.Output(shares, "shares");
        Assert.That(new FusionCheck(g).Agrees().Types, Has.No.Member("octet.Attention"));
    }

    /// <summary>Rows whose every key is hidden by −∞ give NaN in both.</summary>
    [Test]
    public void SessionsAgreeWithOnnxRuntimeOnAnyThreadCount([Values(1, 3)] int threads, [Values(1, 5, 130)] int rows)
    {
        var g = new TestGraph(opset: 17);
        Value scores = g.Node("MatMul", [Split(g, "q", rows, [0, 2, 1, 3]), Split(g, "k", 70, [0, 2, 3, 1])], name: "scores");
        Value scaled = g.Node("Mul", [scores, g.Scalar("scale", 0.25f)], name: "scaled");
        Value masked = g.Node("Add", [scaled, g.Input("mask", Batch, 1, rows == 5 ? 5 : 1, 70)], name: "masked");
        Value shares = g.Node("Softmax", [masked], new AttributeMap { ["axis"] = -1L });
        Value joined = g.Node("Transpose", [g.Node("MatMul", [shares, Split(g, "v", 70, [0, 2, 1, 3])], name: "combine")], new AttributeMap { ["perm"] = new long[] { 0, 2, 1, 3 } }, name: "join");
        g.Output(g.Node("Reshape", [joined, g.Ints("flat", Batch, rows, Heads * Size)], name: "flatten"), "y");
        var inputs = g.Graph.Inputs.Where(input => !input.IsConstant).Select((input, i) => (input.Name, Tensor: TestGraph.RandomTensor(i + 1, input.Type.ConcreteShape()))).ToDictionary(pair => pair.Name, pair => pair.Tensor);
        Span<float> mask = inputs["mask"].Span<float>();
        for (int i = 0; i < mask.Length; i++) mask[i] = i % 3 == 0 ? float.NegativeInfinity : mask[i];
        Oracle.Compare(g.Graph, inputs, threads: threads);
    }

    [Test]
    public void RunningAllocatesNothing()
    {
        TestGraph g = Written(mask: true, divides: true, out Dictionary<string, Tensor> inputs);
        var session = new InferenceSession(new Model(g.Graph), new SessionOptions { Threads = 1 });
        Tensor[] values = [.. session.Inputs.Select(input => inputs[input.Name])], outputs = session.CreateOutputs(values);
        for (int i = 0; i < 3; i++) session.Run(values, outputs);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 3; i++) session.Run(values, outputs);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    private static TestGraph Written(bool mask, bool divides, out Dictionary<string, Tensor> inputs)
    {
        var g = new TestGraph(opset: 13);
        Value q = Split(g, "q", Rows, [0, 2, 1, 3]), k = Split(g, "k", Keys, [0, 2, 1, 3]), v = Split(g, "v", Keys, [0, 2, 1, 3]);
        Value turned = g.Node("Transpose", [k], new AttributeMap { ["perm"] = new long[] { 0, 1, 3, 2 } }, name: "turned");
        Value scores = g.Node("MatMul", [q, turned], name: "scores");
        Value scaled = divides ? g.Node("Div", [scores, g.Scalar("root", 4f)], name: "scaled") : g.Node("Mul", [scores, g.Scalar("factor", 0.25f)], name: "scaled");
        if (mask) scaled = g.Node("Add", [scaled, g.Input("mask", Batch, 1, 1, Keys)], name: "masked");
        Value combined = g.Node("MatMul", [g.Node("Softmax", [scaled], new AttributeMap { ["axis"] = -1L }), v], name: "combine");
        Value joined = g.Node("Transpose", [combined], new AttributeMap { ["perm"] = new long[] { 0, 2, 1, 3 } }, name: "join");
        g.Output(g.Node("Reshape", [joined, g.Ints("flat", Batch, Rows, Heads * Size)], name: "flatten"), "y");
        inputs = g.Graph.Inputs.Where(input => !input.IsConstant).Select((input, i) => (input.Name, Tensor: TestGraph.RandomTensor(i + 1, input.Type.ConcreteShape()))).ToDictionary(pair => pair.Name, pair => pair.Tensor);
        return g;
    }

    /// <summary>[B, rows, H·D] → [B, rows, H, D] → transposed.</summary>
    private static Value Split(TestGraph g, string name, int rows, long[] order)
    {
        Value split = g.Node("Reshape", [g.Input(name, Batch, rows, Heads * Size), g.Ints(name + "-shape", Batch, rows, Heads, Size)], name: name + "-split");
        return g.Node("Transpose", [split], new AttributeMap { ["perm"] = order }, name: name + "-turn");
    }
}
