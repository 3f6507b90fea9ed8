using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Marking;

/// <summary>How an operator takes part in quantization.</summary>
internal enum Role
{
    /// <summary>What quantization is for: convolutions and matrix products.</summary>
    Must,
    /// <summary>Has an integer form that pays between others.</summary>
    Support,
}

/// <summary>What an operator does with the grid of its data.</summary>
internal enum Grid
{
    /// <summary>The output has a range of its own.</summary>
    Own,
    /// <summary>Elements only move, so output and data input share one scale and zero point.</summary>
    Same,
}

/// <summary>One operator that has an integer form.</summary>
/// <param name="Type">ONNX operator type.</param>
/// <param name="Role">How it takes part.</param>
/// <param name="Grid">What it does with the grid.</param>
/// <param name="DataInputs">Positions of the quantized inputs; null for all.</param>
/// <param name="Weight">Position of the weight input, or −1.</param>
/// <param name="Bias">Position of the bias input, or −1.</param>
/// <param name="SecondWeight">Position of a second weight (the recurrent one), or −1.</param>
/// <param name="Refuse">Why a particular node has no integer form after all; null where it has.</param>
internal sealed record QuantizableOperator(string Type, Role Role, Grid Grid, int[]? DataInputs, int Weight = -1, int Bias = -1, Func<Node, string?>? Refuse = null, int SecondWeight = -1);

/// <summary>The operators that have an integer form: one row each.</summary>
internal static class QuantizableOperators
{
    private static readonly int[] First = [0];

    /// <summary>All rows.</summary>
    public static IReadOnlyList<QuantizableOperator> All { get; } =
    [
        new("Conv", Role.Must, Grid.Own, First, Weight: 1, Bias: 2, Refuse: ConstantWeight),
        new("ConvTranspose", Role.Must, Grid.Own, First, Weight: 1, Bias: 2, Refuse: ConstantWeight),
        new("Gemm", Role.Must, Grid.Own, First, Weight: 1, Bias: 2, Refuse: PlainGemm),
        new("MatMul", Role.Must, Grid.Own, [0, 1], Weight: 1, Refuse: ProductOfMatrices),

        new("LSTM", Role.Must, Grid.Own, [], Weight: 1, SecondWeight: 2, Refuse: RecurrentWeights),
        new("GRU", Role.Must, Grid.Own, [], Weight: 1, SecondWeight: 2, Refuse: RecurrentWeights),
        new("RNN", Role.Must, Grid.Own, [], Weight: 1, SecondWeight: 2, Refuse: RecurrentWeights),

        new("Sub", Role.Support, Grid.Own, [0, 1], Refuse: AllFloat),
        new("Div", Role.Support, Grid.Own, [0, 1], Refuse: Scaling),
        new("BatchNormalization", Role.Support, Grid.Own, First, Refuse: ConstantNormalization),
        new("PRelu", Role.Support, Grid.Own, First, Refuse: node => node.Input(1)?.IsConstant == true ? null : "its slope is computed at run time"),
        new("ReduceMean", Role.Support, Grid.Own, First, Refuse: node => node.Input(1) is { IsConstant: false } ? "its axes are computed at run time" : null),
        new("Gather", Role.Support, Grid.Same, First, Refuse: FloatData),
        new("GatherND", Role.Support, Grid.Same, First, Refuse: FloatData),
        new("GatherElements", Role.Support, Grid.Same, First, Refuse: FloatData),
        new("Pad", Role.Support, Grid.Same, First, Refuse: ZeroPadding),
        new("Expand", Role.Support, Grid.Same, First, Refuse: FloatData),
        new("Tile", Role.Support, Grid.Same, First, Refuse: FloatData),
        new("Add", Role.Support, Grid.Own, [0, 1], Refuse: AllFloat),
        new("Mul", Role.Support, Grid.Own, [0, 1], Refuse: Scaling),
        new("AveragePool", Role.Support, Grid.Own, First),
        new("GlobalAveragePool", Role.Support, Grid.Own, First),
        new("Concat", Role.Support, Grid.Same, null, Refuse: AllFloat),
        new("MaxPool", Role.Support, Grid.Same, First, Refuse: node => node.Outputs.Count > 1 && node.Outputs[1] is not null ? "its indices are read" : null),
        new("GlobalMaxPool", Role.Support, Grid.Same, First),
        new("Flatten", Role.Support, Grid.Same, First),
        new("Reshape", Role.Support, Grid.Same, First),
        new("Transpose", Role.Support, Grid.Same, First),
        new("Squeeze", Role.Support, Grid.Same, First),
        new("Unsqueeze", Role.Support, Grid.Same, First),
        new("Slice", Role.Support, Grid.Same, First),
        new("Split", Role.Support, Grid.Same, First),
        new("DepthToSpace", Role.Support, Grid.Same, First),
        new("SpaceToDepth", Role.Support, Grid.Same, First),
        new("Resize", Role.Support, Grid.Same, First, Refuse: node => node.Attributes.String("mode", "nearest") == "nearest" ? null : "it interpolates between elements"),

        new("Relu", Role.Support, Grid.Own, First),
        new("Clip", Role.Support, Grid.Own, First, Refuse: ConstantBounds),
        new("LeakyRelu", Role.Support, Grid.Own, First),
        new("Sigmoid", Role.Support, Grid.Own, First),
        new("Tanh", Role.Support, Grid.Own, First),
        new("HardSigmoid", Role.Support, Grid.Own, First),
        new("HardSwish", Role.Support, Grid.Own, First),
        new("Elu", Role.Support, Grid.Own, First),
        new("Selu", Role.Support, Grid.Own, First),
        new("Celu", Role.Support, Grid.Own, First),
        new("Softplus", Role.Support, Grid.Own, First),
        new("Softsign", Role.Support, Grid.Own, First),
        new("Gelu", Role.Support, Grid.Own, First),
        new("Mish", Role.Support, Grid.Own, First),
        new("Erf", Role.Support, Grid.Own, First),
        new("Exp", Role.Support, Grid.Own, First),
        new("Sqrt", Role.Support, Grid.Own, First),
        new("Abs", Role.Support, Grid.Own, First),
        new("Neg", Role.Support, Grid.Own, First),
        new("Log", Role.Support, Grid.Own, First),
        new("Pow", Role.Support, Grid.Own, First, Refuse: node => node.Input(1)?.Constant is { Length: 1, Type: DataType.Float32 } ? null : "its exponent is not one float32 constant"),
        new("ThresholdedRelu", Role.Support, Grid.Own, First),
        new("Shrink", Role.Support, Grid.Own, First),
        new("Swish", Role.Support, Grid.Own, First),
    ];

    private static readonly Dictionary<string, QuantizableOperator> ByType = All.ToDictionary(row => row.Type, StringComparer.Ordinal);

    /// <summary>The row for <paramref name="node"/>, or null where the operator has no integer form.</summary>
    public static QuantizableOperator? Find(Node node) => node.Domain.Length == 0 ? ByType.GetValueOrDefault(node.OperatorType) : null;

    private static string? ConstantWeight(Node node) =>
        node.Input(1)?.Constant is not { } weight ? "its weight is computed at run time"
        : weight.Type != DataType.Float32 ? $"its weight is {weight.Type.Name()}"
        : node.Input(2) is { } bias && !bias.IsConstant ? "its bias is computed at run time" : null;

    private static string? PlainGemm(Node node) =>
        ConstantWeight(node) is { } reason ? reason
        : node.Attributes.Float("alpha", 1) != 1 || node.Attributes.Float("beta", 1) != 1 ? "its alpha or beta is not 1"
        : node.Attributes.Int("transA") != 0 ? "its first operand is transposed"
        : node.Input(2)?.Constant is { } bias && (bias.Rank == 0 || bias.Shape[^1] != bias.Length || bias.Length != node.Input(1)!.Constant!.Shape[node.Attributes.Int("transB") != 0 ? 0 : 1])
            ? $"its bias has shape {Tensor.Format(bias.Shape)}, not one value per column" : null;

    private static string? ProductOfMatrices(Node node) =>
        node.Input(1)?.Constant is { } weight && (weight.Type != DataType.Float32 || weight.Rank != 2) ? $"its constant operand is {weight}, not a float32 matrix"
        : node.Input(0)?.IsConstant == true ? "its first operand is constant" : null;

    private static string? AllFloat(Node node)
    {
        foreach (Value? input in node.Inputs)
        {
            if (input is null) continue;
            if (input.Type.Element != DataType.Float32) return $"input '{input.Name}' is {input.Type.Element.Name()}";
        }
        return node.Inputs.All(input => input?.IsConstant != false) ? "all its inputs are constant" : null;
    }

    /// <summary>A product or quotient, unless one number scales a layer's only result: that is part of the layer's multiplier, without a rounding of its own.</summary>
    private static string? Scaling(Node node)
    {
        if (AllFloat(node) is { } reason) return reason;
        for (int side = node.OperatorType == "Div" ? 1 : 0; side < 2; side++)
        {
            if (node.Input(side)?.Constant is { Length: 1 } && node.Input(1 - side) is { Producer.OperatorType: "Conv" or "ConvTranspose" or "Gemm" or "MatMul", SingleUse: not null }) return "its factor becomes part of the layer in front";
        }
        return null;
    }

    private static string? RecurrentWeights(Node node) =>
        node.Input(1)?.Constant is not { Type: DataType.Float32 } || node.Input(2)?.Constant is not { Type: DataType.Float32 } ? "its weights are not float32 constants"
        : node.Attributes.Int("layout") != 0 ? "its batch comes first" : null;

    private static string? ConstantNormalization(Node node) =>
        node.Outputs.Count(output => output is not null) != 1 || node.Attributes.Int("training_mode") != 0 ? "it is in training mode"
        : node.Inputs.Skip(1).Any(input => input is not { Constant.Type: DataType.Float32 }) ? "its parameters are not float32 constants" : null;

    private static string? FloatData(Node node) => node.Input(0)?.Type.Element is DataType.Float32 or DataType.Undefined ? null : $"its data is {node.Input(0)?.Type.Element.Name()}";

    private static string? ZeroPadding(Node node) =>
        FloatData(node) ?? (node.Attributes.String("mode", "constant") != "constant" || node.Input(2) is null || node.Input(2)!.Constant is { Length: 1 } value && value.ToFloat32Array()[0] == 0 ? null : "its padding is not zero");

    private static string? ConstantBounds(Node node) =>
        (node.Input(1)?.IsConstant ?? true) && (node.Input(2)?.IsConstant ?? true) ? null : "its bounds are computed at run time";
}
