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

/// <summary><c>QTable(QTable(x))</c> → one QTable.</summary>
internal sealed class ComposeTables : LoweringRule
{
    public override string Name => "compose-tables";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        if (!LoweringContext.IsLowered(node, "QTable") || node.Inputs[0] is not { Producer: { } inner, SingleUse: not null } || !LoweringContext.IsLowered(inner, "QTable")) return LoweringResult.None;
        byte[] table = ByteTables.Compose(node.Attributes.Tensor("table")!.Span<byte>(), inner.Attributes.Tensor("table")!.Span<byte>());
        c.Replace(node.Output, c.Table(inner.Inputs[0]!, table, node, [inner, node]));
        return LoweringResult.Done;
    }
}

/// <summary>QAdd or QMul of one tensor with a function of itself → QTable: <c>x · sigmoid(x)</c> quantized in between.</summary>
internal sealed class TableOfOneSource : LoweringRule
{
    public override string Name => "table-of-one-source";

    public override LoweringResult Apply(Node node, LoweringContext c)
    {
        bool multiply = LoweringContext.IsLowered(node, "QMul");
        if (!multiply && !LoweringContext.IsLowered(node, "QAdd")) return LoweringResult.None;
        (Value a, byte[]? first) = Function(node.Inputs[0]!);
        (Value b, byte[]? second) = Function(node.Inputs[1]!);
        if (ReferenceEquals(a, node.Inputs[1])) (b, second) = (a, null);
        else if (ReferenceEquals(b, node.Inputs[0])) (a, first) = (b, null);
        if (!ReferenceEquals(a, b) || a.IsConstant) return LoweringResult.None;

        AttributeMap t = node.Attributes;
        float ratio = t.Float("y_scale"), bScale = t.Float("b_scale"), aFactor = multiply ? t.Float("a_scale") * bScale / ratio : t.Float("a_scale") / ratio, bFactor = bScale / ratio;
        var table = new byte[ByteTables.Length];
        for (int q = 0; q < table.Length; q++)
        {
            int left = (first?[q] ?? q) - (int)t.Int("a_zero_point"), right = (second?[q] ?? q) - (int)t.Int("b_zero_point");
            table[q] = (byte)LinearQuantization.Round(multiply ? left * right * aFactor : left * aFactor + right * bFactor, (int)t.Int("y_zero_point"), (int)t.Int("lo"), (int)t.Int("hi", 255));
        }
        Node[] covers = [.. new[] { node.Inputs[0]!.Producer, node.Inputs[1]!.Producer }.Where(inner => LoweringContext.IsLowered(inner, "QTable")).Select(inner => inner!), node];
        c.Replace(node.Output, c.Table(a, table, node, covers));
        return LoweringResult.Done;
    }

    /// <summary>The tensor behind <paramref name="value"/> and the table between, if there is one.</summary>
    private static (Value Source, byte[]? Table) Function(Value value) =>
        value.Producer is { } node && LoweringContext.IsLowered(node, "QTable") ? (node.Inputs[0]!, node.Attributes.Tensor("table")!.Span<byte>().ToArray()) : (value, null);
}
