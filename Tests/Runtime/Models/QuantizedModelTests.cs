using System.IO.Compression;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Passes;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Models;

/// <summary>Models that other tools quantized run in integers and agree with ONNX Runtime's exact mode on real images.</summary>
[Category("Models")]
internal sealed class QuantizedModelTests
{
    private const int Samples = 2000;

    /// <summary>Images for the float simulation, whose convolutions pack their weights anew in every run.</summary>
    private const int Simulated = 4;

    /// <summary>The mission's bound: half a point of top-1.</summary>
    private const double Points = 0.005;

    [Category("Slow")]
    [TestCase("cifar10_nats_qdq_static")]
    [TestCase("cifar10_nats_int8_dynamic")]
    public void AgreesWithOnnxRuntimesExactMode(string name)
    {
        string path = Path.Combine(TestData.Require(Path.Combine("models", name)), "model.onnx");
        (byte Label, float[] Image)[] data = Images(TestData.Require(Path.Combine("models", "data", "cifar10_2000.bin.gz")));
        Model model = Model.Load(path);
        var lowered = new InferenceSession(model, new SessionOptions { Threads = 1 });
        var simulated = new InferenceSession(model, new SessionOptions { Threads = 1, Lower = false });
        using Microsoft.ML.OnnxRuntime.SessionOptions options = OnnxRuntimePeer.Options(exact: true);
        using var peer = new Microsoft.ML.OnnxRuntime.InferenceSession(path, options);

        int right = 0, peerRight = 0, agree = 0, simulatedAgree = 0, seen = 0;
        foreach ((byte label, float[] image) in data)
        {
            var inputs = new Dictionary<string, Tensor> { [lowered.Inputs[0].Name] = Tensor.Create(image, 1, 3, 32, 32) };
            int ours = Top(lowered.Run(inputs)["output"]), theirs = Top(OnnxRuntimePeer.Run(peer, inputs)["output"]);
            if (ours == label) right++;
            if (theirs == label) peerRight++;
            if (ours == theirs) agree++;
            if (seen++ < Simulated && ours == Top(simulated.Run(inputs)["output"])) simulatedAgree++;
        }
        TestContext.Out.WriteLine($"{name}: top-1 {right} of {data.Length}, ONNX Runtime {peerRight}; same class as ONNX Runtime {agree}, as the float simulation {simulatedAgree} of {Simulated}");
        Assert.That(Math.Abs(right - peerRight), Is.LessThanOrEqualTo(Points * data.Length));
        Assert.That(simulatedAgree, Is.EqualTo(Simulated));
    }

    [Test]
    public void EveryConvolutionOfAQdqModelIsAnIntegerLayer()
    {
        string path = Path.Combine(TestData.Require(Path.Combine("models", "cifar10_nats_qdq_static")), "model.onnx");
        Model model = Model.Load(path);
        Graph graph = model.Graph.Clone();
        new GraphEditor(graph).SetType(graph.Inputs[0], new TensorType(DataType.Float32, (ReadOnlySpan<int>)[1, 3, 32, 32]));
        Simplifier.Run(graph, TestGraph.Options);
        int convolutions = graph.Nodes.Count(node => node.Is("Conv"));
        var report = new LoweringReport();
        Lowering.Run(graph, TestGraph.Options, report);
        TestContext.Out.WriteLine(GraphPrinter.Print(graph));
        foreach (NodeExplanation line in report.Explanations)
            TestContext.Out.WriteLine($"{line.Form,-9} {line.OperatorType,-24} {string.Join(" ", line.Rules)} {line.Reason}");
        Assert.That(graph.Nodes.Count(node => node.OperatorType == "QConv"), Is.EqualTo(convolutions));
        Assert.That(graph.Nodes.Count(node => node.Is("Conv") || node.Is("Gemm")), Is.Zero);
        Assert.That(report.Explanations.Where(line => line.Form == NodeForm.Float).Select(line => line.Reason), Is.All.Not.Empty);
    }

    [TestCase("cifar10_nats_qdq_static")]
    [TestCase("cifar10_nats_int8_dynamic")]
    public void RunningAllocatesNothing(string name)
    {
        string path = Path.Combine(TestData.Require(Path.Combine("models", name)), "model.onnx");
        var session = new InferenceSession(Model.Load(path), new SessionOptions { Threads = 1 });
        Tensor[] inputs = [TestGraph.RandomTensor(1, 1, 3, 32, 32)], outputs = session.CreateOutputs(inputs);
        for (int i = 0; i < 3; i++) session.Run(inputs, outputs);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 3; i++) session.Run(inputs, outputs);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    private static int Top(Tensor scores)
    {
        ReadOnlySpan<float> values = scores.Span<float>();
        int best = 0;
        for (int i = 1; i < values.Length; i++) if (values[i] > values[best]) best = i;
        return best;
    }

    /// <summary>CIFAR-10 records: a label, then 32·32 bytes for each of three colours; normalized as the models' data set files say.</summary>
    private static (byte, float[])[] Images(string path)
    {
        ReadOnlySpan<float> mean = [0.4914f, 0.4822f, 0.4465f], deviation = [0.2023f, 0.1994f, 0.201f];
        const int plane = 32 * 32, record = 1 + 3 * plane;
        using var stream = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        var result = new (byte, float[])[Samples];
        var buffer = new byte[record];
        for (int n = 0; n < Samples; n++)
        {
            stream.ReadExactly(buffer);
            var image = new float[3 * plane];
            for (int i = 0; i < image.Length; i++) image[i] = (buffer[1 + i] / 255f - mean[i / plane]) / deviation[i / plane];
            result[n] = (buffer[0], image);
        }
        return result;
    }
}
