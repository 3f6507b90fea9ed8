using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>Q(f(DequantizeLinear(q)))</c> → QTable for any chain f of pointwise operators and scalar constants.</summary>
/// <remarks>
/// The table is what the chain itself gives for the 256 possible inputs, with the same kernels, so that nothing changes but the time it takes. An empty
/// chain is a change of scale.
/// </remarks>
internal sealed class QuantizePointwise : LoweringRule
{
    /// <summary>Longest chain that is followed; real ones have up to six operators (a decomposed Gelu).</summary>
    private const int Deepest = 24;

    private static readonly HashSet<string> Pointwise = new(StringComparer.Ordinal)
    {
        "Abs", "Acos", "Acosh", "Add", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Div", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid",
        "HardSwish", "Identity", "LeakyRelu", "Log", "Max", "Min", "Mish", "Mul", "Neg", "Pow", "PRelu", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin",
        "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu",
    };

    private static readonly HashSet<string> ContributedPointwise = new(StringComparer.Ordinal) { "Gelu", "FastGelu", "QuickGelu" };

    public override string Name => "quantize-pointwise";

    /// <summary>Whether <paramref name="node"/> computes element by element.</summary>
    public static bool IsPointwise(Node node) =>
        node.Outputs.Count == 1 && (node.Domain.Length == 0 ? Pointwise.Contains(node.OperatorType) : node.Domain == Operator.MicrosoftDomain && ContributedPointwise.Contains(node.OperatorType));

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (LoweringContext.QuantizeGrid(node) is not { } grid || node.Inputs[0] is not { } result) return LoweringResult.None;
        var chain = new List<Node>();
        QuantizedSource? found = null;
        if (!Collect(result, chain, ref found, Deepest) || found is not { Q.IsConstant: false } source) return LoweringResult.None;
        if (!result.Type.Equals(source.Q.Type with { Element = DataType.Float32 })) return LoweringResult.Refuse("a constant of its chain has more axes than the data");

        float[] reals = ByteTables.Reals(source.Grid);
        var values = new Dictionary<Value, Tensor>();
        foreach (Node step in chain)
        {
            if (OperatorTable.Find(step) is null) return LoweringResult.None;
            RuntimeValue?[] inputs = [.. step.Inputs.Select(input => input is null ? null
                : input.Constant is { } constant ? constant.Reshape(constant.Rank > 1 ? [constant.Length] : constant.Shape)
                : values.GetValueOrDefault(input) ?? Tensor.Create(reals, ByteTables.Length))];
            values[step.Output] = c.Evaluate(step, inputs);
        }
        ReadOnlySpan<float> images = chain.Count == 0 ? reals : values[result].Span<float>();
        byte[] table = ByteTables.Quantize(images, grid);
        c.Replace(node.Output, c.Table(source.Q, table, node, chain.Count == 0 ? [node] : [.. chain]));
        return LoweringResult.Done;
    }

    /// <summary>Collects the nodes that make <paramref name="value"/> from one dequantized tensor, in an order in which they can run.</summary>
    private static bool Collect(Value value, List<Node> chain, ref QuantizedSource? source, int depth)
    {
        if (LoweringContext.Source(value) is { Q.IsConstant: false } found)
        {
            if (source is { } other && (!ReferenceEquals(other.Q, found.Q) || other.Grid != found.Grid)) return false;
            source = found;
            return true;
        }
        if (depth == 0 || value.Producer is not { } node || !IsPointwise(node) || value.Type.Element != DataType.Float32) return false;
        if (chain.Contains(node)) return true;
        foreach (Value? input in node.Inputs)
        {
            if (input is null) continue;
            if (input.Constant is { } constant)
            {
                if (constant.Length != 1 || constant.Type != DataType.Float32) return false;
            }
            else if (!Collect(input, chain, ref source, depth - 1))
            {
                return false;
            }
        }
        chain.Add(node);
        return true;
    }
}

/// <summary><c>Q(f(DequantizeLinear(q)))</c> → QTable with a table for every channel, where the chain f holds constants per channel: batch normalization that stands alone, PRelu, a scale or a shift.</summary>
/// <remarks>The chain itself is run on the 256 possible values of every channel, so that nothing changes but the time it takes.</remarks>
internal sealed class QuantizePerChannel : LoweringRule
{
    private const int Deepest = 24;

    /// <summary>Tables of more channels than this (1 MiB) would leave the caches, and a scale per column of a long matrix is no channel.</summary>
    private const int MostChannels = 4096;

    public override string Name => "quantize-per-channel";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (LoweringContext.QuantizeGrid(node) is not { } grid || node.Inputs[0] is not { } result) return LoweringResult.None;
        if (result.Type.Shape is not { Length: > 0 } shape) return LoweringResult.None;
        var chain = new List<Node>();
        QuantizedSource? found = null;
        int axis = -1;
        if (!Collect(result, shape.Length, chain, ref found, ref axis, Deepest) || axis < 0 || found is not { Q.IsConstant: false } source) return LoweringResult.None;
        if (!result.Type.Equals(source.Q.Type with { Element = DataType.Float32 })) return LoweringResult.Refuse("its constants have more axes than the data");
        if (!shape[axis].IsKnown || shape[axis].Value is < 1 or > MostChannels) return LoweringResult.Refuse($"its axis {axis} has {shape[axis]} channels, not 1 to {MostChannels}");

        int channels = (int)shape[axis].Value;
        float[] reals = ByteTables.Reals(source.Grid);
        var spread = new float[ByteTables.Length * channels];
        for (int q = 0; q < ByteTables.Length; q++) spread.AsSpan(q * channels, channels).Fill(reals[q]);
        Tensor data = Tensor.Create(spread, ByteTables.Length, channels);   // channels are axis 1, as batch normalization wants them, and the last, as broadcasting does
        var values = new Dictionary<Value, Tensor>();
        foreach (Node step in chain)
        {
            if (OperatorTable.Find(step) is null) return LoweringResult.None;
            RuntimeValue?[] inputs = [.. step.Inputs.Select(input => input is null ? null
                : input.Constant is { } constant ? (constant.Length == 1 && !step.Is("BatchNormalization") ? constant.Reshape([]) : constant.Reshape([constant.Length]))
                : values.GetValueOrDefault(input) ?? data)];
            values[step.Output] = c.Evaluate(step, inputs);
        }
        Tensor images = values[result];
        if (images.Length != spread.Length) return LoweringResult.Refuse("its constants have more axes than the data");
        var tables = new byte[channels * ByteTables.Length];
        ReadOnlySpan<float> image = images.Span<float>();
        for (int q = 0; q < ByteTables.Length; q++)
            for (int o = 0; o < channels; o++) tables[o * ByteTables.Length + q] = (byte)LinearQuantization.Quantize(image[q * channels + o], grid.Scale, grid.ZeroPoint, 0, 255);
        var attributes = new AttributeMap { ["table"] = Tensor.Create(tables, channels, ByteTables.Length), ["axis"] = (long)axis };
        c.Replace(node.Output, c.Add("QTable", [source.Q], attributes, node, node.Output.Type, [.. chain]));
        return LoweringResult.Done;
    }

    /// <summary>Whether the node is part of such a chain.</summary>
    public static bool IsPart(Node node) =>
        QuantizePointwise.IsPointwise(node) || (node.Is("BatchNormalization") && node.Outputs.Count(output => output is not null) == 1 && node.Attributes.Int("training_mode") == 0);

    /// <summary>Collects the nodes that make <paramref name="value"/> from one dequantized tensor, and the one axis along which their constants run.</summary>
    private static bool Collect(Value value, int rank, List<Node> chain, ref QuantizedSource? source, ref int axis, int depth)
    {
        if (LoweringContext.Source(value) is { Q.IsConstant: false } found)
        {
            if (found.Q.Type.Rank != rank || (source is { } other && (!ReferenceEquals(other.Q, found.Q) || other.Grid != found.Grid))) return false;
            source = found;
            return true;
        }
        const int broadcastsLikeNumPy = 7;
        if (depth == 0 || value.Producer is not { } node || !IsPart(node) || value.Type.Element != DataType.Float32 || (node.Domain.Length == 0 && node.Opset < broadcastsLikeNumPy)) return false;
        if (chain.Contains(node)) return true;
        bool normalizes = node.Is("BatchNormalization");
        foreach (Value? input in node.Inputs)
        {
            if (input is null) continue;
            if (input.Constant is { } constant)
            {
                if (constant.Type != DataType.Float32) return false;
                if (constant.Length == 1 && !normalizes) continue;
                int along = normalizes ? 1 : AxisOf(constant, rank);
                if (along < 0 || along >= rank || (axis >= 0 && axis != along)) return false;
                axis = along;
            }
            else if (!Collect(input, rank, chain, ref source, ref axis, depth - 1))
            {
                return false;
            }
        }
        chain.Add(node);
        return true;
    }

    /// <summary>The only axis of the data along which a constant has more than one element, or −1.</summary>
    private static int AxisOf(Tensor constant, int rank)
    {
        int found = -1;
        for (int i = 0; i < constant.Rank; i++)
        {
            if (constant.Shape[i] == 1) continue;
            if (found >= 0) return -1;
            found = rank - constant.Rank + i;
        }
        return found;
    }
}

/// <summary><c>QTable(QTable(x))</c> → one QTable.</summary>
internal sealed class ComposeTables : LoweringRule
{
    public override string Name => "compose-tables";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!LoweringContext.IsLowered(node, "QTable") || node.Inputs[0] is not { Producer: { } inner, SingleUse: not null } || !LoweringContext.IsLowered(inner, "QTable")) return LoweringResult.None;
        if (node.Attributes.Contains("axis") || inner.Attributes.Contains("axis")) return LoweringResult.None;
        byte[] table = ByteTables.Compose(node.Attributes.Tensor("table")!.Span<byte>(), inner.Attributes.Tensor("table")!.Span<byte>());
        c.Replace(node.Output, c.Table(inner.Inputs[0]!, table, node, [inner, node]));
        return LoweringResult.Done;
    }
}

/// <summary>QAdd, QMul or QDiv whose operands are functions of one tensor, or constants of one element → QTable.</summary>
/// <remarks>
/// <c>x · sigmoid(x)</c> quantized in between is one; with <see cref="ComposeTables"/> a whole Gelu written out is, <c>x · (erf(x / √2) + 1) · ½</c>, however often it is quantized on the way.
/// The table is what the operator itself gives for the 256 possible bytes.
/// </remarks>
internal sealed class TableOfOneSource : LoweringRule
{
    public override string Name => "table-of-one-source";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!LoweringContext.IsPair(node)) return LoweringResult.None;
        Value? source = null;
        var covers = new List<Node>();
        var operands = new RuntimeValue?[2];
        for (int side = 0; side < operands.Length; side++)
        {
            Value operand = node.Inputs[side]!;
            if (operand.Constant is { } constant)
            {
                if (constant.Length != 1) return LoweringResult.None;
                operands[side] = constant.Reshape([]);
                continue;
            }
            byte[] images = Follow(operand, c, covers, out Value behind);
            if (source is not null && !ReferenceEquals(source, behind)) return LoweringResult.None;
            source = behind;
            operands[side] = Tensor.Create(images, images.Length);
        }
        if (source is null) return LoweringResult.None;
        if (!node.Output.Type.Equals(source.Type)) return LoweringResult.Refuse("its constant has more axes than the data");
        byte[] table = c.Evaluate(node, operands).Span<byte>().ToArray();
        c.Replace(node.Output, c.Table(source, table, node, [.. covers, node]));
        return LoweringResult.Done;
    }

    /// <summary>The tensor behind the tables that make <paramref name="value"/>, and what they make of each of its bytes.</summary>
    private static byte[] Follow(Value value, LoweringContext c, List<Node> tables, out Value source)
    {
        var images = new byte[ByteTables.Length];
        for (int q = 0; q < images.Length; q++) images[q] = (byte)q;
        int first = tables.Count;
        while (value.Producer is { } node && LoweringContext.IsLowered(node, "QTable") && !node.Attributes.Contains("axis") && ReferenceEquals(node.Graph, c.Graph))
        {
            images = ByteTables.Compose(images, node.Attributes.Tensor("table")!.Span<byte>());
            if (!tables.Contains(node)) tables.Insert(first, node);
            value = node.Inputs[0]!;
        }
        source = value;
        return images;
    }
}
