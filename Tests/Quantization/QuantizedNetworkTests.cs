using Octet.Cli.Evaluation;
using Octet.Quantization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Quantization;

/// <summary>Real networks of kinds that are no plain classifiers, from float to integers: transformers, recurrent layers, transposed convolutions, audio.</summary>
[Category("Models")]
internal sealed class QuantizedNetworkTests
{
    [TestCase("cifar10_vit_ibp_3_3_8")]
    [TestCase("text_tract_byte_bilstm", 1, 64)]
    [TestCase("untrained_tinyvit_demo_opset20")]
    [TestCase("untrained_autoencoder1d_opset20")]
    [TestCase("cifar10_nats_fp32")]
    [TestCase("superres_pytorch_opset10")]
    public void EveryLayerThatIsMarkedRunsInIntegers(string name, params int[] shape)
    {
        Model model = Model.Load(Path.Combine(TestData.Require(Path.Combine("models", name)), "model.onnx"));
        var session = new InferenceSession(model);
        Tensor[] inputs = SyntheticInputs.Create(session.Inputs, shape.Length == 0 ? new Dictionary<string, int[]>() : new Dictionary<string, int[]> { [session.Inputs[0].Name] = shape });
        Dictionary<string, Tensor> sample = session.Inputs.Select((input, i) => (input.Name, inputs[i])).ToDictionary(pair => pair.Name, pair => pair.Item2);
        IReadOnlyDictionary<string, Tensor> expected = session.Run(sample);

        QuantizationResult result = Quantizer.Quantize(model, [sample], new QuantizationOptions { Calibration = CalibrationMode.Naive });
        var quantized = new InferenceSession(result.Model);
        IReadOnlyList<OperatorExplanation> lines = quantized.Explain(inputs);
        string[] marked = [.. result.Report.Decisions.Where(decision => decision.Quantized && decision.OperatorType is "Conv" or "ConvTranspose" or "Gemm" or "MatMul" or "LSTM" or "GRU").Select(decision => decision.Node)];
        Assert.That(marked, Is.Not.Empty);
        string[] floats = [.. lines.Where(line => line.Arithmetic == "float" && line.Origins.Intersect(marked).Any()).Select(line => $"{line.OperatorType} '{line.Node}': {line.Reason}")];
        Assert.That(floats, Is.Empty, "marked layers that stayed float");

        IReadOnlyDictionary<string, Tensor> actual = quantized.Run(sample);
        foreach ((string output, Tensor value) in expected)
        {
            if (!value.Type.IsFloat()) continue;
            float[] e = value.ToFloat32Array(), a = actual[output].ToFloat32Array();
            double dot = 0, ee = 0, aa = 0;
            for (int i = 0; i < e.Length; i++) (dot, ee, aa) = (dot + e[i] * (double)a[i], ee + e[i] * (double)e[i], aa + a[i] * (double)a[i]);
            double cosine = dot / Math.Sqrt(Math.Max(ee * aa, double.Epsilon));
            TestContext.Out.WriteLine($"{name} {output}: cosine {cosine:F4}, {lines.Count(line => line.Arithmetic.StartsWith("int8", StringComparison.Ordinal))} integer and {lines.Count(line => line.Arithmetic == "float")} float operators");
            Assert.That(a.All(float.IsFinite), output);
            Assert.That(cosine, Is.GreaterThan(0.95), $"'{output}'");
        }
    }
}
