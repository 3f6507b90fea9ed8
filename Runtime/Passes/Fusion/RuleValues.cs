using Octet.Kernels.Elementwise;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>What several rules read off values and nodes.</summary>
internal static class RuleValues
{
    /// <summary>The elements of a float32 constant, or null where the value is none.</summary>
    public static float[]? Floats(Value? value) => value?.Constant is { Type: DataType.Float32 } tensor ? tensor.Span<float>().ToArray() : null;

    /// <summary>The element of a float32 constant of one element, or null.</summary>
    public static float? Scalar(Value? value) => value?.Constant is { Type: DataType.Float32, Length: 1 } tensor ? tensor.Span<float>()[0] : null;

    /// <summary>Whether a constant is one float32 element within a relative 10⁻⁶ of <paramref name="expected"/>, as exporters round it.</summary>
    public static bool IsAbout(Value? value, double expected) => Scalar(value) is { } scalar && Math.Abs(scalar - expected) <= 1e-6 * Math.Abs(expected);

    /// <summary>A constant that has one element for each channel (axis 1) of a tensor of rank <paramref name="rank"/>, or one for all, as one per channel; null where it differs otherwise.</summary>
    public static float[]? PerChannel(Value value, int channels, int rank)
    {
        if (value.Constant is not { Type: DataType.Float32 } tensor || tensor.Rank > rank) return null;
        ReadOnlySpan<int> shape = tensor.Shape;
        for (int fromEnd = 1; fromEnd <= shape.Length; fromEnd++)
        {
            int axis = rank - fromEnd, extent = shape[^fromEnd];
            if (extent != 1 && (axis != 1 || extent != channels)) return null;
        }
        float[] elements = tensor.Span<float>().ToArray();
        if (elements.Length == channels) return elements;
        var spread = new float[channels];
        Array.Fill(spread, elements[0]);
        return spread;
    }

    /// <summary>A constant that has one element for each column (the last axis), or one for all, as one per column; null where it differs otherwise.</summary>
    public static float[]? PerRow(Value value, int columns)
    {
        if (value.Constant is not { Type: DataType.Float32 } tensor) return null;
        if (tensor.Length != 1 && (tensor.Length != columns || tensor.Shape[^1] != columns)) return null;
        var row = new float[columns];
        for (int i = 0; i < columns; i++) row[i] = tensor.Span<float>()[tensor.Length == 1 ? 0 : i];
        return row;
    }

    /// <summary>Output channels of a Conv or ConvTranspose with constant weights.</summary>
    public static int OutputChannels(Node convolution)
    {
        ReadOnlySpan<int> w = convolution.Inputs[1]!.Constant!.Shape;
        return convolution.OperatorType == "ConvTranspose" ? w[1] * (int)convolution.Attributes.Int("group", 1) : w[0];
    }

    /// <summary>A copy of the weights of a Conv <c>[O, C/G, k…]</c> or ConvTranspose <c>[C, O/G, k…]</c> with every output channel multiplied.</summary>
    public static Tensor ScaledWeights(Node convolution, ReadOnlySpan<double> scale)
    {
        Tensor w = convolution.Inputs[1]!.Constant!;
        ReadOnlySpan<float> from = w.Span<float>();
        var to = new float[from.Length];
        if (convolution.OperatorType == "ConvTranspose")
        {
            int channels = w.Shape[0], perGroup = w.Shape[1], groups = (int)convolution.Attributes.Int("group", 1);
            int taps = channels * perGroup == 0 ? 0 : from.Length / (channels * perGroup), groupIn = Math.Max(1, channels / groups);
            for (int i = 0; i < to.Length; i++) to[i] = (float)(from[i] * scale[i / (taps * perGroup) / groupIn * perGroup + i / taps % perGroup]);
        }
        else
        {
            int perChannel = w.Shape[0] == 0 ? 1 : from.Length / w.Shape[0];
            for (int i = 0; i < to.Length; i++) to[i] = (float)(from[i] * scale[i / perChannel]);
        }
        return Tensor.Create(to, w.Shape);
    }

    /// <summary>Whether a convolution's weights and bias (where there is one) are float32 constants.</summary>
    public static bool HasConstantFloatWeights(Node node, int bias = 2) =>
        node.Input(1)?.Constant is { Type: DataType.Float32 } && (node.Input(bias) is null || node.Input(bias)!.Constant is { Type: DataType.Float32 });

    /// <summary>The activation that a node is, or null where it is none or one whose constants are computed.</summary>
    public static Activation? ActivationOf(Node node)
    {
        if (node.Domain == Operator.OctetDomain)
        {
            if (node.OperatorType != "Activation" || !Enum.TryParse(node.Attributes.String("activation"), out UnaryOperation function)) return null;
            return new Activation(function, node.Attributes.Float("alpha"), node.Attributes.Float("beta"));
        }
        if (node.Domain == Operator.MicrosoftDomain)
        {
            return node.OperatorType switch
            {
                "Gelu" => new(UnaryOperation.GeluErf),
                "QuickGelu" => new(UnaryOperation.Swish, node.Attributes.Float("alpha", 1.702f)),
                "FastGelu" when node.Input(1) is null => new(UnaryOperation.GeluTanh),
                _ => null,
            };
        }
        if (node.Domain.Length != 0) return null;
        return node.OperatorType switch
        {
            "Relu" => new(UnaryOperation.Relu),
            "Clip" => ClipOf(node),
            "LeakyRelu" => new(UnaryOperation.LeakyRelu, node.Attributes.Float("alpha", 0.01f)),
            "ThresholdedRelu" => new(UnaryOperation.ThresholdedRelu, node.Attributes.Float("alpha", 1f)),
            "Sigmoid" => new(UnaryOperation.Sigmoid),
            "Tanh" => new(UnaryOperation.Tanh),
            "HardSigmoid" => new(UnaryOperation.HardSigmoid, node.Attributes.Float("alpha", 0.2f), node.Attributes.Float("beta", 0.5f)),
            "HardSwish" => new(UnaryOperation.HardSwish),
            "Gelu" => new(node.Attributes.String("approximate", "none") == "tanh" ? UnaryOperation.GeluTanh : UnaryOperation.GeluErf),
            "Swish" => new(UnaryOperation.Swish, node.Attributes.Float("alpha", 1f)),
            "Elu" => new(UnaryOperation.Elu, node.Attributes.Float("alpha", 1f)),
            "Celu" => new(UnaryOperation.Celu, node.Attributes.Float("alpha", 1f)),
            "Softplus" => new(UnaryOperation.Softplus),
            "Softsign" => new(UnaryOperation.Softsign),
            "Mish" => new(UnaryOperation.Mish),
            "Abs" => new(UnaryOperation.Abs),
            "Sqrt" => new(UnaryOperation.Sqrt),
            "Exp" => new(UnaryOperation.Exp),
            _ => null,
        };
    }

    private static Activation? ClipOf(Node node)
    {
        if (node.Opset < 11)
            return new(UnaryOperation.Clip, node.Attributes.Float("min", float.MinValue), node.Attributes.Float("max", float.MaxValue));
        float low = float.MinValue, high = float.MaxValue;
        if (node.Input(1) is { } min)
        {
            if (Scalar(min) is not { } value) return null;
            low = value;
        }
        if (node.Input(2) is { } max)
        {
            if (Scalar(max) is not { } value) return null;
            high = value;
        }
        return new(UnaryOperation.Clip, low, high);
    }

    /// <summary>The axes of a reduction, whichever way its version gives them; null where they are computed.</summary>
    public static long[]? ReductionAxes(Node node) => node.Attributes.Ints("axes") ?? (node.Input(1) is { } axes ? axes.Constant?.ToInt64Array() : null);
}
