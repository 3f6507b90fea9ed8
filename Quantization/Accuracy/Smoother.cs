using Microsoft.Extensions.Logging;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Accuracy;

/// <summary>One application of <see cref="Smoothing"/> while its samples come in.</summary>
internal sealed class Smoother
{
    private readonly Model _model;
    private readonly SmoothOptions _options;
    private readonly ILogger _logger;
    private readonly SampleFeeder _feeder;
    private readonly Dictionary<string, float[]> _largest = new(StringComparer.Ordinal);   // activation → max|x_k|

    public Smoother(Model model, SmoothOptions options, SessionOptions session)
    {
        options.Validate();
        (_options, _logger) = (options, session.Logger);
        _model = Quantizer.ToPortable(model, session);
        HashSet<string> names = [.. Activations().Select(value => value.Name)];
        var runner = new InferenceSession(_model, session with { KeepValues = names });
        runner.RegisterOpHook((in OpEvent e) =>
        {
            if (names.Contains(e.ValueName)) See(e.ValueName, e.Tensor);
        });
        _feeder = new SampleFeeder(runner);
    }

    /// <summary>Samples seen.</summary>
    public int Count => _feeder.Count;

    /// <summary>Measures one sample.</summary>
    public void Add(IReadOnlyDictionary<string, Tensor> sample, CancellationToken cancellation) => _feeder.Run(sample, cancellation);

    /// <summary>Moves the factors.</summary>
    /// <exception cref="DataException">There were no samples.</exception>
    public Model Finish()
    {
        if (Count == 0) throw new DataException("there are no calibration samples; rule: smoothing needs at least one");
        var editor = new GraphEditor(_model.Graph);
        foreach (Value x in Activations())
        {
            if (_largest.TryGetValue(x.Name, out float[]? extents) && Factors(x, extents) is { } exponents) Move(editor, x, exponents);
        }
        return _model;
    }

    /// <summary>The activations that can be smoothed: read by products with constant matrices alone, made by an operator that takes the division up.</summary>
    private IEnumerable<Value> Activations()
    {
        foreach (Node node in _model.Graph.Nodes)
        {
            if (node.Outputs.Count == 0 || node.Outputs[0] is not { Uses.Count: > 0, IsGraphOutput: false } x || !x.Uses.All(use => use.Index == 0 && IsProduct(use.Node))) continue;
            if (Constants(x, Depth(x.Uses[0].Node)) is not null) yield return x;
            else _logger.LogDebug("'{Value}' is not smoothed: {Operator} has no constants per channel that could take the division", x.Name, node.QualifiedType);
        }
    }

    private static bool IsProduct(Node node) => node.Domain.Length == 0 && node.OperatorType is "MatMul" or "Gemm"
        && node.Input(1) is { Constant: { Type: DataType.Float32, Rank: 2 } } weight && weight.Uses.Count == 1 && !weight.IsGraphOutput
        && (node.OperatorType == "MatMul" || node.Attributes.Int("transA") == 0);

    private static bool Transposed(Node node) => node.OperatorType == "Gemm" && node.Attributes.Int("transB") != 0;

    /// <summary>K of a product.</summary>
    private static int Depth(Node product) => product.Inputs[1]!.Constant!.Shape[Transposed(product) ? 1 : 0];

    /// <summary>The constants, one element or column per channel, that divide <paramref name="x"/> when they are divided; null where there are none.</summary>
    private static List<Value>? Constants(Value x, int channels)
    {
        Node node = x.Producer!;
        if (node.Domain.Length != 0) return null;
        bool own(Value? value) => value is { Constant: { Type: DataType.Float32 } tensor } && tensor.Length == channels && tensor.Rank > 0 && tensor.Shape[^1] == channels && value.Uses.Count == 1 && !value.IsGraphOutput;
        switch (node.OperatorType)
        {
            case "LayerNormalization" when own(node.Input(1)) && (node.Input(2) is null || own(node.Input(2))):
                return node.Input(2) is { } shift ? [node.Inputs[1]!, shift] : [node.Inputs[1]!];
            case "Gemm" when node.Attributes.Float("alpha", 1) == 1 && node.Attributes.Float("beta", 1) == 1
                && node.Input(1) is { Constant: { Type: DataType.Float32, Rank: 2 } weight } w && w.Uses.Count == 1 && weight.Shape[Transposed(node) ? 0 : 1] == channels
                && (node.Input(2) is null || own(node.Input(2))):
                return node.Input(2) is { } bias ? [w, bias] : [w];
            case "Mul":
                return Factor(node) is { } factor ? [factor] : null;
            case "Add":
                // x = v · g + b: both constants are divided.
                int at = own(node.Input(1)) ? 1 : own(node.Input(0)) ? 0 : -1;
                return at >= 0 && node.Inputs[1 - at] is { Producer: { Domain.Length: 0, OperatorType: "Mul" } mul, SingleUse: not null } && Factor(mul) is { } gain ? [gain, node.Inputs[at]!] : null;
            default:
                return null;
        }

        Value? Factor(Node mul) => own(mul.Input(1)) ? mul.Inputs[1] : own(mul.Input(0)) ? mul.Inputs[0] : null;
    }

    private void See(string name, TensorView view)
    {
        if (view.Type != DataType.Float32 || view.Length == 0) return;
        ReadOnlySpan<float> x = view.IsRowMajor ? view.Elements<float>() : view.ToTensor().Span<float>();
        int channels = view.Shape[^1];
        if (!_largest.TryGetValue(name, out float[]? extents)) _largest.Add(name, extents = new float[channels]);
        for (int i = 0; i < x.Length; i++)
        {
            if (!float.IsFinite(x[i])) throw new DataException($"tensor '{name}' holds {x[i].ToString(System.Globalization.CultureInfo.InvariantCulture)}; rule: every measured value is finite");
            extents[i % channels] = MathF.Max(extents[i % channels], MathF.Abs(x[i]));
        }
    }

    /// <summary>log2 s by channel; null where all are 0.</summary>
    private int[]? Factors(Value x, float[] extents)
    {
        var weights = new float[extents.Length];
        foreach (Node product in x.Uses.Select(use => use.Node))
        {
            Tensor tensor = product.Inputs[1]!.Constant!;
            if (Depth(product) != extents.Length) return null;
            ReadOnlySpan<float> w = tensor.Span<float>();
            for (int i = 0; i < w.Length; i++)
            {
                int k = Transposed(product) ? i % extents.Length : i / tensor.Shape[1];
                weights[k] = MathF.Max(weights[k], MathF.Abs(w[i]));
            }
        }
        var exponents = new int[extents.Length];
        for (int k = 0; k < exponents.Length; k++)
        {
            if (!float.IsNormal(extents[k]) || !float.IsNormal(weights[k])) continue;
            exponents[k] = Math.Clamp((int)Math.Round(_options.Strength * Math.Log2(extents[k]) - (1 - _options.Strength) * Math.Log2(weights[k])), -20, 20);
        }
        return exponents.Any(exponent => exponent != 0) ? exponents : null;
    }

    private void Move(GraphEditor editor, Value x, int[] exponents)
    {
        foreach (Value constant in Constants(x, exponents.Length)!)
        {
            Tensor tensor = constant.Constant!;
            // A Gemm's weight may hold its output channels in the first axis.
            bool rows = tensor.Rank == 2 && constant.Uses[0] is { Index: 1, Node: { OperatorType: "Gemm" } gemm } && Transposed(gemm);
            Scale(editor, constant, i => -exponents[rows ? i / tensor.Shape[1] : i % exponents.Length]);
        }
        foreach (Node product in x.Uses.Select(use => use.Node))
        {
            Value weight = product.Inputs[1]!;
            int columns = weight.Constant!.Shape[1];
            bool transposed = Transposed(product);
            Scale(editor, weight, i => exponents[transposed ? i % exponents.Length : i / columns]);
        }
    }

    private static void Scale(GraphEditor editor, Value constant, Func<int, int> exponent)
    {
        float[] values = constant.Constant!.ToFloat32Array();
        for (int i = 0; i < values.Length; i++) values[i] = MathF.ScaleB(values[i], exponent(i));
        editor.SetConstant(constant, Tensor.Create(values, constant.Constant.Shape));
    }
}
