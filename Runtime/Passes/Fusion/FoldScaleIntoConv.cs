using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>Conv(x, w, b) · c</c> → <c>Conv(x, w·c, b·c)</c> for a constant c with one value per output channel or one for all; ConvTranspose alike.</summary>
internal sealed class FoldScaleIntoConv : RewriteRule
{
    public override string Name => "conv-mul";

    public override Pattern Pattern { get; } = Pattern.Op("Mul",
        Pattern.Op("Conv|ConvTranspose", Pattern.Any("x"), Pattern.Any("w"), Pattern.Optional("b")).As("conv"), Pattern.Constant("c")).EitherOrder().As("mul");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node conv = match.Node("conv");
        if (!RuleValues.HasConstantFloatWeights(conv)) return RewriteResult.Refuse("the convolution's weights or bias are no float32 constants");
        int channels = RuleValues.OutputChannels(conv);
        if (RuleValues.PerChannel(match["c"], channels, match["w"].Constant!.Rank) is not { } scale) return RewriteResult.Refuse($"the factor {match["c"].Type} is not one value per output channel");
        Value w = editor.AddConstant(match["w"].Name + "/folded", RuleValues.ScaledWeights(conv, Array.ConvertAll(scale, value => (double)value)));
        Value? b = null;
        if (RuleValues.Floats(match.Find("b")) is { } bias)
        {
            for (int o = 0; o < channels; o++) bias[o] *= scale[o];
            b = editor.AddConstant(match["b"].Name + "/folded", Tensor.Create(bias, channels));
        }
        editor.Fuse(match, conv, conv.OperatorType, [match["x"], w, b], conv.Attributes.Copy());
        return RewriteResult.Done;
    }
}
