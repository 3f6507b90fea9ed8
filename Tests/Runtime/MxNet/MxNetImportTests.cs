using System.Diagnostics;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.MxNet;
using Octet.Runtime.Tensors;
using Tensor = Octet.Runtime.Tensors.Tensor;
using Octet.Tests.Support;
using static Octet.Tests.Runtime.MxNet.Symbols;
using OctetSession = Octet.Runtime.Execution.InferenceSession;

namespace Octet.Tests.Runtime.MxNet;

/// <summary>MXNet's symbols and parameters: what each operator means, real files, broken files.</summary>
[TestFixture]
internal sealed class MxNetImportTests
{
    // The parity that the project promises between its own session and ONNX Runtime on the saved file.
    private const double Parity = 1e-5;

    private static Model Import(Symbols symbols, params string[] heads) => MxNetImporter.Import(symbols.Json(heads), symbols.Parameters, "m");

    /// <summary>Runs the saved model in ONNX Runtime and the model itself in Octet, which must agree; returns the first output.</summary>
    private static (float[] Elements, int[] Shape) Run(Model model, Tensor input)
    {
        using var file = new MemoryStream();
        model.Save(file);
        using var options = new Microsoft.ML.OnnxRuntime.SessionOptions { GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL, IntraOpNumThreads = 1 };
        using var peer = new Microsoft.ML.OnnxRuntime.InferenceSession(file.ToArray(), options);
        string name = model.Graph.Inputs.Single().Name;
        using var outputs = peer.Run([NamedOnnxValue.CreateFromTensor(name, new DenseTensor<float>(input.ToFloat32Array(), input.Shape.ToArray()))]);

        var session = new OctetSession(model);
        IReadOnlyDictionary<string, Tensor> own = session.Run(new Dictionary<string, Tensor> { [name] = input });
        foreach (DisposableNamedOnnxValue output in outputs)
        {
            float[] expected = [.. output.AsTensor<float>()];
            double scale = expected.Length == 0 ? 1 : Math.Max(1, expected.Max(Math.Abs));
            Assert.That(own[output.Name].ToFloat32Array(), Is.EqualTo(expected).Within(Parity * scale), output.Name);
        }
        var first = outputs[0].AsTensor<float>();
        return ([.. first], first.Dimensions.ToArray());
    }

    [TestCase("det1", 12, 12)]
    [TestCase("det1", 31, 18)]
    [TestCase("det2", 24, 24)]
    [TestCase("det3", 48, 48)]
    public void RealNetworkRunsAsOnnxRuntimeRunsItsSavedForm(string name, int height, int width)
    {
        Model model = Model.Load(TestData.Require($"models/mxnet_mtcnn/{name}-symbol.json"));
        Assert.That(model.Graph.Nodes.Select(node => node.Domain), Is.All.EqualTo(""));
        Assert.That(model.Graph.Inputs.Single().Type.ToString(), Is.EqualTo("float32[N,3,?,?]"), "labels are no inputs");
        Run(model, TestGraph.RandomTensor(5, 1, 3, height, width));
    }

    private static IEnumerable<TestCaseData> Operators()
    {
        float[] x4 = [1, -2, 3, 4, -5, 6, 7, 8];   // [1,2,2,2]
        int[] s4 = [1, 2, 2, 2];
        Tensor ones = Floats([1, 1]), gamma = Floats([2, 4]), beta = Floats([0.5f, -1]), mean = Floats([1, 2]), variance = Floats([3, 15]);

        yield return Case("BatchNorm fix_gamma", x4, s4, s => s.Variable("g", gamma).Variable("b", beta).Variable("m", mean).Variable("v", variance)
            .Add("BatchNorm", "y", ["x", "g", "b", "m", "v"], ("eps", "1"), ("fix_gamma", "True")), [0.5f, -1, 1.5f, 2, -2.75f, 0, 0.25f, 0.5f], s4);
        yield return Case("BatchNorm gamma", x4, s4, s => s.Variable("g", gamma).Variable("b", beta).Variable("m", mean).Variable("v", variance)
            .Add("BatchNorm", "y", ["x", "g", "b", "m", "v"], ("eps", "1"), ("fix_gamma", "False")), [0.5f, -2.5f, 2.5f, 3.5f, -8, 3, 4, 5], s4);
        yield return Case("BatchNorm old", x4, s4, s =>
        {
            s.Parameters.Add("y_moving_mean", mean);
            s.Parameters.Add("y_moving_var", variance);
            return s.Variable("g", gamma).Variable("b", beta).Add("BatchNorm", "y", ["x", "g", "b"], ("eps", "1"));
        }, [0.5f, -1, 1.5f, 2, -2.75f, 0, 0.25f, 0.5f], s4);
        yield return Case("Convolution", x4, s4, s => s.Variable("w", Floats([1, 0, 0, 1, 2, 0, 0, 0], 1, 2, 2, 2)).Variable("b", Floats([10]))
            .Add("Convolution", "y", ["x", "w", "b"], ("kernel", "(2, 2)"), ("num_filter", "1")), [5], [1, 1, 1, 1]);   // 1 + 4 + 2·(−5) + 10
        yield return Case("Convolution grouped", x4, s4, s => s.Variable("w", Floats([2, 3], 2, 1, 1, 1))
            .Add("Convolution", "y", ["x", "w"], ("kernel", "(1,1)"), ("num_filter", "2"), ("num_group", "2L"), ("no_bias", "True")), [2, -4, 6, 8, -15, 18, 21, 24], s4);
        yield return Case("Deconvolution", [1, 2], [1, 1, 1, 2], s => s.Variable("w", Floats([1, 1, 1, 1], 1, 1, 2, 2))
            .Add("Deconvolution", "y", ["x", "w"], ("kernel", "(2,2)"), ("stride", "(2,2)"), ("num_filter", "1")), [1, 1, 2, 2, 1, 1, 2, 2], [1, 1, 2, 4]);
        yield return Case("Deconvolution target_shape", [1, 2], [1, 1, 2], s => s.Variable("w", Floats([1, 2, 3], 1, 1, 3))
            .Add("Deconvolution", "y", ["x", "w"], ("kernel", "(3,)"), ("stride", "(2,)"), ("target_shape", "(4,)"), ("num_filter", "1")), [2, 5, 4, 6], [1, 1, 4]);
        yield return Case("FullyConnected flattens", x4, s4, s => s.Variable("w", Floats([1, 1, 1, 1, 1, 1, 1, 1], 1, 8)).Variable("b", Floats([0.5f]))
            .Add("FullyConnected", "y", ["x", "w", "b"], ("num_hidden", "1")), [22.5f], [1, 1]);
        yield return Case("FullyConnected keeps axes", x4, s4, s => s.Variable("w", Floats([1, 10], 1, 2))
            .Add("FullyConnected", "y", ["x", "w"], ("num_hidden", "1"), ("flatten", "False"), ("no_bias", "1")), [-19, 43, 55, 87], [1, 2, 2, 1]);
        yield return Case("PRelu per channel", x4, s4, s => s.Variable("w", Floats([1, 0, 0, 1], 2, 2, 1, 1)).Variable("g", Floats([0.5f, 0.25f]))
            .Add("Convolution", "c", ["x", "w"], ("kernel", "(1,1)"), ("num_filter", "2"), ("no_bias", "True")).Add("LeakyReLU", "y", ["c", "g"], ("act_type", "prelu")), [1, -1, 3, 4, -1.25f, 6, 7, 8], s4);
        yield return Case("LeakyReLU", [-4, 4], [1, 2], s => s.Add("LeakyReLU", "y", ["x"]), [-1, 4], [1, 2]);
        yield return Case("LeakyReLU rrelu", [-4, 4], [1, 2], s => s.Add("LeakyReLU", "y", ["x"], ("act_type", "rrelu"), ("lower_bound", "0.25"), ("upper_bound", "0.75")), [-2, 4], [1, 2]);
        yield return Case("Pooling full", [1, 2, 3, 4, 5], [1, 1, 5], s => s.Add("Pooling", "y", ["x"], ("kernel", "(2,)"), ("stride", "(2,)"), ("pooling_convention", "full"), ("pool_type", "max")), [2, 4, 5], [1, 1, 3]);
        yield return Case("Pooling valid", [1, 2, 3, 4, 5], [1, 1, 5], s => s.Add("Pooling", "y", ["x"], ("kernel", "(2,)"), ("stride", "(2,)"), ("pool_type", "max")), [2, 4], [1, 1, 2]);
        yield return Case("Pooling average counts padding", [2, 4], [1, 1, 2], s => s.Add("Pooling", "y", ["x"], ("kernel", "(2,)"), ("stride", "(2,)"), ("pad", "(1,)"), ("pool_type", "avg")), [1, 2], [1, 1, 2]);
        yield return Case("Pooling average without padding", [2, 4], [1, 1, 2], s => s.Add("Pooling", "y", ["x"], ("kernel", "(2,)"), ("stride", "(2,)"), ("pad", "(1,)"), ("pool_type", "avg"), ("count_include_pad", "False")), [2, 4], [1, 1, 2]);
        yield return Case("Pooling average, full, inside its padding", [1, 2, 3, 4, 5], [1, 1, 5], s => s.Add("Pooling", "y", ["x"], ("kernel", "(3,)"), ("stride", "(2,)"), ("pad", "(1,)"), ("pool_type", "avg"), ("pooling_convention", "full")), [1, 3, 3], [1, 1, 3]);
        yield return Case("Pooling average, full, beyond its padding", [1, 2, 3, 4], [1, 1, 4], s => s.Add("Pooling", "y", ["x"], ("kernel", "(3,)"), ("stride", "(2,)"), ("pad", "(1,)"), ("pool_type", "avg"), ("pooling_convention", "full")), [1, 3, 2], [1, 1, 3]);
        yield return Case("Pooling lp", [3, 4, 0, 5], [1, 1, 4], s => s.Add("Pooling", "y", ["x"], ("kernel", "(2,)"), ("stride", "(2,)"), ("pool_type", "lp"), ("p_value", "2")), [5, 5], [1, 1, 2]);
        yield return Case("Pooling global max", x4, s4, s => s.Add("Pooling", "y", ["x"], ("global_pool", "True"), ("pool_type", "max")), [4, 8], [1, 2, 1, 1]);
        yield return Case("Convolution strided, dilated, padded", [1, 2, 3, 4, 5], [1, 1, 5], s => s.Variable("w", Floats([1, 10], 1, 1, 2)).Variable("b", Floats([0.5f]))
            .Add("Convolution", "y", ["x", "w", "b"], ("kernel", "(2,)"), ("stride", "(2,)"), ("dilate", "(2,)"), ("pad", "(1,)"), ("num_filter", "1")), [20.5f, 42.5f, 4.5f], [1, 1, 3]);
        yield return Case("Deconvolution grouped, padded, adjusted", [1, 2, 3, 4], [1, 2, 2], s => s.Variable("w", Floats([1, 2, 10, 20], 2, 1, 2))
            .Add("Deconvolution", "y", ["x", "w"], ("kernel", "(2,)"), ("stride", "(2,)"), ("pad", "(1,)"), ("adj", "(1,)"), ("num_group", "2"), ("num_filter", "2")), [2, 2, 4, 60, 40, 80], [1, 2, 3]);
        yield return Case("LRN", [1, 2, 3], [1, 3, 1, 1], s => s.Add("LRN", "y", ["x"], ("nsize", "3"), ("alpha", "3"), ("beta", "1"), ("knorm", "1")), [1f / 6, 2f / 15, 3f / 14], [1, 3, 1, 1]);
        yield return Case("LeakyReLU gelu", [-1, 0, 2], [1, 3], s => s.Add("LeakyReLU", "y", ["x"], ("act_type", "gelu")), [-0.15865526f, 0, 1.9544997f], [1, 3]);
        yield return Case("InstanceNorm", [1, 3], [1, 1, 2], s => s.Variable("g", Floats([2])).Variable("b", Floats([1])).Add("InstanceNorm", "y", ["x", "g", "b"], ("eps", "3")), [0, 2], [1, 1, 2]);
        yield return Case("broadcast_to", [1, 2], [1, 2], s => s.Add("broadcast_to", "y", ["x"], ("shape", "(3, 0)")), [1, 2, 1, 2, 1, 2], [3, 2]);
        yield return Case("broadcast_axis", [1, 2], [1, 2], s => s.Add("broadcast_axis", "y", ["x"], ("axis", "0"), ("size", "2")), [1, 2, 1, 2], [2, 2], rank: 2);
        yield return Case("broadcast_like", [1, 2], [1, 2], s => s.Variable("w", Floats([0, 0, 0, 0], 2, 2)).Add("broadcast_like", "y", ["x", "w"]), [1, 2, 1, 2], [2, 2]);
        yield return Case("stack", [1, 2], [1, 2], s => s.Add("stack", "y", ["x", "x"], ("axis", "1"), ("num_args", "2")), [1, 2, 1, 2], [1, 2, 2]);
        yield return Case("dot", [1, 2], [1, 2], s => s.Variable("w", Floats([1, 2, 3, 4], 2, 2)).Add("dot", "y", ["x", "w"], ("transpose_b", "True")), [5, 11], [1, 2], rank: 2);
        yield return Case("argmax", x4, s4, s => s.Add("argmax", "y", ["x"], ("axis", "1")), [0, 1, 1, 1], [1, 2, 2]);
        yield return Case("argmin", [3, 1, 2], [1, 3], s => s.Add("argmin", "y", ["x"], ("axis", "1"), ("keepdims", "True")), [1], [1, 1]);
        yield return Case("zeros_like", [3, 1], [1, 2], s => s.Add("zeros_like", "y", ["x"]), [0, 0], [1, 2]);
        yield return Case("ones_like", [3, 1], [1, 2], s => s.Add("ones_like", "y", ["x"]), [1, 1], [1, 2]);
        yield return Case("Pooling sum", x4, s4, s => s.Add("Pooling", "y", ["x"], ("kernel", "(2,2)"), ("pool_type", "sum")), [6, 16], [1, 2, 1, 1]);
        yield return Case("Pooling global", x4, s4, s => s.Add("Pooling", "y", ["x"], ("kernel", "(7,7)"), ("global_pool", "True"), ("pool_type", "avg")), [1.5f, 4], [1, 2, 1, 1]);
        yield return Case("SoftmaxOutput over instances", [0, 0, 0, 0], [1, 2, 2], s => s.Variable("label").Add("SoftmaxOutput", "y", ["x", "label"]), [0.25f, 0.25f, 0.25f, 0.25f], [1, 2, 2]);
        yield return Case("SoftmaxOutput over channels", [0, 0, 0, 0], [1, 2, 2], s => s.Variable("label").Add("SoftmaxOutput", "y", ["x", "label"], ("multi_output", "True")), [0.5f, 0.5f, 0.5f, 0.5f], [1, 2, 2]);
        yield return Case("softmax temperature", [0, 0], [1, 2], s => s.Add("softmax", "y", ["x"], ("temperature", "2.0"), ("axis", "-1")), [0.5f, 0.5f], [1, 2]);
        yield return Case("Reshape copy and rest", x4, s4, s => s.Add("Reshape", "y", ["x"], ("shape", "(0, -1)")), x4, [1, 8]);
        yield return Case("Reshape join", x4, s4, s => s.Add("Reshape", "y", ["x"], ("shape", "(0, -3, 0)")), x4, [1, 4, 2]);
        yield return Case("Reshape split", x4, s4, s => s.Add("Reshape", "y", ["x"], ("shape", "(0, -4, -1, 2, -3)")), x4, [1, 1, 2, 4]);
        yield return Case("Reshape remaining", x4, s4, s => s.Add("Reshape", "y", ["x"], ("shape", "(-4, 1, 1, -2)")), x4, [1, 1, 2, 2, 2], rank: 4);
        yield return Case("transpose", [1, 2, 3, 4], [1, 2, 2], s => s.Add("transpose", "y", ["x"], ("axes", "(0, 2, 1)")), [1, 3, 2, 4], [1, 2, 2]);
        yield return Case("SliceChannel", x4, s4, s => s.Add("SliceChannel", "p", ["x"], ("num_outputs", "2"), ("axis", "1"), ("squeeze_axis", "True")).Add("elemwise_add", "y", ["p", "p:1"]), [-4, 4, 10, 12], [1, 2, 2]);
        yield return Case("Concat", [1, 2], [1, 2], s => s.Add("Concat", "y", ["x", "x"], ("num_args", "2"), ("dim", "1")), [1, 2, 1, 2], [1, 4]);
        yield return Case("_rminus_scalar", [1, 2], [1, 2], s => s.Add("_rminus_scalar", "y", ["x"], ("scalar", "10")), [9, 8], [1, 2]);
        yield return Case("_rdiv_scalar", [1, 2], [1, 2], s => s.Add("_RDivScalar", "y", ["x"], ("scalar", "10")), [10, 5], [1, 2]);
        yield return Case("clip", [-3, 3], [1, 2], s => s.Add("clip", "y", ["x"], ("a_min", "-1.0"), ("a_max", "2")), [-1, 2], [1, 2]);
        yield return Case("mean exclude", x4, s4, s => s.Add("mean", "y", ["x"], ("axis", "1"), ("exclude", "True"), ("keepdims", "True")), [1.5f, 4], [1, 2, 1, 1], rank: 4);
        yield return Case("sum of all", x4, s4, s => s.Add("sum", "y", ["x"]), [22], [1]);
        yield return Case("max", x4, s4, s => s.Add("max", "y", ["x"], ("axis", "(2, 3)")), [4, 8], [1, 2]);
        yield return Case("UpSampling", [1, 2], [1, 1, 1, 2], s => s.Add("UpSampling", "y", ["x"], ("scale", "2"), ("sample_type", "nearest")), [1, 1, 2, 2, 1, 1, 2, 2], [1, 1, 2, 4]);
        yield return Case("Pad", [1, 2], [1, 1, 1, 2], s => s.Add("Pad", "y", ["x"], ("mode", "constant"), ("pad_width", "(0,0,0,0,0,0,1,2)"), ("constant_value", "9")), [9, 1, 2, 9, 9], [1, 1, 1, 5]);
        yield return Case("L2Normalization", [3, 4], [1, 2], s => s.Add("L2Normalization", "y", ["x"], ("mode", "channel"), ("eps", "0")), [0.6f, 0.8f], [1, 2]);
        yield return Case("Activation softsign", [-1, 3], [1, 2], s => s.Add("Activation", "y", ["x"], ("act_type", "softsign")), [-0.5f, 0.75f], [1, 2]);
        yield return Case("Dropout", [-1, 3], [1, 2], s => s.Add("Dropout", "y", ["x"], ("p", "0.5")), [-1, 3], [1, 2]);
        yield return Case("slice", [1, 2, 3, 4], [2, 2], s => s.Add("slice", "y", ["x"], ("begin", "(None, 1)"), ("end", "(None, 2)")), [2, 4], [2, 1]);
        yield return Case("slice backwards", [1, 2, 3], [3], s => s.Add("slice", "y", ["x"], ("begin", "(None,)"), ("end", "(None,)"), ("step", "(-1,)")), [3, 2, 1], [3]);
        yield return Case("Embedding", [1, 0], [2], s => s.Variable("w", Floats([1, 2, 3, 4], 2, 2)).Add("Embedding", "y", ["x", "w"], ("input_dim", "2"), ("output_dim", "2")), [3, 4, 1, 2], [2, 2]);

        static TestCaseData Case(string name, float[] input, int[] inputShape, Func<Symbols, Symbols> write, float[] expected, int[] shape, int rank = 0)
        {
            string declared = rank == 0 ? "None" : $"({string.Join(", ", Enumerable.Repeat("0", rank))})";
            return new TestCaseData(write(new Symbols().Variable("x", null, ("__shape__", declared))), Floats(input, inputShape), expected, shape).SetArgDisplayNames(name);
        }
    }

    [TestCaseSource(nameof(Operators))]
    public void OperatorMeansWhatMxNetMeans(object symbols, Tensor input, float[] expected, int[] shape)
    {
        (float[] elements, int[] found) = Run(Import((Symbols)symbols, "y"), input);
        Assert.That(found, Is.EqualTo(shape));
        Assert.That(elements, Is.EqualTo(expected).Within(Parity));
    }

    [Test]
    public void LrnHasTheSameFormulaInOnnx()
    {
        Node node = Import(new Symbols().Variable("x").Add("LRN", "y", ["x"], ("nsize", "3"), ("alpha", "3"), ("beta", "1"), ("knorm", "4")), "y").Graph.Nodes.Single();
        Assert.That((node.Attributes.Int("size"), node.Attributes.Float("alpha"), node.Attributes.Float("beta"), node.Attributes.Float("bias")), Is.EqualTo((3L, 3f, 1f, 4f)));
    }

    [Test]
    public void EveryDialectIsRead([Values("param", "attr", "attrs")] string key)
    {
        Symbols symbols = new Symbols { AttributeKey = key }.Variable("data").Add("_plus_scalar", "y", ["data"], ("scalar", "1.5"));
        Model model = Import(symbols, "y");
        Assert.That(model.Graph.OutputNames, Is.EqualTo(new[] { "y_output" }));
        Assert.That(Run(model, Floats([1, 2])).Elements, Is.EqualTo(new[] { 2.5f, 3.5f }));
    }

    [Test]
    public void OperatorWithoutTranslationIsLoadedPrintedAndSaved()
    {
        Symbols symbols = new Symbols().Variable("data").Variable("w", Floats([1, 2])).Add("Custom", "c", ["data", "w"], ("op_type", "mine")).Add("Activation", "y", ["c:1"], ("act_type", "relu"));
        Model model = Import(symbols, "y", "c");
        Assert.That(GraphPrinter.Print(model.Graph), Does.Contain("org.apache.mxnet.Custom(data, w) {op_type=\"mine\"}"));
        using var file = new MemoryStream();
        model.Save(file);
        file.Position = 0;
        Assert.That(Model.Load(file).Graph.Nodes[0].Outputs, Has.Count.EqualTo(2));
    }

    [Test]
    public void EveryVersionOfTheParametersIsRead([Values(0, 1, 2, 3)] int version)
    {
        byte[] file = Params(version, ("arg:w", Floats([1, 2, 3, 4], 2, 2)), ("aux:m", Tensor.Create(new byte[] { 7 }, 1)), ("plain", Tensor.Create([5L], 1)), ("none", Tensor.Scalar(3f)));
        Dictionary<string, Tensor> read = MxNetParams.Read(file, "p");
        Assert.That(read["w"].Shape.ToArray(), Is.EqualTo(new[] { 2, 2 }));
        Assert.That(read["w"].Span<float>().ToArray(), Is.EqualTo(new[] { 1f, 2, 3, 4 }));
        Assert.That(read["m"].ToString(), Is.EqualTo("uint8[1]"));
        Assert.That(read["plain"].ToInt64Array(), Is.EqualTo(new[] { 5 }));
        Assert.That(read.ContainsKey("none"), Is.EqualTo(version == 3), "rank 0 is a scalar from version 3 on and no array before");
    }

    [Test]
    public void ParametersOfTheHighestEpochAreTaken()
    {
        string folder = Directory.CreateTempSubdirectory("octet-").FullName;
        try
        {
            Symbols symbols = new Symbols().Variable("data").Variable("w", Floats([0])).Add("broadcast_add", "y", ["data", "w"]);
            string path = Path.Combine(folder, "net-symbol.json");
            File.WriteAllBytes(path, symbols.Json("y"));
            Assert.That(Assert.Catch<ModelException>(() => Model.Load(path))!.Message, Does.Contain("no parameters beside it").And.Contain("net-symbol.json"));
            File.WriteAllBytes(Path.Combine(folder, "net.params"), Params(2, ("arg:w", Floats([1]))));
            Assert.That(W(), Is.EqualTo(1));
            File.WriteAllBytes(Path.Combine(folder, "net-0002.params"), Params(2, ("arg:w", Floats([2]))));
            File.WriteAllBytes(Path.Combine(folder, "net-0010.params"), Params(2, ("arg:w", Floats([10]))));
            File.WriteAllBytes(Path.Combine(folder, "net-other-0099.params"), Params(2, ("arg:w", Floats([99]))));
            Assert.That(W(), Is.EqualTo(10));
            File.WriteAllBytes(Path.Combine(folder, "net-0010.params"), [1, 2, 3]);
            Assert.That(Assert.Catch<ModelException>(() => Model.Load(path))!.Message, Does.Contain("net-0010.params"));
            float W() => Model.Load(path).Graph.Find("w")!.Constant!.Span<float>()[0];
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static IEnumerable<TestCaseData> Broken()
    {
        yield return Case("missing parameter", new Symbols().Variable("x").Variable("w").Add("Convolution", "y", ["x", "w"], ("kernel", "(1,1)")), "parameter 'w'");
        yield return Case("kernel of another size", new Symbols().Variable("x").Variable("w", Floats([1], 1, 1, 1, 1)).Add("Convolution", "y", ["x", "w"], ("kernel", "(3,3)"), ("no_bias", "True")), "kernel (3,3)");
        yield return Case("no kernel", new Symbols().Variable("x").Variable("w", Floats([1], 1, 1, 1, 1)).Add("Convolution", "y", ["x", "w"], ("no_bias", "True")), "kernel");
        yield return Case("not integers", new Symbols().Variable("x").Add("transpose", "y", ["x"], ("axes", "(a, b)")), "axes = '(a, b)'");
        yield return Case("not a number", new Symbols().Variable("x").Add("LeakyReLU", "y", ["x"], ("slope", "steep")), "slope = 'steep'");
        yield return Case("not a truth value", new Symbols().Variable("x").Add("Pooling", "y", ["x"], ("global_pool", "maybe")), "global_pool = 'maybe'");
        yield return Case("unknown activation", new Symbols().Variable("x").Add("Activation", "y", ["x"], ("act_type", "odd")), "activation 'odd'");
        yield return Case("too few inputs", new Symbols().Variable("x").Add("elemwise_add", "y", ["x"]), "has 1 inputs");
        yield return Case("output that does not exist", new Symbols().Variable("x").Add("Activation", "a", ["x"], ("act_type", "relu")).Add("Flatten", "y", ["a:3"]), "reads output 3");
        yield return Case("slopes without rank", new Symbols().Variable("x").Variable("g", Floats([1, 2])).Add("LeakyReLU", "y", ["x", "g"], ("act_type", "prelu")), "number of axes");
        yield return Case("group", new Symbols().Variable("x").Variable("w", Floats([1], 1, 1, 1, 1)).Add("Convolution", "y", ["x", "w"], ("kernel", "(1,1)"), ("no_bias", "True"), ("num_group", "-1")), "num_group = '-1'");
        yield return Case("channels last", new Symbols().Variable("x").Add("Pooling", "y", ["x"], ("kernel", "(2,2)"), ("layout", "NHWC")), "layout 'NHWC'");
        yield return Case("many outputs", new Symbols().Variable("x").Add("SliceChannel", "y", ["x"], ("num_outputs", "2000000000")), "1 to 4096");
        static TestCaseData Case(string name, Symbols symbols, string message) => new TestCaseData(symbols, message).SetArgDisplayNames(name);
    }

    [TestCaseSource(nameof(Broken))]
    public void BrokenOperatorIsRefusedWithItsReason(object symbols, string message) =>
        Assert.That(Assert.Catch<ModelException>(() => Import((Symbols)symbols, "y"))!.Message, Does.Contain(message).And.Contain("y").And.Match("rule|what works"));

    [TestCase("")]
    [TestCase("[]")]
    [TestCase("{}")]
    [TestCase("{\"nodes\":[]}")]
    [TestCase("{\"nodes\":[],\"heads\":[]}")]
    [TestCase("{\"nodes\":[1],\"heads\":[]}")]
    [TestCase("{\"nodes\":[{\"op\":\"null\",\"name\":\"x\",\"inputs\":[]}],\"heads\":[[1,0]]}")]
    [TestCase("{\"nodes\":[{\"op\":\"null\",\"name\":\"\",\"inputs\":[]}],\"heads\":[[0,0]]}")]
    [TestCase("{\"nodes\":[{\"op\":\"Flatten\",\"name\":\"x\",\"inputs\":[[0,0]]}],\"heads\":[[0,0]]}")]
    [TestCase("{\"nodes\":[{\"op\":\"null\",\"name\":\"x\",\"inputs\":[]}],\"heads\":[[0,0],[0,0]]}")]
    [TestCase("{\"nodes\":[{\"op\":\"null\",\"name\":\"\\ud800\",\"inputs\":[]}],\"heads\":[[0,0]]}")]
    public void BrokenSymbolIsRefused(string json) =>
        Assert.That(Assert.Catch<ModelException>(() => MxNetImporter.Import(System.Text.Encoding.UTF8.GetBytes(json), [], "m"))!.Message, Does.Contain("rule"));

    [Test]
    public void MutatedFilesNeverFailOtherwise()
    {
        Symbols symbols = new Symbols().Variable("data").Variable("w", Floats([1, 2, 3, 4], 2, 2, 1, 1)).Variable("g", Floats([1, 2]))
            .Add("Convolution", "c", ["data", "w"], ("kernel", "(1,1)"), ("no_bias", "True")).Add("LeakyReLU", "p", ["c", "g"], ("act_type", "prelu"))
            .Add("SliceChannel", "s", ["p"], ("num_outputs", "2")).Add("Reshape", "y", ["s:1"], ("shape", "(0,-4,-1,1,-2)"));
        byte[] json = symbols.Json("y", "s"), parameters = Params(2, [.. symbols.Parameters.Select(pair => (pair.Key, pair.Value))]);
        var random = new Random(6);
        var watch = Stopwatch.StartNew();
        int files = 0, loaded = 0;
        for (; watch.Elapsed < TimeSpan.FromSeconds(2); files++)
        {
            byte[] a = files % 2 == 0 ? Mutate(json) : json, b = files % 2 == 1 ? Mutate(parameters) : parameters;
            try
            {
                Model model = MxNetImporter.Import(a, MxNetParams.Read(b, "p"), "m");
                GraphPrinter.Print(model.Graph);
                model.Save(new MemoryStream());
                loaded++;
            }
            catch (ModelException)
            {
            }
            catch (Exception e)
            {
                Assert.Fail($"{e}\nsymbol: {Convert.ToBase64String(a)}\nparameters: {Convert.ToBase64String(b)}");
            }
        }
        Assert.That(files, Is.GreaterThan(loaded));

        byte[] Mutate(byte[] seed)
        {
            var file = new List<byte>(seed);
            for (int changes = random.Next(1, 4); changes > 0 && file.Count > 0; changes--)
            {
                int at = random.Next(file.Count);
                switch (random.Next(4))
                {
                    case 0: file[at] ^= (byte)(1 << random.Next(8)); break;
                    case 1: file[at] = (byte)"0123456789-,()[]\"N"[random.Next(18)]; break;
                    case 2: file.RemoveRange(at, Math.Min(random.Next(1, 30), file.Count - at)); break;
                    default: file.InsertRange(at, file.GetRange(at, Math.Min(random.Next(1, 30), file.Count - at))); break;
                }
            }
            return [.. file];
        }
    }
}
