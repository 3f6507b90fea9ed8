using System.Runtime.Intrinsics.X86;
using Octet.Cli.Datasets;
using Octet.Quantization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Quantization;

/// <summary>Real models on real data: what quantizing costs, and that ONNX Runtime computes the same classes from the saved file.</summary>
/// <remarks>What <c>octet quantize</c> and <c>octet eval</c> do by default: calibration on the first 100 samples, evaluation on the data, those samples included.</remarks>
[Category("Models")]
internal sealed class QuantizedModelAccuracyTests
{
    /// <summary>Samples for calibration, the first of the data.</summary>
    private const int Calibrated = 100;

    /// <summary>INT8 may lose one point of top-1.</summary>
    private static int MayLose(int samples) => samples / 100;

    /// <summary>Share of the samples on which ONNX Runtime's exact mode chooses the same class, and on x64, where sums are specified as it computes them, gives the same bits.</summary>
    private const double Agreement = 0.99;

    [TestCase("imagenet_squeezenet11_fp32", CalibrationMode.Entropy, 500, 0.27)]
    [TestCase("imagenet_squeezenet11_fp32", CalibrationMode.Naive, 500, 0.27)]
    [TestCase("imagenet_mobilenetv2_fp32", CalibrationMode.Entropy, 500, 0.27)]
    [TestCase("imagenet_mobilenetv2_fp32", CalibrationMode.Naive, 500, 0.27)]
    [TestCase("cifar10_resnet20_fp32", CalibrationMode.Entropy, 2000, 0.27)]
    [TestCase("cifar10_resnet20_fp32", CalibrationMode.Naive, 2000, 0.27)]
    [TestCase("cifar10_vnn_resnet2b", CalibrationMode.Entropy, 2000, 0.27)]
    [TestCase("cifar10_vnn_resnet2b", CalibrationMode.Naive, 2000, 0.27)]
    [TestCase("mnist_cntk", CalibrationMode.Entropy, 2000, 0.34, Description = "so small that names and biases are a quarter of the file")]
    [TestCase("mnist_cntk", CalibrationMode.Naive, 2000, 0.34, Description = "so small that names and biases are a quarter of the file")]
    public void KeepsItsAccuracyHereAndInOnnxRuntime(string name, CalibrationMode calibration, int samples, double largestFile)
    {
        string folder = TestData.Require(Path.Combine("models", name));
        string floatPath = Path.Combine(folder, "model.onnx");
        Model model = Model.Load(floatPath);
        var reference = new InferenceSession(model);
        DatasetBinding data = Dataset.Load(Path.Combine(folder, "dataset.json")).Bind(reference);
        Assert.That(data.Count, Is.GreaterThanOrEqualTo(samples));

        IEnumerable<IReadOnlyDictionary<string, Tensor>> first = data.Samples().Take(Calibrated).Select(sample => sample.Inputs);
        QuantizationResult result = Quantizer.Quantize(model, first, new QuantizationOptions { Calibration = calibration });
        Assert.That(result.Report.Warnings, Is.Empty);

        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, $"{name}.{calibration}.onnx");
        try
        {
            result.Model.Save(path);
            var session = new InferenceSession(Model.Load(path));
            using Microsoft.ML.OnnxRuntime.SessionOptions options = OnnxRuntimePeer.Options(exact: true, threads: 2);
            using var peer = new Microsoft.ML.OnnxRuntime.InferenceSession(path, options);
            string scores = data.Scores!.Name;
            int floatRight = 0, right = 0, peerRight = 0, agree = 0, equal = 0;
            foreach (Sample sample in data.Samples().Take(samples))
            {
                if (Top(reference.Run(sample.Inputs)[scores]) == sample.Label) floatRight++;
                Tensor own = session.Run(sample.Inputs)[scores], other = OnnxRuntimePeer.Run(peer, sample.Inputs)[scores];
                int ours = Top(own), theirs = Top(other);
                if (ours == sample.Label) right++;
                if (theirs == sample.Label) peerRight++;
                if (ours == theirs) agree++;
                if (own.Bytes.Span.SequenceEqual(other.Bytes.Span)) equal++;
            }
            double file = new FileInfo(path).Length / (double)new FileInfo(floatPath).Length;
            TestContext.Out.WriteLine(FormattableString.Invariant(
                $"{name} {calibration}: of {samples} float {floatRight}, int8 {right}, ONNX Runtime {peerRight}, same class {agree}, same bits {equal}; file {file:f3} of float; {result.Report.QuantizedNodes} operators quantized, {result.Report.FloatNodes} float"));
            Assert.That(floatRight, Is.GreaterThan(samples / 2), "the float model or its data is wrong");
            Assert.That(right, Is.GreaterThanOrEqualTo(floatRight - MayLose(samples)));
            Assert.That(agree, Is.GreaterThanOrEqualTo(Agreement * samples));
            // Layers that stay float sum in an order of their own, which may move what is rounded behind them by a step.
            if (Fma.IsSupported && result.Report.Decisions.All(decision => decision.Quantized || decision.OperatorType != "Conv")) Assert.That(equal, Is.GreaterThanOrEqualTo(Agreement * samples));
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
