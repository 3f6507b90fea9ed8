using Octet.Kernels.Elementwise;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>x · Sigmoid(x)</c> and <c>x · Sigmoid(α·x)</c> → one activation <c>x / (1 + e^(−αx))</c>.</summary>
internal sealed class RecognizeSwish : RewriteRule
{
    public override string Name => "swish";

    public override Pattern Pattern { get; } = Pattern.Op("Mul", Pattern.Any("x"), Pattern.Op("Sigmoid", Pattern.Any("x"))).EitherOrder();

    public override IReadOnlyList<Pattern> Patterns =>
    [
        Pattern,
        Pattern.Op("Mul", Pattern.Any("x"), Pattern.Op("Sigmoid", Pattern.Op("Mul", Pattern.Any("x"), Pattern.Constant("alpha")).EitherOrder())).EitherOrder(),
    ];

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        if (match["x"].Type.Element != DataType.Float32) return RewriteResult.Refuse($"x is {match["x"].Type}, activations are float32");
        float alpha = 1f;
        if (match.Find("alpha") is { } factor)
        {
            if (RuleValues.Scalar(factor) is not { } value) return RewriteResult.Refuse($"the factor {factor.Type} is not one number");
            if (factor.Type.Rank > match["x"].Type.Rank) return RewriteResult.Refuse("the factor adds an axis");
            alpha = value;
        }
        PlanActivation.Replace(match, editor, new Activation(UnaryOperation.Swish, alpha));
        return RewriteResult.Done;
    }
}

/// <summary><c>x · HardSigmoid(x; 1/6, ½)</c> and <c>x · Clip(x + 3, 0, 6) / 6</c> → HardSwish.</summary>
internal sealed class RecognizeHardSwish : RewriteRule
{
    public override string Name => "hardswish";

    public override Pattern Pattern { get; } = Pattern.Op("Mul", Pattern.Any("x"), Pattern.Op("HardSigmoid", Pattern.Any("x")).As("gate")).EitherOrder();

    public override IReadOnlyList<Pattern> Patterns { get; } =
    [
        Pattern.Op("Mul", Pattern.Any("x"), Pattern.Op("HardSigmoid", Pattern.Any("x")).As("gate")).EitherOrder(),
        Pattern.Op("Div|Mul", Pattern.Op("Mul", Pattern.Any("x"), Ramp()).EitherOrder(), Pattern.Constant("six")).As("scaled"),
        Pattern.Op("Mul", Pattern.Any("x"), Pattern.Op("Div|Mul", Ramp(), Pattern.Constant("six")).As("scaled")).EitherOrder(),
    ];

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        if (match["x"].Type.Element != DataType.Float32) return RewriteResult.Refuse($"x is {match["x"].Type}, activations are float32");
        if (match.Find("six") is { } six)
        {
            if (!RuleValues.IsAbout(six, match.Node("scaled").OperatorType == "Div" ? 6 : 1.0 / 6) || !RuleValues.IsAbout(match["three"], 3)) return RewriteResult.Refuse("the constants are not 3 and 6");
            if (RuleValues.ActivationOf(match.Node("ramp")) is not { Function: UnaryOperation.Clip, Alpha: 0f, Beta: 6f }) return RewriteResult.Refuse("the ramp is not clipped to [0, 6]");
        }
        else
        {
            Activation gate = RuleValues.ActivationOf(match.Node("gate"))!.Value;
            if (Math.Abs(gate.Alpha - 1.0 / 6) > 1e-6 || gate.Beta != 0.5f) return RewriteResult.Refuse($"HardSigmoid has slope {gate.Alpha} and offset {gate.Beta}, HardSwish 1/6 and ½");
        }
        PlanActivation.Replace(match, editor, new Activation(UnaryOperation.HardSwish));
        return RewriteResult.Done;
    }

    private static Pattern Ramp() =>
        Pattern.Op("Clip", Pattern.Op("Add", Pattern.Any("x"), Pattern.Constant("three")).EitherOrder(), Pattern.Optional("low"), Pattern.Optional("high")).As("ramp");
}

/// <summary><c>Pow(x, 2)</c> and <c>x · x</c> → one activation <c>x²</c>.</summary>
internal sealed class RecognizeSquare : RewriteRule
{
    public override string Name => "square";

    public override Pattern Pattern { get; } = Pattern.Op("Mul", Pattern.Any("x"), Pattern.Any("x"));

    public override IReadOnlyList<Pattern> Patterns => [Pattern, Pattern.Op("Pow", Pattern.Any("x"), Pattern.Constant("two"))];

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        if (match["x"].Type.Element != DataType.Float32) return RewriteResult.Refuse($"x is {match["x"].Type}, activations are float32");
        if (match.Find("two") is { } two && (!RuleValues.IsAbout(two, 2) || two.Type.Rank > match["x"].Type.Rank)) return RewriteResult.Refuse("the power is not 2");
        PlanActivation.Replace(match, editor, new Activation(UnaryOperation.Square));
        return RewriteResult.Done;
    }
}
