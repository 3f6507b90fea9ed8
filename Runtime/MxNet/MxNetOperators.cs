using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.MxNet;

/// <summary>How each of MXNet's operators is written in ONNX's.</summary>
/// <remarks>
/// Parameters and their defaults: https://mxnet.apache.org/versions/1.9.1/api/python/docs/api/. A translator returns the operator's outputs; null stands for one that
/// inference does not have.
/// </remarks>
internal static class MxNetOperators
{
    /// <summary>The translator of an operator, or null.</summary>
    public static Func<MxNetTranslator, Value?[]>? Find(string operatorType) => Table.GetValueOrDefault(operatorType);

    /// <summary>The operators that are translated.</summary>
    public static IEnumerable<string> Names => Table.Keys;

    private static readonly Dictionary<string, Func<MxNetTranslator, Value?[]>> Table = MakeTable();

    private static Dictionary<string, Func<MxNetTranslator, Value?[]>> MakeTable()
    {
        var table = new Dictionary<string, Func<MxNetTranslator, Value?[]>>(StringComparer.Ordinal);
        Many(Convolution, "Convolution", "Convolution_v1");
        Many(Deconvolution, "Deconvolution");
        Many(FullyConnected, "FullyConnected");
        Many(BatchNorm, "BatchNorm", "BatchNorm_v1", "CuDNNBatchNorm", "_contrib_SyncBatchNorm");
        Many(Pooling, "Pooling", "Pooling_v1");
        Many(Activation, "Activation");
        Many(LeakyReLU, "LeakyReLU");
        Many(t => [t.Same("Identity", [t.In()])], "Dropout", "identity", "_copy", "BlockGrad", "stop_gradient", "make_loss", "MakeLoss", "_identity_with_attr_like_rhs",
            "LinearRegressionOutput", "MAERegressionOutput", "IdentityAttachKLSparseReg");
        Many(t => [t.Same("Sigmoid", [t.In()])], "sigmoid", "LogisticRegressionOutput");
        Many(t => [t.Ranked(t.Onnx("Flatten", [t.In()]), 2)], "Flatten", "flatten");
        Many(Concat, "Concat", "concat");
        Many(SliceChannel, "SliceChannel", "split");
        Many(Reshape, "Reshape", "reshape");
        Many(SoftmaxOutput, "SoftmaxOutput");
        Many(t => [t.Node.Text("mode", "instance") == "channel" ? t.Same("Softmax", [t.In()], new AttributeMap { ["axis"] = 1L }) : OverInstance(t, "Softmax")], "SoftmaxActivation");
        Many(t => [Softmax(t, "Softmax")], "softmax");
        Many(t => [Softmax(t, "LogSoftmax")], "log_softmax");
        Many(UpSampling, "UpSampling");
        Many(t => [t.Same("LRN", [t.In()], new AttributeMap
        {
            ["alpha"] = t.Node.Float("alpha", 1e-4f), ["beta"] = t.Node.Float("beta", 0.75f), ["bias"] = t.Node.Float("knorm", 2), ["size"] = t.Node.Int("nsize", 5),
        })], "LRN");
        Many(Pad, "Pad", "pad");
        Many(Transpose, "transpose");
        Many(SwapAxis, "SwapAxis", "swapaxes");
        Many(t => [t.Onnx("Unsqueeze", [t.In(), t.Ints("axes", t.Node.Int("axis", 0))])], "expand_dims");
        Many(t => [t.Onnx("Squeeze", t.Node.Ints("axis") is { } axes ? [t.In(), t.Ints("axes", axes)] : [t.In()])], "squeeze");
        Many(t => [Clip(t, t.In(), t.Node.Float("a_min", float.NegativeInfinity), t.Node.Float("a_max", float.PositiveInfinity))], "clip");
        Many(t => [t.Same("Sum", t.Ins())], "add_n", "ElementWiseSum", "_sum_n");
        Many(InstanceNorm, "InstanceNorm");
        Many(LayerNorm, "LayerNorm");
        Many(L2Normalization, "L2Normalization");
        Many(t => [t.Same("HardSigmoid", [t.In()], new AttributeMap { ["alpha"] = t.Node.Float("alpha", 0.2f), ["beta"] = t.Node.Float("beta", 0.5f) })], "hard_sigmoid");
        Many(t => [t.Same("Cast", [t.In()], new AttributeMap { ["to"] = (long)TypeOf(t.Node, t.Node.Text("dtype", "float32")) })], "Cast", "cast", "amp_cast");
        Many(Slice, "slice", "crop");
        Many(SliceAxis, "slice_axis");
        Many(t => [t.Onnx("Gather", [t.In(1), t.Onnx("Cast", [t.In()], new AttributeMap { ["to"] = (long)DataType.Int64 })])], "Embedding");
        Many(t => [t.Ranked(t.Onnx("DepthToSpace", [t.In()], new AttributeMap { ["blocksize"] = t.Node.Int("block_size", 1) }), 4)], "depth_to_space");
        Many(t => [t.Ranked(t.Onnx("SpaceToDepth", [t.In()], new AttributeMap { ["blocksize"] = t.Node.Int("block_size", 1) }), 4)], "space_to_depth");
        Many(BatchDot, "batch_dot");
        Many(t => [t.Same("Mul", [t.In(), t.In()])], "square");
        Many(t => [t.Same("Reciprocal", [t.Same("Sqrt", [t.In()])])], "rsqrt");

        (string Name, string Onnx)[] pointwise =
        [
            ("relu", "Relu"), ("tanh", "Tanh"), ("softsign", "Softsign"), ("exp", "Exp"), ("log", "Log"), ("sqrt", "Sqrt"), ("abs", "Abs"), ("negative", "Neg"), ("floor", "Floor"),
            ("ceil", "Ceil"), ("sin", "Sin"), ("cos", "Cos"), ("erf", "Erf"), ("reciprocal", "Reciprocal"), ("sign", "Sign"), ("rint", "Round"),
        ];
        foreach ((string name, string onnx) in pointwise) Many(t => [t.Same(onnx, [t.In()])], name);

        (string[] Names, string Onnx)[] pairs =
        [
            (["elemwise_add", "_plus", "_Plus", "_add", "broadcast_add", "broadcast_plus", "_grad_add"], "Add"),
            (["elemwise_sub", "_minus", "_Minus", "_sub", "broadcast_sub", "broadcast_minus"], "Sub"),
            (["elemwise_mul", "_mul", "_Mul", "broadcast_mul"], "Mul"),
            (["elemwise_div", "_div", "_Div", "broadcast_div"], "Div"),
            (["_power", "_Power", "broadcast_power"], "Pow"),
            (["_maximum", "_Maximum", "broadcast_maximum"], "Max"),
            (["_minimum", "_Minimum", "broadcast_minimum"], "Min"),
        ];
        foreach ((string[] names, string onnx) in pairs) Many(t => [Widest(t, t.Onnx(onnx, [t.In(), t.In(1)]))], names);

        (string[] Names, string Onnx, bool Reverse)[] scalars =
        [
            (["_plus_scalar", "_PlusScalar"], "Add", false), (["_minus_scalar", "_MinusScalar"], "Sub", false), (["_rminus_scalar", "_RMinusScalar"], "Sub", true),
            (["_mul_scalar", "_MulScalar"], "Mul", false), (["_div_scalar", "_DivScalar"], "Div", false), (["_rdiv_scalar", "_RDivScalar"], "Div", true),
            (["_power_scalar", "_PowerScalar"], "Pow", false), (["_rpower_scalar", "_RPowerScalar"], "Pow", true),
            (["_maximum_scalar", "_MaximumScalar"], "Max", false), (["_minimum_scalar", "_MinimumScalar"], "Min", false),
        ];
        foreach ((string[] names, string onnx, bool reverse) in scalars)
        {
            Many(t =>
            {
                Value x = t.In(), scalar = t.Number("scalar", t.Node.Float("scalar", t.Node.Float("data", 0)));
                return [t.Like(t.Onnx(onnx, reverse ? [scalar, x] : [x, scalar]), x)];
            }, names);
        }

        // MXNet's comparisons give numbers, 1 or 0.
        (string Name, string Old, string Onnx, bool Not)[] comparisons =
        [
            ("equal", "Equal", "Equal", false), ("not_equal", "Not_Equal", "Equal", true), ("greater", "Greater", "Greater", false), ("greater_equal", "Greater_Equal", "Less", true),
            ("lesser", "Lesser", "Less", false), ("lesser_equal", "Lesser_Equal", "Greater", true),
        ];
        foreach ((string name, string old, string onnx, bool not) in comparisons)
        {
            Many(t => [Widest(t, Truth(t, onnx, not, t.In(1)))], $"broadcast_{name}", $"_{name}", $"_{old}");
            Many(t => [t.Like(Truth(t, onnx, not, t.Number("scalar", t.Node.Float("scalar", t.Node.Float("data", 0)))), t.In())], $"_{name}_scalar", $"_{old.Replace("_", "", StringComparison.Ordinal)}Scalar");
        }

        Many(t => [t.Onnx("Expand", [t.In(), t.Ints("shape", Array.ConvertAll(t.Node.Ints("shape") ?? throw t.Node.Wrong("shape", "", "given"), extent => Math.Max(extent, 1)))])], "broadcast_to");
        Many(BroadcastAxis, "broadcast_axis", "broadcast_axes");
        Many(t => !t.Node.Has("lhs_axes") ? [t.Like(t.Onnx("Expand", [t.In(), t.Onnx("Shape", [t.In(1)])]), t.In(1))] : throw t.Node.Unsupported("lhs_axes", "all axes"), "broadcast_like");
        Many(t => [t.Like(t.Onnx("ConstantOfShape", [t.Onnx("Shape", [t.In()])], new AttributeMap { ["value"] = t.Convert([0], 1) }), t.In())], "zeros_like", "_zeros_like");
        Many(t => [t.Like(t.Onnx("ConstantOfShape", [t.Onnx("Shape", [t.In()])], new AttributeMap { ["value"] = t.Convert([1], 1) }), t.In())], "ones_like", "_ones_like");
        Many(Stack, "stack");
        Many(Dot, "dot");
        Many(t => [ArgExtreme(t, "ArgMax")], "argmax");
        Many(t => [ArgExtreme(t, "ArgMin")], "argmin");

        (string Name, string Onnx)[] reductions = [("mean", "ReduceMean"), ("sum", "ReduceSum"), ("sum_axis", "ReduceSum"), ("max", "ReduceMax"), ("max_axis", "ReduceMax"), ("min", "ReduceMin"), ("min_axis", "ReduceMin"), ("prod", "ReduceProd")];
        foreach ((string name, string onnx) in reductions) Many(t => [Reduce(t, onnx)], name);
        return table;

        void Many(Func<MxNetTranslator, Value?[]> write, params string[] names)
        {
            foreach (string name in names) table.Add(name, write);
        }
    }

    private static Value Truth(MxNetTranslator t, string onnx, bool not, Value second)
    {
        Value truth = t.Onnx(onnx, [t.In(), second]);
        return t.Onnx("Cast", [not ? t.Onnx("Not", [truth]) : truth], new AttributeMap { ["to"] = (long)t.FloatType });
    }

    private static Value?[] BroadcastAxis(MxNetTranslator t)
    {
        int rank = t.KnownRank(t.In());
        long[] axes = t.Node.Ints("axis") ?? [], sizes = t.Node.Ints("size") ?? [];
        if (axes.Length != sizes.Length) throw t.Node.Wrong("size", t.Node.Text("size", ""), "as long as axis");
        var shape = new long[rank];
        Array.Fill(shape, 1);
        for (int i = 0; i < axes.Length; i++) shape[Axis(t, axes[i], rank)] = sizes[i];
        return [t.Ranked(t.Onnx("Expand", [t.In(), t.Ints("shape", shape)]), rank)];
    }

    private static Value?[] Stack(MxNetTranslator t)
    {
        long axis = t.Node.Int("axis", 0);
        Value axes = t.Ints("axes", axis);
        Value y = t.Onnx("Concat", [.. t.Ins().Select(input => t.Onnx("Unsqueeze", [input, axes]))], new AttributeMap { ["axis"] = axis });
        return [t.Rank(t.In()) is >= 0 and int rank ? t.Ranked(y, rank + 1) : y];
    }

    private static Value?[] Dot(MxNetTranslator t)
    {
        if (t.KnownRank(t.In()) != 2 || t.KnownRank(t.In(1)) != 2) throw t.Node.Unsupported($"a product of {t.Rank(t.In())} and {t.Rank(t.In(1))} axes", "matrices");
        Value a = t.Node.Flag("transpose_a", false) ? t.Onnx("Transpose", [t.In()]) : t.In(), b = t.Node.Flag("transpose_b", false) ? t.Onnx("Transpose", [t.In(1)]) : t.In(1);
        return [t.Ranked(t.Onnx("MatMul", [a, b]), 2)];
    }

    private static Value ArgExtreme(MxNetTranslator t, string onnx)
    {
        if (!t.Node.Has("axis")) throw t.Node.Unsupported("the extreme over all axes", "one axis");
        bool keep = t.Node.Flag("keepdims", false);
        Value index = t.Onnx(onnx, [t.In()], new AttributeMap { ["axis"] = t.Node.Int("axis", 0), ["keepdims"] = keep });
        Value y = t.Onnx("Cast", [index], new AttributeMap { ["to"] = (long)t.FloatType });
        return keep ? t.Like(y, t.In()) : t.Rank(t.In()) is > 0 and int rank ? t.Ranked(y, rank - 1) : y;
    }

    private static Value?[] Convolution(MxNetTranslator t)
    {
        Tensor w = t.Parameter(1, 3);
        long[] kernel = Kernel(t, w);
        long group = Group(t);
        t.Expect(t.In(), w.Rank, w.Shape[1] * group);
        var attributes = new AttributeMap
        {
            ["kernel_shape"] = kernel,
            ["strides"] = Spatial(t, "stride", kernel.Length, 1),
            ["dilations"] = Spatial(t, "dilate", kernel.Length, 1),
            ["pads"] = Twice(Spatial(t, "pad", kernel.Length, 0)),
            ["group"] = group,
        };
        return [t.Ranked(t.Onnx("Conv", WithBias(t, noBias: false), attributes), w.Rank)];
    }

    private static Value?[] Deconvolution(MxNetTranslator t)
    {
        Tensor w = t.Parameter(1, 3);
        long[] kernel = Kernel(t, w);
        t.Expect(t.In(), w.Rank, w.Shape[0]);
        var attributes = new AttributeMap
        {
            ["kernel_shape"] = kernel,
            ["strides"] = Spatial(t, "stride", kernel.Length, 1),
            ["dilations"] = Spatial(t, "dilate", kernel.Length, 1),
            ["group"] = Group(t),
        };
        // With a target shape MXNet pads ceil(total/2) before and floor(total/2) after, which is ONNX's rule for output_shape.
        if (t.Node.Ints("target_shape") is { Length: > 0 } target && target.Any(extent => extent != 0)) attributes.Add("output_shape", target);
        else
        {
            attributes.Add("pads", Twice(Spatial(t, "pad", kernel.Length, 0)));
            attributes.Add("output_padding", Spatial(t, "adj", kernel.Length, 0));
        }
        return [t.Ranked(t.Onnx("ConvTranspose", WithBias(t, noBias: true), attributes), w.Rank)];
    }

    private static Value?[] FullyConnected(MxNetTranslator t)
    {
        Tensor w = t.Parameter(1, 2);
        if (w.Rank != 2) throw new ModelException($"the weight of {t.Node} is {w}; rule: it has 2 axes");
        Value?[] inputs = WithBias(t, noBias: false);
        if (!t.Node.Flag("flatten", true))
        {
            Value product = t.Onnx("MatMul", [inputs[0], t.Onnx("Transpose", [inputs[1]], new AttributeMap { ["perm"] = new long[] { 1, 0 } })]);
            return [t.Like(inputs.Length > 2 ? t.Onnx("Add", [product, inputs[2]]) : product, t.In())];
        }
        if (t.Rank(inputs[0]!) != 2) inputs[0] = t.Ranked(t.Onnx("Flatten", [inputs[0]]), 2);
        return [t.Ranked(t.Onnx("Gemm", inputs, new AttributeMap { ["transB"] = 1L }), 2)];
    }

    private static Value?[] BatchNorm(MxNetTranslator t)
    {
        long axis = t.Node.Int("axis", 1);
        if (axis != 1 && !(axis < 0 && t.Rank(t.In()) + axis == 1)) throw t.Node.Unsupported($"normalization over axis {axis}", "axis 1");
        if (t.Node.Flag("output_mean_var", false)) throw t.Node.Unsupported("mean and variance as outputs", "output_mean_var = False");
        Tensor gamma = t.Parameter(1, 1);
        Value scale = t.Node.Flag("fix_gamma", true)
            ? t.Constant($"{t.Node.Name}/gamma", Ones(gamma))
            : t.In(1);
        // MXNet before 0.9 does not list the moving statistics among the inputs.
        Value mean = t.InputCount > 3 ? t.In(3) : t.Constant($"{t.Node.Name}_moving_mean", t.Parameter($"{t.Node.Name}_moving_mean"));
        Value variance = t.InputCount > 4 ? t.In(4) : t.Constant($"{t.Node.Name}_moving_var", t.Parameter($"{t.Node.Name}_moving_var"));
        return [t.Same("BatchNormalization", [t.In(), scale, t.In(2), mean, variance], new AttributeMap { ["epsilon"] = t.Node.Float("eps", 1e-3f) })];
    }

    private static Tensor Ones(Tensor like)
    {
        var ones = new float[like.Length];
        Array.Fill(ones, 1f);
        return like.Type switch
        {
            DataType.Float64 => Tensor.Create(Array.ConvertAll(ones, one => (double)one), like.Shape),
            DataType.Float16 => Tensor.Create(Array.ConvertAll(ones, one => (Half)one), like.Shape),
            _ => Tensor.Create(ones, like.Shape),
        };
    }

    private static Value?[] Pooling(MxNetTranslator t)
    {
        string type = t.Node.Text("pool_type", "max"), layout = t.Node.Text("layout", "NC");
        if (!layout.StartsWith("NC", StringComparison.Ordinal)) throw t.Node.Unsupported($"layout '{layout}'", "channels before places: NCW, NCHW, NCDHW");
        Value x = t.In();
        if (t.Node.Flag("global_pool", false))
        {
            return type switch
            {
                "max" => [t.Like(t.Onnx("GlobalMaxPool", [x]), x)],
                "avg" => [t.Like(t.Onnx("GlobalAveragePool", [x]), x)],
                "lp" => [t.Like(t.Onnx("GlobalLpPool", [x], new AttributeMap { ["p"] = t.Node.Int("p_value", 2) }), x)],
                "sum" => [t.Like(t.Onnx("ReduceSum", [x, t.Ints("axes", [.. Enumerable.Range(2, Math.Max(0, t.KnownRank(x) - 2)).Select(axis => (long)axis)])]), x)],
                _ => throw t.Node.Unsupported($"pooling '{type}'", "max, avg, sum, lp"),
            };
        }
        long[] kernel = t.Node.Ints("kernel") ?? throw t.Node.Wrong("kernel", "", "given for pooling that is not global");
        int spatial = kernel.Length;
        long[] stride = Spatial(t, "stride", spatial, 1), pad = Spatial(t, "pad", spatial, 0);
        string convention = t.Node.Text("pooling_convention", "valid");
        if (convention is not ("valid" or "full")) throw t.Node.Unsupported($"pooling convention '{convention}'", "valid, full");
        bool full = convention == "full";
        for (int i = 0; i < spatial; i++)
        {
            // Such a window could begin behind the data, where MXNet keeps it and ONNX does not.
            if (full && pad[i] + stride[i] - 1 >= kernel[i]) throw t.Node.Unsupported($"full convention with kernel {kernel[i]}, stride {stride[i]} and pad {pad[i]}", "pad + stride ≤ kernel");
        }
        t.Expect(x, spatial + 2, Dim.Unknown);
        var attributes = new AttributeMap { ["kernel_shape"] = kernel, ["strides"] = stride, ["pads"] = Twice(pad), ["ceil_mode"] = full };
        bool includePad = t.Node.Flag("count_include_pad", true);
        if (type == "avg") attributes.Add("count_include_pad", includePad ? 1L : 0L);
        switch (type)
        {
            case "max": return [t.Like(t.Onnx("MaxPool", [x], attributes), x)];
            case "avg": return [t.Like(t.Onnx("AveragePool", [x], attributes), x)];
            case "sum" when !full:
                attributes.Add("count_include_pad", 1L);
                return [t.Like(t.Onnx("Mul", [t.Onnx("AveragePool", [x], attributes), t.Number("area", kernel.Aggregate(1.0, (area, extent) => area * extent))]), x)];
            case "lp" when !full:
                attributes["ceil_mode"] = null;
                attributes.Add("p", t.Node.Int("p_value", 2));
                return [t.Like(t.Onnx("LpPool", [x], attributes), x)];
            default: throw t.Node.Unsupported($"pooling '{type}', convention '{convention}'", "max and avg of both conventions, sum and lp of the valid one");
        }
    }

    private static Value?[] Activation(MxNetTranslator t) => t.Node.Text("act_type", "") switch
    {
        "relu" => [t.Same("Relu", [t.In()])],
        "sigmoid" => [t.Same("Sigmoid", [t.In()])],
        "tanh" => [t.Same("Tanh", [t.In()])],
        "softrelu" => [t.Same("Softplus", [t.In()])],
        "softsign" => [t.Same("Softsign", [t.In()])],
        "log_sigmoid" => [t.Same("Log", [t.Same("Sigmoid", [t.In()])])],
        "mish" => [t.Same("Mul", [t.In(), t.Same("Tanh", [t.Same("Softplus", [t.In()])])])],
        string type => throw t.Node.Unsupported($"activation '{type}'", "relu, sigmoid, tanh, softrelu, softsign, log_sigmoid, mish"),
    };

    private static Value?[] LeakyReLU(MxNetTranslator t)
    {
        Value x = t.In();
        float slope = t.Node.Float("slope", 0.25f);
        switch (t.Node.Text("act_type", "leaky"))
        {
            case "leaky": return [t.Same("LeakyRelu", [x], new AttributeMap { ["alpha"] = slope })];
            // Without training the random slope is the middle of its range.
            case "rrelu": return [t.Same("LeakyRelu", [x], new AttributeMap { ["alpha"] = (t.Node.Float("lower_bound", 0.125f) + t.Node.Float("upper_bound", 0.334f)) / 2 })];
            case "elu": return [t.Same("Elu", [x], new AttributeMap { ["alpha"] = slope })];
            case "selu": return [t.Same("Selu", [x])];
            case "gelu":
                Value half = t.Onnx("Mul", [x, t.Number("half", 0.5)]);
                Value erf = t.Onnx("Erf", [t.Onnx("Mul", [x, t.Number("root", Math.Sqrt(0.5))])]);
                return [t.Like(t.Onnx("Mul", [half, t.Onnx("Add", [erf, t.Number("one", 1)])]), x)];
            case "prelu":
                Tensor gamma = t.Parameter(1, 1);
                // One slope per channel: as many axes behind it as the data have behind theirs.
                int behind = gamma.Length == 1 ? 0 : t.KnownRank(x) - 2;
                if (behind < 0) throw new ModelException($"{t.Node} has {gamma.Length} slopes for '{x.Name}' of {behind + 2} axes; rule: slopes belong to axis 1");
                var shape = new int[1 + behind];
                Array.Fill(shape, 1);
                shape[0] = gamma.Length;
                return [t.Same("PRelu", [x, t.Constant($"{t.Node.Name}/slope", gamma.Reshape(shape))])];
            default: throw t.Node.Unsupported($"activation '{t.Node.Text("act_type", "leaky")}'", "leaky, prelu, rrelu, elu, selu, gelu");
        }
    }

    private static Value?[] Concat(MxNetTranslator t)
    {
        Value y = t.Onnx("Concat", t.Ins(), new AttributeMap { ["axis"] = t.Node.Int("dim", 1) });
        return [t.Rank(t.In()) is > 0 and int rank ? t.Ranked(y, rank) : y];
    }

    private static Value?[] SliceChannel(MxNetTranslator t)
    {
        const int most = 4096;
        long outputs = t.Node.Int("num_outputs", 1), axis = t.Node.Int("axis", 1);
        if (outputs is < 1 or > most) throw t.Node.Wrong("num_outputs", t.Node.Text("num_outputs", ""), $"1 to {most}");
        Value[] parts = t.OnnxMany("Split", [t.In()], (int)outputs, new AttributeMap { ["axis"] = axis });
        int rank = t.Rank(t.In());
        if (!t.Node.Flag("squeeze_axis", false)) return rank < 0 ? parts : Array.ConvertAll(parts, part => t.Ranked(part, rank));
        Value axes = t.Ints("axes", axis);
        Value[] squeezed = Array.ConvertAll(parts, part => t.Onnx("Squeeze", [part, axes]));
        return rank < 0 ? squeezed : Array.ConvertAll(squeezed, part => t.Ranked(part, rank - 1));
    }

    /// <summary>
    /// Shape codes: n, 0 = copy, −1 = the rest, −2 = copy all that remain, −3 = product of two, −4 a b = split one into a · b (one of them may be −1).
    /// </summary>
    private static Value?[] Reshape(MxNetTranslator t)
    {
        Value x = t.In();
        long[] codes = t.Node.Ints("shape") is { Length: > 0 } shape ? shape : t.Node.Ints("target_shape") ?? throw t.Node.Wrong("shape", "", "given");
        if (t.Node.Flag("reverse", false)) throw t.Node.Unsupported("reverse = True", "shape codes that count from the front");
        if (codes.All(code => code >= -1))
        {
            bool aligned = true;
            for (int i = 0, known = t.Rank(x); i < codes.Length; i++) aligned &= codes[i] != 0 || known < 0 || i < known;
            if (!aligned) throw t.Node.Wrong("shape", t.Node.Text("shape", ""), "0 only where the input has an axis");
            return [t.Ranked(t.Onnx("Reshape", [x, t.Ints("shape", codes)]), codes.Length)];
        }

        Value extents = t.Onnx("Shape", [x]);
        var parts = new List<Value?>();
        int from = 0;
        for (int i = 0; i < codes.Length; i++)
        {
            switch (codes[i])
            {
                case 0: parts.Add(Extent(from++)); break;
                case -1: parts.Add(t.Ints("extent", -1)); from++; break;
                case -2:
                    for (int rank = t.KnownRank(x); from < rank; from++) parts.Add(Extent(from));
                    break;
                case -3:
                    parts.Add(t.Onnx("Mul", [Extent(from), Extent(from + 1)]));
                    from += 2;
                    break;
                case -4:
                    if (i + 2 >= codes.Length) throw t.Node.Wrong("shape", t.Node.Text("shape", ""), "-4 followed by two extents");
                    long a = codes[++i], b = codes[++i];
                    if (a == -1 ? b < 1 : a < 1 || b is < 1 and not -1) throw t.Node.Wrong("shape", t.Node.Text("shape", ""), "-4 followed by two extents, at most one of them -1");
                    parts.Add(a == -1 ? t.Onnx("Div", [Extent(from), t.Ints("factor", b)]) : t.Ints("extent", a));
                    parts.Add(b == -1 ? t.Onnx("Div", [Extent(from), t.Ints("factor", a)]) : t.Ints("extent", b));
                    from++;
                    break;
                case > 0: parts.Add(t.Ints("extent", codes[i])); from++; break;
                default: throw t.Node.Wrong("shape", t.Node.Text("shape", ""), "made of extents and the codes 0 to -4");
            }
        }
        return [t.Ranked(t.Onnx("Reshape", [x, t.Onnx("Concat", [.. parts], new AttributeMap { ["axis"] = 0L })]), parts.Count)];

        Value Extent(int axis) => t.Onnx("Gather", [extents, t.Ints("axis", axis)]);
    }

    private static Value?[] SoftmaxOutput(MxNetTranslator t)
    {
        if (t.Node.Flag("multi_output", false)) return [t.Same("Softmax", [t.In()], new AttributeMap { ["axis"] = 1L })];
        if (t.Node.Flag("preserve_shape", false)) return [t.Same("Softmax", [t.In()], new AttributeMap { ["axis"] = -1L })];
        return [OverInstance(t, "Softmax")];
    }

    /// <summary>An operator over everything but the batch axis.</summary>
    private static Value OverInstance(MxNetTranslator t, string type)
    {
        Value x = t.In();
        if (t.Rank(x) == 2) return t.Same(type, [x], new AttributeMap { ["axis"] = 1L });
        Value flat = t.Onnx(type, [t.Onnx("Flatten", [x])], new AttributeMap { ["axis"] = 1L });
        return t.Like(t.Onnx("Reshape", [flat, t.Onnx("Shape", [x])]), x);
    }

    private static Value Softmax(MxNetTranslator t, string type)
    {
        if (t.Node.Flag("use_length", false)) throw t.Node.Unsupported("use_length = True", "softmax over whole axes");
        Value x = t.In();
        float temperature = t.Node.Float("temperature", 1);
        Value scaled = temperature == 1 ? x : t.Onnx("Div", [x, t.Number("temperature", temperature)]);
        return t.Like(t.Onnx(type, [scaled], new AttributeMap { ["axis"] = t.Node.Int("axis", -1) }), x);
    }

    private static Value?[] UpSampling(MxNetTranslator t)
    {
        long scale = t.Node.Int("scale", 1);
        Value x = t.In();
        if (scale < 1) throw t.Node.Wrong("scale", t.Node.Text("scale", ""), "at least 1");
        switch (t.Node.Text("sample_type", "nearest"))
        {
            case "nearest":
                if (t.InputCount != 1) throw t.Node.Unsupported($"{t.InputCount} inputs", "one input");
                Value scales = t.Editor.AddConstant($"{t.Node.Name}/scales", Tensor.Create([1f, 1f, scale, scale], 4));
                return [t.Ranked(t.Onnx("Resize", [x, null, scales], new AttributeMap { ["mode"] = "nearest", ["coordinate_transformation_mode"] = "asymmetric", ["nearest_mode"] = "floor" }), 4)];
            case "bilinear":
                // MXNet writes this as a transposed convolution with a weight of its own, one channel each.
                Tensor w = t.Parameter(1, 4);
                long kernel = 2 * scale - scale % 2, pad = scale / 2;
                return [t.Ranked(t.Onnx("ConvTranspose", [x, t.In(1)], new AttributeMap
                {
                    ["kernel_shape"] = new[] { kernel, kernel }, ["strides"] = new[] { scale, scale }, ["pads"] = new[] { pad, pad, pad, pad }, ["group"] = (long)w.Shape[0],
                }), 4)];
            default: throw t.Node.Unsupported($"sampling '{t.Node.Text("sample_type", "nearest")}'", "nearest, bilinear");
        }
    }

    private static Value?[] Pad(MxNetTranslator t)
    {
        long[] width = t.Node.Ints("pad_width") ?? throw t.Node.Wrong("pad_width", "", "given");
        if (width.Length % 2 != 0) throw t.Node.Wrong("pad_width", t.Node.Text("pad_width", ""), "pairs of numbers");
        int rank = width.Length / 2;
        long[] pads = [.. Enumerable.Range(0, rank).Select(axis => width[2 * axis]), .. Enumerable.Range(0, rank).Select(axis => width[2 * axis + 1])];
        string mode = t.Node.Text("mode", "constant");
        if (mode is not ("constant" or "edge" or "reflect")) throw t.Node.Unsupported($"mode '{mode}'", "constant, edge, reflect");
        Value?[] inputs = mode == "constant" ? [t.In(), t.Ints("pads", pads), t.Number("value", t.Node.Float("constant_value", 0))] : [t.In(), t.Ints("pads", pads)];
        return [t.Ranked(t.Onnx("Pad", inputs, new AttributeMap { ["mode"] = mode }), rank)];
    }

    private static Value?[] Transpose(MxNetTranslator t)
    {
        Value x = t.In();
        if (t.Node.Ints("axes") is not { Length: > 0 } axes) return [t.Like(t.Onnx("Transpose", [x]), x)];
        return [t.Ranked(t.Onnx("Transpose", [x], new AttributeMap { ["perm"] = axes }), axes.Length)];
    }

    private static Value?[] SwapAxis(MxNetTranslator t)
    {
        int rank = t.KnownRank(t.In());
        long[] perm = [.. Enumerable.Range(0, rank).Select(axis => (long)axis)];
        int a = Axis(t, t.Node.Int("dim1", 0), rank), b = Axis(t, t.Node.Int("dim2", 0), rank);
        (perm[a], perm[b]) = (perm[b], perm[a]);
        return [t.Ranked(t.Onnx("Transpose", [t.In()], new AttributeMap { ["perm"] = perm }), rank)];
    }

    private static Value?[] InstanceNorm(MxNetTranslator t) =>
        [t.Same("InstanceNormalization", [t.In(), t.In(1), t.In(2)], new AttributeMap { ["epsilon"] = t.Node.Float("eps", 1e-3f) })];

    private static Value?[] LayerNorm(MxNetTranslator t)
    {
        long axis = t.Node.Int("axis", -1);
        if (axis != -1 && axis != t.Rank(t.In()) - 1) throw t.Node.Unsupported($"normalization over axis {axis}", "the last axis");
        return [t.Same("LayerNormalization", [t.In(), t.In(1), t.In(2)], new AttributeMap { ["axis"] = -1L, ["epsilon"] = t.Node.Float("eps", 1e-5f) })];
    }

    /// <summary><c>y = x / sqrt(sum(x²) + eps)</c>, the sum over the instance, the channels or the places.</summary>
    private static Value?[] L2Normalization(MxNetTranslator t)
    {
        Value x = t.In();
        string mode = t.Node.Text("mode", "instance");
        int rank = mode == "channel" ? 2 : t.KnownRank(x);
        long[] axes = mode switch
        {
            "channel" => [1],
            "instance" => [.. Enumerable.Range(1, Math.Max(0, rank - 1)).Select(axis => (long)axis)],
            "spatial" => [.. Enumerable.Range(2, Math.Max(0, rank - 2)).Select(axis => (long)axis)],
            _ => throw t.Node.Unsupported($"mode '{mode}'", "instance, channel, spatial"),
        };
        Value sum = t.Onnx("ReduceSum", [t.Onnx("Mul", [x, x]), t.Ints("axes", axes)]);
        Value norm = t.Onnx("Sqrt", [t.Onnx("Add", [sum, t.Number("eps", t.Node.Float("eps", 1e-10f))])]);
        return [t.Like(t.Onnx("Div", [x, norm]), x)];
    }

    private static Value?[] Slice(MxNetTranslator t)
    {
        const long open = long.MaxValue;
        long[] begin = t.Node.Ints("begin", open) ?? throw t.Node.Wrong("begin", "", "given"), end = t.Node.Ints("end", open) ?? throw t.Node.Wrong("end", "", "given");
        long[] step = t.Node.Ints("step", 1) is { Length: > 0 } given ? given : [.. begin.Select(_ => 1L)];
        if (begin.Length != end.Length || step.Length != begin.Length) throw t.Node.Wrong("begin", t.Node.Text("begin", ""), "as long as end and step");
        for (int i = 0; i < begin.Length; i++)
        {
            if (begin[i] == open) begin[i] = step[i] < 0 ? open : 0;
            if (end[i] == open && step[i] < 0) end[i] = long.MinValue;
        }
        return [t.Same("Slice", [t.In(), t.Ints("starts", begin), t.Ints("ends", end), t.Ints("axes", [.. begin.Select((_, axis) => (long)axis)]), t.Ints("steps", step)])];
    }

    private static Value?[] SliceAxis(MxNetTranslator t) =>
        [t.Same("Slice", [t.In(), t.Ints("starts", t.Node.Int("begin", 0)), t.Ints("ends", t.Node.Has("end") ? t.Node.Int("end", 0) : long.MaxValue), t.Ints("axes", t.Node.Int("axis", 0))])];

    private static Value?[] BatchDot(MxNetTranslator t)
    {
        Value a = t.Node.Flag("transpose_a", false) ? Turned(t.In()) : t.In(), b = t.Node.Flag("transpose_b", false) ? Turned(t.In(1)) : t.In(1);
        return [t.Ranked(t.Onnx("MatMul", [a, b]), 3)];

        Value Turned(Value value) => t.Onnx("Transpose", [value], new AttributeMap { ["perm"] = new long[] { 0, 2, 1 } });
    }

    private static Value Reduce(MxNetTranslator t, string onnx)
    {
        Value x = t.In();
        long[] axes = t.Node.Ints("axis") ?? [];
        bool keep = t.Node.Flag("keepdims", false);
        if (t.Node.Flag("exclude", false))
        {
            int all = t.KnownRank(x);
            axes = [.. Enumerable.Range(0, all).Where(axis => !axes.Contains(axis) && !axes.Contains(axis - all)).Select(axis => (long)axis)];
        }
        var attributes = new AttributeMap { ["keepdims"] = keep };
        // ReduceSum takes its axes as an input since operator set 13, its sisters since 18.
        bool asInput = onnx == "ReduceSum";
        if (axes.Length > 0 && !asInput) attributes.Add("axes", axes);
        Value y = t.Onnx(onnx, axes.Length > 0 && asInput ? [x, t.Ints("axes", axes)] : [x], attributes);
        if (keep) return t.Like(y, x);
        // MXNet has no scalars: reducing everything leaves one axis.
        if (axes.Length == 0) return t.Ranked(t.Onnx("Reshape", [y, t.Ints("shape", 1)]), 1);
        int rank = t.Rank(x);
        return rank < 0 ? y : t.Ranked(y, Math.Max(0, rank - axes.Length));
    }

    private static Value Clip(MxNetTranslator t, Value x, float low, float high) => t.Same("Clip", [x, t.Number("low", low), t.Number("high", high)]);

    /// <summary>A broadcast result has the rank of the wider input.</summary>
    private static Value Widest(MxNetTranslator t, Value y)
    {
        int a = t.Rank(t.In()), b = t.Rank(t.In(1));
        return a < 0 || b < 0 ? t.Like(y, t.In()) : t.Ranked(y, Math.Max(a, b));
    }

    private static Value?[] WithBias(MxNetTranslator t, bool noBias)
    {
        _ = t.Parameter(1);
        if (t.Node.Flag("no_bias", noBias)) return [t.In(), t.In(1)];
        _ = t.Parameter(2);
        return [t.In(), t.In(1), t.In(2)];
    }

    private static long Group(MxNetTranslator t) =>
        t.Node.Int("num_group", 1) is > 0 and long group ? group : throw t.Node.Wrong("num_group", t.Node.Text("num_group", ""), "at least 1");

    private static long[] Kernel(MxNetTranslator t, Tensor w)
    {
        string layout = t.Node.Text("layout", "NC");
        if (!layout.StartsWith("NC", StringComparison.Ordinal)) throw t.Node.Unsupported($"layout '{layout}'", "channels before places: NCW, NCHW, NCDHW");
        long[] kernel = t.Node.Ints("kernel") ?? throw t.Node.Wrong("kernel", "", "given");
        bool fits = kernel.Length == w.Rank - 2;
        for (int i = 0; fits && i < kernel.Length; i++) fits = kernel[i] == w.Shape[i + 2];
        return fits ? kernel : throw new ModelException($"{t.Node} has kernel ({string.Join(",", kernel)}) and weight {w}; rule: the weight's last axes are the kernel");
    }

    private static long[] Spatial(MxNetTranslator t, string key, int axes, long otherwise)
    {
        long[]? given = t.Node.Ints(key);
        if (given is null or { Length: 0 }) return [.. Enumerable.Repeat(otherwise, axes)];
        return given.Length == axes ? given : throw t.Node.Wrong(key, t.Node.Text(key, ""), $"{axes} numbers");
    }

    private static long[] Twice(long[] pads) => [.. pads, .. pads];

    private static int Axis(MxNetTranslator t, long axis, int rank) =>
        axis >= -rank && axis < rank ? (int)(axis < 0 ? axis + rank : axis) : throw new ModelException($"{t.Node} has axis {axis} of {rank}; rule: axes are -rank to rank - 1");

    private static DataType TypeOf(SymbolNode node, string name) => name switch
    {
        "float32" => DataType.Float32,
        "float64" => DataType.Float64,
        "float16" => DataType.Float16,
        "uint8" => DataType.UInt8,
        "int8" => DataType.Int8,
        "int32" => DataType.Int32,
        "int64" => DataType.Int64,
        "bool" => DataType.Bool,
        _ => throw node.Unsupported($"element type '{name}'", "float16, float32, float64, int8, uint8, int32, int64, bool"),
    };
}
