using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>BatchNormalization(Gemm(x, w, c))</c> → <c>Gemm(x, w′, c′)</c>: columns of w times <c>s = γ/√(σ²+ε)</c>, <c>c′ = (beta·c − μ)·s + β</c>.</summary>
internal sealed class FoldBatchNormIntoGemm : RewriteRule
{
    public override string Name => "gemm-batchnorm";

    public override Pattern Pattern { get; } = Pattern.Op("BatchNormalization",
        Pattern.Op("Gemm", Pattern.Any("x"), Pattern.Any("w"), Pattern.Optional("c")).As("gemm"),
        Pattern.Any("gamma"), Pattern.Any("beta"), Pattern.Any("mean"), Pattern.Any("variance")).As("bn");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node gemm = match.Node("gemm");
        if (!RuleValues.HasConstantFloatWeights(gemm)) return RewriteResult.Refuse("the product's weights or bias are no float32 constants");
        if (BatchNorm.Read(match.Node("bn"), out string reason) is not { } norm) return RewriteResult.Refuse(reason);
        Tensor w = match["w"].Constant!;
        bool transposed = gemm.Attributes.Int("transB") != 0;
        int columns = w.Shape[transposed ? 0 : 1], depth = w.Shape[transposed ? 1 : 0];
        if (norm.Scale.Length != columns) return RewriteResult.Refuse($"batch norm has {norm.Scale.Length} channels, the product {columns} columns");
        float[]? bias = null;
        if (match.Find("c") is { } c && (bias = RuleValues.PerChannel(c, columns, 2)) is null) return RewriteResult.Refuse("the product's bias differs between rows");

        var weights = new float[w.Length];
        for (int i = 0; i < weights.Length; i++) weights[i] = (float)(w.Span<float>()[i] * norm.Scale[transposed ? i / depth : i % columns]);
        double beta = gemm.Attributes.Float("beta", 1f);
        var shift = new float[columns];
        for (int j = 0; j < columns; j++) shift[j] = (float)((bias is null ? 0.0 : beta * bias[j]) * norm.Scale[j] + norm.Shift[j]);
        AttributeMap attributes = gemm.Attributes.Copy();
        attributes["beta"] = null;
        editor.Fuse(match, gemm, "Gemm",
            [match["x"], editor.AddConstant(match["w"].Name + "/folded", Tensor.Create(weights, w.Shape)), editor.AddConstant(gemm.Name + "/bias", Tensor.Create(shift, columns))], attributes);
        return RewriteResult.Done;
    }
}
