using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Rewriting;

namespace Octet.Runtime.Passes;

/// <summary>A product one side of which is a Transpose of the last two axes → a product that reads that side transposed.</summary>
internal sealed class FuseTransposeIntoMatMul : RewriteRule
{
    private const string Products = "MatMul|com.microsoft.FusedMatMul";

    public override string Name => "transpose-matmul";

    public override Pattern Pattern { get; } = Pattern.Op(Products, Pattern.Op("Transpose", Pattern.Any("a")).As("transposeA"), Pattern.Any("b")).As("matmul");

    public override IReadOnlyList<Pattern> Patterns => [Pattern, Pattern.Op(Products, Pattern.Any("a"), Pattern.Op("Transpose", Pattern.Any("b")).As("transposeB")).As("matmul")];

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node matmul = match.Node("matmul");
        Node transpose = match.Nodes[^1];
        bool left = ReferenceEquals(matmul.Inputs[0]!.Producer, transpose);
        if (Permutation.Of(transpose) is not { Length: >= 2 } order) return RewriteResult.Refuse("the rank is not known");
        int[] swap = [.. Enumerable.Range(0, order.Length - 2), order.Length - 1, order.Length - 2];
        if (!order.AsSpan().SequenceEqual(swap)) return RewriteResult.Refuse($"{transpose} moves other axes than the last two");
        AttributeMap attributes = matmul.Attributes.Copy();
        string side = left ? "transA" : "transB";
        attributes[side] = 1L - attributes.Int(side);
        editor.Fuse(match, matmul, "FusedMatMul", [match["a"], match["b"]], attributes, Operator.MicrosoftDomain);
        return RewriteResult.Done;
    }
}

/// <summary>A product times or divided by one constant number → a product with that factor.</summary>
internal sealed class FuseScaleIntoMatMul : RewriteRule
{
    public override string Name => "scale-matmul";

    public override Pattern Pattern { get; } = Pattern.Op("Mul", Pattern.Op("MatMul|com.microsoft.FusedMatMul", Pattern.Any("a"), Pattern.Any("b")).As("matmul"), Pattern.Constant("factor")).EitherOrder().As("scale");

    public override IReadOnlyList<Pattern> Patterns =>
        [Pattern, Pattern.Op("Div", Pattern.Op("MatMul|com.microsoft.FusedMatMul", Pattern.Any("a"), Pattern.Any("b")).As("matmul"), Pattern.Constant("factor")).As("scale")];

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node matmul = match.Node("matmul"), scale = match.Node("scale");
        if (RuleValues.Scalar(match["factor"]) is not { } factor || match["factor"].Type.Rank > matmul.Output.Type.Rank) return RewriteResult.Refuse("the factor is not one float32 number");
        if (matmul.Output.Type.Element != Tensors.DataType.Float32) return RewriteResult.Refuse($"the product is {matmul.Output.Type}");
        if (scale.OperatorType == "Div") factor = 1f / factor;
        AttributeMap attributes = matmul.Attributes.Copy();
        attributes["alpha"] = attributes.Float("alpha", 1f) * factor;
        editor.Fuse(match, matmul, "FusedMatMul", [match["a"], match["b"]], attributes, Operator.MicrosoftDomain);
        return RewriteResult.Done;
    }
}
