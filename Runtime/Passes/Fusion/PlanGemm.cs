using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>Gemm</c> with a constant matrix → <c>octet.Gemm</c>; the factors alpha and beta go into the constants.</summary>
internal sealed class PlanGemm : RewriteRule
{
    public override string Name => "plan-gemm";

    public override Pattern Pattern { get; } = Pattern.Op("Gemm", Pattern.Any("x"), Pattern.Any("w"), Pattern.Optional("c")).As("gemm");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node gemm = match.Node("gemm");
        Value x = match["x"], w = match["w"];
        if (w.Constant is not { Type: DataType.Float32, Rank: 2 } weights) return RewriteResult.Refuse("w is no float32 constant");
        if (gemm.Attributes.Int("transA") != 0) return RewriteResult.Refuse("x is transposed");
        bool transposed = gemm.Attributes.Int("transB") != 0;
        int columns = weights.Shape[transposed ? 0 : 1];
        float alpha = gemm.Attributes.Float("alpha", 1f), beta = gemm.Attributes.Float("beta", 1f);
        Value? bias = null, sum = null;
        if (match.Find("c") is { } c && beta != 0f)
        {
            if (RuleValues.PerRow(c, columns) is { } perColumn)
            {
                bias = beta == 1f && c.Constant!.Length == columns && c.Type.Rank == 1 ? c
                    : editor.AddConstant(c.Name + "/row", Tensor.Create(Array.ConvertAll(perColumn, value => beta * value), columns));
            }
            else if (beta == 1f && c.Type.IsConcrete && c.Type.Equals(gemm.Output.Type)) sum = c;
            else return RewriteResult.Refuse($"the addend {c.Type} is neither one value per column nor a matrix like the result");
        }
        if (alpha != 1f) w = editor.AddConstant(w.Name + "/scaled", Tensor.Create(Array.ConvertAll(weights.Span<float>().ToArray(), value => alpha * value), weights.Shape));
        Value?[] inputs = sum is not null ? [x, w, bias, sum] : bias is not null ? [x, w, bias] : [x, w];
        editor.Fuse(match, gemm, "Gemm", inputs, new AttributeMap { { "transB", transposed ? 1L : 0L } }, Operator.OctetDomain);
        return RewriteResult.Done;
    }
}

/// <summary><c>MatMul</c> with a constant matrix → <c>octet.Gemm</c>, whatever the rank of the other side.</summary>
internal sealed class PlanMatMul : RewriteRule
{
    public override string Name => "plan-matmul";

    public override Pattern Pattern { get; } = Pattern.Op("MatMul", Pattern.Any("x"), Pattern.Any("w")).As("matmul");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        if (match["w"].Constant is not { Type: DataType.Float32, Rank: 2 }) return RewriteResult.Refuse($"w is {match["w"].Type}, no constant float32 matrix");
        if (match["x"].Type.Element != DataType.Float32 || match["x"].Type.Rank < 1) return RewriteResult.Refuse($"x is {match["x"].Type}");
        editor.Fuse(match, match.Node("matmul"), "Gemm", [match["x"], match["w"]], new AttributeMap { { "transB", 0L } }, Operator.OctetDomain);
        return RewriteResult.Done;
    }
}

/// <summary><c>octet.Gemm(x, w) + b</c> → <c>octet.Gemm(x, w, b)</c> for a constant b with one value per column.</summary>
internal sealed class FuseBiasIntoProduct : RewriteRule
{
    public override string Name => "gemm-bias";

    public override Pattern Pattern { get; } = Pattern.Op("Add", Pattern.Op("octet.Gemm", Pattern.Any("x"), Pattern.Any("w")).As("gemm"), Pattern.Constant("b")).EitherOrder().As("add");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node gemm = match.Node("gemm");
        if (gemm.Attributes.Contains("activation")) return RewriteResult.Refuse($"{gemm} has an activation already");
        int columns = match["w"].Constant!.Shape[gemm.Attributes.Int("transB") != 0 ? 0 : 1];
        Value b = match["b"];
        if (b.Type.Rank > gemm.Output.Type.Rank || RuleValues.PerRow(b, columns) is not { } bias) return RewriteResult.Refuse($"the addend {b.Type} is not one value per column");
        editor.Fuse(match, gemm, "Gemm", [match["x"], match["w"], b.Type.Rank == 1 && b.Constant!.Length == columns ? b : editor.AddConstant(b.Name + "/row", Tensor.Create(bias, columns))],
            gemm.Attributes.Copy(), Operator.OctetDomain);
        return RewriteResult.Done;
    }
}
