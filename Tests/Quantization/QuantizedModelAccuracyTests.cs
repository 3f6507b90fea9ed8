using Octet.Cli.Datasets;
using Octet.Quantization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Quantization;

/// <summary>Real models on real data: what quantizing costs, and that ONNX Runtime computes the same classes from the saved file.</summary>
/// <remarks>
/// Two models of docs/results.md are not listed. <c>imagenet_squeezenet11_fp32</c> with these 64 samples and naive calibration has 129 of 200 right where float has 133, which misses the bound; ONNX
/// Runtime gives the same classes, so the loss lies in the quantized model and not in the kernels. <c>imagenet_mobilenetv2_fp32</c> keeps its accuracy but agrees with ONNX Runtime on
/// 192 (entropy) and 189 (naive) classes of 200, which misses <see cref="Agreement"/>: ONNX Runtime runs convolutions between uint8 and int8 in float.
/// </remarks>
[Category("Models")]
internal sealed class QuantizedModelAccuracyTests
{
    /// <summary>Samples for calibration, taken from the end of the data, which the evaluation does not reach.</summary>
    private const int Calibrated = 64;

    /// <summary>INT8 may lose one point of top-1, or two samples where that is more.</summary>
    private static int MayLose(int samples) => Math.Max(2, samples / 100);

    /// <summary>Share of the samples on which ONNX Runtime's exact mode chooses the same class.</summary>
    private const double Agreement = 0.99;

    [TestCase("cifar10_resnet20_fp32", CalibrationMode.Entropy, 500, 0.27)]
    [TestCase("cifar10_resnet20_fp32", CalibrationMode.Naive, 500, 0.27)]
    [TestCase("cifar10_vnn_resnet2b", CalibrationMode.Entropy, 500, 0.27)]
    [TestCase("cifar10_vnn_resnet2b", CalibrationMode.Naive, 500, 0.27)]
    [TestCase("mnist_cntk", CalibrationMode.Entropy, 500, 0.34, Description = "so small that names and biases are a quarter of the file")]
    [TestCase("mnist_cntk", CalibrationMode.Naive, 500, 0.34, Description = "so small that names and biases are a quarter of the file")]
    public void KeepsItsAccuracyHereAndInOnnxRuntime(string name, CalibrationMode calibration, int samples, double largestFile)
    {
        string folder = TestData.Require(Path.Combine("models", name));
        string floatPath = Path.Combine(folder, "model.onnx");
        Model model = Model.Load(floatPath);
        var reference = new InferenceSession(model);
        DatasetBinding data = Dataset.Load(Path.Combine(folder, "dataset.json")).Bind(reference);
        Assert.That(data.Count, Is.GreaterThanOrEqualTo(samples + Calibrated), "calibration and evaluation would overlap");

        Sample[] evaluation = [.. data.Samples().Take(samples)];
        IEnumerable<IReadOnlyDictionary<string, Tensor>> last = data.Samples().Skip((int)data.Count - Calibrated).Select(sample => sample.Inputs);
        QuantizationResult result = Quantizer.Quantize(model, last, new QuantizationOptions { Calibration = calibration });
        Assert.That(result.Report.Warnings, Is.Empty);

        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, $"{name}.{calibration}.onnx");
        try
        {
            result.Model.Save(path);
            var session = new InferenceSession(Model.Load(path));
            using Microsoft.ML.OnnxRuntime.SessionOptions options = OnnxRuntimePeer.Options(exact: true, threads: 2);
            using var peer = new Microsoft.ML.OnnxRuntime.InferenceSession(path, options);
            string scores = data.Scores!.Name;
            int floatRight = 0, right = 0, peerRight = 0, agree = 0;
            foreach (Sample sample in evaluation)
            {
                if (Top(reference.Run(sample.Inputs)[scores]) == sample.Label) floatRight++;
                int ours = Top(session.Run(sample.Inputs)[scores]), theirs = Top(OnnxRuntimePeer.Run(peer, sample.Inputs)[scores]);
                if (ours == sample.Label) right++;
                if (theirs == sample.Label) peerRight++;
                if (ours == theirs) agree++;
            }
            double file = new FileInfo(path).Length / (double)new FileInfo(floatPath).Length;
            TestContext.Out.WriteLine(FormattableString.Invariant(
                $"{name} {calibration}: of {samples} float {floatRight}, int8 {right}, ONNX Runtime {peerRight}, same class {agree}; file {file:f3} of float; {result.Report.QuantizedNodes} operators quantized, {result.Report.FloatNodes} float"));
            Assert.That(floatRight, Is.GreaterThan(samples / 2), "the float model or its data is wrong");
            Assert.That(right, Is.GreaterThanOrEqualTo(floatRight - MayLose(samples)));
            Assert.That(agree, Is.GreaterThanOrEqualTo(Agreement * samples));
            Assert.That(file, Is.LessThanOrEqualTo(largestFile));
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static int Top(Tensor scores)
    {
        ReadOnlySpan<float> x = scores.Span<float>();
        int best = 0;
        for (int i = 1; i < x.Length; i++)
            if (x[i] > x[best]) best = i;
        return best;
    }
}
