using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Onnx;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Models;

/// <summary>Real float models against ONNX Runtime and against their stored outputs: within 1e-4 of the largest output.</summary>
[Category("Models")]
internal sealed class FoundationModelTests
{
    /// <summary>The bound of the comparison, relative to the largest output.</summary>
    private const double Bound = 1e-4;

    [TestCase("imagenet_squeezenet11_fp32")]
    [TestCase("imagenet_mobilenetv2_fp32")]
    [TestCase("cifar10_resnet20_fp32")]
    [TestCase("cifar10_vnn_resnet2b")]
    [TestCase("mnist_cntk")]
    [TestCase("face_ultraface_rfb320")]
    public void MatchesStoredOutputsAndOnnxRuntime(string name)
    {
        string folder = TestData.Require(Path.Combine("models", name));
        Model model = Model.Load(Path.Combine(folder, "model.onnx"));
        var session = new InferenceSession(model, new SessionOptions { Threads = 2 });
        string[] sets = Directory.GetDirectories(folder, "test_data_set_*");
        Assert.That(sets, Is.Not.Empty);
        foreach (string set in sets)
        {
            var inputs = new Dictionary<string, Tensor>();
            for (int i = 0; i < session.Inputs.Count; i++)
                inputs.Add(session.Inputs[i].Name, (Tensor)TensorFile.Load(Path.Combine(set, $"input_{i}.pb"), session.Inputs[i].Type)!);
            IReadOnlyDictionary<string, Tensor> outputs = session.Run(inputs);
            IReadOnlyDictionary<string, Tensor> peer = OnnxRuntimePeer.Run(Path.Combine(folder, "model.onnx"), inputs);
            for (int o = 0; o < session.Outputs.Count; o++)
            {
                string output = session.Outputs[o].Name;
                string stored = Path.Combine(set, $"output_{o}.pb");
                if (File.Exists(stored)) AssertClose(outputs[output], (Tensor)TensorFile.Load(stored, session.Outputs[o].Type)!, $"{name} '{output}' against the stored output");
                AssertClose(outputs[output], peer[output], $"{name} '{output}' against ONNX Runtime");
            }
        }
    }

    private static void AssertClose(Tensor actual, Tensor expected, string what)
    {
        Assert.That(actual.Shape.ToArray(), Is.EqualTo(expected.Shape.ToArray()), what);
        ReadOnlySpan<float> a = actual.Span<float>(), e = expected.Span<float>();
        double largest = 0, difference = 0;
        for (int i = 0; i < e.Length; i++)
        {
            largest = Math.Max(largest, Math.Abs(e[i]));
            difference = Math.Max(difference, Math.Abs((double)a[i] - e[i]));
            Assert.That(float.IsNaN(a[i]), Is.EqualTo(float.IsNaN(e[i])), what);
        }
        Assert.That(difference, Is.LessThanOrEqualTo(Bound * largest), $"{what}: largest difference {difference}, largest output {largest}");
    }
}
