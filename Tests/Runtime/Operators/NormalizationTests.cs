using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>float32 normalizations, which vector kernels compute, against the same operators in float64, which the definition computes.</summary>
internal sealed class NormalizationTests
{
    /// <summary>Values are in [−1, 1); sums of up to 1200 of them in float32 stay within 1200·ε ≈ 1.4e-4 relative, and outputs are below 40.</summary>
    private const double Bound = 1e-4;

    [TestCase("InstanceNormalization", 3, 2, 5, 7, 9)]
    [TestCase("InstanceNormalization", 3, 1, 3, 1, 1)]
    [TestCase("GroupNormalization", 3, 2, 6, 5, 3)]
    [TestCase("LayerNormalization", 3, 2, 3, 17, 33)]
    [TestCase("RMSNormalization", 2, 2, 3, 17, 33)]
    [TestCase("LRN", 1, 2, 11, 5, 3)]
    [TestCase("LRN", 1, 1, 2, 40, 30)]
    [TestCase("BatchNormalization", 5, 2, 5, 7, 9)]
    [TestCase("BatchNormalization", 5, 3, 4, 1, 1)]
    [TestCase("LpNormalization", 1, 2, 3, 4, 5)]
    [TestCase("MeanVarianceNormalization", 1, 2, 3, 4, 5)]
    [TestCase("Softmax", 1, 2, 3, 4, 35)]
    [TestCase("LogSoftmax", 1, 2, 3, 4, 35)]
    [TestCase("ReduceLogSumExp", 1, 2, 3, 4, 35)]
    [TestCase("ReduceL2", 1, 2, 3, 4, 35)]
    [TestCase("ReduceMean", 1, 2, 30, 4, 5)]
    public void VectorKernelAgreesWithDefinition(string type, int inputs, int n, int c, int h, int w)
    {
        AttributeMap attributes = type switch
        {
            "GroupNormalization" => new() { ["num_groups"] = 3 },
            "LRN" => new() { ["size"] = 4, ["alpha"] = 0.5f, ["beta"] = 0.75f, ["bias"] = 1.5f },
            "LayerNormalization" or "RMSNormalization" => new() { ["axis"] = -2 },
            "LogSoftmax" => new() { ["axis"] = 1 },
            _ => [],
        };
        int[] parameters = type is "LayerNormalization" or "RMSNormalization" ? [h, w] : [c];
        Tensor[] single = [.. Enumerable.Range(0, inputs).Select(i => TestGraph.RandomTensor(i + 1, i == 0 ? [n, c, h, w] : parameters))];
        if (type == "BatchNormalization") foreach (ref float variance in single[4].Span<float>()) variance = MathF.Abs(variance) + 0.5f;
        Tensor[] wide = [.. single.Select(tensor => Tensor.Create(Array.ConvertAll(tensor.Span<float>().ToArray(), value => (double)value), tensor.Shape))];
        int opset = type == "RMSNormalization" ? 23 : 21;
        Tensor actual = OneNode.Run(type, single, attributes, opset: opset)[0], expected = OneNode.Run(type, wide, attributes, opset: opset)[0];
        Assert.That(actual.Shape.ToArray(), Is.EqualTo(expected.Shape.ToArray()));
        for (int i = 0; i < actual.Length; i++) Assert.That(actual.Span<float>()[i], Is.EqualTo(expected.Span<double>()[i]).Within(Bound), $"element {i}");
    }

    [Test]
    public void SkipLayerNormalizationIsTheSumNormalized()
    {
        Tensor x = TestGraph.RandomTensor(1, 2, 3, 8), skip = TestGraph.RandomTensor(2, 2, 3, 8), gamma = TestGraph.RandomTensor(3, 8), beta = TestGraph.RandomTensor(4, 8), bias = TestGraph.RandomTensor(5, 8);
        Tensor[] y = OneNode.Run("SkipLayerNormalization", [x, skip, gamma, beta, bias], domain: "com.microsoft", outputs: 4);
        Tensor sum = OneNode.Run("Add", [OneNode.Run("Add", [x, skip])[0], bias])[0];
        Assert.That(y[3].Span<float>().ToArray(), Is.EqualTo(sum.Span<float>().ToArray()));
        Tensor[] expected = OneNode.Run("LayerNormalization", [sum, gamma, beta], new() { ["epsilon"] = 1e-12f }, outputs: 3);
        for (int i = 0; i < 3; i++) Assert.That(y[i].Span<float>().ToArray(), Is.EqualTo(expected[i].Span<float>().ToArray()), $"output {i}");
    }

    [Test]
    public void EmbedLayerNormalizationAddsThreeEmbeddings()
    {
        Tensor words = TestGraph.RandomTensor(1, 10, 4), positions = TestGraph.RandomTensor(2, 3, 4), segments = TestGraph.RandomTensor(3, 2, 4);
        var gamma = Tensor.Create(new float[] { 1, 1, 1, 1 }, 4);
        var beta = new Tensor(DataType.Float32, [4]);
        Tensor[] y = OneNode.Run("EmbedLayerNormalization",
            [Tensor.Create([7, 0, 9], 1, 3), Tensor.Create([1, 0, 1], 1, 3), words, positions, segments, gamma, beta, Tensor.Create([1, 1, 0], 1, 3)], domain: "com.microsoft", outputs: 3);
        for (int i = 0; i < 4; i++) Assert.That(y[2].Span<float>()[i], Is.EqualTo(words.Span<float>()[28 + i] + positions.Span<float>()[i] + segments.Span<float>()[4 + i]));
        Assert.That(y[1].Span<int>()[0], Is.EqualTo(2));
        Tensor expected = OneNode.Run("LayerNormalization", [y[2], gamma, beta], new() { ["epsilon"] = 1e-12f })[0];
        for (int i = 0; i < 12; i++) Assert.That(y[0].Span<float>()[i], Is.EqualTo(expected.Span<float>()[i]).Within(1e-5));
    }

    [Test]
    public void AnOffsetDoesNotDrownTheVariance()
    {
        // Σx² − (Σx)²/n in float32 would lose everything here: x² ≈ 1e6 with steps of 1/16, the variance is 1/3.
        Tensor x = TestGraph.RandomTensor(3, 2, 5000);
        foreach (ref float element in x.Span<float>()) element += 1000;
        Tensor scale = new(DataType.Float32, [5000]);
        scale.Span<float>().Fill(1);
        Tensor y = OneNode.Run("LayerNormalization", [x, scale])[0];
        // The mean is a sum of n = 5000 terms near 1000 in at most 64 lanes, each addition rounding to ε/2 of at most n/64·1000: relative to the mean no
        // more than ε/2·n/64 when all round the same way; divided by the deviation 1/√3.
        double bound = 1000 * Math.Pow(2, -24) * (5000 / 64.0) * Math.Sqrt(3);
        for (int row = 0; row < 2; row++)
        {
            double[] values = [.. x.Span<float>().Slice(row * 5000, 5000).ToArray().Select(value => (double)value)];
            double mean = values.Average(), deviation = Math.Sqrt(values.Average(value => (value - mean) * (value - mean)) + 1e-5);
            for (int i = 0; i < 5000; i++) Assert.That(y.Span<float>()[row * 5000 + i], Is.EqualTo((values[i] - mean) / deviation).Within(bound));
        }
    }
}
