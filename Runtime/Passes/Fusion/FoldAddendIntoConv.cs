using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>Conv(x, w, b) + c</c> → <c>Conv(x, w, b + c)</c> for a constant c with one value per output channel or one for all; ConvTranspose alike.</summary>
internal sealed class FoldAddendIntoConv : RewriteRule
{
    public override string Name => "conv-add-constant";

    public override Pattern Pattern { get; } = Pattern.Op("Add",
        Pattern.Op("Conv|ConvTranspose", Pattern.Any("x"), Pattern.Any("w"), Pattern.Optional("b")).As("conv"), Pattern.Constant("c")).EitherOrder().As("add");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node conv = match.Node("conv");
        if (!RuleValues.HasConstantFloatWeights(conv)) return RewriteResult.Refuse("the convolution's weights or bias are no float32 constants");
        int channels = RuleValues.OutputChannels(conv);
        if (RuleValues.PerChannel(match["c"], channels, match["w"].Constant!.Rank) is not { } addend) return RewriteResult.Refuse($"the addend {match["c"].Type} is not one value per output channel");
        float[]? bias = RuleValues.Floats(match.Find("b"));
        if (bias is not null)
        {
            for (int o = 0; o < channels; o++) addend[o] += bias[o];
        }
        editor.Fuse(match, conv, conv.OperatorType, [match["x"], match["w"], editor.AddConstant(conv.Name + "/bias", Tensor.Create(addend, channels))], conv.Attributes.Copy());
        return RewriteResult.Done;
    }
}
