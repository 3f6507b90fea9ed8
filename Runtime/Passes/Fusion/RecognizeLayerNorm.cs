using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;

namespace Octet.Runtime.Passes;

/// <summary>The steps of a layer normalization over the last axis written out → one <c>LayerNormalization</c>, where the model's operator set has it (version 17).</summary>
/// <remarks>
/// <code>
///   d = x − mean(x)        y = d / √(mean(d²) + ε) · γ + β
/// </code>
/// Outputs differ by rounding only.
/// </remarks>
internal class RecognizeLayerNorm : RewriteRule
{
    /// <summary>First version of ONNX's operator set that has LayerNormalization.</summary>
    private const int LayerNormSince = 17;

    private static readonly Pattern[] Forms = [Form(Pattern.Op("Pow", Difference(), Pattern.Constant("two"))), Form(Pattern.Op("Mul", Difference(), Difference()))];

    public override string Name => "layernorm";

    public override Pattern Pattern => Forms[0];

    public override IReadOnlyList<Pattern> Patterns => Forms;

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        if (editor.Graph.OpsetVersion("") < LayerNormSince) return RewriteResult.Refuse($"operator set {editor.Graph.OpsetVersion("")} has no LayerNormalization");
        return Replace(match, editor);
    }

    /// <summary>Replaces the steps whatever the operator set.</summary>
    protected static RewriteResult Replace(Match match, GraphEditor editor)
    {
        Value x = match["x"], gamma = match["gamma"], beta = match["beta"];
        if (match.Find("two") is { } two && !RuleValues.IsAbout(two, 2)) return RewriteResult.Refuse("the power is not 2");
        if (RuleValues.Scalar(match["epsilon"]) is not { } epsilon) return RewriteResult.Refuse("ε is not one number");
        foreach (string name in (string[])["mean", "variance"])
        {
            Node reduction = match.Node(name);
            if (reduction.Attributes.Int("keepdims", 1) == 0) return RewriteResult.Refuse($"{reduction} drops the axis");
            if (RuleValues.ReductionAxes(reduction) is not [var axis] || (axis != -1 && axis != x.Type.Rank - 1)) return RewriteResult.Refuse($"{reduction} is not over the last axis alone");
        }
        if (gamma.Type.Rank != 1 || !gamma.Type.Equals(beta.Type) || x.Type.Rank < 1 || !gamma.Type.Shape!.Value[0].SameAs(x.Type.Shape!.Value[^1]))
            return RewriteResult.Refuse($"scale {gamma.Type} and bias {beta.Type} are not one number per element of the last axis of {x.Type}");
        editor.Fuse(match, match.Root, "LayerNormalization", [x, gamma, beta], new AttributeMap { { "axis", -1L }, { "epsilon", epsilon } });
        return RewriteResult.Done;
    }

    private static Pattern Difference() => Pattern.Op("Sub", Pattern.Any("x"), Pattern.Op("ReduceMean", Pattern.Any("x"), Pattern.Optional("meanAxes")).As("mean")).As("difference");

    private static Pattern Form(Pattern square) => Pattern.Op("Add",
        Pattern.Op("Mul",
            Pattern.Op("Div", Difference(),
                Pattern.Op("Sqrt", Pattern.Op("Add", Pattern.Op("ReduceMean", square, Pattern.Optional("varianceAxes")).As("variance"), Pattern.Constant("epsilon")).EitherOrder())),
            Pattern.Constant("gamma")).EitherOrder(),
        Pattern.Constant("beta")).EitherOrder();
}

/// <summary>Like <see cref="RecognizeLayerNorm"/>, in a plan, whatever the operator set.</summary>
internal sealed class RecognizeLayerNormInPlan : RecognizeLayerNorm
{
    public override string Name => "layernorm-plan";

    public override RewriteResult Rewrite(Match match, GraphEditor editor) => Replace(match, editor);
}
