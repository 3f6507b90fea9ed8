using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>Operators of which ONNX's cases show little: recurrent, control flow, sequences, vision, signal and contributed ones, against ONNX Runtime.</summary>
internal sealed class OracleTests
{
    private readonly Dictionary<string, Tensor> _inputs = [];
    private int _seed;

    [TearDown]
    public void Forget() => _inputs.Clear();

    [Test]
    public void Recurrent([Values("RNN", "GRU", "LSTM")] string type, [Values("forward", "reverse", "bidirectional")] string direction, [Values] bool lengths, [Values] bool constant)
    {
        const int Steps = 5, Batch = 3, Inputs = 4, Hidden = 6;
        int gates = type == "RNN" ? 1 : type == "GRU" ? 3 : 4, directions = direction == "bidirectional" ? 2 : 1;
        TestGraph g = New();
        Value x = Input(g, "x", Steps, Batch, Inputs);
        Value? Weight(string name, params int[] shape) => constant ? g.Random(name, ++_seed, shape) : Input(g, name, shape);
        var inputs = new List<Value?>
        {
            x, Weight("w", directions, gates * Hidden, Inputs), Weight("r", directions, gates * Hidden, Hidden), Weight("b", directions, 2 * gates * Hidden),
            lengths ? g.Editor.AddConstant("lengths", Tensor.Create<int>([5, 2, 3], 3)) : null, Weight("h0", directions, Batch, Hidden),
        };
        if (type == "LSTM") inputs.AddRange([Weight("c0", directions, Batch, Hidden), Weight("p", directions, 3 * Hidden)]);
        Compare(g, type, inputs, new AttributeMap { ["hidden_size"] = (long)Hidden, ["direction"] = direction }, type == "LSTM" ? 3 : 2);
    }

    [Test]
    public void GruWithLinearBeforeReset([Values] bool constant)
    {
        TestGraph g = New();
        Value Weight(string name, params int[] shape) => constant ? g.Random(name, ++_seed, shape) : Input(g, name, shape);
        Compare(g, "GRU", [Input(g, "x", 7, 2, 9), Weight("w", 1, 48, 9), Weight("r", 1, 48, 16), Weight("b", 1, 96)],
            new AttributeMap { ["hidden_size"] = 16L, ["linear_before_reset"] = 1L }, 2);
    }

    [TestCase("Relu,Tanh,Sigmoid", null, null)]
    [TestCase("HardSigmoid,ScaledTanh,Softsign", new[] { 0.3f, 1.2f }, new[] { 0.4f, 0.7f })]
    [TestCase("Sigmoid,LeakyRelu,Elu", new[] { 0.05f, 0.9f }, null)]
    [TestCase("Affine,ThresholdedRelu,Softplus", new[] { 0.5f, 0.1f }, new[] { 0.2f })]
    public void LstmActivations(string names, float[]? alpha, float[]? beta)
    {
        TestGraph g = New();
        var attributes = new AttributeMap { ["hidden_size"] = 5L, ["activations"] = names.Split(','), ["clip"] = 3f };
        if (alpha is not null) attributes["activation_alpha"] = alpha;
        if (beta is not null) attributes["activation_beta"] = beta;
        Compare(g, "LSTM", [Input(g, "x", 4, 2, 3), Input(g, "w", 1, 20, 3), Input(g, "r", 1, 20, 5), Input(g, "b", 1, 40)], attributes, 3);
    }

    [Test]
    public void LoopCarriesStatesAndScans([Values(0, 1, 5)] int trips, [Values] bool condition)
    {
        TestGraph g = New();
        Value x = Input(g, "x", 2, 3), m = IntInput(g, "m", trips), go = g.Input("go", new TensorType(DataType.Bool, default(ReadOnlySpan<int>)));
        _inputs["go"] = Tensor.Scalar(condition);
        var body = new Graph("body", g.Graph.Opsets, g.Graph);
        var editor = new GraphEditor(body);
        Value iteration = editor.AddInput("i", new TensorType(DataType.Int64, default(ReadOnlySpan<int>))), running = editor.AddInput("c", new TensorType(DataType.Bool, default(ReadOnlySpan<int>)));
        Value state = editor.AddInput("s", new TensorType(DataType.Float32, [2, 3]));
        Value next = editor.Add("Add", [state, x], outputType: new TensorType(DataType.Float32, [2, 3]));
        Value square = editor.Add("Mul", [next, next], outputType: new TensorType(DataType.Float32, [2, 3]));
        Value three = editor.AddConstant("three", Tensor.Scalar(3L));
        editor.AddOutput(editor.Add("Less", [iteration, three], outputType: new TensorType(DataType.Bool, default(ReadOnlySpan<int>))), "go_on");
        editor.AddOutput(next, "next");
        editor.AddOutput(square, "square");
        Compare(g, "Loop", [m, go, x], new AttributeMap { ["body"] = body }, 2);
        Assert.That(running.Uses, Is.Empty);
    }

    [Test]
    public void ScanRunsBothWays([Values(0L, 1L)] long inputDirection, [Values(0L, 1L)] long outputDirection, [Values(0L, 1L)] long axis)
    {
        TestGraph g = New();
        Value start = Input(g, "start", 3), x = Input(g, "x", axis == 0 ? [4, 3] : [3, 4]);
        var body = new Graph("body", g.Graph.Opsets, g.Graph);
        var editor = new GraphEditor(body);
        var row = new TensorType(DataType.Float32, [3]);
        Value state = editor.AddInput("s", row), slice = editor.AddInput("t", row);
        Value sum = editor.Add("Add", [state, slice], outputType: row);
        editor.AddOutput(sum, "sum");
        editor.AddOutput(editor.Add("Mul", [sum, slice], outputType: row), "product");
        Compare(g, "Scan", [start, x], new AttributeMap
        {
            ["body"] = body,
            ["num_scan_inputs"] = 1L,
            ["scan_input_axes"] = new[] { axis },
            ["scan_input_directions"] = new[] { inputDirection },
            ["scan_output_axes"] = new[] { axis },
            ["scan_output_directions"] = new[] { outputDirection },
        }, 2);
    }

    [Test]
    public void IfTakesOneBranch([Values] bool condition)
    {
        TestGraph g = New();
        Value x = Input(g, "x", 4), c = g.Input("c", new TensorType(DataType.Bool, default(ReadOnlySpan<int>)));
        _inputs["c"] = Tensor.Scalar(condition);
        Graph Branch(string name, string type)
        {
            var branch = new Graph(name, g.Graph.Opsets, g.Graph);
            var editor = new GraphEditor(branch);
            editor.AddOutput(editor.Add(type, [x], name: name, outputType: x.Type), name);
            return branch;
        }
        Compare(g, "If", [c], new AttributeMap { ["then_branch"] = Branch("then", "Neg"), ["else_branch"] = Branch("else", "Abs") }, 1);
    }

    [Test]
    public void IfGuardsAnOperatorThatDoesNotFit([Values(1, 3)] int extent)
    {
        // As exporters write squeeze(0): only where the extent is 1.
        TestGraph g = New();
        _inputs["x"] = TestGraph.RandomTensor(1, extent, 4);
        Value x = g.Input("x", new TensorType(DataType.Float32, (ReadOnlySpan<Dim>)[Dim.Named("N"), 4])), zero = g.Ints("zero", 0), one = g.Ints("one", 1);
        Graph Branch(string name, string type, Value?[] inputs)
        {
            var branch = new Graph(name, g.Graph.Opsets, g.Graph);
            var editor = new GraphEditor(branch);
            editor.AddOutput(editor.Add(type, inputs, name: name), name);
            return branch;
        }
        Value isOne = g.Node("Equal", [g.Node("Gather", [g.Node("Shape", [x]), zero]), one]);
        Compare(g, "If", [isOne], new AttributeMap { ["then_branch"] = Branch("then", "Squeeze", [x, zero]), ["else_branch"] = Branch("else", "Identity", [x]) }, 1);
    }

    [Test]
    public void SequencesKeepOrder()
    {
        TestGraph g = New();
        Value x = Input(g, "x", 7, 2), three = g.Editor.AddConstant("three", Tensor.Scalar(3L)), minusOne = g.Editor.AddConstant("minus", Tensor.Scalar(-1L)), zero = g.Editor.AddConstant("zero", Tensor.Scalar(0L));
        Value pieces = g.Node("SplitToSequence", [x, three], new AttributeMap { ["axis"] = 0L });
        Value last = g.Node("SequenceAt", [pieces, minusOne]);
        Value longer = g.Node("SequenceInsert", [pieces, last, zero]);
        Value shorter = g.Node("SequenceErase", [longer, minusOne]);
        g.Output(g.Node("ConcatFromSequence", [shorter], new AttributeMap { ["axis"] = 0L }), "joined");
        g.Output(g.Node("SequenceLength", [longer]), "count");
        g.Output(last, "last");
        Oracle.Compare(g.Graph, _inputs);
    }

    [Test]
    public void Resize([Values("nearest", "linear", "cubic")] string mode, [Values("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")] string coordinates,
        [Values("5,9", "2,3", "6,8", "1,1")] string size)
    {
        TestGraph g = New(opset: 18);
        long[] sizes = [1, 2, .. size.Split(',').Select(long.Parse)];
        Compare(g, "Resize", [Input(g, "x", 1, 2, 3, 4), null, null, g.Ints("sizes", sizes)],
            new AttributeMap { ["mode"] = mode, ["coordinate_transformation_mode"] = coordinates, ["nearest_mode"] = "floor" }, 1);
    }

    [Test]
    public void GridSample([Values("nearest", "linear", "cubic")] string mode, [Values("zeros", "border", "reflection")] string padding, [Values(0L, 1L)] long align)
    {
        TestGraph g = New(opset: 20);
        Compare(g, "GridSample", [Input(g, "x", 2, 3, 5, 4), Input(g, "grid", 1.6f, 2, 6, 7, 2)],
            new AttributeMap { ["mode"] = mode, ["padding_mode"] = padding, ["align_corners"] = align }, 1, 1e-4f);
    }

    [Test]
    public void RoiAlign([Values("avg", "max")] string mode, [Values("half_pixel", "output_half_pixel")] string coordinates, [Values(0L, 2L)] long sampling)
    {
        TestGraph g = New(opset: 16);
        Value rois = g.Editor.AddConstant("rois", Tensor.Create<float>([0, 0, 7, 7, 1.5f, 2, 9, 6, -2, 3, 4, 12], 3, 4)), batch = g.Ints("batch", 0, 1, 0);
        Compare(g, "RoiAlign", [Input(g, "x", 2, 3, 8, 8), rois, batch],
            new AttributeMap { ["mode"] = mode, ["coordinate_transformation_mode"] = coordinates, ["sampling_ratio"] = sampling, ["output_height"] = 3L, ["output_width"] = 2L, ["spatial_scale"] = 0.9f }, 1);
    }

    /// <summary>Whole factors, on either side of a vector's length, in floats and bytes.</summary>
    [Test]
    public void NearestByWholeFactors([Values(2, 3)] int factor, [Values(3, 16, 37)] int width, [Values] bool bytes)
    {
        TestGraph g = New(opset: 18);
        Value x;
        if (bytes)
        {
            var values = new byte[2 * 5 * width];
            new Random(3).NextBytes(values);
            _inputs["x"] = Tensor.Create(values, 1, 2, 5, width);
            x = g.Input("x", new TensorType(DataType.UInt8, [1, 2, 5, width]));
        }
        else x = Input(g, "x", 1, 2, 5, width);
        Compare(g, "Resize", [x, null, g.Floats("scales", [1, 1, factor, factor])],
            new AttributeMap { ["mode"] = "nearest", ["coordinate_transformation_mode"] = "asymmetric", ["nearest_mode"] = "floor" }, 1);
    }

    [Test]
    public void RoiAlignOnSeveralThreadsIsTheSame([Values(1, 3)] int threads)
    {
        TestGraph g = New(opset: 16);
        float[] corners = [.. Enumerable.Range(0, 24).Select(i => (i % 4 < 2 ? 0.5f : 5) + i * 0.37f % 3)];
        Compare(g, "RoiAlign", [Input(g, "x", 2, 5, 9, 8), g.Editor.AddConstant("rois", Tensor.Create(corners, 6, 4)), g.Ints("batch", 0, 1, 0, 1, 1, 0)],
            new AttributeMap { ["output_height"] = 3L, ["output_width"] = 4L }, 1, threads: threads);
    }

    [Test]
    public void MaxRoiPool()
    {
        TestGraph g = New();
        Value rois = g.Editor.AddConstant("rois", Tensor.Create<float>([0, 0, 0, 7, 7, 1, 1.4f, 2, 9, 6, 0, 3, 4, 5, 5], 3, 5));
        Compare(g, "MaxRoiPool", [Input(g, "x", 2, 3, 8, 8), rois], new AttributeMap { ["pooled_shape"] = new[] { 2L, 3L }, ["spatial_scale"] = 0.7f }, 1);
    }

    [Test]
    public void NonMaxSuppression([Values(0L, 1L)] long centered)
    {
        TestGraph g = New();
        Compare(g, "NonMaxSuppression", [Input(g, "boxes", 2, 40, 4), Input(g, "scores", 2, 3, 40), g.Ints("most", 7), g.Scalar("iou", 0.3f), g.Scalar("score", -0.2f)],
            new AttributeMap { ["center_point_box"] = centered }, 1);
    }

    [Test]
    public void MaxUnpool()
    {
        TestGraph g = New();
        Value x = Input(g, "x", 1, 2, 6, 8);
        Value pooled = g.Editor.AddValue("pooled"), indices = g.Editor.AddValue("indices");
        g.Editor.AddNode("MaxPool", [x], [pooled, indices], new AttributeMap { ["kernel_shape"] = new[] { 2L, 2L }, ["strides"] = new[] { 2L, 2L } });
        Compare(g, "MaxUnpool", [pooled, indices], new AttributeMap { ["kernel_shape"] = new[] { 2L, 2L }, ["strides"] = new[] { 2L, 2L } }, 1);
    }

    [Test]
    public void AffineGrid([Values(0L, 1L)] long align, [Values] bool deep)
    {
        TestGraph g = New(opset: 20);
        Value theta = deep ? Input(g, "theta", 2, 3, 4) : Input(g, "theta", 2, 2, 3);
        Compare(g, "AffineGrid", [theta, deep ? g.Ints("size", 2, 1, 3, 4, 5) : g.Ints("size", 2, 1, 4, 5)], new AttributeMap { ["align_corners"] = align }, 1);
    }

    [TestCase(8)]
    [TestCase(15)]
    [TestCase(37)]
    public void Dft(int length)
    {
        TestGraph g = New(opset: 20);
        Value x = Input(g, "x", 2, length, 1);
        g.Output(g.Node("DFT", [x, null, g.Editor.AddConstant("axis", Tensor.Scalar(1L))], new AttributeMap { ["onesided"] = 1L }), "onesided");
        Value complex = Input(g, "z", 2, length, 3, 2);
        g.Output(g.Node("DFT", [complex, null, g.Editor.AddConstant("axis2", Tensor.Scalar(1L))], new AttributeMap { ["inverse"] = 1L }, name: "inverse"), "inverse");
        Oracle.Compare(g.Graph, _inputs, 1e-4f);
    }

    [Test]
    public void Stft()
    {
        TestGraph g = New(opset: 17);
        Value window = g.Node("HannWindow", [g.Editor.AddConstant("size", Tensor.Scalar(16L))]);
        Compare(g, "STFT", [Input(g, "x", 2, 64, 1), g.Editor.AddConstant("step", Tensor.Scalar(8L)), window], [], 1, 1e-4f);
    }

    [TestCase("HannWindow", 10L, 1L)]
    [TestCase("HannWindow", 9L, 0L)]
    [TestCase("HammingWindow", 10L, 1L)]
    [TestCase("BlackmanWindow", 11L, 0L)]
    public void Window(string type, long size, long periodic)
    {
        TestGraph g = New(opset: 17);
        Compare(g, type, [IntInput(g, "size", size)], new AttributeMap { ["periodic"] = periodic }, 1);
    }

    [Test]
    public void MelWeightMatrix()
    {
        TestGraph g = New(opset: 17);
        Compare(g, "MelWeightMatrix", [IntInput(g, "bands", 8), IntInput(g, "length", 64), IntInput(g, "rate", 8192), g.Scalar("low", 0f), g.Scalar("high", 4096f)], [], 1);
    }

    [Test]
    public void Det()
    {
        TestGraph g = New();
        Compare(g, "Det", [Input(g, "x", 2, 3, 4, 4)], [], 1);
    }

    [TestCase("ij,jk->ik", "3,4", "4,5")]
    [TestCase("bij,bjk->bik", "2,3,4", "2,4,5")]
    [TestCase("bhid,bhjd->bhij", "2,3,4,5", "2,3,6,5")]
    [TestCase("...ij,...jk->...ik", "2,3,4", "2,4,5")]
    [TestCase("ij,ij", "3,4", "3,4")]
    [TestCase("i,j->ij", "3", "4")]
    [TestCase("bij,jk->bik", "2,3,4", "4,5")]
    [TestCase("ibhd,jbhd->bijh", "4,2,3,5", "6,2,3,5")]
    [TestCase("kij,lk->jli", "3,4,5", "2,3")]
    [TestCase("ji,jk->ik", "4,3", "4,5")]
    [TestCase("ij,kj->k", "3,4", "5,4")]
    public void EinsumOfTwo(string equation, string a, string b)
    {
        TestGraph g = New();
        Compare(g, "Einsum", [Input(g, "a", Shape(a)), Input(g, "b", Shape(b))], new AttributeMap { ["equation"] = equation }, 1);
    }

    [Test]
    public void EinsumOfThree()
    {
        TestGraph g = New();
        Compare(g, "Einsum", [Input(g, "a", 3, 4), Input(g, "b", 4, 5), Input(g, "c", 5, 2)], new AttributeMap { ["equation"] = "ij,jk,kl->il" }, 1);
    }

    [Test]
    public void Upsample([Values("nearest", "linear")] string mode)
    {
        TestGraph g = New(opset: 9);
        Compare(g, "Upsample", [Input(g, "x", 1, 2, 3, 4), g.Floats("scales", [1, 1, 2, 3])], new AttributeMap { ["mode"] = mode }, 1);
    }

    [Test]
    public void MultiHeadAttention([Values] bool past, [Values] bool mask, [Values] bool bias, [Values] bool causal)
    {
        const int Batch = 2, Heads = 3, Rows = 4, Length = 4, Size = 8, Past = 5;
        TestGraph g = New();
        int keys = Length + (past ? Past : 0);
        var inputs = new List<Value?>
        {
            Input(g, "q", Batch, Rows, Heads * Size), Input(g, "k", Batch, Length, Heads * Size), Input(g, "v", Batch, Length, Heads * Size),
            bias ? Input(g, "b", 3 * Heads * Size) : null, mask ? MaskInput(g, "m", Batch, keys) : null, bias ? Input(g, "a", 1, Heads, Rows, keys) : null,
        };
        if (past) inputs.AddRange([Input(g, "pk", Batch, Heads, Past, Size), Input(g, "pv", Batch, Heads, Past, Size)]);
        Compare(g, "MultiHeadAttention", inputs, new AttributeMap { ["num_heads"] = (long)Heads, ["unidirectional"] = causal ? 1L : 0L }, past ? 3 : 1, domain: Operator.MicrosoftDomain);
    }

    [Test]
    public void MicrosoftAttention([Values] bool past, [Values(0, 1, 2)] int mask, [Values] bool causal, [Values] bool constant)
    {
        const int Batch = 2, Heads = 2, Rows = 5, Size = 8, Past = 3;
        TestGraph g = New();
        int keys = Rows + (past ? Past : 0);
        Value x = Input(g, "x", Batch, Rows, 12);
        Value w = constant ? g.Random("w", 77, 12, 3 * Heads * Size) : Input(g, "w", 12, 3 * Heads * Size);
        Value? m = mask == 0 ? null : mask == 1 ? g.Editor.AddConstant("m", Tensor.Create<int>([4, keys], 2)) : MaskInput(g, "m", Batch, keys);
        var inputs = new List<Value?> { x, w, Input(g, "b", 3 * Heads * Size), m };
        if (past) inputs.Add(Input(g, "past", 2, Batch, Heads, Past, Size));
        Compare(g, "Attention", inputs, new AttributeMap { ["num_heads"] = (long)Heads, ["unidirectional"] = causal ? 1L : 0L }, past ? 2 : 1, domain: Operator.MicrosoftDomain);
    }

    [Test]
    public void MultiHeadAttentionOverManyQueries([Values] bool causal, [Values] bool threads)
    {
        TestGraph g = New();
        Compare(g, "MultiHeadAttention", [Input(g, "q", 2, 37, 48), Input(g, "k", 2, 37, 48), Input(g, "v", 2, 37, 96), null, MaskInput(g, "m", 2, 37), Input(g, "a", 1, 3, 37, 37)],
            new AttributeMap { ["num_heads"] = 3L, ["unidirectional"] = causal ? 1L : 0L }, 1, domain: Operator.MicrosoftDomain, threads: threads ? 3 : 1);
    }

    [Test]
    public void MicrosoftRotaryEmbedding([Values(0L, 1L)] long interleaved, [Values] bool offset)
    {
        TestGraph g = New();
        Value positions = offset ? g.Ints("p", 3) : g.Editor.AddConstant("p", Tensor.Create<long>([0, 5, 2, 7, 1, 4], 2, 3));
        Compare(g, "RotaryEmbedding", [Input(g, "x", 2, 3, 32), positions, Input(g, "cos", 9, 4), Input(g, "sin", 9, 4)],
            new AttributeMap { ["interleaved"] = interleaved }, 1, domain: Operator.MicrosoftDomain);
    }

    private Value MaskInput(TestGraph g, string name, int batch, int keys)
    {
        var random = new Random(++_seed);
        int[] mask = new int[batch * keys];
        for (int i = 0; i < mask.Length; i++) mask[i] = i % keys == 0 || random.Next(3) > 0 ? 1 : 0;
        _inputs[name] = Tensor.Create(mask, batch, keys);
        return g.Input(name, new TensorType(DataType.Int32, [batch, keys]));
    }

    private static int[] Shape(string text) => [.. text.Split(',').Select(int.Parse)];

    private static TestGraph New(int opset = 21) => new(opset);

    private Value Input(TestGraph g, string name, params int[] shape) => Input(g, name, 1f, shape);

    private Value Input(TestGraph g, string name, float scale, params int[] shape)
    {
        Tensor tensor = TestGraph.RandomTensor(++_seed, shape);
        foreach (ref float value in tensor.Span<float>()) value *= scale;
        _inputs[name] = tensor;
        return g.Input(name, shape);
    }

    private Value IntInput(TestGraph g, string name, long value)
    {
        _inputs[name] = Tensor.Scalar(value);
        return g.Input(name, new TensorType(DataType.Int64, default(ReadOnlySpan<int>)));
    }

    private void Compare(TestGraph g, string type, IReadOnlyList<Value?> inputs, AttributeMap attributes, int outputs, float bound = Tolerance.PeerRelative, string domain = "", int threads = 1)
    {
        Value[] results = [.. Enumerable.Range(0, outputs).Select(i => g.Editor.AddValue($"y{i}"))];
        g.Editor.AddNode(type, [.. inputs], results, attributes, domain);
        foreach (Value result in results) g.Output(result);
        Oracle.Compare(g.Graph, _inputs, bound, threads);
    }
}
