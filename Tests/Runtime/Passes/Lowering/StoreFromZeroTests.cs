using Octet.Kernels.Cpu;
using Octet.Kernels.QConv;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Passes;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes;

/// <summary>Quantized tensors that never reach some lower bytes are stored from zero on, which proves more pairs of weights and changes no bit.</summary>
internal sealed class StoreFromZeroTests
{
    /// <summary>conv → ReLU → conv, and a sum of both where <paramref name="residual"/>.</summary>
    private static QuantizedGraph Make(DataType type, int zero, bool residual = false, bool exposed = false)
    {
        var q = new QuantizedGraph(seed: 3);
        var pads = new AttributeMap { ["pads"] = new long[] { 1, 1, 1, 1 } };
        Value x = q.Fake(q.Input(2f, 1, 8, 9, 9), 0.03f, zero, type);
        Value first = q.Node("Relu", [q.Node("Conv", [x, q.Weight(0, [0.01f], DataType.Int8, 0, 32, 8, 3, 3)], pads)]);
        Value middle = q.Fake(first, 0.1f, zero, type);
        Value second = q.Node("Conv", [middle, q.Weight(0, [0.01f], DataType.Int8, 0, 32, 32, 3, 3)], new AttributeMap { ["pads"] = new long[] { 1, 1, 1, 1 } });
        if (residual) second = q.Node("Add", [q.Fake(second, 0.7f, zero, type), middle]);
        q.Output(q.Quantize(second, 0.7f, zero, type));
        if (exposed) q.Output(middle);
        return q;
    }

    private static Node[] Layers(Graph graph) => [.. graph.Nodes.Where(node => node.OperatorType == "QConv")];

    [Test]
    public void SignedReluIsStoredFromZero([Values] bool residual)
    {
        Node[] layers = Layers(Make(DataType.Int8, 0, residual).CheckAgainstSimulation(0.02, out _));
        Assert.That(layers, Has.Length.EqualTo(2));
        Assert.That((layers[0].Attributes.Int("lo"), layers[0].Attributes.Int("hi"), layers[0].Attributes.Int("y_zero_point")), Is.EqualTo((0L, 127L, 0L)));
        Assert.That(layers[1].Attributes.Int("x_zero_point"), Is.Zero);
        if (residual) Assert.That((layers[1].Attributes.Int("sum_zero_point"), layers[1].Attributes.Int("sum_shift")), Is.EqualTo((0L, 128L)));
        Assert.That(layers[1].Attributes.Int(StoreFromZero.LargestData), Is.EqualTo(127));
        Assert.That(layers[1].Attributes.Int("y_zero_point"), Is.EqualTo(128), "what the graph returns stays as it is");
    }

    [Test]
    public void WhatOthersReadStays()
    {
        Node[] exposed = Layers(Make(DataType.Int8, 0, exposed: true).Lower().Graph);
        Assert.That(exposed[0].Attributes.Int("y_zero_point"), Is.EqualTo(128));
        Node[] whole = Layers(Make(DataType.UInt8, 0).CheckAgainstSimulation(0.02, out _));
        Assert.That(whole[1].Attributes.Contains(StoreFromZero.LargestData), Is.False, "uint8 behind ReLU uses the whole range");
    }

    /// <summary>With activations up to 127 every group of any weights is proved.</summary>
    [Test]
    public void TheReasonNamesTheProof()
    {
        const CpuFeatures avx2 = CpuFeatures.Vector128 | CpuFeatures.Sse41 | CpuFeatures.Avx2 | CpuFeatures.Fma;
        var shape = Kernels.QConv.ConvShapes.Square(1, 32, 32, 1, 9, 3, 1, 1, 1);
        var w = new sbyte[32 * 32 * 9];
        Array.Fill(w, (sbyte)127);
        QConvWeights proved = QConvWeights.Pack(shape, w, [], QConvChoice.For(shape, avx2, WinogradUse.Never, 127)), refused = QConvWeights.Pack(shape, w, [], QConvChoice.For(shape, avx2, WinogradUse.Never));
        Assert.That(proved.Method.Name, Is.EqualTo("indirect u8s8s32-3x16x4-avx2"));
        Assert.That(proved.Method.Reason, Does.Contain("100 % of 144 groups of weights cannot saturate 16 bits with activations up to 127"));
        Assert.That(refused.Method.Name, Is.EqualTo("padded-runs u8s8s32-6x16x2-avx2"));
        Assert.That(refused.Method.Reason, Does.Contain("only 0 %"));
    }
}
