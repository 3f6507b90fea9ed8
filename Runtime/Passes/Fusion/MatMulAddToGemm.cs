using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;

namespace Octet.Runtime.Passes;

/// <summary><c>MatMul(x, w) + b</c> → <c>Gemm(x, w, b)</c> for a matrix x, a constant matrix w and a constant b with one value per column.</summary>
internal sealed class MatMulAddToGemm : RewriteRule
{
    public override string Name => "matmul-add";

    public override Pattern Pattern { get; } = Pattern.Op("Add", Pattern.Op("MatMul", Pattern.Any("x"), Pattern.Constant("w")).As("matmul"), Pattern.Constant("b")).EitherOrder().As("add");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        if (match["x"].Type.Rank != 2 || match["w"].Type.Rank != 2) return RewriteResult.Refuse($"x is {match["x"].Type} and w {match["w"].Type}; Gemm takes matrices");
        ReadOnlySpan<int> bias = match["b"].Constant!.Shape;
        int columns = match["w"].Constant!.Shape[1];
        bool perColumn = bias.Length is 1 or 2 && bias[^1] == columns && (bias.Length == 1 || bias[0] == 1);
        if (!perColumn) return RewriteResult.Refuse($"the addend {match["b"].Type} is not one value per column");
        editor.Fuse(match, match.Node("matmul"), "Gemm", [match["x"], match["w"], match["b"]]);
        return RewriteResult.Done;
    }
}
