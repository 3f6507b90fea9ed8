using Octet.Quantization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Quantization;

/// <summary>Batch normalizations that would amplify the rounding of their input stay float, with the sums in front of them and with the reason.</summary>
internal sealed class RoundingGuardTests
{
    private static readonly QuantizationOptions Naive = new() { Calibration = CalibrationMode.Naive };

    /// <summary>
    /// conv → sum with its input → batch normalization → ReLU → conv, and another conv that reads the sum. Each of eight channels is <paramref name="ratio"/> times as loud as the one before, and
    /// normalization makes them equal.
    /// </summary>
    private static (Model Model, Dictionary<string, Tensor>[] Samples) Make(float ratio)
    {
        float[] loud = [.. Enumerable.Range(0, 8).Select(i => MathF.Pow(ratio, i))];
        var g = new TestGraph();
        Value x = g.Input("x", 1, 8, 6, 6);
        Value add = g.Node("Add", [g.Node("Conv", [x, g.Floats("w1", [.. Enumerable.Range(0, 64).Select(i => i % 9 == 0 ? 0.4f : 0)], 8, 8, 1, 1)], name: "c1"), x], name: "add");
        Value bn = g.Node("BatchNormalization", [add, g.Floats("gamma", [.. Enumerable.Repeat(1f, 8)]), g.Floats("beta", new float[8]), g.Floats("mean", new float[8]),
            g.Floats("variance", [.. loud.Select(l => 1.4f * 1.4f * l * l / 3)])], name: "bn");
        g.Output(g.Node("Conv", [g.Node("Relu", [bn], name: "relu"), g.Random("w2", 5, 4, 8, 1, 1)], name: "c2"), "y");
        g.Output(g.Node("Conv", [add, g.Random("w3", 6, 4, 8, 1, 1)], name: "c3"), "z");
        Dictionary<string, Tensor>[] samples = [.. Enumerable.Range(0, 3).Select(seed =>
        {
            Tensor sample = TestGraph.RandomTensor(seed, 1, 8, 6, 6);
            Span<float> values = sample.Span<float>();
            for (int i = 0; i < values.Length; i++) values[i] *= loud[i / 36];
            return new Dictionary<string, Tensor> { ["x"] = sample };
        })];
        return (new Model(g.Graph), samples);
    }

    [Test]
    public void AnAmplifyingNormalizationReadsRealValues()
    {
        (Model model, Dictionary<string, Tensor>[] samples) = Make(2);
        QuantizationResult result = Quantizer.Quantize(model, samples, Naive);
        Assert.That(result.Report.Decisions.Where(decision => !decision.Quantized).Select(decision => decision.Node), Is.EqualTo(new[] { "add", "bn" }));
        Assert.That(result.Report.Decisions.Single(decision => decision.Node == "bn").Reason, Does.Contain("dB of signal to noise; rule: at least 30 dB"));
        Assert.That(result.Report.Decisions.Single(decision => decision.Node == "add").Reason, Is.EqualTo("'bn' needs its real values"));
        Node bn = result.Model.Graph.Nodes.Single(node => node.Name == "bn"), c3 = result.Model.Graph.Nodes.Single(node => node.Name == "c3");
        Assert.That(bn.Inputs[0]!.Producer!.Name, Is.EqualTo("add"));
        Assert.That(c3.Inputs[0]!.Producer!.OperatorType, Is.EqualTo("DequantizeLinear"), "for the other reader the sum is quantized all the same");

        double guarded = Noise(model, result.Model, samples[0], "y"), unguarded = Noise(model, Quantizer.Quantize(model, samples, Naive with { LeastSqnr = 0 }).Model, samples[0], "y");
        // What is left is the rounding of x for the convolution, 0.4² of x's; without the guard there is the sum's too, 1.4² of it.
        Assert.That(unguarded, Is.GreaterThan(5 * guarded));
    }

    [Test]
    public void OtherNormalizationsAreQuantized()
    {
        (Model model, Dictionary<string, Tensor>[] samples) = Make(1);
        Assert.That(Quantizer.Quantize(model, samples, Naive).Report.FloatNodes, Is.Zero);
        (model, samples) = Make(3);
        Assert.That(Quantizer.Quantize(model, samples, Naive with { LeastSqnr = 0 }).Report.FloatNodes, Is.Zero, "0 keeps none");
        Assert.That(() => Quantizer.Quantize(model, samples, Naive with { LeastSqnr = -1 }), Throws.ArgumentException.With.Message.Contains("LeastSqnr is -1; rule:"));
        Assert.That(() => Quantizer.Quantize(model, samples, Naive with { LeastSqnr = double.NaN }), Throws.ArgumentException);
    }

    [Test]
    public void ALayerInFrontGivesRealValuesItself()
    {
        // conv → bn would fold; a second reader of the convolution keeps them apart.
        (Model model, Dictionary<string, Tensor>[] samples) = Make(3);
        Graph graph = model.Graph.Clone();
        var editor = new GraphEditor(graph);
        editor.SetInput(graph.Nodes.Single(node => node.Name == "bn"), 0, graph.Nodes.Single(node => node.Name == "c1").Output);
        model = new Model(graph);
        QuantizationResult result = Quantizer.Quantize(model, samples, Naive);
        Assert.That(result.Report.Decisions.Where(decision => !decision.Quantized).Select(decision => decision.Node), Is.EqualTo(new[] { "bn" }));
        Assert.That(result.Model.Graph.Nodes.Single(node => node.Name == "bn").Inputs[0]!.Producer!.Name, Is.EqualTo("c1"), "not what the integers for the sum mean");
    }

    /// <summary>conv1 → sum with its input → conv2 + ReLU → conv3; one element in 20 000 of the input is <paramref name="outlier"/>, the others are at most 1.</summary>
    private static (Model Model, Dictionary<string, Tensor>[] Samples) Peaks(float outlier)
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 4, 50, 100);
        Value add = g.Node("Add", [g.Node("Conv", [x, g.Floats("w1", [.. Enumerable.Range(0, 16).Select(i => i % 5 == 0 ? 0.5f : 0.01f)], 4, 4, 1, 1)], name: "conv1"), x], name: "add");
        Value relu = g.Node("Relu", [g.Node("Conv", [add, g.Random("w2", 5, 3, 4, 1, 1), g.Random("b2", 6, 3)], name: "conv2")], name: "relu");
        g.Output(g.Node("Conv", [relu, g.Random("w3", 7, 2, 3, 1, 1)], name: "conv3"), "y");
        Tensor sample = TestGraph.RandomTensor(3, 1, 4, 50, 100);
        sample.Span<float>()[777] = outlier;
        return (new Model(g.Graph), [new() { ["x"] = sample }]);
    }

    [Test]
    public void WhatReadsAnActivationWithFarOutliersStaysFloatWithInt8Weights()
    {
        (Model model, Dictionary<string, Tensor>[] samples) = Peaks(80);
        QuantizationResult result = Quantizer.Quantize(model, samples, new QuantizationOptions { Calibration = CalibrationMode.MeanSquaredError });
        Dictionary<string, NodeDecision> decisions = result.Report.Decisions.ToDictionary(decision => decision.Node);
        Assert.That(new[] { "conv1", "add", "conv2", "relu" }.Where(name => decisions[name].Quantized), Is.Empty);
        Assert.That(decisions["conv1"].Reason, Does.Match(@"^8 bits would leave 'x' [12]\d\.\d dB of signal to noise; rule: at least 30 dB"));
        Assert.That(decisions["relu"].Reason, Is.EqualTo("'conv2' in front stays float"));
        foreach (Node conv in result.Model.Graph.Nodes.Where(node => node.OperatorType == "Conv"))
            Assert.That(conv.Inputs[1]!.Producer?.Inputs[0]?.Constant?.Type, Is.EqualTo(DataType.Int8), $"{conv.Name}: weights are stored as int8");
        double guarded = Noise(model, result.Model, samples[0], "y"), unguarded = Noise(model, Quantizer.Quantize(model, samples, new QuantizationOptions { Calibration = CalibrationMode.MeanSquaredError, LeastSqnr = 0 }).Model, samples[0], "y");
        Assert.That(unguarded, Is.GreaterThan(10 * guarded));
    }

    [Test]
    public void ActivationsWithoutFarOutliersAreQuantized()
    {
        (Model model, Dictionary<string, Tensor>[] samples) = Peaks(1);
        Assert.That(Quantizer.Quantize(model, samples).Report.FloatNodes, Is.Zero);
        (model, samples) = Peaks(80);
        Assert.That(Quantizer.Quantize(model, samples, Naive).Report.FloatNodes, Is.Zero, "a range alone says nothing of the values within");
        Assert.That(Quantizer.Quantize(model, samples, new QuantizationOptions { LeastSqnr = 0 }).Report.FloatNodes, Is.Zero, "0 keeps none");
    }

    /// <summary>Σ (actual − expected)² / Σ expected².</summary>
    private static double Noise(Model model, Model quantized, Dictionary<string, Tensor> sample, string output)
    {
        float[] expected = new InferenceSession(model).Run(sample)[output].ToFloat32Array(), actual = new InferenceSession(quantized).Run(sample)[output].ToFloat32Array();
        return expected.Zip(actual, (e, a) => (double)(a - e) * (a - e)).Sum() / expected.Sum(e => (double)e * e);
    }
}
