using Octet.Quantization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Onnx;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Models;

/// <summary>Every real model: stored outputs, ONNX Runtime at batch 1 and, where the model allows, at another batch or length, and the way through the quantizer.</summary>
[Category("Models")]
internal sealed class RealModelTests
{
    /// <summary>Float models: the largest difference as a share of the largest output.</summary>
    private const double Bound = 1e-4;

    /// <summary>float16 models: one unit of float16's last place below 1, twice, because both sides round their sums to it.</summary>
    private const double HalfBound = 2.0 / 1024;

    /// <summary>What a model is fed beside its stored inputs.</summary>
    /// <param name="Name">Folder.</param>
    /// <param name="Inputs">Inputs in the model's order, as ELEMENTS of the shape; B is the batch. A text value <c>=N</c> is the number itself.</param>
    /// <param name="Batches">Batches, or lengths for models with a free length.</param>
    /// <param name="ByOthers">Whether another tool quantized it, so that it is compared by its largest element.</param>
    private sealed record Row(string Name, string Inputs, int[] Batches, bool ByOthers = false)
    {
        public override string ToString() => Name;
    }

    private static readonly Row[] Rows =
    [
        new("audio_basic_pitch", "B,43844,1", [1]),
        new("audio_silero_vad_op15", "B,512;2,B,128;=16000", [1, 3]),
        new("audio_silero_vad_op18_ifless", "B,576;=16000;2,B,128", [1, 3]),
        new("cifar10_marabou_large_nhwc", "B,32,32,3", [1, 3]),
        new("cifar10_nats_fp32", "B,3,32,32", [1, 3]),
        new("cifar10_nats_int8_dynamic", "B,3,32,32", [1, 3], ByOthers: true),
        new("cifar10_nats_qdq_static", "B,3,32,32", [1, 3], ByOthers: true),
        new("cifar10_resnet20_fp32", "1,3,32,32", [1]),
        new("cifar10_vit_ibp_3_3_8", "B,3,32,32", [1, 3]),
        new("cifar10_vnn_resnet2b", "1,3,32,32", [1]),
        new("detect_fastestdet_coco", "1,3,352,352", [1]),
        new("face_ultraface_rfb320", "1,3,240,320", [1]),
        new("imagenet_mobilenetv2_fp32", "B,3,224,224", [1, 2]),
        new("imagenet_squeezenet11_fp16", "1,3,224,224", [1]),
        new("imagenet_squeezenet11_fp32", "1,3,224,224", [1]),
        new("mnist_cntk", "1,1,28,28", [1]),
        new("mnist_vnn_convnet_avgpool", "1,1,28,28", [1]),
        new("mnist_vnn_sigmoid_6x200", "1,1,28,28", [1]),
        new("superres_pytorch_opset10", "B,1,224,224", [1, 2]),
        new("text_magika_v3_3", "B,2048", [1, 2]),
        new("text_tract_byte_bilstm", "2,B", [1, 17, 40]),
        new("untrained_autoencoder1d_opset20", "1,16,16", [1]),
        new("untrained_tinyvit_demo_opset20", "1,3,32,32", [1]),
    ];

    private static IEnumerable<TestCaseData> All() => Rows.Select(row => new TestCaseData(row).SetArgDisplayNames(row.Name));

    [Test]
    public void EveryFolderHasARow()
    {
        string root = TestData.Require("models");
        Assert.That(Directory.GetDirectories(root).Where(folder => File.Exists(Path.Combine(folder, "model.onnx"))).Select(Path.GetFileName).Except(Rows.Select(row => row.Name)), Is.Empty);
    }

    [TestCaseSource(nameof(All))]
    public void GivesItsStoredOutputs(object model)
    {
        var row = (Row)model;
        string folder = TestData.Require(Path.Combine("models", row.Name));
        string[] sets = Directory.GetDirectories(folder, "test_data_set_*");
        if (sets.Length == 0) Assert.Ignore("the model has no stored outputs");
        var session = new InferenceSession(Model.Load(Path.Combine(folder, "model.onnx")), new SessionOptions { Threads = 2 });
        foreach (string set in sets)
        {
            var inputs = new Dictionary<string, Tensor>();
            for (int i = 0; i < session.Inputs.Count; i++)
                inputs.Add(session.Inputs[i].Name, (Tensor)TensorFile.Load(Path.Combine(set, $"input_{i}.pb"), session.Inputs[i].Type)!);
            IReadOnlyDictionary<string, Tensor> outputs = session.Run(inputs);
            int compared = 0;
            for (int o = 0; o < session.Outputs.Count; o++)
            {
                string stored = Path.Combine(set, $"output_{o}.pb");
                if (!File.Exists(stored)) continue;
                Compare(row, outputs[session.Outputs[o].Name], (Tensor)TensorFile.Load(stored, session.Outputs[o].Type)!, $"{Path.GetFileName(set)} '{session.Outputs[o].Name}'");
                compared++;
            }
            Assert.That(compared, Is.Positive);
        }
    }

    [TestCaseSource(nameof(All))]
    public void AgreesWithOnnxRuntimeAtEveryBatch(object model)
    {
        var row = (Row)model;
        string path = Path.Combine(TestData.Require(Path.Combine("models", row.Name)), "model.onnx");
        var session = new InferenceSession(Model.Load(path), new SessionOptions { Threads = 2 });
        using Microsoft.ML.OnnxRuntime.SessionOptions options = OnnxRuntimePeer.Options(exact: true);
        using var peer = new Microsoft.ML.OnnxRuntime.InferenceSession(path, options);
        // The first batch comes again: a plan for another shape must not disturb the one before.
        foreach (int batch in (int[])[.. row.Batches, row.Batches[0]])
        {
            Dictionary<string, Tensor> inputs = Inputs(row, session, batch);
            IReadOnlyDictionary<string, Tensor> outputs = session.Run(inputs), expected = OnnxRuntimePeer.Run(peer, inputs);
            foreach (ValueInfo output in session.Outputs) Compare(row, outputs[output.Name], expected[output.Name], $"'{output.Name}', batch {batch}");
        }
    }

    [Category("Slow")]
    [TestCaseSource(nameof(All))]
    public void GoesThroughTheQuantizer(object model)
    {
        var row = (Row)model;
        string path = Path.Combine(TestData.Require(Path.Combine("models", row.Name)), "model.onnx");
        Model source = Model.Load(path);
        var session = new InferenceSession(source);
        int length = row.Batches[^1];
        QuantizationResult result = Quantizer.Quantize(source, [Inputs(row, session, length), Inputs(row, session, length)], new QuantizationOptions { Calibration = CalibrationMode.Naive });
        Assert.That(result.Report.Decisions, Is.Not.Empty);
        Assert.That(result.Report.Decisions.Where(decision => !decision.Quantized && decision.Reason.Length == 0), Is.Empty, "what stays float has a reason");
        // A second quantization would only lose accuracy.
        Assert.That(result.Report.Warnings.Any(warning => warning.Contains("quantized already", StringComparison.Ordinal)), Is.EqualTo(row.ByOthers));
        TestContext.Out.WriteLine($"{row.Name}: {result.Report.QuantizedNodes} of {result.Report.Decisions.Count} nodes quantized");
        foreach (IGrouping<string, NodeDecision> reason in result.Report.Decisions.Where(decision => !decision.Quantized).GroupBy(decision => $"{decision.OperatorType}: {decision.Reason}").OrderByDescending(group => group.Count()))
            TestContext.Out.WriteLine($"  {reason.Count(),4} {reason.Key}");
        IReadOnlyDictionary<string, Tensor> outputs = new InferenceSession(result.Model).Run(Inputs(row, session, length));
        foreach (ValueInfo output in session.Outputs) Assert.That(outputs[output.Name].ToFloat32Array().Where(float.IsNaN), Is.Empty, $"'{output.Name}' has no NaN");
        if (!row.ByOthers) return;
        // A second quantization would only lose accuracy: what the model brings quantized stays, bit for bit.
        Assert.That(result.Report.Warnings, Has.Some.Contains("quantized already"));
        IReadOnlyDictionary<string, Tensor> before = session.Run(Inputs(row, session, length));
        foreach (ValueInfo output in session.Outputs) Assert.That(outputs[output.Name].Bytes.ToArray(), Is.EqualTo(before[output.Name].Bytes.ToArray()), output.Name);
    }

    /// <summary>Seeded inputs: floats in [−1, 1), bytes of text, numbers as the row writes them.</summary>
    private static Dictionary<string, Tensor> Inputs(Row row, InferenceSession session, int batch)
    {
        string[] parts = row.Inputs.Split(';');
        Assert.That(parts, Has.Length.EqualTo(session.Inputs.Count));
        var inputs = new Dictionary<string, Tensor>();
        for (int i = 0; i < parts.Length; i++)
        {
            ValueInfo input = session.Inputs[i];
            if (parts[i][0] == '=')
            {
                inputs.Add(input.Name, Tensor.Scalar(long.Parse(parts[i][1..], System.Globalization.CultureInfo.InvariantCulture)));
                continue;
            }
            int[] shape = [.. parts[i].Split(',').Select(extent => extent == "B" ? batch : int.Parse(extent, System.Globalization.CultureInfo.InvariantCulture))];
            var random = new Random(41 + i);
            Tensor values = TestGraph.RandomTensor(40 + i, shape);
            // Sound is a quiet tone with a little noise: full-scale noise drives a voice detector to probabilities of 10⁻⁵, where any rounding is a large share.
            if (row.Name.StartsWith("audio", StringComparison.Ordinal))
            {
                Span<float> samples = values.Span<float>();
                for (int t = 0; t < samples.Length; t++) samples[t] = 0.2f * MathF.Sin(0.05f * t) + 0.1f * MathF.Sin(0.31f * t) + 0.02f * samples[t];
            }
            inputs.Add(input.Name, input.Type.Element switch
            {
                DataType.Float32 => values,
                DataType.Float16 => Tensor.Create(Array.ConvertAll(values.ToFloat32Array(), value => (Half)value), shape),
                DataType.UInt8 => Tensor.Create([.. Enumerable.Range(0, values.Length).Select(_ => (byte)random.Next(32, 127))], shape),
                DataType.Int32 => Tensor.Create([.. Enumerable.Range(0, values.Length).Select(_ => random.Next(32, 127))], shape),
                var other => throw new NotSupportedException($"{other} as an input"),
            });
        }
        return inputs;
    }

    private static void Compare(Row row, Tensor actual, Tensor expected, string what)
    {
        Assert.That(actual.ToString(), Is.EqualTo(expected.ToString()), what);
        float[] a = actual.ToFloat32Array(), e = expected.ToFloat32Array();
        if (row.ByOthers)
        {
            int columns = expected.Shape[^1];
            for (int first = 0; first < e.Length; first += columns)
                Assert.That(Largest(a.AsSpan(first, columns)), Is.EqualTo(Largest(e.AsSpan(first, columns))), $"{what}: largest element of row {first / columns}");
            return;
        }
        double largest = 0, difference = 0;
        for (int i = 0; i < e.Length; i++)
        {
            Assert.That(float.IsNaN(a[i]), Is.EqualTo(float.IsNaN(e[i])), what);
            largest = Math.Max(largest, Math.Abs(e[i]));
            difference = Math.Max(difference, Math.Abs((double)a[i] - e[i]));
        }
        double bound = actual.Type == DataType.Float16 ? HalfBound : Bound;
        Assert.That(difference, Is.LessThanOrEqualTo(bound * largest), $"{what}: largest difference {difference}, largest output {largest}");
    }

    private static int Largest(ReadOnlySpan<float> values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++) if (values[i] > values[best]) best = i;
        return best;
    }
}
