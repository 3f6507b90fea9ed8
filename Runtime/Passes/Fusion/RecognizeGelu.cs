using Octet.Kernels.Elementwise;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Rewriting;

namespace Octet.Runtime.Passes;

/// <summary>The steps of a GELU written out → one <c>Gelu</c>, where the model's operator set has it (version 20).</summary>
/// <remarks>
/// <code>
///   erf form    ½·x·(1 + erf(x/√2))
///   tanh form   ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
/// </code>
/// in any order of the factors. Outputs differ by rounding only.
/// </remarks>
internal class RecognizeGelu : RewriteRule
{
    /// <summary>First version of ONNX's operator set that has Gelu.</summary>
    private const int GeluSince = 20;

    private const double CubeFactor = 0.044715;

    private static readonly Pattern[] Forms = [.. Products(ErfTerm()), .. Products(TanhTerm(CubeByPow())), .. Products(TanhTerm(CubeByMul()))];

    public override string Name => "gelu";

    public override Pattern Pattern => Forms[0];

    public override IReadOnlyList<Pattern> Patterns => Forms;

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        if (Refusal(match, out bool tanh) is { } reason) return RewriteResult.Refuse(reason);
        if (editor.Graph.OpsetVersion("") < GeluSince) return RewriteResult.Refuse($"operator set {editor.Graph.OpsetVersion("")} has no Gelu");
        editor.Fuse(match, match.Root, "Gelu", [match["x"]], tanh ? new AttributeMap { { "approximate", "tanh" } } : null);
        return RewriteResult.Done;
    }

    /// <summary>Why the constants are not those of a GELU, or null; and which form it is.</summary>
    protected static string? Refusal(Match match, out bool tanh)
    {
        tanh = match.Find("cubeFactor") is not null;
        if (!RuleValues.IsAbout(match["one"], 1) || !RuleValues.IsAbout(match["half"], 0.5)) return "the constants are not 1 and ½";
        if (tanh)
        {
            if (!RuleValues.IsAbout(match["cubeFactor"], CubeFactor) || RuleValues.Scalar(match["rootFactor"]) is not { } root || Math.Abs(root - Math.Sqrt(2 / Math.PI)) > 1e-4)
                return "the constants are not 0.044715 and √(2/π)";
            return match.Find("three") is { } three && !RuleValues.IsAbout(three, 3) ? "the power is not 3" : null;
        }
        double expected = match.Node("scaled").OperatorType == "Div" ? Math.Sqrt(2) : Math.Sqrt(0.5);
        return RuleValues.Scalar(match["root"]) is { } divisor && Math.Abs(divisor - expected) <= 1e-4 ? null : "the argument of erf is not x/√2";
    }

    private static Pattern ErfTerm() => Pattern.Op("Add",
        Pattern.Op("Erf", Pattern.Op("Div|Mul", Pattern.Any("x"), Pattern.Constant("root")).As("scaled")), Pattern.Constant("one")).EitherOrder();

    private static Pattern TanhTerm(Pattern cube) => Pattern.Op("Add",
        Pattern.Op("Tanh", Pattern.Op("Mul",
            Pattern.Op("Add", Pattern.Any("x"), Pattern.Op("Mul", cube, Pattern.Constant("cubeFactor")).EitherOrder()).EitherOrder(),
            Pattern.Constant("rootFactor")).EitherOrder()),
        Pattern.Constant("one")).EitherOrder();

    private static Pattern CubeByPow() => Pattern.Op("Pow", Pattern.Any("x"), Pattern.Constant("three"));

    private static Pattern CubeByMul() => Pattern.Op("Mul", Pattern.Any("x"), Pattern.Op("Mul", Pattern.Any("x"), Pattern.Any("x"))).EitherOrder();

    private static IEnumerable<Pattern> Products(Pattern term) =>
    [
        Pattern.Op("Mul", Pattern.Op("Mul", Pattern.Any("x"), term).EitherOrder(), Pattern.Constant("half")).EitherOrder(),
        Pattern.Op("Mul", Pattern.Any("x"), Pattern.Op("Mul", term, Pattern.Constant("half")).EitherOrder()).EitherOrder(),
        Pattern.Op("Mul", Pattern.Op("Mul", Pattern.Any("x"), Pattern.Constant("half")).EitherOrder(), term).EitherOrder(),
    ];
}

/// <summary>Like <see cref="RecognizeGelu"/>, in a plan, for operator sets without Gelu.</summary>
internal sealed class RecognizeGeluAsActivation : RecognizeGelu
{
    public override string Name => "gelu-activation";

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        if (Refusal(match, out bool tanh) is { } reason) return RewriteResult.Refuse(reason);
        PlanActivation.Replace(match, editor, new Activation(tanh ? UnaryOperation.GeluTanh : UnaryOperation.GeluErf));
        return RewriteResult.Done;
    }
}

/// <summary>Writes <c>octet.Activation</c> nodes.</summary>
internal static class PlanActivation
{
    /// <summary>Puts an activation of the match's value <c>x</c> in the place of the match.</summary>
    public static void Replace(Match match, GraphEditor editor, Activation activation)
    {
        var attributes = new AttributeMap();
        activation.Write(attributes);
        editor.Fuse(match, match.Root, "Activation", [match["x"]], attributes, Operator.OctetDomain);
    }
}
