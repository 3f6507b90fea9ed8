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
/// <param name="Refuse">Why a particular node has no integer form after all; null where it has.</param>
internal sealed record QuantizableOperator(string Type, Role Role, Grid Grid, int[]? DataInputs, int Weight = -1, int Bias = -1, Func<Node, string?>? Refuse = null);

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

        new("Add", Role.Support, Grid.Own, [0, 1], Refuse: AllFloat),
        new("Mul", Role.Support, Grid.Own, [0, 1], Refuse: AllFloat),
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

    private static string? ConstantBounds(Node node) =>
        (node.Input(1)?.IsConstant ?? true) && (node.Input(2)?.IsConstant ?? true) ? null : "its bounds are computed at run time";
}
