using Octet.Quantization;
using Octet.Quantization.Calibration;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Passes;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes;

/// <summary>8-bit weights with activations that are quantized by their range at run time: products, convolutions, recurrent layers.</summary>
internal sealed class RunTimeRangeTests
{
    private const int Steps = 5, Batch = 3, Inputs = 7, Hidden = 6;

    private static int Gates(string type) => type switch { "LSTM" => 4, "GRU" => 3, _ => 1 };

    [Test]
    public void RecurrentLayersRunOnIntegerWeights([Values("LSTM", "GRU", "RNN")] string type, [Values("forward", "reverse", "bidirectional")] string direction, [Values] bool perChannel, [Values] bool unsigned)
    {
        QuantizedGraph graph = Recurrent(type, direction, perChannel, unsigned ? DataType.UInt8 : DataType.Int8, layers: 1, linearFirst: type == "GRU" && perChannel);
        (Graph lowered, LoweringReport report) = graph.Lower();
        Assert.That(lowered.Nodes.Select(node => node.OperatorType), Is.EqualTo(new[] { "DynamicQuantize" + type }));
        Assert.That(report.For(type.ToLowerInvariant())!.Rules, Is.EqualTo(new[] { "quantize-recurrent" }));

        // The same bits as the definition below, which computes every product in 64-bit integers.
        Tensor[] actual = graph.RunLowered(out _, out _);
        Tensor[] simulated = graph.Simulate();
        Assert.That(actual, Has.Length.EqualTo(simulated.Length));
        for (int i = 0; i < actual.Length; i++)
        {
            float[] a = actual[i].ToFloat32Array(), s = simulated[i].ToFloat32Array();
            // Quantizing x and h to 255 steps of ranges of about 4 and 2 moves a gate by at most half a step times Σ|w|, and no gate amplifies that by more than the number of steps.
            double bound = Steps * (2.0 / 255 * 2.6 * Inputs * 0.26 + 1.0 / 255 * 2 * Hidden * 0.26);
            for (int at = 0; at < a.Length; at++) Assert.That(a[at], Is.EqualTo(s[at]).Within(bound));
            Assert.That(a.Zip(s).Count(pair => pair.First != pair.Second), Is.GreaterThan(0), "the layer ran in float");
        }
    }

    [Test]
    public void OneStepOfAnIntegerCellEqualsTheDefinition([Values("LSTM", "GRU", "RNN")] string type, [Values] bool perChannel)
    {
        var graph = new QuantizedGraph(3);
        int columns = Gates(type) * Hidden;
        Value x = graph.Input(2, 1, 1, Inputs);
        float[] scales = perChannel ? [.. Enumerable.Range(0, columns).Select(n => 0.002f + 0.0001f * n)] : [0.002f];
        Value w = graph.Weight(1, scales, DataType.Int8, 0, 1, columns, Inputs), r = graph.Weight(1, scales, DataType.Int8, 0, 1, columns, Hidden);
        Value y = graph.Node(type, [x, w, r], new AttributeMap { ["hidden_size"] = (long)Hidden });
        graph.Output(y);
        float[] actual = graph.RunLowered(out _, out _)[0].ToFloat32Array();

        float[] data = graph.InputTensor("x0").ToFloat32Array();
        float least = Math.Min(0, data.Min()), greatest = Math.Max(0, data.Max()), scale = (greatest - least) / 255;
        int zero = (int)MathF.Round(Math.Clamp(-least / scale, 0, 255));
        int[] q = [.. data.Select(value => Math.Clamp((int)MathF.Round(value / scale) + zero, 0, 255))];
        ReadOnlySpan<sbyte> weights = w.Producer!.Inputs[0]!.Constant!.Span<sbyte>();
        var gates = new float[columns];
        for (int n = 0; n < columns; n++)
        {
            int sum = 0;
            for (int k = 0; k < Inputs; k++) sum += (q[k] - zero) * weights[n * Inputs + k];
            gates[n] = sum * (scale * scales[perChannel ? n : 0]);
        }
        static double Sigmoid(double value) => 1 / (1 + Math.Exp(-value));
        for (int n = 0; n < Hidden; n++)
        {
            double expected = type switch
            {
                "LSTM" => Sigmoid(gates[Hidden + n]) * Math.Tanh(Sigmoid(gates[n]) * Math.Tanh(gates[3 * Hidden + n])),
                "GRU" => (1 - Sigmoid(gates[n])) * Math.Tanh(gates[2 * Hidden + n]),
                _ => Math.Tanh(gates[n]),
            };
            // Float activations of exact sums: a few units in the last place.
            Assert.That(actual[n], Is.EqualTo(expected).Within(2e-6));
        }
    }

    [Test]
    public void SeveralRecurrentLayersStayIntegerOneBehindTheOther([Values("LSTM", "GRU")] string type)
    {
        QuantizedGraph graph = Recurrent(type, "bidirectional", true, DataType.Int8, layers: 3, linearFirst: false);
        (Graph lowered, _) = graph.Lower();
        Assert.That(lowered.Nodes.Count(node => node.OperatorType == "DynamicQuantize" + type), Is.EqualTo(3));
        Assert.That(lowered.Nodes.Count(node => node.OperatorType == type), Is.Zero);
        Tensor[] one = graph.RunLowered(out _, out _);
        Assert.That(graph.RunLowered(out _, out _)[0].Bytes.ToArray(), Is.EqualTo(one[0].Bytes.ToArray()));
    }

    [Test]
    public void ARecurrentLayerWhoseWeightIsFloatSaysSo()
    {
        var graph = new QuantizedGraph(4);
        Value x = graph.Fake(graph.Input(2, Steps, Batch, Inputs), 0.02f, 120);
        graph.Output(graph.Node("LSTM", [x, graph.FloatConstant(1, 1, 4 * Hidden, Inputs), graph.FloatConstant(1, 1, 4 * Hidden, Hidden)], new AttributeMap { ["hidden_size"] = (long)Hidden }));
        Assert.That(graph.Lower().Report.For("lstm")!.Reason, Is.EqualTo("the weight is not quantized"));
    }

    [Test]
    public void QuantizerWithoutCalibrationWritesIntegerProductsThatRunOnPackedKernels([Values] Granularity granularity, [Values] bool transposed)
    {
        var g = new TestGraph();
        Value x = g.Input("x", 4, 9);
        Value y = g.Node("Gemm", [x, transposed ? g.Random("w", 1, 5, 9) : g.Random("w", 1, 9, 5), g.Random("b", 2, 5)], new AttributeMap { ["transB"] = transposed ? 1L : 0L }, name: "fc");
        y = g.Node("MatMul", [g.Node("Relu", [y], name: "relu"), g.Random("v", 3, 5, 6)], name: "second");
        g.Output(y, "y");
        QuantizationResult result = Quantizer.Quantize(new Model(g.Graph), null, new QuantizationOptions { Calibration = CalibrationMode.None, Granularity = granularity });
        string[] types = [.. result.Model.Graph.Nodes.Select(node => node.OperatorType)];
        Assert.That(types.Count(type => type == "MatMulInteger"), Is.EqualTo(2));
        Assert.That(types, Has.None.EqualTo("DequantizeLinear"));
        Assert.That(result.Report.Decisions.Single(decision => decision.Node == "relu").Reason, Does.StartWith("without calibration"));
        Assert.That(result.Model.Graph.Values.Where(value => value.Constant is { Type: DataType.Int8 }).Select(value => value.Constant!.Shape.ToArray()), Is.EquivalentTo(new int[][] { [9, 5], [5, 6] }));

        var inputs = new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(9, 4, 9) };
        var session = new InferenceSession(result.Model);
        Plan plan = session.PlanFor([inputs["x"]]);
        Assert.That(plan.Steps.Select(step => step.Node.OperatorType), Is.EqualTo(new[] { "DynamicQuantizeMatMul", "Relu", "DynamicQuantizeMatMul" }));
        // Fused or as written: the same bits.
        Tensor fused = session.Run(inputs)["y"], written = new InferenceSession(result.Model, new Octet.Runtime.Execution.SessionOptions { DisabledRules = new HashSet<string> { "fuse-run-time-product" } }).Run(inputs)["y"];
        Assert.That(fused.Bytes.ToArray(), Is.EqualTo(written.Bytes.ToArray()));
        CheckSavedAndOnnxRuntime(result.Model, inputs, fused);
    }

    [Test]
    public void QuantizerWithoutCalibrationCoversConvolutionsAndComputedProducts()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 1, 3, 6, 6);
        Value y = g.Node("Conv", [x, g.Random("w", 1, 4, 3, 3, 3), g.Random("b", 2, 4)], new AttributeMap { ["pads"] = new long[] { 1, 1, 1, 1 } }, name: "conv");
        y = g.Node("MatMul", [y, g.Node("Transpose", [y], new AttributeMap { ["perm"] = new long[] { 0, 1, 3, 2 } }, name: "turn")], name: "gram");
        g.Output(y, "y");
        Model model = new(g.Graph);
        QuantizationResult result = Quantizer.Quantize(model, null, new QuantizationOptions { Calibration = CalibrationMode.None });
        Assert.That(result.Model.Graph.Nodes.Select(node => node.OperatorType), Does.Contain("ConvInteger").And.Contain("MatMulInteger").And.None.EqualTo("Conv"));
        var inputs = new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(9, 1, 3, 6, 6) };
        Tensor actual = new InferenceSession(result.Model).Run(inputs)["y"], expected = new InferenceSession(model).Run(inputs)["y"];
        float largest = expected.ToFloat32Array().Max(MathF.Abs);
        for (int i = 0; i < actual.Length; i++) Assert.That(actual.Span<float>()[i], Is.EqualTo(expected.Span<float>()[i]).Within(0.03f * largest));
        CheckSavedAndOnnxRuntime(result.Model, inputs, actual);
    }

    [Test]
    public void QuantizerStoresRecurrentWeightsAsInt8AndTheyRunInIntegers([Values("LSTM", "GRU")] string type, [Values(CalibrationMode.None, CalibrationMode.Naive)] CalibrationMode calibration)
    {
        var g = new TestGraph();
        int columns = Gates(type) * Hidden;
        Value x = g.Input("x", Steps, Batch, Inputs);
        Value y = g.Editor.AddValue("states"), last = g.Editor.AddValue("last");
        g.Editor.AddNode(type, [x, g.Random("w", 1, 2, columns, Inputs), g.Random("r", 2, 2, columns, Hidden), g.Random("b", 3, 2, 2 * columns)], [y, last],
            new AttributeMap { ["hidden_size"] = (long)Hidden, ["direction"] = "bidirectional" }, name: "layer");
        g.Output(y);
        g.Output(last);
        Model model = new(g.Graph);
        var inputs = new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(9, Steps, Batch, Inputs) };
        QuantizationResult result = Quantizer.Quantize(model, [inputs], new QuantizationOptions { Calibration = calibration });
        Assert.That(result.Model.Graph.Values.Count(value => value.Constant is { Type: DataType.Int8, Length: > 100 }), Is.EqualTo(2));
        var session = new InferenceSession(result.Model);
        Assert.That(session.PlanFor([inputs["x"]]).Steps.Select(step => step.Node.OperatorType), Does.Contain("DynamicQuantize" + type).And.None.EqualTo(type));
        IReadOnlyDictionary<string, Tensor> actual = session.Run(inputs), expected = new InferenceSession(model).Run(inputs);
        foreach (string name in expected.Keys)
            for (int i = 0; i < expected[name].Length; i++) Assert.That(actual[name].Span<float>()[i], Is.EqualTo(expected[name].Span<float>()[i]).Within(0.05f));
        CheckSaved(result.Model, inputs, actual["states"], "states");
    }

    /// <summary>Save → load → run gives the same bits; ONNX Runtime loads the file, and its float results differ by rounding only.</summary>
    private static void CheckSavedAndOnnxRuntime(Model model, Dictionary<string, Tensor> inputs, Tensor expected)
    {
        string path = CheckSaved(model, inputs, expected, "y", keep: true);
        try
        {
            float[] peer = OnnxRuntimePeer.Run(path, inputs, exact: true)["y"].ToFloat32Array(), own = expected.ToFloat32Array();
            float largest = own.Max(MathF.Abs);
            for (int i = 0; i < own.Length; i++) Assert.That(peer[i], Is.EqualTo(own[i]).Within(1e-5f * largest), "integers agree, their scaling is float");
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static string CheckSaved(Model model, Dictionary<string, Tensor> inputs, Tensor expected, string output, bool keep = false)
    {
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, $"{Guid.NewGuid():N}.onnx");
        try
        {
            model.Save(path);
            Assert.That(new InferenceSession(Model.Load(path)).Run(inputs)[output].Bytes.ToArray(), Is.EqualTo(expected.Bytes.ToArray()));
            return path;
        }
        finally
        {
            if (!keep) File.Delete(path);
        }
    }

    private static QuantizedGraph Recurrent(string type, string direction, bool perChannel, DataType weight, int layers, bool linearFirst)
    {
        var graph = new QuantizedGraph(type.Length + direction.Length);
        int directions = direction == "bidirectional" ? 2 : 1, columns = Gates(type) * Hidden, depth = Inputs;
        Value x = graph.Input(2, Steps, Batch, Inputs);
        for (int layer = 0; layer < layers; layer++)
        {
            float[] scales = perChannel ? [.. Enumerable.Range(0, columns).Select(n => 0.001f + 0.00004f * n)] : [0.0015f];
            int zero = weight == DataType.UInt8 ? 131 : 0;
            Value w = graph.Weight(1, scales, weight, zero, directions, columns, depth), r = graph.Weight(1, scales, weight, zero, directions, columns, Hidden);
            var attributes = new AttributeMap { ["hidden_size"] = (long)Hidden, ["direction"] = direction };
            if (linearFirst) attributes["linear_before_reset"] = 1L;
            Value[] outputs = [graph.Test.Editor.AddValue($"states{layer}"), graph.Test.Editor.AddValue($"last{layer}")];
            graph.Test.Editor.AddNode(type, [x, w, r, graph.FloatConstant(0.5f, directions, 2 * columns)], outputs, attributes, name: type.ToLowerInvariant());
            if (layer == layers - 1)
            {
                graph.Output(outputs[0]);
                graph.Output(outputs[1]);
                break;
            }
            // [S, D, B, H] → [S, B, D·H], as exporters stack layers.
            Value turned = graph.Node("Transpose", [outputs[0]], new AttributeMap { ["perm"] = new long[] { 0, 2, 1, 3 } });
            x = graph.Node("Reshape", [turned, graph.Test.Ints($"shape{layer}", Steps, Batch, directions * Hidden)]);
            depth = directions * Hidden;
        }
        return graph;
    }
}
