using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>Pow(x, e) · m</c> with constant scalars → <c>octet.PowMul</c>, the same bits.</summary>
internal sealed class FusePowMul : RewriteRule
{
    public override string Name => "pow-mul";

    public override Pattern Pattern { get; } = Pattern.Op("Mul", Pattern.Op("Pow", Pattern.Any("x"), Pattern.Constant("exponent")), Pattern.Constant("factor")).EitherOrder();

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Value x = match["x"];
        if (x.Type.Element != DataType.Float32) return RewriteResult.Refuse($"x is {x.Type}, not float32");
        if (RuleValues.Scalar(match["exponent"]) is not { } exponent || RuleValues.Scalar(match["factor"]) is not { } factor) return RewriteResult.Refuse("the exponent or the factor is not one float32 number");
        if (!match.Root.Output.Type.Equals(x.Type)) return RewriteResult.Refuse("a constant adds an axis");
        editor.Fuse(match, match.Root, PowMul.Type, [x], new AttributeMap { { "exponent", exponent }, { "factor", factor } }, Operator.OctetDomain);
        return RewriteResult.Done;
    }
}
